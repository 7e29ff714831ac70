// Elementwise functions of one tensor: y = f(x), dx = dy f'(x); and affine, y = alpha x + eps.
// defines: vbl_op_neg ... vbl_op_cos, vbl_op_affine
#include "core/ops/common.h"

static vbl_status forward(vbl_call *c, vbl_unary f, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *y;
  VBL_TRY(vbl_expect_real(c->in[0], err));
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(vbl_in_real(c, &r, 0, &x, err));
  VBL_TRY(vbl_out_real(c, &r, 0, x->ndim, x->shape, &y, err));
  r.be->unary(f, vbl_tensor_data(x), vbl_tensor_data(y), vbl_tensor_numel(x), NULL);
  VBL_TRY(vbl_save(c, 0, x, err));
  return vbl_save(c, 1, y, err);
}

static vbl_status backward(vbl_call *c, vbl_unary f, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  vbl_tensor *dx;
  VBL_TRY(vbl_grad_buffer(c, &r, 0, &dx, err));
  r.be->unary_backward(f, vbl_tensor_data(c->saved[0]), vbl_tensor_data(c->saved[1]), vbl_tensor_data(grad[0]), vbl_tensor_data(dx),
                       vbl_tensor_numel(dx), NULL);
  return vbl_grad_commit(c, &r, 0, dx, err);
}

#define UNARY(op, f)                                                                                                          \
  static vbl_status op##_forward(vbl_call *c, vbl_error *err) { return forward(c, f, err); }                                  \
  static vbl_status op##_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) { return backward(c, f, grad, err); } \
  const vbl_op vbl_op_##op = {#op, 1, 1, 1, op##_forward, op##_backward};

UNARY(neg, VBL_NEG)
UNARY(abs, VBL_ABS)
UNARY(exp, VBL_EXP)
UNARY(log, VBL_LOG)
UNARY(sqrt, VBL_SQRT)
UNARY(tanh, VBL_TANH)
UNARY(sigmoid, VBL_SIGMOID)
UNARY(relu, VBL_RELU)
UNARY(gelu, VBL_GELU)
UNARY(square, VBL_SQUARE)
UNARY(reciprocal, VBL_RECIPROCAL)
UNARY(sin, VBL_SIN)
UNARY(cos, VBL_COS)

static vbl_status affine_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *y;
  VBL_TRY(vbl_expect_real(c->in[0], err));
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(vbl_in_real(c, &r, 0, &x, err));
  VBL_TRY(vbl_ew_affine(c, &r, c->attrs.alpha, c->attrs.eps, x, &y, err));
  c->out[0] = vbl_tensor_retain(y);
  return VBL_OK;
}

static vbl_status affine_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  vbl_tensor *dx;
  bool accumulate;
  VBL_TRY(vbl_grad_target(c, 0, &dx, &accumulate, err));
  r.be->scale_add(c->attrs.alpha, vbl_tensor_data(grad[0]), accumulate ? 1 : 0, vbl_tensor_data(dx), vbl_tensor_numel(dx), NULL);
  return VBL_OK;
}

const vbl_op vbl_op_affine = {"affine", 1, 1, 1, affine_forward, affine_backward};
