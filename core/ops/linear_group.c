// linear_group: two or three linear layers on one input, their results side by side (query, key, value).
// defines: vbl_op_linear_group
#include <string.h>

#include "core/ops/product.h"

// Whether t[0..G) lie one behind the other in memory (contiguous, equal sizes), so that they are one matrix.
static bool neighbours(vbl_tensor *const *t, int64_t G) {
  for (int64_t g = 1; g < G; g++)
    if (t[g]->storage != t[0]->storage || t[g]->offset != t[0]->offset + g * vbl_tensor_numel(t[0])) return false;
  return true;
}

// The G biases in one row [G*M]; a missing one counts as zeros. NULL where none is given.
static vbl_status joined_bias(vbl_call *c, const vbl_real *r, int64_t G, int64_t M, vbl_tensor **bias, vbl_error *err) {
  vbl_tensor *b[3] = {0};
  bool all = true, any = false;
  for (int g = 0; g < G; g++) {
    const int i = (int)(1 + G) + g;
    if (i < c->inputs) VBL_TRY(vbl_in_real(c, r, i, &b[g], err));
    if (b[g] != NULL) VBL_TRY(vbl_expect(b[g], "bias", 1, &M, err));
    any |= b[g] != NULL;
    all &= b[g] != NULL;
  }
  *bias = b[0];
  if (!any || (all && neighbours(b, G))) return VBL_OK;
  const int64_t width = G * M;
  VBL_TRY(vbl_temp_real(c, r, 1, &width, bias, err));
  vbl_zero(r, *bias);
  for (int g = 0; g < G; g++)
    if (b[g] != NULL) r->be->scale_add(1, vbl_tensor_data(b[g]), 0, vbl_at(*bias, g * M), M, NULL);
  return VBL_OK;
}

static vbl_status weights(vbl_call *c, const vbl_real *r, int64_t G, vbl_tensor **w, vbl_error *err) {
  for (int g = 0; g < G; g++) {
    if (c->in[1 + g] == NULL) return vbl_fail(err, VBL_EINVAL, "expected a tensor as input %d, got none", g + 2);
    VBL_TRY(vbl_expect(c->in[1 + g], "weight", 2, g == 0 ? (int64_t[]){-1, -1} : w[0]->shape, err));
    VBL_TRY(vbl_in_real(c, r, 1 + g, &w[g], err));
    VBL_TRY(vbl_product_weight(c, r, 1 + g, w[g], err));
  }
  return VBL_OK;
}

// x [..,K], w1..wG [M,K], b1..bG? [M] -> y [..,G*M], of vbl_activations; n[0] = G. Formulas as linear's, per block of columns.
static vbl_status forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *w[3], *b;
  const void *bias;
  const int64_t G = c->attrs.n[0];
  int64_t ld, shape[VBL_MAX_DIMS];
  if (G < 2 || G > 3 || (c->inputs != 1 + G && c->inputs != 1 + 2 * G))
    return vbl_fail(err, VBL_EINVAL, "expected x, 2 or 3 weights and as many biases, got %d tensors for %d layers", c->inputs,
                    (int)G);
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(weights(c, &r, G, w, err));
  const int64_t M = w[0]->shape[0], K = w[0]->shape[1];
  VBL_TRY(vbl_expect_width(c->in[0], "x", K, err));
  bool keep = false;
  for (int g = 0; g < G; g++) keep |= c->needs_grad[1 + g];
  VBL_TRY(vbl_product_rows(c, &r, 0, keep, &x, &ld, err));
  VBL_TRY(joined_bias(c, &r, G, M, &b, err));
  memcpy(shape, x->shape, sizeof shape);
  shape[x->ndim - 1] = G * M;
  const vbl_dtype T = vbl_activations(c, &r);
  VBL_TRY(vbl_product_bias(c, &r, (int)(1 + G), b, G * M, T, &bias, err));
  VBL_TRY(vbl_tensor_new(r.memory, T, x->ndim, shape, &c->out[0], err));
  const int64_t N = vbl_row_count(x), width = G * M, blocks = neighbours(w, G) ? 1 : G, step = width / blocks;
  const bool after = blocks > 1 && T == r.T;  // of r's dtype a product adds a bias where its result has no gaps
  for (int64_t g = 0; g < blocks; g++)
    vbl_product(c, &r, N, step, K, vbl_matrix_at(x, 0, ld, false), vbl_weight_at(c, &r, w[g], true), false, T,
                vbl_at(c->out[0], g * M), width,
                bias == NULL || after ? NULL : (const char *)bias + g * step * (int64_t)vbl_dtype_size(T));
  if (after && bias != NULL) r.be->bias_add(vbl_tensor_data(c->out[0]), bias, N, width, NULL);
  VBL_TRY(vbl_save(c, 0, x, err));
  for (int g = 0; g < G; g++) VBL_TRY(vbl_save(c, 1 + g, w[g], err));
  return VBL_OK;
}

// Column sums of dy to the biases that want them.
static vbl_status bias_backward(vbl_call *c, const vbl_real *r, const vbl_tensor *dy, int64_t G, int64_t M, vbl_error *err) {
  bool wanted = false;
  for (int g = 0; g < G; g++) wanted |= c->needs_grad[1 + G + g];
  if (!wanted) return VBL_OK;
  const int64_t width = G * M;
  vbl_tensor *sum, *target;
  bool accumulate;
  VBL_TRY(vbl_temp_real(c, r, 1, &width, &sum, err));
  vbl_sum_rows(r, dy, vbl_tensor_data(sum), false);
  for (int g = 0; g < G; g++) {
    const int i = (int)(1 + G) + g;
    if (!c->needs_grad[i]) continue;
    VBL_TRY(vbl_grad_target(c, i, &target, &accumulate, err));
    r->be->scale_add(1, vbl_at(sum, g * M), accumulate ? 1 : 0, vbl_tensor_data(target), M, NULL);
  }
  return VBL_OK;
}

// dW: one product where the weights' gradients are neighbours too, all fresh or all sums.
static vbl_status weight_backward(vbl_call *c, const vbl_real *r, const vbl_tensor *dy, int64_t G, int64_t M, int64_t K,
                                  vbl_error *err) {
  const vbl_tensor *x = c->saved[0];
  vbl_tensor *target[3] = {0};
  bool accumulate[3] = {0}, wanted = true, same = true;
  for (int g = 0; g < G; g++) {
    if (c->needs_grad[1 + g]) VBL_TRY(vbl_grad_target(c, 1 + g, &target[g], &accumulate[g], err));
    wanted &= c->needs_grad[1 + g];
    same &= wanted && accumulate[g] == accumulate[0];
  }
  const bool one = wanted && same && neighbours(target, G);
  const int64_t N = vbl_row_count(dy);
  for (int g = 0; g < (one ? 1 : G); g++) {
    if (!c->needs_grad[1 + g]) continue;
    vbl_product(c, r, one ? G * M : M, K, N, vbl_matrix_at(dy, g * M, G * M, true), vbl_matrix_at(x, 0, vbl_row_stride(x), false),
                accumulate[g], r->T, vbl_tensor_data(target[g]), K, NULL);
  }
  return VBL_OK;
}

static vbl_status backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const int64_t G = c->attrs.n[0], M = c->saved[1]->shape[0], K = c->saved[1]->shape[1], N = vbl_row_count(grad[0]);
  vbl_tensor *dy;
  VBL_TRY(bias_backward(c, &r, grad[0], G, M, err));
  VBL_TRY(vbl_product_gradient(c, &r, grad[0], &dy, err));
  VBL_TRY(weight_backward(c, &r, dy, G, M, K, err));
  if (!c->needs_grad[0]) return VBL_OK;
  vbl_tensor *dx;
  bool accumulate;
  VBL_TRY(vbl_grad_target_narrow(c, 0, &dx, &accumulate, err));
  const int64_t blocks = neighbours(&c->saved[1], G) ? 1 : G, step = G * M / blocks;
  for (int64_t g = 0; g < blocks; g++)
    vbl_product(c, &r, N, K, step, vbl_matrix_at(dy, g * M, G * M, false), vbl_weight_at(c, &r, c->saved[1 + g], false),
                accumulate || g > 0, dx->dtype, vbl_tensor_data(dx), K, NULL);
  return VBL_OK;
}

const vbl_op vbl_op_linear_group = {"linear_group", 3, 7, 1, forward, backward};
