// Hugging Face's tokenizer files: tokenizer.json (vocabulary and rules) and tokenizer_config.json (rules beside a vocab.txt).
// defines: vbl_vocabulary_add_json, vbl_vocabulary_config
#include <stdlib.h>
#include <string.h>

#include "core/data/vocabulary.h"
#include "core/store/json.h"

// The text of a member, "" where it has none.
static const char *text_of(const vbl_json *object, const char *key) {
  const vbl_json *v = vbl_json_get(object, key);
  return v != NULL && v->type == VBL_JSON_STRING ? v->text : "";
}

// true, false, or the fallback for null and what is not there.
static vbl_status flag(const vbl_json *object, const char *key, bool fallback, bool *out, vbl_error *err) {
  const vbl_json *v = vbl_json_get(object, key);
  *out = v == NULL || v->type == VBL_JSON_NULL ? fallback : v->type == VBL_JSON_TRUE;
  if (v == NULL || v->type <= VBL_JSON_TRUE) return VBL_OK;
  return vbl_fail(err, VBL_EINVAL, "%s is neither true nor false", key);
}

static vbl_status expect_type(const vbl_json *root, const char *key, const char *type, vbl_error *err) {
  const char *got = text_of(vbl_json_get(root, key), "type");
  if (strcmp(got, type) == 0) return VBL_OK;
  return vbl_fail(err, VBL_EINVAL, "%s: type \"%.40s\"; only BERT's WordPiece tokenizers can be read (expected \"%s\")", key, got,
                  type);
}

// The id of part k of the template, "A" of the text; "" where it has none.
static const char *template_part(const vbl_json *single, int k) {
  const vbl_json *part = single == NULL ? NULL : single->child;
  for (; part != NULL && k > 0; k--) part = part->next;
  const vbl_json *special = vbl_json_get(part, "SpecialToken"), *sequence = vbl_json_get(part, "Sequence");
  return text_of(special != NULL ? special : sequence, "id");
}

// Texts become [CLS] text [SEP]; a file that says nothing of it (null) is taken to mean that.
static vbl_status check_frame(const vbl_json *root, vbl_error *err) {
  const vbl_json *frame = vbl_json_get(root, "post_processor");
  if (frame == NULL || frame->type == VBL_JSON_NULL) return VBL_OK;
  const char *type = text_of(frame, "type");
  bool fits = false;
  if (strcmp(type, "TemplateProcessing") == 0) {
    const vbl_json *single = vbl_json_get(frame, "single");
    fits = single != NULL && single->size == 3 && strcmp(template_part(single, 0), "[CLS]") == 0 &&
           strcmp(template_part(single, 1), "A") == 0 && strcmp(template_part(single, 2), "[SEP]") == 0;
  } else if (strcmp(type, "BertProcessing") == 0) {
    const vbl_json *cls = vbl_json_get(frame, "cls"), *sep = vbl_json_get(frame, "sep");
    fits = cls != NULL && cls->child != NULL && cls->child->text != NULL && strcmp(cls->child->text, "[CLS]") == 0 && sep != NULL &&
           sep->child != NULL && sep->child->text != NULL && strcmp(sep->child->text, "[SEP]") == 0;
  }
  if (fits) return VBL_OK;
  return vbl_fail(err, VBL_EINVAL, "post_processor: \"%.40s\" with other tokens; texts here are [CLS] text [SEP]", type);
}

static vbl_status read_rules(const vbl_json *root, vbl_text_rules *rules, vbl_error *err) {
  const vbl_json *normalizer = vbl_json_get(root, "normalizer"), *model = vbl_json_get(root, "model");
  const vbl_json *chars = vbl_json_get(model, "max_input_chars_per_word");
  bool cleaned;
  *rules = VBL_RULES_BERT;
  rules->fast = true;
  rules->max_chars = 100;  // the library's default
  VBL_TRY(expect_type(root, "model", "WordPiece", err));
  VBL_TRY(expect_type(root, "normalizer", "BertNormalizer", err));
  VBL_TRY(expect_type(root, "pre_tokenizer", "BertPreTokenizer", err));
  VBL_TRY(flag(normalizer, "lowercase", true, &rules->lower_case, err));
  VBL_TRY(flag(normalizer, "strip_accents", rules->lower_case, &rules->strip_accents, err));
  VBL_TRY(flag(normalizer, "handle_chinese_chars", true, &rules->split_cjk, err));
  VBL_TRY(flag(normalizer, "clean_text", true, &cleaned, err));
  if (!cleaned) return vbl_fail(err, VBL_EINVAL, "normalizer: clean_text = false is not supported");
  if (strcmp(text_of(model, "continuing_subword_prefix"), "##") != 0)
    return vbl_fail(err, VBL_EINVAL, "model: continuing_subword_prefix is \"%.20s\"; expected \"##\"",
                    text_of(model, "continuing_subword_prefix"));
  if (chars == NULL) return VBL_OK;
  if (chars->type != VBL_JSON_INTEGER || chars->integer < 1 || chars->integer > VBL_MAX_WORD_CHARS)
    return vbl_fail(err, VBL_EINVAL, "model: max_input_chars_per_word: expected 1 to %d", VBL_MAX_WORD_CHARS);
  rules->max_chars = (int)chars->integer;
  return VBL_OK;
}

// Puts a token at its id; `room` ids there are.
static vbl_status place(const char **tokens, size_t room, const char *token, const vbl_json *id, vbl_error *err) {
  if (id == NULL || id->type != VBL_JSON_INTEGER || id->integer < 0 || (uint64_t)id->integer >= room)
    return vbl_fail(err, VBL_EINVAL, "token \"%.40s\": its id is no whole number from 0 to %zu", token, room - 1);
  const char **at = &tokens[id->integer];
  if (*at != NULL && strcmp(*at, token) != 0)
    return vbl_fail(err, VBL_EINVAL, "tokens \"%.40s\" and \"%.40s\" have the same id %lld", *at, token, (long long)id->integer);
  *at = token;
  return VBL_OK;
}

static bool is_special(const char *token) {
  for (int s = 0; s < VBL_SPECIALS; s++)
    if (strcmp(token, vbl_special_names[s]) == 0) return true;
  return false;
}

// model.vocab is token -> id; added_tokens repeats the specials. Others would be cut out of texts before the words are.
static vbl_status place_all(const vbl_json *vocab, const vbl_json *added, const char **tokens, size_t room, vbl_error *err) {
  for (const vbl_json *t = vocab->child; t != NULL; t = t->next) VBL_TRY(place(tokens, room, t->key, t, err));
  for (const vbl_json *a = added == NULL ? NULL : added->child; a != NULL; a = a->next) {
    const vbl_json *content = vbl_json_get(a, "content");
    if (content == NULL || content->type != VBL_JSON_STRING || strlen(content->text) != content->size)
      return vbl_fail(err, VBL_EINVAL, "added_tokens: one has no content");
    if (!is_special(content->text))
      return vbl_fail(err, VBL_EINVAL,
                      "added_tokens: \"%.60s\": only [PAD], [UNK], [CLS], [SEP] and [MASK] are looked for in texts; without it in "
                      "the file it is cut into pieces as other words are",
                      content->text);
    VBL_TRY(place(tokens, room, content->text, vbl_json_get(a, "id"), err));
  }
  return VBL_OK;
}

// Ids 0, 1, ... to the last that has a token; none may be left out.
static vbl_status add_all(vbl_vocabulary *v, const char **tokens, size_t room, vbl_error *err) {
  while (room > 0 && tokens[room - 1] == NULL) room--;
  for (size_t id = 0; id < room; id++) {
    if (tokens[id] == NULL) return vbl_fail(err, VBL_EINVAL, "no token has the id %zu", id);
    VBL_TRY(vbl_vocabulary_add(v, tokens[id], strlen(tokens[id]), err));
  }
  return VBL_OK;
}

static vbl_status add_tokenizer(vbl_vocabulary *v, const vbl_json *root, vbl_error *err) {
  vbl_text_rules rules;
  VBL_TRY(read_rules(root, &rules, err));
  VBL_TRY(check_frame(root, err));
  const vbl_json *vocab = vbl_json_get(vbl_json_get(root, "model"), "vocab"), *added = vbl_json_get(root, "added_tokens");
  if (vocab == NULL || vocab->type != VBL_JSON_OBJECT) return vbl_fail(err, VBL_EINVAL, "model: no vocab of token -> id in it");
  if (added != NULL && added->type != VBL_JSON_ARRAY) added = NULL;
  size_t room = vocab->size + (added == NULL ? 0 : added->size);
  if (room == 0 || room > INT32_MAX) return vbl_fail(err, VBL_EINVAL, "a vocabulary of %zu tokens", room);
  const char **tokens = calloc(room, sizeof *tokens);
  if (tokens == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a vocabulary of %zu tokens", room);
  vbl_status status = place_all(vocab, added, tokens, room, err);
  if (status == VBL_OK) status = add_all(v, tokens, room, err);
  free(tokens);
  vbl_vocabulary_set_rules(v, rules);
  return status;
}

vbl_status vbl_vocabulary_add_json(vbl_vocabulary *v, const char *text, size_t bytes, vbl_error *err) {
  vbl_json *root;
  VBL_TRY(vbl_json_parse(text, bytes, "JSON", &root, err));
  vbl_status status = add_tokenizer(v, root, err);
  vbl_json_free(root);
  return status;
}

// Classes whose tokenizer is BERT's WordPiece; *fast: with "Fast" behind the name. (A file that names the other one may be meant for the fast one all the
// same, which is what AutoTokenizer makes of it: the option tokenizer decides.)
static bool is_wordpiece(const char *class, bool *fast) {
  static const char *const known[] = {"BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer"};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    size_t n = strlen(known[i]);
    if (strncmp(class, known[i], n) != 0) continue;
    *fast = strcmp(class + n, "Fast") == 0;
    if (*fast || class[n] == 0) return true;
  }
  return false;
}

static vbl_status config_rules(const vbl_json *root, vbl_text_rules *rules, bool *fast, vbl_error *err) {
  const char *class = text_of(root, "tokenizer_class");
  const vbl_json *never = vbl_json_get(root, "never_split");
  bool basic;
  VBL_TRY(flag(root, "do_lower_case", rules->lower_case, &rules->lower_case, err));
  VBL_TRY(flag(root, "strip_accents", rules->lower_case, &rules->strip_accents, err));
  VBL_TRY(flag(root, "tokenize_chinese_chars", true, &rules->split_cjk, err));
  VBL_TRY(flag(root, "do_basic_tokenize", true, &basic, err));
  if (!basic || (never != NULL && never->type == VBL_JSON_ARRAY && never->size > 0))
    return vbl_fail(err, VBL_EINVAL, "do_basic_tokenize = false and never_split are not supported");
  *fast = false;
  if (class[0] == 0 || is_wordpiece(class, fast)) return VBL_OK;
  return vbl_fail(err, VBL_EINVAL,
                  "tokenizer_class \"%.60s\": only BERT's WordPiece tokenizers can be read (BertTokenizer, BertTokenizerFast)",
                  class);
}

vbl_status vbl_vocabulary_config(vbl_vocabulary *v, const char *text, size_t bytes, vbl_error *err) {
  vbl_json *root;
  vbl_text_rules rules = *vbl_vocabulary_rules(v);
  bool fast = false;
  VBL_TRY(vbl_json_parse(text, bytes, "tokenizer_config.json", &root, err));
  vbl_status status = config_rules(root, &rules, &fast, err);
  vbl_json_free(root);
  vbl_vocabulary_set_rules(v, rules);
  if (fast) vbl_vocabulary_use(v, VBL_TOKENIZER_FAST);
  return status == VBL_OK ? VBL_OK : vbl_context(err, "tokenizer_config.json");
}
