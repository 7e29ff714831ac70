// LayerNorm (Ba, Kiros, Hinton 2016), alone and fused with dropout and the residual sum before it; dropout with a sum.
// The residual stream (x of layer_norm, residual and sum) is of the op's dtype. n[0] = 1: y is read by products alone, and of
// vbl_activations. x of residual_norm and dropout_add may be bf16, as products leave it, where a backend has kernels for that (vbl_in_mixed).
// defines: vbl_op_layer_norm, vbl_op_residual_norm, vbl_op_dropout_add
#include "core/ops/product.h"
#include "kernels/mixed.h"

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

static vbl_dtype result_dtype(const vbl_call *c, const vbl_real *r) { return c->attrs.n[0] == 1 ? vbl_activations(c, r) : r->T; }

static void *data_of(const vbl_tensor *t) { return t == NULL ? NULL : vbl_tensor_data(t); }

// What a norm's backward writes: dx, and for the side that dropout was applied to before the sum, branch in bf16 (NULL: there is none).
typedef struct outcome {
  const vbl_tensor *dsum;
  vbl_tensor *dx, *branch;
  vbl_dropout drop;
} outcome;

static void backward_kernel(const vbl_call *c, const vbl_real *r, const vbl_tensor *dy, const outcome *o, vbl_tensor *const *d,
                            bool accumulate) {
  vbl_tensor *const *s = c->saved;
  const int64_t N = vbl_row_count(dy), D = vbl_width(dy);
  if (r->mixed != NULL)
    r->mixed->layer_norm_backward(data_of(s[0]), data_of(s[1]), data_of(s[2]), data_of(s[3]), dy->dtype, data_of(dy),
                                  data_of(o->dsum), data_of(o->dx), &o->drop, data_of(o->branch), data_of(d[0]), data_of(d[1]),
                                  accumulate, N, D, NULL);
  else
    r->be->layer_norm_backward(data_of(s[0]), data_of(s[1]), data_of(s[2]), data_of(s[3]), data_of(dy), data_of(o->dsum),
                               data_of(o->dx), data_of(d[0]), data_of(d[1]), accumulate, N, D, NULL);
}

// Writes what `o` names, and gives gamma (input `first`) and beta their gradients. The kernel has one flag for both, so where just one of
// them holds a sum already the other starts from zeros.
static vbl_status norm_backward(vbl_call *c, const vbl_real *r, int first, const vbl_tensor *dy, const outcome *o, vbl_error *err) {
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
  backward_kernel(c, r, dy, o, d, accumulate);
  return VBL_OK;
}

// x [..,D], gamma [D], beta [D] -> y = (x - mean) rstd gamma + beta, by rows; eps, n[0].
static vbl_status layer_norm_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *gamma, *beta, *y, *mean, *rstd;
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(vbl_expect_width(c->in[0], "x", -1, err));
  VBL_TRY(vbl_in_real(c, &r, 0, &x, err));
  const int64_t N = vbl_row_count(x), D = vbl_width(x);
  VBL_TRY(affine_inputs(c, &r, 1, D, &gamma, &beta, err));
  VBL_TRY(statistics(c, &r, N, &mean, &rstd, err));
  VBL_TRY(vbl_tensor_new(r.memory, result_dtype(c, &r), x->ndim, x->shape, &c->out[0], err));
  y = c->out[0];
  (y->dtype == VBL_BF16 ? r.mixed->layer_norm : r.be->layer_norm)(vbl_tensor_data(x), vbl_tensor_data(gamma), vbl_tensor_data(beta),
                                                                  c->attrs.eps, vbl_tensor_data(y), vbl_tensor_data(mean),
                                                                  vbl_tensor_data(rstd), N, D, NULL);
  return save_norm(c, x, mean, rstd, gamma, err);
}

// A device adds to what x's gradient holds already as it writes it. The CPU adds in a step of its own.
static vbl_status layer_norm_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  outcome o = {0};
  bool held = false;
  if (r.mixed == NULL || !c->needs_grad[0]) {
    VBL_TRY(vbl_grad_buffer(c, &r, 0, &o.dx, err));
    VBL_TRY(norm_backward(c, &r, 1, grad[0], &o, err));
    return vbl_grad_commit(c, &r, 0, o.dx, err);
  }
  VBL_TRY(vbl_grad_target(c, 0, &o.dx, &held, err));
  o.dsum = held ? o.dx : NULL;
  return norm_backward(c, &r, 1, grad[0], &o, err);
}

// x, residual [..,D], gamma, beta [D], rows? i32 [N,2] -> sum = residual + dropout(x), y = LayerNorm(sum); eps, n[0], p, rng, step.
static vbl_status residual_norm_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_dropout drop;
  vbl_tensor *x, *residual, *gamma, *beta, *rows, *sum, *y, *mean, *rstd;
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(vbl_expect_width(c->in[0], "x", -1, err));
  VBL_TRY(vbl_expect(c->in[1], "residual", c->in[0]->ndim, c->in[0]->shape, err));
  VBL_TRY(vbl_in_mixed(c, &r, 0, &x, err));
  VBL_TRY(vbl_in_real(c, &r, 1, &residual, err));
  const int64_t N = vbl_row_count(x), D = vbl_width(x);
  VBL_TRY(affine_inputs(c, &r, 2, D, &gamma, &beta, err));
  VBL_TRY(vbl_op_dropout(c, 4, "rows", N, 2, &rows, &drop, err));
  VBL_TRY(statistics(c, &r, N, &mean, &rstd, err));
  VBL_TRY(vbl_out_real(c, &r, 0, x->ndim, x->shape, &sum, err));
  VBL_TRY(vbl_tensor_new(r.memory, result_dtype(c, &r), x->ndim, x->shape, &c->out[1], err));
  y = c->out[1];
  if (r.mixed != NULL)
    r.mixed->residual_norm(x->dtype, data_of(x), data_of(residual), &drop, data_of(gamma), data_of(beta), c->attrs.eps,
                           data_of(sum), y->dtype, data_of(y), data_of(mean), data_of(rstd), N, D, NULL);
  else
    r.be->residual_norm(data_of(x), data_of(residual), &drop, data_of(gamma), data_of(beta), c->attrs.eps, data_of(sum), data_of(y),
                        data_of(mean), data_of(rstd), N, D, NULL);
  if (rows != NULL) VBL_TRY(vbl_save(c, 4, rows, err));
  return save_norm(c, sum, mean, rstd, gamma, err);
}

// dx = dropout(dsum), in bf16 where x is.
static vbl_status drop_gradient(vbl_call *c, const vbl_real *r, vbl_tensor *dsum, const vbl_tensor *rows, vbl_error *err) {
  const vbl_dropout drop = vbl_saved_dropout(c, rows);
  const int64_t N = vbl_row_count(dsum), D = vbl_width(dsum);
  vbl_tensor *dx;
  if (vbl_grad_narrow(c, 0)) {
    VBL_TRY(vbl_temp_new(c, r->memory, VBL_BF16, dsum->ndim, dsum->shape, &dx, err));
    r->mixed->dropout_add(VBL_F32, data_of(dsum), NULL, &drop, VBL_BF16, data_of(dx), N, D, NULL);
    return vbl_grad_give(c, 0, dx, err);
  }
  VBL_TRY(vbl_grad_buffer(c, r, 0, &dx, err));
  r->be->dropout_add(data_of(dsum), NULL, &drop, data_of(dx), N, D, NULL);
  return vbl_grad_commit(c, r, 0, dx, err);
}

// The gradient of `sum` goes to residual as it is and to x through the dropout; without dropout both share one tensor, if x is of its type.
static vbl_status give_sum(vbl_call *c, const vbl_real *r, vbl_tensor *dsum, const vbl_tensor *rows, vbl_error *err) {
  if (c->needs_grad[1]) VBL_TRY(vbl_grad_give(c, 1, dsum, err));
  if (!c->needs_grad[0]) return VBL_OK;
  if (c->attrs.p == 0 && !vbl_grad_narrow(c, 0)) return vbl_grad_give(c, 0, dsum, err);
  return drop_gradient(c, r, dsum, rows, err);
}

// Where x is bf16 the kernel that makes the gradient of `sum` writes that of x beside it.
static vbl_status residual_norm_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0] != NULL ? grad[0] : grad[1]);
  const vbl_tensor *dy = grad[1];
  outcome o = {.dsum = grad[0], .drop = vbl_saved_dropout(c, c->saved[4])};
  if (dy == NULL) return give_sum(c, &r, grad[0], c->saved[4], err);
  VBL_TRY(vbl_temp_real(c, &r, dy->ndim, dy->shape, &o.dx, err));
  if (c->needs_grad[0] && vbl_grad_narrow(c, 0)) VBL_TRY(vbl_temp_new(c, r.memory, VBL_BF16, dy->ndim, dy->shape, &o.branch, err));
  VBL_TRY(norm_backward(c, &r, 2, dy, &o, err));
  if (o.branch == NULL) return give_sum(c, &r, o.dx, c->saved[4], err);
  if (c->needs_grad[1]) VBL_TRY(vbl_grad_give(c, 1, o.dx, err));
  return vbl_grad_give(c, 0, o.branch, err);
}

// x [..,D], residual? [..,D], rows? i32 [N,2] -> y = dropout(x) + residual, of the op's dtype; p, rng, step.
static vbl_status dropout_add_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_dropout drop;
  vbl_tensor *x, *residual = NULL, *rows, *y;
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(vbl_expect_width(c->in[0], "x", -1, err));
  VBL_TRY(vbl_in_mixed(c, &r, 0, &x, err));
  if (c->inputs > 1 && c->in[1] != NULL) {
    VBL_TRY(vbl_expect(c->in[1], "residual", x->ndim, x->shape, err));
    VBL_TRY(vbl_in_real(c, &r, 1, &residual, err));
  }
  VBL_TRY(vbl_op_dropout(c, 2, "rows", vbl_row_count(x), 2, &rows, &drop, err));
  VBL_TRY(vbl_out_real(c, &r, 0, x->ndim, x->shape, &y, err));
  if (r.mixed != NULL)
    r.mixed->dropout_add(x->dtype, data_of(x), data_of(residual), &drop, r.T, data_of(y), vbl_row_count(x), vbl_width(x), NULL);
  else
    r.be->dropout_add(data_of(x), data_of(residual), &drop, data_of(y), vbl_row_count(x), vbl_width(x), NULL);
  return rows == NULL ? VBL_OK : vbl_save(c, 0, rows, err);
}

static vbl_status dropout_add_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  return give_sum(c, &r, grad[0], c->saved[0], err);
}

const vbl_op vbl_op_layer_norm = {"layer_norm", 3, 3, 1, layer_norm_forward, layer_norm_backward};
const vbl_op vbl_op_residual_norm = {"residual_norm", 4, 5, 2, residual_norm_forward, residual_norm_backward};
const vbl_op vbl_op_dropout_add = {"dropout_add", 1, 3, 1, dropout_add_forward, dropout_add_backward};
