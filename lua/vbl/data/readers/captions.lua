-- A TSV of path<TAB>caption (UTF-8, no header, no quoting; paths relative to the file's folder), read in C: core/data/captions.h.
local c = require "vbl.data.c"
local reading = require "vbl.data.reading"

local captions = {
  name = "captions",
  expects = "a file of lines path<TAB>caption; beside it, if wanted, split.tsv with lines path<TAB>train|dev|test",
  options = {},
}

function captions.found(folder)
  return reading.is_file(folder .. "/captions.tsv") and "captions: captions.tsv" or nil
end

function captions.open(path, _, base)
  return c.captions(reading.is_folder(path) and path .. "/captions.tsv" or path, base)
end

return captions
