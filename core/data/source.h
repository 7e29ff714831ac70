// A data set as the loader and the corruptions see it: samples 0 .. samples-1, each one image with one or more texts and perhaps a
// label, and the splits that they are in. The makers (scenes.h, records.h) fill the table. Every function only reads, so any number
// of threads may call them.
// defines: vbl_source, vbl_source_same_image, vbl_view, vbl_split, vbl_label, vbl_label_kind
#pragma once
#include "core/data/image.h"
#include "core/data/tokenizer.h"

// How a sample is labelled: not; with one class; with any number of classes, each there or not; with a weight in [0, 1] for each
// class (the answers of VQA).
typedef enum vbl_label_kind { VBL_LABEL_NONE, VBL_LABEL_CLASS, VBL_LABEL_MULTI, VBL_LABEL_SOFT } vbl_label_kind;

// The classes of one sample. n = -1: not known (a test split without labels). VBL_LABEL_CLASS: n = 1.
typedef struct vbl_label {
  int32_t n;
  const int32_t *index;  // [n] 0 .. classes-1, rising
  const float *weight;   // [n]; NULL: all 1
} vbl_label;

// A named list of samples, ascending. The names are the data set's own (train, dev, test, val, dev_seen, test_unseen, ...).
typedef struct vbl_split {
  const char *name;
  const int32_t *sample;  // [n]
  int32_t n;
} vbl_split;

typedef struct vbl_source {
  void *self;
  int32_t samples;
  int image_size;      // S
  int32_t max_tokens;  // [CLS] and [SEP] included
  const vbl_vocabulary *vocabulary;
  int32_t (*captions)(const void *self, int32_t sample);  // >= 1
  // Appends [CLS] ... [SEP].
  vbl_status (*tokens)(const void *self, int32_t sample, int32_t caption, vbl_token_list *out, vbl_error *err);
  vbl_status (*text)(const void *self, int32_t sample, int32_t caption, vbl_bytes *out, vbl_error *err);  // appends
  vbl_status (*image)(const void *self, int32_t sample, uint8_t *chw, vbl_error *err);                    // (3, S, S)
  // Equal for captions that say the same: then they are never swapped for each other.
  uint64_t (*text_key)(const void *self, int32_t sample, int32_t caption);
  vbl_status (*id)(const void *self, int32_t sample, vbl_bytes *out, vbl_error *err);  // appends the sample's name
  // Equal for samples that show one image (questions about it, confounders): neither is the other's wrong partner. NULL: every sample
  // has its own.
  uint64_t (*image_key)(const void *self, int32_t sample);

  // The image before it is fitted to S x S, and its stored bytes (appended; equal bytes are equal images). NULL: the source has
  // images at S x S only.
  vbl_status (*pixels)(const void *self, int32_t sample, vbl_image *out, vbl_error *err);
  vbl_status (*stored)(const void *self, int32_t sample, vbl_bytes *out, vbl_error *err);
  // `image` and `stored` in one reading; what was read is appended also where it does not decode. NULL where `stored` is.
  vbl_status (*image_and_stored)(const void *self, int32_t sample, uint8_t *chw, vbl_bytes *stored, vbl_error *err);
  // The FNV-1a hash of those bytes, where they are gone but their hash was kept. NULL: none was.
  uint64_t (*image_hash)(const void *self, int32_t sample);

  vbl_label_kind label_kind;
  int32_t classes;                                       // 0 without labels
  const char *const *class_name;                         // [classes]
  vbl_label (*label)(const void *self, int32_t sample);  // NULL without labels
  int32_t splits;
  const vbl_split *split;  // [splits], train first where it is there
} vbl_source;

// Whether two samples show one image.
static inline bool vbl_source_same_image(const vbl_source *s, int32_t a, int32_t b) {
  return a == b || (s->image_key != NULL && s->image_key(s->self, a) == s->image_key(s->self, b));
}

// The split of that name, or NULL.
const vbl_split *vbl_source_split(const vbl_source *source, const char *name);

// Which samples, in which order. Indices of a view are 0 .. n-1.
typedef struct vbl_view {
  const vbl_source *source;
  const int32_t *sample;  // [n]
  int32_t n;
} vbl_view;
