// Left singular vectors that stay on a device: the eigenvectors of Xc'Xc = V S^2 V', a (d, d) matrix of sums in f64 from there, are LAPACK's on
// the host; U = Xc V / S is a product on the device. U is orthonormal to eps (s_1 / s_i)^2, so columns count only where
// (s_i / s_1)^2 > 1e-6, as on the CPU (prepared.c).
// defines: vbl_device_svd, vbl_device_svds, vbl_device_coordinates
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/base/threads.h"
#include "core/measure/device.h"
#include "core/measure/device_factor.h"
#include "core/measure/device_memory.h"
#include "core/measure/lapack.h"
#include "core/measure/parallel.h"

// The rows of v (m, d) on the device, and u (n, m) = Xc v'.
static vbl_status make_u(vbl_prepared *p, const double *v, int64_t m, vbl_error *err) {
  vbl_device_rows *r = p->device;
  const size_t bytes = sizeof *v * (size_t)(m * p->d);
  double *sent = NULL;
  VBL_TRY(vbl_device_take(r->b, sizeof *v * (size_t)(p->n * m), "SVD", (void **)&r->u, err));
  VBL_TRY(vbl_device_take(r->b, bytes, "SVD", (void **)&sent, err));
  const vbl_features left = vbl_device_centred(p), right = {.x = sent, .ld = p->d, .wide = true};
  r->b->from_host(sent, v, bytes, NULL);
  r->b->measure->product(true, p->n, m, p->d, &left, &right, false, r->u, m, NULL);
  vbl_status status = r->b->sync(NULL, err);
  r->b->free(sent, bytes);
  return status;
}

// w: eigenvalues ascending, with eigenvectors in the rows of g. Sets s, rank and columns; v: (d, d), rows v_i / s_i, descending.
static void take_spectrum(const vbl_prepared *p, const double *w, const double *g, vbl_svd *svd, double *v) {
  const int64_t d = p->d;
  const double most = w[d - 1], cut = most * (double)(p->n > d ? p->n : d) * DBL_EPSILON;
  for (int64_t i = 0; i < d; i++) {
    const double value = w[d - 1 - i];
    svd->s[i] = sqrt(fmax(0, value));
    svd->rank += value > cut;
    if (!(value > 1e-6 * most)) continue;
    svd->columns++;
    for (int64_t j = 0; j < d; j++) v[i * d + j] = g[(d - 1 - i) * d + j] / svd->s[i];
  }
}

// One matrix's decomposition on its way.
typedef struct work {
  vbl_prepared *p;
  double *g, *v, *w;  // (d, d), (d, d), (d)
  vbl_svd *svd;
} work;

static vbl_status take(work *k, vbl_prepared *p, vbl_error *err) {
  *k = (work){.p = p, .svd = calloc(1, sizeof *k->svd)};
  if (k->svd == NULL) return vbl_fail(err, VBL_ENOMEM, "SVD: out of memory");
  VBL_TRY(vbl_doubles(p->d, "SVD", &k->svd->s, err));
  VBL_TRY(vbl_doubles(p->d, "SVD", &k->w, err));
  VBL_TRY(vbl_scratch(p->d * p->d, "SVD", &k->g, err));
  return vbl_scratch(p->d * p->d, "SVD", &k->v, err);
}

// What the matrix has not been given is freed.
static void end(const work *k) {
  if (k->p == NULL) return;
  vbl_scratch_free(k->p->d * k->p->d, k->g);
  vbl_scratch_free(k->p->d * k->p->d, k->v);
  free(k->w);
  if (k->svd == NULL || k->p->device->svd == k->svd) return;
  free(k->svd->s);
  free(k->svd);
}

static vbl_status decompose(const work *k, vbl_error *err) {
  VBL_TRY(vbl_symmetric_eigen(k->p->d, k->g, k->w, true, err));
  take_spectrum(k->p, k->w, k->g, k->svd, k->v);
  return VBL_OK;
}

// Products one after another on the device, LAPACK side by side on the cores.
static vbl_status decompose_all(work *list, int64_t count, vbl_error *err) {
  vbl_status status = VBL_OK;
  for (int64_t i = 0; i < count; i++) VBL_TRY(vbl_device_cross(list[i].p, list[i].p, NULL, list[i].g, err));
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < count; i++) {
    vbl_error mine = {0};
    if (!vbl_shared_failed(&status)) vbl_shared_fail(&status, decompose(&list[i], &mine), &mine, err);
  }
  for (int64_t i = 0; i < count && status == VBL_OK; i++) {
    status = make_u(list[i].p, list[i].v, list[i].svd->columns, err);
    if (status == VBL_OK) list[i].p->device->svd = list[i].svd;
  }
  return status;
}

static vbl_status make_svds(vbl_prepared *const *which, int64_t count, vbl_error *err) {
  work *list = calloc((size_t)count, sizeof *list);
  if (list == NULL) return vbl_fail(err, VBL_ENOMEM, "SVD: out of memory");
  vbl_status status = vbl_interrupt_check(err);
  for (int64_t i = 0; i < count && status == VBL_OK; i++) status = take(&list[i], which[i], err);
  if (status == VBL_OK) status = decompose_all(list, count, err);
  for (int64_t i = 0; i < count; i++) end(&list[i]);
  free(list);
  return status;
}

// As on the CPU.
static bool possible(const vbl_prepared *p) { return p->n > p->d && p->total > 1e-140 && p->total < 1e140; }

// Whether m[i] has no SVD yet, can have one, and is not among those before it.
static bool wanted(vbl_prepared *const *m, int64_t i) {
  if (m[i]->device->svd != NULL || !possible(m[i])) return false;
  for (int64_t j = 0; j < i; j++)
    if (m[j] == m[i]) return false;
  return true;
}

vbl_status vbl_device_svds(vbl_prepared *const *matrices, int64_t count, vbl_error *err) {
  const int64_t most = vbl_threads();
  vbl_prepared **which = malloc(sizeof(void *) * (size_t)most);
  vbl_status status = which != NULL ? vbl_lapack_open(NULL, err) : vbl_fail(err, VBL_ENOMEM, "SVD: out of memory");
  int64_t n = 0;
  for (int64_t i = 0; i < count && status == VBL_OK; i++) {
    if (wanted(matrices, i)) which[n++] = matrices[i];
    if (n == 0 || (n < most && i + 1 < count)) continue;
    status = make_svds(which, n, err);
    n = 0;
  }
  free(which);
  return status;
}

vbl_status vbl_device_svd(vbl_prepared *p, const vbl_svd **out, vbl_error *err) {
  *out = NULL;
  if (!possible(p)) return VBL_OK;
  VBL_TRY(vbl_device_svds(&p, 1, err));
  *out = p->device->svd;
  return VBL_OK;
}

vbl_status vbl_device_coordinates(const vbl_prepared *x, const vbl_prepared *y, int64_t mx, int64_t my, double *c, vbl_error *err) {
  const vbl_device_rows *a = x->device;
  const size_t bytes = sizeof *c * (size_t)(mx * my);
  const vbl_features left = vbl_device_vectors(x), right = vbl_device_vectors(y);
  double *device = NULL;
  VBL_TRY(vbl_device_take(a->b, bytes, "canonical correlations", (void **)&device, err));
  a->b->measure->product(false, mx, my, x->n, &left, &right, false, device, my, NULL);
  a->b->to_host(c, device, bytes, NULL);
  vbl_status status = a->b->sync(NULL, err);
  a->b->free(device, bytes);
  return status;
}
