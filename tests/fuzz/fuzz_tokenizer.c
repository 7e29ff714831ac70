// Vocabulary and tokenizer: the input up to its first NUL is a vocabulary (a file of lines, and a tokenizer.json), the rest a text, and
// a tokenizer_config.json. All of it is a text for a small vocabulary by both rules, too.
#include "core/data/tokenizer.h"
#include "tests/fuzz/fuzz.h"

static void tokenize(const vbl_vocabulary *v, const char *text, size_t n) {
  vbl_token_list t = {0};
  vbl_bytes out = {0};
  vbl_error err;
  bool truncated;
  if (vbl_encode(v, text, n, 32, &t, &truncated, &err) == VBL_OK) {
    if (t.size > 32) abort();
    if (vbl_detokenize(v, t.id, t.size, &out, &err) != VBL_OK) abort();  // ids of its own
  }
  vbl_token_list_free(&t);
  vbl_bytes_free(&out);
}

static void with_lines(const char *file, size_t n, const char *text, size_t text_n) {
  vbl_vocabulary *v = NULL;
  vbl_error err;
  fuzz_file f = fuzz_file_make(file, n);
  if (vbl_vocabulary_load(f.path, &v, &err) == VBL_OK) {
    tokenize(v, text, text_n);
    vbl_text_rules rules = *vbl_vocabulary_rules(v);
    rules.fast = true;
    rules.strip_accents = text_n % 2 == 0;
    vbl_vocabulary_set_rules(v, rules);
    tokenize(v, text, text_n);
    if (vbl_vocabulary_config(v, text, text_n, &err) == VBL_OK) tokenize(v, text, text_n);
  }
  vbl_vocabulary_free(v);
  fuzz_file_end(&f);
}

static void with_json(const char *file, size_t n, const char *text, size_t text_n) {
  vbl_vocabulary *v = NULL;
  vbl_error err;
  if (vbl_vocabulary_new(&v, &err) == VBL_OK && vbl_vocabulary_add_json(v, file, n, &err) == VBL_OK &&
      vbl_vocabulary_finish(v, &err) == VBL_OK)
    tokenize(v, text, text_n);
  vbl_vocabulary_free(v);
}

int FUZZ_ENTRY(const uint8_t *data, size_t size) {
  static const char plain[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##a\nb\n##b\n.\n\xCF\x83\n##\xCF\x82\n";
  if (size == 0) return 0;
  const char *text = (const char *)data, *nul = memchr(text, 0, size);
  size_t first = nul != NULL ? (size_t)(nul - text) : size, after = nul != NULL ? first + 1 : size;
  with_lines(text, first, text + after, size - after);
  with_json(text, first, text + after, size - after);
  with_lines(plain, sizeof plain - 1, text, size);
  return 0;
}
