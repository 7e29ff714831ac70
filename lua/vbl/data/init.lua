-- vbl.data: data sets, their splits, tokenizer and loaders. Samples of a split are numbered 1 .. n; one sample is one image with one or
-- more captions, of which the epoch picks one. Token ids and labels count from 0.
--
--   local data = vbl.data.open("scenes", {train = 24000})          or vbl.data.open("coco:/data/coco", {image = 128})
--   data.name  data.image  data.patch  data.mean  data.std  data.tokenizer
--   data:split(name)  data:splits()  data:labels()  data:describe()  data:check()  data:show(i, opts)  data:report()  data:hash()
--   data:held_out()  data:write_split(path)  data:write_notes(path)  data:mean_length()
--   vbl.data.add_reader(reader)   one of a script's own
--   view: see vbl.data.view;  tokenizer: size() encode(text) decode(ids) token(id) id(token)
local about = require "vbl.data.about"
local c = require "vbl.data.c"
local find = require "vbl.data.find"
local merged = require "vbl.merged"
local nearest = require "vbl.nearest"
local packed = require "vbl.data.packed"
local store = require "vbl.store.c"
local system = require "vbl.system.c"
local view = require "vbl.data.view"

local data = {uniform = c.uniform}

-- Key -> {default, meaning, type =}; `of`: "scenes", or "captions" for every set that is read from files (the config's table of that name
-- holds them). Readers add their own (readers/NAME.lua).
data.options = {
  image = {nil, "side of the square images (the model's)", type = "number"},
  patch = {nil, "side of a patch, for masking patches (the model's)", type = "number"},
  seed = {nil, "of the scenes, and of the choice of captions (the run's)", type = "number"},
  mean = {nil, "what is taken from pixels in [0, 1], a number for each channel ({0.5, 0.5, 0.5})", type = "table"},
  std = {nil, "by what they are divided then ({0.5, 0.5, 0.5})", type = "table"},
  train = {nil, "scenes: pairs to train on (24000)", type = "number", of = "scenes"},
  test = {nil, "scenes: held-out pairs (2048)", type = "number", of = "scenes"},
  objects = {nil, "scenes: objects in an image, 1 or 2 (1)", type = "number", of = "scenes"},
  questions = {nil, "scenes: questions with their answers as classes instead of captions (false)", type = "boolean", of = "scenes"},
  vocabulary = {nil, "a BERT vocabulary file (counted from the training texts)", type = "string", of = "captions"},
  tokenizer = {nil, "whose rules cut texts with that file: bert (google-research/bert), fast (BertTokenizerFast), file (what the file says)", type = "string", of = "captions"},
  vocabulary_limit = {nil, "tokens of a counted vocabulary (8192)", type = "number", of = "captions"},
  max_tokens = {nil, "longer texts are cut, [CLS] and [SEP] included (64)", type = "number", of = "captions"},
  max_bad = {nil, "share of bad records, and of bad images, that is skipped (0.01)", type = "number", of = "captions"},
  split = {nil, "a file id, tab, train|dev|val|test (the data set's own, else split.tsv beside it, else drawn)", type = "string", of = "captions"},
  test_fraction = {nil, "held-out share of a drawn split (0.1)", type = "number", of = "captions"},
  crop = {nil, "center (shortest side, then the middle) or squash (center)", type = "string", of = "captions"},
  crop_pct = {nil, "share of the resized side that the central crop keeps, as timm has it: 0.9 resizes to 248 and crops 224 (1)", type = "number", of = "captions"},
  interpolation = {nil, "bicubic or bilinear, antialiased (bicubic)", type = "string", of = "captions"},
}
local function add_options(name)
  for key, row in pairs(find.reader(name).options) do data.options[key] = {row[1], row[2], type = row.type, of = "captions", reader = name} end
end
for _, name in ipairs(find.names) do add_options(name) end

-- A reader of a script's own (what one is: vbl.data.reading): from then on data = "NAME:PATH" means it, in this process.
function data.add_reader(reader)
  for key in pairs(type(reader) == "table" and type(reader.options) == "table" and reader.options or {}) do
    if data.options[key] then error(("vbl.data.add_reader: option '%s' is another one's already"):format(key), 2) end
  end
  find.add(reader)
  add_options(reader.name)
end

local own = {patch = true, mean = true, std = true}  -- options that only Lua reads

-- The options of one kind, checked. A table behind the given one (its metatable's __index) counts as given too.
local function options_of(kind, given)
  local found, layers = {}, {given}
  local meta = getmetatable(given)
  if meta and type(meta.__index) == "table" then layers[2] = meta.__index end
  for _, layer in ipairs(layers) do
    for key in pairs(layer) do
      local row = data.options[key]
      if not row or row.of and row.of ~= kind then
        local words = {}
        for k, r in pairs(data.options) do if not r.of or r.of == kind then words[k] = true end end
        error(string.format("vbl.data.open: %s has no option '%s'%s", kind, tostring(key), nearest.hint(key, words)), 3)
      end
      if type(given[key]) ~= row.type then
        error(string.format("vbl.data.open: option '%s': expected a %s, got %s", key, row.type, tostring(given[key])), 3)
      end
      found[key] = given[key]
    end
  end
  return found
end

local function channels(name, given)
  local t = given or {0.5, 0.5, 0.5}
  for i = 1, 3 do
    if type(t[i]) ~= "number" or name == "std" and t[i] <= 0 then
      error(string.format("vbl.data.open: %s: expected three numbers%s", name, name == "std" and " above 0" or ""), 3)
    end
  end
  return t
end

local Data = {}
Data.__index = Data

-- A packed set knows its options; what is given must agree.
local function open_packed(name, folder, given)
  local o = merged((getmetatable(given) or {}).__index, given)
  local set, manifest = packed.open(folder, o)
  return setmetatable({name = name, image = manifest.image, patch = o.patch or 16, seed = o.seed or 0, mean = channels("mean", o.mean),
                       std = channels("std", o.std), views = {}, set = set, tokenizer = set, reader = packed, path = folder,
                       found = "shards packed from " .. manifest.source, packed_from = manifest.source}, Data)
end

-- path: a vocab.txt, a tokenizer.json (WordPiece), or the folder that holds one; rules: "bert" (google-research/bert), "fast"
-- (BertTokenizerFast) or "file" (as the file says, the default) -> tokenizer: size(), encode(text[, positions]) -> {id, ...}, truncated,
-- decode(ids), token(id), id(token), rules()
function data.tokenizer(path, rules)
  for _, name in ipairs {"/tokenizer.json", "/vocab.txt"} do
    if system.exists(path .. name) then return c.tokenizer(path .. name, rules) end
  end
  return c.tokenizer(path, rules)
end

-- The set in C: of scenes, or what the reader makes of its files.
local function open_set(name, o)
  local rest, special = {}, {}
  for key, value in pairs(o) do
    if data.options[key].reader then special[key] = value elseif not own[key] then rest[key] = value end
  end
  if name == "scenes" then return c.scenes(rest) end
  rest.seed = nil
  local reader, path, found = find.source(name)
  for key in pairs(special) do
    if not reader.options[key] then error(("vbl.data.open: %s has no option '%s'"):format(reader.name, key), 0) end
  end
  if reader.open then return reader.open(path, special, rest), reader, path, found end
  local records, where = reader.read(path, special, rest)
  return records:finish(where), reader, path, found
end

-- name: "scenes"; "READER:PATH" (vbl.data.find lists the readers); "packed:FOLDER", what `vbl data pack` wrote; or a path, whose form is
-- looked at.
function data.open(name, opts)
  local folder = packed.folder(name)
  if folder then return open_packed(name, folder, opts or {}) end
  local o = options_of(name == "scenes" and "scenes" or "captions", opts or {})
  local self = setmetatable({name = name, image = o.image or 64, patch = o.patch or 16, seed = o.seed or 0, mean = channels("mean", o.mean),
                             std = channels("std", o.std), views = {}}, Data)
  self.set, self.reader, self.path, self.found = open_set(name, o)
  self.tokenizer = self.set
  return self
end

-- The samples of a split. train, dev and test are empty where the set has none.
function Data:split(name)
  self.views[name] = self.views[name] or view.new(self, self.set:view(name))
  return self.views[name]
end

-- {{name=, size=}, ...}, train first, and the kind of labels ("class", "multi", "soft"; nil: none) with the names of the classes.
function Data:splits() return self.set:splits() end
function Data:labels() return self.set:labels() end

function Data:size(name) return self:split(name):size() end
function Data:mean_length() return self:split("train"):mean_length() end
-- No caption has more, [CLS] and [SEP] included.
function Data:max_tokens() return self.set:counts().max_tokens end
function Data:hash() return self.set:hash() end

-- What the set is: splits, classes, lengths, and what opening it skipped, cut or found odd.
function Data:describe() return about.describe(self) end
-- Whether splits are apart and all images can be read -> text, boolean. Reads every image.
function Data:check() return about.check(self) end
-- Raises when split b has an id of split a.
function Data:apart(a, b) return about.apart(self, a, b) end
-- Sample i as the model gets it -> {image = u8 [3, S, S], text =}; opts {split =, task =, epoch =, ...}: see vbl.data.about.
function Data:show(i, opts) return about.show(self, i, opts) end

-- The name of the split to evaluate on: test, or what the set has in its place; nil where it has train alone.
function Data:held_out()
  for _, name in ipairs {"test", "val", "dev", "test_seen", "dev_seen", "test_unseen", "dev_unseen"} do
    for _, split in ipairs(self:splits()) do
      if split.name == name and split.size > 0 then return name end
    end
  end
end

-- split.tsv: every sample's id and split, so that the division is written down; option split=PATH reads it. held: a view of training
-- samples that were held out to validate on (View:divide), which are written as val.
function Data:write_split(path, held)
  local text, ids = self.set:split_lines(), {}
  for i = 1, held and held:size() or 0 do ids[held:image_id(i)] = true end
  if held then text = text:gsub("([^\n]*)\ttrain\n", function(id) return ids[id] and id .. "\tval\n" or nil end) end
  store.write_atomic(path, text)
end
-- All that opening skipped, cut or found odd, and images that failed since, a line each.
function Data:write_notes(path) store.write_atomic(path, self.set:notes() .. self.set:late()) end

-- Counts of what was skipped or cut, and the images that failed to decode since the opening, a line each.
function Data:report()
  local n = self.set:counts()
  local first = string.format("data: %s, %s, %s cut", about.count(n.bad_records, "bad record"), about.count(n.bad_images, "bad image"), about.count(n.truncated, "caption"))
  local text = (first .. "\n" .. self.set:late()):gsub("\n$", "")
  return text
end

function Data:__tostring() return (self:describe():match("^[^\n]+")) end

return data
