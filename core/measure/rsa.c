// Representational similarity analysis: the correlation of two distance vectors over the pairs i < j (Kriegeskorte et al. 2008).
// Pairs share rows, so the usual p-value of a correlation does not hold; shuffle rows instead.
// defines: vbl_rsa, vbl_rdm, vbl_average_ranks
#include <math.h>
#include <stdlib.h>

#include "core/measure/kernel.h"
#include "core/measure/lapack.h"
#include "core/measure/result.h"
#include "core/measure/stats.h"

enum { RDM_CORRELATION, RDM_COSINE, RDM_EUCLIDEAN, RDM_SQEUCLIDEAN };

// Rows of x divided by their length, for `correlation` after taking out each row's own mean. *ok false when a row has no direction.
static vbl_status directions(const vbl_prepared *x, bool centre_rows, double **out, bool *ok, vbl_error *err) {
  int64_t d = x->d;
  VBL_TRY(vbl_doubles(x->n * d, "rsa", out, err));
  bool all = true;
#pragma omp parallel for schedule(static) reduction(&& : all)
  for (int64_t i = 0; i < x->n; i++) {
    double *row = *out + i * d, mean = 0, largest = 0;
    for (int64_t j = 0; centre_rows && j < d; j++) mean += x->raw[i * d + j] / (double)d;
    for (int64_t j = 0; j < d; j++) {
      row[j] = x->raw[i * d + j] - mean;
      largest = fmax(largest, fabs(x->raw[i * d + j]));
    }
    double norm = sqrt(vbl_dot(row, row, d));
    all = all && norm > 1e-14 * largest * (double)d;  // a constant row leaves the rounding of its mean
    for (int64_t j = 0; j < d; j++) row[j] = norm > 0 ? row[j] / norm : 0;
  }
  *ok = all;
  return VBL_OK;
}

typedef struct unit_rows {
  const double *at;  // (n, d)
  int64_t d;
} unit_rows;

// 1 - <u_r, u_c>
static void angle_block(const void *context, int64_t i, int64_t i_end, int64_t j, int64_t j_end, double *k, int64_t n) {
  const unit_rows *u = context;
  const double *a = u->at + i * u->d, *b = u->at + j * u->d;
  vbl_gemm(false, true, i_end - i, j_end - j, u->d, -1, a, u->d, b, u->d, 0, k + i * n + j, n);
  for (int64_t r = i; r < i_end; r++)
    for (int64_t c = j; c < j_end; c++) k[r * n + c] = r == c ? 0 : k[r * n + c] + 1;
}

vbl_status vbl_rdm(vbl_prepared *x, int rdm, double **out, bool *ok, vbl_error *err) {
  int64_t n = x->n;
  *ok = true;
  if (rdm == RDM_EUCLIDEAN || rdm == RDM_SQEUCLIDEAN) {
    VBL_TRY(vbl_distances2(x, out, err));
    for (int64_t i = 0; rdm == RDM_EUCLIDEAN && i < n * n; i++) (*out)[i] = sqrt((*out)[i]);
    return VBL_OK;
  }
  double *u = NULL;
  vbl_status status = vbl_lapack_open(NULL, err);
  if (status == VBL_OK) status = directions(x, rdm == RDM_CORRELATION, &u, ok, err);
  if (status == VBL_OK && *ok) status = vbl_doubles(n * n, "rsa", out, err);
  if (status == VBL_OK && *ok) {
    vbl_fill_symmetric(*out, n, angle_block, &(unit_rows){u, x->d});
    status = vbl_share_equal_rows(x, *out, err);
  }
  free(u);
  return status;
}

// The upper triangle packed into the matrix's own memory: pair q of i < j, row by row. Reads stay ahead of writes.
static int64_t pack_upper(double *k, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = i + 1; j < n; j++) k[count++] = k[i * n + j];
  return count;
}

vbl_status vbl_average_ranks(double *v, int64_t count, vbl_error *err) {
  int64_t *order = malloc(sizeof *order * (size_t)count);
  double *copy = malloc(sizeof *copy * (size_t)count);
  vbl_status status = order == NULL || copy == NULL ? vbl_fail(err, VBL_ENOMEM, "rsa: out of memory") : VBL_OK;
  if (status == VBL_OK) status = vbl_order(v, count, order, err);
  for (int64_t i = 0; status == VBL_OK && i < count; i++) copy[i] = v[order[i]];
  for (int64_t i = 0, end; status == VBL_OK && i < count; i = end) {
    for (end = i + 1; end < count && copy[end] == copy[i]; end++) continue;
    for (int64_t q = i; q < end; q++) v[order[q]] = (double)(i + 1 + end) / 2;
  }
  free(order);
  free(copy);
  return status;
}

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

typedef struct point {
  double a, b;
} point;

static int by_a_then_b(const void *x, const void *y) {
  const point *p = x, *q = y;
  if (p->a != q->a) return p->a < q->a ? -1 : 1;
  return (p->b > q->b) - (p->b < q->b);
}

// Kendall's tau-b in O(m log m) (Knight 1966). a and b are reordered.
static vbl_status kendall(double *a, double *b, int64_t count, double *tau, vbl_error *err) {
  point *p = malloc(sizeof *p * (size_t)count);
  double *scratch = malloc(sizeof *scratch * (size_t)count);
  vbl_status status = p == NULL || scratch == NULL ? vbl_fail(err, VBL_ENOMEM, "rsa: out of memory") : VBL_OK;
  if (status == VBL_OK) {
    for (int64_t i = 0; i < count; i++) p[i] = (point){a[i], b[i]};
    qsort(p, (size_t)count, sizeof *p, by_a_then_b);
    for (int64_t i = 0; i < count; i++) {
      a[i] = p[i].a;
      b[i] = p[i].b;
    }
    double all = (double)count * (double)(count - 1) / 2, ties_a = tied_pairs(a, NULL, count), both = tied_pairs(a, b, count);
    double exchanges = merge_exchanges(b, scratch, count), ties_b = tied_pairs(b, NULL, count);
    *tau = (all - ties_a - ties_b + both - 2 * exchanges) / (sqrt(all - ties_a) * sqrt(all - ties_b));
  }
  free(p);
  free(scratch);
  return status;
}

static bool constant(const double *v, int64_t count) {
  for (int64_t i = 1; i < count; i++)
    if (v[i] != v[0]) return false;
  return true;
}

static vbl_status compare(double *a, double *b, int64_t count, int how, vbl_measure_result *r, vbl_error *err) {
  double value = NAN;
  if (constant(a, count) || constant(b, count)) return vbl_undefined(r, VBL_MEASURE_ALL_TIED);
  if (how == 2) {
    VBL_TRY(kendall(a, b, count, &value, err));
    return vbl_value(r, value);
  }
  if (how == 0) {
    VBL_TRY(vbl_average_ranks(a, count, err));
    VBL_TRY(vbl_average_ranks(b, count, err));
  }
  return vbl_value(r, vbl_pearson(a, b, count));
}

vbl_status vbl_rsa(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  static const char *const rdms[] = {"correlation", "cosine", "euclidean", "sqeuclidean"};
  static const char *const compares[] = {"spearman of distances", "pearson of distances", "kendall tau-b of distances"};
  double *a = NULL, *b = NULL;
  bool ok_x = false, ok_y = false;
  VBL_TRY(vbl_begin_pair("rsa", x, y, 3, r, err));
  r->metric = rdms[o->rdm];
  r->preprocessing = compares[o->compare];
  if (x->total == 0 || y->total == 0) return vbl_undefined(r, VBL_MEASURE_ALL_TIED);
  vbl_status status = vbl_rdm(x, o->rdm, &a, &ok_x, err);
  if (status == VBL_OK) status = vbl_rdm(y, o->rdm, &b, &ok_y, err);
  if (status == VBL_OK && (!ok_x || !ok_y)) {
    vbl_undefined(r, VBL_MEASURE_ZERO_ROW);
  } else if (status == VBL_OK) {
    int64_t count = pack_upper(a, x->n);
    pack_upper(b, x->n);
    r->chance = 0;
    r->chance_source = "mean over permutations: 0";
    status = compare(a, b, count, o->compare, r, err);
  }
  free(a);
  free(b);
  return status;
}
