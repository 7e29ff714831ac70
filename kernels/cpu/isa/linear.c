// Linear's epilogues: bias, bias + GELU (erf), their backward, column sums. Rows are contiguous: x [N,D].
// defines: vbl_cpu_bias_add, vbl_cpu_bias_gelu, vbl_cpu_gelu_backward_bias, vbl_cpu_column_sum
#include "kernels/cpu/isa/columns.h"
#include "kernels/cpu/isa/vecmath.h"

void VBL_K(bias_add)(void *y_, const void *bias_, int64_t N, int64_t D, vbl_stream s) {
  (void)s;
  float *y = y_;
  const float *bias = bias_;
  if (!bias) return;
#pragma omp parallel for schedule(static) if (N * D > VBL_GRAIN)
  for (int64_t i = 0; i < N; i++) {
    float *row = y + i * D;
#pragma omp simd
    for (int64_t j = 0; j < D; j++) row[j] += bias[j];
  }
}

void VBL_K(bias_gelu)(void *h_, const void *bias_, void *g_, int64_t N, int64_t D, vbl_stream s) {
  (void)s;
  float *h = h_, *g = g_;
  const float *bias = bias_;
#pragma omp parallel for schedule(static) if (N * D > VBL_GRAIN)
  for (int64_t i = 0; i < N; i++) {
    float *hi = h + i * D, *gi = g + i * D;
    if (bias) {
#pragma omp simd
      for (int64_t j = 0; j < D; j++) {
        const float v = hi[j] + bias[j];
        hi[j] = v;
        gi[j] = vbl_gelu(v);
      }
    } else {
#pragma omp simd
      for (int64_t j = 0; j < D; j++) gi[j] = vbl_gelu(hi[j]);
    }
  }
}

void VBL_K(column_sum)(const void *x_, void *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s) {
  (void)s;
  const float *x = x_;
  vbl_columns c;
  if (!vbl_columns_begin(&c, N, D, 1)) return;
#pragma omp parallel for schedule(static) if (N * D > VBL_GRAIN)
  for (int64_t k = 0; k < c.chunks; k++) {
    float *partial = vbl_columns_partial(&c, k, 0);
    for (int64_t i = vbl_chunk_start(N, c.chunks, k); i < vbl_chunk_start(N, c.chunks, k + 1); i++) {
#pragma omp simd
      for (int64_t j = 0; j < D; j++) partial[j] += x[i * D + j];
    }
  }
  vbl_columns_end(&c, 0, sum, accumulate);
  vbl_columns_free(&c);
}

void VBL_K(gelu_backward_bias)(const void *h_, const void *dg_, void *dh_, void *dbias, bool accumulate, int64_t N, int64_t D,
                               vbl_stream s) {
  (void)s;
  const float *h = h_, *dg = dg_;
  float *dh = dh_;
  vbl_columns c;
  if (!vbl_columns_begin(&c, N, D, dbias ? 1 : 0)) return;
#pragma omp parallel for schedule(static) if (N * D > VBL_GRAIN)
  for (int64_t k = 0; k < c.chunks; k++) {
    float *partial = dbias ? vbl_columns_partial(&c, k, 0) : NULL;
    for (int64_t i = vbl_chunk_start(N, c.chunks, k); i < vbl_chunk_start(N, c.chunks, k + 1); i++) {
      const float *hi = h + i * D, *gi = dg + i * D;
      float *out = dh + i * D;
#pragma omp simd
      for (int64_t j = 0; j < D; j++) out[j] = gi[j] * vbl_gelu_slope(hi[j]);
      if (!partial) continue;
#pragma omp simd
      for (int64_t j = 0; j < D; j++) partial[j] += out[j];
    }
  }
  if (dbias) vbl_columns_end(&c, 0, dbias, accumulate);
  vbl_columns_free(&c);
}
