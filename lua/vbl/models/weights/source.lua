-- Where weights come from: a .safetensors file, a sharded model.safetensors.index.json, or a folder that holds one of them, and the
-- JSON files that lie beside it. Opening reads headers only.
--   source.open(path) -> {path =, folder =, shapes = {name -> {shape =, dtype =, file =}}, metadata =, config = table or nil, config_path =}
--   source.read(src, set) -> {name -> tensor} of the names in the set
--   source.files(src) -> the safetensors files that hold them, sorted
--   source.beside(src, name) -> the path of a file beside it, or nil
local c = require "vbl.store.c"
local sorted_keys = require "vbl.sorted_keys"
local system = require "vbl.system.c"
local trimmed = require "vbl.trimmed"

local source = {}

local function folder_of(path) return path:match "^(.*)/[^/]*$" or "." end

local function read_json(path) return c.json_decode(c.read_file(path), {where = path}) end

-- The file that a folder means.
local function inside(folder)
  for _, name in ipairs {"model.safetensors.index.json", "model.safetensors"} do
    if system.exists(folder .. "/" .. name) then return folder .. "/" .. name end
  end
  local found, pickles = {}, {}
  for _, name in ipairs(system.list(folder) or {}) do
    if name:find "%.safetensors$" then found[#found + 1] = name end
    if name:find "%.pt$" or name:find "%.pth$" or name:find "%.bin$" then pickles[#pickles + 1] = name end
  end
  if #found == 1 then return folder .. "/" .. found[1] end
  if #found > 1 then error(("%s: holds %d safetensors files (%s); name the one"):format(folder, #found, table.concat(found, ", ")), 0) end
  if #pickles > 0 then
    error(("%s: holds %s and no safetensors file; convert it: python tools/convert_pt.py %s/%s OUT.safetensors"):format(folder, pickles[1], folder, pickles[1]), 0)
  end
  error(("%s: no model.safetensors or model.safetensors.index.json in this folder"):format(folder), 0)
end

local function add_shapes(shapes, file, wanted)
  local header, metadata = c.safetensors_header(file)
  for name, entry in pairs(header) do
    if not wanted or wanted[name] then
      if shapes[name] then error(("%s: tensor '%s' is in %s too"):format(file, name, shapes[name].file), 0) end
      entry.file = file
      shapes[name] = entry
    end
  end
  return metadata
end

-- index: {weight_map = {name -> file in the same folder}}.
local function open_index(path, folder)
  local map = read_json(path).weight_map
  if type(map) ~= "table" then error(("%s: not the index of a sharded model (no weight_map)"):format(path), 0) end
  local shapes, by_file = {}, {}
  for name, file in pairs(map) do
    if type(file) ~= "string" or file:find "/" then error(("%s: tensor '%s': expected the name of a file beside the index"):format(path, name), 0) end
    by_file[file] = by_file[file] or {}
    by_file[file][name] = true
  end
  for file, names in pairs(by_file) do add_shapes(shapes, folder .. "/" .. file, names) end
  for name, file in pairs(map) do
    if not shapes[name] then error(("%s: tensor '%s' is not in %s"):format(path, name, file), 0) end
  end
  return shapes, {}
end

-- NAME.json beside NAME.safetensors where several files share a folder, else config.json.
local function find_config(path, folder)
  local own = path:gsub("%.safetensors$", "") .. ".json"
  for _, name in ipairs {own, folder .. "/config.json"} do
    if name ~= path and system.exists(name) then
      local config = read_json(name)
      if type(config) == "table" then return config, name end
    end
  end
end

function source.open(path)
  local stat = system.stat(path)
  if not stat then error(("%s: no such file or folder"):format(path), 0) end
  local file = stat.type == "directory" and inside(trimmed(path)) or path
  if file:find "%.pth?$" or file:find "%.bin$" or file:find "%.ckpt$" then
    error(("%s: a pickled checkpoint, which is not read here; convert it: python tools/convert_pt.py %s OUT.safetensors"):format(file, file), 0)
  end
  local folder = folder_of(file)
  local src = {path = file, folder = folder}
  if file:find "%.json$" then
    src.shapes, src.metadata = open_index(file, folder)
  else
    src.shapes = {}
    src.metadata = add_shapes(src.shapes, file)
  end
  src.config, src.config_path = find_config(file, folder)
  return src
end

function source.files(src)
  local seen = {}
  for _, entry in pairs(src.shapes) do seen[entry.file] = true end
  return sorted_keys(seen)
end

function source.read(src, set)
  local by_file, tensors = {}, {}
  for name in pairs(set) do
    local file = src.shapes[name].file
    by_file[file] = by_file[file] or {}
    by_file[file][name] = true
  end
  for file, names in pairs(by_file) do
    for name, tensor in pairs((c.safetensors_load(file, names))) do tensors[name] = tensor end
  end
  return tensors
end

-- A checkpoint's files lie in its run's folder.
function source.beside(src, name)
  for _, folder in ipairs {src.folder, (src.folder:match "^(.*)/checkpoints/[^/]+$")} do
    local path = folder .. "/" .. name
    if system.exists(path) then return path end
  end
end

return source
