-- html(paths, {out = PATH, job =, comparison =}) -> path: one or several runs as one HTML file that needs nothing else: no network, no file beside it.
--   out: where to (one run: RUN/report.html; several: needed). job: the run's (vbl.train), where it is at hand; false: no data is opened.
--   comparison: of groups of runs (vbl.report.comparison), which may hold more runs than paths; else of the paths', by their configs.
-- Text and tables are in the file as they are read; charts are drawn from its JSON by charts.js when it is opened. Several runs share the
-- charts, a colour a run. The content security policy in its head forbids every request.
local c = require "vbl.store.c"
local comparison = require "vbl.report.comparison"
local comparison_section = require "vbl.report.comparison_section"
local curves = require "vbl.report.curves"
local layers = require "vbl.report.layers"
local markup = require "vbl.report.markup"
local samples = require "vbl.report.samples"
local short_names = require "vbl.report.short_names"
local source = require "vbl.report.source"
local summary = require "vbl.report.summary"
local system = require "vbl.system.c"
local tables = require "vbl.report.page_tables"
local trimmed = require "vbl.trimmed"
local usage = require "vbl.usage"
local warnings = require "vbl.report.warnings"

local LIMIT = 5000000  -- bytes that a page may have
local LOG_LINES = 80
local WARNINGS = 12  -- at the top; more of them fold

local e, text = markup.element, markup.text

local function section(page, id, title, ...)
  page.sections[#page.sections + 1] = {id = id, title = title, body = table.concat {...}}
end

local function run_name(page, i)
  local run = page.runs[i]
  local color = #page.runs > 1 and e("i", {class = "run", style = ("background:var(--c%d)"):format((i - 1) % 7 + 1)}) or ""
  return color .. text(run.name) .. e("span", {class = "status " .. run.status}, text(run.status))
end

-- One heading a run where there are several.
local function each_run(page, fn)
  local parts = {}
  for i, run in ipairs(page.runs) do
    local body = fn(run)
    if body then parts[#parts + 1] = (#page.runs > 1 and e("h3", nil, run_name(page, i)) or "") .. body end
  end
  return #parts > 0 and table.concat(parts) or nil
end

-- The warnings of all runs, the gravest first; one that is the same word for word of several is one, with their names.
local function all_warnings(page)
  local list, known = {}, {}
  for _, run in ipairs(page.runs) do
    for _, w in ipairs(warnings.of(run)) do
      local key = w.level .. w.text
      if not known[key] then
        known[key] = {level = w.level, text = w.text, runs = {}}
        list[#list + 1] = known[key]
      end
      table.insert(known[key].runs, run.short)
    end
  end
  return warnings.sort(list)
end

local function warning_list(page)
  local shown, rest = {}, {}
  for _, w in ipairs(all_warnings(page)) do
    local names = #page.runs > 1 and e("b", nil, text(#w.runs == #page.runs and "all runs" or table.concat(w.runs, ", ")), ": ") or ""
    local into = #shown < WARNINGS and shown or rest
    into[#into + 1] = e("li", {class = w.level}, names, text(w.text))
  end
  if #shown == 0 then return "" end
  return e("ul", {class = "warnings"}, table.concat(shown)) ..
    (#rest > 0 and e("details", nil, e("summary", nil, ("%d more"):format(#rest)), e("ul", {class = "warnings"}, table.concat(rest))) or "")
end

-- The page of a study draws a run of each kind, and compares them all.
local function comparison_note(page)
  local n = 0
  for _, group in ipairs(page.comparison.groups or {}) do n = n + #group.runs end
  if n <= #page.runs then return "" end
  return e("p", {class = "note"}, ("%d runs in %d groups. What stands below this comparison is of the %d runs named above, one of each kind."):format(n, #page.comparison.groups, #page.runs))
end

local function add_comparison(page, given)
  if not given and #page.runs == 1 then return end
  page.comparison = given or comparison.of(page.runs)
  local body
  body, page.data.comparison = comparison_section(page.comparison)
  section(page, "comparison", "Comparison", comparison_note(page), body)
end

local function add_curves(page)
  local list, parts = {}, {}
  for _, group in ipairs(curves(page.runs)) do
    local figures = {}
    for _, chart in ipairs(group.charts) do
      figures[#figures + 1] = e("figure", {["data-chart"] = #list})
      list[#list + 1] = chart
    end
    parts[#parts + 1] = e("h3", nil, text(group.title)) .. e("div", {class = "grid"}, table.concat(figures))
  end
  page.data.curves = list
  if #list > 0 then section(page, "curves", "Curves", table.concat(parts)) end
end

local function epoch_slider(epochs)
  if #epochs < 2 then return "" end
  return e("label", {class = "epoch"}, "Epoch ", e("output", nil, text(epochs[#epochs])),
           e("input", {type = "range", min = "0", max = tostring(#epochs - 1), value = tostring(#epochs - 1), step = "1", ["aria-label"] = "epoch"}))
end

local about_partners = "Matched: a caption with its own image; after co-attention the two have seen each other. Mismatched: each fused with a partner of another pair, then " ..
  "compared: what is left is what the streams share of themselves. Co-attending layers are shaded; the scale is the same at all epochs."

local function add_layers(page)
  local made = layers.by_layer(page.runs)
  page.data.layers = {epochs = made.epochs, charts = made.charts}
  if #made.charts == 0 then return end
  local figures = {}
  for i in ipairs(made.charts) do figures[i] = e("figure", {["data-chart"] = i - 1}) end
  section(page, "layers", "Layer by layer", e("p", {class = "note"}, about_partners), epoch_slider(made.epochs), e("div", {class = "grid"}, table.concat(figures)))
end

local function add_maps(page)
  local made = layers.maps(page.runs)
  page.data.maps = {epochs = made.epochs, charts = made.charts}
  if #made.charts == 0 then return end
  local parts, titles = {}, require "vbl.plot.titles"
  for i, chart in ipairs(made.charts) do
    local last = made.charts[i - 1]
    if not last or last.measure ~= chart.measure or (#last.matrices > 1) ~= (#chart.matrices > 1) then
      parts[#parts + 1] = (last and "</div>" or "") .. e("h3", nil, text(titles.of(chart.measure) .. (#chart.matrices > 1 and ", over the epochs" or ", last checkpoint analysed"))) .. '<div class="pairs">'
    end
    parts[#parts + 1] = e("figure", {["data-chart"] = i - 1})
  end
  section(page, "maps", "Layer × layer", e("p", {class = "note"}, "Every text layer against every image layer. The arrow at the colour bar is the chance level, " ..
          "bars at the axes are co-attending layers."), epoch_slider(made.epochs), table.concat(parts), "</div>")
end

local function add_tables(page)
  local body = each_run(page, function(run)
    local alignment, sheets = tables.alignment(run), tables.sheets(run)
    if not alignment and not sheets then return nil end
    return (alignment and e("details", nil, e("summary", nil, "Alignment before and after"), alignment) or "") .. (sheets or "")
  end)
  if body then section(page, "tables", "Tables", body) end
end

local ATTENTION = 2500000  -- bytes of attention maps in a page

-- As many pairs as fit, and how many do not.
local function some_pairs(attention, room)
  local list, left = {}, 0
  for _, pair in ipairs(attention.pairs) do
    local size = #c.json_encode(pair)
    if size <= room then list[#list + 1], room = pair, room - size else left = left + 1 end
  end
  return list, left
end

local function select(label, name) return e("label", nil, label, " ", e("select", {["data-pick"] = name, ["aria-label"] = label})) end

local function add_attention(page)
  local made = {}
  local body = each_run(page, function(run)
    if not run.attention then return nil end
    local list, left = some_pairs(run.attention, ATTENTION // #page.runs)
    if #list == 0 then return nil end
    made[#made + 1] = {pairs = list}
    return e("div", {["data-attention"] = #made - 1}, left > 0 and e("p", {class = "note"}, ("%d more pairs are in analysis/attention.json."):format(left)) or "",
             e("div", {class = "controls"}, select("Pair", "pair"), select("Layer", "layer"), select("Head", "head")),
             e("div", {class = "look"}, e("div", nil, e("div", {["data-pick"] = "picture"})),
               e("div", nil, e("div", {class = "words", ["data-pick"] = "words"}), e("div", {["data-pick"] = "said"}), e("figure", nil))))
  end)
  page.data.attention = made
  if body then
    section(page, "attention", "Attention", e("p", {class = "note"}, "Click a word or a patch: what it attends to is red, from pale at an even share (or less) to full at eight times " ..
            "as much. Attention is not explanation: see the attribution beside it."), body)
  end
end

local function add_samples(page)
  section(page, "samples", "Samples", each_run(page, function(run)
    local body, why = samples(run, #page.runs)
    return body or e("p", {class = "note"}, text(why))
  end))
end

local function log_tail(run)
  local lines = {}
  for line in run.log:gmatch "[^\n]+" do lines[#lines + 1] = line end
  if #lines == 0 then return nil end
  return e("details", nil, e("summary", nil, ("Last %d of %d lines of the log"):format(math.min(LOG_LINES, #lines), #lines)),
           e("pre", nil, text(table.concat(lines, "\n", math.max(1, #lines - LOG_LINES + 1)))))
end

local function fill(page, opts)
  add_comparison(page, opts.comparison)
  section(page, "summary", "Summary", e("div", {class = #page.runs == 1 and "two" or nil}, e("div", nil, summary.facts(page.runs)), e("div", nil, summary.values(page.runs))))
  add_curves(page)
  add_layers(page)
  add_maps(page)
  add_tables(page)
  add_attention(page)
  add_samples(page)
  section(page, "data-set", "Data", each_run(page, tables.coverage))
  section(page, "config", "Config", e("p", {class = "note"}, "Marked: keys that differ from the trainer's and the model's defaults."), summary.config(page.runs))
  section(page, "environment", "Environment", summary.environment(page.runs), each_run(page, log_tail) or "")
end

local policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"

local function assemble(page)
  local links, bodies = {}, {}
  for i, s in ipairs(page.sections) do
    links[i] = e("a", {href = "#" .. s.id}, text(s.title))
    bodies[i] = e("section", {id = s.id}, e("h2", nil, text(s.title)), s.body)
  end
  local title = page.comparison and page.comparison.title or #page.runs == 1 and page.runs[1].name or #page.runs .. " runs"
  local names = {}
  for i in ipairs(page.runs) do names[i] = run_name(page, i) end
  return table.concat({
    "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">', '<meta name="viewport" content="width=device-width, initial-scale=1">',
    ('<meta http-equiv="Content-Security-Policy" content="%s">'):format(policy), e("title", nil, text(title)),
    "<style>" .. require "vbl.report.page.css" .. "</style>", "</head>", "<body>",
    e("header", nil, #names == 1 and e("h1", nil, names[1]) or e("h1", nil, text(title)) .. "<p>" .. table.concat(names, "<br>") .. "</p>" ..
        (#names > 7 and e("p", {class = "note"}, "Colours repeat after seven runs; a click in a legend hides a line.") or ""), warning_list(page)),
    e("nav", nil, e("div", nil, table.concat(links))), e("main", nil, table.concat(bodies, "\n")),
    e("footer", nil, text(("vbl %s, %s. This page needs no network."):format(require("vbl").version, os.date "%Y-%m-%d %H:%M"))),
    e("noscript", nil, "The charts need JavaScript; the run's plots/ has them as pictures."),
    '<script type="application/json" id="data">' .. markup.json(page.data) .. "</script>", "<script>" .. require "vbl.report.charts.js" .. require "vbl.report.attention.js" .. "</script>",
    "</body>", "</html>", "",
  }, "\n")
end

return function(paths, opts)
  opts = opts or {}
  if type(paths) == "string" then paths = {paths} end
  if #paths == 0 then usage "report: expected at least one run's folder" end
  local out = opts.out or #paths == 1 and trimmed(paths[1]) .. "/report.html"
  if not out then usage "report: several runs need a file to write to (out)" end
  local page = {runs = {}, sections = {}, data = {}}
  for i, path in ipairs(paths) do page.runs[i] = source.read(path, opts) end
  short_names(page.runs)
  fill(page, opts)
  local html = assemble(page)
  if #html > LIMIT then io.stderr:write(("report: the page has %.1f MB\n"):format(#html / 1e6)) end
  local ok, message = pcall(c.write_atomic, out, html)
  if ok then return out end
  if system.interrupted() then error(message, 0) end
  usage(("report: %s%s"):format(usage.strip(message), opts.out and "" or "; --out FILE.html takes it elsewhere"))
end
