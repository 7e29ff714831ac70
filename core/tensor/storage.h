// Reference-counted memory of one backend, and the helpers on shapes that the tensor's files share.
// defines: vbl_storage_new, vbl_storage_adopt, vbl_storage_retain, vbl_storage_release, vbl_storage_first, vbl_memory_used_by, vbl_memory_refused,
// vbl_shape_numel, vbl_shape_strides, vbl_tensor_on
#pragma once
#include "core/tensor/tensor.h"

vbl_status vbl_storage_new(const struct vbl_backend *backend, size_t bytes, vbl_storage **out, vbl_error *err);
// Of memory that the backend gave already; it is freed too where there is no memory for the record.
vbl_status vbl_storage_adopt(const struct vbl_backend *backend, void *data, size_t bytes, vbl_storage **out, vbl_error *err);
void vbl_storage_retain(vbl_storage *s);
void vbl_storage_release(vbl_storage *s);
vbl_storage *vbl_storage_first(void);  // of those that live; the others by ->next

vbl_memory_user vbl_memory_used_by(void);
// VBL_ENOMEM: one sentence on a request of `bytes` that the memory could not meet.
vbl_status vbl_memory_refused(const struct vbl_backend *memory, size_t bytes, vbl_error *err);

int64_t vbl_shape_numel(int ndim, const int64_t *shape);                  // no overflow check: the shape is a tensor's
void vbl_shape_strides(int ndim, const int64_t *shape, int64_t *stride);  // of a contiguous tensor
// A tensor record on `storage` (which gains a reference), without history.
vbl_status vbl_tensor_on(vbl_storage *storage, vbl_dtype dtype, int ndim, const int64_t *shape, const int64_t *stride,
                         int64_t offset, vbl_tensor **out, vbl_error *err);
