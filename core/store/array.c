#include "core/store/array.h"

#include <stdlib.h>
#include <string.h>

static const struct {
  uint8_t size, target;
} dtypes[VBL_FILE_DTYPES] = {
    [VBL_FILE_F32] = {4, VBL_F32}, [VBL_FILE_F64] = {8, VBL_F64}, [VBL_FILE_BF16] = {2, VBL_BF16}, [VBL_FILE_I32] = {4, VBL_I32},
    [VBL_FILE_U8] = {1, VBL_U8},   [VBL_FILE_F16] = {2, VBL_F32}, [VBL_FILE_I64] = {8, VBL_I32},   [VBL_FILE_BOOL] = {1, VBL_U8},
    [VBL_FILE_I8] = {1, VBL_I32},  [VBL_FILE_I16] = {2, VBL_I32}, [VBL_FILE_U16] = {2, VBL_I32},
};

size_t vbl_file_dtype_size(vbl_file_dtype d) { return dtypes[d].size; }
vbl_dtype vbl_file_dtype_target(vbl_file_dtype d) { return (vbl_dtype)dtypes[d].target; }

// IEEE binary16 to binary32: exact.
static float half_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 1023, bits;
  float f;
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24
    f = (float)mantissa * 0x1p-24f;
    return sign ? -f : f;
  }
  bits = sign | (exponent == 31 ? 0x7F800000u : (exponent + 112) << 23) | mantissa << 13;
  memcpy(&f, &bits, 4);
  return f;
}

static vbl_status convert_i64(const char *src, int32_t *dst, int64_t n, const char *name, vbl_error *err) {
  for (int64_t i = 0; i < n; i++) {
    int64_t v;
    memcpy(&v, src + 8 * i, 8);
    if (v < INT32_MIN || v > INT32_MAX)
      return vbl_fail(err, VBL_EIO, "%s: element %lld is %lld, outside i32 (64-bit integers are read as i32)", name, (long long)i,
                      (long long)v);
    dst[i] = (int32_t)v;
  }
  return VBL_OK;
}

static int32_t small_integer(vbl_file_dtype d, const char *src, int64_t i) {
  uint16_t u;
  if (d == VBL_FILE_I8) return (int8_t)src[i];
  memcpy(&u, src + 2 * i, 2);
  return d == VBL_FILE_I16 ? (int16_t)u : u;
}

vbl_status vbl_file_dtype_convert(vbl_file_dtype d, const void *src, void *dst, int64_t n, const char *name, vbl_error *err) {
  const char *s = src;
  if (d == VBL_FILE_I64) return convert_i64(s, dst, n, name, err);
  if (d == VBL_FILE_I8 || d == VBL_FILE_I16 || d == VBL_FILE_U16) {
    for (int64_t i = 0; i < n; i++) ((int32_t *)dst)[i] = small_integer(d, s, i);
  } else if (d == VBL_FILE_F16) {
    for (int64_t i = 0; i < n; i++) {
      uint16_t h;
      memcpy(&h, s + 2 * i, 2);
      ((float *)dst)[i] = half_to_float(h);
    }
  } else if (n > 0) {
    memcpy(dst, src, (size_t)n * vbl_file_dtype_size(d));
  }
  return VBL_OK;
}

vbl_status vbl_array_size(int ndim, const int64_t *shape, size_t element, uint64_t *bytes, vbl_error *err) {
  uint64_t n = element;
  bool empty = false;
  for (int i = 0; i < ndim; i++) {
    if (shape[i] < 0) return vbl_fail(err, VBL_EIO, "dim %d is %lld", i + 1, (long long)shape[i]);
    if (shape[i] == 0)
      empty = true;
    else if (__builtin_mul_overflow(n, (uint64_t)shape[i], &n) || n > INT64_MAX)
      return vbl_fail(err, VBL_EIO, "the shape's size overflows 63 bits");
  }
  *bytes = empty ? 0 : n;
  return VBL_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

const char *vbl_names_twice(const char **names, int64_t n) {
  qsort(names, (size_t)n, sizeof *names, by_name);
  for (int64_t i = 1; i < n; i++)
    if (strcmp(names[i - 1], names[i]) == 0) return names[i];
  return NULL;
}
