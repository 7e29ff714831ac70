// Dropout masks from Philox (kernels.h says which counter an element has), vectorised over blocks of four columns.
// u >= p with u = (word >> 8) 2^-24 is the same as word >> 8 >= ceil(p 2^24): integers, so that every build and device agrees.
// defines: vbl_mask, vbl_mask_make, vbl_mask_row, vbl_mask_columns, vbl_dropout_row
#pragma once
#include <math.h>

#include "kernels/cpu/isa/isa.h"

typedef struct vbl_mask {
  bool on;
  uint32_t threshold, step;
  float scale;  // 1 / (1 - p)
  vbl_philox_key key;
  const int32_t *rows;
} vbl_mask;

static inline vbl_mask vbl_mask_make(const vbl_dropout *drop) {
  vbl_mask m = {.on = drop && drop->p > 0};
  if (!m.on) return m;
  m.threshold = (uint32_t)ceil(drop->p * 0x1p24);
  m.scale = (float)(1.0 / (1.0 - drop->p));
  m.key = drop->rng;
  m.step = drop->step;
  m.rows = drop->rows;
  return m;
}

// factor[j], j in [0, 4 * blocks): scale where column 4 * first_block + j of row (sample, position) is kept, else 0.
static inline void vbl_mask_row(const vbl_mask *m, uint32_t position, uint32_t sample, int64_t first_block, int64_t blocks,
                                float *factor) {
  const vbl_philox_key key = m->key;
  const uint32_t threshold = m->threshold, step = m->step;
  const float scale = m->scale;
#pragma omp simd
  for (int64_t i = 0; i < blocks; i++) {
    const vbl_u32x4 r = vbl_philox(key, (uint32_t)(first_block + i), position, sample, step);
    factor[4 * i] = r.v[0] >> 8 >= threshold ? scale : 0.0f;
    factor[4 * i + 1] = r.v[1] >> 8 >= threshold ? scale : 0.0f;
    factor[4 * i + 2] = r.v[2] >> 8 >= threshold ? scale : 0.0f;
    factor[4 * i + 3] = r.v[3] >> 8 >= threshold ? scale : 0.0f;
  }
}

// The same for four columns of `width` rows at positions position .. : factor [4, width], for a transposed matrix.
static inline void vbl_mask_columns(const vbl_mask *m, uint32_t block, uint32_t position, uint32_t sample, int64_t width,
                                    float *factor) {
  const vbl_philox_key key = m->key;
  const uint32_t threshold = m->threshold, step = m->step;
  const float scale = m->scale;
#pragma omp simd
  for (int64_t i = 0; i < width; i++) {
    const vbl_u32x4 r = vbl_philox(key, block, position + (uint32_t)i, sample, step);
    factor[i] = r.v[0] >> 8 >= threshold ? scale : 0.0f;
    factor[width + i] = r.v[1] >> 8 >= threshold ? scale : 0.0f;
    factor[2 * width + i] = r.v[2] >> 8 >= threshold ? scale : 0.0f;
    factor[3 * width + i] = r.v[3] >> 8 >= threshold ? scale : 0.0f;
  }
}

// out[j] = dropout(x[j]) + residual[j] (residual may be NULL), j < D, for the row with counters rows[row]. out may be x or
// residual.
static inline void vbl_dropout_row(const vbl_mask *m, int64_t row, const float *x, const float *residual, float *out, int64_t D) {
  enum { BLOCKS = 128 };
  float factor[4 * BLOCKS];
  for (int64_t start = 0; start < D; start += 4 * BLOCKS) {
    const int64_t n = vbl_min64(4 * BLOCKS, D - start);
    vbl_mask_row(m, (uint32_t)m->rows[2 * row + 1], (uint32_t)m->rows[2 * row], start / 4, (n + 3) / 4, factor);
    const float *xs = x + start, *rs = residual ? residual + start : NULL;
    float *os = out + start;
    if (rs) {
#pragma omp simd
      for (int64_t j = 0; j < n; j++) os[j] = (factor[j] != 0 ? xs[j] * factor[j] : 0.0f) + rs[j];
    } else {
#pragma omp simd
      for (int64_t j = 0; j < n; j++) os[j] = factor[j] != 0 ? xs[j] * factor[j] : 0.0f;
    }
  }
}
