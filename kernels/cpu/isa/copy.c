// copy: any dtype to any dtype, any strides. fill: any dtype.
// defines: vbl_cpu_copy, vbl_cpu_fill
#include "kernels/cpu/isa/convert.h"
#include "kernels/cpu/isa/strided.h"

#define CASES(S, s_get)                                                                                  \
  static void from_##S##_(const void *src, vbl_dtype to, void *dst, int64_t n, int64_t ss, int64_t sd) { \
    const S *x = src;                                                                                    \
    switch (to) {                                                                                        \
      case VBL_F32:                                                                                      \
        RUN(float, (float)s_get)                                                                         \
      case VBL_F64:                                                                                      \
        RUN(double, (double)s_get)                                                                       \
      case VBL_BF16:                                                                                     \
        RUN(vbl_bf16, vbl_to_bf16((float)s_get))                                                         \
      case VBL_I32:                                                                                      \
        RUN(int32_t, vbl_to_i32((double)s_get))                                                          \
      case VBL_U8:                                                                                       \
        RUN(uint8_t, vbl_to_u8((double)s_get))                                                           \
      case VBL_DTYPES:                                                                                   \
        break;                                                                                           \
    }                                                                                                    \
  }
#define RUN(D, expr)                                        \
  {                                                         \
    D *y = dst;                                             \
    if (ss == 1 && sd == 1) {                               \
      _Pragma("omp simd") for (int64_t i = 0; i < n; i++) { \
        const int64_t at = i;                               \
        y[i] = (expr);                                      \
      }                                                     \
    } else {                                                \
      for (int64_t i = 0; i < n; i++) {                     \
        const int64_t at = i * ss;                          \
        y[i * sd] = (expr);                                 \
      }                                                     \
    }                                                       \
    break;                                                  \
  }
CASES(float, x[at])
CASES(double, x[at])
CASES(vbl_bf16, vbl_from_bf16(x[at]))
CASES(int32_t, x[at])
CASES(uint8_t, x[at])
#undef RUN
#undef CASES

static const size_t width[VBL_DTYPES] = {[VBL_F32] = 4, [VBL_F64] = 8, [VBL_BF16] = 2, [VBL_I32] = 4, [VBL_U8] = 1};

static void run(vbl_dtype from, const char *src, vbl_dtype to, char *dst, int64_t n, int64_t ss, int64_t sd) {
  if (from == to && ss == 1 && sd == 1) {
    memcpy(dst, src, (size_t)n * width[to]);
    return;
  }
  switch (from) {
    case VBL_F32:
      from_float_(src, to, dst, n, ss, sd);
      break;
    case VBL_F64:
      from_double_(src, to, dst, n, ss, sd);
      break;
    case VBL_BF16:
      from_vbl_bf16_(src, to, dst, n, ss, sd);
      break;
    case VBL_I32:
      from_int32_t_(src, to, dst, n, ss, sd);
      break;
    case VBL_U8:
      from_uint8_t_(src, to, dst, n, ss, sd);
      break;
    case VBL_DTYPES:
      break;
  }
}

void VBL_K(copy)(vbl_dtype from, const void *src, const int64_t *src_stride, vbl_dtype to, void *dst, const int64_t *dst_stride,
                 int ndim, const int64_t *shape, vbl_stream s) {
  (void)s;
  const vbl_loop l = vbl_loop_make(ndim, shape, 2, (const int64_t *const[]){src_stride, dst_stride});
  const int64_t ss = l.stride[0][l.ndim - 1], sd = l.stride[1][l.ndim - 1];
#pragma omp parallel for schedule(static) if (l.elements > VBL_GRAIN)
  for (int64_t tile = 0; tile < l.tiles; tile++) {
    const vbl_tile t = vbl_loop_tile(&l, tile);
    run(from, (const char *)src + t.at[0] * (int64_t)width[from], to, (char *)dst + t.at[1] * (int64_t)width[to], t.n, ss, sd);
  }
}

#define FILL(T, v)                                                                                            \
  {                                                                                                           \
    T *y = x;                                                                                                 \
    const T c = (v);                                                                                          \
    _Pragma("omp parallel for schedule(static) if (n > VBL_GRAIN)") for (int64_t i = 0; i < n; i++) y[i] = c; \
    break;                                                                                                    \
  }
void VBL_K(fill)(vbl_dtype T, void *x, int64_t n, double value, vbl_stream s) {
  (void)s;
  switch (T) {
    case VBL_F32:
      FILL(float, (float)value)
    case VBL_F64:
      FILL(double, value)
    case VBL_BF16:
      FILL(vbl_bf16, vbl_to_bf16((float)value))
    case VBL_I32:
      FILL(int32_t, vbl_to_i32(value))
    case VBL_U8:
      FILL(uint8_t, vbl_to_u8(value))
    case VBL_DTYPES:
      break;
  }
}
