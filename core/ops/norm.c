// LayerNorm (Ba, Kiros, Hinton 2016), alone and fused with dropout and the residual sum before it; dropout with a sum.
// defines: vbl_op_layer_norm, vbl_op_residual_norm, vbl_op_dropout_add
#include "core/ops/common.h"

static vbl_status affine_inputs(vbl_call *c, const vbl_real *r, int first, int64_t D, vbl_tensor **gamma, vbl_tensor **beta,
                                vbl_error *err) {
  VBL_TRY(vbl_expect(c->in[first], "gamma", 1, &D, err));
  VBL_TRY(vbl_expect(c->in[first + 1], "beta", 1, &D, err));
  VBL_TRY(vbl_in_real(c, r, first, gamma, err));
  return vbl_in_real(c, r, first + 1, beta, err);
}

static vbl_status statistics(vbl_call *c, const vbl_real *r, int64_t N, vbl_tensor **mean, vbl_tensor **rstd, vbl_error *err) {
  VBL_TRY(vbl_temp_real(c, r, 1, &N, mean, err));
  return vbl_temp_real(c, r, 1, &N, rstd, err);
}

// Saved in both norms: slot 0 what was normalised, 1 mean, 2 rstd, 3 gamma.
static vbl_status save_norm(vbl_call *c, vbl_tensor *x, vbl_tensor *mean, vbl_tensor *rstd, vbl_tensor *gamma, vbl_error *err) {
  VBL_TRY(vbl_save(c, 0, x, err));
  VBL_TRY(vbl_save(c, 1, mean, err));
  VBL_TRY(vbl_save(c, 2, rstd, err));
  return vbl_save(c, 3, gamma, err);
}

// Writes dx, and gives gamma (input `first`) and beta their gradients. The kernel has one flag for both, so where just one of
// them holds a sum already the other starts from zeros.
static vbl_status norm_backward(vbl_call *c, const vbl_real *r, int first, const vbl_tensor *dy, const vbl_tensor *dsum,
                                vbl_tensor *dx, vbl_error *err) {
  const int64_t D = vbl_width(dy);
  const bool wanted = c->needs_grad[first] || c->needs_grad[first + 1];
  vbl_tensor *d[2] = {0};
  bool held[2] = {false, false};
  for (int k = 0; k < 2 && wanted; k++) {
    if (c->needs_grad[first + k])
      VBL_TRY(vbl_grad_target(c, first + k, &d[k], &held[k], err));
    else
      VBL_TRY(vbl_temp_real(c, r, 1, &D, &d[k], err));
  }
  const bool accumulate = held[0] || held[1];
  for (int k = 0; k < 2; k++)
    if (wanted && accumulate && !held[k]) vbl_zero(r, d[k]);
  r->be->layer_norm_backward(vbl_tensor_data(c->saved[0]), vbl_tensor_data(c->saved[1]), vbl_tensor_data(c->saved[2]),
                             vbl_tensor_data(c->saved[3]), vbl_tensor_data(dy), dsum == NULL ? NULL : vbl_tensor_data(dsum),
                             vbl_tensor_data(dx), wanted ? vbl_tensor_data(d[0]) : NULL, wanted ? vbl_tensor_data(d[1]) : NULL,
                             accumulate, vbl_row_count(dy), D, NULL);
  return VBL_OK;
}

// x [..,D], gamma [D], beta [D] -> y = (x - mean) rstd gamma + beta, by rows; eps.
static vbl_status layer_norm_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *gamma, *beta, *y, *mean, *rstd;
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(vbl_expect_width(c->in[0], "x", -1, err));
  VBL_TRY(vbl_in_real(c, &r, 0, &x, err));
  const int64_t N = vbl_row_count(x), D = vbl_width(x);
  VBL_TRY(affine_inputs(c, &r, 1, D, &gamma, &beta, err));
  VBL_TRY(statistics(c, &r, N, &mean, &rstd, err));
  VBL_TRY(vbl_out_real(c, &r, 0, x->ndim, x->shape, &y, err));
  r.be->layer_norm(vbl_tensor_data(x), vbl_tensor_data(gamma), vbl_tensor_data(beta), c->attrs.eps, vbl_tensor_data(y),
                   vbl_tensor_data(mean), vbl_tensor_data(rstd), N, D, NULL);
  return save_norm(c, x, mean, rstd, gamma, err);
}

static vbl_status layer_norm_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  vbl_tensor *dx;
  VBL_TRY(vbl_grad_buffer(c, &r, 0, &dx, err));
  VBL_TRY(norm_backward(c, &r, 1, grad[0], NULL, dx, err));
  return vbl_grad_commit(c, &r, 0, dx, err);
}

// x, residual [..,D], gamma, beta [D], rows? i32 [N,2] -> sum = residual + dropout(x), y = LayerNorm(sum); eps, p, rng, step.
static vbl_status residual_norm_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_dropout drop;
  vbl_tensor *x, *residual, *gamma, *beta, *rows, *sum, *y, *mean, *rstd;
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(vbl_expect_width(c->in[0], "x", -1, err));
  VBL_TRY(vbl_expect(c->in[1], "residual", c->in[0]->ndim, c->in[0]->shape, err));
  VBL_TRY(vbl_in_real(c, &r, 0, &x, err));
  VBL_TRY(vbl_in_real(c, &r, 1, &residual, err));
  const int64_t N = vbl_row_count(x), D = vbl_width(x);
  VBL_TRY(affine_inputs(c, &r, 2, D, &gamma, &beta, err));
  VBL_TRY(vbl_op_dropout(c, 4, "rows", N, 2, &rows, &drop, err));
  VBL_TRY(statistics(c, &r, N, &mean, &rstd, err));
  VBL_TRY(vbl_out_real(c, &r, 0, x->ndim, x->shape, &sum, err));
  VBL_TRY(vbl_out_real(c, &r, 1, x->ndim, x->shape, &y, err));
  r.be->residual_norm(vbl_tensor_data(x), vbl_tensor_data(residual), &drop, vbl_tensor_data(gamma), vbl_tensor_data(beta),
                      c->attrs.eps, vbl_tensor_data(sum), vbl_tensor_data(y), vbl_tensor_data(mean), vbl_tensor_data(rstd), N, D,
                      NULL);
  if (rows != NULL) VBL_TRY(vbl_save(c, 4, rows, err));
  return save_norm(c, sum, mean, rstd, gamma, err);
}

// The gradient of `sum` goes to residual as it is and to x through the dropout; without dropout both share one tensor.
static vbl_status give_sum(vbl_call *c, const vbl_real *r, vbl_tensor *dsum, const vbl_tensor *rows, vbl_error *err) {
  if (c->needs_grad[1]) VBL_TRY(vbl_grad_give(c, 1, dsum, err));
  if (!c->needs_grad[0]) return VBL_OK;
  if (c->attrs.p == 0) return vbl_grad_give(c, 0, dsum, err);
  const vbl_dropout drop = vbl_saved_dropout(c, rows);
  vbl_tensor *dx;
  VBL_TRY(vbl_grad_buffer(c, r, 0, &dx, err));
  r->be->dropout_add(vbl_tensor_data(dsum), NULL, &drop, vbl_tensor_data(dx), vbl_row_count(dx), vbl_width(dx), NULL);
  return vbl_grad_commit(c, r, 0, dx, err);
}

static vbl_status residual_norm_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  vbl_tensor *dsum = grad[0];
  const vbl_real r = vbl_real_of(grad[0] != NULL ? grad[0] : grad[1]);
  if (grad[1] != NULL) {
    VBL_TRY(vbl_temp_real(c, &r, grad[1]->ndim, grad[1]->shape, &dsum, err));
    VBL_TRY(norm_backward(c, &r, 2, grad[1], grad[0], dsum, err));
  }
  return give_sum(c, &r, dsum, c->saved[4], err);
}

// x [..,D], residual? [..,D], rows? i32 [N,2] -> y = dropout(x) + residual; p, rng, step.
static vbl_status dropout_add_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_dropout drop;
  vbl_tensor *x, *residual = NULL, *rows, *y;
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(vbl_expect_width(c->in[0], "x", -1, err));
  VBL_TRY(vbl_in_real(c, &r, 0, &x, err));
  if (c->inputs > 1 && c->in[1] != NULL) {
    VBL_TRY(vbl_expect(c->in[1], "residual", x->ndim, x->shape, err));
    VBL_TRY(vbl_in_real(c, &r, 1, &residual, err));
  }
  VBL_TRY(vbl_op_dropout(c, 2, "rows", vbl_row_count(x), 2, &rows, &drop, err));
  VBL_TRY(vbl_out_real(c, &r, 0, x->ndim, x->shape, &y, err));
  r.be->dropout_add(vbl_tensor_data(x), residual == NULL ? NULL : vbl_tensor_data(residual), &drop, vbl_tensor_data(y),
                    vbl_row_count(x), vbl_width(x), NULL);
  return rows == NULL ? VBL_OK : vbl_save(c, 0, rows, err);
}

static vbl_status dropout_add_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  return give_sum(c, &r, grad[0], c->saved[0], err);
}

const vbl_op vbl_op_layer_norm = {"layer_norm", 3, 3, 1, layer_norm_forward, layer_norm_backward};
const vbl_op vbl_op_residual_norm = {"residual_norm", 4, 5, 2, residual_norm_forward, residual_norm_backward};
const vbl_op vbl_op_dropout_add = {"dropout_add", 1, 3, 1, dropout_add_forward, dropout_add_backward};
