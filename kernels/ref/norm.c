// Reference LayerNorm (Ba, Kiros, Hinton 2016; biased variance), alone and after a residual sum, and its backward.
// With n = (x - mean) * rstd:  y = n * gamma + beta.
// defines: vbl_ref_layer_norm, vbl_ref_residual_norm, vbl_ref_layer_norm_backward
#include <math.h>
#include <stddef.h>

#include "kernels/ref/ref.h"

static void normalize_row(const double *x, const double *gamma, const double *beta, double eps, double *y, double *mean,
                          double *rstd, int64_t D) {
  double sum = 0, squares = 0;
  for (int64_t col = 0; col < D; col++) sum += x[col];
  *mean = sum / (double)D;
  for (int64_t col = 0; col < D; col++) squares += (x[col] - *mean) * (x[col] - *mean);
  *rstd = 1 / sqrt(squares / (double)D + eps);
  for (int64_t col = 0; col < D; col++) y[col] = (x[col] - *mean) * *rstd * gamma[col] + beta[col];
}

void vbl_ref_layer_norm(const void *x, const void *gamma, const void *beta, double eps, void *y, void *mean, void *rstd, int64_t N,
                        int64_t D, vbl_stream s) {
  (void)s;
  if (D == 0) return;
  for (int64_t row = 0; row < N; row++) {
    normalize_row((const double *)x + row * D, gamma, beta, eps, (double *)y + row * D, (double *)mean + row, (double *)rstd + row,
                  D);
  }
}

void vbl_ref_residual_norm(const void *x, const void *residual, const vbl_dropout *drop, const void *gamma, const void *beta,
                           double eps, void *sum, void *y, void *mean, void *rstd, int64_t N, int64_t D, vbl_stream s) {
  vbl_ref_dropout_add(x, residual, drop, sum, N, D, s);
  vbl_ref_layer_norm(sum, gamma, beta, eps, y, mean, rstd, N, D, s);
}

// With g = dy * gamma:  dx = rstd * (g - mean(g) - n * mean(g n)) + dsum.
static void row_backward(const double *x, double mean, double rstd, const double *gamma, const double *dy, const double *dsum,
                         double *dx, int64_t D) {
  double sum_g = 0, sum_gn = 0;
  for (int64_t col = 0; col < D; col++) {
    double g = dy[col] * gamma[col], n = (x[col] - mean) * rstd;
    sum_g += g;
    sum_gn += g * n;
  }
  for (int64_t col = 0; col < D; col++) {
    double g = dy[col] * gamma[col], n = (x[col] - mean) * rstd;
    double from_sum = dsum == NULL ? 0 : dsum[col];
    dx[col] = rstd * (g - sum_g / (double)D - n * sum_gn / (double)D) + from_sum;
  }
}

// dgamma = sum over rows of dy * n, dbeta = sum over rows of dy.
static void parameters_backward(const double *x, const double *mean, const double *rstd, const double *dy, double *dgamma,
                                double *dbeta, bool accumulate, int64_t N, int64_t D) {
  for (int64_t col = 0; col < D; col++) {
    double sum_gamma = 0, sum_beta = 0;
    for (int64_t row = 0; row < N; row++) {
      double n = (x[row * D + col] - mean[row]) * rstd[row];
      sum_gamma += dy[row * D + col] * n;
      sum_beta += dy[row * D + col];
    }
    dgamma[col] = (accumulate ? dgamma[col] : 0) + sum_gamma;
    dbeta[col] = (accumulate ? dbeta[col] : 0) + sum_beta;
  }
}

void vbl_ref_layer_norm_backward(const void *x, const void *mean, const void *rstd, const void *gamma, const void *dy,
                                 const void *dsum, void *dx, void *dgamma, void *dbeta, bool accumulate, int64_t N, int64_t D,
                                 vbl_stream s) {
  (void)s;
  // The parameters first: dx may overwrite dy.
  if (dgamma != NULL) parameters_backward(x, mean, rstd, dy, dgamma, dbeta, accumulate, N, D);
  for (int64_t row = 0; row < N; row++) {
    const double *dsum_row = dsum == NULL ? NULL : (const double *)dsum + row * D;
    row_backward((const double *)x + row * D, ((const double *)mean)[row], ((const double *)rstd)[row], gamma,
                 (const double *)dy + row * D, dsum_row, (double *)dx + row * D, D);
  }
}
