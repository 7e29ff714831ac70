-- A table of results as text (vbl.report.table): Markdown, which is also what print shows, LaTeX with booktabs, CSV with every number, and
-- what a page shows.
-- layout.new(t) -> t with markdown(), latex(), csv(), html(), save(path)
local c = require "vbl.store.c"
local csv = require "vbl.store.table"
local length = require("vbl.columns").length

local Table = {}
Table.__index = Table

-- A row is a line: whatever a name holds.
local function one_line(text) return (text:gsub("%c+", " ")) end

local markup = {
  markdown = {
    pm = " ± ", star = "\\*", fewer = "!", dash = "–",
    bold = function(text) return "**" .. text .. "**" end,
    escape = function(text) return (one_line(text):gsub("[|*\\]", "\\%0")) end,
  },
  latex = {
    pm = " $\\pm$ ", star = "*", fewer = "!", dash = "--",
    bold = function(text) return "\\textbf{" .. text .. "}" end,
    escape = function(text)
      local special = {["\\"] = "\\textbackslash{}", ["~"] = "\\textasciitilde{}", ["^"] = "\\textasciicircum{}"}
      return (one_line(text):gsub("[\\~^&%%$#_{}]", function(s) return special[s] or "\\" .. s end):gsub("^[%[*]", "{}%0"))  -- behind \\ they are its arguments
    end,
  },
}

local page = require "vbl.report.markup"

markup.html = {
  pm = " ± ", star = "*", fewer = "!", dash = "–",
  bold = function(text) return "<b>" .. text .. "</b>" end,
  escape = page.text,
}

local limits = {0.001, 0.01, 0.05}

local function stars(cell)
  local n = 0
  for _, limit in ipairs(limits) do n = n + (cell.p_holm and cell.p_holm < limit and 1 or 0) end
  return n
end

local function number(x, digits)
  if x ~= x then return "undefined" end
  return ("%." .. digits .. "f"):format(x)
end

local function cell_text(t, cell, m)
  if not cell then return m.dash end
  local digits = t.opts.digits
  local value = number(cell.mean, digits) .. (cell.sd and m.pm .. number(cell.sd, digits) or "")
  if cell.best and #t.rows > 1 then value = m.bold(value) end
  local text = ("%s (%d%s)"):format(value, cell.n, cell.fewer and m.fewer or "")
  if t.opts.interval and cell.low then text = ("%s [%s, %s]"):format(text, number(cell.low, digits), number(cell.high, digits)) end
  local n = stars(cell)
  if n > 0 then text = text .. (m == markup.latex and "$^{" .. m.star:rep(n) .. "}$" or " " .. m.star:rep(n)) end
  return text
end

local function titles(t, m)
  local list = {""}
  for i, column in ipairs(t.columns) do
    local name = #t.tasks > 1 and column.task .. ": " .. column.metric or column.metric
    list[i + 1] = m.escape(name) .. (column.lower and (m == markup.latex and " $\\downarrow$" or " ↓") or "")
  end
  return list
end

local function cells(t, m)
  local lines = {titles(t, m)}
  for r, row in ipairs(t.rows) do
    lines[r + 1] = {m.escape(row.name)}
    for i = 1, #t.columns do lines[r + 1][i + 1] = cell_text(t, row.cells[i], m) end
  end
  return lines
end

-- ---- what the signs mean

local function any(t, fn)
  for _, row in ipairs(t.rows) do
    for _, cell in ipairs(row.cells) do
      if cell and fn(cell) then return true end
    end
  end
  return false
end

local function samples_text(t)
  local parts, seen = {}, {}
  for _, column in ipairs(t.columns) do
    if column.samples and not seen[column.task] then
      local count = ("%d%s"):format(column.samples, (column.scopes or 1) > 1 and " of each seed" or "")
      parts[#parts + 1] = #t.tasks > 1 and column.task .. " " .. count or count
      seen[column.task] = true
    end
  end
  return table.concat(parts, ", ")
end

local tests = {
  bootstrap = "paired bootstrap of the samples",
  permutation = "paired permutation of the predictions of each sample, for these runs",
}

local function legend(t)
  local lines, opts = {}, t.opts
  local of_runs = any(t, function(cell) return cell.draws and cell.n > 1 end) and "Student's t of the runs and " or ""
  local first = ("%s%s split; mean ± standard deviation (n runs)"):format(#t.tasks == 1 and t.tasks[1] .. ", " or "", t.split)
  if t.opts.interval and any(t, function(cell) return cell.low end) then
    first = first .. (" [%g %% interval of the mean: %s%d bootstrap draws of the samples (%s), seed %d]"):format(100 * (1 - opts.alpha), of_runs, opts.draws, samples_text(t), opts.seed)
  end
  lines[1] = first .. (#t.rows > 1 and "; bold: best mean of its column." or ".")
  if t.comparisons > 0 then
    lines[#lines + 1] = ("*, **, ***: differs from '%s' at p < 0.05, 0.01, 0.001; %s, Holm's correction over %d %s."):format(
      t.baseline, (opts.test == "bootstrap" and of_runs or "") .. tests[opts.test], t.comparisons, t.comparisons == 1 and "test" or "tests")
  end
  local floor = t.comparisons * (opts.test == "bootstrap" and 2 or 1) / (opts.draws + 1)
  if t.comparisons > 0 and floor > 0.001 then lines[#lines + 1] = ("%d draws show no corrected p below %.2g (draws = ...)."):format(opts.draws, floor) end
  if any(t, function(cell) return cell.fewer end) then lines[#lines + 1] = "!: fewer runs than other rows of the column have." end
  if any(t, function(cell) return cell.n == 1 end) then lines[#lines + 1] = "(1): one run; nothing is known of other seeds." end
  if opts.test == "permutation" and any(t, function(cell) return cell.difference and cell.sets[1] and not cell.p end) then
    lines[#lines + 1] = ("Not tested: rows with another number of runs than '%s'; their permutation has no pairs."):format(t.baseline)
  end
  if any(t, function(cell) return not cell.sets[1] end) then lines[#lines + 1] = "Without interval: from the runs' stored values, which have no samples." end
  for _, note in ipairs(t.notes) do lines[#lines + 1] = "Note: " .. note .. "." end
  return lines
end

local function left_out(t)
  local lines, seen = {}, {}
  for _, one in ipairs(t.left_out) do
    local line = ("%s: %s (%s)"):format(one.row, one.name, one.why)
    if not seen[line] then lines[#lines + 1], seen[line] = line, true end
  end
  return lines
end

-- ---- the three forms

local function aligned(lines)
  local widths, out = {}, {}
  for _, line in ipairs(lines) do
    for i, text in ipairs(line) do widths[i] = math.max(widths[i] or 3, length(text)) end
  end
  for r, line in ipairs(lines) do
    local parts = {}
    for i, text in ipairs(line) do parts[i] = text .. (" "):rep(widths[i] - length(text)) end
    out[#out + 1] = "| " .. table.concat(parts, " | ") .. " |"
    if r == 1 then
      for i, width in ipairs(widths) do parts[i] = ("-"):rep(width) end
      out[#out + 1] = "|-" .. table.concat(parts, "-|-") .. "-|"
    end
  end
  return out
end

function Table:markdown()
  local m, out = markup.markdown, {}
  if self.opts.title then out = {"**" .. m.escape(self.opts.title) .. "**", ""} end
  for _, line in ipairs(aligned(cells(self, m))) do out[#out + 1] = line end
  out[#out + 1] = ""
  for _, line in ipairs(legend(self)) do out[#out + 1] = one_line(line):gsub("%*", "\\*") .. "  " end
  local left = left_out(self)
  if #left > 0 then
    out[#out + 1] = "\nNot in the table:"
    for _, line in ipairs(left) do out[#out + 1] = "- " .. one_line(line):gsub("%*", "\\*") end
  end
  return table.concat(out, "\n") .. "\n"
end

Table.__tostring = Table.markdown

function Table:latex()
  local m, out = markup.latex, {"% \\usepackage{booktabs}", "\\begin{table}", "\\centering"}
  out[#out + 1] = "\\begin{tabular}{l" .. ("r"):rep(#self.columns) .. "}"
  out[#out + 1] = "\\toprule"
  for r, line in ipairs(cells(self, m)) do
    out[#out + 1] = table.concat(line, " & ") .. " \\\\"
    if r == 1 then out[#out + 1] = "\\midrule" end
  end
  out[#out + 1] = "\\bottomrule\n\\end{tabular}"
  local text = m.escape(table.concat(legend(self), " ")):gsub("±", "$\\pm$"):gsub("<", "$<$")
  out[#out + 1] = "\\caption{" .. (self.opts.title and m.escape(self.opts.title) .. ". " or "") .. text .. "}"
  for _, line in ipairs(left_out(self)) do out[#out + 1] = "% not in the table: " .. one_line(line) end
  out[#out + 1] = "\\end{table}"
  return table.concat(out, "\n") .. "\n"
end

-- A table of markup, its legend, and what is not in it.
function Table:html()
  local lines, rows, numeric, e = cells(self, markup.html), {}, {}, page.element
  for r = 2, #lines do
    rows[r - 1] = {}
    for i, text in ipairs(lines[r]) do rows[r - 1][i] = page.raw(i == 1 and text or (text:gsub("%[.*%]", "<small>%0</small>"))) end
  end
  local columns = {}
  for i, text in ipairs(lines[1]) do columns[i], numeric[i] = page.raw(text), i > 1 end
  local left = left_out(self)
  for i, line in ipairs(left) do left[i] = e("li", nil, page.text(line)) end
  return page.table {columns = columns, rows = rows, numeric = numeric} .. e("p", {class = "note"}, page.text(table.concat(legend(self), " "))) ..
    (#left > 0 and e("p", {class = "note"}, "Not in the table:") .. e("ul", {class = "note"}, table.concat(left)) or "")
end

local fields = {"mean", "sd", "n", "low", "high", "difference", "p", "p_holm"}

-- A line a cell, and one for each run that is not in the table (with `why`).
function Table:csv()
  local lines = {{"row", "task", "metric", "split", "mean", "sd", "n", "low", "high", "difference", "p", "p_holm", "best", "seeds", "values", "baseline", "test", "why"}}
  for _, row in ipairs(self.rows) do
    for i, column in ipairs(self.columns) do
      local cell = row.cells[i]
      if cell then
        local line = {row.name, column.task, column.metric, self.split}
        for _, field in ipairs(fields) do
          local value = cell[field]
          line[#line + 1] = value == nil and "" or value ~= value and "NaN" or value
        end
        local seeds, values = {}, {}
        for k, v in ipairs(cell.values) do seeds[k], values[k] = tostring(cell.seeds[k]), ("%.17g"):format(v) end
        table.move({cell.best and "yes" or "", table.concat(seeds, " "), table.concat(values, " "), cell.p and self.baseline or "",
                    cell.p and self.opts.test or "", ""}, 1, 6, #line + 1, line)
        lines[#lines + 1] = line
      end
    end
  end
  for _, one in ipairs(self.left_out) do
    local line = {one.row}
    for i = 2, 17 do line[i] = i == 4 and self.split or i == 14 and one.name or "" end
    line[18] = one.why
    lines[#lines + 1] = line
  end
  return csv.format(lines, ",", "table")
end

local forms = {md = "markdown", tex = "latex", csv = "csv"}

function Table:save(path)
  local form = forms[path:match "%.(%a+)$" or ""]
  if not form then error(("%s: a table is saved as .md, .tex or .csv"):format(path), 2) end
  c.write_atomic(path, self[form](self))
end

return {new = function(t) return setmetatable(t, Table) end}
