// Captions: which sample belongs to which split.
// defines: vbl_captions_divide
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/philox.h"
#include "core/data/captions.h"

static const char *const split_names[VBL_SPLITS] = {"train", "dev", "test"};

static int split_of(const char *name, size_t n) {
  for (int k = 0; k < VBL_SPLITS; k++)
    if (strlen(split_names[k]) == n && memcmp(split_names[k], name, n) == 0) return k;
  return -1;
}

// One line of the split file; which[sample] is the split, -1 so far none.
static vbl_status read_line(const vbl_vocabulary *paths, const char *at, size_t n, int64_t line, int8_t *which, int64_t *strangers,
                            vbl_error *err) {
  const char *tab = memchr(at, '\t', n);
  if (tab == NULL) return vbl_fail(err, VBL_EIO, "line %lld: no tab; expected path<TAB>train|dev|test", (long long)line);
  size_t rest = n - (size_t)(tab + 1 - at);
  if (rest > 0 && at[n - 1] == '\r') rest--;
  int split = split_of(tab + 1, rest);
  if (split < 0)
    return vbl_fail(err, VBL_EIO, "line %lld: split \"%.*s\"; expected train, dev or test", (long long)line, (int)rest, tab + 1);
  int32_t sample = vbl_vocabulary_find(paths, at, (size_t)(tab - at));
  if (sample < 0) {
    ++*strangers;
  } else if (which[sample] >= 0 && which[sample] != split) {
    return vbl_fail(err, VBL_EIO, "line %lld: %s is in the splits %s and %s; expected one", (long long)line,
                    vbl_vocabulary_token(paths, sample), split_names[which[sample]], split_names[split]);
  } else {
    which[sample] = (int8_t)split;
  }
  return VBL_OK;
}

static vbl_status read_file(vbl_captions *c, const vbl_vocabulary *paths, const char *name, int8_t *which, vbl_error *err) {
  vbl_bytes file;
  int64_t line = 0, strangers = 0, without = 0;
  vbl_status status = VBL_OK;
  VBL_TRY(vbl_bytes_read(name, (size_t)1 << 32, &file, err));
  c->hash = vbl_hash_bytes(c->hash, file.data, file.size);
  const char *at = (const char *)file.data, *end = at + file.size;
  at += vbl_byte_order_mark(at, file.size);
  while (at < end && status == VBL_OK) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    if (stop == NULL) stop = end;
    line++;
    if (stop > at) status = read_line(paths, at, (size_t)(stop - at), line, which, &strangers, err);
    at = stop + 1;
  }
  vbl_bytes_free(&file);
  if (status != VBL_OK) return vbl_context(err, "%s", name);
  for (int32_t i = 0; i < c->source.samples; i++) without += which[i] < 0;
  if (strangers > 0) VBL_TRY(vbl_captions_note(c, err, "%s: %lld paths have no sample", name, (long long)strangers));
  if (without > 0) VBL_TRY(vbl_captions_note(c, err, "%s: %lld samples are in no split; left out", name, (long long)without));
  return VBL_OK;
}

static void draw(const vbl_captions *c, double test_fraction, int8_t *which) {
  vbl_philox_key key = {0, VBL_STREAM_SPLIT};
  for (int32_t i = 0; i < c->source.samples; i++) {
    uint64_t h = vbl_hash_bytes(VBL_HASH_START, c->path[i], strlen(c->path[i]));
    which[i] = vbl_philox_uniform(key, (uint32_t)h, (uint32_t)(h >> 32), 0, 0) < test_fraction ? VBL_SPLIT_TEST : VBL_SPLIT_TRAIN;
  }
}

static vbl_status collect(vbl_captions *c, const int8_t *which, vbl_error *err) {
  for (int k = 0; k < VBL_SPLITS; k++) {
    c->split[k] = malloc((size_t)c->source.samples * sizeof *c->split[k]);
    if (c->split[k] == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for the splits");
    for (int32_t i = 0; i < c->source.samples; i++)
      if (which[i] == k) c->split[k][c->split_size[k]++] = i;
  }
  if (c->split_size[VBL_SPLIT_TRAIN] == 0) return vbl_fail(err, VBL_EIO, "no sample is in the train split");
  return VBL_OK;
}

static vbl_status divide(vbl_captions *c, const vbl_vocabulary *paths, const vbl_captions_options *options, vbl_bytes *name,
                         int8_t *which, vbl_error *err) {
  memset(which, -1, (size_t)c->source.samples);
  if (options->split == NULL) {
    VBL_TRY(vbl_bytes_add(name, c->folder, strlen(c->folder), err));
    VBL_TRY(vbl_bytes_add(name, "split.tsv", sizeof "split.tsv", err));
  } else {
    VBL_TRY(vbl_bytes_add(name, options->split, strlen(options->split) + 1, err));
  }
  if (options->split != NULL || access((const char *)name->data, F_OK) == 0)
    VBL_TRY(read_file(c, paths, (const char *)name->data, which, err));
  else
    draw(c, options->test_fraction, which);
  return collect(c, which, err);
}

vbl_status vbl_captions_divide(vbl_captions *c, const char *path, const vbl_captions_options *options, vbl_error *err) {
  vbl_vocabulary *paths = NULL;
  vbl_bytes name = {0};
  int8_t *which = malloc((size_t)c->source.samples);
  vbl_status status = which == NULL ? vbl_fail(err, VBL_ENOMEM, "out of memory for the splits") : vbl_vocabulary_new(&paths, err);
  for (int32_t i = 0; status == VBL_OK && i < c->source.samples; i++)
    status = vbl_vocabulary_add(paths, c->path[i], strlen(c->path[i]), err);
  if (status == VBL_OK) status = divide(c, paths, options, &name, which, err);
  vbl_vocabulary_free(paths);
  vbl_bytes_free(&name);
  free(which);
  return status == VBL_OK ? VBL_OK : vbl_context(err, "splits of %s", path);
}
