// A packed data set as a source.
// defines: vbl_packed_{open,free,why}
#include "core/data/packed.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/store/hash.h"

// Where a sample lies.
typedef struct place {
  const vbl_shard *shard;
  uint64_t at;
} place;

static place find(const vbl_packed *p, int32_t sample) {
  return (place){&p->shard[sample / p->shard_samples], (uint64_t)(sample % p->shard_samples)};
}

// How many entries lie between offset i of a table and the next.
static uint64_t entries(const vbl_shard *s, vbl_pack_section offsets, uint64_t i) {
  return vbl_shard_offset(s, offsets, i + 1) - vbl_shard_offset(s, offsets, i);
}

static int32_t captions(const void *self, int32_t sample) {
  place s = find(self, sample);
  return (int32_t)entries(s.shard, VBL_PACK_TEXT_FIRST, s.at);
}

static uint64_t text_number(const place *s, int32_t caption) {
  return vbl_shard_offset(s->shard, VBL_PACK_TEXT_FIRST, s->at) + (uint64_t)caption;
}

static vbl_status tokens(const void *self, int32_t sample, int32_t caption, vbl_token_list *out, vbl_error *err) {
  place s = find(self, sample);
  uint64_t k = text_number(&s, caption);
  const int32_t *id = vbl_shard_section(s.shard, VBL_PACK_TOKENS);
  for (uint64_t t = vbl_shard_offset(s.shard, VBL_PACK_TOKEN_FIRST, k); t < vbl_shard_offset(s.shard, VBL_PACK_TOKEN_FIRST, k + 1);
       t++)
    VBL_TRY(vbl_token_list_add(out, id[t], err));
  return VBL_OK;
}

// Entry i of a section of bytes, appended.
static vbl_status append(const vbl_shard *s, vbl_pack_section offsets, vbl_pack_section bytes, uint64_t i, vbl_bytes *out,
                         vbl_error *err) {
  const uint8_t *from = (const uint8_t *)vbl_shard_section(s, bytes) + vbl_shard_offset(s, offsets, i);
  return vbl_bytes_add(out, from, entries(s, offsets, i), err);
}

static vbl_status text(const void *self, int32_t sample, int32_t caption, vbl_bytes *out, vbl_error *err) {
  place s = find(self, sample);
  return append(s.shard, VBL_PACK_TEXT_AT, VBL_PACK_TEXT, text_number(&s, caption), out, err);
}

static uint64_t text_key(const void *self, int32_t sample, int32_t caption) {
  place s = find(self, sample);
  return vbl_shard_offset(s.shard, VBL_PACK_TEXT_KEY, text_number(&s, caption));
}

static vbl_status id(const void *self, int32_t sample, vbl_bytes *out, vbl_error *err) {
  place s = find(self, sample);
  return append(s.shard, VBL_PACK_ID_AT, VBL_PACK_ID, s.at, out, err);
}

static vbl_label label(const void *self, int32_t sample) {
  place s = find(self, sample);
  uint64_t from = vbl_shard_offset(s.shard, VBL_PACK_LABEL_FIRST, s.at);
  if (!((const uint8_t *)vbl_shard_section(s.shard, VBL_PACK_LABEL_KNOWN))[s.at]) return (vbl_label){.n = -1};
  return (vbl_label){(int32_t)entries(s.shard, VBL_PACK_LABEL_FIRST, s.at),
                     (const int32_t *)vbl_shard_section(s.shard, VBL_PACK_LABEL_INDEX) + from,
                     (const float *)vbl_shard_section(s.shard, VBL_PACK_LABEL_WEIGHT) + from};
}

static uint64_t image_hash(const void *self, int32_t sample) {
  place s = find(self, sample);
  return vbl_shard_offset(s.shard, VBL_PACK_IMAGE_HASH, s.at);
}

const char *vbl_packed_why(const vbl_packed *p, int32_t sample, size_t *bytes) {
  place s = find(p, sample);
  *bytes = (size_t)entries(s.shard, VBL_PACK_WHY_AT, s.at);
  return (const char *)vbl_shard_section(s.shard, VBL_PACK_WHY) + vbl_shard_offset(s.shard, VBL_PACK_WHY_AT, s.at);
}

// An image is compared with its checksum when it is first asked for.
static vbl_status image(const void *self, int32_t sample, uint8_t *chw, vbl_error *err) {
  const vbl_packed *p = self;
  place s = find(p, sample);
  size_t bytes = 3 * (size_t)p->source.image_size * (size_t)p->source.image_size;
  size_t why_bytes;
  const char *why = vbl_packed_why(p, sample, &why_bytes);
  if (why_bytes > 0) return vbl_fail(err, VBL_EIO, "%.*s", (int)why_bytes, why);
  memcpy(chw, (const uint8_t *)vbl_shard_section(s.shard, VBL_PACK_IMAGES) + s.at * bytes, bytes);
  if (atomic_load_explicit(&p->checked[sample], memory_order_relaxed)) return VBL_OK;
  if (vbl_crc32(0, chw, bytes) != ((const uint32_t *)vbl_shard_section(s.shard, VBL_PACK_IMAGE_CRC))[s.at])
    return vbl_fail(err, VBL_EIO, "%s/" VBL_PACK_NAME ": image %d does not fit its checksum; remove this shard and pack again",
                    p->folder, sample / p->shard_samples, sample % p->shard_samples);
  atomic_store_explicit(&p->checked[sample], 1, memory_order_relaxed);
  return VBL_OK;
}

// --- opening ---

static vbl_status check_place(const vbl_pack_header *h, int32_t number, const vbl_packed_options *o, vbl_error *err) {
  int64_t first = (int64_t)number * o->shard_samples, left = o->samples - first;
  if (h->identity == o->identity && h->number == (uint32_t)number && h->image_size == (uint32_t)o->image_size &&
      h->first == (uint64_t)first && h->samples == (uint64_t)(left < o->shard_samples ? left : o->shard_samples))
    return VBL_OK;
  return vbl_fail(err, VBL_EIO, VBL_PACK_NAME " is of another data set than the manifest beside it", number);
}

static vbl_status check_ids(const vbl_shard *s, int32_t number, int32_t vocabulary, int32_t classes, vbl_error *err) {
  const int32_t *token = vbl_shard_section(s, VBL_PACK_TOKENS), *index = vbl_shard_section(s, VBL_PACK_LABEL_INDEX);
  for (uint64_t i = 0; i < s->header->section[VBL_PACK_TOKENS].bytes / 4; i++)
    if (token[i] < 0 || token[i] >= vocabulary)
      return vbl_fail(err, VBL_EIO, VBL_PACK_NAME ": token id %d; vocab.txt has %d tokens", number, token[i], vocabulary);
  for (uint64_t i = 0; i < s->header->section[VBL_PACK_LABEL_INDEX].bytes / 4; i++)
    if (index[i] < 0 || index[i] >= classes)
      return vbl_fail(err, VBL_EIO, VBL_PACK_NAME ": class %d; the manifest has %d", number, index[i], classes);
  return VBL_OK;
}

static vbl_status check_samples(const vbl_shard *s, int32_t number, const vbl_packed_options *o, vbl_error *err) {
  const int32_t *split = vbl_shard_section(s, VBL_PACK_SPLIT);
  const uint8_t *known = vbl_shard_section(s, VBL_PACK_LABEL_KNOWN);
  for (uint32_t i = 0; i < s->header->samples; i++) {
    uint64_t texts = entries(s, VBL_PACK_TEXT_FIRST, i), classes = entries(s, VBL_PACK_LABEL_FIRST, i);
    if (split[i] < -1 || split[i] >= o->splits || texts < 1)
      return vbl_fail(err, VBL_EIO, VBL_PACK_NAME ": sample %u is in split %d of %d and has %llu texts", number, i, split[i],
                      o->splits, (unsigned long long)texts);
    if (o->label_kind == VBL_LABEL_CLASS && known[i] && classes != 1)
      return vbl_fail(err, VBL_EIO, VBL_PACK_NAME ": sample %u has %llu classes; expected one", number, i,
                      (unsigned long long)classes);
  }
  for (uint64_t k = 0; k < s->header->texts; k++)
    if (entries(s, VBL_PACK_TOKEN_FIRST, k) > (uint64_t)o->max_tokens)
      return vbl_fail(err, VBL_EIO, VBL_PACK_NAME ": a text of more than max_tokens = %d tokens", number, o->max_tokens);
  return VBL_OK;
}

static vbl_status check_shard(const vbl_packed *p, const vbl_shard *s, int32_t number, const vbl_packed_options *o,
                              vbl_error *err) {
  VBL_TRY(check_place(s->header, number, o, err));
  VBL_TRY(check_ids(s, number, vbl_vocabulary_size(p->vocabulary), o->classes, err));
  return check_samples(s, number, o, err);
}

static vbl_status open_shards(vbl_packed *p, const vbl_packed_options *o, vbl_error *err) {
  p->shard_samples = o->shard_samples;
  p->shard = calloc((size_t)(o->samples / o->shard_samples) + 1, sizeof *p->shard);
  p->checked = calloc((size_t)o->samples, sizeof *p->checked);
  if (p->shard == NULL || p->checked == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d samples", o->samples);
  for (int32_t k = 0; (int64_t)k * o->shard_samples < o->samples; k++) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/" VBL_PACK_NAME, o->folder, k);
    VBL_TRY(vbl_shard_open(path, &p->shard[k], err));
    p->shards++;
    VBL_TRY(check_shard(p, &p->shard[k], k, o, err));
    p->texts += p->shard[k].header->texts;
    for (uint32_t i = 0; i < p->shard[k].header->samples; i++) p->undecodable += entries(&p->shard[k], VBL_PACK_WHY_AT, i) > 0;
  }
  return VBL_OK;
}

static void free_names(char **name) {
  for (char **n = name; n != NULL && *n != NULL; n++) free(*n);
  free(name);
}

// NULL-terminated; NULL: out of memory.
static char **copy_names(const char *const *name, int32_t n) {
  char **copy = calloc((size_t)n + 1, sizeof *copy);
  for (int32_t i = 0; copy != NULL && i < n; i++) {
    copy[i] = strdup(name[i]);
    if (copy[i] != NULL) continue;
    free_names(copy);
    return NULL;
  }
  return copy;
}

static int32_t split_of(const vbl_packed *p, int32_t sample) {
  place s = find(p, sample);
  return ((const int32_t *)vbl_shard_section(s.shard, VBL_PACK_SPLIT))[s.at];
}

static vbl_status collect_splits(vbl_packed *p, const vbl_packed_options *o, vbl_error *err) {
  p->class_name = copy_names(o->class_name, o->classes);
  p->split_name = copy_names(o->split_name, o->splits);
  p->split = calloc((size_t)o->splits + 1, sizeof *p->split);
  p->split_samples = malloc((size_t)o->samples * sizeof *p->split_samples + 1);
  if (p->class_name == NULL || p->split_name == NULL || p->split == NULL || p->split_samples == NULL)
    return vbl_fail(err, VBL_ENOMEM, "out of memory for the splits");
  int32_t *next = p->split_samples;
  for (int32_t k = 0; k < o->splits; k++) {
    p->split[k] = (vbl_split){p->split_name[k], next, 0};
    for (int32_t i = 0; i < o->samples; i++)
      if (split_of(p, i) == k) *next++ = i;
    p->split[k].n = (int32_t)(next - p->split[k].sample);
  }
  return VBL_OK;
}

static vbl_status check_options(const vbl_packed_options *o, vbl_error *err) {
  bool good = o->samples >= 1 && o->shard_samples >= 1 && o->image_size >= 1 && o->image_size <= VBL_PACK_IMAGE_MAX &&
              o->max_tokens >= 3 && o->classes >= 0 && o->splits >= 0;
  return good ? VBL_OK : vbl_fail(err, VBL_EIO, "the manifest's counts are out of range");
}

static vbl_status open_all(vbl_packed *p, const vbl_packed_options *o, vbl_error *err) {
  char path[PATH_MAX];
  VBL_TRY(check_options(o, err));
  p->folder = strdup(o->folder);
  if (p->folder == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a data set");
  p->hash = strdup(o->hash);
  p->notes = strdup(o->notes);
  if (p->hash == NULL || p->notes == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a data set");
  p->bad_records = o->bad_records, p->absent = o->absent, p->bad_images = o->bad_images, p->truncated = o->truncated;
  snprintf(path, sizeof path, "%s/vocab.txt", o->folder);
  VBL_TRY(vbl_vocabulary_load(path, &p->vocabulary, err));
  VBL_TRY(open_shards(p, o, err));
  VBL_TRY(collect_splits(p, o, err));
  p->source = (vbl_source){.self = p,
                           .samples = o->samples,
                           .image_size = o->image_size,
                           .max_tokens = o->max_tokens,
                           .vocabulary = p->vocabulary,
                           .captions = captions,
                           .tokens = tokens,
                           .text = text,
                           .image = image,
                           .text_key = text_key,
                           .id = id,
                           .image_key = image_hash,  // files of the same bytes are one image
                           .image_hash = image_hash,
                           .label_kind = o->label_kind,
                           .classes = o->classes,
                           .class_name = (const char *const *)p->class_name,
                           .label = o->classes > 0 ? label : NULL,
                           .splits = o->splits,
                           .split = p->split};
  return VBL_OK;
}

vbl_status vbl_packed_open(const vbl_packed_options *options, vbl_packed **out, vbl_error *err) {
  *out = NULL;
  vbl_packed *p = calloc(1, sizeof *p);
  if (p == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a data set");
  vbl_status status = open_all(p, options, err);
  if (status != VBL_OK) {
    vbl_packed_free(p);
    return status;
  }
  *out = p;
  return VBL_OK;
}

void vbl_packed_free(vbl_packed *p) {
  if (p == NULL) return;
  for (int32_t k = 0; k < p->shards; k++) vbl_shard_close(&p->shard[k]);
  free_names(p->class_name);
  free_names(p->split_name);
  vbl_vocabulary_free(p->vocabulary);
  free(p->split);
  free(p->split_samples);
  free(p->checked);
  free(p->shard);
  free(p->folder);
  free(p->hash);
  free(p->notes);
  free(p);
}
