-- vbl weights_minilm.lua FOLDER TEXTS.json OUT.safetensors: sentence embeddings of a MiniLM (mean over the tokens, normalised) and their
-- tokens. The half of weights_check.py that is this program's.
local vbl = require "vbl"
local tokenizer, texts = vbl.data.tokenizer(arg[1]), vbl.load(arg[2])
local model = vbl.models.vilbert {weights = {text = arg[1]}, fusion = "interleaved", placement = "none", image = 32, patch = 16}:eval()
local rows, lengths, T = {}, {}, 0
for i, text in ipairs(texts) do
  rows[i] = tokenizer:encode(text, 256)
  lengths[i] = #rows[i]
  T = math.max(T, lengths[i])
end
for _, row in ipairs(rows) do for t = #row + 1, T do row[t] = tokenizer:id "[PAD]" end end
local batch = {tokens = vbl.tensor(rows, {dtype = "i32"}), lengths = vbl.tensor(lengths, {dtype = "i32"}), images = vbl.zeros(#texts, 3, 32, 32)}
local text = vbl.no_grad(function() return model:forward(batch) end).text  -- rows past a length are 0
local mean = text:sum(2) / vbl.tensor(lengths):reshape(#texts, 1)
vbl.save(arg[3], {tokens = batch.tokens, embeddings = mean / mean:square():sum(2):sqrt():reshape(#texts, 1)})
