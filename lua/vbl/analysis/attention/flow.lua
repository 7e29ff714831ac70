-- How attention carries from the inputs to the last layer, over both streams at once. Maps: those of vbl.analysis.attention, in the order of the
-- pass; the two maps of one block both read what was before it.
--
--   flow.rollout(maps, sizes, {residual = 0.5}) -> {text = [n, n + m], vision = [m, n + m]}
--     Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers", section 3: A = residual I + (1 - residual) mean over heads of P, and the
--     product of A over the layers. Where a stream attends to the other, its rows take up the other's: A = residual I, and (1 - residual) P on
--     the other stream's; in one joint stream they take up both. Columns: the n text tokens, then the m image positions. Rows sum to 1.
--   flow.relevance(maps, gradients, sizes) -> {text = [n], vision = [m]}
--     Chefer, Gur & Wolf 2021, "Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder Transformers": with
--     A = mean over heads of max(0, gradient * P) (eq. 5), R_ss += A R_ss and R_sq += A R_sq in self-attention (6, 7), and, where stream s attends
--     to q (a joint stream is one self-attention), R_sq += Rn_ss' A Rn_qq (10) and R_ss += A R_qs (11), Rn being R - I with rows of sum 1, plus I
--     (8, 9). The result is read at the CLS rows of both streams, as the heads do; a CLS row's relevance to itself is left out.
local vbl = require "vbl"

local flow = {}

-- The maps are on the CPU, whatever the model is on.
local CPU = {device = "cpu"}
local function eye(n) return vbl.eye(n, CPU) end
local function zeros(...) return vbl.zeros({...}, CPU) end

-- Maps of one block, in order: {{map, ...}, ...} with their places.
local function blocks_of(maps)
  local list = {}
  for place, map in ipairs(maps) do
    local last = list[#list]
    if not last or last.block ~= map.block then
      last = {block = map.block}
      list[#list + 1] = last
    end
    last[#last + 1] = {map = map, place = place}
  end
  return list
end

function flow.rollout(maps, sizes, opts)
  local keep = opts and opts.residual or 0.5
  if type(keep) ~= "number" or keep < 0 or keep > 1 then error(("rollout: residual: expected a number from 0 to 1, got %s"):format(tostring(keep)), 2) end
  local n, m = sizes.text, sizes.vision
  local all = eye(n + m)
  local rows = {text = all:narrow(1, 1, n):contiguous(), vision = all:narrow(1, n + 1, m):contiguous()}
  for _, block in ipairs(blocks_of(maps)) do
    local after = {}
    for _, item in ipairs(block) do
      local map = item.map
      after[map.query] = (after[map.query] or rows[map.query] * keep) + map.p:mean(1):matmul(rows[map.key]) * (1 - keep)
    end
    rows = {text = after.text or rows.text, vision = after.vision or rows.vision}
  end
  return rows
end

-- R - I with rows of sum 1, plus I; a row of zeros stays one.
local function normalised(r)
  local one = eye(r:size(1))
  local rest = r - one
  local sums = rest:sum(2)
  return rest / (sums + sums:eq(0)):unsqueeze(2) + one
end

function flow.relevance(maps, gradients, sizes)
  local n, m = sizes.text, sizes.vision
  local R = {text = {text = eye(n), vision = zeros(n, m)}, vision = {vision = eye(m), text = zeros(m, n)}}
  for _, block in ipairs(blocks_of(maps)) do
    local after = {text = R.text, vision = R.vision}
    for _, item in ipairs(block) do
      local map, s = item.map, item.map.query
      local q = s == "text" and "vision" or "text"
      local A = (gradients[item.place] * map.p):relu():mean(1)
      if map.joint then
        after[s] = {text = after[s].text + A:matmul(R[map.key].text), vision = after[s].vision + A:matmul(R[map.key].vision)}
      elseif map.key == s then
        after[s] = {[s] = R[s][s] + A:matmul(R[s][s]), [q] = R[s][q] + A:matmul(R[s][q])}
      else
        after[s] = {[s] = R[s][s] + A:matmul(R[q][s]),
                    [q] = R[s][q] + normalised(R[s][s]):t():contiguous():matmul(A):matmul(normalised(R[q][q]))}
      end
    end
    R = after
  end
  local text, vision = R.text.text:select(1, 1) + R.vision.text:select(1, 1), R.text.vision:select(1, 1) + R.vision.vision:select(1, 1)
  local function without_cls(x) return vbl.cat({zeros(1), x:narrow(1, 2, x:size(1) - 1)}, 1) end
  return {text = without_cls(text), vision = without_cls(vision)}
end

return flow
