// Measures in one joint space, on unit rows: X and Y of different widths are NOT_COMPARABLE.
// defines: vbl_cosine, vbl_modality_gap, vbl_alignment, vbl_uniformity, vbl_retrieval
#include <math.h>
#include <stdlib.h>

#include "core/measure/parallel.h"
#include "core/measure/result.h"
#include "core/measure/stats.h"

// Starts r and makes the unit rows; *ready is false when the widths differ or no row is left. Rows where X or Y is zero are
// skipped.
static vbl_status begin(const char *measure, vbl_prepared *x, vbl_prepared *y, bool *ready, vbl_measure_result *r, vbl_error *err) {
  *ready = false;
  VBL_TRY(vbl_begin_pair(measure, x, y, 1, r, err));
  r->preprocessing = "unit rows";
  if (!vbl_same_space(r)) return VBL_OK;
  VBL_TRY(vbl_prepared_unit(x, err));
  VBL_TRY(vbl_prepared_unit(y, err));
  r->skipped = 0;
  for (int64_t i = 0; i < x->n; i++) r->skipped += x->norm[i] == 0 || y->norm[i] == 0;
  if (r->skipped > 0) r->warnings |= VBL_WARN_ZERO_ROWS_SKIPPED;
  *ready = r->skipped < x->n;
  return *ready ? VBL_OK : vbl_undefined(r, VBL_MEASURE_ZERO_ROW);
}

static bool valid(const vbl_prepared *x, const vbl_prepared *y, int64_t i) { return x->norm[i] > 0 && y->norm[i] > 0; }

// Means of the valid unit rows, mx and my (d); the caller frees both.
static vbl_status mean_directions(const vbl_prepared *x, const vbl_prepared *y, int64_t rows, double **mx, double **my,
                                  vbl_error *err) {
  *mx = calloc((size_t)x->d, sizeof(double));
  *my = calloc((size_t)x->d, sizeof(double));
  if (*mx == NULL || *my == NULL) return vbl_fail(err, VBL_ENOMEM, "mean direction: out of memory");
  for (int64_t i = 0; i < x->n; i++)
    for (int64_t j = 0; valid(x, y, i) && j < x->d; j++) {
      (*mx)[j] += x->unit[i * x->d + j] / (double)rows;
      (*my)[j] += y->unit[i * x->d + j] / (double)rows;
    }
  return VBL_OK;
}

// Mean paired cosine; chance is the mean over all pairs, which anisotropy alone can make large.
vbl_status vbl_cosine(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  bool ready;
  double sum = 0, *mx = NULL, *my = NULL;
  (void)o;
  VBL_TRY(begin("cosine", x, y, &ready, r, err));
  if (!ready) return VBL_OK;
  int64_t rows = x->n - r->skipped;
  for (int64_t i = 0; i < x->n; i++)
    if (valid(x, y, i)) sum += vbl_dot(x->unit + i * x->d, y->unit + i * x->d, x->d);
  vbl_status status = mean_directions(x, y, rows, &mx, &my, err);
  if (status == VBL_OK) r->chance = vbl_dot(mx, my, x->d);
  r->chance_source = "exact mean over permutations: <mean x/|x|, mean y/|y|>";
  free(mx);
  free(my);
  return status == VBL_OK ? vbl_value(r, sum / (double)rows) : status;
}

// |mean x/|x| - mean y/|y|| (Liang et al., "Mind the Gap", NeurIPS 2022). `centroid_cosine` in the record.
vbl_status vbl_modality_gap(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  bool ready;
  double *mx = NULL, *my = NULL, gap = 0;
  (void)o;
  VBL_TRY(begin("modality_gap", x, y, &ready, r, err));
  if (!ready) return VBL_OK;
  vbl_status status = mean_directions(x, y, x->n - r->skipped, &mx, &my, err);
  if (status == VBL_OK) {
    double nx = sqrt(vbl_dot(mx, mx, x->d)), ny = sqrt(vbl_dot(my, my, x->d));
    gap = sqrt(vbl_distance2(mx, my, x->d));
    if (nx > 0 && ny > 0) vbl_extra(r, "centroid_cosine", vbl_dot(mx, my, x->d) / (nx * ny));
  }
  free(mx);
  free(my);
  return status == VBL_OK ? vbl_value(r, gap) : status;
}

// mean |x/|x| - y/|y||^alpha (Wang and Isola, ICML 2020, eq. 1).
vbl_status vbl_alignment(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  bool ready;
  double sum = 0;
  if (!(o->alpha > 0)) return vbl_fail(err, VBL_EINVAL, "alignment: alpha = %g: expected a positive number", o->alpha);
  VBL_TRY(begin("alignment", x, y, &ready, r, err));
  if (!ready) return VBL_OK;
  for (int64_t i = 0; i < x->n; i++)
    if (valid(x, y, i)) sum += pow(vbl_distance2(x->unit + i * x->d, y->unit + i * x->d, x->d), o->alpha / 2);
  return vbl_value(r, sum / (double)(x->n - r->skipped));
}

// log mean over i < j of exp(-t |xi - xj|^2) on unit rows (Wang and Isola 2020, eq. 2). Every term lies in [exp(-4t), 1]: the
// largest exponent is taken out so that a large t does not underflow.
vbl_status vbl_uniformity(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  double sum = 0, nearest = INFINITY;
  (void)y;
  VBL_TRY(vbl_begin_one("uniformity", x, 2, r, err));
  if (!(o->t > 0)) return vbl_fail(err, VBL_EINVAL, "uniformity: t = %g: expected a positive number", o->t);
  r->preprocessing = "unit rows";
  r->skipped = x->zero_rows;
  if (x->zero_rows > 0) r->warnings |= VBL_WARN_ZERO_ROWS_SKIPPED;
  int64_t rows = x->n - x->zero_rows;
  if (rows < 2) return vbl_undefined(r, VBL_MEASURE_ZERO_ROW);
  VBL_TRY(vbl_prepared_unit(x, err));
  for (int pass = 0; pass < 2; pass++)
    for (int64_t i = 0; i < x->n; i++)
      for (int64_t j = 0; j < i; j++) {
        if (x->norm[i] == 0 || x->norm[j] == 0) continue;
        double d2 = vbl_distance2(x->unit + i * x->d, x->unit + j * x->d, x->d);
        if (pass == 0)
          nearest = fmin(nearest, d2);
        else
          sum += exp(-o->t * (d2 - nearest));
      }
  return vbl_value(r, log(sum / ((double)rows * (double)(rows - 1) / 2)) - o->t * nearest);
}

// Rank of query i's best correct answer: 1 + answers strictly better + half of the wrong answers that tie with it.
static double rank_of(const vbl_prepared *q, const vbl_prepared *a, const int64_t *groups, int64_t i, double *optimistic) {
  int64_t d = q->d, better = 0, tied = 0;
  const double *query = q->unit + i * d;
  double best = -INFINITY;
  for (int64_t j = 0; j < a->n; j++)
    if (j == i || (groups != NULL && groups[j] == groups[i])) best = fmax(best, vbl_dot(query, a->unit + j * d, d));
  for (int64_t j = 0; j < a->n; j++) {
    if (j == i || (groups != NULL && groups[j] == groups[i])) continue;
    double s = vbl_dot(query, a->unit + j * d, d);
    better += s > best;
    tied += s == best;
  }
  *optimistic = 1 + (double)better;
  return 1 + (double)better + (double)tied / 2;
}

typedef struct recall {
  double r1, r5, r10, median, mrr, optimistic_r1;
} recall;

static vbl_status direction(const vbl_prepared *q, const vbl_prepared *a, const int64_t *groups, recall *out, vbl_error *err) {
  double *rank = NULL, n = (double)q->n, best = 0;
  VBL_TRY(vbl_doubles(q->n, "retrieval", &rank, err));
  *out = (recall){0};
#pragma omp parallel for schedule(static) reduction(+ : best) if (q->n * a->n > VBL_MEASURE_GRAIN)
  for (int64_t i = 0; i < q->n; i++) {
    double optimistic;
    rank[i] = rank_of(q, a, groups, i, &optimistic);
    best += optimistic <= 1;
  }
  for (int64_t i = 0; i < q->n; i++) {
    out->r1 += (rank[i] <= 1) / n;
    out->r5 += (rank[i] <= 5) / n;
    out->r10 += (rank[i] <= 10) / n;
    out->mrr += 1 / rank[i] / n;
  }
  out->optimistic_r1 = best / n;
  out->median = vbl_median(rank, q->n);
  free(rank);
  return VBL_OK;
}

// The share of the gallery that is right, over all queries.
static double share_of_right(int64_t n, const int64_t *groups) {
  double right = 0;
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < n; j++) right += j == i || (groups != NULL && groups[j] == groups[i]);
  return right / ((double)n * (double)n);
}

// Value: R@1 of X -> Y; the record holds R@1, 5, 10, median rank and MRR both ways.
vbl_status vbl_retrieval(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  recall xy, yx;
  VBL_TRY(vbl_begin_pair("retrieval", x, y, 1, r, err));
  r->preprocessing = "unit rows";
  if (!vbl_same_space(r)) return VBL_OK;
  if (x->zero_rows > 0 || y->zero_rows > 0) return vbl_undefined(r, VBL_MEASURE_ZERO_ROW);
  VBL_TRY(vbl_prepared_unit(x, err));
  VBL_TRY(vbl_prepared_unit(y, err));
  VBL_TRY(direction(x, y, o->groups, &xy, err));
  VBL_TRY(direction(y, x, o->groups, &yx, err));
  const char *const names[] = {"r1",    "r5",    "r10",    "median_rank",    "mrr",    "r1_optimistic",
                               "r1_yx", "r5_yx", "r10_yx", "median_rank_yx", "mrr_yx", "r1_optimistic_yx"};
  const double values[] = {xy.r1, xy.r5, xy.r10, xy.median, xy.mrr, xy.optimistic_r1,
                           yx.r1, yx.r5, yx.r10, yx.median, yx.mrr, yx.optimistic_r1};
  for (int i = 0; i < 12; i++) vbl_extra(r, names[i], values[i]);
  r->chance = o->groups == NULL ? 1 / (double)x->n : share_of_right(x->n, o->groups);
  r->chance_source = o->groups == NULL ? "R@1 of one answer among n" : "R@1 of a group's answers among n";
  return vbl_value(r, xy.r1);
}
