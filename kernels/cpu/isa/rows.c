// Rows by index: gather, scatter-add, and the sum of the text embeddings.
// defines: vbl_cpu_gather_rows, vbl_cpu_scatter_add_rows, vbl_cpu_text_embedding
#include <string.h>

#include "kernels/cpu/isa/isa.h"

void VBL_K(gather_rows)(const void *x_, const int32_t *index, void *y_, int64_t n, int64_t D, vbl_stream s) {
  (void)s;
  const float *x = x_;
  float *y = y_;
  const size_t bytes = (size_t)D * sizeof(float);
  if (D == 0) return;
#pragma omp parallel for schedule(static) if (n * D > VBL_GRAIN)
  for (int64_t i = 0; i < n; i++) {
    if (index[i] < 0) {
      memset(y + i * D, 0, bytes);
    } else {
      memcpy(y + i * D, x + index[i] * D, bytes);
    }
  }
}

// Threads share the columns, in units of a cache line, and each adds the rows in order: repeated indices need no locks, and
// the result does not depend on the number of threads.
void VBL_K(scatter_add_rows)(const void *x_, const int32_t *index, void *y_, int64_t n, int64_t D, int64_t rows, vbl_stream s) {
  (void)s;
  (void)rows;
  const float *x = x_;
  float *y = y_;
  enum { LINE = 16, MAX_PARTS = 64 };
  const int64_t lines = (D + LINE - 1) / LINE, parts = vbl_min64(lines, MAX_PARTS);
#pragma omp parallel for schedule(static) if (n * D > VBL_GRAIN)
  for (int64_t part = 0; part < parts; part++) {
    const int64_t from = lines * part / parts * LINE, to = vbl_min64(lines * (part + 1) / parts * LINE, D);
    for (int64_t i = 0; i < n; i++) {
      if (index[i] < 0) continue;
      float *row = y + index[i] * D;
#pragma omp simd
      for (int64_t j = from; j < to; j++) row[j] += x[i * D + j];
    }
  }
}

void VBL_K(text_embedding)(const int32_t *ids, const int32_t *pos, const void *word_, const void *position_, const void *type_,
                           void *y_, int64_t n, int64_t D, vbl_stream s) {
  (void)s;
  const float *word = word_, *position = position_, *type = type_;
  float *y = y_;
#pragma omp parallel for schedule(static) if (n * D > VBL_GRAIN)
  for (int64_t i = 0; i < n; i++) {
    const float *w = word + ids[i] * D, *p = position + pos[i] * D;
#pragma omp simd
    for (int64_t j = 0; j < D; j++) y[i * D + j] = w[j] + p[j] + type[j];
  }
}
