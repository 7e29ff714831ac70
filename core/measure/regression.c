// How much of Y a linear map of X predicts. Not symmetric: call with X and Y exchanged for the other direction.
// defines: vbl_linear_r2, vbl_ridge_r2_cv
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/measure/lapack.h"
#include "core/measure/result.h"
#include "core/measure/stats.h"

// |Ux'Yc|^2 / |Yc|^2 on the same rows the map was fitted on; unrelated data give rank / (n-1).
vbl_status vbl_linear_r2(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  double *c = NULL;
  (void)o;
  VBL_TRY(vbl_begin_pair("linear_r2", x, y, 2, r, err));
  r->preprocessing = "centred";
  if (x->total == 0 || y->total == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  VBL_TRY(vbl_prepared_svd(x, err));
  int64_t rank = r->dims_x = x->svd->rank;
  if (rank >= x->n - 1) return vbl_undefined(r, VBL_MEASURE_RANK_SATURATED);
  if (x->n < 10 * rank) r->warnings |= VBL_WARN_FEW_ROWS;
  VBL_TRY(vbl_doubles(rank * y->d, "linear_r2", &c, err));
  vbl_gemm(true, false, rank, y->d, x->n, 1, x->svd->u, x->svd->columns, y->centred, y->d, 0, c, y->d);
  double explained = vbl_dot(c, c, rank * y->d);
  free(c);
  r->chance = (double)rank / (double)(x->n - 1);
  r->chance_source = "exact mean over permutations: rank / (n-1)";
  return vbl_value(r, explained / y->total);
}

enum { PENALTIES = 7 };  // 10^-3 .. 10^3 times tr(X'X) / d of the training rows

// One ridge fit: rows in neither of two folds, through the thin SVD U S V' of the training rows about their own mean.
typedef struct fit {
  int64_t rows, d, dy, r;
  double *mean_x, *mean_y;  // (d), (dy)
  double *s, *vt, *b;       // (r), (r, d), U'Yc (r, dy)
  double scale;             // tr(X'X) / d
} fit;

static void fit_free(fit *f) {
  free(f->mean_x);
  free(f->mean_y);
  free(f->s);
  free(f->vt);
  free(f->b);
}

static bool held_out(const int64_t *fold, int64_t i, int64_t p, int64_t q) { return fold[i] == p || fold[i] == q; }

// Training rows of m about their mean (out (rows, d), mean (d)).
static void training_rows(const vbl_prepared *m, const int64_t *fold, int64_t p, int64_t q, int64_t rows, double *mean,
                          double *out) {
  int64_t d = m->d, at = 0;
  for (int64_t j = 0; j < d; j++) mean[j] = 0;
  for (int64_t i = 0; i < m->n; i++) {
    if (held_out(fold, i, p, q)) continue;
    for (int64_t j = 0; j < d; j++) {
      out[at * d + j] = m->centred[i * d + j];
      mean[j] += m->centred[i * d + j] / (double)rows;
    }
    at++;
  }
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < d; j++) out[i * d + j] -= mean[j];
}

// Singular values that are rounding become 0, so that lambda = 0 is the least-norm fit.
static void cut_rank(fit *f) {
  double least = f->s[0] * (double)(f->rows > f->d ? f->rows : f->d) * DBL_EPSILON;
  for (int64_t c = 0; c < f->r; c++)
    if (!(f->s[c] > least)) f->s[c] = 0;
}

static vbl_status fit_make(const vbl_prepared *x, const vbl_prepared *y, const int64_t *fold, int64_t p, int64_t q, fit *f,
                           vbl_error *err) {
  *f = (fit){.d = x->d, .dy = y->d};
  for (int64_t i = 0; i < x->n; i++) f->rows += !held_out(fold, i, p, q);
  if (f->rows < 2)
    return vbl_fail(err, VBL_EINVAL, "ridge_r2_cv: a fold leaves %lld training rows: use fewer folds", (long long)f->rows);
  f->r = f->rows < x->d ? f->rows : x->d;
  double *a = NULL, *b = NULL, *u = NULL;
  vbl_status status = vbl_doubles(f->rows * x->d, "ridge", &a, err);
  if (status == VBL_OK) status = vbl_doubles(f->rows * y->d, "ridge", &b, err);
  if (status == VBL_OK) status = vbl_doubles(f->rows * f->r, "ridge", &u, err);
  if (status == VBL_OK) status = vbl_doubles(x->d, "ridge", &f->mean_x, err);
  if (status == VBL_OK) status = vbl_doubles(y->d, "ridge", &f->mean_y, err);
  if (status == VBL_OK) status = vbl_doubles(f->r, "ridge", &f->s, err);
  if (status == VBL_OK) status = vbl_doubles(f->r * x->d, "ridge", &f->vt, err);
  if (status == VBL_OK) status = vbl_doubles(f->r * y->d, "ridge", &f->b, err);
  if (status == VBL_OK) {
    training_rows(x, fold, p, q, f->rows, f->mean_x, a);
    training_rows(y, fold, p, q, f->rows, f->mean_y, b);
    f->scale = vbl_dot(a, a, f->rows * x->d) / (double)x->d;
    status = vbl_svd_full(f->rows, x->d, a, u, f->s, f->vt, err);
    if (status == VBL_OK) cut_rank(f);
  }
  if (status == VBL_OK) vbl_gemm(true, false, f->r, y->d, f->rows, 1, u, f->r, b, y->d, 0, f->b, y->d);
  free(a);
  free(b);
  free(u);
  return status;
}

// Rows of fold t about the fit's means: a (count, d), b (count, dy).
static int64_t test_rows(const fit *f, const vbl_prepared *x, const vbl_prepared *y, const int64_t *fold, int64_t t, double *a,
                         double *b) {
  int64_t count = 0;
  for (int64_t i = 0; i < x->n; i++) {
    if (fold[i] != t) continue;
    for (int64_t j = 0; j < f->d; j++) a[count * f->d + j] = x->centred[i * f->d + j] - f->mean_x[j];
    for (int64_t j = 0; j < f->dy; j++) b[count * f->dy + j] = y->centred[i * f->dy + j] - f->mean_y[j];
    count++;
  }
  return count;
}

// |B - Z diag(s / (s^2 + lambda)) U'Y|^2 with Z = A V; w, guess: scratch of (count, r) and (count, dy).
static double error_of(const fit *f, int64_t count, double lambda, const double *z, const double *b, double *w, double *guess) {
  for (int64_t i = 0; i < count; i++)
    for (int64_t c = 0; c < f->r; c++) {
      double bottom = f->s[c] * f->s[c] + lambda;
      w[i * f->r + c] = bottom > 0 ? z[i * f->r + c] * f->s[c] / bottom : 0;
    }
  vbl_gemm(false, false, count, f->dy, f->r, 1, w, f->r, f->b, f->dy, 0, guess, f->dy);
  return vbl_distance2(b, guess, count * f->dy);
}

// Adds the squared errors on fold t for each penalty to sse, and about the training mean to *sst.
static vbl_status fit_errors(const fit *f, const vbl_prepared *x, const vbl_prepared *y, const int64_t *fold, int64_t t,
                             const double *penalty, int penalties, double *sse, double *sst, vbl_error *err) {
  double *a = NULL, *b = NULL, *z = NULL, *w = NULL, *guess = NULL;
  vbl_status status = vbl_doubles(x->n * f->d, "ridge", &a, err);
  if (status == VBL_OK) status = vbl_doubles(x->n * f->dy, "ridge", &b, err);
  if (status == VBL_OK) status = vbl_doubles(x->n * f->r, "ridge", &z, err);
  if (status == VBL_OK) status = vbl_doubles(x->n * f->r, "ridge", &w, err);
  if (status == VBL_OK) status = vbl_doubles(x->n * f->dy, "ridge", &guess, err);
  if (status == VBL_OK) {
    int64_t count = test_rows(f, x, y, fold, t, a, b);
    if (count > 0) vbl_gemm(false, true, count, f->r, f->d, 1, a, f->d, f->vt, f->d, 0, z, f->r);
    for (int q = 0; q < penalties && count > 0; q++) sse[q] += error_of(f, count, penalty[q], z, b, w, guess);
    *sst += vbl_dot(b, b, count * f->dy);
  }
  free(a);
  free(b);
  free(z);
  free(w);
  free(guess);
  return status;
}

static void grid(double scale, double penalty[PENALTIES]) {
  for (int q = 0; q < PENALTIES; q++) penalty[q] = scale * pow(10, q - 3);
}

// Inner folds of an outer fold are the other outer folds: a fit without the pair {p, q} scores p for q's choice and q for p's.
static vbl_status choose(const vbl_prepared *x, const vbl_prepared *y, const int64_t *fold, int64_t folds, double *inner,
                         vbl_error *err) {
  double penalty[PENALTIES], sst = 0;
  for (int64_t i = 0; i < folds * PENALTIES; i++) inner[i] = 0;
  for (int64_t p = 0; p < folds; p++)
    for (int64_t q = 0; q < p; q++) {
      fit f;
      vbl_status status = fit_make(x, y, fold, p, q, &f, err);
      grid(f.scale, penalty);
      if (status == VBL_OK) status = fit_errors(&f, x, y, fold, p, penalty, PENALTIES, inner + q * PENALTIES, &sst, err);
      if (status == VBL_OK) status = fit_errors(&f, x, y, fold, q, penalty, PENALTIES, inner + p * PENALTIES, &sst, err);
      fit_free(&f);
      if (status != VBL_OK) return status;
    }
  return VBL_OK;
}

static int smallest(const double *v) {
  int best = 0;
  for (int q = 1; q < PENALTIES; q++)
    if (v[q] < v[best]) best = q;
  return best;
}

static vbl_status outer_folds(const vbl_prepared *x, const vbl_prepared *y, const int64_t *fold, const vbl_measure_options *o,
                              const double *inner, vbl_measure_result *r, vbl_error *err) {
  double sse = 0, sst = 0, exponents = 0, penalty[PENALTIES];
  for (int64_t p = 0; p < o->folds; p++) {
    fit f;
    vbl_status status = fit_make(x, y, fold, p, p, &f, err);
    int best = o->lambda < 0 ? smallest(inner + p * PENALTIES) : 0;
    if (o->lambda < 0 && (best == 0 || best == PENALTIES - 1)) r->warnings |= VBL_WARN_PROBE_AT_EDGE;
    grid(f.scale, penalty);
    double lambda = o->lambda < 0 ? penalty[best] : o->lambda;
    exponents += (double)(best - 3) / (double)o->folds;
    if (status == VBL_OK) status = fit_errors(&f, x, y, fold, p, &lambda, 1, &sse, &sst, err);
    fit_free(&f);
    if (status != VBL_OK) return status;
  }
  if (sst == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  if (o->lambda < 0) vbl_extra(r, "mean_log10_relative_lambda", exponents);
  return vbl_value(r, 1 - sse / sst);
}

static vbl_status assign(const vbl_measure_options *o, int64_t n, int64_t *fold, vbl_error *err) {
  int64_t *order = malloc(sizeof *order * (size_t)n);
  if (order == NULL) return vbl_fail(err, VBL_ENOMEM, "ridge: out of memory");
  vbl_permutation(n, o->seed, 0, order);
  for (int64_t i = 0; i < n; i++) fold[order[i]] = i % o->folds;
  for (int64_t i = 0; o->assignment != NULL && i < n; i++) fold[i] = o->assignment[i];
  free(order);
  for (int64_t i = 0; i < n; i++)
    if (fold[i] < 0 || fold[i] >= o->folds)
      return vbl_fail(err, VBL_EINVAL, "ridge_r2_cv: fold %lld of row %lld: expected 0 to %lld", (long long)fold[i],
                      (long long)i + 1, (long long)o->folds - 1);
  return VBL_OK;
}

// 1 - sum SSE / sum SST over held-out folds, both about the training means; may be negative. lambda < 0: chosen within the training
// folds; else absolute.
vbl_status vbl_ridge_r2_cv(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  VBL_TRY(vbl_begin_pair("ridge_r2_cv", x, y, 4, r, err));
  int64_t least = o->lambda < 0 ? 3 : 2;
  if (o->folds < least || o->folds > x->n)
    return vbl_fail(err, VBL_EINVAL, "ridge_r2_cv: folds = %lld: expected %lld to n = %lld%s", (long long)o->folds,
                    (long long)least, (long long)x->n, least == 3 ? " (choosing lambda takes folds of its own)" : "");
  r->preprocessing = "centred by the training folds";
  if (x->total == 0 || y->total == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  int64_t *fold = malloc(sizeof *fold * (size_t)x->n);
  double *inner = NULL;
  vbl_status status = fold == NULL ? vbl_fail(err, VBL_ENOMEM, "ridge: out of memory") : VBL_OK;
  if (status == VBL_OK) status = assign(o, x->n, fold, err);
  if (status == VBL_OK) status = vbl_doubles(o->folds * PENALTIES, "ridge", &inner, err);
  if (status == VBL_OK && o->lambda < 0) status = choose(x, y, fold, o->folds, inner, err);
  if (status == VBL_OK) status = outer_folds(x, y, fold, o, inner, r, err);
  free(fold);
  free(inner);
  return status;
}
