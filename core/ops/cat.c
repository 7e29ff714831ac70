// cat: tensors side by side along a dim.
// defines: vbl_op_cat
#include <inttypes.h>
#include <string.h>

#include "core/ops/common.h"
#include "core/tape/node.h"

// x1 .. xn -> y; n[0] = dim; all other dims equal. One dtype stays; else reals, and integers beside them, are joined in the op's
// dtype, integers alone in i32.
static vbl_status check(const vbl_call *c, int64_t *shape, vbl_error *err) {
  const vbl_tensor *first = c->in[0];
  const int64_t dim = c->attrs.n[0];
  if (dim < 0 || dim >= first->ndim) return vbl_fail(err, VBL_EINVAL, "expected a dim in [0, %d), got %" PRId64, first->ndim, dim);
  memcpy(shape, first->shape, sizeof first->shape);
  shape[dim] = 0;
  for (int i = 0; i < c->inputs; i++) {
    const vbl_tensor *x = c->in[i];
    if (x == NULL) return vbl_fail(err, VBL_EINVAL, "expected a tensor as input %d, got none", i + 1);
    const int64_t sum = shape[dim];
    shape[dim] = -1;
    VBL_TRY(vbl_expect(x, "every tensor", first->ndim, shape, err));
    shape[dim] = sum + x->shape[dim];
  }
  return VBL_OK;
}

static vbl_status result_dtype(const vbl_call *c, vbl_dtype *dtype, vbl_error *err) {
  vbl_real r;
  VBL_TRY(vbl_op_real(c, &r, err));
  *dtype = c->in[0]->dtype;
  bool same = true, whole = !vbl_is_real(*dtype);
  for (int i = 1; i < c->inputs; i++) {
    same &= c->in[i]->dtype == *dtype;
    whole &= !vbl_is_real(c->in[i]->dtype);
  }
  if (!same) *dtype = whole ? VBL_I32 : r.T;
  return VBL_OK;
}

static vbl_status forward(vbl_call *c, vbl_error *err) {
  int64_t shape[VBL_MAX_DIMS], at = 0;
  vbl_dtype dtype;
  VBL_TRY(check(c, shape, err));
  VBL_TRY(result_dtype(c, &dtype, err));
  VBL_TRY(vbl_tensor_new(c->in[0]->storage->backend, dtype, c->in[0]->ndim, shape, &c->out[0], err));
  const int dim = (int)c->attrs.n[0];
  for (int i = 0; i < c->inputs; i++) {
    vbl_tensor *part;
    if (c->in[i]->dtype == VBL_I32 && dtype == VBL_F32) VBL_TRY(vbl_check_exact(c, i, err));
    VBL_TRY(vbl_tensor_narrow(c->out[0], dim, at, c->in[i]->shape[dim], &part, err));
    vbl_status status = vbl_tensor_copy(part, c->in[i], err);
    vbl_tensor_release(part);
    VBL_TRY(status);
    at += c->in[i]->shape[dim];
  }
  for (int i = 0; i < c->inputs; i++) c->attrs.n[1 + i] = c->in[i]->shape[dim];
  return VBL_OK;
}

static vbl_status backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  int64_t at = 0;
  for (int i = 0; i < c->inputs; at += c->attrs.n[1 + i++]) {
    vbl_tensor *part;
    if (!c->needs_grad[i]) continue;
    VBL_TRY(vbl_tensor_narrow(grad[0], (int)c->attrs.n[0], at, c->attrs.n[1 + i], &part, err));
    VBL_TRY(vbl_temp_keep(c, part, err));
    VBL_TRY(vbl_grad_give(c, i, part, err));
  }
  return VBL_OK;
}

const vbl_op vbl_op_cat = {"cat", 1, VBL_MAX_INPUTS, 1, forward, backward};
