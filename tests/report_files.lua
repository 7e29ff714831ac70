-- Small runs with everything that a report draws, and texts that would break out of a page that is not escaped.
--   report_files.make(runs, name, {seed =, bad = true}) -> path      runs: tests/run_files.lua's; bad: one that every warning is true of
local vbl = require "vbl"

local report_files = {}

report_files.hostile = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 2'>\" & 'é"

local function metrics(o)
  local rows = {}
  local function add(step, epoch, split, name, value) rows[#rows + 1] = {step = step, epoch = epoch, split = split, name = name, value = value, time = 1700000000 + step} end
  for step = 1, 600 do add(step, (step - 1) // 200 + 1, "step", "loss.mlm", 5 * math.exp(-step / 300) + 0.01 * (step * 7 % 10)) end
  for epoch = 0, 3 do
    local step = 200 * epoch
    add(step, epoch, "test", "loss.mlm", o.bad and 4.6 or 5 - epoch + 0.1 * (o.seed or 0))
    add(step, epoch, "test", "loss.mlm_shuffled", o.bad and 4.6 or 5.2 - epoch)
    add(step, epoch, "test", "loss.ap", o.bad and 0.6946 or 0.69 - 0.1 * epoch)
    add(step, epoch, "test", "loss.mim", o.bad and 5.86 or 5.86 - epoch)
    add(step, epoch, "test", "candidates.mim", 351.75)  -- the mean of batches that differ
    local accuracy, half = o.bad and 0.4986 or 0.5 + 0.1 * epoch, o.bad and 0.08 or 0.02
    add(step, epoch, "test", "accuracy.ap", accuracy)
    add(step, epoch, "test", "accuracy.ap.low", accuracy - half)
    add(step, epoch, "test", "accuracy.ap.high", accuracy + half)
    if epoch > 0 then add(step, epoch, "train", "loss.mlm", 5.3 - epoch) end
    for layer = 0, 3 do
      for _, partner in ipairs(o.bad and {"matched"} or {"matched", "mismatched"}) do
        local value = 0.1 * layer + 0.1 * epoch
        if o.bad and layer == 2 and epoch == 2 then value = 0 / 0 end
        add(step, epoch, "probe." .. partner, ("layer.%d.cka"):format(layer), partner == "matched" and value or value / 2)
        add(step, epoch, "probe." .. partner, ("layer.%d.mknn"):format(layer), 0.2 + 0.05 * layer)
      end
      add(step, epoch, "probe.chance", ("layer.%d.mknn"):format(layer), 0.04)
    end
  end
  return rows
end

local function matrix_rows(epochs)
  local rows = {}
  for _, epoch in ipairs(epochs) do
    for _, partner in ipairs {"matched", "mismatched"} do
      for i = 0, 3 do
        for j = 0, 3 do rows[#rows + 1] = {epoch, partner, i, j, (0.07 + 0.01 * epoch) * (i + j) * (partner == "matched" and 1 or 0.5)} end
      end
    end
  end
  return rows
end

local function sheets(runs, name)
  local function write(sheet, value) runs:write(("%s/analysis/%s.json"):format(name, sheet), require("vbl.store.c").json_encode(value, {nan = "string"})) end
  write("evolution-matrix-cka", {title = "CKA", note = "n = 64", columns = {"epoch", "partner", "row", "column", "cka"}, rows = matrix_rows {0, 1, 2, 3}, low = 0, high = 1, chance = 0.02})
  write("layers", {title = report_files.hostile, note = report_files.hostile, columns = {"layer", "measure", "matched"}, rows = {{report_files.hostile, "cka", 0.5}, {"layer1", "cka", "ZERO_VARIANCE"}}})
end

local function predictions(bad)
  local rows = {{task = "memes", split = "test", kind = "binary", classes = {report_files.hostile, "hateful"}, checkpoint = {epoch = 2}}}
  for i = 1, 40 do rows[i + 1] = {id = i == 1 and report_files.hostile or "m" .. i, label = i % 4 == 0 and 1 or 0, scores = bad and 0.2 or i % 4 == 0 and 0.9 or 0.1} end
  return rows
end

function report_files.make(runs, name, o)
  o = o or {}
  local path = runs:make(name, {
    config = {data = "scenes", scenes = {train = 32, test = 16}, batch = 8, epochs = 3, seed = o.seed or 0, test_samples = o.bad and 64 or 1024, probe_samples = o.bad and 16 or 256,
              model = {preset = "tiny", patch = 16, depth = 1, cross_attention_layers = {0}}, tasks = {mlm = {}, ap = {contrastive = {on = o.bad and "fused" or "unimodal"}}}},
    manifest = {created = "2025-09-03 21:03:36", coattention_layers = {2, 3}, steps = 600, total_parameters = 1234567, test_pairs = 1024, train_pairs = 32, kind = "pretrain", cpu = report_files.hostile},
    result = {status = o.bad and "failed" or "finished", message = o.bad and report_files.hostile or nil, values = {["test.loss.mlm"] = 2.0, ["test.candidates.mim"] = o.bad and 351.75 or 352.0},
              intervals = {["test.loss.mlm"] = {1.75, 2.25}},
              alignment = {before = {matched = {{layer = "layer0", n = 64, cka = 0.25}, {layer = "layer1", n = 64, cka = 0.5}}},
                           after = {matched = {{layer = "layer0", n = 64, cka = 0.375}, {layer = "layer1", n = 64, cka = "NaN"}}}}},
    notes = {tags = {report_files.hostile}, note = report_files.hostile},
    metrics = metrics(o), predictions = {test = predictions(o.bad)},
  })
  runs:write(name .. "/log.txt", "2025-09-03 21:03:36 - WARNING - " .. report_files.hostile .. "\n2025-09-03 21:03:37 - INFO - data: 3 bad records, 2 bad images, 0 captions cut\n")
  runs:write(name .. "/data_notes.txt", report_files.hostile .. "\n")
  if o.bad then
    local parameter = ("bert.encoder.layer.11.attention.output.LayerNorm.weight"):rep(2, ".")  -- wider than a phone
    runs:write(name .. "/warnings.jsonl", ('{"step": 361, "kind": "spike", "text": "step 361: grad_norm is 15.28; %s holds 24 %% of it"}\n'):format(parameter))
  else
    runs:write(name .. "/checkpoints/last/state.json", "{}")
    sheets(runs, name)
  end
  return path
end

-- The attention of two pairs of an untrained model, as experiments/attention.lua leaves it.
function report_files.attention(runs, name)
  local data = vbl.data.open("scenes", {train = 32, test = 16, image = 64, patch = 16})
  local model = vbl.models.vilbert {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 16, vocab = data.tokenizer:size(), depth = 2, cross_attention_layers = {1}}
  local all = {pairs = {}, checkpoint = "last"}
  for i = 1, 2 do
    local view = vbl.analysis.attention(model, data:split("test"):batch {i}, {data = data})
    view.words[2] = report_files.hostile
    all.pairs[i] = require "vbl.analysis.attention.record"(view, {id = "p" .. i, caption = report_files.hostile,
                                                                  attributions = {{name = "alignment", result = view:attribution "alignment"}}})
  end
  runs:write(name .. "/analysis/attention.json", require("vbl.store.c").json_encode(all))
end

return report_files
