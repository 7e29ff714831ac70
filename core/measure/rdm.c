// The distances of RSA, and their ranks. All are squared Euclidean distances, of the rows or of their directions: 1 - cos = |u - v|^2 / 2
// loses nothing where all directions are alike. Products round apart what is equal, as all distances between classes are; so each
// distance carries a bound on its rounding, and ranks tie what lies within.
//
// With eps = 2^-52, s = |xi|^2 + |xj|^2 of the centred rows and v = s - 2 <xi, xj>: d eps s / 2 from either term, and 4 eps s from
// the elements, s and v: (d + 4) eps s in all, whatever the order of the sums. Below VBL_DISTANCE_DIRECT s the sum of squared
// differences was taken, and s is v. That is 1e-13 of an ordinary distance: unequal ones come that near by accident, a few among
// millions, and then tie where their order was noise.
// defines: vbl_rdm
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/measure/kernel.h"
#include "core/measure/stats.h"

// From row - its mean, divided by its length. own: twice the square of what that leaves beside the row's true direction, by length (each
// element is off by eps / 2 of itself, a sum of d squares by d eps / 2, its root by half of that) and by mean (found twice: of the row and of
// what is left). False where the row has no direction.
static bool direction(const double *row, int64_t d, bool centre, double *out, double *own) {
  double mean = 0, largest = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t j = 0; j < d; j++) largest = fabs(row[j]) > largest ? fabs(row[j]) : largest;
  if (largest == 0) return false;
  const double scale = ldexp(1, ilogb(largest) < -1000 ? 1000 : -ilogb(largest));  // whose squares are numbers
  largest *= scale;
  for (int pass = 0; centre && pass < 2; pass++) {
    double rest = 0;
#pragma omp simd reduction(+ : rest)
    for (int64_t j = 0; j < d; j++) rest += row[j] * scale - mean;
    mean += rest / (double)d;
  }
#pragma omp simd
  for (int64_t j = 0; j < d; j++) out[j] = row[j] * scale - mean;
  double norm = sqrt(vbl_dot(out, out, d));
  if (norm <= 1e-14 * largest * (double)d) return false;  // a constant row leaves the rounding of its mean
  for (int64_t j = 0; j < d; j++) out[j] /= norm;
  double rounding = (double)(d + 6) * DBL_EPSILON / 4;
  if (centre) rounding += (largest * sqrt((double)d) / norm + (double)(d + 1)) * DBL_EPSILON / 2;
  *own = 2 * rounding * rounding;
  return true;
}

// The directions as a matrix of their own, which shares the distances of rows that are equal; *out NULL where a row has none.
static vbl_status directions(const vbl_prepared *x, bool centre, double *own, vbl_prepared **out, vbl_error *err) {
  double *u = NULL;
  bool all = true;
  VBL_TRY(vbl_scratch(x->n * x->d, "rsa", &u, err));
#pragma omp parallel for schedule(static) reduction(&& : all)
  for (int64_t i = 0; i < x->n; i++) all = direction(x->raw + i * x->d, x->d, centre, u + i * x->d, &own[i]) && all;
  vbl_status status = all ? vbl_prepare(x->n, x->d, u, VBL_F64, x->d, 1, "directions", out, err) : VBL_OK;
  vbl_scratch_free(x->n * x->d, u);
  return status;
}

// The distances' bounds, pair by pair of i < j. own: of the rows, NULL for distances of the rows themselves; those of directions are off by
// eps of each element of both twice over as well, and by their lengths.
static void bounds(const vbl_prepared *p, const double *v, const double *own, double *bound) {
  const double unit = (double)(p->d + 4) * DBL_EPSILON;
#pragma omp parallel for schedule(static, 16)
  for (int64_t i = 0; i < p->n; i++)
    for (int64_t j = i + 1, q = i * (2 * p->n - i - 1) / 2; j < p->n; j++, q++) {
      double sum = p->centred_norm2[i] + p->centred_norm2[j];
      bound[q] = unit * (v[q] < VBL_DISTANCE_DIRECT * sum ? v[q] : sum);
      if (own != NULL) bound[q] += 4 * DBL_EPSILON * sqrt(v[q]) + (unit / 2 + DBL_EPSILON) * v[q] + own[i] + own[j];
    }
}

// The upper triangle packed into the matrix's own memory: pair q of i < j, row by row. Reads stay ahead of writes.
static int64_t pack_upper(double *k, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = i + 1; j < n; j++) k[count++] = k[i * n + j];
  return count;
}

// Whether all could be one number.
static bool constant(const double *v, const double *bound, int64_t count) {
  double low = -INFINITY, high = INFINITY;
  for (int64_t q = 0; q < count; q++) {
    low = fmax(low, v[q] - bound[q]);
    high = fmin(high, v[q] + bound[q]);
  }
  return low <= high;
}

// v becomes its ranks from 1; neighbours that rounding could have parted share their mean rank. *tied: all do.
static vbl_status rank(double *v, const double *bound, int64_t count, bool *tied, vbl_error *err) {
  int64_t *order = malloc(sizeof *order * (size_t)count);
  vbl_status status = order == NULL ? vbl_fail(err, VBL_ENOMEM, "rsa: out of memory") : vbl_order(v, count, order, err);
  for (int64_t i = 0, end; status == VBL_OK && i < count; i = end) {
    for (end = i + 1; end < count; end++) {
      int64_t a = order[end - 1], b = order[end];
      if (v[b] - v[a] > bound[a] + bound[b]) break;
    }
    *tied = end - i == count;
    for (int64_t q = i; q < end; q++) v[order[q]] = (double)(i + 1 + end) / 2;
  }
  free(order);
  return status;
}

// What is compared: ranks, or the distances that were asked for.
static vbl_status finish(vbl_prepared *p, const vbl_measure_options *o, const double *own, double **v, vbl_measure_status *how,
                         vbl_error *err) {
  VBL_TRY(vbl_distances2(p, v, err));
  int64_t count = pack_upper(*v, p->n);
  double *bound = *v + count;  // n^2 has room for both
  bounds(p, *v, own, bound);
  bool tied = false;
  if (o->compare != VBL_COMPARE_PEARSON) {
    VBL_TRY(rank(*v, bound, count, &tied, err));
  } else {
    tied = constant(*v, bound, count);
    for (int64_t q = 0; o->rdm == VBL_RDM_EUCLIDEAN && q < count; q++) (*v)[q] = sqrt((*v)[q]);
    for (int64_t q = 0; own != NULL && q < count; q++) (*v)[q] /= 2;
  }
  if (tied) *how = VBL_MEASURE_ALL_TIED;
  return VBL_OK;
}

vbl_status vbl_rdm(vbl_prepared *x, const vbl_measure_options *o, double **v, vbl_measure_status *how, vbl_error *err) {
  *v = NULL;
  *how = VBL_MEASURE_OK;
  if (o->rdm == VBL_RDM_EUCLIDEAN || o->rdm == VBL_RDM_SQEUCLIDEAN) return finish(x, o, NULL, v, how, err);
  vbl_prepared *unit = NULL;
  double *own = NULL;
  VBL_TRY(vbl_doubles(x->n, "rsa", &own, err));
  vbl_status status = directions(x, o->rdm == VBL_RDM_CORRELATION, own, &unit, err);
  if (status == VBL_OK && unit == NULL) *how = VBL_MEASURE_ZERO_ROW;
  if (status == VBL_OK && unit != NULL) status = finish(unit, o, own, v, how, err);
  vbl_prepared_free(unit);
  free(own);
  return status;
}
