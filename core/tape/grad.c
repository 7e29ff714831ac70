// Where gradients go: into a leaf's .grad, or into the sum at another node's output.
//
// A finished gradient is shared, not copied, with the node it flows to. So one tensor may be the gradient of several outputs
// at once, and a sum is added to in place only while nobody else holds its tensor or storage.
// defines: vbl_edge_give, vbl_edge_target, vbl_grad_give, vbl_grad_target, vbl_input_meta
#include <string.h>

#include "core/tape/node.h"
#include "core/tensor/branch.h"
#include "kernels/kernels.h"

const vbl_meta *vbl_input_meta(const vbl_call *c, int i) { return &c->node->edges[i].meta; }

static vbl_status check_shape(const vbl_edge *e, const vbl_tensor *grad, vbl_error *err) {
  const vbl_meta *m = &e->meta;
  if (grad->ndim == m->ndim && memcmp(grad->shape, m->shape, (size_t)m->ndim * sizeof *m->shape) == 0) return VBL_OK;
  char a[VBL_SHAPE_TEXT], b[VBL_SHAPE_TEXT];
  return vbl_fail(err, VBL_EINVAL, "expected a gradient %s, got %s", vbl_shape_text(m->ndim, m->shape, a),
                  vbl_shape_text(grad->ndim, grad->shape, b));
}

static void add_to(vbl_tensor *sum, const vbl_tensor *grad) {
  const vbl_backend *be = vbl_kernels(sum->storage->backend, sum->dtype);
  be->scale_add(1, vbl_tensor_data(grad), 1, vbl_tensor_data(sum), vbl_tensor_numel(sum), NULL);
}

// A tensor of its own in *slot, with the same content.
static vbl_status make_exclusive(vbl_tensor **slot, vbl_error *err) {
  vbl_tensor *own;
  if ((*slot)->refs == 1 && (*slot)->storage->refs == 1) return VBL_OK;
  VBL_TRY(vbl_tensor_like(*slot, &own, err));
  vbl_status status = vbl_tensor_copy(own, *slot, err);
  vbl_tensor_release(*slot);
  *slot = own;
  return status;
}

static vbl_status new_grad(const vbl_meta *m, vbl_tensor **out, vbl_error *err) {
  return vbl_tensor_new(m->backend, vbl_grad_dtype(m->dtype), m->ndim, m->shape, out, err);
}

static void writes(vbl_marks *m) {
  vbl_branch_await(m, true);
  vbl_branch_note(m, true);
}

vbl_status vbl_edge_target(vbl_edge *e, vbl_tensor **target, bool *accumulate, vbl_error *err) {
  vbl_tensor **slot = e->leaf != NULL ? &e->leaf->grad : &e->node->grad[e->output];
  if (e->leaf != NULL) {
    if (*slot == NULL) {
      VBL_TRY(new_grad(&e->meta, slot, err));
      e->leaf->has_grad = false;
    }
    VBL_TRY(check_shape(e, *slot, err));
    *accumulate = e->leaf->has_grad;
    e->leaf->has_grad = true;
    writes(&e->leaf->grad_marks);
  } else {
    *accumulate = *slot != NULL;
    VBL_TRY(*slot == NULL ? new_grad(&e->meta, slot, err) : make_exclusive(slot, err));
    writes(&(*slot)->storage->marks);
  }
  *target = *slot;
  return VBL_OK;
}

// grad is contiguous and of the gradient's dtype.
static vbl_status deliver(vbl_edge *e, vbl_tensor *grad, vbl_error *err) {
  if (e->leaf == NULL && e->node->grad[e->output] == NULL) {
    e->node->grad[e->output] = vbl_tensor_retain(grad);
    return VBL_OK;
  }
  vbl_tensor *target;
  bool accumulate;
  VBL_TRY(vbl_edge_target(e, &target, &accumulate, err));
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
  vbl_status status = vbl_tensor_to_dtype(dense, vbl_grad_dtype(e->meta.dtype), &typed, err);
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
  return vbl_edge_target(&c->node->edges[i], target, accumulate, err);
}
