-- The page in headless Chromium: no console errors, nothing drawn outside a phone's width, charts, sliders, legends, hover and the attention view
-- work. Skipped aloud where there is no Chromium. A driver script is put into a copy of the page; it presses what a reader would, and leaves what it
-- saw in the document, which --dump-dom prints.
local vbl = require "vbl"
local check = require "check"
local c = require "vbl.store.c"
local files = require "report_files"
local system = require "vbl.system.c"

local browser
for _, name in ipairs {"chromium", "chromium-browser", "google-chrome"} do
  local found, code = system.output {"sh", "-c", "command -v " .. name}
  if code == 0 then browser = browser or found:gsub("%s+$", "") end
end
if not browser then check.skip "no Chromium (apt-get install chromium): the page of a report was not opened" end

local runs = require("run_files").new()

local driver = [=[
window.seen = {errors: [], notes: {}};
window.addEventListener("error", e => window.seen.errors.push(e.message));
window.addEventListener("load", () => { document.querySelectorAll("#comparison details").forEach(d => { d.open = true; }); setTimeout(() => {
  const seen = window.seen, all = s => Array.from(document.querySelectorAll(s)), note = (key, value) => { seen.notes[key] = value; };
  const text = figure => figure.querySelector(".plot").innerHTML;
  try {
    note("charts", all("figure").length);
    note("empty", all("figure").filter(f => !f.querySelector(f.closest("#attention") ? "svg" : ".plot svg")).length);
    const scores = document.querySelector("#comparison figure .plot svg");
    if (scores) {
      const mean = scores.querySelector("circle[r='4']").getBoundingClientRect();
      scores.dispatchEvent(new PointerEvent("pointermove", {clientX: mean.left + 4, clientY: mean.top + 4, bubbles: true}));
      note("mean", scores.closest("figure").querySelector(".tip").textContent);
    }
    note("wide", document.documentElement.scrollWidth - document.documentElement.clientWidth);
    note("broken", window.broken === undefined);
    if (innerWidth < 700) document.body.style.width = "390px";  // a window of the browser is wider than that
    note("cut", Math.max(0, ...all("#summary .scroll").map(s => s.scrollWidth - s.clientWidth)));
    const torn = new Set();
    for (const td of all("#summary td.key")) {
      const walk = document.createTreeWalker(td, NodeFilter.SHOW_TEXT);
      while (walk.nextNode()) {
        for (const word of walk.currentNode.data.matchAll(/[^\s._-]+/g)) {
          const range = document.createRange();
          range.setStart(walk.currentNode, word.index);
          range.setEnd(walk.currentNode, word.index + word[0].length);
          if (range.getClientRects().length > 1) torn.add(word[0]);
        }
      }
    }
    note("torn", Array.from(torn).join(" "));
    document.body.style.width = "";
    for (const id of ["layers", "maps"]) {
      const range = document.querySelector(`#${id} input[type=range]`), figure = document.querySelector(`#${id} figure`);
      if (!range) continue;
      const drawn = new Set(), axes = new Set();
      for (let v = 0; v <= Number(range.max); v++) {
        range.value = v;
        range.dispatchEvent(new Event("input"));
        drawn.add(text(figure));
        axes.add(Array.from(figure.querySelectorAll("text.end")).map(t => t.textContent).join(" "));
      }
      note(id, drawn.size + " pictures, " + axes.size + " scale, " + document.querySelector(`#${id} output`).textContent);
    }
    const first = document.querySelector("#curves figure"), before = text(first), button = first.querySelector(".legend button");
    button.click();
    note("legend", text(first) !== before && button.getAttribute("aria-pressed") === "false");
    button.click();
    note("legend again", text(first) === before);
    const log = first.querySelector("input[type=checkbox]");
    log.click();
    note("log", text(first) !== before && !/NaN/.test(text(first)));
    const svg = first.querySelector(".plot svg"), box = svg.getBoundingClientRect();
    svg.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + box.width / 2, clientY: box.top + 40, bubbles: true}));
    note("hover", first.querySelector(".tip").hidden ? "hidden" : first.querySelector(".tip").textContent);
    note("nan", all("svg").filter(s => /NaN|Infinity/.test(s.outerHTML)).length);
    const view = document.querySelector("[data-attention]");
    if (view) {
      const picture = () => view.querySelector("[data-pick=picture]").innerHTML, words = () => Array.from(view.querySelectorAll("[data-pick=words] button"));
      const pick = (name, value) => { const s = view.querySelector(`[data-pick=${name}]`); s.value = value; s.dispatchEvent(new Event("change")); };
      const layers = Array.from(view.querySelector("[data-pick=layer]").options).map(o => o.value);
      note("words", words().length);
      const pictures = new Set();
      words().forEach((_, i) => { words()[i].click(); pictures.add(picture()); });
      note("pictures", pictures.size);
      view.querySelector("rect.patch").dispatchEvent(new MouseEvent("click", {bubbles: true}));
      note("patch", words().filter(w => w.querySelector("small")).length);
      for (const layer of layers) { pick("layer", layer); pick("head", "-1"); words()[1].click(); }
      pick("layer", layers[layers.length - 1]);
      note("attribution", view.querySelector("[data-pick=said]").textContent);
      pick("pair", "1");
    }
  } catch (e) { seen.errors.push(String(e.stack)); }
  const out = document.createElement("pre");
  out.id = "seen";
  out.textContent = JSON.stringify(seen);
  document.body.appendChild(out);
}, 100); });
]=]

local function unescape(text) return (text:gsub("&lt;", "<"):gsub("&gt;", ">"):gsub("&amp;", "&")) end

-- What the driver saw of a page, and what the console said.
local function drive(path, width)
  local html = c.read_file(path)
  local at = html:find("</head>", 1, true)
  local copy = path:gsub("%.html$", "-driven.html")
  c.write_atomic(copy, html:sub(1, at - 1) .. "<script>" .. driver .. "</script>" .. html:sub(at))
  local command = {browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--user-data-dir=" .. runs.path .. "/profile",
                   ("--window-size=%d,900"):format(width), "--virtual-time-budget=4000", "--enable-logging=stderr", "--dump-dom", "file://" .. copy}
  local text = system.output {"sh", "-c", 'err=$1; shift; "$@" 2>$err', "sh", runs.path .. "/console", table.unpack(command)}
  local console = {}
  for line in c.read_file(runs.path .. "/console"):gmatch "[^\n]+" do
    if line:find "CONSOLE" then console[#console + 1] = line end
  end
  local found = text:match '<pre id="seen">(.-)</pre>'
  if not found then
    check.ok(false, "the driver did not end: " .. text:sub(-300) .. c.read_file(runs.path .. "/console"):sub(-500))
    return {}
  end
  local seen = c.json_decode(unescape(found))
  check.equal(#console, 0)
  check.equal(table.concat(console, "\n") .. table.concat(seen.errors, "\n"), "")
  return seen.notes
end

local function common(n, charts)
  check.equal(n.charts, charts)
  check.equal(n.empty, 0)
  check.equal(n.wide, 0)
  check.equal(n.broken, true)
  check.equal(n.nan, 0)
  check.equal(n.layers, "4 pictures, 1 scale, 3")
  check.equal(n.legend, true)
  check.equal(n["legend again"], true)
  check.equal(n.log, true)
  check.ok(tostring(n.hover):find "^step %d+" and n.hover:find "test", tostring(n.hover))
end

check.group("a run, on a desk", function()
  local path = files.make(runs, "good", {})
  files.attention(runs, "good")
  local n = drive(vbl.report.html(path), 1280)
  common(n, 9)
  check.equal(n.maps, "4 pictures, 1 scale, 3")
  check.equal(n.pictures, n.words)
  check.equal(n.patch, n.words)
  check.ok(n.attribution:find "^.*alignment: ", n.attribution)
end)

check.group("a run, on a phone: of the summary nothing is cut off, and names break behind dots and underscores only", function()
  local n = drive(vbl.report.html(runs.path .. "/good"), 390)
  check.equal(n.wide, 0)
  check.equal(n.cut, 0)
  check.equal(n.torn, "")
end)

check.group("two runs, on a phone", function()
  local one, two = files.make(runs, "2025-09-03-210336-one", {}), files.make(runs, "two", {bad = true, seed = 1})
  local n = drive(vbl.report.html({one, two}, {out = runs.path .. "/both.html"}), 390)
  common(n, 10)
  check.ok(tostring(n.mean):find "^.+mean, 95 %% interval1 %[1, 1%]", tostring(n.mean))
end)

runs:remove()
check.done()
