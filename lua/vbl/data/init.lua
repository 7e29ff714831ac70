-- vbl.data: data sets, their splits, tokenizer and loaders. Samples of a split are numbered 1 .. n; one sample is one image with one or
-- more captions, of which the epoch picks one. Token ids and labels count from 0.
--
--   local data = vbl.data.open("scenes", {train = 24000})          or vbl.data.open("captions:/data/captions.tsv", {image = 128})
--   data.name  data.image  data.patch  data.mean  data.std  data.tokenizer
--   data:split("train"|"dev"|"test")  data:describe()  data:report()  data:hash()  data:mean_length()
--   view: see vbl.data.view;  tokenizer: size() encode(text) decode(ids) token(id) id(token)
local c = require "vbl.data.c"
local nearest = require "vbl.nearest"
local system = require "vbl.system.c"
local view = require "vbl.data.view"

local data = {uniform = c.uniform}

-- Key -> {default, meaning, type =}; `of` names the kinds that know it (both where absent).
data.options = {
  image = {nil, "side of the square images (the model's)", type = "number"},
  patch = {nil, "side of a patch, for masking patches (the model's)", type = "number"},
  seed = {nil, "of the scenes, and of the choice of captions (the run's)", type = "number"},
  mean = {nil, "what is taken from pixels in [0, 1], a number for each channel ({0.5, 0.5, 0.5})", type = "table"},
  std = {nil, "by what they are divided then ({0.5, 0.5, 0.5})", type = "table"},
  train = {nil, "scenes: pairs to train on (24000)", type = "number", of = "scenes"},
  test = {nil, "scenes: held-out pairs (2048)", type = "number", of = "scenes"},
  objects = {nil, "scenes: objects in an image, 1 or 2 (1)", type = "number", of = "scenes"},
  vocabulary = {nil, "captions: a BERT vocabulary file (counted from the training captions)", type = "string", of = "captions"},
  vocabulary_limit = {nil, "captions: tokens of a counted vocabulary (8192)", type = "number", of = "captions"},
  max_tokens = {nil, "captions: longer ones are cut, [CLS] and [SEP] included (64)", type = "number", of = "captions"},
  max_bad = {nil, "captions: share of bad lines, and of bad images, that is skipped (0.01)", type = "number", of = "captions"},
  split = {nil, "captions: a file path, tab, train|dev|test (split.tsv beside the TSV, else drawn)", type = "string", of = "captions"},
  test_fraction = {nil, "captions: held-out share of a drawn split (0.1)", type = "number", of = "captions"},
  crop = {nil, "captions: center (shortest side, then the middle) or squash (center)", type = "string", of = "captions"},
}

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

-- path: a vocab.txt, a tokenizer.json (WordPiece), or the folder that holds one -> tokenizer: size(), encode(text[, positions]) ->
-- {id, ...}, truncated, decode(ids), token(id), id(token), rules()
function data.tokenizer(path)
  if system.exists(path .. "/tokenizer.json") then return c.tokenizer(path .. "/tokenizer.json") end
  if system.exists(path .. "/vocab.txt") then return c.tokenizer(path .. "/vocab.txt") end
  return c.tokenizer(path)
end

-- name: "scenes", "captions:PATH", or the path of a .tsv file.
function data.open(name, opts)
  local path = name:match("^captions:(.+)$") or name:match("^.+%.tsv$")
  if not path and name ~= "scenes" then
    error(string.format("vbl.data.open: no data set '%s'%s (scenes, or captions:PATH)", name, nearest.hint(name, {"scenes", "captions"})), 2)
  end
  local o = options_of(path and "captions" or "scenes", opts or {})
  local rest = {}
  for key, value in pairs(o) do if not own[key] then rest[key] = value end end
  local self = setmetatable({name = name, image = o.image or 64, patch = o.patch or 16, seed = o.seed or 0, mean = channels("mean", o.mean),
                             std = channels("std", o.std), views = {}}, Data)
  if path then rest.seed = nil end
  self.set = path and c.captions(path, rest) or c.scenes(rest)
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

-- What the set is, and what opening it skipped, cut or found odd, a line each.
function Data:describe()
  local n = self.set:counts()
  local dev = self:size("dev")
  local first = string.format("data %s: %d training pairs, %s%d held out, %d captions, images %dx%d, %d tokens in the vocabulary, %s", self.name,
                              self:size("train"), dev > 0 and dev .. " dev, " or "", self:size("test"), n.captions, self.image, self.image,
                              self.tokenizer:size(), self:hash())
  local text = (first .. "\n" .. self.set:notes()):gsub("\n$", "")
  return text
end

-- Counts of what was skipped or cut, and the images that failed to decode since the opening, a line each.
function Data:report()
  local n = self.set:counts()
  local first = string.format("data: %d bad records, %d bad images, %d captions cut", n.bad_records, n.bad_images, n.truncated)
  local text = (first .. "\n" .. self.set:late()):gsub("\n$", "")
  return text
end

function Data:__tostring() return (self:describe():match("^[^\n]+")) end

return data
