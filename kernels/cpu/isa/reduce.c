// Reductions: sum, mean, max, min along the middle dim; the squared norm; the count of values that are not finite.
// Sums are accumulated in double. A NaN is the max and the min of its row, as its first occurrence.
// defines: vbl_cpu_reduce, vbl_cpu_sum_squares, vbl_cpu_count_nonfinite
#include <math.h>

#include "kernels/cpu/isa/isa.h"
#include "kernels/cpu/isa/vecmath.h"

static double sum_row(const float *x, int64_t n) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < n; i++) total += (double)x[i];
  return total;
}

// Whether `a` displaces `best` as the max (min): greater, or the first NaN.
static inline bool beats(vbl_reduce f, float a, float best) {
  if (best != best) return false;
  return a != a || (f == VBL_MAX ? a > best : a < best);
}

static void extreme(vbl_reduce f, const float *x, int64_t n, int64_t stride, float *y, int32_t *index) {
  int64_t at = 0;
  for (int64_t i = 1; i < n; i++) {
    if (beats(f, x[i * stride], x[at * stride])) at = i;
  }
  *y = x[at * stride];
  if (index) *index = (int32_t)at;
}

static void sum_inner(const float *x, float *y, int64_t n, int64_t inner, double factor) {
  enum { BLOCK = 256 };
  for (int64_t c = 0; c < inner; c += BLOCK) {
    const int64_t m = vbl_min64(BLOCK, inner - c);
    double total[BLOCK] = {0};
    for (int64_t i = 0; i < n; i++) {
#pragma omp simd
      for (int64_t j = 0; j < m; j++) total[j] += (double)x[i * inner + c + j];
    }
    for (int64_t j = 0; j < m; j++) y[c + j] = (float)(total[j] * factor);
  }
}

// n = 0: sums are 0, a mean is NaN, max and min are -inf and inf (core refuses them).
static void reduce_empty(vbl_reduce f, float *y, int32_t *index, int64_t count) {
  const float value = f == VBL_SUM ? 0.0f : f == VBL_MEAN ? NAN : f == VBL_MAX ? -INFINITY : INFINITY;
  for (int64_t i = 0; i < count; i++) {
    y[i] = value;
    if (index) index[i] = -1;
  }
}

void VBL_K(reduce)(vbl_reduce f, const void *x_, void *y_, int32_t *index, int64_t outer, int64_t n, int64_t inner, vbl_stream s) {
  (void)s;
  const float *x = x_;
  float *y = y_;
  if (n == 0) {
    reduce_empty(f, y, index, outer * inner);
    return;
  }
  const bool sums = f == VBL_SUM || f == VBL_MEAN;
  const double factor = f == VBL_MEAN ? 1.0 / (double)n : 1.0;
#pragma omp parallel for schedule(static) if (outer * n * inner > VBL_GRAIN && outer > 1)
  for (int64_t o = 0; o < outer; o++) {
    const float *row = x + o * n * inner;
    if (sums && inner == 1) {
      y[o] = (float)(sum_row(row, n) * factor);
    } else if (sums) {
      sum_inner(row, y + o * inner, n, inner, factor);
    } else {
      for (int64_t j = 0; j < inner; j++) extreme(f, row + j, n, inner, y + o * inner + j, index ? index + o * inner + j : NULL);
    }
  }
}

// At most 64 chunks of at least VBL_GRAIN elements: a chunk's sum is one number, added in order.
static int64_t flat_chunks(int64_t n) { return vbl_min64(VBL_MAX_CHUNKS, n / VBL_GRAIN + 1); }

double VBL_K(sum_squares)(const void *x_, int64_t n, vbl_stream s) {
  (void)s;
  const float *x = x_;
  const int64_t chunks = flat_chunks(n);
  double partial[VBL_MAX_CHUNKS];
#pragma omp parallel for schedule(static) if (chunks > 1)
  for (int64_t c = 0; c < chunks; c++) {
    const int64_t end = vbl_chunk_start(n, chunks, c + 1);
    double total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = vbl_chunk_start(n, chunks, c); i < end; i++) total += (double)x[i] * (double)x[i];
    partial[c] = total;
  }
  double total = 0;
  for (int64_t c = 0; c < chunks; c++) total += partial[c];
  return total;
}

int64_t VBL_K(count_nonfinite)(const void *x_, int64_t n, vbl_stream s) {
  (void)s;
  const float *x = x_;
  int64_t count = 0;
#pragma omp parallel for simd schedule(static) reduction(+ : count) if (n > VBL_GRAIN)
  for (int64_t i = 0; i < n; i++) count += (vbl_float_bits(x[i]) & 0x7F800000u) == 0x7F800000u;
  return count;
}
