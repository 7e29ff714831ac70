-- vbl.models: the architectures. vilbert is the two-stream transformer of this program; bert and vit are its encoders.
local vbl = require "vbl"

-- The keys as help has them: name, kind or choices, default, meaning.
local function keys()
  local lines, schema = {}, require("vbl.models.vilbert_config").schema
  for key, row in pairs(schema) do
    local kind = type(row[1]) == "table" and table.concat(row[1], "|") or row[1]
    lines[#lines + 1] = ("  %-22s %s; %s"):format(key, kind, row[3])
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

vbl.document("vbl.models.vilbert", "vilbert{key=, ...} -> model",
             "The two-stream transformer, in training mode, drawn from vbl.manual_seed's stream or read from weights. Keys:\n" .. keys())

return setmetatable({}, {__index = function(t, name)
  if name ~= "vilbert" then error("vbl.models has no model '" .. tostring(name) .. "' (there is: vilbert)", 2) end
  t.vilbert = require "vbl.models.vilbert"
  return t.vilbert
end})
