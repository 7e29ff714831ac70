// Canonical correlations of the centred matrices: rho = singular values of Ux'Uy, with Ux, Uy the left singular vectors of
// numerical rank (Bjorck and Golub 1973); no covariance is inverted.
// Chance levels, rows of Y shuffled: mean rho^2 is max(rx, ry) / (n-1), exactly; mean rho follows the law of Wachter (1980).
// defines: vbl_canonical_correlations, vbl_cca_on_device, vbl_cca, vbl_svcca, vbl_pwcca
#include <math.h>
#include <stdlib.h>

#include "core/measure/cross.h"
#include "core/measure/device.h"
#include "core/measure/lapack.h"
#include "core/measure/nuclear.h"
#include "core/measure/parallel.h"
#include "core/measure/result.h"

// C (mx, my) = Ux[:, :mx]' Uy[:, :my], scratch of the caller's. `single` multiplies in f32 where cross.h says that it pays: columns are unit vectors, so the
// mean correlation is off by at most 2 u from the rounding of U and 0.4 u sqrt(m) from the sums, together within 1e-6 for m <= 1024
// (u = 2^-24), and by 1e-7 in practice.
static vbl_status coordinates(int64_t n, const vbl_svd *x, const vbl_svd *y, int64_t mx, int64_t my, bool single, double **c,
                              vbl_error *err) {
  const vbl_factor a = {.raw = x->u, .stride = x->columns, .columns = mx}, b = {.raw = y->u, .stride = y->columns, .columns = my};
  VBL_TRY(vbl_scratch(mx * my, "canonical correlations", c, err));
  return vbl_row_product(n, &a, &b, NULL, single, *c, err);
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

static void note_ranks(vbl_measure_result *r, const vbl_prepared *x, const vbl_prepared *y, int64_t rank_x, int64_t rank_y,
                       int64_t mx, int64_t my) {
  int64_t wide = mx > my ? mx : my, full_x = x->d < x->n - 1 ? x->d : x->n - 1, full_y = y->d < y->n - 1 ? y->d : y->n - 1;
  r->dims_x = mx;
  r->dims_y = my;
  r->preprocessing = "centred";
  if (x->n < 10 * wide) r->warnings |= VBL_WARN_FEW_ROWS;
  if (mx + my > x->n - 1) r->warnings |= VBL_WARN_FORCED_ONES;
  if (rank_x < full_x || rank_y < full_y) r->warnings |= VBL_WARN_RANK_DEFICIENT;
}

static void note_chance(vbl_measure_result *r, bool squared) {
  int64_t wide = r->dims_x > r->dims_y ? r->dims_x : r->dims_y;
  r->chance = squared ? (double)wide / (double)(r->n - 1) : wachter_mean(r->dims_x, r->dims_y, r->n - 1);
  r->chance_source = squared ? "exact mean over permutations: max(rank) / (n-1)" : "Wachter's law for ranks and n - 1";
}

// The first m left singular vectors of a tall matrix from leading eigenvectors of Xc'Xc, U = Xc V / S. As in prepared.c this counts
// only where (s_d / s_1)^2 > 1e-6, which also shows that the rank is full; *done says whether it did.
static vbl_status leading_svd(vbl_prepared *p, int64_t m, vbl_svd *v, bool *done, vbl_error *err) {
  int64_t n = p->n, d = p->d;
  double *g = NULL, *vectors = NULL, *w = NULL;
  VBL_TRY(vbl_prepared_rows(p, err));
  vbl_status status = vbl_doubles(d * d, "SVCCA", &g, err);
  if (status == VBL_OK) status = vbl_doubles(m * d, "SVCCA", &vectors, err);
  if (status == VBL_OK) status = vbl_doubles(d, "SVCCA", &w, err);
  if (status == VBL_OK) status = vbl_doubles(n * m, "SVCCA", &v->u, err);
  if (status == VBL_OK) {
    vbl_syrk(true, d, n, p->centred, d, g);
    status = vbl_leading_eigen(d, g, m, 1e-6, w, vectors, done, err);
  }
  if (status == VBL_OK && *done) {
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < d; j++) vectors[i * d + j] /= sqrt(w[i]);
    vbl_gemm(false, true, n, m, d, 1, p->centred, d, vectors, d, 0, v->u, m);
    v->rank = d;
    v->columns = m;
  }
  free(g);
  free(vectors);
  free(w);
  return status;
}

// *use: the SVD, or where no one has made that yet and few dims are asked for, *own with those alone.
static vbl_status basis(vbl_prepared *p, int64_t dims, vbl_svd *own, const vbl_svd **use, vbl_error *err) {
  bool few = dims > 0 && dims <= p->d / 8 && p->d < p->n && p->svd == NULL, done = false;
  if (few && p->total > 1e-140 && p->total < 1e140) VBL_TRY(leading_svd(p, dims, own, &done, err));
  *use = own;
  if (done) return VBL_OK;
  VBL_TRY(vbl_prepared_svd(p, err));
  *use = p->svd;
  return VBL_OK;
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

vbl_status vbl_cca_on_device(vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, int64_t size[2],
                             bool *yes, vbl_error *err) {
  vbl_prepared *both[] = {x, y};
  *yes = false;
  if (o->on_host != 0 || !vbl_device_pair(x, y)) return VBL_OK;
  for (int i = 0; i < 2; i++) {
    const vbl_svd *v = NULL;
    if (both[i]->total > 0) VBL_TRY(vbl_device_svd(both[i], &v, err));
    if (v == NULL) return VBL_OK;
    size[i] = fn == vbl_cca ? v->rank : kept(v, o);
    if (size[i] > v->columns) return VBL_OK;
  }
  *yes = true;
  return VBL_OK;
}

// The bases of X and Y; own: what they hold of their own, for free_bases.
typedef struct bases {
  vbl_svd own[2];
  const vbl_svd *x, *y;
} bases;

static void free_bases(bases *b) {
  for (int i = 0; i < 2; i++) free(b->own[i].u);
}

// Side by side on the cores.
static vbl_status make_bases(vbl_prepared *x, vbl_prepared *y, int64_t dims, bases *b, vbl_error *err) {
  vbl_prepared *both[] = {x, y};
  const vbl_svd **use[] = {&b->x, &b->y};
  vbl_status status = vbl_lapack_open(NULL, err);
#pragma omp parallel for schedule(static, 1)
  for (int i = 0; i < (x == y ? 1 : 2); i++) {
    vbl_error mine = {0};
    if (!vbl_shared_failed(&status)) vbl_shared_fail(&status, basis(both[i], dims, &b->own[i], use[i], &mine), &mine, err);
  }
  if (x == y) b->y = b->x;
  return status;
}

// Bases of both, of `dims` components where that is not 0; *ready is false when the result is decided (constant data). On a device u is
// NULL.
static vbl_status begin(const char *measure, vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o,
                        bases *b, bool *ready, vbl_measure_result *r, vbl_error *err) {
  const int64_t dims = fn == vbl_svcca ? o->dims : 0;
  int64_t size[2];
  bool there = false;
  *ready = false;
  VBL_TRY(vbl_begin_compact(measure, x, y, 2, r, err));
  if (x->total == 0 || y->total == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  if (fn != vbl_pwcca) VBL_TRY(vbl_cca_on_device(fn, x, y, o, size, &there, err));
  if (there) {
    b->x = x->device->svd;
    b->y = y->device->svd;
  } else {
    VBL_TRY(vbl_device_pull(x, err));
    VBL_TRY(vbl_device_pull(y, err));
    VBL_TRY(make_bases(x, y, dims, b, err));
  }
  *ready = true;
  return VBL_OK;
}

vbl_status vbl_canonical_correlations(const vbl_prepared *x, const vbl_prepared *y, int64_t mx, int64_t my, double **rho,
                                      vbl_error *err) {
  int64_t m = mx < my ? mx : my;
  double *c = NULL, *values = NULL;
  vbl_status status = coordinates(x->n, x->svd, y->svd, mx, my, false, &c, err);
  if (status == VBL_OK) status = vbl_doubles(m, "canonical correlations", &values, err);
  if (status == VBL_OK) status = vbl_svd_values(mx, my, c, values, err);
  vbl_scratch_free(mx * my, c);
  if (status != VBL_OK) {
    free(values);
    return status;
  }
  for (int64_t i = 0; i < m; i++) values[i] = fmin(fmax(values[i], 0), 1);
  *rho = values;
  return VBL_OK;
}

// The same from the device, or a copy of what is given.
static vbl_status device_coordinates(const vbl_prepared *x, const vbl_prepared *y, int64_t mx, int64_t my, const double *given,
                                     double **c, vbl_error *err) {
  VBL_TRY(vbl_scratch(mx * my, "canonical correlations", c, err));
  if (given == NULL) return vbl_device_coordinates(x, y, mx, my, *c, err);
  for (int64_t i = 0; i < mx * my; i++) (*c)[i] = given[i];
  return VBL_OK;
}

// Mean of rho (or rho^2) over the first mx and my components.
static vbl_status mean_rho(const vbl_prepared *x, const vbl_prepared *y, const bases *b, int64_t mx, int64_t my, bool squared,
                           const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  double *c = NULL, sum = o->nuclear != NULL ? *o->nuclear : 0;
  note_ranks(r, x, y, b->x->rank, b->y->rank, mx, my);
  if (mx >= x->n - 1 || my >= x->n - 1) return vbl_undefined(r, VBL_MEASURE_RANK_SATURATED);
  if (x == y && mx == my) {
    note_chance(r, squared);
    return vbl_value(r, 1);
  }
  const bool there = b->x->u == NULL, single = !there && !squared && vbl_row_product_single(x, y, mx, my);
  if (single) r->preprocessing = "centred, product in f32";
  vbl_status status = VBL_OK;
  if (there && o->nuclear == NULL)
    status = device_coordinates(x, y, mx, my, o->cross, &c, err);
  else if (!there)
    status = coordinates(x->n, b->x, b->y, mx, my, single, &c, err);
  if (status == VBL_OK && squared) sum = vbl_dot(c, c, mx * my);
  if (status == VBL_OK && !squared && c != NULL)
    status = vbl_nuclear_norm(mx, my, c, single ? VBL_NUCLEAR_SINGLE : VBL_NUCLEAR_EXACT, &sum, err);
  vbl_scratch_free(mx * my, c);
  if (status != VBL_OK) return status;
  note_chance(r, squared);
  return vbl_value(r, fmin(1, sum / (double)(mx < my ? mx : my)));
}

vbl_status vbl_cca(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  bool ready;
  bases b = {0};
  VBL_TRY(begin("cca", vbl_cca, x, y, o, &b, &ready, r, err));
  return ready ? mean_rho(x, y, &b, b.x->rank, b.y->rank, o->of == 1, o, r, err) : VBL_OK;
}

// CCA between the leading principal components (Raghu et al., NeurIPS 2017).
vbl_status vbl_svcca(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  bool ready;
  bases b = {0};
  if (!(o->threshold > 0 && o->threshold <= 1) || o->dims < 0)
    return vbl_fail(err, VBL_EINVAL, "svcca: expected a threshold in (0, 1] or dims >= 1, got threshold %g, dims %lld",
                    o->threshold, (long long)o->dims);
  vbl_status status = begin("svcca", vbl_svcca, x, y, o, &b, &ready, r, err);
  if (status == VBL_OK && ready) {
    vbl_extra(r, o->dims > 0 ? "dims" : "threshold", o->dims > 0 ? (double)o->dims : o->threshold);
    status = mean_rho(x, y, &b, kept(b.x, o), kept(b.y, o), false, o, r, err);
  }
  free_bases(&b);
  return status;
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
  vbl_status status = coordinates(x->n, x->svd, y->svd, rx, ry, false, &c, err);
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
  vbl_scratch_free(rx * ry, c);
  free(p);
  free(rho);
  free(vt);
  free(weight);
  return status == VBL_OK ? vbl_value(r, sum / all) : status;
}

vbl_status vbl_pwcca(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  bool ready;
  bases b = {0};
  VBL_TRY(begin("pwcca", vbl_pwcca, x, y, o, &b, &ready, r, err));
  if (!ready) return VBL_OK;
  VBL_TRY(vbl_prepared_rows(o->side == 0 ? x : y, err));
  note_ranks(r, x, y, x->svd->rank, y->svd->rank, x->svd->rank, y->svd->rank);
  if (r->dims_x >= x->n - 1 || r->dims_y >= x->n - 1) return vbl_undefined(r, VBL_MEASURE_RANK_SATURATED);
  return o->side == 0 ? projection_weighted(x, y, r, err) : projection_weighted(y, x, r, err);
}
