// Left singular vectors that stay on a device: the eigenvectors of Xc'Xc = V S^2 V', a (d, d) matrix of sums in f64 from there, are LAPACK's on
// the host; U = Xc V / S is a product on the device. U is orthonormal to eps (s_1 / s_i)^2, so columns count only where
// (s_i / s_1)^2 > 1e-6, as on the CPU (prepared.c).
// defines: vbl_device_svd, vbl_device_coordinates
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/measure/device.h"
#include "core/measure/device_factor.h"
#include "core/measure/device_memory.h"
#include "core/measure/lapack.h"

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

static vbl_status decompose(vbl_prepared *p, vbl_svd *svd, vbl_error *err) {
  const int64_t d = p->d;
  double *g = NULL, *v = NULL, *w = NULL;
  VBL_TRY(vbl_lapack_open(NULL, err));
  VBL_TRY(vbl_doubles(d, "SVD", &svd->s, err));
  vbl_status status = vbl_scratch(d * d, "SVD", &g, err);
  if (status == VBL_OK) status = vbl_scratch(d * d, "SVD", &v, err);
  if (status == VBL_OK) status = vbl_doubles(d, "SVD", &w, err);
  if (status == VBL_OK) status = vbl_device_cross(p, p, NULL, g, err);
  if (status == VBL_OK) status = vbl_symmetric_eigen(d, g, w, true, err);
  if (status == VBL_OK) {
    take_spectrum(p, w, g, svd, v);
    status = make_u(p, v, svd->columns, err);
  }
  vbl_scratch_free(d * d, g);
  vbl_scratch_free(d * d, v);
  free(w);
  return status;
}

vbl_status vbl_device_svd(vbl_prepared *p, const vbl_svd **out, vbl_error *err) {
  vbl_device_rows *r = p->device;
  *out = NULL;
  if (p->n <= p->d || !(p->total > 1e-140 && p->total < 1e140)) return VBL_OK;  // as on the CPU
  vbl_status status = VBL_OK;
  if (r->svd == NULL) {
    vbl_svd *svd = calloc(1, sizeof *svd);
    status = svd != NULL ? decompose(p, svd, err) : vbl_fail(err, VBL_ENOMEM, "SVD: out of memory");
    if (status == VBL_OK) {
      r->svd = svd;
    } else if (svd != NULL) {
      free(svd->s);
      free(svd);
    }
  }
  *out = r->svd;
  return status;
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
