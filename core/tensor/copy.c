// Moving elements: copies between strides and dtypes, fills, single elements.
// defines: vbl_tensor_copy, vbl_tensor_to_backend, vbl_tensor_send, vbl_tensor_fill, vbl_tensor_contiguous, vbl_tensor_to_dtype, vbl_tensor_get, vbl_tensor_get_row, vbl_tensor_set
#include <stdlib.h>

#include "core/tensor/branch.h"
#include "core/tensor/storage.h"
#include "kernels/kernels.h"

static const int64_t no_stride[VBL_MAX_DIMS];

// Host backends share the host's memory, so either may copy for both.
static bool one_memory(const vbl_backend *a, const vbl_backend *b) { return a == b || (a->host && b->host); }

static void copy_elements(vbl_tensor *dst, const vbl_tensor *src) {
  if (vbl_tensor_numel(dst) == 0) return;
  vbl_branch_await(&src->storage->marks, false);
  vbl_branch_await(&dst->storage->marks, true);
  vbl_branch_note(&src->storage->marks, false);
  vbl_branch_note(&dst->storage->marks, true);
  dst->storage->backend->copy(src->dtype, vbl_tensor_data(src), src->stride, dst->dtype, vbl_tensor_data(dst), dst->stride,
                              dst->ndim, dst->shape, NULL);
}

// The first and the last element of a tensor that is not empty, in elements of its storage.
static void ends(const vbl_tensor *t, int64_t *low, int64_t *high) {
  *low = *high = t->offset;
  for (int i = 0; i < t->ndim; i++) *(t->stride[i] < 0 ? low : high) += (t->shape[i] - 1) * t->stride[i];
}

// Whether writing one may change what is still to be read of the other: views of one storage whose ends meet, but for two of the same elements
// in the same order.
static bool overlap(const vbl_tensor *a, const vbl_tensor *b) {
  if (a->storage != b->storage || vbl_tensor_numel(a) == 0) return false;
  bool same = a->offset == b->offset;
  for (int i = 0; same && i < a->ndim; i++) same = a->stride[i] == b->stride[i] || a->shape[i] == 1;
  int64_t a_low, a_high, b_low, b_high;
  ends(a, &a_low, &a_high);
  ends(b, &b_low, &b_high);
  return !same && a_low <= b_high && b_low <= a_high;
}

static vbl_status converted(const vbl_tensor *t, vbl_dtype dtype, vbl_tensor **out, vbl_error *err);

vbl_status vbl_tensor_copy(vbl_tensor *dst, const vbl_tensor *src, vbl_error *err) {
  if (!vbl_tensor_same_shape(dst, src)) {
    char a[VBL_SHAPE_TEXT], b[VBL_SHAPE_TEXT];
    return vbl_fail(err, VBL_EINVAL, "copy: expected shape %s, got %s", vbl_shape_text(dst->ndim, dst->shape, a),
                    vbl_shape_text(src->ndim, src->shape, b));
  }
  if (!one_memory(dst->storage->backend, src->storage->backend))
    return vbl_fail(err, VBL_EINVAL, "copy: expected a tensor on %s, got one on %s", dst->storage->backend->name,
                    src->storage->backend->name);
  vbl_tensor *apart = NULL;  // kernels copy by pieces, in an order of their own
  if (overlap(dst, src)) VBL_TRY(converted(src, src->dtype, &apart, err));
  copy_elements(dst, apart != NULL ? apart : src);
  if (apart != NULL) vbl_tensor_release(apart);
  dst->storage->version++;
  return VBL_OK;
}

// A strided tensor is filled by copying one element with strides of 0.
vbl_status vbl_tensor_fill(vbl_tensor *t, double value, vbl_error *err) {
  const vbl_backend *backend = t->storage->backend;
  t->storage->version++;
  vbl_branch_await(&t->storage->marks, true);
  vbl_branch_note(&t->storage->marks, true);
  if (vbl_tensor_is_contiguous(t)) {
    backend->fill(t->dtype, vbl_tensor_data(t), vbl_tensor_numel(t), value, NULL);
    return VBL_OK;
  }
  vbl_tensor *one;
  VBL_TRY(vbl_tensor_new(backend, t->dtype, 0, NULL, &one, err));
  backend->fill(t->dtype, vbl_tensor_data(one), 1, value, NULL);
  backend->copy(t->dtype, vbl_tensor_data(one), no_stride, t->dtype, vbl_tensor_data(t), t->stride, t->ndim, t->shape, NULL);
  vbl_tensor_release(one);
  return VBL_OK;
}

// What was f64 by the reference's kernels goes on by the CPU's, which have the other dtypes.
static vbl_status converted(const vbl_tensor *t, vbl_dtype dtype, vbl_tensor **out, vbl_error *err) {
  const vbl_backend *from = t->storage->backend;
  const bool leaves = t->dtype == VBL_F64 && dtype != VBL_F64 && from == vbl_reference_backend();
  VBL_TRY(vbl_tensor_new(leaves ? vbl_cpu_backend() : from, dtype, t->ndim, t->shape, out, err));
  copy_elements(*out, t);
  return VBL_OK;
}

vbl_status vbl_tensor_contiguous(const vbl_tensor *t, vbl_tensor **out, vbl_error *err) {
  if (!vbl_tensor_is_contiguous(t)) return converted(t, t->dtype, out, err);
  *out = vbl_tensor_retain((vbl_tensor *)t);
  return VBL_OK;
}

vbl_status vbl_tensor_to_dtype(const vbl_tensor *t, vbl_dtype dtype, vbl_tensor **out, vbl_error *err) {
  if (t->dtype != dtype) return converted(t, dtype, out, err);
  *out = vbl_tensor_retain((vbl_tensor *)t);
  return VBL_OK;
}

// Contiguous bytes from one memory to the other, by way of the host.
static vbl_status transfer(const vbl_tensor *from, vbl_tensor *to, vbl_error *err) {
  const size_t bytes = (size_t)vbl_tensor_numel(from) * vbl_dtype_size(from->dtype);
  const vbl_backend *a = from->storage->backend, *b = to->storage->backend;
  if (bytes == 0) return VBL_OK;
  vbl_branches_meet();
  if (a->host || b->host) {
    if (a->host) {  // what fails on the way is said by the next sync: the host need not wait
      b->from_host(vbl_tensor_data(to), vbl_tensor_data(from), bytes, NULL);
      vbl_branch_note(&to->storage->marks, true);  // after the meeting
      return VBL_OK;
    }
    a->to_host(vbl_tensor_data(to), vbl_tensor_data(from), bytes, NULL);
    return a->sync(NULL, err);
  }
  void *host = malloc(bytes);
  if (host == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %zu bytes between two devices", bytes);
  a->to_host(host, vbl_tensor_data(from), bytes, NULL);
  vbl_status status = a->sync(NULL, err);
  b->from_host(vbl_tensor_data(to), host, bytes, NULL);
  if (status == VBL_OK) status = b->sync(NULL, err);
  free(host);
  return status;
}

vbl_status vbl_tensor_to_backend(const vbl_tensor *t, const vbl_backend *backend, vbl_tensor **out, vbl_error *err) {
  if (one_memory(t->storage->backend, backend)) {
    *out = vbl_tensor_retain((vbl_tensor *)t);
    return VBL_OK;
  }
  vbl_tensor *dense = NULL, *moved = NULL;
  VBL_TRY(vbl_tensor_contiguous(t, &dense, err));
  vbl_status status = vbl_tensor_new(backend, t->dtype, t->ndim, t->shape, &moved, err);
  if (status == VBL_OK) status = transfer(dense, moved, err);
  vbl_tensor_release(dense);
  if (status == VBL_OK)
    *out = moved;
  else
    vbl_tensor_release(moved);
  return status;
}

// Dense bytes of the host; *out NULL: the backend has no memory for it.
static vbl_status sent(const vbl_tensor *dense, const vbl_backend *backend, vbl_tensor **out, vbl_error *err) {
  const size_t bytes = (size_t)vbl_tensor_numel(dense) * vbl_dtype_size(dense->dtype);
  vbl_storage *storage;
  void *data = bytes > 0 ? backend->send(vbl_tensor_data(dense), bytes, NULL) : NULL;
  *out = NULL;
  if (data == NULL) return VBL_OK;
  VBL_TRY(vbl_storage_adopt(backend, data, bytes, &storage, err));
  vbl_status status = vbl_tensor_on(storage, dense->dtype, dense->ndim, dense->shape, dense->stride, 0, out, err);
  vbl_storage_release(storage);
  return status;
}

vbl_status vbl_tensor_send(const vbl_tensor *t, const vbl_backend *backend, vbl_tensor **out, vbl_error *err) {
  vbl_tensor *dense = NULL;
  if (backend->send == NULL || !t->storage->backend->host || t->dtype == VBL_F64)
    return vbl_tensor_to_backend(t, backend, out, err);
  VBL_TRY(vbl_tensor_contiguous(t, &dense, err));
  vbl_status status = sent(dense, backend, out, err);
  if (status == VBL_OK && *out == NULL) status = vbl_tensor_to_backend(dense, backend, out, err);
  vbl_tensor_release(dense);
  return status;
}

static int64_t element_at(const vbl_tensor *t, const int64_t *index) {
  int64_t at = t->offset;
  for (int i = 0; i < t->ndim; i++) at += index[i] * t->stride[i];
  return at;
}

// Who converts an element that is on the host.
static const vbl_backend *host_kernels(const vbl_tensor *t) {
  return t->storage->backend->host ? t->storage->backend : vbl_cpu_backend();
}

// One element converted by the backend's own rules, so that they are written once.
double vbl_tensor_get(const vbl_tensor *t, const int64_t *index) {
  double value, element;  // `element` holds any dtype
  const void *at = (const char *)t->storage->data + element_at(t, index) * (int64_t)vbl_dtype_size(t->dtype);
  if (!t->storage->backend->host) {
    vbl_branches_meet();
    t->storage->backend->to_host(&element, at, vbl_dtype_size(t->dtype), NULL);
    at = &element;
  }
  host_kernels(t)->copy(t->dtype, at, no_stride, VBL_F64, &value, no_stride, 0, no_stride, NULL);
  return value;
}

void vbl_tensor_get_row(const vbl_tensor *t, const int64_t *index, int64_t n, double *values) {
  const int64_t stride = t->stride[t->ndim - 1], one = 1;
  const char *at = (const char *)t->storage->data + element_at(t, index) * (int64_t)vbl_dtype_size(t->dtype);
  host_kernels(t)->copy(t->dtype, at, &stride, VBL_F64, values, &one, 1, &n, NULL);
}

void vbl_tensor_set(vbl_tensor *t, const int64_t *index, double value) {
  double element = 0;
  char *at = (char *)t->storage->data + element_at(t, index) * (int64_t)vbl_dtype_size(t->dtype);
  void *to = t->storage->backend->host ? (void *)at : &element;
  host_kernels(t)->copy(VBL_F64, &value, no_stride, t->dtype, to, no_stride, 0, no_stride, NULL);
  if (to != at) {
    vbl_branches_meet();
    vbl_branch_note(&t->storage->marks, true);
    t->storage->backend->from_host(at, to, vbl_dtype_size(t->dtype), NULL);
  }
  t->storage->version++;
}
