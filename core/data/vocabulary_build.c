// A vocabulary counted from texts.
// defines: vbl_vocabulary_build
#include <stdlib.h>
#include <string.h>

#include "core/data/basic_tokenizer.h"
#include "core/data/bytes.h"
#include "core/data/vocabulary.h"

// How often each string was seen: a vocabulary numbers the strings, count[id] holds their numbers.
typedef struct tally {
  vbl_vocabulary *names;
  int64_t *count;
  int32_t room;
} tally;

typedef struct entry {
  const char *text;
  int64_t count;
} entry;

typedef struct counters {
  tally words, characters;
} counters;

static vbl_status tally_new(tally *t, vbl_error *err) { return vbl_vocabulary_new(&t->names, err); }

static void tally_free(tally *t) {
  vbl_vocabulary_free(t->names);
  free(t->count);
}

static vbl_status tally_add(tally *t, const char *text, size_t bytes, int64_t times, vbl_error *err) {
  int32_t id;
  VBL_TRY(vbl_vocabulary_number(t->names, text, bytes, &id, err));
  if (id >= t->room) {
    int32_t room = t->room == 0 ? 1024 : 2 * t->room;
    int64_t *count = realloc(t->count, (size_t)room * sizeof *count);
    if (count == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory while counting %d words", room);
    memset(count + t->room, 0, (size_t)(room - t->room) * sizeof *count);
    t->count = count;
    t->room = room;
  }
  t->count[id] += times;
  return VBL_OK;
}

static int by_count_then_bytes(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->count != y->count) return x->count > y->count ? -1 : 1;
  return strcmp(x->text, y->text);
}

static int by_bytes(const void *a, const void *b) { return strcmp(((const entry *)a)->text, ((const entry *)b)->text); }

static vbl_status tally_sorted(const tally *t, int (*order)(const void *, const void *), entry **out, vbl_error *err) {
  int32_t n = vbl_vocabulary_size(t->names);
  *out = malloc(((size_t)n + 1) * sizeof **out);
  if (*out == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory while sorting %d words", n);
  for (int32_t i = 0; i < n; i++) (*out)[i] = (entry){vbl_vocabulary_token(t->names, i), t->count[i]};
  qsort(*out, (size_t)n, sizeof **out, order);
  return VBL_OK;
}

static size_t character_bytes(const char *at) {
  size_t n = 1;
  while (((unsigned char)at[n] & 0xC0) == 0x80) n++;
  return n;
}

static vbl_status count_word(void *self, const char *word, size_t bytes, size_t chars, vbl_error *err) {
  (void)chars;
  return tally_add(&((counters *)self)->words, word, bytes, 1, err);
}

// Adds `prefix` + text unless it is there already.
static vbl_status add_once(vbl_vocabulary *v, const char *prefix, const char *text, vbl_error *err) {
  vbl_bytes token = {0};
  int32_t id;
  vbl_status status = vbl_bytes_add_text(&token, prefix, err);
  if (status == VBL_OK) status = vbl_bytes_add_text(&token, text, err);
  if (status == VBL_OK) status = vbl_vocabulary_number(v, (const char *)token.data, token.size, &id, err);
  vbl_bytes_free(&token);
  return status;
}

// Every character of every word, in the order of the bytes: c, then ##c.
static vbl_status add_characters(vbl_vocabulary *v, counters *c, int limit, vbl_error *err) {
  entry *characters;
  for (int32_t id = 0; id < vbl_vocabulary_size(c->words.names); id++) {
    for (const char *at = vbl_vocabulary_token(c->words.names, id); *at != 0; at += character_bytes(at))
      VBL_TRY(tally_add(&c->characters, at, character_bytes(at), 1, err));
  }
  int32_t n = vbl_vocabulary_size(c->characters.names);
  if (vbl_vocabulary_size(v) + 2 * n > limit)
    return vbl_fail(
        err, VBL_EINVAL,
        "a vocabulary of at most %d tokens cannot hold the %d characters of the texts (each needs two); raise the limit", limit, n);
  VBL_TRY(tally_sorted(&c->characters, by_bytes, &characters, err));
  vbl_status status = VBL_OK;
  for (int32_t i = 0; i < n && status == VBL_OK; i++) {
    status = add_once(v, "", characters[i].text, err);
    if (status == VBL_OK) status = add_once(v, "##", characters[i].text, err);
  }
  free(characters);
  return status;
}

// Endings of at least two characters that leave at least two, counted over the words (each word once).
static vbl_status count_endings(const entry *words, int32_t n, tally *endings, vbl_error *err) {
  for (int32_t i = 0; i < n; i++) {
    const char *at = words[i].text;
    for (int skipped = 0; *at != 0; at += character_bytes(at), skipped++)
      if (skipped >= 2 && at[character_bytes(at)] != 0) VBL_TRY(tally_add(endings, at, strlen(at), 1, err));
  }
  return VBL_OK;
}

static vbl_status add_endings(vbl_vocabulary *v, const entry *words, int32_t n, int limit, vbl_error *err) {
  tally endings = {0};
  entry *sorted = NULL;
  vbl_status status = tally_new(&endings, err);
  if (status == VBL_OK) status = count_endings(words, n, &endings, err);
  if (status == VBL_OK) status = tally_sorted(&endings, by_count_then_bytes, &sorted, err);
  for (int32_t i = 0; status == VBL_OK && i < vbl_vocabulary_size(endings.names) && vbl_vocabulary_size(v) < limit; i++) {
    if (sorted[i].count < 2) break;
    status = add_once(v, "##", sorted[i].text, err);
  }
  free(sorted);
  tally_free(&endings);
  return status;
}

// Words by frequency, then endings for those that found no place.
static vbl_status add_words(vbl_vocabulary *v, const counters *c, int limit, int min_count, vbl_error *err) {
  entry *words;
  int32_t n = vbl_vocabulary_size(c->words.names), kept = 0, i = 0;
  VBL_TRY(tally_sorted(&c->words, by_count_then_bytes, &words, err));
  while (kept < n && words[kept].count >= min_count) kept++;
  bool all = kept == n && vbl_vocabulary_size(v) + n <= limit;
  int word_limit = all ? limit : limit - limit / 8;
  vbl_status status = VBL_OK;
  for (; i < kept && vbl_vocabulary_size(v) < word_limit && status == VBL_OK; i++) status = add_once(v, "", words[i].text, err);
  if (status == VBL_OK && !all) status = add_endings(v, words + i, n - i, limit, err);
  free(words);
  return status;
}

static vbl_status fill(vbl_vocabulary *v, counters *c, const char *const *texts, size_t n, int limit, int min_count,
                       vbl_error *err) {
  VBL_TRY(tally_new(&c->words, err));
  VBL_TRY(tally_new(&c->characters, err));
  for (size_t i = 0; i < n; i++)
    if (vbl_basic_tokenize(texts[i], strlen(texts[i]), &VBL_RULES_BERT, count_word, c, err) != VBL_OK)
      return vbl_context(err, "text %zu", i + 1);
  for (int s = 0; s < VBL_SPECIALS; s++) VBL_TRY(vbl_vocabulary_add(v, vbl_special_names[s], strlen(vbl_special_names[s]), err));
  VBL_TRY(add_characters(v, c, limit, err));
  VBL_TRY(add_words(v, c, limit, min_count, err));
  return vbl_vocabulary_finish(v, err);
}

vbl_status vbl_vocabulary_build(const char *const *texts, size_t n, int limit, int min_count, vbl_vocabulary **out,
                                vbl_error *err) {
  counters c = {0};
  *out = NULL;
  VBL_TRY(vbl_vocabulary_new(out, err));
  vbl_status status = fill(*out, &c, texts, n, limit, min_count, err);
  tally_free(&c.words);
  tally_free(&c.characters);
  if (status != VBL_OK) {
    vbl_vocabulary_free(*out);
    *out = NULL;
    return vbl_context(err, "building a vocabulary");
  }
  return VBL_OK;
}
