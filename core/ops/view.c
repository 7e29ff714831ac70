// Shapes without arithmetic. reshape, permute, slice and expand share their input's memory; contiguous, cast and cat copy.
// defines: vbl_op_reshape, vbl_op_permute, vbl_op_slice, vbl_op_expand, vbl_op_contiguous, vbl_op_cast
#include <inttypes.h>

#include "core/ops/common.h"
#include "core/tensor/storage.h"
#include "kernels/mixed.h"

static vbl_status check_count(const vbl_call *c, vbl_error *err) {
  const int64_t count = c->attrs.n[0];
  if (count >= 0 && count <= VBL_MAX_DIMS) return VBL_OK;
  return vbl_fail(err, VBL_EINVAL, "a tensor has at most %d dims, got %" PRId64, VBL_MAX_DIMS, count);
}

// n[0] = count, n[1..] = shape, one may be -1. A view where strides allow it, else a copy.
static vbl_status reshape_forward(vbl_call *c, vbl_error *err) {
  VBL_TRY(check_count(c, err));
  const int ndim = (int)c->attrs.n[0];
  const int64_t *shape = c->attrs.n + 1;
  if (vbl_tensor_reshape_view(c->in[0], ndim, shape, &c->out[0], NULL) == VBL_OK) return VBL_OK;
  vbl_tensor *x;
  VBL_TRY(vbl_tensor_contiguous(c->in[0], &x, err));
  VBL_TRY(vbl_temp_keep(c, x, err));
  return vbl_tensor_reshape_view(x, ndim, shape, &c->out[0], err);
}

static vbl_status reshape_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_meta *m = vbl_input_meta(c, 0);
  vbl_tensor *dx;
  VBL_TRY(vbl_tensor_reshape_view(grad[0], m->ndim, m->shape, &dx, err));
  VBL_TRY(vbl_temp_keep(c, dx, err));
  return vbl_grad_give(c, 0, dx, err);
}

// n[0] = ndim, n[1+i] = which dim of x becomes dim i.
static vbl_status permute_forward(vbl_call *c, vbl_error *err) {
  const vbl_tensor *x = c->in[0];
  int64_t shape[VBL_MAX_DIMS], stride[VBL_MAX_DIMS];
  unsigned seen = 0;
  if (c->attrs.n[0] != x->ndim)
    return vbl_fail(err, VBL_EINVAL, "expected an order of %d dims, got %" PRId64, x->ndim, c->attrs.n[0]);
  for (int i = 0; i < x->ndim; i++) {
    const int64_t d = c->attrs.n[1 + i];
    if (d < 0 || d >= x->ndim || (seen & 1u << d))
      return vbl_fail(err, VBL_EINVAL, "expected every dim once, got dim %" PRId64 " at place %d", d, i);
    seen |= 1u << d;
    shape[i] = x->shape[d];
    stride[i] = x->stride[d];
  }
  return vbl_tensor_on(x->storage, x->dtype, x->ndim, shape, stride, x->offset, &c->out[0], err);
}

static vbl_status permute_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_tensor *dy = grad[0];
  int64_t shape[VBL_MAX_DIMS], stride[VBL_MAX_DIMS];
  vbl_tensor *dx;
  for (int i = 0; i < dy->ndim; i++) {
    shape[c->attrs.n[1 + i]] = dy->shape[i];
    stride[c->attrs.n[1 + i]] = dy->stride[i];
  }
  VBL_TRY(vbl_tensor_on(dy->storage, dy->dtype, dy->ndim, shape, stride, dy->offset, &dx, err));
  VBL_TRY(vbl_temp_keep(c, dx, err));
  return vbl_grad_give(c, 0, dx, err);
}

// n[0] = dim, n[1] = start, n[2] = length.
static vbl_status slice_forward(vbl_call *c, vbl_error *err) {
  const int64_t *n = c->attrs.n;
  if (n[0] < 0 || n[0] >= c->in[0]->ndim)
    return vbl_fail(err, VBL_EINVAL, "expected a dim in [0, %d), got %" PRId64, c->in[0]->ndim, n[0]);
  return vbl_tensor_narrow(c->in[0], (int)n[0], n[1], n[2], &c->out[0], err);
}

// Adds dy to a strided part of a gradient of the same dtype.
static vbl_status add_to_part(vbl_call *c, const vbl_real *r, vbl_tensor *part, const vbl_tensor *dy, vbl_error *err) {
  vbl_tensor *sum;
  const vbl_dtype T = part->dtype;
  void *to = vbl_tensor_data(part), *from = vbl_tensor_data(dy);
  if (vbl_tensor_is_contiguous(part)) {
    if (T == VBL_BF16)
      r->mixed->scale_add(1, T, from, 1, T, to, vbl_tensor_numel(dy), NULL);
    else
      r->be->scale_add(1, from, 1, to, vbl_tensor_numel(dy), NULL);
    return VBL_OK;
  }
  VBL_TRY(vbl_temp_new(c, r->memory, T, dy->ndim, dy->shape, &sum, err));
  if (vbl_tensor_numel(dy) > 0)
    r->be->binary(VBL_ADD, T, to, part->stride, from, dy->stride, vbl_tensor_data(sum), dy->ndim, dy->shape, NULL);
  return vbl_tensor_copy(part, sum, err);
}

static vbl_status slice_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const int64_t *n = c->attrs.n;
  vbl_tensor *dx, *part, *dy;
  bool accumulate;
  VBL_TRY(vbl_grad_target_slice(c, 0, (int)n[0], n[1], n[1] + n[2], &dx, &accumulate, err));
  VBL_TRY(vbl_tensor_narrow(dx, (int)n[0], n[1], n[2], &part, err));
  VBL_TRY(vbl_temp_keep(c, part, err));
  if (!accumulate) return vbl_tensor_copy(part, grad[0], err);
  VBL_TRY(vbl_tensor_to_dtype(grad[0], dx->dtype, &dy, err));
  VBL_TRY(vbl_temp_keep(c, dy, err));
  return add_to_part(c, &r, part, dy, err);
}

// n[0] = count, n[1..] = shape: dims align at the end, size 1 repeats.
static vbl_status expand_forward(vbl_call *c, vbl_error *err) {
  const vbl_tensor *x = c->in[0];
  VBL_TRY(check_count(c, err));
  const int ndim = (int)c->attrs.n[0], lead = ndim - x->ndim;
  const int64_t *shape = c->attrs.n + 1;
  bool fits = lead >= 0;
  int64_t count = 1;
  for (int i = 0; fits && i < ndim; i++)
    fits = (i < lead || x->shape[i - lead] == shape[i] || x->shape[i - lead] == 1) && shape[i] >= 0 &&
           !__builtin_mul_overflow(count, shape[i] > 0 ? shape[i] : 1, &count);
  if (!fits) {
    char a[VBL_SHAPE_TEXT], b[VBL_SHAPE_TEXT];
    return vbl_fail(err, VBL_EINVAL, "cannot expand %s to %s", vbl_shape_text(x->ndim, x->shape, a),
                    vbl_shape_text(ndim, shape, b));
  }
  int64_t stride[VBL_MAX_DIMS];
  vbl_broadcast_strides(x, ndim, shape, stride);
  return vbl_tensor_on(x->storage, x->dtype, ndim, shape, stride, x->offset, &c->out[0], err);
}

static vbl_status expand_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  vbl_tensor *dy;
  VBL_TRY(vbl_tensor_to_dtype(grad[0], r.T, &dy, err));  // sums are not taken in bf16
  VBL_TRY(vbl_temp_keep(c, dy, err));
  return vbl_grad_broadcast(c, &r, 0, dy, err);
}

// Always a tensor record of its own, because it gets a history of its own; the memory is shared where x is contiguous already.
static vbl_status contiguous_forward(vbl_call *c, vbl_error *err) {
  vbl_tensor *x;
  VBL_TRY(vbl_tensor_contiguous(c->in[0], &x, err));
  vbl_status status = vbl_tensor_alias(x, &c->out[0], err);
  vbl_tensor_release(x);
  return status;
}

static vbl_status give_backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) { return vbl_grad_give(c, 0, grad[0], err); }

// n[0] = dtype. Between reals the gradient is converted back; an integer result has none.
static vbl_status cast_forward(vbl_call *c, vbl_error *err) {
  if (c->attrs.n[0] < 0 || c->attrs.n[0] >= VBL_DTYPES)
    return vbl_fail(err, VBL_EINVAL, "expected a dtype, got number %" PRId64, c->attrs.n[0]);
  vbl_tensor *x;
  VBL_TRY(vbl_tensor_to_dtype(c->in[0], (vbl_dtype)c->attrs.n[0], &x, err));
  vbl_status status = vbl_tensor_alias(x, &c->out[0], err);
  vbl_tensor_release(x);
  return status;
}

const vbl_op vbl_op_reshape = {"reshape", 1, 1, 1, reshape_forward, reshape_backward};
const vbl_op vbl_op_permute = {"permute", 1, 1, 1, permute_forward, permute_backward};
const vbl_op vbl_op_slice = {"slice", 1, 1, 1, slice_forward, slice_backward};
const vbl_op vbl_op_expand = {"expand", 1, 1, 1, expand_forward, expand_backward};
const vbl_op vbl_op_contiguous = {"contiguous", 1, 1, 1, contiguous_forward, give_backward};
const vbl_op vbl_op_cast = {"cast", 1, 1, 1, cast_forward, give_backward};
