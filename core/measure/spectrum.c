// How many dims a matrix uses, from the singular values s of the centred matrix, or from its two nearest neighbours.
// All spectral numbers are at most min(n - 1, d).
// defines: vbl_effective_rank, vbl_participation_ratio, vbl_stable_rank, vbl_pca_dims, vbl_twonn
#include <math.h>
#include <stdlib.h>

#include "core/measure/result.h"
#include "core/measure/stats.h"

// *s and *count: the singular values above rounding; *s is NULL when the result is decided.
static vbl_status singular_values(const char *measure, vbl_prepared *x, const double **s, int64_t *count, vbl_measure_result *r,
                                  vbl_error *err) {
  *s = NULL;
  VBL_TRY(vbl_begin_one(measure, x, 3, r, err));
  r->preprocessing = "centred";
  if (x->total == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  VBL_TRY(vbl_prepared_svd(x, err));
  *s = x->svd->s;
  *count = r->dims_x = x->svd->rank;
  return VBL_OK;
}

static double power_sum(const double *s, int64_t count, int power) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += power == 1 ? s[i] : power == 2 ? s[i] * s[i] : s[i] * s[i] * s[i] * s[i];
  return sum;
}

// exp of the entropy of s / sum s (Roy and Vetterli, EUSIPCO 2007), or of the variances.
vbl_status vbl_effective_rank(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r,
                              vbl_error *err) {
  const double *s;
  int64_t count = 0;
  double entropy = 0;
  (void)y;
  VBL_TRY(singular_values("effective_rank", x, &s, &count, r, err));
  if (s == NULL) return VBL_OK;
  double total = power_sum(s, count, o->of == 1 ? 2 : 1);
  for (int64_t i = 0; i < count; i++) {
    double p = (o->of == 1 ? s[i] * s[i] : s[i]) / total;
    if (p > 0) entropy -= p * log(p);
  }
  return vbl_value(r, exp(entropy));
}

// (sum s^2)^2 / sum s^4.
vbl_status vbl_participation_ratio(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r,
                                   vbl_error *err) {
  const double *s;
  int64_t count = 0;
  (void)y;
  (void)o;
  VBL_TRY(singular_values("participation_ratio", x, &s, &count, r, err));
  if (s == NULL) return VBL_OK;
  double squares = power_sum(s, count, 2);
  return vbl_value(r, squares * squares / power_sum(s, count, 4));
}

// sum s^2 / s_1^2.
vbl_status vbl_stable_rank(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  const double *s;
  int64_t count = 0;
  (void)y;
  (void)o;
  VBL_TRY(singular_values("stable_rank", x, &s, &count, r, err));
  return s == NULL ? VBL_OK : vbl_value(r, power_sum(s, count, 2) / (s[0] * s[0]));
}

// The fewest principal components that hold the given share of the variance.
vbl_status vbl_pca_dims(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  const double *s;
  int64_t count = 0, m = 0;
  double sum = 0;
  (void)y;
  if (!(o->variance > 0 && o->variance <= 1))
    return vbl_fail(err, VBL_EINVAL, "pca_dims: variance = %g: expected a share in (0, 1]", o->variance);
  VBL_TRY(singular_values("pca_dims", x, &s, &count, r, err));
  if (s == NULL) return VBL_OK;
  double wanted = (o->variance - 1e-12) * power_sum(s, count, 2);
  while (m < count && sum < wanted) {
    sum += s[m] * s[m];
    m++;
  }
  return vbl_value(r, (double)m);
}

// ln(r2 / r1) of each row, ascending, into out; x has no equal rows.
static vbl_status log_ratios(vbl_prepared *x, double *out, vbl_error *err) {
  const vbl_knn *list = NULL;
  VBL_TRY(vbl_prepared_knn(x, 2, VBL_KNN_EUCLIDEAN, &list, err));
  for (int64_t i = 0; i < x->n; i++) {
    double r1 = vbl_distance2(x->raw + i * x->d, x->raw + list->index[2 * i] * x->d, x->d);
    double r2 = vbl_distance2(x->raw + i * x->d, x->raw + list->index[2 * i + 1] * x->d, x->d);
    out[i] = (log(r2) - log(r1)) / 2;
  }
  vbl_sort(out, x->n);
  return VBL_OK;
}

// mle: (n-1) / sum ln mu. linear: slope through the origin of -ln(1 - i/n) on ln mu, the largest ratios left out; the n-th always is,
// where -ln(1 - i/n) is infinite.
static vbl_status fit_dimension(vbl_prepared *x, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  double *ratio = NULL, top = 0, bottom = 0;
  VBL_TRY(vbl_doubles(x->n, "twonn", &ratio, err));
  vbl_status status = log_ratios(x, ratio, err);
  int64_t used = (int64_t)((1 - o->discard) * (double)x->n + 1e-9);
  if (used > x->n - 1) used = x->n - 1;
  for (int64_t i = 0; status == VBL_OK && i < (o->fit == 1 ? used : x->n); i++) {
    if (o->fit == 1) top += -log1p(-(double)(i + 1) / (double)x->n) * ratio[i];
    bottom += o->fit == 1 ? ratio[i] * ratio[i] : ratio[i];
  }
  free(ratio);
  if (status != VBL_OK) return status;
  if (bottom == 0) return vbl_undefined(r, VBL_MEASURE_ALL_TIED);
  return vbl_value(r, (o->fit == 1 ? top : (double)(x->n - 1)) / bottom);
}

// Intrinsic dimension from the ratio mu of the distances to the second and first neighbour (Facco et al., Scientific Reports 2017).
// Equal rows would make mu infinite: each is counted once, the others in `skipped`.
vbl_status vbl_twonn(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  double *rows = NULL;
  vbl_prepared *distinct = NULL;
  int64_t m = 0;
  (void)y;
  VBL_TRY(vbl_begin_one("twonn", x, 3, r, err));
  if (!(o->discard >= 0 && o->discard < 1))
    return vbl_fail(err, VBL_EINVAL, "twonn: discard = %g: expected a share in [0, 1)", o->discard);
  r->preprocessing = "equal rows counted once";
  r->metric = "euclidean";
  r->skipped = x->duplicates;
  if (x->n - x->duplicates < 3) return vbl_undefined(r, VBL_MEASURE_NOTHING_VALID);
  if (x->duplicates == 0) return fit_dimension(x, o, r, err);
  r->warnings |= VBL_WARN_ROWS_SKIPPED;
  VBL_TRY(vbl_doubles((x->n - x->duplicates) * x->d, "twonn", &rows, err));
  for (int64_t i = 0; i < x->n; i++) {
    if (x->repeat[i]) continue;
    for (int64_t j = 0; j < x->d; j++) rows[m * x->d + j] = x->raw[i * x->d + j];
    m++;
  }
  vbl_status status = vbl_prepare(m, x->d, rows, VBL_F64, x->d, 1, "X", &distinct, err);
  free(rows);
  if (status == VBL_OK) status = fit_dimension(distinct, o, r, err);
  vbl_prepared_free(distinct);
  return status;
}
