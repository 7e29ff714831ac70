// defines: vbl_nuclear_norm
#include "core/measure/nuclear.h"

#include <math.h>
#include <stdlib.h>

#include "core/measure/lapack.h"
#include "core/measure/prepared.h"
#include "kernels/cpu/loops.h"

// The trace of T^(1/2), T symmetric (r, r) of semi-bandwidth BAND and positive semi-definite, with eigenvalues s^2 <= 1. As
// s = 1/pi integral of log(1 + s^2 / t^2) dt over t > 0, with t = exp(h j),
//   tr T^(1/2) = h / pi sum over all integers j of t log det(I + T / t^2)   to a relative error of (2 h / pi) exp(-pi^2 / h) = 5e-14
// at h = 0.34 (trapezoidal rule on a function that is analytic in a strip). The determinant is a product of pivots: those of T + t^2 I
// over t^2 for j < 0, those of I + T / t^2 for j >= 0, so that neither loses digits.
// Terms beyond 16 are 1/t tr T - 1/(2 t^3) tr T^2 to 1e-13. In terms below -48, where t^2 < 30 eps, det(T + t^2 I) is taken to be that
// of the last term: right for each s >> t; for smaller s this is wrong by at most what rounding has moved s.
enum { LOW = 48, HIGH = 16, NODES = LOW + HIGH, BAND = VBL_BAND, SMALL = 128 };
static const double STEP = 0.34;

static double node(int j) { return exp(STEP * (j - LOW)); }

// det[j] = log det(T + t^2 I) for j <= LOW, log det(I + T / t^2) for j >= LOW, where t = 1. False where a pivot is not positive: T is
// indefinite by more than rounding explains.
static bool all_determinants(int64_t r, const double *band, double *det) {
  for (int j = 0; j < NODES; j += VBL_SHIFTS) {
    double scale[VBL_SHIFTS], shift[VBL_SHIFTS];
    for (int q = 0; q < VBL_SHIFTS; q++) {
      const double t = node(j + q);
      scale[q] = j + q < LOW ? 1 : 1 / (t * t);
      shift[q] = j + q < LOW ? t * t : 1;
    }
    if (!vbl_cpu_loops()->log_determinants(r, band, scale, shift, det + j)) return false;
  }
  return true;
}

// Divides the band by |T|_inf, which it returns; tr T and tr T^2 of the result.
static double normalise(int64_t r, double *band, double *row, double *trace, double *squares) {
  double size = 0;
  for (int64_t i = 0; i < r; i++) row[i] = 0;
  for (int64_t c = 0; c < r; c++)
    for (int64_t i = 0; i <= BAND; i++) {
      if (c + i >= r) {
        band[c * (BAND + 1) + i] = 0;
        continue;
      }
      row[c] += fabs(band[c * (BAND + 1) + i]);
      if (i > 0) row[c + i] += fabs(band[c * (BAND + 1) + i]);
    }
  for (int64_t i = 0; i < r; i++) size = fmax(size, row[i]);
  *trace = *squares = 0;
  for (int64_t at = 0; at < r * (BAND + 1); at++) {
    band[at] /= size;
    *squares += band[at] * band[at] * (at % (BAND + 1) == 0 ? 1 : 2);
    if (at % (BAND + 1) == 0) *trace += band[at];
  }
  return size;
}

// Sum of s for T / |T|_inf from the determinants; *inverses: about the sum of 1/s for s > last and of 0.64 / last for others, from
// tr (T + t^2 I)^-1 = 1 / (2 t^2) d log det(T + t^2 I) / d log t.
static double integral(int64_t r, const double *det, double trace, double squares, double *inverses) {
  const double n = (double)r, last = node(0), end = node(NODES), decay = exp(-STEP), left = 1 - decay;
  double sum = last * decay / left * (det[0] - 2 * n * log(last) + 2 * n * STEP / left);
  *inverses = 0;
  for (int j = 0; j < NODES; j++) {
    const double t = node(j);
    sum += t * (det[j] - (j < LOW ? 2 * n * log(t) : 0));
    if (j < LOW) *inverses += (det[j + 1] - det[j > 0 ? j - 1 : 0]) / (j > 0 ? 2 : 1) / (M_PI * t);
  }
  sum += trace / end / left - squares / (2 * end * end * end) / (1 - decay * decay * decay);
  return STEP / M_PI * sum;
}

// band: (r, BAND + 1), destroyed. *bound: on the error of *sum that 30 eps |T| of T makes. *done: T was not indefinite.
static vbl_status root_trace(int64_t r, double *band, double *sum, double *bound, bool *done, vbl_error *err) {
  double det[NODES], trace, squares, inverses, *row = NULL;
  VBL_TRY(vbl_doubles(r, "nuclear norm", &row, err));
  const double root = sqrt(normalise(r, band, row, &trace, &squares));
  free(row);
  *done = all_determinants(r, band, det);
  if (!*done) return VBL_OK;
  *sum = root * integral(r, det, trace, squares, &inverses);
  *bound = root * 2 * node(0) * node(0) * inverses;
  return VBL_OK;
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
  double *g = NULL, *band = NULL;
  vbl_status status = vbl_scratch(r * r, "nuclear norm", &g, err);
  if (status == VBL_OK) status = vbl_scratch(r * (BAND + 1), "nuclear norm", &band, err);
  if (status == VBL_OK) {
    vbl_syrk(m > n, r, m > n ? m : n, a, n, g);
    status = vbl_band(r, g, BAND, band, err);
  }
  if (status == VBL_OK) status = root_trace(r, band, sum, bound, done, err);
  vbl_scratch_free(r * r, g);
  vbl_scratch_free(r * (BAND + 1), band);
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
