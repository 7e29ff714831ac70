// Canonical correlations of the centred matrices: rho = singular values of Ux'Uy, with Ux, Uy the left singular vectors of
// numerical rank (Bjorck and Golub 1973); no covariance is inverted.
// Chance levels, rows of Y shuffled: mean rho^2 is max(rx, ry) / (n-1), exactly; mean rho follows the law of Wachter (1980).
// defines: vbl_canonical_correlations, vbl_cca, vbl_svcca, vbl_pwcca
#include <math.h>
#include <stdlib.h>

#include "core/measure/lapack.h"
#include "core/measure/nuclear.h"
#include "core/measure/result.h"

// C (mx, my) = Ux[:, :mx]' Uy[:, :my].
static vbl_status coordinates(const vbl_prepared *x, const vbl_prepared *y, int64_t mx, int64_t my, double **c, vbl_error *err) {
  VBL_TRY(vbl_doubles(mx * my, "canonical correlations", c, err));
  vbl_gemm(true, false, mx, my, x->n, 1, x->svd->u, x->svd->columns, y->svd->u, y->svd->columns, 0, *c, my);
  return VBL_OK;
}

// Mean of sqrt(lambda) over the limiting density of squared correlations, ranks rx and ry of n - 1 dims:
// sqrt((b - l)(l - a)) / (2 pi c l (1 - l)) on [a, b] with c the smaller ratio, and a mass at 1 when the ratios sum to over 1.
static double wachter_mean(int64_t rx, int64_t ry, int64_t dims) {
  enum { STEPS = 4000 };
  double c1 = (double)rx / (double)dims, c2 = (double)ry / (double)dims, c = fmin(c1, c2);
  double u = sqrt(c1 * (1 - c2)), v = sqrt(c2 * (1 - c1)), a = (u - v) * (u - v), b = (u + v) * (u + v);
  double sum = fmax(0, c1 + c2 - 1) / c, half = (b - a) / 2, middle = (a + b) / 2;
  for (int i = 0; i < STEPS; i++) {  // l = middle - half cos(t): the square roots become half sin(t)
    double t = M_PI * (i + 0.5) / STEPS, l = middle - half * cos(t), s = half * sin(t);
    sum += s * s / (2 * M_PI * c * sqrt(l) * (1 - l)) * (M_PI / STEPS);
  }
  return sum;
}

static void note_ranks(vbl_measure_result *r, const vbl_prepared *x, const vbl_prepared *y, int64_t mx, int64_t my) {
  int64_t wide = mx > my ? mx : my, full_x = x->d < x->n - 1 ? x->d : x->n - 1, full_y = y->d < y->n - 1 ? y->d : y->n - 1;
  r->dims_x = mx;
  r->dims_y = my;
  r->preprocessing = "centred";
  if (x->n < 10 * wide) r->warnings |= VBL_WARN_FEW_ROWS;
  if (mx + my > x->n - 1) r->warnings |= VBL_WARN_FORCED_ONES;
  if (x->svd->rank < full_x || y->svd->rank < full_y) r->warnings |= VBL_WARN_RANK_DEFICIENT;
}

static void note_chance(vbl_measure_result *r, bool squared) {
  int64_t wide = r->dims_x > r->dims_y ? r->dims_x : r->dims_y;
  r->chance = squared ? (double)wide / (double)(r->n - 1) : wachter_mean(r->dims_x, r->dims_y, r->n - 1);
  r->chance_source = squared ? "exact mean over permutations: max(rank) / (n-1)" : "Wachter's law for ranks and n - 1";
}

// SVDs of both; *ready is false when the result is decided (constant data).
static vbl_status begin(const char *measure, vbl_prepared *x, vbl_prepared *y, bool *ready, vbl_measure_result *r, vbl_error *err) {
  *ready = false;
  VBL_TRY(vbl_begin_pair(measure, x, y, 2, r, err));
  if (x->total == 0 || y->total == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  VBL_TRY(vbl_prepared_svd(x, err));
  VBL_TRY(vbl_prepared_svd(y, err));
  *ready = true;
  return VBL_OK;
}

vbl_status vbl_canonical_correlations(const vbl_prepared *x, const vbl_prepared *y, int64_t mx, int64_t my, double **rho,
                                      vbl_error *err) {
  int64_t m = mx < my ? mx : my;
  double *c = NULL, *values = NULL;
  vbl_status status = coordinates(x, y, mx, my, &c, err);
  if (status == VBL_OK) status = vbl_doubles(m, "canonical correlations", &values, err);
  if (status == VBL_OK) status = vbl_svd_values(mx, my, c, values, err);
  free(c);
  if (status != VBL_OK) {
    free(values);
    return status;
  }
  for (int64_t i = 0; i < m; i++) values[i] = fmin(fmax(values[i], 0), 1);
  *rho = values;
  return VBL_OK;
}

// Mean of rho (or rho^2) over the first mx and my components.
static vbl_status mean_rho(vbl_prepared *x, vbl_prepared *y, int64_t mx, int64_t my, bool squared, vbl_measure_result *r,
                           vbl_error *err) {
  double *c = NULL, sum = 0;
  note_ranks(r, x, y, mx, my);
  if (mx >= x->n - 1 || my >= x->n - 1) return vbl_undefined(r, VBL_MEASURE_RANK_SATURATED);
  vbl_status status = coordinates(x, y, mx, my, &c, err);
  if (status == VBL_OK && squared) sum = vbl_dot(c, c, mx * my);
  if (status == VBL_OK && !squared) status = vbl_nuclear_norm(mx, my, c, VBL_NUCLEAR_EXACT, &sum, err);
  free(c);
  if (status != VBL_OK) return status;
  note_chance(r, squared);
  return vbl_value(r, fmin(1, sum / (double)(mx < my ? mx : my)));
}

vbl_status vbl_cca(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  bool ready;
  VBL_TRY(begin("cca", x, y, &ready, r, err));
  if (!ready) return VBL_OK;
  return mean_rho(x, y, x->svd->rank, y->svd->rank, o->of == 1, r, err);
}

// Components kept: the fewest whose variance reaches the threshold, or `dims`.
static int64_t kept(const vbl_svd *v, const vbl_measure_options *o) {
  double total = 0, sum = 0;
  if (o->dims > 0) return o->dims < v->rank ? o->dims : v->rank;
  for (int64_t i = 0; i < v->rank; i++) total += v->s[i] * v->s[i];
  for (int64_t i = 0; i < v->rank; i++) {
    sum += v->s[i] * v->s[i];
    if (sum >= (o->threshold - 1e-12) * total) return i + 1;
  }
  return v->rank;
}

// CCA between the leading principal components (Raghu et al., NeurIPS 2017).
vbl_status vbl_svcca(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  bool ready;
  VBL_TRY(begin("svcca", x, y, &ready, r, err));
  if (!(o->threshold > 0 && o->threshold <= 1) || o->dims < 0)
    return vbl_fail(err, VBL_EINVAL, "svcca: expected a threshold in (0, 1] or dims >= 1, got threshold %g, dims %lld",
                    o->threshold, (long long)o->dims);
  if (!ready) return VBL_OK;
  vbl_extra(r, o->dims > 0 ? "dims" : "threshold", o->dims > 0 ? (double)o->dims : o->threshold);
  return mean_rho(x, y, kept(x->svd, o), kept(y->svd, o), false, r, err);
}

// Weights a_i = sum_j |<h_i, x_j>| of the canonical variates h = U P against the centred columns x_j; p: (rank, m).
static vbl_status variate_weights(const vbl_prepared *x, const double *p, int64_t m, double *weight, vbl_error *err) {
  int64_t rank = x->svd->rank, n = x->n, d = x->d;
  double *h = NULL, *g = NULL;
  vbl_status status = vbl_doubles(n * m, "canonical variates", &h, err);
  if (status == VBL_OK) status = vbl_doubles(m * d, "canonical variates", &g, err);
  if (status == VBL_OK) {
    vbl_gemm(false, false, n, m, rank, 1, x->svd->u, x->svd->columns, p, m, 0, h, m);
    vbl_gemm(true, false, m, d, n, 1, h, m, x->centred, d, 0, g, d);
    for (int64_t i = 0; i < m; i++) {
      weight[i] = 0;
      for (int64_t j = 0; j < d; j++) weight[i] += fabs(g[i * d + j]);
    }
  }
  free(h);
  free(g);
  return status;
}

// sum a_i rho_i / sum a_i with the weights of one side (Morcos, Raghu, Bengio, NeurIPS 2018, eq. 5).
static vbl_status projection_weighted(vbl_prepared *x, vbl_prepared *y, vbl_measure_result *r, vbl_error *err) {
  int64_t rx = x->svd->rank, ry = y->svd->rank, m = rx < ry ? rx : ry;
  double *c = NULL, *p = NULL, *rho = NULL, *vt = NULL, *weight = NULL, sum = 0, all = 0;
  vbl_status status = coordinates(x, y, rx, ry, &c, err);
  if (status == VBL_OK) status = vbl_doubles(rx * m, "pwcca", &p, err);
  if (status == VBL_OK) status = vbl_doubles(m, "pwcca", &rho, err);
  if (status == VBL_OK) status = vbl_doubles(m * ry, "pwcca", &vt, err);
  if (status == VBL_OK) status = vbl_doubles(m, "pwcca", &weight, err);
  if (status == VBL_OK) status = vbl_svd_full(rx, ry, c, p, rho, vt, err);
  if (status == VBL_OK) status = variate_weights(x, p, m, weight, err);
  for (int64_t i = 0; status == VBL_OK && i < m; i++) {
    sum += weight[i] * fmin(fmax(rho[i], 0), 1);
    all += weight[i];
  }
  free(c);
  free(p);
  free(rho);
  free(vt);
  free(weight);
  return status == VBL_OK ? vbl_value(r, sum / all) : status;
}

vbl_status vbl_pwcca(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  bool ready;
  VBL_TRY(begin("pwcca", x, y, &ready, r, err));
  if (!ready) return VBL_OK;
  note_ranks(r, x, y, x->svd->rank, y->svd->rank);
  if (r->dims_x >= x->n - 1 || r->dims_y >= x->n - 1) return vbl_undefined(r, VBL_MEASURE_RANK_SATURATED);
  return o->side == 0 ? projection_weighted(x, y, r, err) : projection_weighted(y, x, r, err);
}
