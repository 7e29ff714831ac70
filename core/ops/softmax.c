// Functions of rows: softmax, log-softmax, division by the row's length.
// defines: vbl_op_softmax, vbl_op_log_softmax, vbl_op_normalize_rows
#include "core/ops/common.h"

static vbl_status begin(vbl_call *c, vbl_real *r, vbl_tensor **x, vbl_tensor **y, vbl_error *err) {
  VBL_TRY(vbl_expect_real(c->in[0], err));
  VBL_TRY(vbl_op_real(c, r, err));
  VBL_TRY(vbl_expect_width(c->in[0], "x", -1, err));
  VBL_TRY(vbl_in_real(c, r, 0, x, err));
  return vbl_out_real(c, r, 0, (*x)->ndim, (*x)->shape, y, err);
}

// x [..,V] -> y_i = exp(x_i) / sum exp(x)  (log: its logarithm), by rows
static vbl_status softmax(vbl_call *c, bool log, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *y;
  VBL_TRY(begin(c, &r, &x, &y, err));
  r.be->softmax(vbl_tensor_data(x), vbl_tensor_data(y), log, vbl_row_count(x), vbl_width(x), NULL);
  return vbl_save(c, 0, y, err);
}

static vbl_status softmax_gradient(vbl_call *c, bool log, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  vbl_tensor *dx;
  VBL_TRY(vbl_grad_buffer(c, &r, 0, &dx, err));
  r.be->softmax_backward(vbl_tensor_data(c->saved[0]), vbl_tensor_data(grad[0]), vbl_tensor_data(dx), log, vbl_row_count(dx),
                         vbl_width(dx), NULL);
  return vbl_grad_commit(c, &r, 0, dx, err);
}

static vbl_status softmax_forward(vbl_call *c, vbl_error *err) { return softmax(c, false, err); }
static vbl_status softmax_backward(vbl_call *c, vbl_tensor *const *g, vbl_error *err) { return softmax_gradient(c, false, g, err); }
static vbl_status log_softmax_forward(vbl_call *c, vbl_error *err) { return softmax(c, true, err); }
static vbl_status log_softmax_backward(vbl_call *c, vbl_tensor *const *g, vbl_error *err) {
  return softmax_gradient(c, true, g, err);
}

// x [..,D] -> y = x / max(|x|, eps), by rows
static vbl_status normalize_forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *y, *norm;
  VBL_TRY(begin(c, &r, &x, &y, err));
  const int64_t N = vbl_row_count(x);
  VBL_TRY(vbl_temp_real(c, &r, 1, &N, &norm, err));
  r.be->normalize_rows(vbl_tensor_data(x), c->attrs.eps, vbl_tensor_data(y), vbl_tensor_data(norm), N, vbl_width(x), NULL);
  VBL_TRY(vbl_save(c, 0, y, err));
  return vbl_save(c, 1, norm, err);
}

static vbl_status normalize_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  vbl_tensor *dx;
  VBL_TRY(vbl_grad_buffer(c, &r, 0, &dx, err));
  r.be->normalize_rows_backward(vbl_tensor_data(c->saved[0]), vbl_tensor_data(c->saved[1]), c->attrs.eps, vbl_tensor_data(grad[0]),
                                vbl_tensor_data(dx), vbl_row_count(dx), vbl_width(dx), NULL);
  return vbl_grad_commit(c, &r, 0, dx, err);
}

const vbl_op vbl_op_softmax = {"softmax", 1, 1, 1, softmax_forward, softmax_backward};
const vbl_op vbl_op_log_softmax = {"log_softmax", 1, 1, 1, log_softmax_forward, log_softmax_backward};
const vbl_op vbl_op_normalize_rows = {"normalize_rows", 1, 1, 1, normalize_forward, normalize_backward};
