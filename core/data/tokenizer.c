// WordPiece: greedy longest match of each word's pieces.
// defines: vbl_tokenize, vbl_encode, vbl_detokenize, vbl_token_list_{add,free}
#include "core/data/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "core/data/basic_tokenizer.h"

vbl_status vbl_token_list_add(vbl_token_list *t, int32_t id, vbl_error *err) {
  if (t->size == t->room) {
    int32_t room = t->room == 0 ? 64 : 2 * t->room;
    int32_t *ids = realloc(t->id, (size_t)room * sizeof *ids);
    if (ids == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d tokens", room);
    t->id = ids;
    t->room = room;
  }
  t->id[t->size++] = id;
  return VBL_OK;
}

void vbl_token_list_free(vbl_token_list *t) {
  free(t->id);
  *t = (vbl_token_list){0};
}

typedef struct speller {
  const vbl_vocabulary *vocabulary;
  vbl_token_list *out;
} speller;

// The longest piece of word[start..bytes) that the vocabulary holds; *end is where it stops. -1: none.
static int32_t longest_piece(const vbl_vocabulary *v, const char *word, size_t start, size_t bytes, size_t *end) {
  char piece[2 + 4 * VBL_MAX_WORD_CHARS] = "##";
  size_t prefix = start > 0 ? 2 : 0, most = vbl_vocabulary_longest(v) - prefix;
  *end = bytes - start > most ? start + most : bytes;
  memcpy(piece + prefix, word + start, *end - start);
  for (; *end > start; (*end)--) {
    if (*end < bytes && ((unsigned char)word[*end] & 0xC0) == 0x80) continue;  // inside a character
    int32_t id = vbl_vocabulary_find(v, piece, prefix + *end - start);
    if (id >= 0) return id;
  }
  return -1;
}

static vbl_status spell(void *self, const char *word, size_t bytes, size_t chars, vbl_error *err) {
  const speller *s = self;
  int32_t before = s->out->size;
  size_t end = 0;
  for (size_t start = 0; start < bytes && chars <= (size_t)vbl_vocabulary_rules(s->vocabulary)->max_chars; start = end) {
    int32_t id = longest_piece(s->vocabulary, word, start, bytes, &end);
    if (id < 0) {
      s->out->size = before;
      break;
    }
    VBL_TRY(vbl_token_list_add(s->out, id, err));
  }
  if (s->out->size > before) return VBL_OK;
  return vbl_token_list_add(s->out, vbl_vocabulary_special(s->vocabulary, VBL_UNK), err);
}

// The first special token in the text: its id and *at, where it begins; -1: none.
static int32_t first_special(const vbl_vocabulary *v, const char *text, size_t bytes, size_t *at) {
  for (const char *p = text; (p = memchr(p, '[', bytes - (size_t)(p - text))) != NULL; p++) {
    *at = (size_t)(p - text);
    for (int s = 0; s < VBL_SPECIALS; s++) {
      int32_t id = vbl_vocabulary_special(v, (vbl_special)s);
      const char *token = vbl_vocabulary_token(v, id);
      if (bytes - *at >= strlen(token) && memcmp(p, token, strlen(token)) == 0) return id;
    }
  }
  return -1;
}

vbl_status vbl_tokenize(const vbl_vocabulary *v, const char *text, size_t bytes, vbl_token_list *out, vbl_error *err) {
  const vbl_text_rules *rules = vbl_vocabulary_rules(v);
  speller s = {v, out};
  size_t at;
  int32_t id;
  if (rules->fast) VBL_TRY(vbl_utf8_check(text, bytes, err));  // an offset in the whole text
  while (rules->fast && bytes > 0 && (id = first_special(v, text, bytes, &at)) >= 0) {
    VBL_TRY(vbl_basic_tokenize(text, at, rules, spell, &s, err));
    VBL_TRY(vbl_token_list_add(out, id, err));
    at += strlen(vbl_vocabulary_token(v, id));
    text += at;
    bytes -= at;
  }
  return vbl_basic_tokenize(text, bytes, rules, spell, &s, err);
}

vbl_status vbl_encode(const vbl_vocabulary *v, const char *text, size_t bytes, int32_t positions, vbl_token_list *out,
                      bool *truncated, vbl_error *err) {
  if (positions < 3)
    return vbl_fail(err, VBL_EINVAL, "encode: %d positions; expected at least 3 ([CLS], a token, [SEP])", positions);
  int32_t start = out->size;
  VBL_TRY(vbl_token_list_add(out, vbl_vocabulary_special(v, VBL_CLS), err));
  VBL_TRY(vbl_tokenize(v, text, bytes, out, err));
  *truncated = out->size - start > positions - 1;
  if (*truncated) out->size = start + positions - 1;
  return vbl_token_list_add(out, vbl_vocabulary_special(v, VBL_SEP), err);
}

vbl_status vbl_detokenize(const vbl_vocabulary *v, const int32_t *id, int32_t n, vbl_bytes *out, vbl_error *err) {
  bool first = true;
  for (int32_t i = 0; i < n; i++) {
    if (id[i] < 0 || id[i] >= vbl_vocabulary_size(v))
      return vbl_fail(err, VBL_EINVAL, "token id %d; expected 0 to %d", id[i], vbl_vocabulary_size(v) - 1);
    if (id[i] == vbl_vocabulary_special(v, VBL_PAD) || id[i] == vbl_vocabulary_special(v, VBL_CLS) ||
        id[i] == vbl_vocabulary_special(v, VBL_SEP))
      continue;
    const char *token = vbl_vocabulary_token(v, id[i]);
    bool piece = strncmp(token, "##", 2) == 0 && token[2] != 0;
    if (!piece && !first) VBL_TRY(vbl_bytes_add_text(out, " ", err));
    if (piece) token += 2;
    VBL_TRY(vbl_bytes_add_text(out, token, err));
    first = false;
  }
  return VBL_OK;
}
