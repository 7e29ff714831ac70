// Reference copy and fill: any dtype to any other, any strides, by way of double (which holds every value of every dtype).
// defines: vbl_ref_load, vbl_ref_store, vbl_ref_copy, vbl_ref_fill
#include <math.h>
#include <string.h>

#include "kernels/ref/ref.h"

static float bf16_to_f32(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// bf16 is the upper half of an f32. Adding 0x7fff, and one more where the last kept bit is odd, rounds to nearest even; a NaN
// must not be rounded (its payload could carry into infinity), so it keeps its upper half with the quiet bit set.
static uint16_t f32_to_bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if (isnan(value)) return (uint16_t)((bits >> 16) | 0x40u);
  uint32_t last_kept = (bits >> 16) & 1u;
  return (uint16_t)((bits + 0x7fffu + last_kept) >> 16);
}

static double truncate_between(double value, double low, double high) {
  if (isnan(value)) return 0;
  if (value <= low) return low;
  if (value >= high) return high;
  return trunc(value);
}

double vbl_ref_load(vbl_dtype T, const void *x, int64_t i) {
  switch (T) {
    case VBL_F32:
      return (double)((const float *)x)[i];
    case VBL_F64:
      return ((const double *)x)[i];
    case VBL_BF16:
      return (double)bf16_to_f32(((const uint16_t *)x)[i]);
    case VBL_I32:
      return (double)((const int32_t *)x)[i];
    case VBL_U8:
      return (double)((const uint8_t *)x)[i];
    case VBL_DTYPES:
      break;
  }
  return NAN;
}

void vbl_ref_store(vbl_dtype T, void *x, int64_t i, double value) {
  switch (T) {
    case VBL_F32:
      ((float *)x)[i] = (float)value;
      break;
    case VBL_F64:
      ((double *)x)[i] = value;
      break;
    case VBL_BF16:
      ((uint16_t *)x)[i] = f32_to_bf16((float)value);
      break;
    case VBL_I32:
      ((int32_t *)x)[i] = (int32_t)truncate_between(value, INT32_MIN, INT32_MAX);
      break;
    case VBL_U8:
      ((uint8_t *)x)[i] = (uint8_t)truncate_between(value, 0, UINT8_MAX);
      break;
    case VBL_DTYPES:
      break;
  }
}

// Dimension by dimension; ndim 0 is one element.
static void copy_dims(vbl_dtype from, const void *src, const int64_t *src_stride, int64_t src_at, vbl_dtype to, void *dst,
                      const int64_t *dst_stride, int64_t dst_at, int ndim, const int64_t *shape) {
  if (ndim == 0) {
    vbl_ref_store(to, dst, dst_at, vbl_ref_load(from, src, src_at));
    return;
  }
  for (int64_t i = 0; i < shape[0]; i++) {
    copy_dims(from, src, src_stride + 1, src_at + i * src_stride[0], to, dst, dst_stride + 1, dst_at + i * dst_stride[0], ndim - 1,
              shape + 1);
  }
}

void vbl_ref_copy(vbl_dtype from, const void *src, const int64_t *src_stride, vbl_dtype to, void *dst, const int64_t *dst_stride,
                  int ndim, const int64_t *shape, vbl_stream s) {
  (void)s;
  copy_dims(from, src, src_stride, 0, to, dst, dst_stride, 0, ndim, shape);
}

void vbl_ref_fill(vbl_dtype T, void *x, int64_t n, double value, vbl_stream s) {
  (void)s;
  for (int64_t i = 0; i < n; i++) vbl_ref_store(T, x, i, value);
}
