-- Hugging Face's tokenizer files: what is read as written there, and what is refused, since its tokens would be others.
local c = require "vbl.data.c"
local check = require "check"
local store = require "vbl.store.c"

local folder = os.tmpname()
os.remove(folder)
store.make_folder(folder)

local pieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##b", "<", "person", ">"}

local function tokenizer(changes)
  local vocab = {}
  for i, piece in ipairs(pieces) do vocab[piece] = i - 1 end
  local file = {
    added_tokens = {{id = 0, content = "[PAD]"}, {id = 4, content = "[MASK]"}},
    normalizer = {type = "BertNormalizer", clean_text = true, handle_chinese_chars = true, lowercase = true},
    pre_tokenizer = {type = "BertPreTokenizer"},
    post_processor = {type = "TemplateProcessing", single = {{SpecialToken = {id = "[CLS]", type_id = 0}}, {Sequence = {id = "A", type_id = 0}}, {SpecialToken = {id = "[SEP]", type_id = 0}}}},
    model = {type = "WordPiece", unk_token = "[UNK]", continuing_subword_prefix = "##", max_input_chars_per_word = 100, vocab = vocab},
  }
  for key, value in pairs(changes or {}) do file[key] = value end
  store.write_atomic(folder .. "/tokenizer.json", store.json_encode(file))
  return c.tokenizer(folder .. "/tokenizer.json")
end

check.group("tokenizer.json", function()
  check.equal(table.concat(tokenizer():encode "ab [MASK] A", " "), "2 5 7 4 5 3")
  check.equal(table.concat(tokenizer({post_processor = {type = "BertProcessing", cls = {"[CLS]", 2}, sep = {"[SEP]", 3}}}):encode "a", " "), "2 5 3")
  check.equal(table.concat(tokenizer({post_processor = store.null}):encode "a", " "), "2 5 3")
  -- A token that is cut out of texts before the words are would change what follows.
  check.error(function() tokenizer {added_tokens = {{id = 11, content = "<person>"}}} end, 'added_tokens: "<person>": only [PAD], [UNK], [CLS], [SEP] and [MASK]')
  local swapped = {type = "TemplateProcessing", single = {{SpecialToken = {id = "[SEP]"}}, {Sequence = {id = "A"}}, {SpecialToken = {id = "[CLS]"}}}}
  for _, frame in ipairs {swapped, {type = "TemplateProcessing", single = {{Sequence = {id = "A"}}}}, {type = "BertProcessing", cls = {"<s>", 2}, sep = {"[SEP]", 3}}, {type = "RobertaProcessing"}} do
    check.error(function() tokenizer {post_processor = frame} end, "post_processor: ", "texts here are [CLS] text [SEP]")
  end
  check.error(function() tokenizer {normalizer = {type = "Lowercase"}} end, "only BERT's WordPiece tokenizers can be read")
end)

check.group("tokenizer_config.json beside a vocab.txt", function()
  store.write_atomic(folder .. "/vocab.txt", table.concat(pieces, "\n") .. "\n")
  local function rules(config)
    store.write_atomic(folder .. "/tokenizer_config.json", store.json_encode(config))
    return c.tokenizer(folder .. "/vocab.txt"):rules()
  end
  check.ok(rules({do_lower_case = false}).fast == false and rules({do_lower_case = false}).lower_case == false)
  for _, name in ipairs {"Bert", "DistilBert", "Electra", "MobileBert"} do
    check.ok(rules({tokenizer_class = name .. "TokenizerFast"}).fast, name)
    check.ok(not rules({tokenizer_class = name .. "Tokenizer"}).fast, name)
  end
  for _, name in ipairs {"RobertaTokenizer", "BertJapaneseTokenizer", "BertTokenizerSlow"} do
    check.error(function() rules {tokenizer_class = name} end, "tokenizer_config.json: tokenizer_class \"" .. name .. "\": only BERT's WordPiece tokenizers")
  end
  check.error(function() rules {do_basic_tokenize = false} end, "do_basic_tokenize = false and never_split are not supported")
  check.error(function() rules {never_split = {"a"}} end, "never_split are not supported")
end)

store.remove(folder)
check.done()
