// LayerNorm (Ba, Kiros, Hinton 2016): xhat = (x - mean) rstd, y = xhat gamma + beta; also fused after residual + dropout; backward
//   dx = rstd (g - mean(g) - xhat mean(g xhat)),  g = dy gamma;   dgamma = sum dy xhat,  dbeta = sum dy.
// Mean and variance take two passes over a row that stays in cache: no cancellation.
// defines: vbl_cpu_layer_norm, vbl_cpu_residual_norm, vbl_cpu_layer_norm_backward
#include <math.h>

#include "kernels/cpu/isa/columns.h"
#include "kernels/cpu/isa/dropout.h"

static void normalize_row(const float *x, const float *gamma, const float *beta, float eps, float *y, float *mean, float *rstd,
                          int64_t D) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t j = 0; j < D; j++) total += x[j];
  const float m = total / (float)D;
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t j = 0; j < D; j++) squares += (x[j] - m) * (x[j] - m);
  const float r = 1.0f / sqrtf(squares / (float)D + eps);
#pragma omp simd
  for (int64_t j = 0; j < D; j++) y[j] = (x[j] - m) * r * gamma[j] + beta[j];
  *mean = m;
  *rstd = r;
}

void VBL_K(layer_norm)(const void *x_, const void *gamma, const void *beta, double eps, void *y_, void *mean_, void *rstd_,
                       int64_t N, int64_t D, vbl_stream s) {
  (void)s;
  const float *x = x_;
  float *y = y_, *mean = mean_, *rstd = rstd_;
  if (D == 0) return;
#pragma omp parallel for schedule(static) if (N * D > VBL_GRAIN)
  for (int64_t i = 0; i < N; i++) normalize_row(x + i * D, gamma, beta, (float)eps, y + i * D, mean + i, rstd + i, D);
}

void VBL_K(residual_norm)(const void *x_, const void *residual_, const vbl_dropout *drop, const void *gamma, const void *beta,
                          double eps, void *sum_, void *y_, void *mean_, void *rstd_, int64_t N, int64_t D, vbl_stream s) {
  (void)s;
  const float *x = x_, *residual = residual_;
  float *sum = sum_, *y = y_, *mean = mean_, *rstd = rstd_;
  if (D == 0) return;
  const vbl_mask mask = vbl_mask_make(drop);
#pragma omp parallel for schedule(static) if (N * D > VBL_GRAIN)
  for (int64_t i = 0; i < N; i++) {
    const float *xi = x + i * D, *ri = residual + i * D;
    float *si = sum + i * D;
    if (mask.on) {
      vbl_dropout_row(&mask, i, xi, ri, si, D);
    } else {
#pragma omp simd
      for (int64_t j = 0; j < D; j++) si[j] = xi[j] + ri[j];
    }
    normalize_row(si, gamma, beta, (float)eps, y + i * D, mean + i, rstd + i, D);
  }
}

// dx of one row, and its part of dgamma and dbeta (both or neither NULL).
static void backward_row(const float *x, float mean, float rstd, const float *gamma, const float *dy, const float *dsum, float *dx,
                         float *dgamma, float *dbeta, int64_t D) {
  float g_sum = 0, gx_sum = 0;
#pragma omp simd reduction(+ : g_sum, gx_sum)
  for (int64_t j = 0; j < D; j++) {
    const float g = dy[j] * gamma[j];
    g_sum += g;
    gx_sum += g * ((x[j] - mean) * rstd);
  }
  if (dgamma) {
#pragma omp simd
    for (int64_t j = 0; j < D; j++) {
      dgamma[j] += dy[j] * ((x[j] - mean) * rstd);
      dbeta[j] += dy[j];
    }
  }
  const float a = g_sum / (float)D, b = gx_sum / (float)D;
  if (dsum) {
#pragma omp simd
    for (int64_t j = 0; j < D; j++) dx[j] = rstd * (dy[j] * gamma[j] - a - (x[j] - mean) * rstd * b) + dsum[j];
  } else {
#pragma omp simd
    for (int64_t j = 0; j < D; j++) dx[j] = rstd * (dy[j] * gamma[j] - a - (x[j] - mean) * rstd * b);
  }
}

void VBL_K(layer_norm_backward)(const void *x_, const void *mean_, const void *rstd_, const void *gamma, const void *dy_,
                                const void *dsum_, void *dx_, void *dgamma, void *dbeta, bool accumulate, int64_t N, int64_t D,
                                vbl_stream s) {
  (void)s;
  const float *x = x_, *mean = mean_, *rstd = rstd_, *dy = dy_, *dsum = dsum_;
  float *dx = dx_;
  if (D == 0) return;
  vbl_columns c;
  if (!vbl_columns_begin(&c, N, D, dgamma ? 2 : 0)) return;
#pragma omp parallel for schedule(static) if (N * D > VBL_GRAIN)
  for (int64_t k = 0; k < c.chunks; k++) {
    float *pg = dgamma ? vbl_columns_partial(&c, k, 0) : NULL, *pb = dgamma ? vbl_columns_partial(&c, k, 1) : NULL;
    for (int64_t i = vbl_chunk_start(N, c.chunks, k); i < vbl_chunk_start(N, c.chunks, k + 1); i++) {
      backward_row(x + i * D, mean[i], rstd[i], gamma, dy + i * D, dsum ? dsum + i * D : NULL, dx + i * D, pg, pb, D);
    }
  }
  if (dgamma) {
    vbl_columns_end(&c, 0, dgamma, accumulate);
    vbl_columns_end(&c, 1, dbeta, accumulate);
  }
  vbl_columns_free(&c);
}
