-- In which keys of their configs runs differ that are to be compared.
--   unlike.keys(record) -> {["model.placement"] = "late", ...}: values as text, without the seed, the data set and the task (columns of a table)
--     and without what changes no number: memory, the log
--   unlike.among(list of such) -> keys that are not the same in all of them, sorted
local flatten = require "vbl.runs.flatten"
local show = require("vbl.config.values").show
local sorted_keys = require "vbl.sorted_keys"

local unlike = {}

local aside = {seed = true, data = true, task = true, val = true, test = true, micro_batch = true, checkpointing = true, tasks_together = true, cuda_graph = true,
               log_every = true, checkpoint_every = true}

function unlike.keys(record)
  local flat = {}
  for key, value in pairs(flatten(record.config)) do
    if not aside[key] then flat[key] = type(value) == "table" and show(value) or tostring(value) end
  end
  return flat
end

function unlike.among(list)
  local all, differ = {}, {}
  for _, flat in ipairs(list) do
    for key in pairs(flat) do all[key] = true end
  end
  for _, key in ipairs(sorted_keys(all)) do
    for _, flat in ipairs(list) do
      if flat[key] ~= list[1][key] then
        differ[#differ + 1] = key
        break
      end
    end
  end
  return differ
end

return unlike
