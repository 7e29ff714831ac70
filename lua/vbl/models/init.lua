-- vbl.models: the architectures. vilbert is the two-stream transformer of this program; bert and vit are its encoders.
return setmetatable({}, {__index = function(t, name)
  if name ~= "vilbert" then error("vbl.models has no model '" .. tostring(name) .. "' (there is: vilbert)", 2) end
  t.vilbert = require "vbl.models.vilbert"
  return t.vilbert
end})
