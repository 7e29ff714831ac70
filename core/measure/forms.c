// defines: vbl_form_make, vbl_form_free, vbl_form_value
#include "core/measure/forms.h"

#include <math.h>
#include <stdlib.h>

#include "core/measure/kernel.h"
#include "core/measure/lapack.h"

enum { MAX_BYTES = 1 << 30 };

// a (n, n) = M M' of the n x d matrix m with row length ld.
static vbl_status outer(const double *m, int64_t n, int64_t d, int64_t ld, double **a, vbl_error *err) {
  VBL_TRY(vbl_lapack_open(NULL, err));
  VBL_TRY(vbl_doubles(n * n, "permutations", a, err));
  vbl_gemm(false, true, n, n, d, 1, m, ld, m, ld, 0, *a, n);
  return VBL_OK;
}

// The centred kernel of hsic, cka and dcor; U-centred for the debiased estimators.
static vbl_status kernel_of(vbl_measure_fn *fn, vbl_prepared *p, const vbl_measure_options *o, double **k, vbl_error *err) {
  int64_t n = p->n;
  VBL_TRY(vbl_prepared_rows(p, err));
  bool u = fn == vbl_dcor ? o->estimator == 1 : o->estimator == 0;
  if (fn != vbl_dcor && (fn == vbl_hsic || o->kernel == 0)) {
    VBL_TRY(outer(p->centred, n, p->d, p->d, k, err));
    return u ? vbl_u_centre(*k, n, err) : VBL_OK;
  }
  VBL_TRY(vbl_distances2(p, k, err));
  if (fn == vbl_dcor) {
    for (int64_t i = 0; i < n * n; i++) (*k)[i] = -sqrt((*k)[i]);
  } else {
    bool ok = false;
    double sigma = 0;
    vbl_measure_result unused = {0};
    VBL_TRY(vbl_rbf_kernel(*k, n, o, &ok, &sigma, &unused, err));
  }
  return u ? vbl_u_centre(*k, n, err) : vbl_double_centre(*k, n, err);
}

static vbl_status make_kernels(vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_form *f,
                               vbl_error *err) {
  double n = (double)x->n;
  VBL_TRY(kernel_of(fn, x, o, &f->a, err));
  VBL_TRY(kernel_of(fn, y, o, &f->b, err));
  if (fn == vbl_hsic)
    f->scale = o->estimator == 1 ? 1 / ((n - 1) * (n - 1)) : 1 / (n * (n - 3));
  else
    f->scale = 1 / (sqrt(vbl_dot(f->a, f->a, x->n * x->n)) * sqrt(vbl_dot(f->b, f->b, x->n * x->n)));
  f->root = fn == vbl_dcor && o->estimator == 0;
  return VBL_OK;
}

// Upper triangle of the distances (or their ranks) about its mean and divided by its length, on both sides of a zero diagonal.
static vbl_status rsa_side(vbl_prepared *p, const vbl_measure_options *o, double **k, vbl_error *err) {
  int64_t n = p->n, pairs = n * (n - 1) / 2, q = 0;
  vbl_measure_status how;
  double *v = NULL, mean = 0;
  vbl_status status = vbl_rdm(p, o, &v, &how, err);
  if (status == VBL_OK) status = vbl_doubles(n * n, "permutations", k, err);
  if (status != VBL_OK) {
    free(v);
    return status;
  }
  for (q = 0; q < pairs; q++) mean += v[q] / (double)pairs;
  for (q = 0; q < pairs; q++) v[q] -= mean;
  double length = sqrt(vbl_dot(v, v, pairs));
  q = 0;
  for (int64_t i = 0; i < n; i++) {
    (*k)[i * n + i] = 0;
    for (int64_t j = i + 1; j < n; j++) (*k)[i * n + j] = (*k)[j * n + i] = v[q++] / length;
  }
  free(v);
  return VBL_OK;
}

static vbl_status make_rsa(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_form *f, vbl_error *err) {
  VBL_TRY(rsa_side(x, o, &f->a, err));
  VBL_TRY(rsa_side(y, o, &f->b, err));
  f->scale = 0.5;  // both triangles
  return VBL_OK;
}

static vbl_status distances_of(vbl_prepared *p, bool normalise, double **k, vbl_error *err) {
  int64_t n2 = p->n * p->n;
  double mean = 0;
  VBL_TRY(vbl_distances2(p, k, err));
  for (int64_t i = 0; i < n2; i++) {
    (*k)[i] = sqrt((*k)[i]);
    mean += (*k)[i] / (double)n2;
  }
  for (int64_t i = 0; normalise && i < n2; i++) (*k)[i] /= mean;
  return VBL_OK;
}

// mean (A - B)^2 = (|A|^2 + |B|^2 - 2 <A, B>) / n^2
static vbl_status make_gw(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_form *f, vbl_error *err) {
  double n2 = (double)x->n * (double)x->n;
  VBL_TRY(distances_of(x, o->raw_distances == 0, &f->a, err));
  VBL_TRY(distances_of(y, o->raw_distances == 0, &f->b, err));
  f->offset = (vbl_dot(f->a, f->a, x->n * x->n) + vbl_dot(f->b, f->b, x->n * x->n)) / n2;
  f->scale = -2 / n2;
  return VBL_OK;
}

// |Ux'Yc|^2 = <Ux Ux', Yc Yc'>; |Ux'Uy|^2 = <Ux Ux', Uy Uy'>.
static vbl_status make_projection(vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, vbl_form *f, vbl_error *err) {
  VBL_TRY(outer(x->svd->u, x->n, x->svd->rank, x->svd->columns, &f->a, err));
  if (fn == vbl_linear_r2) {
    f->scale = 1 / y->total;
    return outer(y->centred, y->n, y->d, y->d, &f->b, err);
  }
  f->scale = 1 / (double)(x->svd->rank < y->svd->rank ? x->svd->rank : y->svd->rank);
  return outer(y->svd->u, y->n, y->svd->rank, y->svd->columns, &f->b, err);
}

vbl_status vbl_form_make(vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_form *f,
                         bool *made, vbl_error *err) {
  vbl_status status = VBL_OK;
  *f = (vbl_form){.n = x->n, .scale = 1};
  *made = false;
  if (x->n > MAX_BYTES / 16 / x->n) return VBL_OK;
  *made = true;
  if (fn == vbl_hsic || fn == vbl_cka || fn == vbl_dcor)
    status = make_kernels(fn, x, y, o, f, err);
  else if (fn == vbl_rsa && o->compare != VBL_COMPARE_KENDALL)
    status = make_rsa(x, y, o, f, err);
  else if (fn == vbl_gw_identity)
    status = make_gw(x, y, o, f, err);
  else if (fn == vbl_linear_r2 || (fn == vbl_cca && o->of == 1))
    status = make_projection(fn, x, y, f, err);
  else
    *made = false;
  if (status != VBL_OK) vbl_form_free(f);
  return status;
}

void vbl_form_free(vbl_form *f) {
  free(f->a);
  free(f->b);
  f->a = f->b = NULL;
}

double vbl_form_value(const vbl_form *f, const int32_t *order) {
  double diagonal = 0, upper = 0;
  for (int64_t i = 0; i < f->n; i++) {
    const double *a = f->a + i * f->n, *b = f->b + (int64_t)order[i] * f->n;
    double s0 = 0, s1 = 0;
    int64_t j = 0;
    for (; j + 2 <= i; j += 2) {
      s0 += a[j] * b[order[j]];
      s1 += a[j + 1] * b[order[j + 1]];
    }
    if (j < i) s0 += a[j] * b[order[j]];
    diagonal += a[i] * b[order[i]];
    upper += s0 + s1;
  }
  double value = f->offset + f->scale * (diagonal + 2 * upper);
  return f->root ? sqrt(fmax(0, value)) : value;
}
