// Explicit kernels: RBF CKA and distance correlation.
// defines: vbl_distances2, vbl_double_centre, vbl_u_centre, vbl_debiased_ratio, vbl_rbf_kernel, vbl_rbf_cka, vbl_dcor
#include "core/measure/kernel.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/measure/lapack.h"
#include "core/measure/parallel.h"
#include "core/measure/result.h"
#include "core/measure/stats.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/loops.h"

enum { BLOCK = 256 };

// Gives equal rows of p equal entries in the symmetric k (n, n), which a product's blocking rounds apart: ties then are ties, in
// whatever order the rows come.
static vbl_status share_equal_rows(const vbl_prepared *p, double *k, vbl_error *err) {
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

// Copies the block's part above the diagonal to below it, by pieces small enough for both to stay in the cache.
static void mirror_block(int64_t i, int64_t i_end, int64_t j, int64_t j_end, double *k, int64_t n) {
  enum { PIECE = 16 };
  for (int64_t r = i; r < i_end; r += PIECE)
    for (int64_t c = j; c < j_end; c += PIECE)
      for (int64_t y = c; y < j_end && y < c + PIECE; y++)
        for (int64_t x = r; x < i_end && x < r + PIECE && x < y; x++) k[y * n + x] = k[x * n + y];
}

// Writes k[r][c] for r in [i, i_end), c in [j, j_end) of the matrix k (n, n); where r > c it may leave it.
typedef void block_fn(const void *context, int64_t i, int64_t i_end, int64_t j, int64_t j_end, double *k, int64_t n);

// Has the blocks on and above the diagonal filled, in parallel, and mirrors them where that is asked for.
static void fill_blocks(double *k, int64_t n, block_fn *fill, const void *context, bool mirror) {
  int64_t blocks = (n + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(dynamic)
  for (int64_t q = 0; q < blocks * (blocks + 1) / 2; q++) {
    int64_t line, place;
    vbl_pair(q, blocks, &line, &place);
    int64_t i = line * BLOCK, j = (line + place) * BLOCK;
    int64_t i_end = i + BLOCK < n ? i + BLOCK : n, j_end = j + BLOCK < n ? j + BLOCK : n;
    fill(context, i, i_end, j, j_end, k, n);
    if (mirror) mirror_block(i, i_end, j, j_end, k, n);
  }
}

static void distance_block(const void *context, int64_t i, int64_t i_end, int64_t j, int64_t j_end, double *k, int64_t n) {
  const vbl_prepared *p = context;
  const double *norm2 = p->centred_norm2;
  int64_t d = p->d;
  vbl_gemm(false, true, i_end - i, j_end - j, d, 1, p->centred + i * d, d, p->centred + j * d, d, 0, k + i * n + j, n);
  for (int64_t r = i; r < i_end; r++)
    for (int64_t c = j; c < j_end; c++) {
      double sum = norm2[r] + norm2[c], d2 = sum - 2 * k[r * n + c];
      if (d2 < VBL_DISTANCE_DIRECT * sum) d2 = vbl_distance2(p->raw + r * d, p->raw + c * d, d);
      k[r * n + c] = r == c ? 0 : d2;
    }
}

// Without `mirror` what is below the diagonal need not be there.
static vbl_status fill_distances2(vbl_prepared *p, double *out, bool mirror, vbl_error *err) {
  VBL_TRY(vbl_prepared_rows(p, err));
  VBL_TRY(vbl_lapack_open(NULL, err));
  fill_blocks(out, p->n, distance_block, p, mirror || p->duplicates > 0);
  return share_equal_rows(p, out, err);
}

vbl_status vbl_distances2(vbl_prepared *p, double **out, vbl_error *err) {
  VBL_TRY(vbl_doubles(p->n * p->n, "distance matrix", out, err));
  return fill_distances2(p, *out, true, err);
}

// The distances of x and y, on and above the diagonal, in memory that a next call may use again: to have a matrix cleared by the system takes longer than to
// fill it.
typedef struct two_matrices {
  double *k, *l;
  size_t bytes;  // of each
} two_matrices;

static vbl_status two_distances2(vbl_prepared *x, vbl_prepared *y, two_matrices *m, vbl_error *err) {
  m->bytes = sizeof *m->k * (size_t)(x->n * x->n);
  m->k = vbl_cpu_alloc(m->bytes);
  m->l = vbl_cpu_alloc(m->bytes);
  if (m->k == NULL || m->l == NULL)
    return vbl_fail(err, VBL_ENOMEM, "distance matrices: out of memory for 2 x %.0f MB", (double)m->bytes * 1e-6);
  VBL_TRY(fill_distances2(x, m->k, false, err));
  return fill_distances2(y, m->l, false, err);
}

static void free_two(two_matrices *m) {
  vbl_cpu_free(m->k, m->bytes);
  vbl_cpu_free(m->l, m->bytes);
}

static vbl_status row_means(const double *k, int64_t n, double **out, vbl_error *err) {
  VBL_TRY(vbl_doubles(n, "row means", out, err));
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < n; i++) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) sum += k[i * n + j];
    (*out)[i] = sum / (double)n;
  }
  return VBL_OK;
}

vbl_status vbl_double_centre(double *k, int64_t n, vbl_error *err) {
  double *m = NULL, all = 0;
  VBL_TRY(row_means(k, n, &m, err));
  for (int64_t i = 0; i < n; i++) all += m[i] / (double)n;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < n; i++) {
#pragma omp simd
    for (int64_t j = 0; j < n; j++) k[i * n + j] += all - (m[i] + m[j]);
  }
  free(m);
  return VBL_OK;
}

vbl_status vbl_u_centre(double *k, int64_t n, vbl_error *err) {
  double *m = NULL, all = 0;
  for (int64_t i = 0; i < n; i++) k[i * n + i] = 0;
  VBL_TRY(row_means(k, n, &m, err));
  for (int64_t i = 0; i < n; i++) all += m[i] *= (double)n / (double)(n - 2);
  for (int64_t i = 0; i < n; i++) m[i] -= all / (double)(2 * (n - 1));
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < n; i++) {
#pragma omp simd
    for (int64_t j = 0; j < n; j++) k[i * n + j] -= m[i] + m[j];
    k[i * n + i] = 0;
  }
  free(m);
  return VBL_OK;
}

// <K, K>, <L, L> and <K, L> over all elements, each row by itself and then the rows in order.
typedef struct products {
  double kk, ll, kl;
} products;

static vbl_status multiply(const double *k, const double *l, int64_t n, products *sum, vbl_error *err) {
  products *row = malloc(sizeof *row * (size_t)n);
  if (row == NULL) return vbl_fail(err, VBL_ENOMEM, "products of kernels: out of memory");
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < n; i++) {
    const double *a = k + i * n, *b = l + i * n;
    row[i] = (products){vbl_dot(a, a, n), vbl_dot(b, b, n), vbl_dot(a, b, n)};
  }
  *sum = (products){0};
  for (int64_t i = 0; i < n; i++) {
    sum->kk += row[i].kk;
    sum->ll += row[i].ll;
    sum->kl += row[i].kl;
  }
  free(row);
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
static vbl_status biased_ratio(const double *k, const double *l, int64_t n, bool root, vbl_measure_result *r, vbl_error *err) {
  products sum;
  double tk = 0, tl = 0;
  VBL_TRY(multiply(k, l, n, &sum, err));
  if (sum.kk <= 0 || sum.ll <= 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  for (int64_t i = 0; i < n; i++) {
    tk += k[i * n + i];
    tl += l[i * n + i];
  }
  double scale = sqrt(sum.kk) * sqrt(sum.ll), chance = tk * tl / ((double)(n - 1) * scale);
  r->chance = root ? sqrt(chance) : chance;
  r->chance_source =
      root ? "root of the exact mean over permutations of the square" : "exact mean over permutations: tr K tr L / ((n-1) |K| |L|)";
  return vbl_value(r, root ? sqrt(fmax(0, sum.kl / scale)) : sum.kl / scale);
}

static vbl_status debiased_kernels(double *k, double *l, int64_t n, vbl_measure_result *r, vbl_error *err) {
  products plain, sum;
  VBL_TRY(multiply(k, l, n, &plain, err));
  VBL_TRY(vbl_u_centre(k, n, err));
  VBL_TRY(vbl_u_centre(l, n, err));
  VBL_TRY(multiply(k, l, n, &sum, err));
  double scale = (double)n * (double)(n - 3);
  return vbl_debiased_ratio(sum.kl / scale, sum.kk / scale, sum.ll / scale, plain.kk, plain.ll, n, r);
}

// Median of the squared distances: of i < j, or of all n^2 with the zero diagonal, where each pair counts twice after n zeros.
static vbl_status median_distance2(const double *d2, int64_t n, bool all, double *median, vbl_error *err) {
  int64_t count = all ? n * n : n * (n - 1) / 2, low = (count - 1) / 2, high = count / 2;
  if (all) {
    low = low < n ? -1 : (low - n) / 2;
    high = high < n ? -1 : (high - n) / 2;
  }
  double a = 0, b = 0;
  if (high >= 0) VBL_TRY(vbl_upper_ranked(d2, n, low < 0 ? high : low, high, &a, &b, err));
  *median = (low < 0 ? b : a + b) / 2;
  return VBL_OK;
}

static void gaussian_block(const void *context, int64_t i, int64_t i_end, int64_t j, int64_t j_end, double *k, int64_t n) {
  const double factor = -1 / (2 * *(const double *)context);
  for (int64_t r = i; r < i_end; r++) {
    int64_t from = r < j ? j : r;
    vbl_cpu_loops()->exp_scaled(k + r * n + from, factor, j_end - from);
  }
}

static void minus_root_block(const void *context, int64_t i, int64_t i_end, int64_t j, int64_t j_end, double *k, int64_t n) {
  (void)context;
  for (int64_t r = i; r < i_end; r++)
#pragma omp simd
    for (int64_t c = r < j ? j : r; c < j_end; c++) k[r * n + c] = -sqrt(k[r * n + c]);
}

vbl_status vbl_rbf_kernel(double *d2, int64_t n, const vbl_measure_options *o, bool *ok, double *sigma, vbl_measure_result *r,
                          vbl_error *err) {
  double scale2 = o->bandwidth * o->bandwidth, mean = 0, *rows = NULL;
  if (o->bandwidth_rule != 2) VBL_TRY(median_distance2(d2, n, o->bandwidth_rule == 1, &scale2, err));
  *ok = scale2 > 0;
  if (!*ok) return VBL_OK;
  scale2 *= o->fraction * o->fraction;
  *sigma = sqrt(scale2);
  fill_blocks(d2, n, gaussian_block, &scale2, true);
  VBL_TRY(row_means(d2, n, &rows, err));
  for (int64_t i = 0; i < n; i++) mean += rows[i];
  free(rows);
  mean = (mean - 1) / (double)(n - 1);  // of the pairs: without the diagonal's ones
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
  return biased_ratio(k, l, n, false, r, err);
}

// CKA of K = exp(-|xi - xj|^2 / (2 sigma^2)) (Kornblith et al. 2019); sigma = fraction * median distance, or given.
vbl_status vbl_rbf_cka(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  if (!(o->fraction > 0) || (o->bandwidth_rule == 2 && !(o->bandwidth > 0)))
    return vbl_fail(err, VBL_EINVAL, "cka: bandwidth and fraction: expected positive numbers, got %g and %g", o->bandwidth,
                    o->fraction);
  if (x->total == 0 || y->total == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  two_matrices m;
  vbl_status status = two_distances2(x, y, &m, err);
  if (status == VBL_OK) status = rbf_ratio(m.k, m.l, x->n, o, r, err);
  free_two(&m);
  return status;
}

// Distance correlation (Szekely, Rizzo, Bakirov 2007); corrected: R* of Szekely and Rizzo 2013, on the squared scale.
vbl_status vbl_dcor(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  bool corrected = o->estimator == 1;
  VBL_TRY(vbl_begin_pair("dcor", x, y, corrected ? 4 : 2, r, err));
  r->metric = "euclidean";
  if (x->total == 0 || y->total == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  two_matrices m;
  int64_t n = x->n;
  vbl_status status = two_distances2(x, y, &m, err);
  if (status == VBL_OK) fill_blocks(m.k, n, minus_root_block, NULL, true);
  if (status == VBL_OK) fill_blocks(m.l, n, minus_root_block, NULL, true);
  if (status == VBL_OK && corrected) {
    status = debiased_kernels(m.k, m.l, n, r, err);
  } else if (status == VBL_OK) {
    if (x->d >= n || y->d >= n) r->warnings |= VBL_WARN_D_GE_N;
    status = vbl_double_centre(m.k, n, err);
    if (status == VBL_OK) status = vbl_double_centre(m.l, n, err);
    if (status == VBL_OK) status = biased_ratio(m.k, m.l, n, true, r, err);
  }
  free_two(&m);
  return status;
}
