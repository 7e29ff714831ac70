// linear: y = x W' + b, with GELU (Hendrycks, Gimpel 2016; erf form) after it on request.
// defines: vbl_op_linear
#include <string.h>

#include "core/ops/product.h"

// x [..,K], w [M,K], b? [M] -> y [..,M]. n[0] = 1: GELU; y is then bf16 where products are. With h = x W' + b and dh = dy gelu'(h):
//   dx = dh W;  dW = dh' x;  db = column sums of dh.
static vbl_status forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *w, *b = NULL, *y, *h;
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
  const void *bias = b == NULL ? NULL : vbl_tensor_data(b);
  if (c->attrs.n[0] == 1) {
    VBL_TRY(vbl_tensor_new(r.memory, vbl_products(c, &r), x->ndim, shape, &c->out[0], err));
    VBL_TRY(vbl_temp_real(c, &r, x->ndim, shape, &h, err));
    vbl_product_gelu(c, &r, N, M, K, X, W, vbl_tensor_data(h), bias, vbl_tensor_data(c->out[0]));
    VBL_TRY(vbl_save(c, 2, h, err));
  } else {
    VBL_TRY(vbl_out_real(c, &r, 0, x->ndim, shape, &y, err));
    vbl_product(c, &r, N, M, K, X, W, false, vbl_tensor_data(y), M, bias);
  }
  if (c->needs_grad[1]) VBL_TRY(vbl_save(c, 0, x, err));
  if (c->needs_grad[0]) VBL_TRY(vbl_save(c, 1, w, err));
  return VBL_OK;
}

// db, and dh where GELU is there (else dh is dy); dh takes dy's memory where nobody else holds it.
static vbl_status through_epilogue(vbl_call *c, const vbl_real *r, vbl_tensor *dy, const vbl_tensor **dh, vbl_error *err) {
  const vbl_tensor *h = c->saved[2];
  const int64_t N = vbl_row_count(dy), M = vbl_width(dy);
  vbl_tensor *db = NULL, *written = dy;
  bool accumulate = false;
  if (c->needs_grad[2]) VBL_TRY(vbl_grad_target(c, 2, &db, &accumulate, err));
  void *sum = db == NULL ? NULL : vbl_tensor_data(db);
  *dh = dy;
  if (h != NULL) {
    if (dy->refs > 1 || dy->storage->refs > 1) VBL_TRY(vbl_temp_real(c, r, dy->ndim, dy->shape, &written, err));
    r->be->gelu_backward_bias(vbl_tensor_data(h), vbl_tensor_data(dy), vbl_tensor_data(written), sum, accumulate, N, M, NULL);
    *dh = written;
  } else if (sum != NULL) {
    r->be->column_sum(vbl_tensor_data(dy), sum, accumulate, N, M, NULL);
  }
  return VBL_OK;
}

static vbl_status backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const vbl_tensor *dh, *x = c->saved[0], *w = c->saved[1];
  const int64_t N = vbl_row_count(grad[0]), M = vbl_width(grad[0]);
  vbl_tensor *target;
  bool accumulate;
  VBL_TRY(through_epilogue(c, &r, grad[0], &dh, err));
  if (c->needs_grad[1]) {
    const int64_t K = vbl_width(x);
    VBL_TRY(vbl_grad_target(c, 1, &target, &accumulate, err));
    vbl_product(c, &r, M, K, N, vbl_matrix_at(dh, 0, M, true), vbl_matrix_at(x, 0, vbl_row_stride(x), false), accumulate,
                vbl_tensor_data(target), K, NULL);
  }
  if (c->needs_grad[0]) {
    const int64_t K = w->shape[1];
    VBL_TRY(vbl_grad_target(c, 0, &target, &accumulate, err));
    vbl_product(c, &r, N, K, M, vbl_matrix_at(dh, 0, M, false), vbl_weight_at(c, &r, w, false), accumulate, vbl_tensor_data(target),
                K, NULL);
  }
  return VBL_OK;
}

const vbl_op vbl_op_linear = {"linear", 2, 3, 1, forward, backward};
