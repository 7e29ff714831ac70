// Measures that read neighbour lists as graphs, sequences or distance vectors.
// defines: vbl_mknn_thesis, vbl_cycle_knn, vbl_lcs_knn, vbl_edit_knn, vbl_second_order_cosine
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/measure/neighbours.h"
#include "core/measure/result.h"

// <A, B'>: pairs with j among i's neighbours in a and i among j's in b.
static int64_t reciprocal(const vbl_knn *a, const vbl_knn *b) {
  int64_t count = 0;
  for (int64_t i = 0; i < a->n; i++)
    for (int64_t r = 0; r < a->k; r++) count += vbl_listed(b, a->index[i * a->k + r], (int32_t)i);
  return count;
}

// <A, B'> / sqrt(<A, A'> <B, B'>). Not an overlap: unbounded above, and for unrelated data k / (n-1) over the share of neighbours that
// are mutual; kept to compare with published numbers.
vbl_status vbl_mknn_thesis(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  vbl_neighbours nb;
  bool ready;
  VBL_TRY(vbl_neighbours_begin("mknn_thesis", false, x, y, o, &nb, &ready, r, err));
  if (!ready) return VBL_OK;
  double xx = (double)reciprocal(nb.x, nb.x), yy = (double)reciprocal(nb.y, nb.y);
  if (xx == 0 || yy == 0) return vbl_undefined(r, VBL_MEASURE_NO_RECIPROCAL);
  // Shuffled rows: each of the nk edges of X meets an edge of Y the other way round with probability k / (n-1).
  double n = (double)nb.n, k = (double)nb.k;
  r->chance = n * k * k / (n - 1) / sqrt(xx * yy);
  r->chance_source = "exact mean over permutations: n k^2 / (n-1) / sqrt(<A,A'><B,B'>)";
  return vbl_value(r, (double)reciprocal(nb.x, nb.y) / sqrt(xx * yy));
}

// mean_i [i is an X-neighbour of one of its Y-neighbours] (Huh et al. 2024, reference code). Not symmetric, not 1 for X = Y.
vbl_status vbl_cycle_knn(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  vbl_neighbours nb;
  bool ready;
  int64_t count = 0;
  VBL_TRY(vbl_neighbours_begin("cycle_knn", false, x, y, o, &nb, &ready, r, err));
  if (!ready) return VBL_OK;
  for (int64_t i = 0; i < nb.n; i++) {
    bool found = false;
    for (int64_t s = 0; s < nb.k && !found; s++) found = vbl_listed(nb.x, nb.y->index[i * nb.k + s], (int32_t)i);
    count += found;
  }
  r->chance = 1 - pow(1 - (double)nb.k / (double)(nb.n - 1), (double)nb.k);
  r->chance_source = "independent random graphs: 1 - (1 - k/(n-1))^k";
  return vbl_value(r, (double)count / (double)nb.n);
}

// Longest common subsequence of a and b; row: (k + 1) scratch.
static int64_t lcs(const int32_t *a, const int32_t *b, int64_t k, int64_t *row) {
  for (int64_t j = 0; j <= k; j++) row[j] = 0;
  for (int64_t i = 0; i < k; i++) {
    int64_t diagonal = 0;
    for (int64_t j = 1; j <= k; j++) {
      int64_t above = row[j];
      row[j] = a[i] == b[j - 1] ? diagonal + 1 : above > row[j - 1] ? above : row[j - 1];
      diagonal = above;
    }
  }
  return row[k];
}

static int64_t min3(int64_t a, int64_t b, int64_t c) {
  int64_t m = a < b ? a : b;
  return m < c ? m : c;
}

// Levenshtein distance of a and b; row: (k + 1) scratch.
static int64_t edits(const int32_t *a, const int32_t *b, int64_t k, int64_t *row) {
  for (int64_t j = 0; j <= k; j++) row[j] = j;
  for (int64_t i = 0; i < k; i++) {
    int64_t diagonal = row[0];
    row[0] = i + 1;
    for (int64_t j = 1; j <= k; j++) {
      int64_t above = row[j];
      row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i] != b[j - 1]));
      diagonal = above;
    }
  }
  return row[k];
}

typedef int64_t compare_lists(const int32_t *a, const int32_t *b, int64_t k, int64_t *row);

static vbl_status mean_over_lists(const char *measure, compare_lists *compare, vbl_prepared *x, vbl_prepared *y,
                                  const vbl_measure_options *o, double *mean, vbl_measure_result *r, vbl_error *err) {
  vbl_neighbours nb;
  bool ready;
  *mean = NAN;
  VBL_TRY(vbl_neighbours_begin(measure, false, x, y, o, &nb, &ready, r, err));
  if (!ready) return VBL_OK;
  int64_t *row = malloc(sizeof *row * (size_t)(nb.k + 1)), sum = 0;
  if (row == NULL) return vbl_fail(err, VBL_ENOMEM, "%s: out of memory", measure);
  for (int64_t i = 0; i < nb.n; i++) sum += compare(nb.x->index + i * nb.k, nb.y->index + i * nb.k, nb.k, row);
  free(row);
  *mean = (double)sum / (double)nb.n;
  return VBL_OK;
}

// Mean length, 0 .. k; `per_k` in the record is the value / k (Huh et al. 2024, reference code).
vbl_status vbl_lcs_knn(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  double mean;
  VBL_TRY(mean_over_lists("lcs_knn", lcs, x, y, o, &mean, r, err));
  if (isnan(mean)) return VBL_OK;
  vbl_extra(r, "per_k", mean / (double)o->k);
  return vbl_value(r, mean);
}

// 1 - mean Levenshtein distance / k (Huh et al. 2024, reference code).
vbl_status vbl_edit_knn(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  double mean;
  VBL_TRY(mean_over_lists("edit_knn", edits, x, y, o, &mean, r, err));
  return isnan(mean) ? VBL_OK : vbl_value(r, 1 - mean / (double)o->k);
}

// 1 - cosine of two unit rows, as |u - v|^2 / 2: 1 - <u, v> would leave equal rows the rounding of their length. Rows of one direction
// are 0: with e = 2^-53 a row's length is off by (d/2 + 3) e of itself and each element by e more, so that u - v is at most (d + 8) e long.
static double angular(const double *u, const double *v, int64_t d) {
  double chord2 = vbl_distance2(u, v, d), rounding = (double)(d + 8) * DBL_EPSILON / 2;
  return chord2 <= rounding * rounding ? 0 : chord2 / 2;
}

// Distance of rows i and j by the key's metric: 1 - cosine, -<xi, xj>, or |xi - xj|.
static double distance(const vbl_prepared *p, vbl_knn_metric metric, int64_t i, int64_t j) {
  int64_t d = p->d;
  if (metric == VBL_KNN_EUCLIDEAN) return sqrt(vbl_distance2(p->raw + i * d, p->raw + j * d, d));
  if (metric == VBL_KNN_IP) return -vbl_dot(p->raw + i * d, p->raw + j * d, d);
  return angular(p->unit + i * d, p->unit + j * d, d);
}

// Cosine between row i's distances to the union of its neighbours, in X and in Y (Hamilton et al. 2016; Klabunde et al. 2023).
static double second_order_row(const vbl_neighbours *nb, const vbl_prepared *x, const vbl_prepared *y, int64_t i) {
  double aa = 0, bb = 0, ab = 0;
  for (int64_t s = 0; s < 2 * nb->k; s++) {
    const vbl_knn *list = s < nb->k ? nb->x : nb->y;
    int32_t j = list->index[i * nb->k + s % nb->k];
    if (s >= nb->k && vbl_listed(nb->x, i, j)) continue;
    double a = distance(x, list->metric, i, j), b = distance(y, list->metric, i, j);
    aa += a * a;
    bb += b * b;
    ab += a * b;
  }
  return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : (double)NAN;
}

// Mean over rows; a row all of whose neighbours lie at distance 0 has no direction and is skipped with a count.
vbl_status vbl_second_order_cosine(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r,
                                   vbl_error *err) {
  vbl_neighbours nb;
  bool ready;
  double sum = 0;
  VBL_TRY(vbl_neighbours_begin("second_order_cosine", false, x, y, o, &nb, &ready, r, err));
  if (!ready) return VBL_OK;
  for (int side = 0; side < 2; side++) {
    VBL_TRY(vbl_prepared_rows(side == 0 ? x : y, err));
    VBL_TRY(vbl_prepared_unit(side == 0 ? x : y, err));
  }
  r->skipped = 0;
  for (int64_t i = 0; i < nb.n; i++) {
    double v = second_order_row(&nb, x, y, i);
    r->skipped += isnan(v);
    sum += isnan(v) ? 0 : v;
  }
  if (r->skipped > 0) r->warnings |= VBL_WARN_ROWS_SKIPPED;
  if (r->skipped == nb.n) return vbl_undefined(r, VBL_MEASURE_NOTHING_VALID);
  return vbl_value(r, sum / (double)(nb.n - r->skipped));
}
