// defines: vbl_nuclear_norm
#include "core/measure/nuclear.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/measure/lapack.h"
#include "core/measure/prepared.h"

// Sum of the roots of ascending eigenvalues w (r), and the bound on its error.
static double sum_of_roots(const double *w, int64_t r, double *bound) {
  double delta = 16 * DBL_EPSILON * fmax(w[r - 1], 0), sum = 0;
  *bound = 0;
  for (int64_t i = 0; i < r; i++) {
    double s = sqrt(fmax(w[i], 0));
    sum += s;
    *bound += s > sqrt(delta) ? delta / (2 * s) : sqrt(delta);
  }
  return sum;
}

// Whether squares of a's elements neither over- nor underflow.
static bool squarable(const double *a, int64_t count) {
  double largest = 0;
  for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs(a[i]));
  return largest > 1e-140 && largest < 1e140;
}

static vbl_status by_svd(int64_t m, int64_t n, double *a, double *s, double *sum, vbl_error *err) {
  VBL_TRY(vbl_svd_values(m, n, a, s, err));
  *sum = 0;
  for (int64_t i = 0; i < (m < n ? m : n); i++) *sum += s[i];
  return VBL_OK;
}

vbl_status vbl_nuclear_norm(int64_t m, int64_t n, double *a, double tolerance, double *sum, vbl_error *err) {
  int64_t r = m < n ? m : n;
  double *g = NULL, *w = NULL, bound = 0;
  vbl_status status = vbl_lapack_open(NULL, err);
  if (status == VBL_OK) status = vbl_doubles(r * r, "nuclear norm", &g, err);
  if (status == VBL_OK) status = vbl_doubles(r, "nuclear norm", &w, err);
  if (status == VBL_OK && !squarable(a, m * n)) {
    status = by_svd(m, n, a, w, sum, err);
  } else if (status == VBL_OK) {
    vbl_syrk(m > n, r, m > n ? m : n, a, n, g);
    status = vbl_symmetric_eigen(r, g, w, false, err);
    if (status == VBL_OK) *sum = sum_of_roots(w, r, &bound);
    if (status == VBL_OK && bound > tolerance * *sum) status = by_svd(m, n, a, w, sum, err);
  }
  free(g);
  free(w);
  return status;
}
