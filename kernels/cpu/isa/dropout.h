// Dropout masks from Philox (kernels.h says which counter an element has), one counter per vector lane.
// u >= p with u = (word >> 8) 2^-24 is the same as word >> 8 >= ceil(p 2^24): integers, so that every build and device agrees.
// defines: vbl_mask, vbl_mask_make, vbl_mask_row, vbl_mask_columns, vbl_dropout_row
#pragma once
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/isa/isa.h"
#include "kernels/cpu/isa/vecmath.h"

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

// Philox of VBL_LANES counters at once. The 32 x 32 -> 64 bit product exists for the low halves of 64-bit lanes only, so the
// even counters run in the lanes as they are and the odd ones in the lanes shifted down; what gathers in the high halves is
// ignored by the next product. The compiler's own vector code for vbl_philox is 3 times slower: it shuffles around each product.
typedef uint32_t vbl_words __attribute__((vector_size(4 * VBL_LANES)));
typedef uint64_t vbl_wide __attribute__((vector_size(4 * VBL_LANES)));

static inline vbl_wide vbl_multiply_low(vbl_wide a, vbl_wide b) {
#if defined(__AVX512F__)
  return (vbl_wide)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (vbl_wide)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#else
  return (vbl_wide)_mm_mul_epu32((__m128i)a, (__m128i)b);
#endif
}

static inline void vbl_philox_rounds(vbl_philox_key key, vbl_wide x[4]) {
  const vbl_wide m0 = (vbl_wide){0} + 0xD2511F53u, m1 = (vbl_wide){0} + 0xCD9E8D57u;
  uint32_t k0 = key.seed, k1 = key.stream;
  for (int round = 0; round < 10; round++) {
    const vbl_wide p0 = vbl_multiply_low(m0, x[0]), p1 = vbl_multiply_low(m1, x[2]);
    x[0] = (p1 >> 32) ^ x[1] ^ (uint64_t)k0;
    x[2] = (p0 >> 32) ^ x[3] ^ (uint64_t)k1;
    x[1] = p1;
    x[3] = p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

// x: the four counter words of each lane, replaced by the four results.
static inline void vbl_philox_lanes(vbl_philox_key key, vbl_words x[4]) {
  vbl_wide even[4], odd[4];
  for (int i = 0; i < 4; i++) {
    even[i] = (vbl_wide)x[i];
    odd[i] = (vbl_wide)x[i] >> 32;
  }
  vbl_philox_rounds(key, even);
  vbl_philox_rounds(key, odd);
  for (int i = 0; i < 4; i++) x[i] = (vbl_words)((even[i] & 0xFFFFFFFFu) | (odd[i] << 32));
}

static inline vbl_words vbl_count_from(uint32_t first) {
  vbl_words x = {0};
  for (uint32_t i = 0; i < VBL_LANES; i++) x[i] = first + i;
  return x;
}

// scale where a word's element is kept, else 0; as the bits of floats
static inline vbl_words vbl_kept(const vbl_mask *m, vbl_words word) {
  const vbl_words zero = {0}, limit = zero + m->threshold;
  const vbl_words kept = (vbl_words)(word >> 8 >= limit);
  return kept & vbl_float_bits(m->scale);
}

// factor [4, width]: element (c, i) is that of column 4 * block + c at position + i: scale where it is kept, else 0.
// width is a multiple of VBL_LANES.
static inline void vbl_mask_columns(const vbl_mask *m, uint32_t block, uint32_t position, uint32_t sample, int64_t width,
                                    float *factor) {
  const vbl_words zero = {0};
  for (int64_t i = 0; i < width; i += VBL_LANES) {
    vbl_words x[4] = {zero + block, vbl_count_from(position + (uint32_t)i), zero + sample, zero + m->step};
    vbl_philox_lanes(m->key, x);
    for (int c = 0; c < 4; c++) {
      const vbl_words kept = vbl_kept(m, x[c]);
      memcpy(factor + c * width + i, &kept, sizeof kept);
    }
  }
}

// For each group of four lanes starting at g: which elements of (a, b) go there. The compiler makes one unpack of each.
#if defined(__AVX512F__)
#define VBL_GROUPS(f) f(0), f(4), f(8), f(12)
#elif defined(__AVX2__)
#define VBL_GROUPS(f) f(0), f(4)
#else
#define VBL_GROUPS(f) f(0)
#endif
#define VBL_LOW_WORDS(g)  g, g + VBL_LANES, g + 1, g + 1 + VBL_LANES
#define VBL_HIGH_WORDS(g) g + 2, g + 2 + VBL_LANES, g + 3, g + 3 + VBL_LANES
#define VBL_LOW_PAIRS(g)  g, g + 1, g + VBL_LANES, g + 1 + VBL_LANES
#define VBL_HIGH_PAIRS(g) g + 2, g + 3, g + 2 + VBL_LANES, g + 3 + VBL_LANES

// Transposes the 4 x 4 words of each group of four lanes: x[j], group g, becomes what lane g + j had in x[0] .. x[3].
static inline void vbl_transpose_groups(vbl_words x[4]) {
  const vbl_words low = {VBL_GROUPS(VBL_LOW_WORDS)}, high = {VBL_GROUPS(VBL_HIGH_WORDS)};
  const vbl_words first = {VBL_GROUPS(VBL_LOW_PAIRS)}, second = {VBL_GROUPS(VBL_HIGH_PAIRS)};
  const vbl_words a = __builtin_shuffle(x[0], x[1], low), b = __builtin_shuffle(x[0], x[1], high);
  const vbl_words c = __builtin_shuffle(x[2], x[3], low), d = __builtin_shuffle(x[2], x[3], high);
  x[0] = __builtin_shuffle(a, c, first);
  x[1] = __builtin_shuffle(a, c, second);
  x[2] = __builtin_shuffle(b, d, first);
  x[3] = __builtin_shuffle(b, d, second);
}

// factor[j] for the columns 4 * first_block + j, j in [0, 4 * blocks), of row (sample, position); writes up to the next
// multiple of 4 * VBL_LANES. Lane 4 g + j takes block j * VBL_LANES / 4 + g, so that the transpose leaves the columns in order.
static inline void vbl_mask_row(const vbl_mask *m, uint32_t position, uint32_t sample, int64_t first_block, int64_t blocks,
                                float *factor) {
  const vbl_words zero = {0};
  vbl_words order = {0};
  for (uint32_t lane = 0; lane < VBL_LANES; lane++) order[lane] = lane % 4 * (VBL_LANES / 4) + lane / 4;
  for (int64_t i = 0; i < blocks; i += VBL_LANES) {
    vbl_words x[4] = {order + (uint32_t)(first_block + i), zero + position, zero + sample, zero + m->step};
    vbl_philox_lanes(m->key, x);
    for (int c = 0; c < 4; c++) x[c] = vbl_kept(m, x[c]);
    vbl_transpose_groups(x);
    for (int j = 0; j < 4; j++) memcpy(factor + 4 * i + j * VBL_LANES, &x[j], sizeof x[j]);
  }
}

// out[j] = dropout(x[j]) + residual[j] (residual may be NULL), j < D, for the row with counters rows[row]. out may be x or
// residual.
static inline void vbl_dropout_row(const vbl_mask *m, int64_t row, const float *x, const float *residual, float *out, int64_t D) {
  enum { BLOCKS = 128 };  // a multiple of VBL_LANES
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
