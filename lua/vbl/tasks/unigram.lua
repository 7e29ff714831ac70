-- What a language model reaches that knows how often each word piece occurs and nothing else.
--   unigram.entropy(view) -> nats, or nil for a view without texts
-- The entropy -sum p ln p of the word pieces that MLM may hide (neither [CLS] nor [SEP]) in at most CAPTIONS of the view's captions, taken
-- evenly: MLM hides each with the same probability, so this is its loss at the best constant prediction.
local unigram = {}

local CAPTIONS = 4000

function unigram.entropy(view)
  local counts, total, n = {}, 0, view:size()
  for first = 1, n, math.max(1, n // CAPTIONS) do
    local ids = view.data.tokenizer:encode(view:caption(first, 1))
    for i = 2, #ids - 1 do counts[ids[i]], total = (counts[ids[i]] or 0) + 1, total + 1 end
  end
  local h = 0
  for _, k in pairs(counts) do h = h - k / total * math.log(k / total) end
  return total > 0 and h or nil
end

return unigram
