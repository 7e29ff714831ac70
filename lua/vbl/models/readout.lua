-- Logits that are read off a pass of the two streams.
--   readout.alignment(model, out, head) -> [B] or [B, 1]     out: model:run's result; head: "concat", heads.ap on the fused CLS rows side by side, or
--     "similarity", heads.ap_similarity on the product of the normalised unimodal CLS rows (out.unimodal; an unfused pass gives it)
local F = require "vbl.nn.functional"
local vbl = require "vbl"

local readout = {}

function readout.alignment(model, out, head)
  if head == "concat" then
    return model.heads.ap(vbl.cat({model.cls(out.text, out.text_layout), model.cls(out.vision, out.vision_layout)}, 2))
  end
  local t = F.normalize_rows(model.cls(out.unimodal.text, out.text_layout))
  local v = F.normalize_rows(model.cls(out.unimodal.vision, out.vision_layout))
  return model.heads.ap_similarity((t * v) * 10)
end

return readout
