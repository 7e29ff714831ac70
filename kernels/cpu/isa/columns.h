// Sums over the rows of [N,D] matrices, in vbl_cpu_chunks(N) partial sums that are added in order.
// defines: vbl_columns, vbl_columns_begin, vbl_columns_partial, vbl_columns_end, vbl_columns_free
#pragma once
#include <string.h>

#include "kernels/cpu/isa/isa.h"

typedef struct vbl_columns {
  int64_t D, chunks, sums;
  float *partial;  // [sums, chunks, D]
} vbl_columns;

// `sums` matrices are summed side by side (0: only the chunks are wanted). False when there is no memory, which is then
// recorded for sync.
static inline bool vbl_columns_begin(vbl_columns *c, int64_t N, int64_t D, int64_t sums) {
  *c = (vbl_columns){.D = D, .chunks = vbl_cpu_chunks(N), .sums = sums};
  if (sums == 0) return true;
  const size_t bytes = (size_t)(sums * c->chunks * D) * sizeof(float);
  c->partial = vbl_cpu_alloc(bytes);
  if (!c->partial) {
    vbl_cpu_fail(VBL_ENOMEM, "no memory for the partial sums of a reduction over rows");
    return false;
  }
  memset(c->partial, 0, bytes);
  return true;
}

static inline float *vbl_columns_partial(const vbl_columns *c, int64_t chunk, int64_t sum) {
  return c->partial + (sum * c->chunks + chunk) * c->D;
}

// out [D] (+)= the partial sums of matrix `sum`
static inline void vbl_columns_end(const vbl_columns *c, int64_t sum, float *out, bool accumulate) {
#pragma omp parallel for simd schedule(static) if (c->chunks * c->D > VBL_GRAIN)
  for (int64_t j = 0; j < c->D; j++) {
    float total = 0;
    for (int64_t k = 0; k < c->chunks; k++) total += c->partial[(sum * c->chunks + k) * c->D + j];
    out[j] = accumulate ? out[j] + total : total;
  }
}

static inline void vbl_columns_free(vbl_columns *c) {
  if (c->partial) vbl_cpu_free(c->partial, (size_t)(c->sums * c->chunks * c->D) * sizeof(float));
}
