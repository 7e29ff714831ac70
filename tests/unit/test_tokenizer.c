// WordPiece: rules one by one on a toy vocabulary, bad vocabularies, built vocabularies, the golden cases, and, where the shared
// ones for the real BERT vocabulary lie beside the project, every one of them.
#include <stdlib.h>
#include <unistd.h>

#include "core/data/basic_tokenizer.h"
#include "core/data/tokenizer.h"
#include "tests/check.h"

static const char *const toy =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwant\n##want\n##ed\nwa\nun\nrunn\n##ing\n,\n[unused0]\na\nb\n##b\n\xCF\x83\n##\xCF\x82\n"
    "\xE5\x8D\x9A\n\xE1\x84\x92\n##\xE1\x85\xA1\n##\xE1\x86\xAB\n##\xCF\x83\n";
static char path[] = "/tmp/vbl-test-vocabulary-XXXXXX";

static void write_file(const char *text) {
  FILE *f = fopen(path, "wb");
  fputs(text, f);
  fclose(f);
}

// "un ##want ##ed" for the text.
static void tokens_of(const vbl_vocabulary *v, const char *text, size_t bytes, char *out, size_t room) {
  vbl_token_list t = {0};
  vbl_error err;
  out[0] = 0;
  if (vbl_tokenize(v, text, bytes, &t, &err) != VBL_OK) snprintf(out, room, "error: %s", err.message);
  for (int32_t i = 0; i < t.size; i++) {
    if (i > 0) strncat(out, " ", room - strlen(out) - 1);
    strncat(out, vbl_vocabulary_token(v, t.id[i]), room - strlen(out) - 1);
  }
  vbl_token_list_free(&t);
}

static void check_tokens(const vbl_vocabulary *v, const char *text, const char *expected) {
  char got[2048];
  tokens_of(v, text, strlen(text), got, sizeof got);
  CHECK_STR(got, expected);
}

static void test_rules(void) {
  vbl_vocabulary *v = NULL;
  vbl_error err;
  write_file(toy);
  CHECK_OK(vbl_vocabulary_load(path, &v, &err), err);
  if (v == NULL) return;
  CHECK(vbl_vocabulary_size(v) == 24 && vbl_vocabulary_special(v, VBL_MASK) == 4);
  check_tokens(v,
               "UNwant\xC3\xA9"
               "d,running",
               "un ##want ##ed , runn ##ing");
  check_tokens(v, "unwantedX running", "[UNK] runn ##ing");
  check_tokens(v, "", "");
  check_tokens(v, " \t\r\n ", "");
  check_tokens(v,
               "a\xE5\x8D\x9A"
               "b",
               "a \xE5\x8D\x9A b");  // blanks round an ideograph
  check_tokens(v,
               "a\xE2\x80\xA8"
               "b a\xC2\xA0"
               "b",
               "a b a b");  // U+2028, no-break space
  check_tokens(v,
               "a\x07\xE2\x80\x8B"
               "b",
               "a ##b");                                                          // controls and zero width dropped: "ab"
  check_tokens(v, "\xCE\xA3\xCE\xA3 \xCE\xA3", "\xCF\x83 ##\xCF\x82 \xCF\x83");   // final sigma, and one that stands alone
  check_tokens(v, "\xED\x95\x9C", "\xE1\x84\x92 ##\xE1\x85\xA1 ##\xE1\x86\xAB");  // hangul to jamo
  check_tokens(v, "[MASK]", "[UNK] [UNK] [UNK]");                                 // specials in a text are plain text
  char word[202 + 1] = "a", expected[2048] = "a", got[2048];
  for (int i = 1; i < 201; i++) word[i] = 'b';
  for (int i = 1; i < 200; i++) strcat(expected, " ##b");
  tokens_of(v, word, 200, got, sizeof got);
  CHECK_STR(got, expected);
  tokens_of(v, word, 201, got, sizeof got);
  CHECK_STR(got, "[UNK]");
  vbl_vocabulary_free(v);
}

static void test_encode(void) {
  vbl_vocabulary *v = NULL;
  vbl_error err;
  vbl_token_list t = {0};
  vbl_bytes text = {0};
  bool truncated = true;
  write_file(toy);
  CHECK_OK(vbl_vocabulary_load(path, &v, &err), err);
  CHECK_OK(vbl_encode(v, "running a", 9, 5, &t, &truncated, &err), err);
  CHECK(!truncated && t.size == 5 && t.id[0] == 2 && t.id[1] == 10 && t.id[2] == 11 && t.id[3] == 14 && t.id[4] == 3);
  CHECK_OK(vbl_detokenize(v, t.id, t.size, &text, &err), err);
  CHECK(text.size == 9 && memcmp(text.data, "running a", 9) == 0);
  t.size = 0;
  CHECK_OK(vbl_encode(v, "running a", 9, 4, &t, &truncated, &err), err);
  CHECK(truncated && t.size == 4 && t.id[2] == 11 && t.id[3] == 3);
  CHECK(vbl_encode(v, "a", 1, 2, &t, &truncated, &err) == VBL_EINVAL);
  CHECK(vbl_tokenize(v, "ab \xFF", 4, &t, &err) == VBL_EINVAL && strstr(err.message, "byte offset 3") != NULL);
  CHECK(vbl_tokenize(v, "\xED\xA0\x80", 3, &t, &err) == VBL_EINVAL);  // a surrogate
  CHECK(vbl_tokenize(v, "a\xC3", 2, &t, &err) == VBL_EINVAL && strstr(err.message, "byte offset 1") != NULL);
  int32_t bad = 24;
  CHECK(vbl_detokenize(v, &bad, 1, &text, &err) == VBL_EINVAL);
  vbl_token_list_free(&t);
  vbl_bytes_free(&text);
  vbl_vocabulary_free(v);
}

static void check_bad_vocabulary(const char *content, const char *expected) {
  vbl_vocabulary *v = NULL;
  vbl_error err = {0};
  write_file(content);
  CHECK(vbl_vocabulary_load(path, &v, &err) != VBL_OK && v == NULL);
  CHECK(strstr(err.message, path) != NULL);
  if (strstr(err.message, expected) == NULL) CHECK_STR(err.message, expected);
}

static void test_bad_vocabularies(void) {
  vbl_vocabulary *v = NULL;
  vbl_error err;
  const char *first;
  int32_t n;
  check_bad_vocabulary("[PAD]\n[UNK]\n[CLS]\n[SEP]\nword\n", "the token [MASK] is missing");
  check_bad_vocabulary("", "the token [PAD] is missing");
  check_bad_vocabulary("[PAD]\n\nword\n", "line 2 is empty");
  check_bad_vocabulary("[PAD]\n\xC3(\n", "line 2: invalid UTF-8");
  check_bad_vocabulary("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n[unused0]\n", "only special tokens");
  CHECK(vbl_vocabulary_load("/nonexistent/vocab.txt", &v, &err) == VBL_EIO &&
        strstr(err.message, "/nonexistent/vocab.txt") != NULL);
  write_file("[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\ntwice\r\n[unused1]\r\ntwice\r\n");
  CHECK_OK(vbl_vocabulary_load(path, &v, &err), err);
  CHECK(vbl_vocabulary_duplicates(v, &first) == 1);
  CHECK_STR(first, "twice");
  CHECK(vbl_vocabulary_find(v, "twice", 5) == 7);  // BERT: the last one counts
  const int32_t *ordinary = vbl_vocabulary_ordinary(v, &n);
  CHECK(n == 2 && ordinary[0] == 5 && ordinary[1] == 7);
  vbl_vocabulary_free(v);
}

static void test_build(void) {
  const char *texts[] = {"A red circle.", "a blue circle", "jumping dog, swimming dog"}, *turned[] = {texts[2], texts[1], texts[0]};
  vbl_vocabulary *v = NULL, *w = NULL;
  vbl_error err;
  CHECK_OK(vbl_vocabulary_build(texts, 3, 200, 1, &v, &err), err);
  CHECK_OK(vbl_vocabulary_build(turned, 3, 200, 1, &w, &err), err);
  CHECK(vbl_vocabulary_size(v) == vbl_vocabulary_size(w));
  for (int i = 0; i < vbl_vocabulary_size(v); i++) CHECK_STR(vbl_vocabulary_token(v, i), vbl_vocabulary_token(w, i));
  CHECK(vbl_vocabulary_special(v, VBL_PAD) == 0 && vbl_vocabulary_special(v, VBL_MASK) == 4 &&
        vbl_vocabulary_duplicates(v, NULL) == 0);
  check_tokens(v, "A RED circle.", "a red circle .");
  check_tokens(v, "dice", "d ##i ##c ##e");
  vbl_vocabulary_free(w);
  CHECK_OK(vbl_vocabulary_build(texts, 3, 200, 2, &w, &err), err);
  check_tokens(w, "swimming dog", "s ##w ##i ##m ##m ##ing dog");  // ##ing ends two of the words left out, ##ming one
  vbl_vocabulary_free(w);
  vbl_vocabulary_free(v);
  v = NULL;
  CHECK(vbl_vocabulary_build(texts, 3, 20, 1, &v, &err) == VBL_EINVAL && v == NULL &&
        strstr(err.message, "raise the limit") != NULL);
}

// --- golden cases: JSON string <TAB> tokens <TAB> ids ---

static size_t json_string(const char *at, char *out) {  // at stands on the opening quote; returns the bytes written
  char *o = out;
  for (at++; *at != '"'; at++) {
    if (*at != '\\') {
      *o++ = *at;
      continue;
    }
    at++;
    const char *plain = "\"\\/bfnrt", *is = "\"\\/\b\f\n\r\t", *k = strchr(plain, *at);
    if (k != NULL) {
      *o++ = is[k - plain];
      continue;
    }
    char hex[5] = {at[1], at[2], at[3], at[4], 0};
    unsigned c = (unsigned)strtoul(hex, NULL, 16);
    at += 4;
    if (c >= 0xD800 && c < 0xDC00) {
      char low[5] = {at[3], at[4], at[5], at[6], 0};
      c = 0x10000 + ((c - 0xD800) << 10) + ((unsigned)strtoul(low, NULL, 16) - 0xDC00);
      at += 6;
    }
    if (c < 0x80) {
      *o++ = (char)c;
    } else if (c < 0x800) {
      *o++ = (char)(0xC0 | c >> 6), *o++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
      *o++ = (char)(0xE0 | c >> 12), *o++ = (char)(0x80 | (c >> 6 & 63)), *o++ = (char)(0x80 | (c & 63));
    } else {
      *o++ = (char)(0xF0 | c >> 18), *o++ = (char)(0x80 | (c >> 12 & 63)), *o++ = (char)(0x80 | (c >> 6 & 63));
      *o++ = (char)(0x80 | (c & 63));
    }
  }
  return (size_t)(o - out);
}

static bool golden_line_equal(const vbl_vocabulary *v, const char *line) {
  char *text = malloc(strlen(line) + 1);
  size_t bytes = json_string(line, text);
  const char *ids = strrchr(line, '\t') + 1;
  vbl_token_list t = {0};
  vbl_error err;
  bool equal = vbl_tokenize(v, text, bytes, &t, &err) == VBL_OK;
  int32_t i = 0;
  for (char *end; equal && *ids != 0 && *ids != '\n'; ids = end, i++) {
    long id = strtol(ids, &end, 10);
    if (end == ids) break;
    equal = i < t.size && t.id[i] == id;
  }
  equal = equal && i == t.size;
  vbl_token_list_free(&t);
  free(text);
  return equal;
}

static void test_golden_file(const vbl_vocabulary *v, const char *name, int expected) {
  FILE *f = fopen(name, "rb");
  CHECK(f != NULL);
  if (f == NULL) return;
  char *line = NULL;
  size_t room = 0;
  int lines = 0;
  while (getline(&line, &room, f) > 0) {
    lines++;
    bool equal = golden_line_equal(v, line);
    if (!equal) fprintf(stderr, "%s:%d: other ids\n", name, lines);
    CHECK(equal);
  }
  CHECK(lines == expected);
  free(line);
  fclose(f);
}

static void test_golden(void) {
  vbl_vocabulary *v = NULL;
  vbl_error err;
  CHECK_OK(vbl_vocabulary_load("tests/golden/tokenizer_vocab.txt", &v, &err), err);
  if (v != NULL) test_golden_file(v, "tests/golden/tokenizer_cases.tsv", 52);
  if (v != NULL) vbl_vocabulary_use(v, VBL_TOKENIZER_FAST);
  if (v != NULL) test_golden_file(v, "tests/golden/tokenizer_fast_cases.tsv", 69);
  if (v != NULL) vbl_vocabulary_use(v, VBL_TOKENIZER_BERT);
  if (v != NULL) test_golden_file(v, "tests/golden/tokenizer_cases.tsv", 52);
  vbl_vocabulary_free(v);
  if (access("../shared/data/tokenizer/cases.tsv", R_OK) != 0) {
    printf("skipped: the shared golden cases (no ../shared/data/tokenizer)\n");
    return;
  }
  CHECK_OK(vbl_vocabulary_load("../shared/data/bert-base-uncased-vocab.txt", &v, &err), err);
  if (v == NULL) return;
  CHECK(vbl_vocabulary_size(v) == 30522 && vbl_vocabulary_duplicates(v, NULL) == 0);
  CHECK(vbl_vocabulary_special(v, VBL_CLS) == 101 && vbl_vocabulary_special(v, VBL_MASK) == 103);
  test_golden_file(v, "../shared/data/tokenizer/cases.tsv", 73);
  test_golden_file(v, "../shared/data/tokenizer/flickr8k-captions-300.tsv", 300);
  test_golden_file(v, "../shared/data/tokenizer/imdb-nonascii-100.tsv", 100);
  vbl_vocabulary_free(v);
}

int main(void) {
  close(mkstemp(path));
  test_rules();
  test_encode();
  test_bad_vocabularies();
  test_build();
  test_golden();
  unlink(path);
  return check_done();
}
