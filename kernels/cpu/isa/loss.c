// Rows of softmax, cross-entropy and L2 normalisation, with their backward.
// defines: vbl_cpu_softmax(_backward), vbl_cpu_cross_entropy(_backward), vbl_cpu_normalize_rows(_backward)
#include <math.h>
#include <string.h>

#include "kernels/cpu/isa/isa.h"
#include "kernels/cpu/isa/vecmath.h"

// Several partial sums, so that the error of a vocabulary-long sum stays near that of a short one.
static float dot(const float *a, const float *b, int64_t n) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t j = 0; j < n; j++) total += a[j] * b[j];
  return total;
}

static float row_max(const float *x, int64_t V) {
  float m = -INFINITY;
#pragma omp simd reduction(max : m)
  for (int64_t j = 0; j < V; j++) m = x[j] > m ? x[j] : m;
  return m;
}

// Sum of exp(x - m). A row of -inf alone has m = -inf and gives NaN, as the formula does.
static float exp_sum(const float *x, float m, int64_t V) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t j = 0; j < V; j++) total += vbl_exp_neg(x[j] - m);
  return total;
}

static void softmax_row(const float *x, float *y, int64_t V) {
  const float m = row_max(x, V);
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t j = 0; j < V; j++) {
    const float e = vbl_exp_neg(x[j] - m);
    y[j] = e;
    total += e;
  }
  const float inverse = 1.0f / total;
#pragma omp simd
  for (int64_t j = 0; j < V; j++) y[j] *= inverse;
}

void VBL_K(softmax)(const void *x_, void *y_, bool log, int64_t N, int64_t V, vbl_stream s) {
  (void)s;
#pragma omp parallel for schedule(static) if (N * V > VBL_GRAIN / 4)
  for (int64_t i = 0; i < N; i++) {
    const float *x = (const float *)x_ + i * V;
    float *y = (float *)y_ + i * V;
    if (!log) {
      softmax_row(x, y, V);
      continue;
    }
    const float m = row_max(x, V), shift = logf(exp_sum(x, m, V));
#pragma omp simd
    for (int64_t j = 0; j < V; j++) y[j] = (x[j] - m) - shift;
  }
}

// softmax: dx = y (dy - <y, dy>); log-softmax: dx = dy - exp(y) sum(dy).
void VBL_K(softmax_backward)(const void *y_, const void *dy_, void *dx_, bool log, int64_t N, int64_t V, vbl_stream s) {
  (void)s;
#pragma omp parallel for schedule(static) if (N * V > VBL_GRAIN)
  for (int64_t i = 0; i < N; i++) {
    const float *y = (const float *)y_ + i * V, *dy = (const float *)dy_ + i * V;
    float *dx = (float *)dx_ + i * V;
    if (log) {
      float total = 0;
#pragma omp simd reduction(+ : total)
      for (int64_t j = 0; j < V; j++) total += dy[j];
#pragma omp simd
      for (int64_t j = 0; j < V; j++) dx[j] = dy[j] - vbl_exp_neg(y[j]) * total;
    } else {
      const float inner = dot(y, dy, V);
#pragma omp simd
      for (int64_t j = 0; j < V; j++) dx[j] = y[j] * (dy[j] - inner);
    }
  }
}

void VBL_K(cross_entropy)(const void *x_, const int32_t *label, int32_t ignore, void *loss_, void *lse_, int64_t N, int64_t V,
                          vbl_stream s) {
  (void)s;
  float *loss = loss_, *lse = lse_;
#pragma omp parallel for schedule(static) if (N * V > VBL_GRAIN / 4)
  for (int64_t i = 0; i < N; i++) {
    const float *x = (const float *)x_ + i * V;
    const float m = row_max(x, V), shift = logf(exp_sum(x, m, V));
    lse[i] = m + shift;
    loss[i] = label[i] == ignore ? 0.0f : (m - x[label[i]]) + shift;  // this order keeps a small loss's digits
  }
}

void VBL_K(cross_entropy_backward)(const void *x_, const int32_t *label, int32_t ignore, const void *lse_, const void *dloss_,
                                   double scale, void *dx_, int64_t N, int64_t V, vbl_stream s) {
  (void)s;
  const float *lse = lse_, *dloss = dloss_;
#pragma omp parallel for schedule(static) if (N * V > VBL_GRAIN / 4)
  for (int64_t i = 0; i < N; i++) {
    const float *x = (const float *)x_ + i * V;
    float *dx = (float *)dx_ + i * V;
    if (label[i] == ignore) {
      memset(dx, 0, (size_t)V * sizeof(float));
      continue;
    }
    const float factor = (float)scale * (dloss ? dloss[i] : 1.0f), l = lse[i];
#pragma omp simd
    for (int64_t j = 0; j < V; j++) dx[j] = vbl_exp_neg(x[j] - l) * factor;
    dx[label[i]] -= factor;
  }
}

void VBL_K(normalize_rows)(const void *x_, double eps, void *y_, void *norm_, int64_t N, int64_t D, vbl_stream s) {
  (void)s;
  float *norm = norm_;
#pragma omp parallel for schedule(static) if (N * D > VBL_GRAIN)
  for (int64_t i = 0; i < N; i++) {
    const float *x = (const float *)x_ + i * D;
    float *y = (float *)y_ + i * D;
    const float n = sqrtf(dot(x, x, D));
    const float inverse = 1.0f / (n > (float)eps ? n : (float)eps);
#pragma omp simd
    for (int64_t j = 0; j < D; j++) y[j] = x[j] * inverse;
    norm[i] = n;
  }
}

// Where |x| <= eps, y = x / eps is linear and dx = dy / eps.
void VBL_K(normalize_rows_backward)(const void *y_, const void *norm_, double eps, const void *dy_, void *dx_, int64_t N, int64_t D,
                                    vbl_stream s) {
  (void)s;
  const float *norm = norm_;
#pragma omp parallel for schedule(static) if (N * D > VBL_GRAIN)
  for (int64_t i = 0; i < N; i++) {
    const float *y = (const float *)y_ + i * D, *dy = (const float *)dy_ + i * D;
    float *dx = (float *)dx_ + i * D;
    const bool linear = norm[i] <= (float)eps;
    const float inverse = 1.0f / (linear ? (float)eps : norm[i]), inner = linear ? 0.0f : dot(y, dy, D);
#pragma omp simd
    for (int64_t j = 0; j < D; j++) dx[j] = (dy[j] - y[j] * inner) * inverse;
  }
}
