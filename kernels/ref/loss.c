// Reference softmax, cross-entropy and row normalisation, with their backward.
// defines: vbl_ref_softmax, vbl_ref_softmax_backward, vbl_ref_cross_entropy, vbl_ref_cross_entropy_backward,
//          vbl_ref_normalize_rows, vbl_ref_normalize_rows_backward
#include <math.h>
#include <stddef.h>

#include "kernels/ref/ref.h"

// log sum exp x; the largest is taken out first, so that nothing overflows.
static double log_sum_exp(const double *x, int64_t V) {
  double largest = -INFINITY, total = 0;
  for (int64_t col = 0; col < V; col++) largest = fmax(largest, x[col]);
  for (int64_t col = 0; col < V; col++) total += exp(x[col] - largest);
  return largest + log(total);
}

static double dot(const double *a, const double *b, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; i++) total += a[i] * b[i];
  return total;
}

void vbl_ref_softmax(const void *x, void *y, bool log, int64_t N, int64_t V, vbl_stream s) {
  (void)s;
  for (int64_t row = 0; row < N; row++) {
    const double *in = (const double *)x + row * V;
    double *out = (double *)y + row * V, lse = log_sum_exp(in, V);
    for (int64_t col = 0; col < V; col++) out[col] = log ? in[col] - lse : exp(in[col] - lse);
  }
}

// softmax: dx = y (dy - <y, dy>);  log-softmax: dx = dy - exp(y) sum(dy).
void vbl_ref_softmax_backward(const void *y, const void *dy, void *dx, bool log, int64_t N, int64_t V, vbl_stream s) {
  (void)s;
  for (int64_t row = 0; row < N; row++) {
    const double *result = (const double *)y + row * V, *gradient = (const double *)dy + row * V;
    double *out = (double *)dx + row * V, inner = dot(result, gradient, V), sum = 0;
    for (int64_t col = 0; col < V; col++) sum += gradient[col];
    for (int64_t col = 0; col < V; col++) {
      out[col] = log ? gradient[col] - exp(result[col]) * sum : result[col] * (gradient[col] - inner);
    }
  }
}

void vbl_ref_cross_entropy(const void *x, const int32_t *label, int32_t ignore, void *loss, void *lse, int64_t N, int64_t V,
                           vbl_stream s) {
  (void)s;
  for (int64_t row = 0; row < N; row++) {
    const double *in = (const double *)x + row * V;
    double row_lse = log_sum_exp(in, V);
    ((double *)lse)[row] = row_lse;
    ((double *)loss)[row] = label[row] == ignore ? 0 : row_lse - in[label[row]];
  }
}

void vbl_ref_cross_entropy_backward(const void *x, const int32_t *label, int32_t ignore, const void *lse, const void *dloss,
                                    double scale, void *dx, int64_t N, int64_t V, vbl_stream s) {
  (void)s;
  for (int64_t row = 0; row < N; row++) {
    const double *in = (const double *)x + row * V;
    double *out = (double *)dx + row * V, factor = scale * (dloss == NULL ? 1 : ((const double *)dloss)[row]);
    for (int64_t col = 0; col < V; col++) {
      double p = exp(in[col] - ((const double *)lse)[row]), onehot = col == label[row] ? 1 : 0;
      out[col] = label[row] == ignore ? 0 : (p - onehot) * factor;
    }
  }
}

// norm keeps |x| itself, also where it is below eps.
void vbl_ref_normalize_rows(const void *x, double eps, void *y, void *norm, int64_t N, int64_t D, vbl_stream s) {
  (void)s;
  for (int64_t row = 0; row < N; row++) {
    const double *in = (const double *)x + row * D;
    double *out = (double *)y + row * D, length = sqrt(dot(in, in, D));
    ((double *)norm)[row] = length;
    for (int64_t col = 0; col < D; col++) out[col] = in[col] / fmax(length, eps);
  }
}

// Below eps, y = x / eps is linear: dx = dy / eps.
void vbl_ref_normalize_rows_backward(const void *y, const void *norm, double eps, const void *dy, void *dx, int64_t N, int64_t D,
                                     vbl_stream s) {
  (void)s;
  for (int64_t row = 0; row < N; row++) {
    const double *unit = (const double *)y + row * D, *gradient = (const double *)dy + row * D;
    double *out = (double *)dx + row * D, length = ((const double *)norm)[row], inner = dot(unit, gradient, D);
    for (int64_t col = 0; col < D; col++) {
      out[col] = length > eps ? (gradient[col] - unit[col] * inner) / length : gradient[col] / eps;
    }
  }
}
