// Elementwise functions of two tensors, broadcast against each other (dims align at the end, size 1 repeats).
// Reals give reals (comparisons 1 or 0); two integer tensors give i32. Comparisons are not differentiable.
// defines: vbl_op_add ... vbl_op_pow, vbl_op_eq ... vbl_op_ge
#include "core/ops/common.h"
#include "core/tape/node.h"

static vbl_status broadcast_shape(const vbl_tensor *a, const vbl_tensor *b, int *ndim, int64_t *shape, vbl_error *err) {
  *ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
  for (int i = 0; i < *ndim; i++) {
    const int ia = i - (*ndim - a->ndim), ib = i - (*ndim - b->ndim);
    const int64_t na = ia < 0 ? 1 : a->shape[ia], nb = ib < 0 ? 1 : b->shape[ib];
    if (na != nb && na != 1 && nb != 1) {
      char ta[VBL_SHAPE_TEXT], tb[VBL_SHAPE_TEXT];
      return vbl_fail(err, VBL_EINVAL, "expected shapes that broadcast, got %s and %s", vbl_shape_text(a->ndim, a->shape, ta),
                      vbl_shape_text(b->ndim, b->shape, tb));
    }
    shape[i] = na == 1 ? nb : na;
  }
  return VBL_OK;
}

static vbl_status forward(vbl_call *c, vbl_binary f, vbl_error *err) {
  vbl_real r;
  vbl_tensor *a, *b, *y;
  int ndim;
  int64_t shape[VBL_MAX_DIMS];
  VBL_TRY(vbl_op_real(c, &r, err));
  if (!vbl_is_real(c->in[0]->dtype) && !vbl_is_real(c->in[1]->dtype)) r.T = VBL_I32;
  VBL_TRY(broadcast_shape(c->in[0], c->in[1], &ndim, shape, err));
  VBL_TRY(vbl_in_strided(c, &r, 0, &a, err));
  VBL_TRY(vbl_in_strided(c, &r, 1, &b, err));
  VBL_TRY(vbl_ew_binary(c, &r, f, a, b, ndim, shape, &y, err));
  c->out[0] = vbl_tensor_retain(y);
  if (f == VBL_ADD || f == VBL_SUB) return VBL_OK;
  VBL_TRY(vbl_save(c, 0, a, err));
  VBL_TRY(vbl_save(c, 1, b, err));
  return f == VBL_DIV || f == VBL_POW ? vbl_save(c, 2, y, err) : VBL_OK;
}

// y = dy f(a, b), in the shape of dy.
static vbl_status times(vbl_call *c, const vbl_real *r, vbl_binary f, const vbl_tensor *dy, const vbl_tensor *a,
                        const vbl_tensor *b, vbl_tensor **y, vbl_error *err) {
  VBL_TRY(vbl_ew_binary(c, r, f, a, b, dy->ndim, dy->shape, y, err));
  return vbl_ew_binary(c, r, VBL_MUL, dy, *y, dy->ndim, dy->shape, y, err);
}

static vbl_status add_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  if (c->needs_grad[0]) VBL_TRY(vbl_grad_broadcast(c, &r, 0, grad[0], err));
  return c->needs_grad[1] ? vbl_grad_broadcast(c, &r, 1, grad[0], err) : VBL_OK;
}

static vbl_status sub_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  vbl_tensor *db;
  if (c->needs_grad[0]) VBL_TRY(vbl_grad_broadcast(c, &r, 0, grad[0], err));
  if (!c->needs_grad[1]) return VBL_OK;
  VBL_TRY(vbl_ew_unary(c, &r, VBL_NEG, grad[0], &db, err));
  return vbl_grad_broadcast(c, &r, 1, db, err);
}

// da = dy b;  db = dy a
static vbl_status mul_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  for (int i = 0; i < 2; i++) {
    vbl_tensor *d;
    if (!c->needs_grad[i]) continue;
    VBL_TRY(vbl_ew_binary(c, &r, VBL_MUL, grad[0], c->saved[1 - i], grad[0]->ndim, grad[0]->shape, &d, err));
    VBL_TRY(vbl_grad_broadcast(c, &r, i, d, err));
  }
  return VBL_OK;
}

// da = dy / b;  db = -dy y / b
static vbl_status div_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  vbl_tensor *da, *db, *b = c->saved[1], *y = c->saved[2];
  VBL_TRY(vbl_ew_binary(c, &r, VBL_DIV, grad[0], b, grad[0]->ndim, grad[0]->shape, &da, err));
  if (c->needs_grad[0]) VBL_TRY(vbl_grad_broadcast(c, &r, 0, da, err));
  if (!c->needs_grad[1]) return VBL_OK;
  VBL_TRY(vbl_ew_binary(c, &r, VBL_MUL, da, y, y->ndim, y->shape, &db, err));
  VBL_TRY(vbl_ew_unary(c, &r, VBL_NEG, db, &db, err));
  return vbl_grad_broadcast(c, &r, 1, db, err);
}

// The winner takes the gradient, a tie halves it: (1[a >= b] + 1[a > b]) / 2, as PyTorch.
static vbl_status extreme_backward(vbl_call *c, vbl_binary strict, vbl_binary loose, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const vbl_tensor *dy = grad[0];
  for (int i = 0; i < 2; i++) {
    vbl_tensor *wins, *ties, *d;
    if (!c->needs_grad[i]) continue;
    VBL_TRY(vbl_ew_binary(c, &r, strict, c->saved[i], c->saved[1 - i], dy->ndim, dy->shape, &wins, err));
    VBL_TRY(vbl_ew_binary(c, &r, loose, c->saved[i], c->saved[1 - i], dy->ndim, dy->shape, &ties, err));
    VBL_TRY(times(c, &r, VBL_ADD, dy, wins, ties, &d, err));
    VBL_TRY(vbl_ew_affine(c, &r, 0.5, 0, d, &d, err));
    VBL_TRY(vbl_grad_broadcast(c, &r, i, d, err));
  }
  return VBL_OK;
}

static vbl_status maximum_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  return extreme_backward(c, VBL_GT, VBL_GE, grad, err);
}

static vbl_status minimum_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  return extreme_backward(c, VBL_LT, VBL_LE, grad, err);
}

// y = a^b: da = dy b a^(b-1), 0 where b = 0;  db = dy y log(a), 0 where a = 0 and b >= 0, NaN where a < 0: as PyTorch.
// Either product would be 0 inf there. So 1 is taken from b only where b is not 0, and log(a + 1) is taken in place of log(0).
static vbl_status pow_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const vbl_tensor *dy = grad[0], *a = c->saved[0], *b = c->saved[1], *y = c->saved[2];
  vbl_tensor *zero, *d, *less, *from_0;
  VBL_TRY(vbl_temp_real(c, &r, 0, NULL, &zero, err));
  vbl_zero(&r, zero);
  if (c->needs_grad[0]) {
    VBL_TRY(vbl_ew_binary(c, &r, VBL_NE, b, zero, b->ndim, b->shape, &less, err));
    VBL_TRY(vbl_ew_binary(c, &r, VBL_SUB, b, less, b->ndim, b->shape, &less, err));
    VBL_TRY(times(c, &r, VBL_POW, dy, a, less, &d, err));
    VBL_TRY(vbl_ew_binary(c, &r, VBL_MUL, d, b, dy->ndim, dy->shape, &d, err));
    VBL_TRY(vbl_grad_broadcast(c, &r, 0, d, err));
  }
  if (!c->needs_grad[1]) return VBL_OK;
  VBL_TRY(vbl_ew_binary(c, &r, VBL_EQ, a, zero, a->ndim, a->shape, &d, err));
  VBL_TRY(vbl_ew_binary(c, &r, VBL_GE, b, zero, b->ndim, b->shape, &from_0, err));
  VBL_TRY(vbl_ew_binary(c, &r, VBL_MUL, d, from_0, dy->ndim, dy->shape, &d, err));
  VBL_TRY(vbl_ew_binary(c, &r, VBL_ADD, a, d, dy->ndim, dy->shape, &d, err));
  VBL_TRY(vbl_ew_unary(c, &r, VBL_LOG, d, &d, err));
  VBL_TRY(times(c, &r, VBL_MUL, dy, y, d, &d, err));
  return vbl_grad_broadcast(c, &r, 1, d, err);
}

#define BINARY(op, f, backward)                                                              \
  static vbl_status op##_forward(vbl_call *c, vbl_error *err) { return forward(c, f, err); } \
  const vbl_op vbl_op_##op = {#op, 2, 2, 1, op##_forward, backward};

BINARY(add, VBL_ADD, add_backward)
BINARY(sub, VBL_SUB, sub_backward)
BINARY(mul, VBL_MUL, mul_backward)
BINARY(div, VBL_DIV, div_backward)
BINARY(maximum, VBL_MAXIMUM, maximum_backward)
BINARY(minimum, VBL_MINIMUM, minimum_backward)
BINARY(pow, VBL_POW, pow_backward)
BINARY(eq, VBL_EQ, NULL)
BINARY(ne, VBL_NE, NULL)
BINARY(lt, VBL_LT, NULL)
BINARY(le, VBL_LE, NULL)
BINARY(gt, VBL_GT, NULL)
BINARY(ge, VBL_GE, NULL)
