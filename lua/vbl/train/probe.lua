-- The per-layer analysis of a model on a fixed probe set in its pure view (no masking, no swaps), under named partners:
--   "matched"     caption i with its own image (the thesis's way: after co-attention a matched pair has already seen each other)
--   "mismatched"  text i fused with another image, image i with another text, then text i compared with image i: what is left is
--                 what the streams share of themselves
--   "none"        every co-attending block off
local vbl = require "vbl"
local analysis = require "vbl.analysis"
local taps = require "vbl.models.taps"

local probe = {}

-- The layers to compare, in the order of the computation: {name, text = tap, vision = tap, coattention}.
function probe.layers(c)
  local list, cross = {}, {}
  local function add(text, vision, co) list[#list + 1] = {name = "layer" .. #list, text = text, vision = vision, coattention = co} end
  if c.fusion == "stacked" then
    for i = 0, c.layers - 1 do add("text." .. i, "vision." .. i, false) end
    for _, i in ipairs(c.cross_attention_layers) do cross[i] = true end
    for i = 0, c.depth - 1 do add("fusion." .. i .. ".text", "fusion." .. i .. ".vision", cross[i] or false) end
  else
    for _, i in ipairs(c.coattention.text) do cross[i] = true end
    for i = 0, c.layers - 1 do add("text." .. i, "vision." .. i, cross[i] or false) end
  end
  return list
end

local function tap_names(layers)
  local names = {}
  for _, layer in ipairs(layers) do
    names[#names + 1] = layer.text
    names[#names + 1] = layer.vision
  end
  return names
end

-- Rows (first dim) moved down by one, the last to the front; or up by one.
local function down(x) return vbl.cat({x:narrow(1, x:size(1), 1), x:narrow(1, 1, x:size(1) - 1)}, 1) end
local function up(x) return vbl.cat({x:narrow(1, 2, x:size(1) - 1), x:narrow(1, 1, 1)}, 1) end

-- One batch's {text CLS [B,D], vision CLS [B,D], max_sim_tp, max_sim_pt} per layer. Mismatched: caption i meets image i + 1, so row i of the
-- vision stream is image i + 1, and moving the rows down by one puts image i (fused with caption i - 1) beside caption i.
local function batch_features(model, batch, layers, partner)
  local mismatched = partner == "mismatched"
  local images = mismatched and up(batch.images) or batch.images
  local out = model:run({tokens = batch.tokens, lengths = batch.lengths, images = images}, {cross = partner ~= "none"})
  -- The closing [SEP] matches nothing in an image.
  local lengths, rows = batch.lengths:totable(), {}
  for b, n in ipairs(lengths) do lengths[b] = math.max(n - 1, 0) end
  for i, layer in ipairs(layers) do
    local t, v = out.taps[layer.text], out.taps[layer.vision]
    local text, vision = taps.unpack(t.rows, t.layout), taps.unpack(v.rows, v.layout)
    if mismatched then vision = down(vision) end
    local tp, pt = vbl.measure.max_sim(text, vision, {text_lengths = lengths})
    rows[i] = {text:select(2, 1):contiguous(), vision:select(2, 1):contiguous(), tp, pt}
  end
  return rows
end

-- The features of n held-out pairs of `split`, in batches of opts.batch.
local function collect(model, split, layers, partner, n, opts)
  local found = {}
  for i, layer in ipairs(layers) do
    found[i] = {name = layer.name, coattention = layer.coattention, text = {}, vision = {}, max_sim_tp = 0, max_sim_pt = 0}
  end
  local first, size = 1, opts.batch or 64
  while first <= n do
    if opts.safe_point then opts.safe_point() end
    -- A last batch of one pair could not be mismatched: it joins the one before it.
    local count = n - first + 1 <= size + 1 and n - first + 1 or size
    local kept = vbl.scope(function() return batch_features(model, split:range(first, count), layers, partner) end)
    for i, r in ipairs(kept) do
      local f = found[i]
      table.insert(f.text, r[1])
      table.insert(f.vision, r[2])
      f.max_sim_tp, f.max_sim_pt = f.max_sim_tp + r[3] * count / n, f.max_sim_pt + r[4] * count / n
    end
    first = first + count
  end
  for _, f in ipairs(found) do f.text, f.vision = vbl.cat(f.text, 1), vbl.cat(f.vision, 1) end
  return found
end

-- split: held-out pairs; opts {samples = 256, batch = 64, partners = {"matched", "mismatched"}} -> partner -> array of analysis records.
function probe.run(model, split, opts)
  local layers = probe.layers(model.config)
  local n = math.min(opts.samples or 256, split:size())
  if n < 8 then
    error(string.format("analysis: the probe set has %d pairs (%d held out, probe_samples = %d); at least 8 are needed; probe_samples=0 leaves out " ..
                        "the analysis", n, split:size(), opts.samples or 256), 0)
  end
  local training, tapped = model.training, model.tapped
  model:eval()
  model:tap(tap_names(layers))
  local results = {}
  local ok, message = pcall(function()
    for _, partner in ipairs(opts.partners or {"matched", "mismatched"}) do
      vbl.scope(function()
        local features = vbl.no_grad(function() return collect(model, split, layers, partner, n, opts) end)
        results[partner] = analysis.layers(features)
      end)
    end
  end)
  model:train(training)
  model.tapped = tapped
  if not ok then error(message, 0) end
  return results
end

return probe
