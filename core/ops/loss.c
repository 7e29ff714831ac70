// Losses over labels: cross-entropy and binary cross-entropy with logits.
// defines: vbl_op_cross_entropy, vbl_op_bce_with_logits, vbl_total, vbl_loss_rows, vbl_loss_sum
#include "core/ops/loss.h"

#include <inttypes.h>

vbl_status vbl_total(vbl_call *c, const vbl_real *r, const vbl_tensor *x, vbl_tensor **sum, vbl_error *err) {
  VBL_TRY(vbl_temp_real(c, r, 0, NULL, sum, err));
  const int64_t n = vbl_tensor_numel(x);
  if (n > 0)
    r->be->reduce(VBL_SUM, vbl_tensor_data(x), vbl_tensor_data(*sum), NULL, 1, n, 1, NULL);
  else
    vbl_zero(r, *sum);
  return VBL_OK;
}

vbl_status vbl_loss_sum(vbl_call *c, const vbl_real *r, const vbl_tensor *x, double divisor, vbl_error *err) {
  vbl_tensor *sum, *loss;
  VBL_TRY(vbl_total(c, r, x, &sum, err));
  VBL_TRY(vbl_out_real(c, r, 0, 0, NULL, &loss, err));
  r->be->scale_add(divisor > 0 ? 1 / divisor : 0, vbl_tensor_data(sum), 0, vbl_tensor_data(loss), 1, NULL);
  return VBL_OK;
}

vbl_status vbl_loss_rows(vbl_call *c, const vbl_real *r, const vbl_tensor *dloss, int64_t N, vbl_tensor **rows, vbl_error *err) {
  static const int64_t still = 0, step = 1;
  VBL_TRY(vbl_temp_real(c, r, 1, &N, rows, err));
  if (N > 0) r->memory->copy(r->T, vbl_tensor_data(dloss), &still, r->T, vbl_tensor_data(*rows), &step, 1, &N, NULL);
  return VBL_OK;
}

static vbl_status check_divisor(const vbl_call *c, vbl_error *err) {
  if (c->attrs.alpha == c->attrs.alpha) return VBL_OK;
  return vbl_fail(err, VBL_EINVAL, "divisor: expected a number, got nan; the loss would be 0 and train nothing");
}

// How many labels count; each must be in [0, V) or the ignored value.
static vbl_status count_labels(const vbl_tensor *labels, int64_t ignore, int64_t V, int64_t *count, vbl_error *err) {
  const int64_t N = labels->shape[0];
  *count = N;
  if (!labels->storage->backend->host)
    return vbl_fail(err, VBL_EINVAL, "labels on a device need a divisor: how many count is known on the host");
  const int32_t *label = vbl_tensor_data(labels);
  for (int64_t i = 0; i < N; i++) {
    if (label[i] == ignore)
      --*count;
    else if (label[i] < 0 || label[i] >= V)
      return vbl_fail(err, VBL_EINVAL, "label %d at row %" PRId64 " is outside [0, %" PRId64 ") and not the ignored %" PRId64,
                      label[i], i, V, ignore);
  }
  return VBL_OK;
}

// logits [N,V], labels i32 [N] -> loss [] = sum over rows that count of (log sum exp x - x[label]) / alpha; alpha = divisor
// (0: their number), n[0] = the ignored label. Nothing that counts: loss 0, no gradient.
static vbl_status ce_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *labels, *loss, *lse;
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(check_divisor(c, err));
  VBL_TRY(vbl_expect(c->in[0], "logits", 2, (int64_t[]){-1, -1}, err));
  const int64_t N = c->in[0]->shape[0], V = c->in[0]->shape[1];
  int64_t count = N;
  VBL_TRY(vbl_in_i32(c, 1, "labels", &labels, err));
  VBL_TRY(vbl_expect(labels, "labels", 1, &N, err));
  if (labels->storage->backend->host || c->attrs.alpha <= 0) VBL_TRY(count_labels(labels, c->attrs.n[0], V, &count, err));
  if (c->attrs.alpha <= 0) c->attrs.alpha = (double)count;
  VBL_TRY(vbl_in_real(c, &r, 0, &x, err));
  VBL_TRY(vbl_temp_real(c, &r, 1, &N, &loss, err));
  VBL_TRY(vbl_temp_real(c, &r, 1, &N, &lse, err));
  r.be->cross_entropy(vbl_tensor_data(x), vbl_tensor_data(labels), (int32_t)c->attrs.n[0], vbl_tensor_data(loss),
                      vbl_tensor_data(lse), N, V, NULL);
  VBL_TRY(vbl_loss_sum(c, &r, loss, c->attrs.alpha, err));
  VBL_TRY(vbl_save(c, 0, x, err));
  VBL_TRY(vbl_save(c, 1, labels, err));
  return vbl_save(c, 2, lse, err);
}

static vbl_status ce_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const vbl_tensor *x = c->saved[0];
  const int64_t N = x->shape[0], V = x->shape[1];
  vbl_tensor *rows, *dx;
  VBL_TRY(vbl_loss_rows(c, &r, grad[0], N, &rows, err));
  VBL_TRY(vbl_grad_buffer(c, &r, 0, &dx, err));
  r.be->cross_entropy_backward(vbl_tensor_data(x), vbl_tensor_data(c->saved[1]), (int32_t)c->attrs.n[0],
                               vbl_tensor_data(c->saved[2]), vbl_tensor_data(rows), c->attrs.alpha > 0 ? 1 / c->attrs.alpha : 0,
                               vbl_tensor_data(dx), N, V, NULL);
  return vbl_grad_commit(c, &r, 0, dx, err);
}

// l = max(x, 0) - x y + log(1 + exp(-|x|)): no exponential of a positive number.
static vbl_status bce_terms(vbl_call *c, const vbl_real *r, const vbl_tensor *x, const vbl_tensor *y, vbl_tensor **l,
                            vbl_error *err) {
  vbl_tensor *hinge, *xy, *e;
  VBL_TRY(vbl_ew_unary(c, r, VBL_RELU, x, &hinge, err));
  VBL_TRY(vbl_ew_binary(c, r, VBL_MUL, x, y, x->ndim, x->shape, &xy, err));
  VBL_TRY(vbl_ew_unary(c, r, VBL_ABS, x, &e, err));
  VBL_TRY(vbl_ew_unary(c, r, VBL_NEG, e, &e, err));
  VBL_TRY(vbl_ew_unary(c, r, VBL_EXP, e, &e, err));
  VBL_TRY(vbl_ew_affine(c, r, 1, 1, e, &e, err));
  VBL_TRY(vbl_ew_unary(c, r, VBL_LOG, e, &e, err));
  VBL_TRY(vbl_ew_binary(c, r, VBL_SUB, hinge, xy, x->ndim, x->shape, l, err));
  return vbl_ew_binary(c, r, VBL_ADD, *l, e, x->ndim, x->shape, l, err);
}

static vbl_status bce_weight(vbl_call *c, const vbl_real *r, const vbl_tensor *x, vbl_tensor **w, vbl_error *err) {
  *w = NULL;
  if (c->inputs < 3 || c->in[2] == NULL) return VBL_OK;
  VBL_TRY(vbl_in_strided(c, r, 2, w, err));
  bool fits = (*w)->ndim <= x->ndim;
  for (int i = 0; fits && i < (*w)->ndim; i++) {
    const int64_t n = (*w)->shape[i];
    fits = n == 1 || n == x->shape[x->ndim - (*w)->ndim + i];
  }
  if (fits) return VBL_OK;
  char a[VBL_SHAPE_TEXT], b[VBL_SHAPE_TEXT];
  return vbl_fail(err, VBL_EINVAL, "expected a weight that broadcasts to %s, got %s", vbl_shape_text(x->ndim, x->shape, a),
                  vbl_shape_text((*w)->ndim, (*w)->shape, b));
}

// logits x, targets y in [0, 1] of one shape, weight? that broadcasts to it -> loss [] = sum(w l) / alpha; alpha = divisor (0:
// number of elements). No element: loss 0.
static vbl_status bce_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *y, *w, *l;
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(check_divisor(c, err));
  VBL_TRY(vbl_expect_real(c->in[0], err));
  VBL_TRY(vbl_expect(c->in[1], "targets", c->in[0]->ndim, c->in[0]->shape, err));
  VBL_TRY(vbl_in_real(c, &r, 0, &x, err));
  VBL_TRY(vbl_in_real(c, &r, 1, &y, err));
  VBL_TRY(bce_weight(c, &r, x, &w, err));
  if (c->attrs.alpha <= 0) c->attrs.alpha = (double)vbl_tensor_numel(x);
  VBL_TRY(bce_terms(c, &r, x, y, &l, err));
  VBL_TRY(vbl_save(c, 0, x, err));
  VBL_TRY(vbl_save(c, 1, y, err));
  if (w != NULL) {
    VBL_TRY(vbl_save(c, 2, w, err));
    VBL_TRY(vbl_ew_binary(c, &r, VBL_MUL, l, w, x->ndim, x->shape, &l, err));
  }
  return vbl_loss_sum(c, &r, l, c->attrs.alpha, err);
}

// Gives input i the gradient d * w * dloss / divisor (w may be NULL).
static vbl_status bce_give(vbl_call *c, const vbl_real *r, int i, const vbl_tensor *d, const vbl_tensor *w, const vbl_tensor *dloss,
                           vbl_error *err) {
  vbl_tensor *g;
  VBL_TRY(vbl_ew_affine(c, r, c->attrs.alpha > 0 ? 1 / c->attrs.alpha : 0, 0, d, &g, err));
  VBL_TRY(vbl_ew_binary(c, r, VBL_MUL, g, dloss, g->ndim, g->shape, &g, err));
  if (w != NULL) VBL_TRY(vbl_ew_binary(c, r, VBL_MUL, g, w, g->ndim, g->shape, &g, err));
  return vbl_grad_broadcast(c, r, i, g, err);
}

// dl/dx = sigmoid(x) - y;  dl/dy = -x;  d(w l)/dw = l
static vbl_status bce_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const vbl_tensor *x = c->saved[0], *y = c->saved[1], *w = c->saved[2];
  vbl_tensor *d;
  if (c->needs_grad[0]) {
    VBL_TRY(vbl_ew_unary(c, &r, VBL_SIGMOID, x, &d, err));
    VBL_TRY(vbl_ew_binary(c, &r, VBL_SUB, d, y, x->ndim, x->shape, &d, err));
    VBL_TRY(bce_give(c, &r, 0, d, w, grad[0], err));
  }
  if (c->needs_grad[1]) {
    VBL_TRY(vbl_ew_unary(c, &r, VBL_NEG, x, &d, err));
    VBL_TRY(bce_give(c, &r, 1, d, w, grad[0], err));
  }
  if (!c->needs_grad[2]) return VBL_OK;
  VBL_TRY(bce_terms(c, &r, x, y, &d, err));
  return bce_give(c, &r, 2, d, NULL, grad[0], err);
}

const vbl_op vbl_op_cross_entropy = {"cross_entropy", 2, 2, 1, ce_forward, ce_backward};
const vbl_op vbl_op_bce_with_logits = {"bce_with_logits", 2, 3, 1, bce_forward, bce_backward};
