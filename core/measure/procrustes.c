// Orthogonal Procrustes of the centred matrices, the narrower one zero-padded, from N = |Xc'Yc|_*. Where a matrix is wider than n,
// the coordinates of the two SVDs, A = Ux Sx and B = Uy Sy, serve: M = A'B has the singular values of Xc'Yc and the ranks' size.
// similarity s = N / (|Xc| |Yc|); distance sqrt(|Xc|^2 + |Yc|^2 - 2 N); normalised_distance sqrt(2 - 2 s); angular acos(s)
// (Schonemann 1966; Williams et al., NeurIPS 2021).
// defines: vbl_procrustes, vbl_aligned_cosine
#include <math.h>
#include <stdlib.h>

#include "core/measure/cross.h"
#include "core/measure/device.h"
#include "core/measure/lapack.h"
#include "core/measure/nuclear.h"
#include "core/measure/parallel.h"
#include "core/measure/result.h"
#include "core/measure/stats.h"

enum { DRAWS = 2 };  // for the chance level, which hardly varies between permutations

// M (mx, my) = Sx Ux'[rows] Uy Sy, with X's row i against Y's row order[i] (NULL: i), zero beyond the ranks.
static vbl_status cross_coordinates(const vbl_prepared *x, const vbl_prepared *y, const int64_t *order, int64_t mx, int64_t my,
                                    double **out, vbl_error *err) {
  int64_t n = x->n, rx = x->svd->rank, ry = y->svd->rank, ldy = y->svd->columns;
  double *shuffled = NULL, *m = NULL;
  const double *uy = y->svd->u;
  VBL_TRY(vbl_doubles(mx * my, "Procrustes", &m, err));
  if (order != NULL) {
    vbl_status status = vbl_doubles(n * ldy, "Procrustes", &shuffled, err);
    if (status != VBL_OK) {
      free(m);
      return status;
    }
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j < ldy; j++) shuffled[i * ldy + j] = uy[order[i] * ldy + j];
    uy = shuffled;
  }
  for (int64_t i = 0; i < mx * my; i++) m[i] = 0;
  vbl_gemm(true, false, rx, ry, n, 1, x->svd->u, x->svd->columns, uy, ldy, 0, m, my);
  for (int64_t i = 0; i < rx; i++)
    for (int64_t j = 0; j < ry; j++) m[i * my + j] *= x->svd->s[i] * y->svd->s[j];
  free(shuffled);
  *out = m;
  return VBL_OK;
}

static bool narrow(const vbl_prepared *x, const vbl_prepared *y) { return x->d < x->n && y->d < y->n; }

// Whether f32 pays (cross.h) and N / (|X| |Y|) is then within 1e-6: the product is off by E with |E|_* <= 2 u |X| |Y| from the rows and
// |E|_F <= 13 u sqrt(sum a_i b_i) from the sums, a_i = |x_i|^2, b_i = |y_i|^2, and |E|_* <= sqrt(d) |E|_F. With sum a_i b_i, whatever the
// order, at most |X|^2 |Y|^2 over `rows` as many rows of equal length as these count for: (2 + 13 sqrt(d / rows)) u <= 1e-6, u = 2^-24.
// 1e-7 in practice, where these errors meet the singular vectors at random.
static bool in_single(const vbl_prepared *x, const vbl_prepared *y) {
  if (!narrow(x, y) || !vbl_row_product_single(x, y, x->d, y->d)) return false;
  const double aa = vbl_dot(x->centred_norm2, x->centred_norm2, x->n), bb = vbl_dot(y->centred_norm2, y->centred_norm2, y->n);
  const double rows = x->total / sqrt(aa) * (y->total / sqrt(bb)), d = (double)(x->d < y->d ? x->d : y->d);
  return (2 + 13 * sqrt(d / rows)) * 0x1p-24 <= 1e-6;
}

// |Xc'Yc|_* of narrow matrices with X's row i against Y's row order[i].
static vbl_status narrow_norm(const vbl_prepared *x, const vbl_prepared *y, const int64_t *order, double tolerance, double *sum,
                              vbl_error *err) {
  const vbl_factor a = vbl_centred(x), b = vbl_centred(y);
  bool single = in_single(x, y);
  double *c = NULL;
  VBL_TRY(vbl_scratch(x->d * y->d, "Procrustes", &c, err));
  vbl_status status = vbl_row_product(x->n, &a, &b, order, single, c, err);
  if (status == VBL_OK)
    status = vbl_nuclear_norm(x->d, y->d, c, single ? fmax(tolerance, VBL_NUCLEAR_SINGLE) : tolerance, sum, err);
  vbl_scratch_free(x->d * y->d, c);
  return status;
}

static vbl_status nuclear_norm(const vbl_prepared *x, const vbl_prepared *y, const int64_t *order, double tolerance, double *sum,
                               vbl_error *err) {
  double *m = NULL;
  if (narrow(x, y)) return narrow_norm(x, y, order, tolerance, sum, err);
  vbl_status status = cross_coordinates(x, y, order, x->svd->rank, y->svd->rank, &m, err);
  if (status == VBL_OK) status = vbl_nuclear_norm(x->svd->rank, y->svd->rank, m, tolerance, sum, err);
  free(m);
  return status;
}

// Draw -1: the value; else a fixed permutation. given: Xc'Yc in that order, or NULL.
static vbl_status drawn_norm(const vbl_prepared *x, const vbl_prepared *y, int64_t draw, double *given, double *sum,
                             vbl_error *err) {
  if (draw < 0 && x == y) return *sum = x->total, VBL_OK;
  if (given != NULL) return vbl_nuclear_norm(x->d, y->d, given, draw < 0 ? VBL_NUCLEAR_EXACT : INFINITY, sum, err);
  if (draw < 0) return nuclear_norm(x, y, NULL, VBL_NUCLEAR_EXACT, sum, err);
  int64_t *order = malloc(sizeof *order * (size_t)x->n);
  if (order == NULL) return vbl_fail(err, VBL_ENOMEM, "Procrustes: out of memory");
  vbl_permutation(x->n, 0, draw, order);
  vbl_status status = nuclear_norm(x, y, order, INFINITY, sum, err);
  free(order);
  return status;
}

// Xc'Yc from the device, in the rows' order or in a draw's.
static vbl_status device_product(const vbl_prepared *x, const vbl_prepared *y, int64_t draw, double **out, vbl_error *err) {
  int64_t *order = NULL;
  VBL_TRY(vbl_scratch(x->d * y->d, "Procrustes", out, err));
  if (draw < 0) return vbl_device_cross(x, y, NULL, *out, err);
  order = malloc(sizeof *order * (size_t)x->n);
  if (order == NULL) return vbl_fail(err, VBL_ENOMEM, "Procrustes: out of memory");
  vbl_permutation(x->n, 0, draw, order);
  vbl_status status = vbl_device_cross(x, y, order, *out, err);
  free(order);
  return status;
}

// given[1 + draw]: those that norms() is to read; the caller's to free.
static vbl_status device_products(const vbl_prepared *x, const vbl_prepared *y, bool value, int64_t draws, double **given,
                                  vbl_error *err) {
  for (int64_t draw = value && given[0] == NULL && x != y ? -1 : 0; draw < draws; draw++)
    VBL_TRY(device_product(x, y, draw, &given[1 + draw], err));
  return VBL_OK;
}

// The value's norm (where `value`), and the mean over permutations (where `draws` > 0), side by side on the cores.
static vbl_status norms(const vbl_prepared *x, const vbl_prepared *y, bool value, int64_t draws, double **given, double *norm,
                        double *chance, vbl_error *err) {
  double sums[1 + DRAWS] = {0};
  vbl_status status = VBL_OK;
#pragma omp parallel for schedule(dynamic)
  for (int64_t draw = value ? -1 : 0; draw < draws; draw++) {
    vbl_error mine = {0};
    vbl_shared_fail(&status, drawn_norm(x, y, draw, given[1 + draw], &sums[1 + draw], &mine), &mine, err);
  }
  *norm = sums[0];
  *chance = 0;
  for (int64_t draw = 0; draw < draws; draw++) *chance += sums[1 + draw] / (double)draws;
  return status;
}

// W' M V = diag(s) with square factors: the zero-padded M is (r, r), r the larger rank. p: (r, r), wt: (r, r).
static vbl_status rotations(const vbl_prepared *x, const vbl_prepared *y, int64_t r, double *p, double *wt, vbl_error *err) {
  double *m = NULL, *s = NULL;
  vbl_status status = cross_coordinates(x, y, NULL, r, r, &m, err);
  if (status == VBL_OK) status = vbl_doubles(r, "Procrustes", &s, err);
  if (status == VBL_OK) status = vbl_svd_full(r, r, m, p, s, wt, err);
  free(m);
  free(s);
  return status;
}

// A = U S padded to r columns, times the (r, r) matrix q (transposed: `t`), into out (n, r).
static vbl_status rotated(const vbl_prepared *x, int64_t r, const double *q, bool t, double *out, vbl_error *err) {
  const vbl_svd *v = x->svd;
  double *a = NULL;
  VBL_TRY(vbl_doubles(x->n * r, "Procrustes", &a, err));
  for (int64_t i = 0; i < x->n; i++)
    for (int64_t j = 0; j < r; j++) a[i * r + j] = j < v->rank ? v->u[i * v->columns + j] * v->s[j] : 0;
  vbl_gemm(false, t, x->n, r, r, 1, a, r, q, r, 0, out, r);
  free(a);
  return VBL_OK;
}

// Both matrices in the common frame of the best rotation: a, b (n, r); the caller frees them.
static vbl_status align(const vbl_prepared *x, const vbl_prepared *y, int64_t *r, double **a, double **b, vbl_error *err) {
  *r = x->svd->rank > y->svd->rank ? x->svd->rank : y->svd->rank;
  double *p = NULL, *wt = NULL;
  vbl_status status = vbl_doubles(*r * *r, "Procrustes", &p, err);
  if (status == VBL_OK) status = vbl_doubles(*r * *r, "Procrustes", &wt, err);
  if (status == VBL_OK) status = vbl_doubles(x->n * *r, "Procrustes", a, err);
  if (status == VBL_OK) status = vbl_doubles(x->n * *r, "Procrustes", b, err);
  if (status == VBL_OK) status = rotations(x, y, *r, p, wt, err);
  if (status == VBL_OK) status = rotated(x, *r, p, false, *a, err);
  if (status == VBL_OK) status = rotated(y, *r, wt, true, *b, err);
  free(p);
  free(wt);
  return status;
}

// |Xc Q - Yc|_F, both divided by their norms if `normalised`; summed directly: |Xc|^2 + |Yc|^2 - 2 N cancels for similar inputs.
static vbl_status aligned_distance(const vbl_prepared *x, const vbl_prepared *y, bool normalised, double *distance,
                                   vbl_error *err) {
  double *a = NULL, *b = NULL, sum = 0;
  double sx = normalised ? 1 / sqrt(x->total) : 1, sy = normalised ? 1 / sqrt(y->total) : 1;
  int64_t r = 0;
  vbl_status status = align(x, y, &r, &a, &b, err);
  for (int64_t i = 0; status == VBL_OK && i < x->n * r; i++) sum += (sx * a[i] - sy * b[i]) * (sx * a[i] - sy * b[i]);
  free(a);
  free(b);
  *distance = sqrt(sum);
  return status;
}

static double form_of(int form, double s, double nx, double ny) {
  if (form == 1) return sqrt(fmax(0, nx * nx + ny * ny - 2 * s * nx * ny));
  if (form == 2) return sqrt(fmax(0, 2 - 2 * s));
  return form == 3 ? acos(fmin(1, s)) : s;
}

static vbl_status begin(const char *measure, vbl_prepared *x, vbl_prepared *y, bool bases, bool *ready, vbl_measure_result *r,
                        vbl_error *err) {
  *ready = false;
  VBL_TRY(vbl_begin_compact(measure, x, y, 2, r, err));
  r->preprocessing = "centred, zero-padded to one width";
  if (x->total == 0 || y->total == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  r->dims_x = x->d;
  r->dims_y = y->d;
  if (bases) {
    VBL_TRY(vbl_prepared_svd(x, err));
    VBL_TRY(vbl_prepared_svd(y, err));
    r->dims_x = x->svd->rank;
    r->dims_y = y->svd->rank;
  }
  if (x->d >= x->n || y->d >= x->n) r->warnings |= VBL_WARN_D_GE_N;
  *ready = true;
  return VBL_OK;
}

// norms() of matrices wherever they lie: narrow ones on a device are multiplied there.
static vbl_status placed_norms(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, double *norm, double *chance,
                               vbl_error *err) {
  const int64_t draws = o->value_only == 0 ? DRAWS : 0;
  const bool value = o->form == 0 && o->nuclear == NULL;
  double *given[1 + DRAWS] = {o->cross};
  vbl_status status = VBL_OK;
  if (o->on_host == 0 && vbl_device_pair(x, y) && narrow(x, y))
    status = device_products(x, y, value, draws, given, err);
  else
    status = vbl_device_together(x, y, err);
  if (status == VBL_OK) status = norms(x, y, value, draws, given, norm, chance, err);
  if (o->nuclear != NULL) *norm = *o->nuclear;
  for (int i = 0; i < 1 + DRAWS; i++)
    if (given[i] != o->cross) vbl_scratch_free(x->d * y->d, given[i]);
  return status;
}

vbl_status vbl_procrustes(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  bool ready;
  double norm = 0, chance = 0, distance = 0;
  VBL_TRY(begin("procrustes", x, y, o->form != 0 || !narrow(x, y), &ready, r, err));
  if (!ready) return VBL_OK;
  double nx = sqrt(x->total), ny = sqrt(y->total);
  if (o->form == 0 && !vbl_device_pair(x, y) && in_single(x, y))
    r->preprocessing = "centred, zero-padded to one width, product in f32";
  VBL_TRY(placed_norms(x, y, o, &norm, &chance, err));
  if (o->value_only == 0) {
    r->chance = form_of(o->form, chance / (nx * ny), nx, ny);
    r->chance_source = "2 permutations of fixed seed";
  }
  if (o->form == 0) return vbl_value(r, fmin(1, norm / (nx * ny)));
  VBL_TRY(aligned_distance(x, y, o->form != 1, &distance, err));
  // |u - v| of unit vectors is the chord: angle = 2 asin(chord / 2), exact for small angles too.
  return vbl_value(r, o->form == 3 ? 2 * asin(fmin(1, distance / 2)) : distance);
}

// Mean cosine of the rows of Xc Q and Yc; rows at the centre have no direction and are skipped with a count.
vbl_status vbl_aligned_cosine(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r,
                              vbl_error *err) {
  bool ready;
  double *a = NULL, *b = NULL, sum = 0;
  int64_t dims = 0;
  (void)o;
  VBL_TRY(begin("aligned_cosine", x, y, true, &ready, r, err));
  if (!ready) return VBL_OK;
  vbl_status status = align(x, y, &dims, &a, &b, err);
  r->skipped = 0;
  for (int64_t i = 0; status == VBL_OK && i < x->n; i++) {
    double scale = sqrt(x->centred_norm2[i]) * sqrt(y->centred_norm2[i]);
    r->skipped += scale == 0;
    if (scale > 0) sum += vbl_dot(a + i * dims, b + i * dims, dims) / scale;
  }
  free(a);
  free(b);
  if (status != VBL_OK) return status;
  if (r->skipped > 0) r->warnings |= VBL_WARN_ZERO_ROWS_SKIPPED;
  if (r->skipped == x->n) return vbl_undefined(r, VBL_MEASURE_ZERO_ROW);
  return vbl_value(r, sum / (double)(x->n - r->skipped));
}
