-- A study: each run once, a process each, some at a time; started again it keeps, goes on and makes what is missing; the table and the page
-- are of all runs, failures are said and left out.
local check = require "check"
local trainer = require "trainer"
local c = require "vbl.store.c"
local system = require "vbl.system.c"
local vbl = require "vbl"

local script = trainer.write("study.lua", [[
local vbl = require "vbl"
local config = vbl.config({jobs = 2, bad = "", epochs = 2, pretrain = false, seeds = {1, 2}, placements = {"none", "late"}, measures = {"cka", "mknn"}}, vbl.train.schemas "finetune")
local model = {preset = "tiny", dim = 16, layers = 4, attention_heads = 2, mlp = 32, patch = 16, dropout = 0.1, init = "fan_in", fusion = "interleaved"}
local cells = {}
local first = config.pretrain and {name = "first", seed = 0, kind = "pretrain", labels = {}, config = {
  scenes = {train = 32, test = 16}, batch = 16, epochs = 1, test_samples = 16, probe_samples = 0, tasks = {mlm = {}}, lr = config.bad == "first" and 1e30 or "auto",
  model = {preset = "tiny", [config.bad == "model" and "dimm" or "dim"] = 16, layers = 4, attention_heads = 2, mlp = 32, patch = 16, dropout = 0, depth = 1, cross_attention_layers = {0}}}}
cells[1] = first or nil
for _, placement in ipairs(config.placements) do
  for _, seed in ipairs(config.seeds) do
    local own = {placement = placement}
    for key, value in pairs(model) do own[key] = value end
    cells[#cells + 1] = {name = "p-" .. placement, seed = seed, labels = {placement = placement}, after = first or nil, config = function()
      return {scenes = {train = 64, test = 40}, model = not first and own or {}, from = first and first.record.path or nil, head = {hidden = 16}, epochs = config.epochs, batch = 16,
              probe_samples = 8, patience = 0, lr = config.bad == placement and seed == 2 and 1e30 or 1e-3, val_fraction = 0.3, precision = first and placement == "late" and "bf16" or "f32"}
    end}
  end
end
vbl.train.study.run(cells, config.flags, {by = "placement", name = "small", jobs = config.jobs, title = "Placements", baseline = "none", measures = config.measures, draws = 200})
]])

local function words(out, ...) return {script, "--out", trainer.folder .. "/" .. out, script = true, ...} end

local function runs_in(out)
  local list = {}
  for _, record in ipairs(vbl.runs.list {out = trainer.folder .. "/" .. out}) do list[#list + 1] = record end
  return list
end

local function by_name(out, part)
  for _, record in ipairs(runs_in(out)) do
    if record.name:find(part, 1, true) then return record end
  end
end

check.group("two at a time: every run, the table, the page; again: nothing is made anew", function()
  local _, text = trainer.expect(0, words("a", "--threads", "2"), "== 1 of 4: p-none, seed 1", "4 of 4: p-late, seed 2: best accuracy", "| none |", "± ", "Holm's correction over 2 tests",
                                 "4 models in 2 clusters", "orders: p is at least 0.5")
  check.equal(#runs_in "a", 4)
  for _, record in ipairs(runs_in "a") do
    check.equal(record.status, "finished")
    check.equal(record.manifest.threads, 1)  -- of two
  end
  for _, name in ipairs {"small.md", "small.tex", "small.csv", "small-correlation.tsv", "small.html", "output"} do check.ok(system.exists(trainer.folder .. "/a/" .. name), name) end
  local page = c.read_file(trainer.folder .. "/a/small.html")
  for _, part in ipairs {'<section id="comparison">', "4 runs in 2 groups", "<h1>Placements</h1>", "Alignment by layer after training, mismatched partners", "Measures and the downstream score"} do
    check.ok(page:find(part, 1, true), part)
  end
  check.ok(page:find('<section id="comparison">', 1, true) < page:find('<section id="curves">', 1, true))
  local again = select(2, trainer.expect(0, words("a", "--threads", "2"), "4 of 4: p-late, seed 2: kept"))
  check.equal(#runs_in "a", 4)
  check.equal(again:match "%*%*Placements.*", text:match "%*%*Placements.*")
end)

check.group("one at a time comes to the same", function()
  trainer.expect(0, words("b", "--threads", "1", "jobs=1", "seeds={2}"), "best checkpoint on val", "(1): one run", "2 models in 2 clusters", "orders: p is at least 0.5")
  for _, name in ipairs {"p-none-s2", "p-late-s2"} do
    check.equal(c.read_file(by_name("a", name).path .. "/predictions/val.jsonl"), c.read_file(by_name("b", name).path .. "/predictions/val.jsonl"))
  end
end)

-- Killed as soon as a run has a checkpoint; what had none is made anew.
check.group("killed: started again, the study goes on where its runs were", function()
  local out = trainer.folder .. "/k"
  local command = ('exec 2>/dev/null; "$@" >/dev/null & study=$!; until ls %s/*/checkpoints/last >/dev/null 2>&1; do sleep 0.05; done; ls -d %s/*/checkpoints/last; kill -9 $study; wait $study'):format(out, out)
  local text = system.output {"sh", "-c", command, "sh", "env", "PATH=/nowhere", "OMP_WAIT_POLICY=passive", system.executable(), script, "--out", out, "epochs=8", "--threads", "2"}
  local path = text:match "^(%S+)/checkpoints/last"
  check.ok(vbl.runs.open(path).status ~= "finished", text)
  trainer.expect(0, words("k", "epochs=8", "--threads", "2"), "== 1 of 4: p-none, seed 1", "| late |")
  local finished = {}
  for _, record in ipairs(runs_in "k") do
    if record.status == "finished" then finished[#finished + 1] = record.path end
  end
  check.equal(#finished, 4)
  check.equal(vbl.runs.open(path).status, "finished")
end)

check.group("a run that fails takes no other with it", function()
  trainer.expect(1, words("f", "--threads", "2", "bad=late"), "4 of 4: p-late, seed 2: FAILED: ", "| late ", "(1!)", "Not in the table:", "study: 1 of 4 runs failed; the first: p-late")
  trainer.expect(1, words("g", "--threads", "2", "bad=first", "pretrain=true"), "1 of 5: first, seed 0: FAILED", "3 of 5: p-none, seed 2: FAILED: needs first, which failed", "study: no run succeeded; the first: first")
  check.equal(#runs_in "g", 1)
end)

check.group("what leans on another run waits for it", function()
  trainer.expect(0, words("p", "--threads", "2", "pretrain=true", "seeds={1}"), "1 of 3: first, seed 0: best", "| late |")
  check.equal(by_name("p", "p-late").manifest.from, by_name("p", "-first-").path)
end)

check.group("what no run takes is refused before the first begins, and by --plan; not what is finished, nor what leans on a run that is not", function()
  local bad = 'placements={"none", "latee"}'
  trainer.expect(1, words("refused", bad), "vbl: study: p-latee, seed 1: ", "unknown placement 'latee', did you mean 'late'?")
  trainer.expect(1, words("refused", bad, "--plan"), "study: p-latee, seed 1: ")
  trainer.expect(1, words("a", bad), "study: p-latee, seed 1: ")
  trainer.expect(1, words("refused", 'measures={"cka", "knn_jacard"}'), "measures no 'knn_jacard' of its layers, did you mean 'knn_jaccard'?")
  check.ok(not system.exists(trainer.folder .. "/refused"))
  check.equal(#runs_in "a", 4)
  trainer.expect(1, words("first", "pretrain=true", "bad=model"), "vbl: study: first, seed 0: ", "unknown key 'dimm', did you mean 'dim'?")
end)

check.group("mistakes, and what would be done", function()
  trainer.expect(1, words("a", "jobs=0"), "study: jobs: expected a whole number of at least 1, got 0")
  trainer.expect(1, words("a", "--resume", "x"), "study: --resume is of one run")
  trainer.expect(0, words("a", "--plan"), "p-none, seed 1", "finished: " .. trainer.folder .. "/a/")
  trainer.expect(0, words("new", "--plan", "pretrain=true"), "first, seed 0", "to be made")
  check.ok(not system.exists(trainer.folder .. "/new"))
end)

trainer.finish()
