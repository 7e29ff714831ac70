// Captions: opening (read, split, vocabulary, tokens) and the source's functions.
// defines: vbl_captions_{open,free}
#include "core/data/captions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int32_t source_captions(const void *self, int32_t sample) {
  const vbl_captions *c = self;
  return c->first[sample + 1] - c->first[sample];
}

static vbl_status source_tokens(const void *self, int32_t sample, int32_t caption, vbl_token_list *out, vbl_error *err) {
  const vbl_captions *c = self;
  int32_t k = c->first[sample] + caption;
  for (int64_t t = c->token_first[k]; t < c->token_first[k + 1]; t++) VBL_TRY(vbl_token_list_add(out, c->tokens.id[t], err));
  return VBL_OK;
}

static vbl_status source_text(const void *self, int32_t sample, int32_t caption, vbl_bytes *out, vbl_error *err) {
  const vbl_captions *c = self;
  const char *text = c->caption[c->first[sample] + caption];
  return vbl_bytes_add(out, text, strlen(text), err);
}

static uint64_t source_text_key(const void *self, int32_t sample, int32_t caption) {
  const vbl_captions *c = self;
  return c->key[c->first[sample] + caption];
}

static vbl_status source_id(const void *self, int32_t sample, vbl_bytes *out, vbl_error *err) {
  const char *path = ((const vbl_captions *)self)->path[sample];
  return vbl_bytes_add(out, path, strlen(path), err);
}

static vbl_status source_image(const void *self, int32_t sample, uint8_t *chw, vbl_error *err) {
  const vbl_captions *c = self;
  vbl_bytes file = {0};
  vbl_image image = {0};
  const char *folder = c->path[sample][0] == '/' ? "" : c->folder;
  vbl_status status = vbl_bytes_add(&file, folder, strlen(folder), err);
  if (status == VBL_OK) status = vbl_bytes_add(&file, c->path[sample], strlen(c->path[sample]) + 1, err);
  if (status == VBL_OK) status = vbl_image_read((const char *)file.data, &image, err);
  if (status == VBL_OK) status = vbl_image_fit(&image, c->image_size, c->crop, chw, err);
  vbl_image_free(&image);
  vbl_bytes_free(&file);
  return status;
}

static vbl_status make_vocabulary(vbl_captions *c, const vbl_captions_options *options, vbl_error *err) {
  if (options->vocabulary != NULL) {
    const char *first;
    VBL_TRY(vbl_vocabulary_load(options->vocabulary, &c->vocabulary, err));
    for (int32_t i = 0; i < vbl_vocabulary_size(c->vocabulary); i++) {
      const char *token = vbl_vocabulary_token(c->vocabulary, i);
      c->hash = vbl_hash_bytes(c->hash, token, strlen(token) + 1);
    }
    int duplicates = vbl_vocabulary_duplicates(c->vocabulary, &first);
    if (duplicates > 0)
      VBL_TRY(vbl_captions_note(c, err, "%s: %d tokens stand twice, the first is \"%.100s\"; the last one counts",
                                options->vocabulary, duplicates, first));
    return VBL_OK;
  }
  const char **texts = malloc((size_t)c->first[c->source.samples] * sizeof *texts);
  if (texts == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for the captions");
  size_t n = 0;
  for (int32_t i = 0; i < c->split_size[VBL_SPLIT_TRAIN]; i++) {
    int32_t s = c->split[VBL_SPLIT_TRAIN][i];
    for (int32_t k = c->first[s]; k < c->first[s + 1]; k++) texts[n++] = c->caption[k];
  }
  vbl_status status = vbl_vocabulary_build(texts, n, options->vocabulary_limit, 2, &c->vocabulary, err);
  free(texts);
  return status;
}

static vbl_status tokenize(vbl_captions *c, int32_t max_tokens, vbl_error *err) {
  int32_t n = c->first[c->source.samples];
  c->token_first = malloc(((size_t)n + 1) * sizeof *c->token_first);
  c->key = malloc((size_t)n * sizeof *c->key);
  if (c->token_first == NULL || c->key == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d captions", n);
  c->token_first[0] = 0;
  for (int32_t k = 0; k < n; k++) {
    bool truncated;
    int32_t start = c->tokens.size;
    if (start > INT32_MAX / 2) return vbl_fail(err, VBL_EINVAL, "more than 2^30 tokens of captions in one data set");
    VBL_TRY(vbl_encode(c->vocabulary, c->caption[k], strlen(c->caption[k]), max_tokens, &c->tokens, &truncated, err));
    c->truncated += truncated;
    c->token_first[k + 1] = c->tokens.size;
    c->key[k] = vbl_hash_bytes(VBL_HASH_START, c->tokens.id + start, (size_t)(c->tokens.size - start) * sizeof *c->tokens.id);
  }
  if (c->truncated == 0) return VBL_OK;
  return vbl_captions_note(c, err, "%lld of %d captions have more than max_tokens = %d tokens; cut", (long long)c->truncated, n,
                           max_tokens);
}

static vbl_status check_options(const vbl_captions_options *o, vbl_error *err) {
  if (o->image_size < 16 || o->image_size > 1024)
    return vbl_fail(err, VBL_EINVAL, "captions: image = %d; expected 16 to 1024", o->image_size);
  if (o->max_tokens < 3) return vbl_fail(err, VBL_EINVAL, "captions: max_tokens = %d; expected at least 3", o->max_tokens);
  if (!(o->max_bad >= 0 && o->max_bad <= 1))
    return vbl_fail(err, VBL_EINVAL, "captions: max_bad = %g; expected 0 to 1", o->max_bad);
  if (!(o->test_fraction >= 0 && o->test_fraction < 1))
    return vbl_fail(err, VBL_EINVAL, "captions: test_fraction = %g; expected 0 to below 1", o->test_fraction);
  return VBL_OK;
}

static vbl_status open_all(vbl_captions *c, const char *path, const vbl_captions_options *options, vbl_error *err) {
  VBL_TRY(check_options(options, err));
  VBL_TRY(vbl_captions_read(c, path, options->max_bad, err));
  VBL_TRY(vbl_captions_divide(c, path, options, err));
  VBL_TRY(make_vocabulary(c, options, err));
  VBL_TRY(tokenize(c, options->max_tokens, err));
  c->image_size = options->image_size;
  c->crop = options->crop;
  c->source = (vbl_source){c,
                           c->source.samples,
                           options->image_size,
                           options->max_tokens,
                           c->vocabulary,
                           source_captions,
                           source_tokens,
                           source_text,
                           source_image,
                           source_text_key,
                           source_id};
  return VBL_OK;
}

vbl_status vbl_captions_open(const char *path, const vbl_captions_options *options, vbl_captions **out, vbl_error *err) {
  *out = NULL;
  vbl_captions *c = calloc(1, sizeof *c);
  if (c == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for the data set %s", path);
  vbl_status status = open_all(c, path, options, err);
  if (status != VBL_OK) {
    vbl_captions_free(c);
    return status;
  }
  *out = c;
  return VBL_OK;
}

void vbl_captions_free(vbl_captions *c) {
  if (c == NULL) return;
  vbl_vocabulary_free(c->vocabulary);
  for (int k = 0; k < VBL_SPLITS; k++) free(c->split[k]);
  vbl_bytes_free(&c->report);
  vbl_bytes_free(&c->file);
  free(c->folder);
  free(c->path);
  free(c->first);
  free(c->caption);
  free(c->token_first);
  free(c->key);
  vbl_token_list_free(&c->tokens);
  free(c);
}
