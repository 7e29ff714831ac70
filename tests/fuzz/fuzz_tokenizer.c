// Vocabulary and tokenizer: the input up to its first NUL is a vocabulary file, the rest a text. Both are also read on their own: the
// text with a vocabulary of every byte-long token that is not refused.
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

static void with_vocabulary(const char *file, size_t n, const char *text, size_t text_n) {
  vbl_vocabulary *v = NULL;
  vbl_error err;
  fuzz_file f = fuzz_file_make(file, n);
  if (vbl_vocabulary_load(f.path, &v, &err) == VBL_OK) tokenize(v, text, text_n);
  vbl_vocabulary_free(v);
  fuzz_file_end(&f);
}

int FUZZ_ENTRY(const uint8_t *data, size_t size) {
  static const char plain[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##a\nb\n##b\n.\n\xCF\x83\n##\xCF\x82\n";
  if (size == 0) return 0;
  const char *text = (const char *)data, *nul = memchr(text, 0, size);
  size_t first = nul != NULL ? (size_t)(nul - text) : size, after = nul != NULL ? first + 1 : size;
  with_vocabulary(text, first, text + after, size - after);
  with_vocabulary(plain, sizeof plain - 1, text, size);
  return 0;
}
