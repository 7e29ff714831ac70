// Records: the vocabulary and the tokens of the texts.
// defines: vbl_records_tokenize
#include <stdlib.h>
#include <string.h>

#include "core/base/interrupt.h"
#include "core/data/records.h"

static vbl_status load_vocabulary(vbl_records *r, vbl_error *err) {
  const char *first;
  VBL_TRY(vbl_vocabulary_load(r->options.vocabulary, &r->vocabulary, err));
  vbl_vocabulary_use(r->vocabulary, r->options.tokenizer);
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
  const vbl_text_rules *rules = vbl_vocabulary_rules(r->vocabulary), bert = VBL_RULES_BERT;
  const int32_t cut[] = {rules->lower_case, rules->strip_accents, rules->split_cjk, rules->fast, rules->max_chars};
  const int32_t plain[] = {bert.lower_case, bert.strip_accents, bert.split_cjk, bert.fast, bert.max_chars};
  if (memcmp(cut, plain, sizeof cut) != 0) r->hash = vbl_hash_bytes(r->hash, cut, sizeof cut);
  for (int32_t i = 0; i < vbl_vocabulary_size(r->vocabulary); i++) {
    const char *token = vbl_vocabulary_token(r->vocabulary, i);
    r->hash = vbl_hash_bytes(r->hash, token, strlen(token) + 1);
  }
}

// Texts are tokenised by all threads, a block of them at a time, each into a list of its own.
enum { BLOCK_TEXTS = 2048 };

typedef struct block {
  vbl_token_list tokens;
  int64_t truncated;
  vbl_status status;
} block;

static vbl_status encode(vbl_records *r, int32_t k, block *b, vbl_error *err) {
  bool truncated;
  int32_t start = b->tokens.size;
  const char *text = vbl_records_text(r, k);
  VBL_TRY(vbl_encode(r->vocabulary, text, strlen(text), r->options.max_tokens, &b->tokens, &truncated, err));
  b->truncated += truncated;
  r->token_first[k + 1] = b->tokens.size - start;  // a length; an offset in the end
  r->text_key[k] = vbl_hash_bytes(VBL_HASH_START, b->tokens.id + start, (size_t)(b->tokens.size - start) * sizeof *b->tokens.id);
  return VBL_OK;
}

static vbl_status encode_block(vbl_records *r, int32_t first, block *b, vbl_error *err) {
  int32_t end = first + BLOCK_TEXTS < r->text_count ? first + BLOCK_TEXTS : r->text_count;
  VBL_TRY(vbl_interrupt_check(err));
  for (int32_t k = first; k < end; k++) VBL_TRY(encode(r, k, b, err));
  return VBL_OK;
}

// Joins the blocks, which it empties.
static vbl_status join(vbl_records *r, block *b, int32_t blocks, vbl_error *err) {
  int64_t all = 0;
  for (int32_t i = 0; i < blocks; i++) all += b[i].tokens.size;
  if (all > INT32_MAX / 2) return vbl_fail(err, VBL_EINVAL, "more than 2^30 tokens of text in one data set");
  r->tokens = (vbl_token_list){.id = malloc(((size_t)all + 1) * sizeof *r->tokens.id), .room = (int32_t)all + 1};
  if (r->tokens.id == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %lld tokens", (long long)all);
  for (int32_t i = 0; i < blocks; i++) {
    memcpy(r->tokens.id + r->tokens.size, b[i].tokens.id, (size_t)b[i].tokens.size * sizeof *r->tokens.id);
    r->tokens.size += b[i].tokens.size;
    r->truncated += b[i].truncated;
    vbl_token_list_free(&b[i].tokens);
  }
  for (int32_t k = 0; k < r->text_count; k++) r->token_first[k + 1] += r->token_first[k];
  return VBL_OK;
}

static vbl_status encode_all(vbl_records *r, vbl_error *err) {
  int32_t blocks = (r->text_count + BLOCK_TEXTS - 1) / BLOCK_TEXTS, failed = blocks;
  block *b = calloc((size_t)blocks + 1, sizeof *b);
  if (b == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d texts", r->text_count);
#pragma omp parallel for schedule(dynamic, 1)
  for (int32_t i = 0; i < blocks; i++) {
    vbl_error why;
    b[i].status = encode_block(r, i * BLOCK_TEXTS, &b[i], &why);
    if (b[i].status == VBL_OK) continue;
#pragma omp critical(vbl_records_encode)
    if (i < failed) {  // the first block's error is told
      failed = i;
      if (err != NULL) *err = why;
    }
  }
  vbl_status status = failed < blocks ? b[failed].status : join(r, b, blocks, err);
  for (int32_t i = 0; i < blocks; i++) vbl_token_list_free(&b[i].tokens);
  free(b);
  return status;
}

vbl_status vbl_records_tokenize(vbl_records *r, vbl_error *err) {
  VBL_TRY(r->options.vocabulary != NULL ? load_vocabulary(r, err) : count_vocabulary(r, err));
  hash_vocabulary(r);
  r->token_first = calloc((size_t)r->text_count + 1, sizeof *r->token_first);
  r->text_key = malloc((size_t)r->text_count * sizeof *r->text_key);
  if (r->token_first == NULL || r->text_key == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d texts", r->text_count);
  VBL_TRY(encode_all(r, err));
  if (r->truncated == 0) return VBL_OK;
  return vbl_records_note(r, err, "%lld of %d texts have more than max_tokens = %d tokens; cut", (long long)r->truncated,
                          r->text_count, r->options.max_tokens);
}
