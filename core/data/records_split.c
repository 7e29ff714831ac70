// Records: which sample belongs to which split.
// defines: vbl_records_divide, vbl_records_collect, vbl_source_split
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/philox.h"
#include "core/data/records.h"

// What a split file may name: a list, so that a misspelt split is no new one.
static const char *const known_names[] = {"train", "dev", "val", "test", "dev_seen", "dev_unseen", "test_seen", "test_unseen"};

static const char *known_name(const char *name, size_t n) {
  for (size_t k = 0; k < sizeof known_names / sizeof *known_names; k++)
    if (strlen(known_names[k]) == n && memcmp(known_names[k], name, n) == 0) return known_names[k];
  return NULL;
}

const vbl_split *vbl_source_split(const vbl_source *source, const char *name) {
  for (int32_t k = 0; k < source->splits; k++)
    if (strcmp(source->split[k].name, name) == 0) return &source->split[k];
  return NULL;
}

static vbl_status split_number(vbl_records *r, const char *name, int32_t *number, vbl_error *err) {
  return vbl_vocabulary_number(r->split_name, name, strlen(name), number, err);
}

// One line of the split file.
static vbl_status read_line(vbl_records *r, const char *at, size_t n, int64_t line, int64_t *strangers, vbl_error *err) {
  const char *tab = memchr(at, '\t', n);
  if (tab == NULL) return vbl_fail(err, VBL_EIO, "line %lld: no tab; expected id<TAB>split", (long long)line);
  size_t rest = n - (size_t)(tab + 1 - at);
  if (rest > 0 && at[n - 1] == '\r') rest--;
  const char *name = known_name(tab + 1, rest);
  if (name == NULL)
    return vbl_fail(err, VBL_EIO,
                    "line %lld: split \"%.*s\"; expected train, dev, val, test, dev_seen, dev_unseen, test_seen or test_unseen",
                    (long long)line, (int)rest, tab + 1);
  char key[4200];
  int length = snprintf(key, sizeof key, "\t%.*s", (int)(tab - at), at);
  int32_t sample = length > 0 && (size_t)length < sizeof key ? vbl_vocabulary_find(r->keys, key, (size_t)length) : -1, split;
  VBL_TRY(split_number(r, name, &split, err));
  if (sample < 0 || r->images[r->rows[sample].image].bad) {
    ++*strangers;
    return VBL_OK;
  }
  vbl_row *row = &r->rows[sample];
  if (row->split >= 0 && row->split != split)
    return vbl_fail(err, VBL_EIO, "line %lld: %.*s is in the splits %s and %s; expected one", (long long)line, (int)(tab - at), at,
                    vbl_vocabulary_token(r->split_name, row->split), name);
  row->split = split;
  return VBL_OK;
}

// from: who gave the splits
static vbl_status note_left_out(vbl_records *r, const char *from, vbl_error *err) {
  int64_t without = 0;
  for (int32_t i = 0; i < r->row_count; i++) without += r->rows[i].split < 0 && !r->images[r->rows[i].image].bad;
  if (without == 0) return VBL_OK;
  return vbl_records_note(r, err, "%s: %lld samples are in no split; left out", from, (long long)without);
}

static vbl_status read_file(vbl_records *r, const char *name, vbl_error *err) {
  vbl_bytes file;
  int64_t line = 0, strangers = 0;
  vbl_status status = VBL_OK;
  VBL_TRY(vbl_bytes_read(name, (size_t)1 << 32, &file, err));
  const char *at = (const char *)file.data, *end = at + file.size;
  at += vbl_byte_order_mark(at, file.size);
  while (at < end && status == VBL_OK) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    if (stop == NULL) stop = end;
    line++;
    if (stop > at) status = read_line(r, at, (size_t)(stop - at), line, &strangers, err);
    at = stop + 1;
  }
  vbl_bytes_free(&file);
  if (status != VBL_OK) return vbl_context(err, "%s", name);
  if (strangers > 0) VBL_TRY(vbl_records_note(r, err, "%s: %lld ids have no sample", name, (long long)strangers));
  return note_left_out(r, name, err);
}

// By the id of an image's first record, so that records of one image stay together.
static vbl_status draw(vbl_records *r, vbl_error *err) {
  vbl_philox_key key = {0, VBL_STREAM_SPLIT};
  int32_t images = vbl_vocabulary_size(r->image_name), train, test, *side = malloc((size_t)images * sizeof *side);
  vbl_status status = side != NULL ? VBL_OK : vbl_fail(err, VBL_ENOMEM, "out of memory for the splits");
  if (status == VBL_OK) status = split_number(r, "train", &train, err);
  if (status == VBL_OK) status = split_number(r, "test", &test, err);
  for (int32_t i = 0; status == VBL_OK && i < images; i++) side[i] = -1;
  for (int32_t i = 0; status == VBL_OK && i < r->row_count; i++) {
    int32_t *drawn = &side[r->rows[i].image];
    const char *id = strchr(vbl_vocabulary_token(r->keys, i), '\t') + 1;
    uint64_t h = vbl_hash_bytes(VBL_HASH_START, id, strlen(id));
    if (*drawn < 0)
      *drawn = vbl_philox_uniform(key, (uint32_t)h, (uint32_t)(h >> 32), 0, 0) < r->options.test_fraction ? test : train;
    r->rows[i].split = *drawn;
  }
  free(side);
  return status;
}

vbl_status vbl_records_divide(vbl_records *r, vbl_error *err) {
  if (r->options.split != NULL) return read_file(r, r->options.split, err);
  bool only_train = vbl_vocabulary_size(r->split_name) == 1 && strcmp(vbl_vocabulary_token(r->split_name, 0), "train") == 0;
  if (only_train) {
    VBL_TRY(
        vbl_records_note(r, err, "only a train split is here: test_fraction = %g of it are held out", r->options.test_fraction));
    return draw(r, err);
  }
  if (vbl_vocabulary_size(r->split_name) > 0) return note_left_out(r, "splits of the data set's own", err);
  vbl_bytes name = {0};
  vbl_status status = vbl_bytes_add_text(&name, r->folder, err);
  if (status == VBL_OK) status = vbl_bytes_add(&name, "split.tsv", sizeof "split.tsv", err);
  if (status == VBL_OK)
    status = access((const char *)name.data, F_OK) == 0 ? read_file(r, (const char *)name.data, err) : draw(r, err);
  vbl_bytes_free(&name);
  return status;
}

vbl_status vbl_records_collect(vbl_records *r, vbl_error *err) {
  int32_t n = vbl_vocabulary_size(r->split_name), train = vbl_vocabulary_find(r->split_name, "train", 5), next = 0, to_train_on = 0;
  r->splits = calloc((size_t)n + 1, sizeof *r->splits);
  r->split_samples = malloc((size_t)r->row_count * sizeof *r->split_samples);
  if (r->splits == NULL || r->split_samples == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for the splits");
  for (int32_t k = 0; k < n; k++) {
    int32_t split = train < 0 ? k : k == 0 ? train : k <= train ? k - 1 : k;  // train first, the others as they came
    vbl_split *s = &r->splits[r->source.splits];
    *s = (vbl_split){vbl_vocabulary_token(r->split_name, split), r->split_samples + next, 0};
    for (int32_t i = 0; i < r->row_count; i++)
      if (r->rows[i].split == split) r->split_samples[next++] = i;
    s->n = (int32_t)(r->split_samples + next - s->sample);
    r->source.splits += s->n > 0;
    if (split == train) to_train_on = s->n;
  }
  r->source.split = r->splits;
  if (to_train_on == 0) return vbl_fail(err, VBL_EIO, "no sample is in the train split");
  return VBL_OK;
}
