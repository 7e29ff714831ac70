-- What a run's JSON has to be, before anybody counts on it: the file may be a stranger's, or damaged by hand.
--   shape.check(value, form, where)     raises, with the key and what is there instead
-- A form:
--   "string", "number", "any"
--   "integer"             a number without a fraction
--   "numbers"             a number, or a list or an object of numbers
--   {each = form}         a list                {any = form}     an object of any keys
--   {key = form, ...}     an object; other keys are free, and none of these is needed
local shape = {}

local function fits(value, form)
  if form == "numbers" and type(value) == "table" then
    for _, item in pairs(value) do
      if type(item) ~= "number" then return false end
    end
    return true
  end
  if form == "numbers" then return type(value) == "number" end
  if form == "any" then return true end
  if type(form) == "table" then return type(value) == "table" end
  if form == "integer" then return type(value) == "number" and math.tointeger(value) ~= nil end
  return type(value) == form
end

local function name_of(form)
  if type(form) == "table" then return form.each and "a list" or "an object" end
  return form == "numbers" and form or (form == "integer" and "an " or "a ") .. form
end

local function shown(value) return type(value) == "table" and "a table" or type(value) == "string" and ("%q"):format(value) or tostring(value) end

function shape.check(value, form, where)
  if not fits(value, form) then error(("%s: expected %s, got %s"):format(where, name_of(form), shown(value)), 0) end
  if type(form) ~= "table" then return end
  for key, item in pairs(value) do
    local wanted = form[key]
    if form.each or form.any then
      if type(key) ~= (form.each and "number" or "string") then error(("%s: %s is no key of it"):format(where, shown(key)), 0) end
      wanted = form.each or form.any
    end
    if wanted then shape.check(item, wanted, ("%s.%s"):format(where, key)) end
  end
end

return shape
