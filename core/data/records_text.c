// Records: the vocabulary and the tokens of the texts.
// defines: vbl_records_tokenize
#include <stdlib.h>
#include <string.h>

#include "core/base/interrupt.h"
#include "core/data/records.h"

static vbl_status load_vocabulary(vbl_records *r, vbl_error *err) {
  const char *first;
  VBL_TRY(vbl_vocabulary_load(r->options.vocabulary, &r->vocabulary, err));
  int duplicates = vbl_vocabulary_duplicates(r->vocabulary, &first);
  if (duplicates == 0) return VBL_OK;
  return vbl_records_note(r, err, "%s: %d tokens stand twice, the first is \"%.100s\"; the last one counts", r->options.vocabulary,
                          duplicates, first);
}

static vbl_status count_vocabulary(vbl_records *r, vbl_error *err) {
  const vbl_split *train = vbl_source_split(&r->source, "train");
  const char **texts = malloc((size_t)r->text_count * sizeof *texts);
  if (texts == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for the texts");
  size_t n = 0;
  for (int32_t i = 0; i < train->n; i++)
    for (int32_t k = r->first[train->sample[i]]; k < r->first[train->sample[i] + 1]; k++) texts[n++] = vbl_records_text(r, k);
  vbl_status status = vbl_vocabulary_build(texts, n, r->options.vocabulary_limit, 2, &r->vocabulary, err);
  free(texts);
  return status;
}

// A counted vocabulary that was written down and is read again is the same one.
static void hash_vocabulary(vbl_records *r) {
  for (int32_t i = 0; i < vbl_vocabulary_size(r->vocabulary); i++) {
    const char *token = vbl_vocabulary_token(r->vocabulary, i);
    r->hash = vbl_hash_bytes(r->hash, token, strlen(token) + 1);
  }
}

static vbl_status encode(vbl_records *r, int32_t k, vbl_error *err) {
  bool truncated;
  int32_t start = r->tokens.size;
  const char *text = vbl_records_text(r, k);
  if (start > INT32_MAX / 2) return vbl_fail(err, VBL_EINVAL, "more than 2^30 tokens of text in one data set");
  VBL_TRY(vbl_encode(r->vocabulary, text, strlen(text), r->options.max_tokens, &r->tokens, &truncated, err));
  r->truncated += truncated;
  r->token_first[k + 1] = r->tokens.size;
  r->text_key[k] = vbl_hash_bytes(VBL_HASH_START, r->tokens.id + start, (size_t)(r->tokens.size - start) * sizeof *r->tokens.id);
  return VBL_OK;
}

vbl_status vbl_records_tokenize(vbl_records *r, vbl_error *err) {
  VBL_TRY(r->options.vocabulary != NULL ? load_vocabulary(r, err) : count_vocabulary(r, err));
  hash_vocabulary(r);
  r->token_first = calloc((size_t)r->text_count + 1, sizeof *r->token_first);
  r->text_key = malloc((size_t)r->text_count * sizeof *r->text_key);
  if (r->token_first == NULL || r->text_key == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d texts", r->text_count);
  for (int32_t k = 0; k < r->text_count; k++) {
    if (k % 4096 == 0) VBL_TRY(vbl_interrupt_check(err));
    VBL_TRY(encode(r, k, err));
  }
  if (r->truncated == 0) return VBL_OK;
  return vbl_records_note(r, err, "%lld of %d texts have more than max_tokens = %d tokens; cut", (long long)r->truncated,
                          r->text_count, r->options.max_tokens);
}
