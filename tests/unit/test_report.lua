-- vbl.report.html and `vbl report`: what is in a page, that nothing in it breaks out, the warnings, wrong folders.
local vbl = require "vbl"
local check = require "check"
local c = require "vbl.store.c"
local files = require "report_files"
local markup = require "vbl.report.markup"
local system = require "vbl.system.c"

local runs = require("run_files").new()
local good = files.make(runs, "2025-09-03-210336-good", {})
files.attention(runs, "2025-09-03-210336-good")
local bad = files.make(runs, "bad", {bad = true})

local function page_of(paths, opts)
  local out = vbl.report.html(paths, opts)
  return c.read_file(out), out
end

local function data_of(html) return c.json_decode(html:match '<script type="application/json" id="data">(.-)</script>') end

local function has(html, ...)
  for _, text in ipairs {...} do check.ok(html:find(text, 1, true), "the page lacks: " .. text) end
end

check.group("markup", function()
  check.equal(markup.text "<a href=\"x\">&'", "&lt;a href=&quot;x&quot;&gt;&amp;&#39;")
  check.equal(markup.text "caf\xe9 \0x", "caf\u{FFFD} \u{FFFD}x")
  check.equal(markup.text "caf\xc3\xa9", "café")
  check.equal(markup.element("a", {href = "a\"b", hidden = true}, "x", "y"), '<a hidden href="a&quot;b">xy</a>')
  check.equal(markup.json {a = "</script>", b = {1.5, 0 / 0}, c = {}}, '{"a":"\\u003c/script>","b":[1.5,null],"c":[]}')
  check.equal(markup.number(0 / 0) .. markup.number(1234567) .. markup.number(0.00012347), "undefined12345670.0001235")
  check.ok(markup.image(vbl.zeros(3, 8, 8):to "u8"):find "^data:image/png;base64,iVBOR")
  check.error(function() c.image_encode("gif", vbl.zeros(3, 8, 8):to "u8") end, ".png or .jpg, not 'gif'")
  check.error(function() c.image_encode("jpg", vbl.zeros(3, 8, 8):to "u8", 0) end, "quality: expected 1 to 100, got 0")
  check.error(function() c.image_encode("jpg", vbl.zeros(3, 8, 8)) end, "u8 [H, W]", "f32 [3, 8, 8]")
  check.ok(markup.image(vbl.zeros(3, 128, 128):to "u8"):find "^data:image/jpeg;base64,/9j/")
end)

check.group("one run: every section, closed to the network, nothing that breaks out", function()
  local html, out = page_of(good)
  check.equal(out, good .. "/report.html")
  check.ok(#html < 5e6)
  for _, id in ipairs {"summary", "curves", "layers", "maps", "tables", "attention", "samples", "data-set", "config", "environment"} do has(html, ('<section id="%s">'):format(id)) end
  has(html, "2025-09-03-210336-good", "status finished", "1,234,567", "Alignment before and after", "2.0000 <small>[1.7500, 2.2500]</small>", '<td class="n">0.2500</td><td class="n">0.3750</td><td class="n">0.1250</td>', "Furthest from their label", "default-src 'none'")
  check.equal(html:find(files.hostile, 1, true), nil)
  check.equal(html:find("<script>window.broken", 1, true), nil)
  check.equal(html:gsub('<script type="application/json".-</script>', ""):find("onerror='window", 1, true), nil)
  check.equal(html:gsub("http://www.w3.org/2000/svg", ""):find "https?://", nil)
  for source in html:gmatch ' src="([^"]*)' do check.ok(source:find "^data:image/", source) end
  check.equal(select(2, html:gsub("</script>", "")), 2)
end)

check.group("counts are whole, but for the means of batches", function()
  local function value(path) return c.read_file(vbl.report.html(path)):match "candidates%.<wbr>mim</td><td class=\"n\">([^<]*)<" end
  check.equal(value(files.make(runs, "counts", {})), "352")
  check.equal(value(files.make(runs, "counts of batches", {bad = true})), "351.8")
end)

check.group("the data of the charts", function()
  local data = data_of((page_of(good)))
  local by_title = {}
  for _, chart in ipairs(data.curves) do by_title[chart.title] = chart end
  check.equal(by_title["loss.mlm_shuffled"], nil)
  check.equal(by_title["accuracy.ap.low"], nil)
  local names = {}
  for i, s in ipairs(by_title["loss.mlm"].series) do names[i] = s.name end
  check.equal(table.concat(names, "; "), "train, each step; train, mean of the epoch; test; test, images shuffled")
  local steps = by_title["loss.mlm"].series[1]
  check.ok(#steps.x <= 400 and #steps.x > 200, "long series are thinned")
  check.near(by_title["loss.ap"].refs[1][1], math.log(2), 1e-5)
  check.near(by_title["loss.mim"].refs[1][1], math.log(351.75), 1e-5)
  check.equal(by_title["loss.mim"].refs[1][2], "chance of the test batches, ln 352")
  check.near(by_title["accuracy.ap"].series[1].lo[1], 0.48, 1e-5)
  check.equal(#data.layers.epochs, 4)
  local cka = data.layers.charts[1]
  check.equal(cka.title, "CKA")
  check.near(cka.series[1].values[4][4], 0.6, 1e-5)
  check.near(cka.series[2].values[4][4], 0.3, 1e-5)
  check.ok(cka.low < 0 and cka.high > 0.6, "one scale over the epochs")
  check.equal(data.layers.charts[2].series[3].name, "chance level")
  check.equal(#data.maps.charts, 2)
  check.near(data.maps.charts[1].matrices[4][4][4], 0.6, 1e-5)
  check.near(data.maps.charts[1].chance, 0.02, 1e-6)
  check.equal(#data.attention[1].pairs, 2)
end)

check.group("warnings", function()
  local html = page_of(bad)
  has(html, "This run failed", "Alignment prediction is at chance", "Masked image modelling is at chance: test loss 5.860, ln 352 = 5.863", "no better than word frequencies", "does not use the image", "interval is 0.16 wide",
      "Evaluated on 64 pairs", "rest on 16 pairs", "layer measure cka is undefined (NaN or infinite) in 1 rows, first at step 400", "matched pairs only", "on fused vectors",
      "lost 3 records and 2 images", "The log has 1 warning", "no checkpoint any more", "no better than naming the largest class")
  local calm = page_of(good)
  for _, text in ipairs {"at chance", "no better than", "does not use", "matched pairs only", "undefined (NaN", "no checkpoint", "did not end"} do
    check.equal(calm:match('<ul class="warnings">.-</ul>'):find(text, 1, true), nil)
  end
  local cut = files.make(runs, "cut", {})
  runs:write("cut/notes.json", '{"tags": ["invalid"], "note": "wrong split"}')
  has(page_of(cut), "This run is marked invalid: wrong split")
  c.remove(cut .. "/result.json")
  c.remove(cut .. "/notes.json")
  runs:write("cut/metrics.jsonl", c.read_file(cut .. "/metrics.jsonl"):sub(1, -20))
  runs:write("cut/manifest.json", '{"created": ')
  has(page_of(cut), "A file of the run cannot be read", "manifest.json")
  runs:write("cut/manifest.json", "{}")
  has(page_of(cut), "This run did not end")
end)

local function warnings_of(path) return page_of(path, {job = false}):match '<ul class="warnings">(.-)</ul>' or "" end

check.group("contrastive at chance: by the level that the run logged", function()
  local function make(name, loss, level)
    return runs:make(name, {config = {batch = 33, seed = 0}, manifest = {kind = "pretrain"}, result = {status = "finished"}, metrics = {
      {step = 9, epoch = 1, split = "test", name = "loss.contrastive", value = loss, time = 1}, level and {step = 9, epoch = 1, split = "test", name = "chance.contrastive", value = level, time = 1} or nil}})
  end
  has(warnings_of(make("con-chance", 2.07, math.log(8))), "The contrastive term is at chance: test loss 2.070, ln of its 8 candidates 2.079.")
  -- ln(batch / 2) is 2.80 here: a loss near it is far from chance among 64 candidates, and one above it may be nothing learnt among 32.
  check.equal(warnings_of(make("con-learnt", 2.79, math.log(64))):find("contrastive", 1, true), nil)
  check.equal(warnings_of(make("con-unknown", 2.79)):find("contrastive", 1, true), nil)
end)

-- A fine-tuned run: 71 samples of val, of which 50 are of one class; 200 of test, of which 110 are.
local function finetuned(name, o)
  local function rows(split, n, most)
    local list = {{task = "memes", split = split, kind = "binary", classes = {"fine", "hateful"}, thresholds = {0.25}, checkpoint = {epoch = 1}}}
    for i = 1, n do list[i + 1] = {id = split .. i, label = i <= most and 0 or 1, scores = o.scores or i <= most and 0.1 or 0.9} end
    return list
  end
  local metrics = {}
  for epoch = 1, 2 do metrics[epoch] = {step = 10 * epoch, epoch = epoch, split = "val", name = "accuracy.memes", value = 0.7 + epoch / 10, time = 1} end
  metrics[3] = {step = 10, epoch = 1, split = "test", name = "accuracy.memes", value = 0.75, time = 1}
  return runs:make(name, {config = {seed = 0}, manifest = {kind = "finetune", task = "memes", test_pairs = 71}, metrics = metrics, predictions = {val = rows("val", 71, o.most or 50), test = rows("test", 200, 110)},
                          result = {status = "finished", kind = "finetune", task = "memes", best = {epoch = 1, metric = "accuracy", value = 0.8}, values = {["test.accuracy"] = 0.55}}})
end

check.group("a fine-tuned run: the accuracy of its result, the sizes and chance lines of its splits", function()
  local one, other = finetuned("tuned", {scores = 0.5}), finetuned("tuned-other", {most = 40})
  -- Every score is 0.5: "score > 0.5" says the first class, which is right 110 times of 200; a threshold of 0.25, or 0.5 with >=, would say the second.
  has(warnings_of(one), "test accuracy 0.550 [", "Evaluated on 71 samples of val: too few")
  check.equal(warnings_of(one):find("71 pairs", 1, true), nil)
  check.equal(warnings_of(one):find("200 samples", 1, true), nil)
  local function lines(paths)
    local list = {}
    for _, chart in ipairs(data_of((page_of(paths, {out = runs.path .. "/chance.html", job = false}))).curves) do
      for _, ref in ipairs(chart.title == "accuracy.memes" and chart.refs or {}) do list[#list + 1] = ("%.3f %s"):format(ref[1], ref[2]) end
    end
    return table.concat(list, "; ")
  end
  check.equal(lines {one}, "0.704 largest class of val, 0.704; 0.550 largest class of test, 0.550")
  check.equal(lines {one, other}, "0.704 tuned: largest class of val, 0.704; 0.550 largest class of test, 0.550; 0.563 tuned-other: largest class of val, 0.563")
  local scores = require "vbl.report.scores"
  check.equal(scores.said("multiclass", {scores = {["2"] = 0.9, ["0"] = 0.05}}), 2)
end)

check.group("chance by layer: one line a run where they differ", function()
  local function make(name, level)
    local rows = {}
    for layer = 0, 1 do
      rows[#rows + 1] = {step = 1, epoch = 1, split = "probe.matched", name = ("layer.%d.mknn"):format(layer), value = 0.5, time = 1}
      rows[#rows + 1] = {step = 1, epoch = 1, split = "probe.chance", name = ("layer.%d.mknn"):format(layer), value = level, time = 1}
    end
    return runs:make(name, {config = {seed = 0}, manifest = {kind = "pretrain"}, result = {status = "finished"}, metrics = rows})
  end
  local function names(...)
    local list = {}
    for i, s in ipairs(data_of((page_of({...}, {out = runs.path .. "/levels.html", job = false}))).layers.charts[1].series) do list[i] = s.name end
    return table.concat(list, "; ")
  end
  local a, b, same = make("layers-a", 0.04), make("layers-b", 0.08), make("layers-c", 0.04)
  check.equal(names(a, b), "a, matched pairs; b, matched pairs; a, chance level; b, chance level")
  check.equal(names(a, same), "a, matched pairs; c, matched pairs; chance level")
end)

check.group("training time is the trainer's clock", function()
  local function page(name, log, seconds)
    local path = runs:make(name, {config = {seed = 0}, manifest = {kind = "pretrain"}, result = {status = "interrupted"}, metrics = {
      {step = 1, epoch = 1, split = "step", name = "loss.mlm", value = 1, time = 1000}, {step = 2, epoch = 1, split = "step", name = "loss.mlm", value = 1, time = 87400}}})
    runs:write(name .. "/log.txt", log)
    if seconds then runs:write(name .. "/checkpoints/last/state.json", ('{"state": {"counters": {"seconds": %s}}}'):format(seconds)) end
    return page_of(path, {job = false}):match '<section id="summary">(.-)</section>'
  end
  local function closing(samples, time, rate) return ("2025-09-03 21:04:36 - INFO - %d samples in %s of training: %s samples/s; peak memory 238 MB (tensors 111 MB)\n"):format(samples, time, rate) end
  -- A day lies between its two steps; it was stopped after 72 s and ended after 1 h 5 min.
  has(page("clock-resumed", closing(100, "1:12", "1.4") .. closing(5000, "1:05:03", "1.3")), '<td class="key">training time</td><td>1 h 05 min</td>', "1.3 samples/s")
  has(page("clock-killed", closing(100, "1:12", "1.4"), "201.7"), "<td>3 min 22 s</td>")
  for i, odd in ipairs {'"x"', "-1", "[]"} do check.equal(page("clock-odd" .. i, "", odd):find("training time", 1, true), nil) end
end)

check.group("what has no better side has no best", function()
  local part = page_of(good):match("<h3>Evaluations</h3>(.-)</table>"):gsub("<wbr>", "")
  check.ok(part:find "loss.mlm <small>test</small></td><td class=\"n\">[%d.]+</td><td class=\"n\">2.0000<small> %(3%)", part)
  check.ok(part:find "loss.mlm_shuffled <small>test</small></td><td class=\"n\">[%d.]+</td><td class=\"n\"></td>", part)
end)

check.group("a prediction stands beside its own picture and caption, where samples were left out and where captions are many", function()
  local f = require("data_files").new()
  local lines = {}
  for i = 1, 5 do
    f:image(("i/%d.png"):format(i), i)
    for k = 1, 2 do lines[#lines + 1] = ("i/%d.png\tword%s number%s\n"):format(i, ("abcde"):sub(i, i), ("xy"):sub(k, k)) end
  end
  f:write("captions.tsv", table.concat(lines))
  local view = vbl.data.open("captions:" .. f.path .. "/captions.tsv", {image = 32, patch = 8, test_fraction = 0}):split "train"
  local function cards(header, rows)
    local one = {splits = function() return {"val"} end, predicted = {val = {header = header, rows = rows, n = #rows}}, view_of = function() return view end}
    local list = {}
    for caption, id in require("vbl.report.samples")(one, 1):gmatch '<p>(word.-)</p>.-<p class="id">(i/[^<]-)</p>' do list[id] = caption end
    return list
  end
  local rows = {}
  for i, id in ipairs {"i/1.png", "i/1.png#2", "i/3.png", "i/3.png#2"} do rows[i] = {id = id, ranks = {t2i = i}} end
  local found = cards({kind = "retrieval", task = "r"}, rows)
  check.equal(found["i/1.png"], "worda numberx")
  check.equal(found["i/1.png#2"], "worda numbery")
  check.equal(found["i/3.png"], "wordc numberx")
  check.equal(found["i/3.png#2"], "wordc numbery")
  -- Of a drawn pair that does not belong together the text is the other sample's.
  local all = view:range(1, 5)
  local swaps = view:fixed_swaps(all)
  rows = {}
  for i = 1, 5 do rows[i] = {id = view:image_id(i), label = swaps.labels[i], scores = 0.5} end
  found = cards({kind = "binary", task = "itm", classes = {"no match", "match"}}, rows)
  for i = 1, 5 do check.equal(found[view:image_id(i)]:sub(1, 5), "word" .. ("abcde"):sub(swaps.from[i], swaps.from[i])) end
  f:remove()
end)

check.group("samples of every kind of prediction", function()
  local function page(name, header, ...)
    header.task, header.split = "t", "test"
    return (page_of(runs:make(name, {predictions = {test = {header, ...}}}), {job = false}):match '<section id="samples">(.-)</section>')
  end
  has(page("multiclass", {kind = "multiclass", classes = {"cat", "dog", "cow"}}, {id = "a", label = 1, scores = {0.7, 0.2, 0.1}}), "label: dog", 'class="wrong" title="cat"', 'class="right" title="dog"',
      "0.70", "Furthest from their label")
  has(page("many", {kind = "multiclass", classes = {"cat", "dog", "cow"}}, {id = "a", label = 2, scores = {["2"] = 0.9}}), 'class="right" title="cow"', "0.90")
  has(page("multilabel", {kind = "multilabel", classes = {"drama", "noir"}}, {id = "a", label = {0, 1}, scores = {0.9, 0.4}}), "label: drama, noir")
  has(page("soft", {kind = "soft", classes = {"yes", "no"}}, {id = "a", label = {["0"] = 1, ["1"] = 0.3}, scores = {0.6, 0.4}}), "label: yes, no 0.3")
  has(page("retrieval", {kind = "retrieval"}, {id = "a", ranks = {t2i = 3, i2t = 7}}), "rank of its image 3, of its text 7")
  has(page("twin", {kind = "retrieval"}, {id = "a", ranks = {t2i = 1.5}}), "rank of its image 1.5<")
  has(page("unlabelled", {kind = "binary", classes = {"fine", "hateful"}}, {id = "a", scores = 0.9}), "label: not known")
end)

check.group("several runs share the charts", function()
  local html = page_of({good, bad}, {out = runs.path .. "/both.html"})
  has(html, "2 runs", "2025-09-03-210336-good", "status failed", "<th>differs</th>", "The same in all runs: ", '<td class="key">probe_<wbr>samples</td><td>256</td><td>16</td>')
  local first = data_of(html).curves[1]
  local names = {}
  for _, s in ipairs(first.series) do names[#names + 1] = s.name .. " " .. s.color end
  check.ok(table.concat(names, "; "):find "good, test 1.*bad, test 2", table.concat(names, "; "))
  local seeds = {}
  for i = 1, 5 do seeds[i] = files.make(runs, ("2025-09-03-21033%d-study-late-seed%d"):format(i, i), {seed = i}) end
  html = page_of(seeds, {out = runs.path .. "/seeds.html"})
  has(html, '<td class="key">seed1</td>', "<b>all runs: </b>The data set lost 3 records")  -- one warning, names without what they share, runs below each other
  check.error(function() vbl.report.html {good, bad} end, "need a file to write to")
end)

check.group("runs of one script are told apart, and their splits by their lines", function()
  local function make(name, seed)
    local rows = {}
    for _, split in ipairs {"train", "train_eval", "test"} do rows[#rows + 1] = {step = 1, epoch = 1, split = split, name = "loss.mlm", value = 1 + seed / 10, time = 1} end
    return runs:make(name, {config = {seed = seed}, manifest = {kind = "pretrain"}, result = {status = "failed"}, metrics = rows})
  end
  local function page(...) return (page_of({...}, {out = runs.path .. "/alike.html", job = false})) end
  local function names(html)
    local list = {}
    for i, s in ipairs(data_of(html).curves[1].series) do list[i] = ("%s %s%s"):format(s.name, s.color, s.dash or 0) end
    return table.concat(list, "; ")
  end
  local a, b, again = make("2025-09-03-210401-pretrain_all", 1), make("2025-09-03-210402-pretrain_all", 2), make("2025-09-03-210403-pretrain_all", 2)
  local html = page(a, b)
  check.equal(names(html), "seed 1, train 11; seed 1, train_eval 13; seed 1, test 10; seed 2, train 21; seed 2, train_eval 23; seed 2, test 20")
  has(html, "<th>seed 1</th><th>seed 2</th>")
  local function id(path) return vbl.runs.open(path).id end
  check.ok(names(page(a, b, again)):find(("%s, test 20; %s, train 31"):format(id(b), id(again)), 1, true), names(page(a, b, again)))
  local other = make("2025-09-03-210404-pretrain_few", 2)
  check.ok(names(page(a, b, other)):find("all, seed 2, test 20; few, train 31", 1, true), names(page(a, b, other)))
end)

-- Two seeds of each of two placements on one set, one seed on another; the seeds of a group are a row.
check.group("several runs: groups by config, the table and its figures above the charts", function()
  local layer = {{layer = "layer0", n = 64, cka = 0.25, coattention = false}, {layer = "layer1", n = 64, cka = 0.5, coattention = true}}
  local paths = {}
  for _, placement in ipairs {"none", "late"} do
    for k, data in ipairs {"/d/memes", "/d/memes", "/d/films"} do
      local rows = {{task = "memes", split = "test", kind = "binary", classes = {"fine", "hateful"}}}
      for i = 1, 40 do rows[i + 1] = {id = "m" .. i, label = i % 2, scores = (i * (7 + k) % 10) / 20 + (placement == "late" and i % 2 / 2 or 0)} end
      paths[#paths + 1] = runs:make(("2025-09-03-21040%d-g-%s"):format(k, placement), {
        config = {data = data, seed = k, micro_batch = k, model = {placement = placement}}, manifest = {kind = "finetune", task = "memes", data = data},
        result = {status = "finished", kind = "finetune", task = "memes", seed = k, alignment = {after = {matched = layer, mismatched = layer}}}, predictions = {test = rows}})
    end
  end
  local html = page_of(paths, {out = runs.path .. "/groups.html", job = false})
  local part = html:match '<section id="comparison">(.-)</section>'
  has(part, "memes (memes): auroc", "memes (films): accuracy", '<td class="key">none</td>', '<td class="key">late</td>', "(2) <small>[", "(1) <small>[", " ***", "Holm&#39;s correction over 4 tests",
      "Alignment by layer after training, memes (memes), mismatched partners")
  check.ok(html:find('id="comparison"', 1, true) < html:find('id="summary"', 1, true))
  local charts = data_of(html).comparison
  check.equal(#charts, 2 + 2 * 2)  -- scores of both sets; CKA, matched and mismatched, of both
  check.equal(charts[1].title .. charts[1].ticks[2] .. #charts[1].series[1].x .. #charts[1].series[2].x, "memes (memes)late42")
  check.equal(charts[3].series[1].name .. charts[3].series[2].y[2], "none0.5")
  local shares = vbl.report.comparison.of({vbl.runs.open(paths[1]), vbl.runs.open(paths[2])}).groups
  check.equal(#shares .. shares[1].name, "1g-none")
  -- Runs that have no table say why, and the rest of the page is there.
  runs:write("2025-09-03-210401-g-none/predictions/test.jsonl", '{"task": "memes", "kind": "binary", "classes": ["a", "b"]}\n{"id": "other", "label": 1, "scores": 0.5}\n')
  has(page_of(paths, {out = runs.path .. "/groups.html", job = false}), "No table of these runs: ", "not scored on the same samples", '<section id="summary">')
end)

check.group("a run with nothing in it, and none at all", function()
  local empty = runs:make("empty", {})
  has(page_of(empty, {job = false}), "This run did not end", "Summary")
  local text, code = system.output {"sh", "-c", 'exec 2>&1; "$@"', "sh", system.executable(), "report", runs.path}
  check.ok(code == 1 and text:find "not a run's folder" and not text:find "traceback", text)
  check.ok(select(2, system.output {"sh", "-c", [[cd "$1" && mkdir -p at && ln -sfn "$1" at/runs && cd at && exec "$2" report empty]], "sh", runs.path,
                                    system.executable()}) == 0, "the part of a name in runs/")
  text, code = system.output {"sh", "-c", 'exec 2>&1; "$@"', "sh", system.executable(), "report", "no-such-run"}
  check.ok(code == 1 and text:find("report: no run 'no-such-run' in runs", 1, true), text)
  text, code = system.output {"sh", "-c", 'exec 2>&1; "$@"', "sh", system.executable(), "report", "--oout", "x"}
  check.ok(code == 1 and text:find("unknown flag '--oout'", 1, true), text)
  text, code = system.output {"sh", "-c", 'exec 2>&1; "$@"', "sh", system.executable(), "report", good, bad, "--out", runs.path .. "/no/where.html"}
  check.ok(code == 1 and text:find "no/where.html", text)
  text, code = system.output {system.executable(), "report", good, bad, "--out", runs.path .. "/two.html"}
  check.ok(code == 0 and text:find "two.html" and system.exists(runs.path .. "/two.html"), text)
end)

runs:remove()
check.done()
