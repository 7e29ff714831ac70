// linear: y = x W' + b, with GELU (Hendrycks, Gimpel 2016; erf form) after it on request.
// defines: vbl_op_linear
#include <string.h>

#include "core/ops/product.h"
#include "core/tensor/branch.h"
#include "kernels/mixed.h"

// x [..,K], w [M,K], b? [M] -> y [..,M], of vbl_activations. n[0] = 1: GELU; y is then bf16 where products are. n[1] = 1: y is of the op's
// dtype also where activations are bf16, for what is no operand of products next (losses). With h = x W' + b and dh = dy gelu'(h):
//   dx = dh W;  dW = dh' x;  db = column sums of dh.
static vbl_status forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *w, *b = NULL, *h;
  const void *bias;
  int64_t ld, shape[VBL_MAX_DIMS];
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(vbl_expect(c->in[1], "weight", 2, (int64_t[]){-1, -1}, err));
  const int64_t M = c->in[1]->shape[0], K = c->in[1]->shape[1];
  VBL_TRY(vbl_expect_width(c->in[0], "x", K, err));
  VBL_TRY(vbl_product_rows(c, &r, 0, c->needs_grad[1], &x, &ld, err));
  VBL_TRY(vbl_in_real(c, &r, 1, &w, err));
  VBL_TRY(vbl_product_weight(c, &r, 1, w, err));
  if (c->inputs > 2) VBL_TRY(vbl_in_real(c, &r, 2, &b, err));
  if (b != NULL) VBL_TRY(vbl_expect(b, "bias", 1, &M, err));
  memcpy(shape, x->shape, sizeof shape);
  shape[x->ndim - 1] = M;
  const int64_t N = vbl_row_count(x);
  const vbl_matrix X = vbl_matrix_at(x, 0, ld, false), W = vbl_weight_at(c, &r, w, true);
  const bool gelu = c->attrs.n[0] == 1;
  const vbl_dtype T = c->attrs.n[1] == 1 && !gelu ? r.T : vbl_activations(c, &r);
  VBL_TRY(vbl_product_bias(c, &r, 2, b, M, T, &bias, err));
  VBL_TRY(vbl_tensor_new(r.memory, gelu ? vbl_products(c, &r) : T, x->ndim, shape, &c->out[0], err));
  if (gelu) {
    VBL_TRY(vbl_temp_new(c, r.memory, T, x->ndim, shape, &h, err));
    vbl_product_gelu(c, &r, N, M, K, X, W, vbl_tensor_data(h), bias, vbl_tensor_data(c->out[0]));
    VBL_TRY(vbl_save(c, 2, h, err));
  } else {
    vbl_product(c, &r, N, M, K, X, W, false, T, vbl_tensor_data(c->out[0]), M, bias);
  }
  if (c->needs_grad[1]) VBL_TRY(vbl_save(c, 0, x, err));
  if (c->needs_grad[0]) VBL_TRY(vbl_save(c, 1, w, err));
  return VBL_OK;
}

// Through GELU, in the type of h: dy becomes dh, in its own memory where nobody else holds it, and db is summed.
static vbl_status through_gelu(vbl_call *c, const vbl_real *r, vbl_tensor *dy, void *db, bool accumulate, vbl_tensor **dh,
                               vbl_error *err) {
  const vbl_tensor *h = c->saved[2];
  const int64_t N = vbl_row_count(dy), M = vbl_width(dy);
  *dh = dy;
  if (dy->refs > 1 || dy->storage->refs > 1) {
    VBL_TRY(vbl_temp_new(c, r->memory, dy->dtype, dy->ndim, dy->shape, dh, err));
  } else {  // who held it before may be reading it in the other branch
    vbl_branch_await(&dy->storage->marks, true);
    vbl_branch_note(&dy->storage->marks, true);
  }
  void *to = vbl_tensor_data(*dh);
  if (h->dtype == VBL_BF16)
    r->mixed->gelu_backward(vbl_tensor_data(h), vbl_tensor_data(dy), to, db, accumulate, N, M, NULL);
  else
    r->be->gelu_backward_bias(vbl_tensor_data(h), vbl_tensor_data(dy), to, db, accumulate, N, M, NULL);
  return VBL_OK;
}

// db, and dh where GELU is there (else dh is dy), as products want it.
static vbl_status through_epilogue(vbl_call *c, const vbl_real *r, vbl_tensor *dy, vbl_tensor **dh, vbl_error *err) {
  vbl_tensor *db = NULL;
  bool accumulate = false;
  if (c->needs_grad[2]) VBL_TRY(vbl_grad_target(c, 2, &db, &accumulate, err));
  void *sum = db == NULL ? NULL : vbl_tensor_data(db);
  if (c->saved[2] != NULL) return through_gelu(c, r, dy, sum, accumulate, dh, err);
  if (sum != NULL) vbl_sum_rows(r, dy, sum, accumulate);
  return vbl_product_gradient(c, r, dy, dh, err);
}

static vbl_status backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const vbl_tensor *x = c->saved[0], *w = c->saved[1];
  const int64_t N = vbl_row_count(grad[0]), M = vbl_width(grad[0]);
  vbl_tensor *dh, *target;
  bool accumulate;
  VBL_TRY(through_epilogue(c, &r, grad[0], &dh, err));
  if (c->needs_grad[1]) {
    const int64_t K = vbl_width(x);
    VBL_TRY(vbl_grad_target(c, 1, &target, &accumulate, err));
    vbl_product(c, &r, M, K, N, vbl_matrix_at(dh, 0, M, true), vbl_matrix_at(x, 0, vbl_row_stride(x), false), accumulate, r.T,
                vbl_tensor_data(target), K, NULL);
  }
  if (c->needs_grad[0]) {
    const int64_t K = w->shape[1];
    VBL_TRY(vbl_grad_target_narrow(c, 0, &target, &accumulate, err));
    vbl_product(c, &r, N, K, M, vbl_matrix_at(dh, 0, M, false), vbl_weight_at(c, &r, w, false), accumulate, target->dtype,
                vbl_tensor_data(target), K, NULL);
  }
  return VBL_OK;
}

const vbl_op vbl_op_linear = {"linear", 2, 3, 1, forward, backward};
