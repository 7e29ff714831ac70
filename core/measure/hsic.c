// HSIC and CKA with the linear kernel, from three sums over the centred rows: S = |Xc'Yc|_F^2 = <K, L>, a_i = |xc_i|^2 and
// b_i = |yc_i|^2. Biased: HSIC0 = S / (n-1)^2. Debiased (Song et al., "Feature Selection via Dependence Maximization", JMLR 2012,
// eq. 5, here for centred rows): n (n-3) HSIC1 = S - n/(n-2) sum a_i b_i + (sum a)(sum b) / ((n-1)(n-2)).
// CKA is HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) (Kornblith et al., ICML 2019).
// defines: vbl_hsic, vbl_cka, vbl_linear_kernels, vbl_cka_minibatch
#include <math.h>

#include "core/measure/cross.h"
#include "core/measure/device.h"
#include "core/measure/grams.h"
#include "core/measure/kernel.h"
#include "core/measure/result.h"

// |Xc'Yc|_F^2 through the smaller of the two products: features (dx, dy) or Gram matrices (n, n).
static vbl_status cross(vbl_prepared *x, vbl_prepared *y, double *s, vbl_error *err) {
  vbl_prepared *both[] = {x, y};
  double products[4];
  if (x == y) {
    VBL_TRY(vbl_prepared_self(x, err));
    *s = x->self;
    return VBL_OK;
  }
  VBL_TRY(vbl_device_together(x, y, err));
  if (x->d < x->n && y->d < x->n) return vbl_prepared_cross(x, y, s, err);
  VBL_TRY(vbl_gram_products(both, 2, products, err));
  *s = products[1];
  return VBL_OK;
}

static double hsic1(const vbl_prepared *x, const vbl_prepared *y, double s) {
  double n = (double)x->n;
  return vbl_debiased_sum(x, y, s) / (n * (n - 3));
}

// The same for the debiased sum. Made in f32 that may be little of s: because the data are unrelated, or because x or y cancels, which
// their own products tell; then s is made again.
static vbl_status debiased_cross(vbl_prepared *x, vbl_prepared *y, double *s, vbl_error *err) {
  VBL_TRY(cross(x, y, s, err));
  if (!vbl_product_single(x, y) || VBL_KEPT * fabs(vbl_debiased_sum(x, y, *s)) >= *s) return VBL_OK;
  if (!vbl_even_rows(x)) VBL_TRY(vbl_prepared_self(x, err));
  if (!vbl_even_rows(y)) VBL_TRY(vbl_prepared_self(y, err));
  return vbl_product_single(x, y) ? VBL_OK : cross(x, y, s, err);
}

// product: |Xc'Yc|_F^2 where it is known, else NULL.
static vbl_status hsic(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, const double *product, vbl_measure_result *r,
                       vbl_error *err) {
  bool biased = o->estimator == 1;
  double s = product != NULL ? *product : 0;
  VBL_TRY(vbl_begin_compact("hsic", x, y, biased ? 2 : 4, r, err));
  r->preprocessing = "centred";
  r->metric = "linear";
  if (product == NULL) VBL_TRY(biased ? cross(x, y, &s, err) : debiased_cross(x, y, &s, err));
  double m = (double)(x->n - 1);
  if (biased) {
    r->chance = x->total * y->total / (m * m * m);
    r->chance_source = "exact mean over permutations: tr K tr L / (n-1)^3";
    return vbl_value(r, s / (m * m));
  }
  r->chance = 0;
  r->chance_source = "exact mean over permutations: 0";
  return vbl_value(r, hsic1(x, y, s));
}

vbl_status vbl_hsic(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  return hsic(x, y, o, NULL, r, err);
}

static vbl_status linear_cka(vbl_prepared *x, vbl_prepared *y, bool biased, const double *product, vbl_measure_result *r,
                             vbl_error *err) {
  if (x->total == 0 || y->total == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  double s = product != NULL ? *product : 0;
  if (product == NULL) VBL_TRY(biased ? cross(x, y, &s, err) : debiased_cross(x, y, &s, err));
  VBL_TRY(vbl_prepared_self(x, err));
  VBL_TRY(vbl_prepared_self(y, err));
  if (biased) {
    double scale = sqrt(x->self) * sqrt(y->self);
    r->chance = x->total / sqrt(x->self) * (y->total / sqrt(y->self)) / (double)(x->n - 1);
    r->chance_source = "exact mean over permutations: tr K tr L / ((n-1) |K| |L|)";
    if (x->d >= x->n || y->d >= y->n) r->warnings |= VBL_WARN_D_GE_N;
    return vbl_value(r, s / scale);
  }
  return vbl_debiased_ratio(hsic1(x, y, s), hsic1(x, x, x->self), hsic1(y, y, y->self), x->self, y->self, x->n, r);
}

static vbl_status cka(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, const double *product, vbl_measure_result *r,
                      vbl_error *err) {
  bool biased = o->estimator == 1;
  VBL_TRY(vbl_begin_compact("cka", x, y, biased ? (o->kernel == 0 ? 2 : 3) : 4, r, err));
  r->preprocessing = "centred";
  r->metric = o->kernel == 0 ? "linear" : "rbf";
  return o->kernel == 0 ? linear_cka(x, y, biased, product, r, err) : vbl_rbf_cka(x, y, o, r, err);
}

vbl_status vbl_cka(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  return cka(x, y, o, NULL, r, err);
}

vbl_status vbl_linear_kernels(vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, double product,
                              vbl_measure_result *r, vbl_error *err) {
  return fn == vbl_hsic ? hsic(x, y, o, &product, r, err) : cka(x, y, o, &product, r, err);
}

// Rows first .. first + rows of p, prepared by themselves.
static vbl_status batch_of(const vbl_prepared *p, int64_t first, int64_t rows, vbl_prepared **out, vbl_error *err) {
  return vbl_prepare(rows, p->d, p->raw + first * p->d, VBL_F64, p->d, 1, "batch", out, err);
}

static vbl_status add_batch(const vbl_prepared *x, const vbl_prepared *y, int64_t first, int64_t rows, double sums[3],
                            vbl_error *err) {
  vbl_prepared *bx = NULL, *by = NULL;
  double s = 0;
  vbl_status status = batch_of(x, first, rows, &bx, err);
  if (status == VBL_OK) status = batch_of(y, first, rows, &by, err);
  if (status == VBL_OK) status = cross(bx, by, &s, err);
  if (status == VBL_OK) status = vbl_prepared_self(bx, err);
  if (status == VBL_OK) status = vbl_prepared_self(by, err);
  if (status == VBL_OK) {
    sums[0] += hsic1(bx, by, s);
    sums[1] += hsic1(bx, bx, bx->self);
    sums[2] += hsic1(by, by, by->self);
  }
  vbl_prepared_free(bx);
  vbl_prepared_free(by);
  return status;
}

// Ratio of sums over batches of equal size (Nguyen et al., "Do Wide and Deep Networks Learn the Same Things?", ICLR 2021).
vbl_status vbl_cka_minibatch(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r,
                             vbl_error *err) {
  double sums[3] = {0};
  VBL_TRY(vbl_begin_pair("cka_minibatch", x, y, 4, r, err));
  if (o->batch < 4 || o->batch > x->n)
    return vbl_fail(err, VBL_EINVAL, "cka_minibatch: batch = %lld: expected 4 to n = %lld rows", (long long)o->batch,
                    (long long)x->n);
  r->preprocessing = "centred per batch";
  r->metric = "linear";
  int64_t whole = x->n / o->batch;
  r->skipped = x->n - whole * o->batch;
  if (r->skipped > 0) r->warnings |= VBL_WARN_LAST_BATCH_SMALL;
  vbl_extra(r, "batches", (double)whole);
  if (x->total == 0 || y->total == 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  for (int64_t b = 0; b < whole; b++) VBL_TRY(add_batch(x, y, b * o->batch, o->batch, sums, err));
  r->chance = 0;
  r->chance_source = "exact mean over permutations within batches: 0";
  if (sums[1] <= 0 || sums[2] <= 0) return vbl_undefined(r, VBL_MEASURE_ZERO_VARIANCE);
  return vbl_value(r, sums[0] / (sqrt(sums[1]) * sqrt(sums[2])));
}
