// InfoNCE (van den Oord, Li, Vinyals 2018, equation 4; both directions as in CLIP, Radford et al. 2021).
// defines: vbl_op_info_nce
#include <inttypes.h>

#include "core/ops/loss.h"
#include "core/ops/product.h"
#include "kernels/mixed.h"

// The scores of N queries against M keys are never all in memory: so many of them at a time, recomputed in backward. On a device more, since
// each time all keys are read, and fewer rows would not fill it.
enum { CHUNK = 1 << 22, DEVICE_CHUNK = 1 << 26 };

// q and k for products. Under bf16 on a device they are rounded once for all, q divided by the temperature, which its gradient then is at last.
typedef struct operands {
  const vbl_tensor *q, *k;
  bool rounded;
  double temperature;
} operands;

// One direction: row i of a [n,D] has row i of b [m,D], m >= n, as its positive and b's other rows as negatives.
typedef struct direction {
  const vbl_call *c;
  const vbl_tensor *a, *b, *label;  // label: i32 0, 1, ...
  bool rounded;
  int64_t n, m, D, chunk;
  double alpha;                // of the products: 1 / temperature, where an operand does not have it in it
  vbl_tensor *scores, *slope;  // [chunk, m]; slope: their gradient in bf16
} direction;

static vbl_status rounded(vbl_call *c, const vbl_real *r, double alpha, const vbl_tensor *x, const vbl_tensor **out,
                          vbl_error *err) {
  vbl_tensor *scaled = (vbl_tensor *)x, *narrow;
  if (alpha != 1) {
    VBL_TRY(vbl_temp_real(c, r, 2, x->shape, &scaled, err));
    r->be->scale_add(alpha, vbl_tensor_data(x), 0, vbl_tensor_data(scaled), vbl_tensor_numel(x), NULL);
  }
  VBL_TRY(vbl_tensor_to_dtype(scaled, VBL_BF16, &narrow, err));
  *out = narrow;
  return vbl_temp_keep(c, narrow, err);
}

static vbl_status operands_of(vbl_call *c, const vbl_real *r, const vbl_tensor *q, const vbl_tensor *k, operands *o,
                              vbl_error *err) {
  *o = (operands){q, k, vbl_products(c, r) == VBL_BF16 && !r->memory->host, c->attrs.v[0]};
  if (!o->rounded) return VBL_OK;
  VBL_TRY(rounded(c, r, 1 / o->temperature, q, &o->q, err));
  return rounded(c, r, 1, k, &o->k, err);
}

static vbl_status direction_of(vbl_call *c, const vbl_real *r, const operands *o, bool from_keys, int64_t n, bool backward,
                               direction *d, vbl_error *err) {
  vbl_tensor *label;
  *d = (direction){
      .c = c, .a = from_keys ? o->k : o->q, .b = from_keys ? o->q : o->k, .rounded = o->rounded, .n = n, .D = o->q->shape[1]};
  d->m = d->b->shape[0];
  d->alpha = o->rounded ? 1 : 1 / o->temperature;
  const int64_t most = r->memory->host ? CHUNK : DEVICE_CHUNK;
  d->chunk = d->m > 0 && most / d->m > 1 ? most / d->m : 1;
  if (d->chunk > n) d->chunk = n;
  VBL_TRY(vbl_temp_arange(c, r->memory, n, &label, err));
  d->label = label;
  const int64_t shape[] = {d->chunk, d->m};
  if (o->rounded && backward) VBL_TRY(vbl_temp_new(c, r->memory, VBL_BF16, 2, shape, &d->slope, err));
  return vbl_temp_real(c, r, 2, shape, &d->scores, err);
}

// C (+)= alpha op(A) op(B), of f32, or of bf16 where d is rounded.
static void product(const vbl_real *r, const direction *d, bool ta, bool tb, int64_t M, int64_t N, int64_t K, const void *A,
                    int64_t lda, const void *B, int64_t ldb, bool accumulate, void *C, int64_t ldc) {
  if (!d->rounded) {
    vbl_mm(r, ta, tb, M, N, K, d->alpha, A, lda, B, ldb, accumulate ? 1 : 0, C, ldc);
    return;
  }
  const vbl_matrix left = {A, lda, VBL_BF16, ta}, right = {B, ldb, VBL_BF16, tb};
  vbl_product(d->c, r, M, N, K, left, right, accumulate, r->T, C, ldc, NULL);
}

// scores = a[from .. from + rows] b' / temperature
static void scores(const vbl_real *r, const direction *d, int64_t from, int64_t rows) {
  product(r, d, false, true, rows, d->m, d->D, vbl_at(d->a, from * d->D), d->D, vbl_tensor_data(d->b), d->D, false,
          vbl_tensor_data(d->scores), d->m);
}

static void direction_forward(const vbl_real *r, const direction *d, vbl_tensor *loss, int64_t at, vbl_tensor *lse) {
  for (int64_t i = 0; i < d->n; i += d->chunk) {
    const int64_t rows = d->n - i < d->chunk ? d->n - i : d->chunk;
    scores(r, d, i, rows);
    r->be->cross_entropy(vbl_tensor_data(d->scores), vbl_at(d->label, i), -1, vbl_at(loss, at + i), vbl_at(lse, i), rows, d->m,
                         NULL);
  }
}

// The gradient of the scores of rows from .. from + rows, as the products take it.
static const void *slope_of(const vbl_real *r, const direction *d, int64_t from, int64_t rows, const vbl_tensor *lse,
                            const vbl_tensor *dloss, double scale) {
  void *s = vbl_tensor_data(d->scores), *to = d->rounded ? vbl_tensor_data(d->slope) : s;
  (d->rounded ? r->mixed->cross_entropy_backward : r->be->cross_entropy_backward)(s, vbl_at(d->label, from), -1, vbl_at(lse, from),
                                                                                  vbl_at(dloss, from), scale, to, rows, d->m, NULL);
  return to;
}

// da (+)= ds b / temperature, db (+)= ds' a / temperature, where ds is the gradient of the scores (rounded: without the temperature in b or a).
// add: both hold sums already; else both are written. db NULL: not wanted.
static void direction_backward(const vbl_real *r, const direction *d, const vbl_tensor *lse, const vbl_tensor *dloss, double scale,
                               vbl_tensor *da, vbl_tensor *db, bool add) {
  if (!add && db != NULL && d->n == 0) vbl_zero(r, db);
  for (int64_t i = 0; i < d->n; i += d->chunk) {
    const int64_t rows = d->n - i < d->chunk ? d->n - i : d->chunk;
    scores(r, d, i, rows);
    const void *ds = slope_of(r, d, i, rows, lse, dloss, scale);
    if (da != NULL)
      product(r, d, false, false, rows, d->D, d->m, ds, d->m, vbl_tensor_data(d->b), d->D, add, vbl_at(da, i * d->D), d->D);
    if (db != NULL)
      product(r, d, true, false, d->m, d->D, rows, ds, d->m, vbl_at(d->a, i * d->D), d->D, add || i > 0, vbl_tensor_data(db), d->D);
  }
}

// The temperature: the third input where given, else alpha; kept in v[0] for backward.
static vbl_status temperature(vbl_call *c, vbl_error *err) {
  c->attrs.v[0] = c->attrs.alpha;
  if (c->inputs > 2 && c->in[2] != NULL) {
    VBL_TRY(vbl_expect(c->in[2], "temperature", 0, NULL, err));
    c->attrs.v[0] = vbl_tensor_get(c->in[2], NULL);
    VBL_TRY(c->in[2]->storage->backend->sync(NULL, err));
  }
  if (c->attrs.v[0] > 0) return VBL_OK;
  return vbl_fail(err, VBL_EINVAL, "expected a temperature above 0, got %g", c->attrs.v[0]);
}

static vbl_status check(const vbl_call *c, vbl_error *err) {
  VBL_TRY(vbl_expect(c->in[0], "q", 2, (int64_t[]){-1, -1}, err));
  VBL_TRY(vbl_expect(c->in[1], "k", 2, (int64_t[]){-1, c->in[0]->shape[1]}, err));
  const int64_t N = c->in[0]->shape[0], M = c->in[1]->shape[0];
  if (M < N || (c->attrs.n[0] == 1 && M != N))
    return vbl_fail(err, VBL_EINVAL, "expected %s %" PRId64 " keys (key i is query i's positive), got %" PRId64,
                    c->attrs.n[0] == 1 ? "exactly" : "at least", N, M);
  return VBL_OK;
}

// q [N,D], k [M,D], M >= N, temperature? [] -> loss [] = mean over i of -log softmax(q k' / temperature)[i, i]; rows of k past N
// are negatives only. alpha = temperature where it is no input; n[0] = 1: symmetric (M = N), the mean of both directions;
// n[1] = divisor instead of N (0: N). N = 0: loss 0.
static vbl_status forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *q, *k, *loss, *lse[2];
  operands o;
  direction d;
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(check(c, err));
  VBL_TRY(temperature(c, err));
  VBL_TRY(vbl_in_real(c, &r, 0, &q, err));
  VBL_TRY(vbl_in_real(c, &r, 1, &k, err));
  const int64_t N = q->shape[0], ways = c->attrs.n[0] == 1 ? 2 : 1, rows = ways * N;
  c->attrs.alpha = (double)(ways * (c->attrs.n[1] > 0 ? c->attrs.n[1] : N));
  VBL_TRY(vbl_temp_real(c, &r, 1, &rows, &loss, err));
  VBL_TRY(operands_of(c, &r, q, k, &o, err));
  for (int way = 0; way < ways; way++) {
    VBL_TRY(vbl_temp_real(c, &r, 1, &N, &lse[way], err));
    VBL_TRY(direction_of(c, &r, &o, way == 1, N, false, &d, err));
    direction_forward(&r, &d, loss, way * N, lse[way]);
    VBL_TRY(vbl_save(c, 2 + way, lse[way], err));
  }
  VBL_TRY(vbl_save(c, 0, q, err));
  VBL_TRY(vbl_save(c, 1, k, err));
  return vbl_loss_sum(c, &r, loss, c->attrs.alpha, err);
}

// With s = q k' / t: dloss/dt = -<ds, s> / t = -<dq, q> / t, because dq = ds k / t.
static vbl_status temperature_backward(vbl_call *c, const vbl_real *r, const vbl_tensor *q, const vbl_tensor *dq, vbl_error *err) {
  vbl_tensor *product, *sum, *dt;
  bool accumulate;
  VBL_TRY(vbl_ew_binary(c, r, VBL_MUL, dq, q, 2, q->shape, &product, err));
  VBL_TRY(vbl_total(c, r, product, &sum, err));
  VBL_TRY(vbl_grad_target(c, 2, &dt, &accumulate, err));
  r->be->scale_add(-1 / c->attrs.v[0], vbl_tensor_data(sum), accumulate ? 1 : 0, vbl_tensor_data(dt), 1, NULL);
  return VBL_OK;
}

static vbl_status backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const vbl_tensor *q = c->saved[0], *k = c->saved[1];
  const int64_t N = q->shape[0], ways = c->attrs.n[0] == 1 ? 2 : 1;
  const double scale = c->attrs.alpha > 0 ? 1 / c->attrs.alpha : 0;
  vbl_tensor *rows, *dq = NULL, *dk = NULL;
  operands o;
  direction d;
  VBL_TRY(vbl_loss_rows(c, &r, grad[0], N, &rows, err));
  if (c->needs_grad[0] || c->needs_grad[2]) VBL_TRY(vbl_temp_real(c, &r, 2, q->shape, &dq, err));
  if (c->needs_grad[1]) VBL_TRY(vbl_temp_real(c, &r, 2, k->shape, &dk, err));
  VBL_TRY(operands_of(c, &r, q, k, &o, err));
  VBL_TRY(direction_of(c, &r, &o, false, N, true, &d, err));
  direction_backward(&r, &d, c->saved[2], rows, scale, dq, dk, false);
  if (ways == 2) {
    VBL_TRY(direction_of(c, &r, &o, true, N, true, &d, err));
    direction_backward(&r, &d, c->saved[3], rows, scale, dk, dq, true);
  }
  if (o.rounded && dq != NULL)
    r.be->scale_add(1 / o.temperature, vbl_tensor_data(dq), 0, vbl_tensor_data(dq), vbl_tensor_numel(dq), NULL);
  if (c->needs_grad[0]) VBL_TRY(vbl_grad_give(c, 0, dq, err));
  if (c->needs_grad[1]) VBL_TRY(vbl_grad_give(c, 1, dk, err));
  return c->needs_grad[2] ? temperature_backward(c, &r, q, dq, err) : VBL_OK;
}

const vbl_op vbl_op_info_nce = {"info_nce", 2, 3, 1, forward, backward};
