-- What a forward pass takes: batch.check(given, c) refuses anything else, by the shapes alone (c: the model's config).
--   {tokens = i32 [B, T], lengths = i32 [B], images = u8 or f32 [B, 3, S, S]}; lengths are the tokens of each text, padding left out.
-- The values in them are looked at where they are used: lengths by vbl.models.layout, token ids by the embedding.
local vbl = require "vbl"

local batch = {}

local function told(value)
  if not vbl.is_tensor(value) then return type(value) end
  return ("%s [%s]"):format(value:dtype(), table.concat(value:shape(), ", "))
end

local function refuse(message, ...) error(("vilbert: " .. message):format(...), 0) end

local function field(given, name, dtypes, ndim, shape)
  local t = given[name]
  local ok = vbl.is_tensor(t) and t:ndim() == ndim
  if ok then
    ok = false
    for _, dtype in ipairs(dtypes) do ok = ok or t:dtype() == dtype end
  end
  if not ok then refuse("%s: expected %s %s, got %s", name, table.concat(dtypes, " or "), shape, told(t)) end
  return t
end

function batch.check(given, c)
  if type(given) ~= "table" then
    refuse("expected a batch {tokens = i32 [B, T], lengths = i32 [B], images = [B, 3, %d, %d]}, got %s (data:split(\"test\"):range(1, 8) is one)",
           c.image, c.image, told(given))
  end
  local tokens = field(given, "tokens", {"i32"}, 2, "[B, T]")
  local B = tokens:size(1)
  local lengths = field(given, "lengths", {"i32"}, 1, ("[%d]"):format(B))
  if lengths:size(1) ~= B then refuse("tokens hold %d samples and lengths %d", B, lengths:size(1)) end
  local want = {B, 3, c.image, c.image}
  local text = ("[%s]"):format(table.concat(want, ", "))
  local images = field(given, "images", {"u8", "f32"}, 4, text)
  if images:size(1) ~= B then refuse("tokens hold %d samples and images %d", B, images:size(1)) end
  for i, n in ipairs(images:shape()) do
    if n ~= want[i] then refuse("images: expected %s, got %s", text, told(images):match "%[.*") end
  end
end

-- Masks u8 [n, P] of several batches under each other; a number n for one whose n images hide nothing. nil: none hides anything.
function batch.masks(list)
  local one, all = nil, {}
  for _, mask in ipairs(list) do one = one or vbl.is_tensor(mask) and mask end
  if not one then return nil end
  for i, mask in ipairs(list) do
    all[i] = vbl.is_tensor(mask) and mask:to(one:device()) or vbl.zeros(mask, one:size(2), {dtype = "u8", device = one:device()})
  end
  return vbl.cat(all, 1)
end

return batch
