// Allocate once, point many: parameters side by side in one block, their gradients in another, so that the optimizer is one kernel
// call over each and the weights of query, key and value are one matrix.
#include "core/optim/optim.h"
#include "kernels/kernels.h"

static vbl_status check(vbl_tensor *const *leaves, int count, int64_t *total, vbl_error *err) {
  *total = 0;
  for (int i = 0; i < count; i++) {
    const vbl_tensor *t = leaves[i];
    if (t->node != NULL || (t->dtype != VBL_F32 && t->dtype != VBL_F64) || t->dtype != leaves[0]->dtype)
      return vbl_fail(err, VBL_EINVAL, "pack: tensor %d: expected a leaf of f32 or f64 like the first, got %s%s", i + 1,
                      vbl_dtype_name(t->dtype), t->node != NULL ? " with history" : "");
    if (t->storage->backend != leaves[0]->storage->backend)
      return vbl_fail(err, VBL_EINVAL, "pack: tensor %d is on another device", i + 1);
    *total += vbl_tensor_numel(t);
  }
  return VBL_OK;
}

// Points leaf at a view of its shape into the blocks, its values copied.
static vbl_status move(vbl_tensor *leaf, vbl_tensor *weights, vbl_tensor *grads, int64_t offset, vbl_error *err) {
  int64_t stride[VBL_MAX_DIMS], n = 1;
  for (int d = leaf->ndim - 1; d >= 0; d--) {
    stride[d] = n;
    n *= leaf->shape[d];
  }
  vbl_tensor *w = NULL, *g = NULL;
  VBL_TRY(vbl_tensor_as_strided(weights, leaf->ndim, leaf->shape, stride, offset, &w, err));
  vbl_status status = vbl_tensor_as_strided(grads, leaf->ndim, leaf->shape, stride, offset, &g, err);
  if (status == VBL_OK) status = vbl_tensor_copy(w, leaf, err);
  if (status != VBL_OK) {
    vbl_tensor_release(w);
    vbl_tensor_release(g);
    return status;
  }
  // The leaf takes over the view's place in the block; the view object ends with the leaf's old storage.
  vbl_storage *old = leaf->storage;
  leaf->storage = w->storage;
  leaf->offset = w->offset;
  for (int d = 0; d < leaf->ndim; d++) leaf->stride[d] = stride[d];
  w->storage = old;
  vbl_tensor_release(w);
  vbl_tensor_release(leaf->grad);
  leaf->grad = g;
  leaf->has_grad = false;
  return VBL_OK;
}

vbl_status vbl_parameters_pack(vbl_tensor *const *leaves, int count, vbl_error *err) {
  int64_t total = 0;
  if (count == 0) return VBL_OK;
  VBL_TRY(check(leaves, count, &total, err));
  vbl_tensor *weights = NULL, *grads = NULL;
  const vbl_backend *memory = leaves[0]->storage->backend;
  const vbl_memory_user before = vbl_memory_use((vbl_memory_user){"the parameters", false});
  vbl_status status = vbl_tensor_new(memory, leaves[0]->dtype, 1, &total, &weights, err);
  vbl_memory_use((vbl_memory_user){"the parameters' gradients", false});
  if (status == VBL_OK) status = vbl_tensor_zeros(memory, leaves[0]->dtype, 1, &total, &grads, err);
  vbl_memory_use(before);
  int64_t offset = 0;
  for (int i = 0; i < count && status == VBL_OK; i++) {
    status = move(leaves[i], weights, grads, offset, err);
    offset += vbl_tensor_numel(leaves[i]);
  }
  vbl_tensor_release(weights);
  vbl_tensor_release(grads);
  return status;
}
