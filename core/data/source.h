// A data set as the loader and the corruptions see it: samples 0 .. samples-1, each one image with one or more captions.
// The makers (scenes.h, captions.h) fill the table. Every function only reads, so any number of threads may call them.
// defines: vbl_source, vbl_view
#pragma once
#include "core/data/tokenizer.h"

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
  vbl_status (*id)(const void *self, int32_t sample, vbl_bytes *out, vbl_error *err);  // appends the image's name
} vbl_source;

// A split: which samples, in which order. Indices of a view are 0 .. n-1.
typedef struct vbl_view {
  const vbl_source *source;
  const int32_t *sample;  // [n]
  int32_t n;
} vbl_view;
