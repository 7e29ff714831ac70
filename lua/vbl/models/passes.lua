-- Several passes through a model as one batch: the products have more rows and fill a GPU better, and there are fewer kernels; and what passes compute
-- alike is computed once (vbl.models.trunk). Samples do not see each other, so the results are those of the passes alone, to rounding, and so
-- are the gradients; dropout masks are theirs bit for bit where vbl draws them (vbl.models.layout.numbers).
--   passes.run(model, requests[, shared]) -> results, in order      requests: array of {batch, opts}; batch, opts and a result as of model:run;
--       shared: what a trunk has made of these requests already
-- Together go passes that compute the same of each sample: with and without co-attention, fused or not; `unimodal` where it is a second way
-- through the layers; images of one type; with packed = false captions of one width. Passes that are tapped, whose attention is a caller's, or that say
-- of which samples they read go alone.
local batches = require "vbl.models.batch"
local layout = require "vbl.models.layout"
local trunk = require "vbl.models.trunk"
local vbl = require "vbl"

local passes = {}

local NONE = {text = 0, vision = 0}

-- Passes of equal keys go together; nil: alone.
local function key_of(model, batch, opts)
  if opts.attend or type(opts.reads) == "table" or next(model.tapped) then return nil end
  local c = model.config
  local twice = opts.unimodal and c.fusion ~= "stacked" or false
  return ("%s %s %s %s %s %s"):format(opts.cross ~= false, opts.fuse ~= false, twice, batch.images:dtype(), batch.images:device(),
                                      c.packed and "" or batch.tokens:size(2))
end

-- tokens [B, T] -> [B, wide], zeros behind the captions
local function widened(tokens, wide)
  local B, T = tokens:size(1), tokens:size(2)
  if T == wide then return tokens end
  return vbl.cat({tokens, vbl.zeros(B, wide - T, {dtype = tokens:dtype(), device = tokens:device()})}, 2)
end

-- One batch of several passes' samples, each with the number that it has in its own. begun: images and masks are in it already.
local function joined(group, begun)
  local wide, masks, all = 0, {}, {tokens = {}, lengths = {}, images = {}, numbers = {}}
  for _, member in ipairs(group) do wide = math.max(wide, member.batch.tokens:size(2)) end
  for i, member in ipairs(group) do
    local batch, n = member.batch, member.batch.tokens:size(1)
    all.tokens[i], all.lengths[i], all.images[i], masks[i] = widened(batch.tokens, wide), batch.lengths, batch.images, batch.mask or n
    table.move(layout.numbers(batch.samples or layout.samples(n), member.opts.pass or 0), 1, n, #all.numbers + 1, all.numbers)
  end
  all.tokens, all.lengths = vbl.cat(all.tokens, 1), vbl.cat(all.lengths, 1)
  if begun then return all end
  all.images, all.mask = vbl.cat(all.images, 1), batches.masks(masks)
  return all
end

-- Of the result of a joined batch that of its samples from .. from + n - 1, whose captions were T wide; opts: their pass's.
local function part_of(out, from, n, T, opts)
  local text, text_before = layout.part_of_text(out.text_layout, from, n, T)
  local vision, vision_before = layout.part_of_image(out.vision_layout, from, n)
  local function rows(pair, reads, skipped)
    local function of(x, name, lay, before)
      if x and (not reads or reads == name) then return x:narrow(1, before - skipped[name] + 1, lay.N) end
    end
    return {text = of(pair.text, "text", text, text_before), vision = of(pair.vision, "vision", vision, vision_before)}
  end
  local part = rows(out, opts.reads, out.skipped or NONE)
  part.text_layout, part.vision_layout, part.taps = text, vision, {}
  part.unimodal = opts.unimodal and rows(out.unimodal, nil, NONE) or nil
  return part
end

-- Sorts passes that read the text alone to the front and those that read the images alone to the back, each kind in its order: the samples whose text is
-- read are then neighbours, and so are those whose images are.
local ORDER = {text = 1, vision = 3}
local function by_what_is_read(group)
  for i, member in ipairs(group) do member.place = i + (ORDER[member.opts.reads] or 2) * #group end
  table.sort(group, function(a, b) return a.place < b.place end)
end

-- The samples whose rows are read: name of a stream -> {first, how many} or nil.
local function read_samples(group)
  local reads, from = {}, 1
  for _, member in ipairs(group) do
    local n = member.batch.tokens:size(1)
    for _, name in ipairs {"text", "vision"} do
      if (member.opts.reads or name) == name then
        reads[name] = reads[name] or {from, 0}
        reads[name][2] = reads[name][2] + n
      end
    end
    from = from + n
  end
  return reads
end

-- group: array of {batch=, opts=, at = the place of its request and result}
local function run_group(model, group, results, shared)
  by_what_is_read(group)
  local places = {}
  for i, member in ipairs(group) do places[i] = member.at end
  local opts = setmetatable({begun = shared and shared:rows(places)}, {__index = group[1].opts})
  if #group == 1 then
    results[places[1]] = model:run(group[1].batch, opts)
    return
  end
  opts.pass, opts.reads = 0, read_samples(group)
  for _, member in ipairs(group) do opts.unimodal = opts.unimodal or member.opts.unimodal end
  local out, from = model:run(joined(group, opts.begun), opts), 1
  for _, member in ipairs(group) do
    local n = member.batch.tokens:size(1)
    results[member.at], from = part_of(out, from, n, member.batch.tokens:size(2), member.opts), from + n
  end
end

function passes.run(model, requests, shared)
  local groups, by_key, results = {}, {}, {}
  for _, request in ipairs(requests) do model.check_options(request[2] or {}) end
  shared = shared or trunk.shared(model, requests)
  for i, request in ipairs(requests) do
    local member = {batch = request[1], opts = request[2] or {}, at = i}
    local key = key_of(model, member.batch, member.opts) or i
    if not by_key[key] then
      by_key[key] = {}
      groups[#groups + 1] = by_key[key]
    end
    table.insert(by_key[key], member)
  end
  for _, group in ipairs(groups) do run_group(model, group, results, shared) end
  return results
end

return passes
