// Dtypes and shapes: names, sizes, strides, text.
// defines: vbl_dtype_size, vbl_dtype_name, vbl_dtype_parse, vbl_shape_text, vbl_shape_numel, vbl_shape_strides,
//          vbl_tensor_numel, vbl_tensor_is_contiguous, vbl_tensor_same_shape
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/tensor/storage.h"

static const struct {
  const char *name;
  size_t size;
} dtypes[VBL_DTYPES] = {
    [VBL_F32] = {"f32", 4}, [VBL_F64] = {"f64", 8}, [VBL_BF16] = {"bf16", 2}, [VBL_I32] = {"i32", 4}, [VBL_U8] = {"u8", 1}};

size_t vbl_dtype_size(vbl_dtype d) { return dtypes[d].size; }

const char *vbl_dtype_name(vbl_dtype d) { return dtypes[d].name; }

bool vbl_dtype_parse(const char *name, vbl_dtype *out) {
  for (int d = 0; d < VBL_DTYPES; d++) {
    if (strcmp(name, dtypes[d].name) != 0) continue;
    *out = (vbl_dtype)d;
    return true;
  }
  return false;
}

char *vbl_shape_text(int ndim, const int64_t *shape, char buf[VBL_SHAPE_TEXT]) {
  size_t at = 0;
  buf[at++] = '[';
  for (int i = 0; i < ndim && at < VBL_SHAPE_TEXT; i++)
    at += (size_t)snprintf(buf + at, VBL_SHAPE_TEXT - at, "%s%" PRId64, i > 0 ? ", " : "", shape[i]);
  if (at > VBL_SHAPE_TEXT - 2) at = VBL_SHAPE_TEXT - 2;
  buf[at] = ']';
  buf[at + 1] = '\0';
  return buf;
}

int64_t vbl_shape_numel(int ndim, const int64_t *shape) {
  int64_t n = 1;
  for (int i = 0; i < ndim; i++) n *= shape[i];
  return n;
}

void vbl_shape_strides(int ndim, const int64_t *shape, int64_t *stride) {
  int64_t step = 1;
  for (int i = ndim - 1; i >= 0; i--) {
    stride[i] = step;
    step *= shape[i] > 0 ? shape[i] : 1;
  }
}

int64_t vbl_tensor_numel(const vbl_tensor *t) { return vbl_shape_numel(t->ndim, t->shape); }

bool vbl_tensor_is_contiguous(const vbl_tensor *t) {
  int64_t step = 1;
  if (vbl_tensor_numel(t) == 0) return true;
  for (int i = t->ndim - 1; i >= 0; i--) {
    if (t->shape[i] != 1 && t->stride[i] != step) return false;
    step *= t->shape[i];
  }
  return true;
}

bool vbl_tensor_same_shape(const vbl_tensor *a, const vbl_tensor *b) {
  return a->ndim == b->ndim && memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) == 0;
}
