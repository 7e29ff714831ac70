// Tensor records: making, counting references, ending.
// defines: vbl_tensor_new, vbl_tensor_zeros, vbl_tensor_like, vbl_tensor_on, vbl_tensor_retain, vbl_tensor_release,
//          vbl_tensor_alias, vbl_tensor_data
#include "core/tensor/tensor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/tape/tape.h"
#include "core/tensor/storage.h"
#include "kernels/kernels.h"

// Bytes of a tensor of this shape, checked.
static vbl_status checked_bytes(vbl_dtype dtype, int ndim, const int64_t *shape, size_t *bytes, vbl_error *err) {
  if (ndim < 0 || ndim > VBL_MAX_DIMS) return vbl_fail(err, VBL_EINVAL, "a tensor has at most %d dims, got %d", VBL_MAX_DIMS, ndim);
  int64_t n = 1;
  bool overflow = false, empty = false;
  for (int i = 0; i < ndim; i++) {
    if (shape[i] < 0) return vbl_fail(err, VBL_EINVAL, "a dim is at least 0, got %" PRId64, shape[i]);
    if (shape[i] == 0) empty = true;
    // Without the empty dims, so that the strides of an empty tensor cannot overflow either.
    if (shape[i] > 0 && __builtin_mul_overflow(n, shape[i], &n)) overflow = true;
  }
  int64_t total;
  if (overflow || __builtin_mul_overflow(n, (int64_t)vbl_dtype_size(dtype), &total)) {
    char text[VBL_SHAPE_TEXT];
    return vbl_fail(err, VBL_EINVAL, "a %s tensor %s has more bytes than can be addressed", vbl_dtype_name(dtype),
                    vbl_shape_text(ndim, shape, text));
  }
  *bytes = empty ? 0 : (size_t)total;
  return VBL_OK;
}

vbl_status vbl_tensor_on(vbl_storage *storage, vbl_dtype dtype, int ndim, const int64_t *shape, const int64_t *stride,
                         int64_t offset, vbl_tensor **out, vbl_error *err) {
  vbl_tensor *t = calloc(1, sizeof *t);
  if (t == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a tensor record");
  t->refs = 1;
  t->storage = storage;
  t->offset = offset;
  t->ndim = ndim;
  t->dtype = dtype;
  if (ndim > 0) {  // shape may be NULL for a scalar
    memcpy(t->shape, shape, (size_t)ndim * sizeof *shape);
    memcpy(t->stride, stride, (size_t)ndim * sizeof *stride);
  }
  vbl_storage_retain(storage);
  *out = t;
  return VBL_OK;
}

vbl_status vbl_tensor_new(const vbl_backend *backend, vbl_dtype dtype, int ndim, const int64_t *shape, vbl_tensor **out,
                          vbl_error *err) {
  size_t bytes = 0;
  if (dtype == VBL_F64 && !backend->host)
    return vbl_fail(err, VBL_EINVAL, "%s does not compute in f64; convert with :to(\"f32\") first, or keep the tensor on the CPU",
                    backend->name);
  VBL_TRY(checked_bytes(dtype, ndim, shape, &bytes, err));
  vbl_storage *storage;
  vbl_status made = vbl_storage_new(backend, bytes, &storage, err);
  if (made != VBL_OK) {
    char text[VBL_SHAPE_TEXT];
    vbl_context(err, "%s %s", vbl_dtype_name(dtype), vbl_shape_text(ndim, shape, text));
    return made;
  }
  storage->dtype = dtype;
  storage->ndim = ndim;
  if (ndim > 0) memcpy(storage->shape, shape, (size_t)ndim * sizeof *shape);
  int64_t stride[VBL_MAX_DIMS];
  vbl_shape_strides(ndim, shape, stride);
  vbl_status status = vbl_tensor_on(storage, dtype, ndim, shape, stride, 0, out, err);
  vbl_storage_release(storage);
  return status;
}

vbl_status vbl_tensor_zeros(const vbl_backend *backend, vbl_dtype dtype, int ndim, const int64_t *shape, vbl_tensor **out,
                            vbl_error *err) {
  VBL_TRY(vbl_tensor_new(backend, dtype, ndim, shape, out, err));
  backend->fill(dtype, vbl_tensor_data(*out), vbl_tensor_numel(*out), 0, NULL);
  return VBL_OK;
}

vbl_status vbl_tensor_like(const vbl_tensor *like, vbl_tensor **out, vbl_error *err) {
  return vbl_tensor_new(like->storage->backend, like->dtype, like->ndim, like->shape, out, err);
}

vbl_tensor *vbl_tensor_retain(vbl_tensor *t) {
  t->refs++;
  return t;
}

// A gradient has neither history nor a gradient of its own, so this goes two deep at most; vbl_node_release does not recurse.
void vbl_tensor_release(vbl_tensor *t) {
  if (t == NULL || --t->refs > 0) return;
  if (t->node != NULL) vbl_node_release(t->node);
  vbl_tensor_release(t->grad);
  vbl_storage_release(t->storage);
  free(t);
}

vbl_status vbl_tensor_alias(const vbl_tensor *t, vbl_tensor **out, vbl_error *err) {
  return vbl_tensor_on(t->storage, t->dtype, t->ndim, t->shape, t->stride, t->offset, out, err);
}

void *vbl_tensor_data(const vbl_tensor *t) {
  if (t->storage->data == NULL) return NULL;
  return (char *)t->storage->data + t->offset * (int64_t)vbl_dtype_size(t->dtype);
}
