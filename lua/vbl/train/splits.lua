-- The splits of a fine-tuning run.
--   splits.divide(job): sets train, test (the view that each epoch evaluates: the validation split), val_name, test_name (nil: the set has
--     none), held (the view that was held out of train to validate on, or nil), sizes (name -> size)
--   splits.test(job) -> the view of the test split; nothing else opens it
-- A sample in two of them is an error. A set without a split to validate on has val_fraction of its training images held out, the same ones
-- for every seed.
local nearest = require "vbl.nearest"
local usage = require "vbl.usage"
local usual = require "vbl.data.usual_splits"

local splits = {}

local function names_of(data)
  local sizes, names = {}, {}
  for _, split in ipairs(data:splits()) do
    if split.size > 0 then sizes[split.name], names[#names + 1] = split.size, split.name end
  end
  return sizes, names
end

-- The split that a key names, or the first of the usual ones.
local function choose(key, wanted, sizes, names)
  if wanted == "auto" then
    for _, name in ipairs(usual[key]) do
      if sizes[name] then return name end
    end
    return nil
  end
  if sizes[wanted] and wanted ~= "train" then return wanted end
  error(("config: %s: the data set has no split '%s' to %s on%s (it has %s)"):format(key, wanted, key == "val" and "validate" or "test",
                                                                                   nearest.hint(wanted, names), table.concat(names, ", ")), 0)
end

local function check_sizes(job)
  if job.train:size() == 0 then error(("data %s: its train split is empty"):format(job.config.data), 0) end
  if job.val_name == job.test_name then error(("config: val and test are both '%s'; what is chosen on a split says nothing on it"):format(job.val_name), 0) end
end

-- A baseline may change what a view gives.
local function changed(job, view) return job.baseline.view and job.baseline.view(view) or view end

local function hold_out(train, share)
  local ok, kept, held = pcall(train.divide, train, share)
  if not ok then error("config: val_fraction: " .. usage.strip(kept), 0) end
  return kept, held
end

function splits.divide(job)
  local config, data = job.config, job.data
  local sizes, names = names_of(data)
  job.val_name, job.test_name = choose("val", config.val, sizes, names), choose("test", config.test, sizes, names)
  local train, val = data:split "train", nil
  if job.val_name then
    val = data:split(job.val_name)
    data:apart("train", job.val_name)
  else
    train, val = hold_out(train, config.val_fraction)
    job.val_name, job.held = "val", val
  end
  if job.test_name then
    data:apart("train", job.test_name)
    if not job.held then data:apart(job.val_name, job.test_name) end
  end
  if config.train_samples > 0 and config.train_samples < train:size() then train = train:part(1, config.train_samples) end
  job.train, job.test = changed(job, train), changed(job, val)
  job.sizes = {train = train:size(), [job.val_name] = val:size(), [job.test_name or "test"] = job.test_name and sizes[job.test_name] or nil}
  check_sizes(job)
end

function splits.test(job) return changed(job, job.data:split(job.test_name)) end

return splits
