// Representational similarity analysis: the correlation of two distance vectors over the pairs i < j (Kriegeskorte et al. 2008).
// Pairs share rows, so the usual p-value of a correlation does not hold; shuffle rows instead.
// defines: vbl_rsa
#include <math.h>
#include <stdlib.h>

#include "core/measure/kernel.h"
#include "core/measure/result.h"
#include "core/measure/stats.h"

// Sorts v (ascending) by merging and returns the number of exchanges of neighbours that needs.
static double merge_exchanges(double *v, double *scratch, int64_t count) {
  if (count < 2) return 0;
  int64_t half = count / 2, i = 0, j = half, out = 0;
  double exchanges = merge_exchanges(v, scratch, half) + merge_exchanges(v + half, scratch, count - half);
  while (i < half && j < count) {
    if (v[i] <= v[j]) {
      scratch[out++] = v[i++];
    } else {
      exchanges += (double)(half - i);
      scratch[out++] = v[j++];
    }
  }
  while (i < half) scratch[out++] = v[i++];
  while (j < count) scratch[out++] = v[j++];
  for (int64_t q = 0; q < count; q++) v[q] = scratch[q];
  return exchanges;
}

// Pairs of equal values in the sorted v; with w: equal in both.
static double tied_pairs(const double *v, const double *w, int64_t count) {
  double pairs = 0;
  for (int64_t i = 0, end; i < count; i = end) {
    for (end = i + 1; end < count && v[end] == v[i] && (w == NULL || w[end] == w[i]); end++) continue;
    pairs += (double)(end - i) * (double)(end - i - 1) / 2;
  }
  return pairs;
}

// v[i] becomes v[order[i]]; scratch: (count).
static void reorder(double *v, const int64_t *order, int64_t count, double *scratch) {
  for (int64_t i = 0; i < count; i++) scratch[i] = v[order[i]];
  for (int64_t i = 0; i < count; i++) v[i] = scratch[i];
}

// By a, then by b: vbl_order keeps equal ones as they came.
static vbl_status sort_pairs(double *a, double *b, int64_t count, double *scratch, vbl_error *err) {
  int64_t *order = malloc(sizeof *order * (size_t)count);
  vbl_status status = order == NULL ? vbl_fail(err, VBL_ENOMEM, "rsa: out of memory") : VBL_OK;
  for (int pass = 0; pass < 2 && status == VBL_OK; pass++) {
    status = vbl_order(pass == 0 ? b : a, count, order, err);
    if (status != VBL_OK) break;
    reorder(a, order, count, scratch);
    reorder(b, order, count, scratch);
  }
  free(order);
  return status;
}

// Kendall's tau-b in O(m log m) (Knight 1966). a and b are reordered.
static vbl_status kendall(double *a, double *b, int64_t count, double *tau, vbl_error *err) {
  double *scratch = malloc(sizeof *scratch * (size_t)count);
  vbl_status status = scratch == NULL ? vbl_fail(err, VBL_ENOMEM, "rsa: out of memory") : sort_pairs(a, b, count, scratch, err);
  if (status == VBL_OK) {
    double all = (double)count * (double)(count - 1) / 2, ties_a = tied_pairs(a, NULL, count), both = tied_pairs(a, b, count);
    double exchanges = merge_exchanges(b, scratch, count), ties_b = tied_pairs(b, NULL, count);
    *tau = (all - ties_a - ties_b + both - 2 * exchanges) / (sqrt(all - ties_a) * sqrt(all - ties_b));
  }
  free(scratch);
  return status;
}

// a and b: as vbl_rdm leaves them.
static vbl_status compare(double *a, double *b, int64_t count, int how, vbl_measure_result *r, vbl_error *err) {
  double value = NAN;
  if (how != VBL_COMPARE_KENDALL) return vbl_value(r, vbl_pearson(a, b, count));
  VBL_TRY(kendall(a, b, count, &value, err));
  return vbl_value(r, value);
}

vbl_status vbl_rsa(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  static const char *const rdms[] = {"correlation", "cosine", "euclidean", "sqeuclidean"};
  static const char *const compares[] = {"spearman of distances", "pearson of distances", "kendall tau-b of distances"};
  double *a = NULL, *b = NULL;
  vbl_measure_status how_x = VBL_MEASURE_OK, how_y = VBL_MEASURE_OK;
  VBL_TRY(vbl_begin_pair("rsa", x, y, 3, r, err));
  r->metric = rdms[o->rdm];
  r->preprocessing = compares[o->compare];
  if (x->total == 0 || y->total == 0) return vbl_undefined(r, VBL_MEASURE_ALL_TIED);
  vbl_status status = vbl_rdm(x, o, &a, &how_x, err);
  if (status == VBL_OK) status = vbl_rdm(y, o, &b, &how_y, err);
  if (status == VBL_OK && (how_x == VBL_MEASURE_ZERO_ROW || how_y == VBL_MEASURE_ZERO_ROW)) {
    vbl_undefined(r, VBL_MEASURE_ZERO_ROW);
  } else if (status == VBL_OK) {
    r->chance = 0;
    r->chance_source = "mean over permutations: 0";
    if (how_x != VBL_MEASURE_OK || how_y != VBL_MEASURE_OK)
      vbl_undefined(r, VBL_MEASURE_ALL_TIED);
    else
      status = compare(a, b, x->n * (x->n - 1) / 2, o->compare, r, err);
  }
  free(a);
  free(b);
  return status;
}
