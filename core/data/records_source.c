// Records as the loader sees them: the functions of the source.
// defines: vbl_records_fill_source
#include <string.h>

#include "core/data/records.h"

static int32_t captions(const void *self, int32_t sample) {
  const vbl_records *r = self;
  return r->first[sample + 1] - r->first[sample];
}

static vbl_status tokens(const void *self, int32_t sample, int32_t caption, vbl_token_list *out, vbl_error *err) {
  const vbl_records *r = self;
  int32_t k = r->first[sample] + caption;
  for (int64_t t = r->token_first[k]; t < r->token_first[k + 1]; t++) VBL_TRY(vbl_token_list_add(out, r->tokens.id[t], err));
  return VBL_OK;
}

static vbl_status text(const void *self, int32_t sample, int32_t caption, vbl_bytes *out, vbl_error *err) {
  const vbl_records *r = self;
  const char *words = vbl_records_text(r, r->first[sample] + caption);
  return vbl_bytes_add_text(out, words, err);
}

static uint64_t text_key(const void *self, int32_t sample, int32_t caption) {
  const vbl_records *r = self;
  return r->text_key[r->first[sample] + caption];
}

static vbl_status id(const void *self, int32_t sample, vbl_bytes *out, vbl_error *err) {
  const char *name = vbl_records_id(self, sample);
  return vbl_bytes_add_text(out, name, err);
}

static uint64_t image_key(const void *self, int32_t sample) {
  const vbl_records *r = self;
  return (uint64_t)r->rows[sample].image;
}

static vbl_status stored(const void *self, int32_t sample, vbl_bytes *out, vbl_error *err) {
  const vbl_records *r = self;
  return vbl_records_read_image(r, r->rows[sample].image, out, err);
}

static vbl_status pixels(const void *self, int32_t sample, vbl_image *out, vbl_error *err) {
  const vbl_records *r = self;
  return vbl_records_decode_image(r, r->rows[sample].image, out, NULL, err);
}

static vbl_status image_and_stored(const void *self, int32_t sample, uint8_t *chw, vbl_bytes *stored, vbl_error *err) {
  const vbl_records *r = self;
  vbl_image whole;
  VBL_TRY(vbl_records_decode_image(r, r->rows[sample].image, &whole, stored, err));
  const vbl_records_options *o = &r->options;
  vbl_status status = vbl_image_fit(&whole, &(vbl_fit){o->image_size, o->crop, o->crop_pct, o->filter}, chw, err);
  vbl_image_free(&whole);
  return status;
}

static vbl_status image(const void *self, int32_t sample, uint8_t *chw, vbl_error *err) {
  return image_and_stored(self, sample, chw, NULL, err);
}

static vbl_label label(const void *self, int32_t sample) {
  const vbl_records *r = self;
  const vbl_row *row = &r->rows[sample];
  const int32_t *index = (const int32_t *)r->label_index.data;
  const float *weight = (const void *)r->label_weight.data;
  if (row->labels <= 0) return (vbl_label){.n = row->labels};
  return (vbl_label){row->labels, index + row->label_at, weight == NULL ? NULL : weight + row->label_at};
}

static void hash_all(vbl_records *r) {
  uint64_t h = r->hash;
  for (int32_t i = 0; i < r->row_count; i++) {
    const vbl_label l = label(r, i);
    const char *image_name = vbl_vocabulary_token(r->image_name, r->rows[i].image), *name = vbl_records_id(r, i);
    int32_t split = r->rows[i].split;
    const char *split_name = split < 0 ? "" : vbl_vocabulary_token(r->split_name, split);
    h = vbl_hash_bytes(h, name, strlen(name) + 1);
    h = vbl_hash_bytes(h, image_name, strlen(image_name) + 1);
    h = vbl_hash_bytes(h, split_name, strlen(split_name) + 1);
    if (l.n > 0) h = vbl_hash_bytes(h, l.index, (size_t)l.n * sizeof *l.index);
    if (l.n > 0 && l.weight != NULL) h = vbl_hash_bytes(h, l.weight, (size_t)l.n * sizeof *l.weight);
    for (int32_t k = r->first[i]; k < r->first[i + 1]; k++)
      h = vbl_hash_bytes(h, vbl_records_text(r, k), strlen(vbl_records_text(r, k)) + 1);
  }
  r->hash = h;
}

void vbl_records_fill_source(vbl_records *r) {
  vbl_source *s = &r->source;
  s->self = r;
  s->image_size = r->options.image_size;
  s->max_tokens = r->options.max_tokens;
  s->vocabulary = r->vocabulary;
  s->captions = captions;
  s->tokens = tokens;
  s->text = text;
  s->image = image;
  s->text_key = text_key;
  s->id = id;
  s->image_key = image_key;
  s->pixels = pixels;
  s->stored = stored;
  s->image_and_stored = image_and_stored;
  s->class_name = r->class_list;
  s->label = s->classes > 0 ? label : NULL;
  hash_all(r);
}
