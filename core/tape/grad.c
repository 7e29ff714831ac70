// Where gradients go: into a leaf's .grad, or into the sum at another node's output.
//
// A finished gradient is shared, not copied, with the node it flows to. So one tensor may be the gradient of several outputs
// at once, and a sum is added to in place only while nobody else holds its tensor or storage.
//
// Where gradients of results may be bf16 (vbl_narrow_gradient) a sum is of the type of what came first, f32 or bf16.
// defines: vbl_edge_give, vbl_edge_target, vbl_grad_give, vbl_grad_target, vbl_grad_target_narrow, vbl_grad_target_slice, vbl_grad_narrow, vbl_input_meta
#include <string.h>

#include "core/tape/node.h"
#include "core/tensor/branch.h"
#include "kernels/kernels.h"
#include "kernels/mixed.h"

const vbl_meta *vbl_input_meta(const vbl_call *c, int i) { return &c->node->edges[i].meta; }

static vbl_status check_shape(const vbl_edge *e, const vbl_tensor *grad, vbl_error *err) {
  const vbl_meta *m = &e->meta;
  if (grad->ndim == m->ndim && memcmp(grad->shape, m->shape, (size_t)m->ndim * sizeof *m->shape) == 0) return VBL_OK;
  char a[VBL_SHAPE_TEXT], b[VBL_SHAPE_TEXT];
  return vbl_fail(err, VBL_EINVAL, "expected a gradient %s, got %s", vbl_shape_text(m->ndim, m->shape, a),
                  vbl_shape_text(grad->ndim, grad->shape, b));
}

static bool may_be_narrow(const vbl_edge *e) { return e->leaf == NULL && vbl_narrow_gradient(e->meta.backend, e->meta.dtype); }

static void add_to(vbl_tensor *sum, const vbl_tensor *grad) {
  const vbl_backend *be = vbl_kernels(sum->storage->backend, sum->dtype);
  const int64_t n = vbl_tensor_numel(sum);
  if (sum->dtype == VBL_BF16 || grad->dtype == VBL_BF16)
    be->mixed->scale_add(1, grad->dtype, vbl_tensor_data(grad), 1, sum->dtype, vbl_tensor_data(sum), n, NULL);
  else
    be->scale_add(1, vbl_tensor_data(grad), 1, vbl_tensor_data(sum), n, NULL);
}

// A tensor of its own in *slot, with the same content, of this type.
static vbl_status make_exclusive(vbl_tensor **slot, vbl_dtype dtype, vbl_error *err) {
  vbl_tensor *own;
  if ((*slot)->dtype == dtype && (*slot)->refs == 1 && (*slot)->storage->refs == 1) return VBL_OK;
  VBL_TRY(vbl_tensor_new((*slot)->storage->backend, dtype, (*slot)->ndim, (*slot)->shape, &own, err));
  vbl_status status = vbl_tensor_copy(own, *slot, err);
  vbl_tensor_release(*slot);
  *slot = own;
  return status;
}

static vbl_status new_grad(const vbl_meta *m, bool narrow, vbl_tensor **out, vbl_error *err) {
  return vbl_tensor_new(m->backend, narrow ? VBL_BF16 : vbl_grad_dtype(m->dtype), m->ndim, m->shape, out, err);
}

static void writes(vbl_marks *m) {
  vbl_branch_await(m, true);
  vbl_branch_note(m, true);
}

vbl_status vbl_edge_target(vbl_edge *e, bool narrow, vbl_tensor **target, bool *accumulate, vbl_error *err) {
  vbl_tensor **slot = e->leaf != NULL ? &e->leaf->grad : &e->node->grad[e->output];
  if (e->leaf != NULL) {
    if (*slot == NULL) {
      VBL_TRY(new_grad(&e->meta, false, slot, err));
      e->leaf->has_grad = false;
    }
    VBL_TRY(check_shape(e, *slot, err));
    *accumulate = e->leaf->has_grad;
    e->leaf->has_grad = true;
    (*slot)->storage->version++;  // a graph that has read it would go back through other numbers
    writes(&e->leaf->grad_marks);
  } else {
    *accumulate = *slot != NULL;
    VBL_TRY(vbl_partial_complete(e->node, e->output, err));
    if (*slot == NULL)
      VBL_TRY(new_grad(&e->meta, narrow && may_be_narrow(e), slot, err));
    else
      VBL_TRY(make_exclusive(slot, narrow ? (*slot)->dtype : vbl_grad_dtype((*slot)->dtype), err));
    writes(&(*slot)->storage->marks);
  }
  *target = *slot;
  return VBL_OK;
}

// grad is contiguous and of a dtype that the gradient may have.
static vbl_status deliver(vbl_edge *e, vbl_tensor *grad, vbl_error *err) {
  if (e->leaf == NULL && e->node->grad[e->output] == NULL) {
    e->node->grad[e->output] = vbl_tensor_retain(grad);
    return VBL_OK;
  }
  vbl_tensor *target;
  bool accumulate;
  VBL_TRY(vbl_edge_target(e, true, &target, &accumulate, err));
  if (!accumulate) return vbl_tensor_copy(target, grad, err);
  vbl_branch_await(&grad->storage->marks, false);
  vbl_branch_note(&grad->storage->marks, false);
  add_to(target, grad);
  return VBL_OK;
}

vbl_status vbl_edge_give(vbl_edge *e, vbl_tensor *grad, vbl_error *err) {
  VBL_TRY(check_shape(e, grad, err));
  vbl_tensor *dense, *typed;
  VBL_TRY(vbl_tensor_contiguous(grad, &dense, err));
  const bool narrow = grad->dtype == VBL_BF16 && may_be_narrow(e);
  vbl_status status = vbl_tensor_to_dtype(dense, narrow ? VBL_BF16 : vbl_grad_dtype(e->meta.dtype), &typed, err);
  vbl_tensor_release(dense);
  if (status != VBL_OK) return status;
  status = deliver(e, typed, err);
  vbl_tensor_release(typed);
  return status;
}

vbl_status vbl_grad_give(vbl_call *c, int i, vbl_tensor *grad, vbl_error *err) {
  return vbl_edge_give(&c->node->edges[i], grad, err);
}

vbl_status vbl_grad_target(vbl_call *c, int i, vbl_tensor **target, bool *accumulate, vbl_error *err) {
  return vbl_edge_target(&c->node->edges[i], false, target, accumulate, err);
}

vbl_status vbl_grad_target_narrow(vbl_call *c, int i, vbl_tensor **target, bool *accumulate, vbl_error *err) {
  return vbl_edge_target(&c->node->edges[i], true, target, accumulate, err);
}

// Of a sum that slices alone have made so far, the slice is new where none of them has written.
static bool joins(const vbl_edge *e, int dim, int64_t from, int64_t to) {
  return e->leaf == NULL && e->node->grad[e->output] != NULL && vbl_partial_extend(e->node, e->output, dim, from, to);
}

vbl_status vbl_grad_target_slice(vbl_call *c, int i, int dim, int64_t from, int64_t to, vbl_tensor **target, bool *accumulate,
                                 vbl_error *err) {
  vbl_edge *e = &c->node->edges[i];
  if (joins(e, dim, from, to)) {
    *target = e->node->grad[e->output];
    *accumulate = false;
    writes(&(*target)->storage->marks);
    return VBL_OK;
  }
  VBL_TRY(vbl_edge_target(e, true, target, accumulate, err));
  if (*accumulate) return VBL_OK;
  if (e->leaf == NULL) return vbl_partial_begin(e->node, e->output, dim, from, to, err);
  return vbl_tensor_fill(*target, 0, err);
}

bool vbl_grad_narrow(const vbl_call *c, int i) { return may_be_narrow(&c->node->edges[i]); }
