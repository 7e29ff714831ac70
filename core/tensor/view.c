// Views without history. Offsets are absolute, so a view of a view refers to the root's storage.
// defines: vbl_tensor_as_strided, vbl_tensor_narrow, vbl_tensor_reshape_view
#include <inttypes.h>
#include <string.h>

#include "core/tensor/storage.h"

// Lowest and highest element offset that the view reaches, relative to its first element; false on overflow.
static bool reach(int ndim, const int64_t *shape, const int64_t *stride, int64_t *low, int64_t *high) {
  *low = *high = 0;
  for (int i = 0; i < ndim; i++) {
    int64_t span, *end = stride[i] < 0 ? low : high;
    if (__builtin_mul_overflow(shape[i] - 1, stride[i], &span) || __builtin_add_overflow(*end, span, end)) return false;
  }
  return true;
}

vbl_status vbl_tensor_as_strided(const vbl_tensor *t, int ndim, const int64_t *shape, const int64_t *stride, int64_t offset,
                                 vbl_tensor **out, vbl_error *err) {
  if (ndim < 0 || ndim > VBL_MAX_DIMS) return vbl_fail(err, VBL_EINVAL, "a tensor has at most %d dims, got %d", VBL_MAX_DIMS, ndim);
  bool empty = false;
  for (int i = 0; i < ndim; i++) {
    if (shape[i] < 0) return vbl_fail(err, VBL_EINVAL, "a dim is at least 0, got %" PRId64, shape[i]);
    if (shape[i] == 0) empty = true;
  }
  int64_t elements = (int64_t)(t->storage->bytes / vbl_dtype_size(t->dtype)), low, high;
  bool inside =
      reach(ndim, shape, stride, &low, &high) && offset >= 0 && offset <= elements && low >= -offset && high < elements - offset;
  if (!empty && !inside) {
    char a[VBL_SHAPE_TEXT], b[VBL_SHAPE_TEXT];
    return vbl_fail(err, VBL_EINVAL,
                    "a view %s with strides %s from element %" PRId64 " leaves its storage of %" PRId64 " elements",
                    vbl_shape_text(ndim, shape, a), vbl_shape_text(ndim, stride, b), offset, elements);
  }
  return vbl_tensor_on(t->storage, t->dtype, ndim, shape, stride, empty ? 0 : offset, out, err);
}

vbl_status vbl_tensor_narrow(const vbl_tensor *t, int dim, int64_t start, int64_t length, vbl_tensor **out, vbl_error *err) {
  if (dim < 0 || dim >= t->ndim) return vbl_fail(err, VBL_EINVAL, "expected a dim in [0, %d), got %d", t->ndim, dim);
  if (start < 0 || length < 0 || start > t->shape[dim] || length > t->shape[dim] - start)
    return vbl_fail(err, VBL_EINVAL, "a slice of length %" PRId64 " from %" PRId64 " leaves dim %d of size %" PRId64, length, start,
                    dim, t->shape[dim]);
  int64_t shape[VBL_MAX_DIMS];
  memcpy(shape, t->shape, sizeof shape);
  shape[dim] = length;
  bool empty = vbl_shape_numel(t->ndim, shape) == 0;
  return vbl_tensor_on(t->storage, t->dtype, t->ndim, shape, t->stride, empty ? t->offset : t->offset + start * t->stride[dim], out,
                       err);
}

// Replaces one -1 in shape by what the number of elements leaves for it; false when that is impossible.
static bool fill_in(int ndim, const int64_t *shape, int64_t numel, int64_t *full) {
  int64_t known = 1;
  int missing = -1;
  for (int i = 0; i < ndim; i++) {
    full[i] = shape[i];
    if (shape[i] == -1 && missing < 0) {
      missing = i;
    } else if (shape[i] < 0 || __builtin_mul_overflow(known, shape[i], &known)) {
      return false;
    }
  }
  if (missing < 0) return known == numel;
  if (known == 0 || numel % known != 0) return false;
  full[missing] = numel / known;
  return true;
}

// Strides of `shape` over t's elements in order: each run of t's dims that lies evenly in memory is split anew. False where
// a new dim would cross a break between runs.
static bool split_strides(const vbl_tensor *t, int ndim, const int64_t *shape, int64_t *stride) {
  int j = ndim - 1;
  for (int i = t->ndim - 1; i >= 0;) {
    if (t->shape[i] == 1) {
      i--;
      continue;
    }
    int64_t step = t->stride[i], run = t->shape[i];
    for (i--; i >= 0 && (t->shape[i] == 1 || t->stride[i] == step * run); i--) run *= t->shape[i];
    int64_t covered = 1;
    while (j >= 0 && covered * shape[j] <= run) {
      stride[j] = step * covered;
      covered *= shape[j--];
    }
    if (covered != run) return false;
  }
  for (; j >= 0; j--) stride[j] = 1;  // only dims of size 1 are left
  return true;
}

vbl_status vbl_tensor_reshape_view(const vbl_tensor *t, int ndim, const int64_t *shape, vbl_tensor **out, vbl_error *err) {
  if (ndim < 0 || ndim > VBL_MAX_DIMS) return vbl_fail(err, VBL_EINVAL, "a tensor has at most %d dims, got %d", VBL_MAX_DIMS, ndim);
  char a[VBL_SHAPE_TEXT], b[VBL_SHAPE_TEXT];
  int64_t numel = vbl_tensor_numel(t), full[VBL_MAX_DIMS], stride[VBL_MAX_DIMS];
  if (!fill_in(ndim, shape, numel, full))
    return vbl_fail(err, VBL_EINVAL, "cannot reshape %s to %s: the numbers of elements differ",
                    vbl_shape_text(t->ndim, t->shape, a), vbl_shape_text(ndim, shape, b));
  if (numel == 0) {
    vbl_shape_strides(ndim, full, stride);
  } else if (!split_strides(t, ndim, full, stride)) {
    return vbl_fail(err, VBL_EINVAL, "cannot view a strided tensor %s as %s; make it contiguous first",
                    vbl_shape_text(t->ndim, t->shape, a), vbl_shape_text(ndim, full, b));
  }
  return vbl_tensor_on(t->storage, t->dtype, ndim, full, stride, t->offset, out, err);
}
