-- A tokenizer as the files that others read: vocab.txt and tokenizer_config.json.
--   vocabulary.tokens(tokenizer) -> {token, ...} by their ids      vocabulary.text(tokens) -> vocab.txt
--   vocabulary.rules(rules) -> what tokenizer_config.json says of how texts are cut, as a table; rules: those of tokenizer:rules()
local vocabulary = {}

function vocabulary.tokens(tokenizer)
  local tokens = {}
  for id = 0, tokenizer:size() - 1 do tokens[id + 1] = tokenizer:token(id) end
  return tokens
end

function vocabulary.text(tokens) return table.concat(tokens, "\n") .. "\n" end

function vocabulary.rules(rules)
  return {tokenizer_class = rules.fast and "BertTokenizerFast" or "BertTokenizer", do_lower_case = rules.lower_case, strip_accents = rules.strip_accents,
          tokenize_chinese_chars = rules.split_cjk}
end

return vocabulary
