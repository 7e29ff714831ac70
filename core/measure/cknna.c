// CKNNA: kernel alignment restricted to common neighbours (Huh et al., "The Platonic Representation Hypothesis", ICML 2024), on
// unit rows. Its masks have at most n k entries, so nothing is n x n.
//   ref    HSIC1 of the masked kernels as the paper's code computes it: the mask is not symmetric, and only pairs that are
//          neighbours both ways meet in <K, L'>; exchanging X and Y changes the mixed term a little. eps is added to the
//          denominator (the code's 1e-6 is not scale-free).
//   local  sum over the mask of row-centred kernels.
// defines: vbl_cknna
#include <math.h>
#include <stdlib.h>

#include "core/measure/device.h"
#include "core/measure/neighbours.h"
#include "core/measure/result.h"

// One masked pair: rows i and j with their two kernel values.
typedef struct entry {
  int32_t j;
  double k, l;
} entry;

// The mask's rows, (n, k) with count[i] entries used.
typedef struct mask {
  int64_t n, k;
  int32_t *count;
  entry *entries;
} mask;

static double kernel(const vbl_prepared *p, int64_t i, int64_t j) { return vbl_dot(p->unit + i * p->d, p->unit + j * p->d, p->d); }

// The kernels of X and Y at list a, (n, k), from a device; *values NULL where the rows are measured here. The caller frees *values.
static vbl_status device_kernels(const vbl_knn *a, const vbl_prepared *x, const vbl_prepared *y, double **values, vbl_error *err) {
  *values = NULL;
  if (x->unit != NULL && y->unit != NULL) return VBL_OK;
  VBL_TRY(vbl_doubles(2 * a->n * a->k, "cknna", values, err));
  VBL_TRY(vbl_device_cosines(x, a, *values, err));
  return vbl_device_cosines(y, a, *values + a->n * a->k, err);
}

// values: as device_kernels gives them.
static vbl_status mask_make(const vbl_knn *a, const vbl_knn *b, const vbl_prepared *x, const vbl_prepared *y, const double *values,
                            mask *m, vbl_error *err) {
  *m = (mask){.n = a->n, .k = a->k};
  m->count = calloc((size_t)a->n, sizeof *m->count);
  m->entries = malloc(sizeof *m->entries * (size_t)(a->n * a->k));
  if (m->count == NULL || m->entries == NULL) return vbl_fail(err, VBL_ENOMEM, "cknna: out of memory");
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < a->n; i++)
    for (int64_t r = 0; r < a->k; r++) {
      int32_t j = a->index[i * a->k + r];
      if (!vbl_listed(b, i, j)) continue;
      const double *both = values != NULL ? values + i * a->k + r : NULL;
      double k = both != NULL ? both[0] : kernel(x, i, j);
      double l = both != NULL ? both[a->n * a->k] : x == y ? k : kernel(y, i, j);
      m->entries[i * a->k + m->count[i]++] = (entry){j, k, l};
    }
  return VBL_OK;
}

static const entry *find(const mask *m, int64_t i, int32_t j) {
  for (int32_t r = 0; r < m->count[i]; r++)
    if (m->entries[i * m->k + r].j == j) return &m->entries[i * m->k + r];
  return NULL;
}

// n (n-3) HSIC1 of the masked kernels (Song et al. 2012, eq. 5, with 1'K L 1 taken as column sums of K times row sums of L).
static vbl_status masked_hsic(const mask *m, double *out, vbl_error *err) {
  double cross = 0, sum_k = 0, sum_l = 0, mixed = 0, n = (double)m->n;
  double *column_k = calloc((size_t)m->n, sizeof *column_k);
  if (column_k == NULL) return vbl_fail(err, VBL_ENOMEM, "cknna: out of memory");
  for (int64_t i = 0; i < m->n; i++)
    for (int32_t r = 0; r < m->count[i]; r++) {
      const entry *e = &m->entries[i * m->k + r], *back = find(m, e->j, (int32_t)i);
      if (back != NULL) cross += e->k * back->l;
      sum_k += e->k;
      sum_l += e->l;
      column_k[e->j] += e->k;
    }
  for (int64_t i = 0; i < m->n; i++)
    for (int32_t r = 0; r < m->count[i]; r++) mixed += column_k[i] * m->entries[i * m->k + r].l;
  free(column_k);
  *out = cross + sum_k * sum_l / ((n - 1) * (n - 2)) - 2 * mixed / (n - 2);
  return VBL_OK;
}

// (n) mean over j of the kernel's row i: <x_i, mean of x>.
static vbl_status row_means(const vbl_prepared *p, double **out, vbl_error *err) {
  double *mean = calloc((size_t)p->d, sizeof *mean);
  *out = calloc((size_t)p->n, sizeof **out);
  if (mean == NULL || *out == NULL) {
    free(mean);
    return vbl_fail(err, VBL_ENOMEM, "cknna: out of memory");
  }
  for (int64_t i = 0; i < p->n; i++)
    for (int64_t j = 0; j < p->d; j++) mean[j] += p->unit[i * p->d + j] / (double)p->n;
  for (int64_t i = 0; i < p->n; i++) (*out)[i] = vbl_dot(p->unit + i * p->d, mean, p->d);
  free(mean);
  return VBL_OK;
}

static vbl_status masked_local(const mask *m, const vbl_prepared *x, const vbl_prepared *y, double *out, vbl_error *err) {
  double *mx = NULL, *my = NULL;
  vbl_status status = row_means(x, &mx, err);
  if (status == VBL_OK) status = row_means(y, &my, err);
  *out = 0;
  for (int64_t i = 0; status == VBL_OK && i < m->n; i++)
    for (int32_t r = 0; r < m->count[i]; r++) *out += (m->entries[i * m->k + r].k - mx[i]) * (m->entries[i * m->k + r].l - my[i]);
  free(mx);
  free(my);
  return status;
}

static vbl_status masked(const vbl_knn *a, const vbl_knn *b, const vbl_prepared *x, const vbl_prepared *y, bool local, double *out,
                         vbl_error *err) {
  mask m = {0};
  double *values = NULL;
  vbl_status status = device_kernels(a, x, y, &values, err);
  if (status == VBL_OK) status = mask_make(a, b, x, y, values, &m, err);
  free(values);
  if (status == VBL_OK) status = local ? masked_local(&m, x, y, out, err) : masked_hsic(&m, out, err);
  free(m.count);
  free(m.entries);
  return status;
}

vbl_status vbl_cknna(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  vbl_measure_options by_cosine = *o;
  vbl_neighbours nb;
  bool ready, local = o->variant == 1;
  double xy = 0, xx = 0, yy = 0;
  by_cosine.metric = VBL_KNN_COSINE;
  by_cosine.ties = 0;
  VBL_TRY(vbl_neighbours_begin("cknna", false, x, y, &by_cosine, &nb, &ready, r, err));
  if (x->n < 4) return vbl_fail(err, VBL_EINVAL, "cknna: expected at least 4 rows, got %lld", (long long)x->n);
  if (!(o->eps >= 0)) return vbl_fail(err, VBL_EINVAL, "cknna: eps = %g: expected 0 or more", o->eps);
  if (!ready) return VBL_OK;
  const bool there = vbl_device_pair(x, y) && !local && o->on_host == 0;
  if (!there) VBL_TRY(vbl_prepared_unit(x, err));
  if (!there) VBL_TRY(vbl_prepared_unit(y, err));
  VBL_TRY(masked(nb.x, nb.y, x, y, local, &xy, err));
  VBL_TRY(masked(nb.x, nb.x, x, x, local, &xx, err));
  VBL_TRY(masked(nb.y, nb.y, y, y, local, &yy, err));
  if (xx < 0 || yy < 0) return vbl_undefined(r, VBL_MEASURE_NEGATIVE_HSIC);
  double scale = local ? 1 : (double)x->n * (double)(x->n - 3), root = sqrt(xx) * sqrt(yy) / scale + o->eps;
  if (root == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  return vbl_value(r, xy / scale / root);
}
