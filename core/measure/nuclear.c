// defines: vbl_nuclear_norm
#include "core/measure/nuclear.h"

#include <math.h>
#include <stdlib.h>

#include "core/measure/lapack.h"
#include "core/measure/prepared.h"

// The trace of T^(1/2), T symmetric tridiagonal (r, r) and positive semi-definite with L = |T|_inf. With t = sqrt(L) exp(h j),
//   s = (2 h / pi) sum over all integers j of t s^2 / (s^2 + t^2)   to a relative error of 4 exp(-pi^2 / h) = 1e-12 at h = 0.34
// (trapezoidal rule on sech, which is analytic in a strip), and the sum over eigenvalues of each term is a trace:
//   j < 0:   t (r - t^2 tr (T + t^2 I)^-1),   from the pivots d_i of T + t^2 I: tr (T + t^2 I)^-1 = sum d_i' / d_i
//   j >= 0:  tr T (I + T / t^2)^-1 / t,       from the pivots of I + T / t^2, so that nothing cancels for large t.
// Terms beyond 16 are 1/t tr T - 1/t^3 tr T^2 to 1e-12. Terms below -48, where t^2 < 30 eps L, are t for each s >> t; for smaller s
// this is wrong by at most what rounding has moved s.
enum { LOW = 48, HIGH = 16, SMALL = 128 };
static const double STEP = 0.34;

typedef struct poles {
  double t[LOW + HIGH], pivot[LOW + HIGH], slope[LOW + HIGH], trace[LOW + HIGH];
} poles;

static void start(poles *p, double root) {
  for (int j = 0; j < LOW + HIGH; j++) {
    p->t[j] = root * exp(STEP * (j < LOW ? -(j + 1) : j - LOW));
    p->pivot[j] = 1;
    p->slope[j] = p->trace[j] = 0;
  }
}

// Row i of T: its diagonal element and the square of that beside it. Slopes are derivatives of pivots.
static void eliminate(poles *p, double diagonal, double beside2) {
#pragma omp simd
  for (int j = 0; j < LOW; j++) {
    double inverse = 1 / p->pivot[j], q = beside2 * inverse;
    p->pivot[j] = diagonal + p->t[j] * p->t[j] - q;
    p->slope[j] = 1 + q * inverse * p->slope[j];
    p->trace[j] += p->slope[j] / p->pivot[j];
  }
#pragma omp simd
  for (int j = LOW; j < LOW + HIGH; j++) {
    double tau = 1 / (p->t[j] * p->t[j]), inverse = 1 / p->pivot[j], q = tau * beside2 * inverse;
    p->pivot[j] = 1 + tau * (diagonal - q);
    p->slope[j] = diagonal - 2 * q + tau * q * inverse * p->slope[j];
    p->trace[j] += p->slope[j] / p->pivot[j];
  }
}

// False when a pivot is not positive: T is indefinite by more than rounding explains.
static bool root_trace(int64_t r, const double *diagonal, const double *beside, double *sum, double *bound) {
  double size = 0, trace = 0, squares = 0;
  poles p;
  for (int64_t i = 0; i < r; i++) {
    double left = i > 0 ? beside[i - 1] : 0, right = i + 1 < r ? beside[i] : 0;
    size = fmax(size, fabs(left) + fabs(diagonal[i]) + fabs(right));
    trace += diagonal[i];
    squares += diagonal[i] * diagonal[i] + left * left + right * right;
  }
  double root = sqrt(size), scale = 2 * STEP / M_PI, decay = exp(-STEP);
  start(&p, root);
  for (int64_t i = 0; i < r; i++) {
    eliminate(&p, diagonal[i], i > 0 ? beside[i - 1] * beside[i - 1] : 0);
    for (int j = 0; j < LOW + HIGH; j++)
      if (!(p.pivot[j] > 0)) return false;
  }
  double last = p.t[LOW - 1], first = p.t[LOW + HIGH - 1] / decay, inverses = 0;
  *sum = (double)r * last * decay / (1 - decay);
  for (int j = LOW - 1; j >= 0; j--) {
    *sum += p.t[j] * ((double)r - p.t[j] * p.t[j] * p.trace[j]);
    inverses += p.t[j] * p.trace[j];
  }
  for (int j = LOW; j < LOW + HIGH; j++) *sum += p.trace[j] / p.t[j];
  *sum += trace / first / (1 - decay) - squares / (first * first * first) / (1 - decay * decay * decay);
  *sum *= scale;
  // scale * inverses is about the sum of 1/s for s > last and of 0.64 / last for others.
  *bound = 2 * last * last * scale * inverses;
  return true;
}

// Whether squares of a's elements neither over- nor underflow.
static bool squarable(const double *a, int64_t count) {
  double largest = 0;
  for (int64_t i = 0; i < count; i++) largest = fabs(a[i]) > largest ? fabs(a[i]) : largest;
  return largest > 1e-140 && largest < 1e140;
}

static vbl_status by_svd(int64_t m, int64_t n, double *a, double *s, double *sum, vbl_error *err) {
  VBL_TRY(vbl_svd_values(m, n, a, s, err));
  *sum = 0;
  for (int64_t i = 0; i < (m < n ? m : n); i++) *sum += s[i];
  return VBL_OK;
}

static vbl_status by_trace(int64_t m, int64_t n, const double *a, double *sum, double *bound, bool *done, vbl_error *err) {
  int64_t r = m < n ? m : n;
  double *g = NULL, *t = NULL;
  vbl_status status = vbl_doubles(r * r, "nuclear norm", &g, err);
  if (status == VBL_OK) status = vbl_doubles(2 * r, "nuclear norm", &t, err);
  if (status == VBL_OK) {
    vbl_syrk(m > n, r, m > n ? m : n, a, n, g);
    status = vbl_tridiagonal(r, g, t, t + r, err);
  }
  if (status == VBL_OK) *done = root_trace(r, t, t + r, sum, bound);
  free(g);
  free(t);
  return status;
}

vbl_status vbl_nuclear_norm(int64_t m, int64_t n, double *a, double tolerance, double *sum, vbl_error *err) {
  int64_t r = m < n ? m : n;
  double *s = NULL, bound = 0;
  bool done = false;
  VBL_TRY(vbl_lapack_open(NULL, err));
  if (r > SMALL && squarable(a, m * n)) VBL_TRY(by_trace(m, n, a, sum, &bound, &done, err));
  if (done && bound <= tolerance * *sum) return VBL_OK;
  VBL_TRY(vbl_doubles(r, "nuclear norm", &s, err));
  vbl_status status = by_svd(m, n, a, s, sum, err);
  free(s);
  return status;
}
