// Sums, means and extremes along one dim or over all elements.
// defines: vbl_op_sum, vbl_op_mean, vbl_op_max, vbl_op_min
#include <inttypes.h>
#include <math.h>

#include "core/ops/common.h"
#include "core/tensor/storage.h"

typedef struct lines {
  int64_t outer, n, inner;  // x seen as [outer, n, inner]; n is reduced
} lines;

// The dims of x (shape) around dim; dim -1: all of them at once.
static lines lines_of(int ndim, const int64_t *shape, int64_t dim) {
  if (dim < 0) return (lines){1, vbl_shape_numel(ndim, shape), 1};
  const int d = (int)dim;
  return (lines){vbl_shape_numel(d, shape), shape[d], vbl_shape_numel(ndim - d - 1, shape + d + 1)};
}

// y's shape: n[0] = dim or -1, n[1] = keepdim.
static int result_shape(const vbl_tensor *x, const int64_t *n, int64_t *shape) {
  int ndim = 0;
  for (int i = 0; i < x->ndim; i++) {
    const bool gone = n[0] < 0 || i == n[0];
    if (!gone || n[1] != 0) shape[ndim++] = gone ? 1 : x->shape[i];
  }
  return ndim;
}

static vbl_status forward(vbl_call *c, vbl_reduce f, vbl_error *err) {
  vbl_real r;
  vbl_tensor *x, *y;
  int64_t shape[VBL_MAX_DIMS];
  int32_t *index = NULL;
  VBL_TRY(vbl_expect_real(c->in[0], err));
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(vbl_in_real(c, &r, 0, &x, err));
  const int64_t *n = c->attrs.n;
  if (n[0] < -1 || n[0] >= x->ndim)
    return vbl_fail(err, VBL_EINVAL, "expected a dim in [0, %d) or -1 for all, got %" PRId64, x->ndim, n[0]);
  const lines l = lines_of(x->ndim, x->shape, n[0]);
  const int ndim = result_shape(x, n, shape);
  VBL_TRY(vbl_out_real(c, &r, 0, ndim, shape, &y, err));
  if (f == VBL_MAX || f == VBL_MIN) {
    if (l.n == 0 && l.outer * l.inner > 0) return vbl_fail(err, VBL_EINVAL, "there is no %s of no elements", c->op->name);
    VBL_TRY(vbl_tensor_new(r.memory, VBL_I32, ndim, shape, &c->out[1], err));
    index = vbl_tensor_data(c->out[1]);
    VBL_TRY(vbl_save(c, 0, c->out[1], err));
  }
  if (l.n == 0)
    r.be->fill(r.T, vbl_tensor_data(y), vbl_tensor_numel(y), f == VBL_MEAN ? (double)NAN : 0, NULL);
  else
    r.be->reduce(f, vbl_tensor_data(x), vbl_tensor_data(y), index, l.outer, l.n, l.inner, NULL);
  return VBL_OK;
}

// t (a result's shape) seen as [outer, 1, inner].
static vbl_status as_lines(vbl_call *c, const vbl_tensor *t, lines l, vbl_tensor **out, vbl_error *err) {
  VBL_TRY(vbl_tensor_reshape_view(t, 3, (int64_t[]){l.outer, 1, l.inner}, out, err));
  return vbl_temp_keep(c, *out, err);
}

// Gives d [outer, n, inner], factor times, as x's gradient.
static vbl_status give_lines(vbl_call *c, const vbl_real *r, double factor, vbl_tensor *d, vbl_error *err) {
  vbl_tensor *dx;
  bool accumulate;
  VBL_TRY(vbl_grad_target(c, 0, &dx, &accumulate, err));
  r->be->scale_add(factor, vbl_tensor_data(d), accumulate ? 1 : 0, vbl_tensor_data(dx), vbl_tensor_numel(dx), NULL);
  return VBL_OK;
}

// sum: dx = dy along the dim; mean: dx = dy / n.
static vbl_status spread(vbl_call *c, bool mean, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const vbl_meta *m = vbl_input_meta(c, 0);
  const lines l = lines_of(m->ndim, m->shape, c->attrs.n[0]);
  vbl_tensor *dy, *wide;
  const int64_t shape[3] = {l.outer, l.n, l.inner};
  int64_t stride[3];
  VBL_TRY(as_lines(c, grad[0], l, &dy, err));
  vbl_broadcast_strides(dy, 3, shape, stride);
  VBL_TRY(vbl_temp_real(c, &r, 3, shape, &wide, err));
  if (vbl_tensor_numel(wide) > 0)
    r.memory->copy(r.T, vbl_tensor_data(dy), stride, r.T, vbl_tensor_data(wide), wide->stride, 3, shape, NULL);
  return give_lines(c, &r, mean && l.n > 0 ? 1 / (double)l.n : 1, wide, err);
}

// max, min: dy goes to the (first) extreme element: dx = dy (position == index).
static vbl_status pick(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const vbl_meta *m = vbl_input_meta(c, 0);
  const lines l = lines_of(m->ndim, m->shape, c->attrs.n[0]);
  const int64_t shape[3] = {l.outer, l.n, l.inner}, position_stride[3] = {0, 1, 0};
  int64_t index_stride[3];
  vbl_tensor *dy, *index, *position, *hit, *real_hit, *d;
  VBL_TRY(as_lines(c, grad[0], l, &dy, err));
  VBL_TRY(as_lines(c, c->saved[0], l, &index, err));
  VBL_TRY(vbl_temp_arange(c, r.memory, l.n, &position, err));
  vbl_broadcast_strides(index, 3, shape, index_stride);
  VBL_TRY(vbl_temp_new(c, r.memory, VBL_I32, 3, shape, &hit, err));
  if (vbl_tensor_numel(hit) > 0)
    r.memory->binary(VBL_EQ, VBL_I32, vbl_tensor_data(position), position_stride, vbl_tensor_data(index), index_stride,
                     vbl_tensor_data(hit), 3, shape, NULL);
  VBL_TRY(vbl_temp_real(c, &r, 3, shape, &real_hit, err));
  VBL_TRY(vbl_tensor_copy(real_hit, hit, err));
  VBL_TRY(vbl_ew_binary(c, &r, VBL_MUL, real_hit, dy, 3, shape, &d, err));
  return give_lines(c, &r, 1, d, err);
}

static vbl_status sum_forward(vbl_call *c, vbl_error *err) { return forward(c, VBL_SUM, err); }
static vbl_status mean_forward(vbl_call *c, vbl_error *err) { return forward(c, VBL_MEAN, err); }
static vbl_status max_forward(vbl_call *c, vbl_error *err) { return forward(c, VBL_MAX, err); }
static vbl_status min_forward(vbl_call *c, vbl_error *err) { return forward(c, VBL_MIN, err); }
static vbl_status sum_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) { return spread(c, false, grad, err); }
static vbl_status mean_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) { return spread(c, true, grad, err); }

const vbl_op vbl_op_sum = {"sum", 1, 1, 1, sum_forward, sum_backward};
const vbl_op vbl_op_mean = {"mean", 1, 1, 1, mean_forward, mean_backward};
const vbl_op vbl_op_max = {"max", 1, 1, 2, max_forward, pick};
const vbl_op vbl_op_min = {"min", 1, 1, 2, min_forward, pick};
