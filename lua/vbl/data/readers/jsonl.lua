-- JSON lines, an object a sample: vbl.data.labelled says which fields and files.
local labelled = require "vbl.data.labelled"
local reading = require "vbl.data.reading"

return labelled.of {
  name = "jsonl",
  title = "JSON lines",
  expects = 'a .jsonl file, or train.jsonl, dev.jsonl, test.jsonl (or metadata.jsonl, also in train/, test/) in a folder; lines {"image": path, "text": ..., "label": ...}',
  extension = "jsonl",
  each = reading.jsonl,
  label = function(value) return value end,
  header = function() return true end,
}
