// BERT's basic tokenization on utf8proc.
// defines: vbl_basic_tokenize, vbl_lower_case, vbl_utf8_check
#include "core/data/basic_tokenizer.h"

#include <stdlib.h>
#include <utf8proc.h>

typedef struct range {
  int32_t first, last;
} range;

static bool in_ranges(int32_t c, const range *r, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (c >= r[i].first && c <= r[i].last) return true;
  return false;
}
#define IN(c, ranges) in_ranges(c, ranges, sizeof(ranges) / sizeof *(ranges))

// The ideographs of tokenization.py; kana and hangul are not among them.
static bool is_cjk(int32_t c, bool fast) {
  if (fast && c >= 0x2B820 && c < 0x2B920) return false;
  static const range cjk[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                              {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  return IN(c, cjk);
}

static bool is_punctuation(int32_t c) {
  static const range ascii[] = {{33, 47}, {58, 64}, {91, 96}, {123, 126}};
  if (c < 128) return IN(c, ascii);
  utf8proc_category_t k = utf8proc_category(c);
  return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

// Blank: what tokenization.py maps to a blank (Zs, tab, line ends) and what str.split() of Python splits at besides (Zl, Zp).
static bool is_blank(int32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return true;
  utf8proc_category_t k = utf8proc_category(c);
  return k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

static bool is_dropped(int32_t c, bool fast) {
  if (c == 0 || c == 0xFFFD) return true;
  utf8proc_category_t k = utf8proc_category(c);
  return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || (fast && k == UTF8PROC_CATEGORY_CO);
}

// Unicode's Case_Ignorable: the general categories below and the apostrophe-, dot- and colon-like word-break characters.
static bool is_case_ignorable(int32_t c) {
  static const range listed[] = {{0x27, 0x27},     {0x2E, 0x2E},     {0x3A, 0x3A},     {0xB7, 0xB7},
                                 {0x387, 0x387},   {0x55F, 0x55F},   {0x5F4, 0x5F4},   {0x2018, 0x2019},
                                 {0x2024, 0x2024}, {0x2027, 0x2027}, {0xFE13, 0xFE13}, {0xFE52, 0xFE52},
                                 {0xFE55, 0xFE55}, {0xFF07, 0xFF07}, {0xFF0E, 0xFF0E}, {0xFF1A, 0xFF1A}};
  utf8proc_category_t k = utf8proc_category(c);
  return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_LM ||
         k == UTF8PROC_CATEGORY_SK || IN(c, listed);
}

// Unicode's Cased, of the characters that are not Case_Ignorable.
static bool is_cased(int32_t c) {
  static const range listed[] = {{0xAA, 0xAA},       {0xBA, 0xBA},       {0x2160, 0x217F},  {0x24B6, 0x24E9},
                                 {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
  utf8proc_category_t k = utf8proc_category(c);
  return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT || IN(c, listed);
}

// Final_Sigma of the Unicode standard (table 3-17): a cased letter before, none after, case-ignorable ones not counted.
static bool is_final_sigma(const int32_t *c, size_t n, size_t at) {
  size_t before = at, after = at + 1;
  while (before > 0 && is_case_ignorable(c[before - 1])) before--;
  if (before == 0 || !is_cased(c[before - 1])) return false;
  while (after < n && is_case_ignorable(c[after])) after++;
  return after == n || !is_cased(c[after]);
}

// The code point at byte *at, which it moves past it.
static vbl_status next_char(const char *text, size_t bytes, size_t *at, utf8proc_int32_t *c, vbl_error *err) {
  utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)text + *at, (utf8proc_ssize_t)(bytes - *at), c);
  if (used <= 0 || *c < 0)
    return vbl_fail(err, VBL_EINVAL, "invalid UTF-8 at byte offset %zu (byte 0x%02X)", *at, (unsigned char)text[*at]);
  *at += (size_t)used;
  return VBL_OK;
}

// Code points of the text with every blank as ' ', dropped ones gone, ideographs set apart. out has room for 3 a byte.
static vbl_status clean(const char *text, size_t bytes, const vbl_text_rules *rules, int32_t *out, size_t *n, vbl_error *err) {
  size_t at = 0;
  *n = 0;
  while (at < bytes) {
    utf8proc_int32_t c;
    VBL_TRY(next_char(text, bytes, &at, &c, err));
    if (is_blank(c)) {
      out[(*n)++] = ' ';
    } else if (rules->split_cjk && is_cjk(c, rules->fast)) {
      out[(*n)++] = ' ';
      out[(*n)++] = c;
      out[(*n)++] = ' ';
    } else if (c == 0x130 && rules->lower_case && !rules->strip_accents) {  // its lower case is two characters
      out[(*n)++] = 'i';
      out[(*n)++] = 0x307;
    } else if (!is_dropped(c, rules->fast)) {
      out[(*n)++] = c;
    }
  }
  return VBL_OK;
}

// Lower case as Python's str.lower(). U+0130 gives i and a combining dot, which would be dropped with the accents: i alone.
// A sigma is judged by its neighbours' case, which lowering those before it does not change; `fast` knows no final one.
static void lower(int32_t *c, size_t n, bool fast) {
  for (size_t i = 0; i < n; i++) {
    if (c[i] == 0x3A3 && !fast)
      c[i] = is_final_sigma(c, n, i) ? 0x3C2 : 0x3C3;
    else if (c[i] == 0x130)
      c[i] = 'i';
    else
      c[i] = utf8proc_tolower(c[i]);
  }
}

// NFD of n code points into *out (malloc'ed), and its length.
static vbl_status decompose(const int32_t *c, size_t n, int32_t **out, size_t *out_n, vbl_error *err) {
  utf8proc_uint8_t *utf8 = malloc(4 * n + 1);
  *out = NULL;
  if (utf8 == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory while tokenizing a text of %zu characters", n);
  utf8proc_ssize_t bytes = 0;
  for (size_t i = 0; i < n; i++) bytes += utf8proc_encode_char(c[i], utf8 + bytes);
  const utf8proc_option_t options = UTF8PROC_DECOMPOSE | UTF8PROC_STABLE;
  utf8proc_ssize_t need = utf8proc_decompose(utf8, bytes, NULL, 0, options);
  if (need >= 0) *out = malloc(((size_t)need + 1) * sizeof **out);
  if (*out != NULL) need = utf8proc_decompose(utf8, bytes, *out, need, options);
  free(utf8);
  if (*out == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory while decomposing a text of %zu characters", n);
  *out_n = (size_t)need;
  return VBL_OK;
}

// Cuts the text into words and hands each on as UTF-8; `word` has room for all of the text. strip: combining marks are left out.
static vbl_status split(const int32_t *c, size_t n, bool strip, utf8proc_uint8_t *word, vbl_word_fn emit, void *self,
                        vbl_error *err) {
  size_t bytes = 0, chars = 0;
  for (size_t i = 0; i <= n; i++) {
    bool punctuation = i < n && is_punctuation(c[i]);
    if (i < n && c[i] != ' ' && !punctuation) {
      if (strip && utf8proc_category(c[i]) == UTF8PROC_CATEGORY_MN) continue;
      bytes += (size_t)utf8proc_encode_char(c[i], word + bytes);
      chars++;
      continue;
    }
    if (chars > 0) VBL_TRY(emit(self, (const char *)word, bytes, chars, err));
    bytes = chars = 0;
    if (punctuation) VBL_TRY(emit(self, (const char *)word, (size_t)utf8proc_encode_char(c[i], word), 1, err));
  }
  return VBL_OK;
}

// The cleaned text as the rules want it, into *out: c itself, or its NFD in memory of its own. Accents go after lower case, and in
// `fast` before.
static vbl_status normalise(int32_t *c, size_t n, const vbl_text_rules *rules, int32_t **out, size_t *out_n, vbl_error *err) {
  *out = c;
  *out_n = n;
  if (rules->lower_case && !rules->fast) lower(c, n, false);
  if (rules->strip_accents) VBL_TRY(decompose(c, n, out, out_n, err));
  if (rules->lower_case && rules->fast) lower(*out, *out_n, true);
  return VBL_OK;
}

// What the steps make of ASCII, which NFD leaves as it is: dropped, a blank, a word of its own, or part of a word.
static vbl_status split_ascii(const char *text, size_t bytes, bool lower_case, char *word, vbl_word_fn emit, void *self,
                              vbl_error *err) {
  size_t n = 0;
  for (size_t i = 0; i <= bytes; i++) {
    int c = i < bytes ? (unsigned char)text[i] : ' ';
    bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r', punctuation = !blank && c > ' ' && is_punctuation(c);
    if (!blank && !punctuation) {
      if (c > ' ' && c < 127) word[n++] = (char)(lower_case && c >= 'A' && c <= 'Z' ? c + 32 : c);
      continue;
    }
    if (n > 0) VBL_TRY(emit(self, word, n, n, err));
    n = 0;
    if (punctuation) VBL_TRY(emit(self, text + i, 1, 1, err));
  }
  return VBL_OK;
}

static bool is_ascii(const char *text, size_t bytes) {
  unsigned char all = 0;
  for (size_t i = 0; i < bytes; i++) all |= (unsigned char)text[i];
  return all < 128;
}

// The text's words, where all of it is ASCII.
static vbl_status tokenize_ascii(const char *text, size_t bytes, const vbl_text_rules *rules, vbl_word_fn emit, void *self,
                                 vbl_error *err) {
  char small[512], *word = bytes <= sizeof small ? small : malloc(bytes);
  if (word == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory while tokenizing a text of %zu bytes", bytes);
  vbl_status status = split_ascii(text, bytes, rules->lower_case, word, emit, self, err);
  if (word != small) free(word);
  return status;
}

vbl_status vbl_basic_tokenize(const char *text, size_t bytes, const vbl_text_rules *rules, vbl_word_fn emit, void *self,
                              vbl_error *err) {
  if (is_ascii(text, bytes)) return tokenize_ascii(text, bytes, rules, emit, self, err);
  int32_t *c = malloc((3 * bytes + 1) * sizeof *c), *normal = NULL;
  utf8proc_uint8_t *word = NULL;
  size_t n, normal_n = 0;
  vbl_status status = VBL_OK;
  if (c == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory while tokenizing a text of %zu bytes", bytes);
  status = clean(text, bytes, rules, c, &n, err);
  if (status == VBL_OK) status = normalise(c, n, rules, &normal, &normal_n, err);
  if (status == VBL_OK && (word = malloc(4 * normal_n + 4)) == NULL)
    status = vbl_fail(err, VBL_ENOMEM, "out of memory while tokenizing a text of %zu bytes", bytes);
  if (status == VBL_OK) status = split(normal, normal_n, rules->strip_accents, word, emit, self, err);
  if (normal != c) free(normal);
  free(c);
  free(word);
  return status;
}

// The code points of the text in lower case; c has room for one a byte, and U+0130, of two bytes, is two of them.
static vbl_status lower_chars(const char *text, size_t bytes, int32_t *c, size_t *n, vbl_error *err) {
  *n = 0;
  for (size_t at = 0; at < bytes;) {
    utf8proc_int32_t one;
    VBL_TRY(next_char(text, bytes, &at, &one, err));
    c[(*n)++] = one == 0x130 ? 'i' : one;
    if (one == 0x130) c[(*n)++] = 0x307;
  }
  lower(c, *n, false);
  return VBL_OK;
}

vbl_status vbl_lower_case(const char *text, size_t bytes, vbl_bytes *out, vbl_error *err) {
  int32_t *c = malloc((bytes + 1) * sizeof *c);
  size_t n;
  if (c == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory while lower-casing a text of %zu bytes", bytes);
  vbl_status status = lower_chars(text, bytes, c, &n, err);
  for (size_t i = 0; status == VBL_OK && i < n; i++) {
    utf8proc_uint8_t one[4];
    status = vbl_bytes_add(out, one, (size_t)utf8proc_encode_char(c[i], one), err);
  }
  free(c);
  return status;
}

vbl_status vbl_utf8_check(const char *text, size_t bytes, vbl_error *err) {
  if (is_ascii(text, bytes)) return VBL_OK;
  for (size_t at = 0; at < bytes;) {
    utf8proc_int32_t c;
    VBL_TRY(next_char(text, bytes, &at, &c, err));
  }
  return VBL_OK;
}
