// Optimal transport between the rows of X and Y as two clouds: the pairing is not used, and the spaces must be one. gw_identity
// compares the distances within each cloud under the given pairing, so the spaces may differ.
// defines: vbl_wasserstein, vbl_sinkhorn, vbl_sliced_wasserstein, vbl_gw_identity
#include <math.h>
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/base/philox.h"
#include "core/measure/assignment.h"
#include "core/measure/kernel.h"
#include "core/measure/lapack.h"
#include "core/measure/parallel.h"
#include "core/measure/result.h"
#include "core/measure/stats.h"

// Squared distances between all rows of x and y (n, n).
static vbl_status cross_distances2(const vbl_prepared *x, const vbl_prepared *y, double **out, vbl_error *err) {
  VBL_TRY(vbl_doubles(x->n * y->n, "transport costs", out, err));
  double *c = *out;
#pragma omp parallel for schedule(static) if (x->n * y->n > VBL_MEASURE_GRAIN)
  for (int64_t i = 0; i < x->n; i++)
    for (int64_t j = 0; j < y->n; j++) c[i * y->n + j] = vbl_distance2(x->raw + i * x->d, y->raw + j * y->d, x->d);
  return VBL_OK;
}

// (mean over the best matching of |x_i - y_j|^p)^(1/p).
vbl_status vbl_wasserstein(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  double *cost = NULL, total = 0;
  VBL_TRY(vbl_begin_pair("wasserstein", x, y, 1, r, err));
  if (!(o->p > 0)) return vbl_fail(err, VBL_EINVAL, "wasserstein: p = %g: expected a positive number", o->p);
  r->metric = "euclidean";
  if (!vbl_same_space(r)) return VBL_OK;
  VBL_TRY(cross_distances2(x, y, &cost, err));
  for (int64_t i = 0; o->p != 2 && i < x->n * x->n; i++) cost[i] = pow(cost[i], o->p / 2);
  vbl_status status = vbl_assignment(cost, x->n, &total, err);
  free(cost);
  return status == VBL_OK ? vbl_value(r, pow(total / (double)x->n, 1 / o->p)) : status;
}

// -eps log mean_j exp((other_j - cost_ij) / eps), cost read by rows or by columns.
static double soft_min(const double *cost, int64_t stride, const double *other, int64_t n, double eps) {
  double most = -INFINITY, sum = 0;
  for (int64_t j = 0; j < n; j++) most = fmax(most, other[j] - cost[j * stride]);
  for (int64_t j = 0; j < n; j++) sum += exp((other[j] - cost[j * stride] - most) / eps);
  return -most - eps * log(sum / (double)n);
}

typedef struct sinkhorn_result {
  double cost, dual, violation;
} sinkhorn_result;

// One step of the potentials; the plan's row sums stray from 1/n by row_error. Two clouds: f then g; one cloud against itself
// (f = g): half a step towards the next f, which converges where alternating crawls (Feydy et al. 2019, section 3.1).
static void sinkhorn_step(const double *c, int64_t n, double eps, bool one_cloud, double *f, double *g, double *next,
                          double *row_error) {
#pragma omp parallel for schedule(static) if (n * n > VBL_MEASURE_GRAIN)
  for (int64_t i = 0; i < n; i++) {
    next[i] = soft_min(c + i * n, 1, g, n, eps);
    row_error[i] = fabs(exp((f[i] - next[i]) / eps) - 1) / (double)n;
  }
  for (int64_t i = 0; i < n; i++) f[i] = one_cloud ? (f[i] + next[i]) / 2 : next[i];
#pragma omp parallel for schedule(static) if (n * n > VBL_MEASURE_GRAIN)
  for (int64_t j = 0; j < n; j++) g[j] = one_cloud ? f[j] : soft_min(c + j, n, f, n, eps);
}

// Log-domain Sinkhorn with uniform weights (Cuturi 2013; Peyre and Cuturi 2019, section 4.4), until the plan's row sums are 1/n to
// 1e-11 in L1 or the iterations end.
static vbl_status sinkhorn(const double *c, int64_t n, double eps, bool one_cloud, sinkhorn_result *out, vbl_error *err) {
  enum { ITERATIONS = 5000 };
  double *f = calloc(4 * (size_t)n, sizeof *f);
  if (f == NULL) return vbl_fail(err, VBL_ENOMEM, "sinkhorn: out of memory");
  double *g = f + n, *next = g + n, *row_error = next + n;
  vbl_status status = VBL_OK;
  out->violation = INFINITY;
  for (int step = 0; step < ITERATIONS && out->violation > 1e-11 && status == VBL_OK; step++) {
    status = vbl_interrupt_check(err);
    sinkhorn_step(c, n, eps, one_cloud, f, g, next, row_error);
    out->violation = step == 0 ? (double)INFINITY : 0;  // f and g were still zero
    for (int64_t i = 0; i < n; i++) out->violation += row_error[i];
  }
  out->cost = out->dual = 0;
  for (int64_t i = 0; status == VBL_OK && i < n; i++) {
    out->dual += (f[i] + g[i]) / (double)n;
    for (int64_t j = 0; j < n; j++) out->cost += exp((f[i] + g[j] - c[i * n + j]) / eps) * c[i * n + j] / ((double)n * (double)n);
  }
  free(f);
  return status;
}

static vbl_status median_cost(const double *c, int64_t count, double *median, vbl_error *err) {
  double *copy = NULL;
  VBL_TRY(vbl_doubles(count, "sinkhorn", &copy, err));
  for (int64_t i = 0; i < count; i++) copy[i] = c[i];
  *median = vbl_median(copy, count);
  free(copy);
  return VBL_OK;
}

// The three problems of the divergence: x-y, x-x, y-y.
static vbl_status three_problems(vbl_prepared *x, vbl_prepared *y, double *eps, sinkhorn_result s[3], vbl_error *err) {
  const vbl_prepared *a[3] = {x, x, y}, *b[3] = {y, x, y};
  for (int q = 0; q < 3; q++) {
    double *c = NULL, median = 0;
    VBL_TRY(cross_distances2(a[q], b[q], &c, err));
    vbl_status status = VBL_OK;
    if (*eps == 0) {
      status = median_cost(c, x->n * x->n, &median, err);
      *eps = 0.05 * median;
    }
    s[q] = (sinkhorn_result){0};
    if (status == VBL_OK && *eps > 0) status = sinkhorn(c, x->n, *eps, q > 0, &s[q], err);
    free(c);
    if (status != VBL_OK || *eps == 0) return status;
  }
  return VBL_OK;
}

// Squared Euclidean cost. divergence: OT(x,y) - OT(x,x)/2 - OT(y,y)/2 of dual values (Feydy et al. 2019); cost: <P, C>; dual: OT.
vbl_status vbl_sinkhorn(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  sinkhorn_result s[3];
  double eps = o->eps;
  VBL_TRY(vbl_begin_pair("sinkhorn", x, y, 1, r, err));
  if (!(o->eps >= 0)) return vbl_fail(err, VBL_EINVAL, "sinkhorn: eps = %g: expected 0 (0.05 of the median cost) or more", o->eps);
  r->metric = "sqeuclidean";
  if (!vbl_same_space(r)) return VBL_OK;
  VBL_TRY(three_problems(x, y, &eps, s, err));
  if (eps == 0) return vbl_undefined(r, VBL_MEASURE_BANDWIDTH_ZERO);
  double values[3] = {s[0].dual - s[1].dual / 2 - s[2].dual / 2, s[0].cost, s[0].dual};
  vbl_extra(r, "eps", eps);
  vbl_extra(r, "divergence", values[0]);
  vbl_extra(r, "cost", values[1]);
  vbl_extra(r, "dual", values[2]);
  for (int q = 0; q < 3; q++)
    if (s[q].violation > 1e-6) return vbl_undefined(r, VBL_MEASURE_NOT_CONVERGED);
  return vbl_value(r, values[o->form]);
}

// m unit rows (m, d), uniform on the sphere: normal numbers by Box-Muller, normalised.
static vbl_status draw_directions(int64_t m, int64_t d, int64_t seed, double **out, vbl_error *err) {
  VBL_TRY(vbl_doubles(m * d, "directions", out, err));
  vbl_philox_key key = {(uint32_t)seed, VBL_STREAM_MEASURE};
  for (int64_t q = 0; q < m; q++) {
    double *row = *out + q * d;
    for (int64_t j = 0; j < d; j++) {
      double u = 1 - vbl_philox_uniform(key, (uint32_t)j, 1, (uint32_t)q, 0),
             v = vbl_philox_uniform(key, (uint32_t)j, 2, (uint32_t)q, 0);
      row[j] = sqrt(-2 * log(u)) * cos(2 * M_PI * v);
    }
    double norm = sqrt(vbl_dot(row, row, d));
    for (int64_t j = 0; j < d; j++) row[j] /= norm;
  }
  return VBL_OK;
}

static vbl_status sliced(const vbl_prepared *x, const vbl_prepared *y, const double *directions, int64_t m, double *mean,
                         vbl_error *err) {
  double *px = NULL, *py = NULL, sum = 0;
  int64_t n = x->n, d = x->d;
  vbl_status status = vbl_lapack_open(NULL, err);
  if (status == VBL_OK) status = vbl_doubles(m * n, "sliced_wasserstein", &px, err);
  if (status == VBL_OK) status = vbl_doubles(m * n, "sliced_wasserstein", &py, err);
  if (status == VBL_OK) {
    vbl_gemm(false, true, m, n, d, 1, directions, d, x->raw, d, 0, px, n);
    vbl_gemm(false, true, m, n, d, 1, directions, d, y->raw, d, 0, py, n);
    for (int64_t q = 0; q < m; q++) {
      vbl_sort(px + q * n, n);
      vbl_sort(py + q * n, n);
      sum += vbl_distance2(px + q * n, py + q * n, n);
    }
  }
  free(px);
  free(py);
  *mean = sum / ((double)m * (double)n);
  return status;
}

// Root of the mean over directions of the squared distance of sorted projections (Bonneel et al. 2015).
vbl_status vbl_sliced_wasserstein(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r,
                                  vbl_error *err) {
  double *drawn = NULL, mean = 0;
  VBL_TRY(vbl_begin_pair("sliced_wasserstein", x, y, 1, r, err));
  if (o->projections < 1 || o->projections > 1000000)
    return vbl_fail(err, VBL_EINVAL, "sliced_wasserstein: projections = %lld: expected 1 to 10^6", (long long)o->projections);
  if (o->directions != NULL && o->directions_d != x->d)
    return vbl_fail(err, VBL_EINVAL, "sliced_wasserstein: directions: expected [m, %lld], got [%lld, %lld]", (long long)x->d,
                    (long long)o->projections, (long long)o->directions_d);
  r->metric = "euclidean";
  if (!vbl_same_space(r)) return VBL_OK;
  vbl_extra(r, "projections", (double)o->projections);
  if (o->directions == NULL) VBL_TRY(draw_directions(o->projections, x->d, o->seed, &drawn, err));
  vbl_status status = sliced(x, y, drawn != NULL ? drawn : o->directions, o->projections, &mean, err);
  free(drawn);
  return status == VBL_OK ? vbl_value(r, sqrt(mean)) : status;
}

// d2 becomes distances, divided by their mean over all n^2 unless raw; false when every distance is 0.
static bool distance_matrix(double *d2, int64_t n, bool raw) {
  double mean = 0;
  for (int64_t i = 0; i < n * n; i++) mean += d2[i] = sqrt(d2[i]);
  mean /= (double)n * (double)n;
  for (int64_t i = 0; !raw && mean > 0 && i < n * n; i++) d2[i] /= mean;
  return mean > 0;
}

// Mean over i, j of (Dx_ij - Dy_ij)^2: the Gromov-Wasserstein cost of the given pairing, an upper bound (Memoli 2011).
vbl_status vbl_gw_identity(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  double *a = NULL, *b = NULL;
  bool raw = o->raw_distances != 0;
  VBL_TRY(vbl_begin_pair("gw_identity", x, y, 2, r, err));
  r->metric = "euclidean";
  r->preprocessing = raw ? "none" : "distances divided by their mean";
  if (!raw && (x->total == 0 || y->total == 0)) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  int64_t n = x->n;
  vbl_status status = vbl_distances2(x, &a, err);
  if (status == VBL_OK) status = vbl_distances2(y, &b, err);
  if (status == VBL_OK) {
    bool ok = distance_matrix(a, n, raw);
    ok &= distance_matrix(b, n, raw);
    status = ok || raw ? vbl_value(r, vbl_distance2(a, b, n * n) / ((double)n * (double)n))
                       : vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  }
  free(a);
  free(b);
  return status;
}
