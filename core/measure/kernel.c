// Explicit kernels: RBF CKA and distance correlation.
// defines: vbl_share_equal_rows, vbl_distances2, vbl_double_centre, vbl_u_centre, vbl_debiased_ratio, vbl_rbf_kernel, vbl_rbf_cka, vbl_dcor
#include "core/measure/kernel.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/measure/lapack.h"
#include "core/measure/result.h"
#include "core/measure/stats.h"

vbl_status vbl_share_equal_rows(const vbl_prepared *p, double *k, vbl_error *err) {
  int64_t n = p->n;
  if (p->duplicates == 0) return VBL_OK;
  int64_t *first = malloc(sizeof *first * (size_t)n);
  if (first == NULL) return vbl_fail(err, VBL_ENOMEM, "equal rows: out of memory");
  vbl_status status = vbl_first_equal(p, first, err);
  for (int64_t i = 0; status == VBL_OK && i < n; i++)
    for (int64_t j = 0; first[i] != i && j < n; j++) k[i * n + j] = k[j * n + i] = k[first[i] * n + j];
  free(first);
  return status;
}

vbl_status vbl_distances2(vbl_prepared *p, double **out, vbl_error *err) {
  int64_t n = p->n;
  VBL_TRY(vbl_prepared_rows(p, err));
  VBL_TRY(vbl_lapack_open(NULL, err));
  VBL_TRY(vbl_doubles(n * n, "distance matrix", out, err));
  double *k = *out;
  vbl_gemm(false, true, n, n, p->d, 1, p->centred, p->d, p->centred, p->d, 0, k, n);
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j <= i; j++) {
      double sum = p->centred_norm2[i] + p->centred_norm2[j], d2 = sum - 2 * k[i * n + j];
      // Below this the difference is rounding: take the sum of squared differences, which is exact for equal rows.
      if (d2 < 1e-6 * sum) d2 = vbl_distance2(p->raw + i * p->d, p->raw + j * p->d, p->d);
      k[i * n + j] = k[j * n + i] = i == j ? 0 : d2;
    }
  return vbl_share_equal_rows(p, k, err);
}

static vbl_status row_means(const double *k, int64_t n, double **out, vbl_error *err) {
  VBL_TRY(vbl_doubles(n, "row means", out, err));
  for (int64_t i = 0; i < n; i++) {
    double sum = 0;
    for (int64_t j = 0; j < n; j++) sum += k[i * n + j];
    (*out)[i] = sum / (double)n;
  }
  return VBL_OK;
}

vbl_status vbl_double_centre(double *k, int64_t n, vbl_error *err) {
  double *m = NULL, all = 0;
  VBL_TRY(row_means(k, n, &m, err));
  for (int64_t i = 0; i < n; i++) all += m[i] / (double)n;
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < n; j++) k[i * n + j] += all - (m[i] + m[j]);
  free(m);
  return VBL_OK;
}

vbl_status vbl_u_centre(double *k, int64_t n, vbl_error *err) {
  double *m = NULL, all = 0;
  for (int64_t i = 0; i < n; i++) k[i * n + i] = 0;
  VBL_TRY(row_means(k, n, &m, err));
  for (int64_t i = 0; i < n; i++) all += m[i] *= (double)n / (double)(n - 2);
  for (int64_t i = 0; i < n; i++) m[i] -= all / (double)(2 * (n - 1));
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < n; j++) k[i * n + j] = i == j ? 0 : k[i * n + j] - (m[i] + m[j]);
  free(m);
  return VBL_OK;
}

vbl_status vbl_debiased_ratio(double xy, double xx, double yy, double kk, double ll, int64_t n, vbl_measure_result *r) {
  // Equal distances between all rows leave nothing after U-centring but the rounding of sums of n^2 terms.
  double rounding = 16 * DBL_EPSILON * (double)n / ((double)n * (double)(n - 3));
  r->chance = 0;
  r->chance_source = "exact mean over permutations: 0";
  if (xx <= rounding * kk || yy <= rounding * ll) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  return vbl_value(r, xy / (sqrt(xx) * sqrt(yy)));
}

// Biased ratio of two centred kernels, with its mean over permutations; of = 1/2 takes roots of both.
static vbl_status biased_ratio(const double *k, const double *l, int64_t n, bool root, vbl_measure_result *r) {
  double kk = vbl_dot(k, k, n * n), ll = vbl_dot(l, l, n * n), kl = vbl_dot(k, l, n * n), tk = 0, tl = 0;
  if (kk <= 0 || ll <= 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  for (int64_t i = 0; i < n; i++) {
    tk += k[i * n + i];
    tl += l[i * n + i];
  }
  double scale = sqrt(kk) * sqrt(ll), chance = tk * tl / ((double)(n - 1) * scale);
  r->chance = root ? sqrt(chance) : chance;
  r->chance_source =
      root ? "root of the exact mean over permutations of the square" : "exact mean over permutations: tr K tr L / ((n-1) |K| |L|)";
  return vbl_value(r, root ? sqrt(fmax(0, kl / scale)) : kl / scale);
}

static vbl_status debiased_kernels(double *k, double *l, int64_t n, vbl_measure_result *r, vbl_error *err) {
  double size_k = vbl_dot(k, k, n * n), size_l = vbl_dot(l, l, n * n);
  VBL_TRY(vbl_u_centre(k, n, err));
  VBL_TRY(vbl_u_centre(l, n, err));
  double scale = (double)n * (double)(n - 3);
  return vbl_debiased_ratio(vbl_dot(k, l, n * n) / scale, vbl_dot(k, k, n * n) / scale, vbl_dot(l, l, n * n) / scale, size_k,
                            size_l, n, r);
}

// Median of the squared distances: of i < j, or of all n^2 with the zero diagonal.
static vbl_status median_distance2(const double *d2, int64_t n, bool all, double *median, vbl_error *err) {
  double *v = NULL;
  int64_t count = 0;
  VBL_TRY(vbl_doubles(all ? n * n : n * (n - 1) / 2, "median distance", &v, err));
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = all ? 0 : i + 1; j < n; j++) v[count++] = d2[i * n + j];
  *median = vbl_median(v, count);
  free(v);
  return VBL_OK;
}

vbl_status vbl_rbf_kernel(double *d2, int64_t n, const vbl_measure_options *o, bool *ok, double *sigma, vbl_measure_result *r,
                          vbl_error *err) {
  double scale2 = o->bandwidth * o->bandwidth, mean = 0;
  if (o->bandwidth_rule != 2) VBL_TRY(median_distance2(d2, n, o->bandwidth_rule == 1, &scale2, err));
  *ok = scale2 > 0;
  if (!*ok) return VBL_OK;
  scale2 *= o->fraction * o->fraction;
  *sigma = sqrt(scale2);
  for (int64_t i = 0; i < n * n; i++) {
    d2[i] = exp(-d2[i] / (2 * scale2));
    mean += d2[i];
  }
  mean = (mean - (double)n) / ((double)n * (double)(n - 1));
  if (mean < 1e-3 || mean > 0.999) r->warnings |= VBL_WARN_KERNEL_DEGENERATE;
  return VBL_OK;
}

static vbl_status rbf_ratio(double *k, double *l, int64_t n, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  bool ok_x = false, ok_y = false;
  double sigma_x = NAN, sigma_y = NAN;
  VBL_TRY(vbl_rbf_kernel(k, n, o, &ok_x, &sigma_x, r, err));
  VBL_TRY(vbl_rbf_kernel(l, n, o, &ok_y, &sigma_y, r, err));
  if (!ok_x || !ok_y) return vbl_undefined(r, VBL_MEASURE_BANDWIDTH_ZERO);
  vbl_extra(r, "sigma_x", sigma_x);
  vbl_extra(r, "sigma_y", sigma_y);
  if (o->estimator == 0) return debiased_kernels(k, l, n, r, err);
  VBL_TRY(vbl_double_centre(k, n, err));
  VBL_TRY(vbl_double_centre(l, n, err));
  return biased_ratio(k, l, n, false, r);
}

// CKA of K = exp(-|xi - xj|^2 / (2 sigma^2)) (Kornblith et al. 2019); sigma = fraction * median distance, or given.
vbl_status vbl_rbf_cka(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  if (!(o->fraction > 0) || (o->bandwidth_rule == 2 && !(o->bandwidth > 0)))
    return vbl_fail(err, VBL_EINVAL, "cka: bandwidth and fraction: expected positive numbers, got %g and %g", o->bandwidth,
                    o->fraction);
  if (x->total == 0 || y->total == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  double *k = NULL, *l = NULL;
  vbl_status status = vbl_distances2(x, &k, err);
  if (status == VBL_OK) status = vbl_distances2(y, &l, err);
  if (status == VBL_OK) status = rbf_ratio(k, l, x->n, o, r, err);
  free(k);
  free(l);
  return status;
}

// Distance correlation (Szekely, Rizzo, Bakirov 2007); corrected: R* of Szekely and Rizzo 2013, on the squared scale.
vbl_status vbl_dcor(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  bool corrected = o->estimator == 1;
  VBL_TRY(vbl_begin_pair("dcor", x, y, corrected ? 4 : 2, r, err));
  r->metric = "euclidean";
  if (x->total == 0 || y->total == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  double *k = NULL, *l = NULL;
  int64_t n = x->n;
  vbl_status status = vbl_distances2(x, &k, err);
  if (status == VBL_OK) status = vbl_distances2(y, &l, err);
  for (int64_t i = 0; status == VBL_OK && i < n * n; i++) {
    k[i] = -sqrt(k[i]);
    l[i] = -sqrt(l[i]);
  }
  if (status == VBL_OK && corrected) {
    status = debiased_kernels(k, l, n, r, err);
  } else if (status == VBL_OK) {
    if (x->d >= n || y->d >= n) r->warnings |= VBL_WARN_D_GE_N;
    status = vbl_double_centre(k, n, err);
    if (status == VBL_OK) status = vbl_double_centre(l, n, err);
    if (status == VBL_OK) status = biased_ratio(k, l, n, true, r);
  }
  free(k);
  free(l);
  return status;
}
