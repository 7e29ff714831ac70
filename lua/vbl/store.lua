-- vbl.load(path) and vbl.save(path, value[, opts]), by the path's suffix. A file is replaced as a whole or stays as it was.
--
--   .npy           a tensor
--   .npz           name -> tensor
--   .safetensors   name -> tensor; load also returns the names in the file's order and its metadata (string -> string);
--                  save: opts.names gives the order (default: sorted), opts.metadata
--   .json          a table, string, number or boolean; null is vbl.load's store.null; save: keys sorted, indented by 2
--   .jsonl         an array of such values, one a line
--   .tsv .csv      an array of rows, each an array of strings (numbers too when saving); load with {header = true}: each row also
--                  has its fields by the names of the first row, which is left out
--   .png .jpg      u8 [3, H, W] (or [1, H, W], [H, W] when saving)
local c = require "vbl.store.c"
local delimited = require "vbl.store.table"
local sorted_keys = require "vbl.sorted_keys"

local store = {null = c.null}

local function load_jsonl(path)
  local values, number = {}, 0
  for line in (c.read_file(path) .. "\n"):gmatch "(.-)\r?\n" do
    number = number + 1
    if line:find "%S" then values[#values + 1] = c.json_decode(line, {where = path .. ":" .. number}) end
  end
  return values
end

local function save_jsonl(path, values)
  local lines = {}
  for i, value in ipairs(values) do lines[i] = c.json_encode(value) .. "\n" end
  c.write_atomic(path, table.concat(lines))
end

local function name_fields(path, rows)
  local header = table.remove(rows, 1)
  for i, row in ipairs(rows) do
    if #row ~= #header then error(("%s: row %d has %d fields, the header %d"):format(path, i + 1, #row, #header), 0) end
    for j, name in ipairs(header) do row[name] = row[j] end
  end
  return rows, header
end

local function delimited_by(separator)
  return {
    load = function(path, opts)
      local rows = delimited.parse(c.read_file(path), separator, path)
      if opts.header and rows[1] then return name_fields(path, rows) end
      return rows
    end,
    save = function(path, rows) c.write_atomic(path, delimited.format(rows, separator, path)) end,
  }
end

local function named_by(save)
  return function(path, tensors, opts)
    local names, list = opts.names or sorted_keys(tensors), {}
    for i, name in ipairs(names) do list[i] = tensors[name] or error(("%s: no tensor '%s'"):format(path, name), 0) end
    save(path, names, list, opts.metadata)
  end
end

local image = {load = c.image_load, save = c.image_save}

local formats = {
  npy = {load = c.npy_load, save = c.npy_save},
  npz = {load = c.npz_load, save = named_by(c.npz_save)},
  safetensors = {load = function(path) return c.safetensors_load(path) end, save = named_by(c.safetensors_save)},
  json = {
    load = function(path) return c.json_decode(c.read_file(path), {where = path}) end,
    save = function(path, value) c.write_atomic(path, c.json_encode(value, {indent = 2})) end,
  },
  jsonl = {load = load_jsonl, save = save_jsonl},
  tsv = delimited_by "\t",
  csv = delimited_by ",",
  png = image, jpg = image, jpeg = image,
}

local pickles = {pt = true, pth = true, bin = true, pkl = true}

local function format_of(path)
  local suffix = tostring(path):match "%.([%a]+)$"
  local format = suffix and formats[suffix:lower()]
  if format then return format end
  local hint = suffix and pickles[suffix:lower()] and "; a PyTorch pickle is code: tools/convert_pt.py makes .safetensors of it" or ""
  error(("%s: no format of this suffix (%s)%s"):format(tostring(path), table.concat(sorted_keys(formats), ", "), hint), 3)
end

function store.load(path, opts) return format_of(path).load(path, opts or {}) end

function store.save(path, value, opts) format_of(path).save(path, value, opts or {}) end

return store
