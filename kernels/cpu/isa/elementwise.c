// Elementwise ops: unary functions and their derivatives, broadcasting binary functions, y = alpha x + beta y.
// f32; binary also i32. GELU, exp and sigmoid are vectorised; log, tanh, sin, cos and pow call libm.
// defines: vbl_cpu_unary, vbl_cpu_unary_backward, vbl_cpu_binary, vbl_cpu_scale_add
#include <math.h>

#include "kernels/cpu/isa/strided.h"
#include "kernels/cpu/isa/vecmath.h"

#define LOOP(out, expr)                                                                                                       \
  {                                                                                                                           \
    _Pragma("omp parallel for simd schedule(static) if (n > VBL_GRAIN)") for (int64_t i = 0; i < n; i++) { out[i] = (expr); } \
    break;                                                                                                                    \
  }

void VBL_K(unary)(vbl_unary f, const void *x_, void *y_, int64_t n, vbl_stream s) {
  (void)s;
  const float *x = x_;
  float *y = y_;
  switch (f) {
    case VBL_NEG:
      LOOP(y, -x[i])
    case VBL_ABS:
      LOOP(y, fabsf(x[i]))
    case VBL_EXP:
      LOOP(y, vbl_exp(x[i]))
    case VBL_LOG:
      LOOP(y, logf(x[i]))
    case VBL_SQRT:
      LOOP(y, sqrtf(x[i]))
    case VBL_TANH:
      LOOP(y, tanhf(x[i]))
    case VBL_SIGMOID:
      LOOP(y, vbl_sigmoid(x[i]))
    case VBL_RELU:
      LOOP(y, x[i] < 0 ? 0.0f : x[i])
    case VBL_GELU:
      LOOP(y, vbl_gelu(x[i]))
    case VBL_SQUARE:
      LOOP(y, x[i] * x[i])
    case VBL_RECIPROCAL:
      LOOP(y, 1.0f / x[i])
    case VBL_SIN:
      LOOP(y, sinf(x[i]))
    case VBL_COS:
      LOOP(y, cosf(x[i]))
  }
}

// At a kink (abs, relu at 0) the derivative is 0, as in the field's other libraries.
void VBL_K(unary_backward)(vbl_unary f, const void *x_, const void *y_, const void *dy_, void *dx_, int64_t n, vbl_stream s) {
  (void)s;
  const float *x = x_, *y = y_, *dy = dy_;
  float *dx = dx_;
  switch (f) {
    case VBL_NEG:
      LOOP(dx, -dy[i])
    case VBL_ABS:
      LOOP(dx, x[i] > 0 ? dy[i] : x[i] < 0 ? -dy[i] : 0.0f)
    case VBL_EXP:
      LOOP(dx, dy[i] * y[i])
    case VBL_LOG:
      LOOP(dx, dy[i] / x[i])
    case VBL_SQRT:
      LOOP(dx, dy[i] / (2.0f * y[i]))
    case VBL_TANH:
      LOOP(dx, dy[i] * (1.0f - y[i] * y[i]))
    case VBL_SIGMOID:
      LOOP(dx, dy[i] * y[i] * (1.0f - y[i]))
    case VBL_RELU:
      LOOP(dx, x[i] > 0 ? dy[i] : 0.0f)
    case VBL_GELU:
      LOOP(dx, dy[i] * vbl_gelu_slope(x[i]))
    case VBL_SQUARE:
      LOOP(dx, 2.0f * dy[i] * x[i])
    case VBL_RECIPROCAL:
      LOOP(dx, -dy[i] * y[i] * y[i])
    case VBL_SIN:
      LOOP(dx, dy[i] * cosf(x[i]))
    case VBL_COS:
      LOOP(dx, -dy[i] * sinf(x[i]))
  }
}
#undef LOOP

// The inner loop of a binary function, specialised on the strides that matter.
#define INNER(T, expr)                                                                                                        \
  {                                                                                                                           \
    const int64_t sa = l.stride[0][l.ndim - 1], sb = l.stride[1][l.ndim - 1];                                                 \
    _Pragma("omp parallel for schedule(static) if (l.elements > VBL_GRAIN)") for (int64_t tile = 0; tile < l.tiles; tile++) { \
      const vbl_tile t = vbl_loop_tile(&l, tile);                                                                             \
      const T *a = (const T *)a_ + t.at[0], *b = (const T *)b_ + t.at[1];                                                     \
      T *y = (T *)out_ + t.at[2];                                                                                             \
      if (sa == 1 && sb == 1) {                                                                                               \
        _Pragma("omp simd") for (int64_t i = 0; i < t.n; i++) {                                                               \
          const T u = a[i], v = b[i];                                                                                         \
          y[i] = (T)(expr);                                                                                                   \
        }                                                                                                                     \
      } else if (sa == 1 && sb == 0) {                                                                                        \
        const T v = b[0];                                                                                                     \
        _Pragma("omp simd") for (int64_t i = 0; i < t.n; i++) {                                                               \
          const T u = a[i];                                                                                                   \
          y[i] = (T)(expr);                                                                                                   \
        }                                                                                                                     \
      } else {                                                                                                                \
        for (int64_t i = 0; i < t.n; i++) {                                                                                   \
          const T u = a[i * sa], v = b[i * sb];                                                                               \
          y[i] = (T)(expr);                                                                                                   \
        }                                                                                                                     \
      }                                                                                                                       \
    }                                                                                                                         \
    break;                                                                                                                    \
  }

static void binary_f32(vbl_binary f, const void *a_, const void *b_, void *out_, vbl_loop l) {
  switch (f) {
    case VBL_ADD:
      INNER(float, u + v)
    case VBL_SUB:
      INNER(float, u - v)
    case VBL_MUL:
      INNER(float, u *v)
    case VBL_DIV:
      INNER(float, u / v)
    case VBL_MAXIMUM:
      INNER(float, u > v || u != u ? u : v)  // NaN wins
    case VBL_MINIMUM:
      INNER(float, u < v || u != u ? u : v)
    case VBL_POW:
      INNER(float, powf(u, v))
    case VBL_EQ:
      INNER(float, u == v)
    case VBL_NE:
      INNER(float, u != v)
    case VBL_LT:
      INNER(float, u < v)
    case VBL_LE:
      INNER(float, u <= v)
    case VBL_GT:
      INNER(float, u > v)
    case VBL_GE:
      INNER(float, u >= v)
  }
}

// Truncating; x / 0 is 0. In 64 bits, because INT32_MIN / -1 does not fit in 32 (it wraps).
static inline int64_t divide(int64_t a, int64_t b) { return b == 0 ? 0 : a / b; }

// Wraps modulo 2^32; a negative exponent truncates the rational result towards 0.
static inline uint32_t power(int32_t base, int32_t exponent) {
  if (exponent < 0) return base == 1 ? 1u : base == -1 ? (exponent & 1 ? (uint32_t)-1 : 1u) : 0u;
  uint32_t y = 1, b = (uint32_t)base;
  for (; exponent; exponent >>= 1, b *= b) {
    if (exponent & 1) y *= b;
  }
  return y;
}

static void binary_i32(vbl_binary f, const void *a_, const void *b_, void *out_, vbl_loop l) {
  switch (f) {
    case VBL_ADD:
      INNER(int32_t, (uint32_t)u + (uint32_t)v)  // unsigned: wraps, where signed overflow is undefined
    case VBL_SUB:
      INNER(int32_t, (uint32_t)u - (uint32_t)v)
    case VBL_MUL:
      INNER(int32_t, (uint32_t)u * (uint32_t)v)
    case VBL_DIV:
      INNER(int32_t, divide(u, v))
    case VBL_MAXIMUM:
      INNER(int32_t, u > v ? u : v)
    case VBL_MINIMUM:
      INNER(int32_t, u < v ? u : v)
    case VBL_POW:
      INNER(int32_t, power(u, v))
    case VBL_EQ:
      INNER(int32_t, u == v)
    case VBL_NE:
      INNER(int32_t, u != v)
    case VBL_LT:
      INNER(int32_t, u < v)
    case VBL_LE:
      INNER(int32_t, u <= v)
    case VBL_GT:
      INNER(int32_t, u > v)
    case VBL_GE:
      INNER(int32_t, u >= v)
  }
}
#undef INNER

void VBL_K(binary)(vbl_binary f, vbl_dtype T, const void *a, const int64_t *a_stride, const void *b, const int64_t *b_stride,
                   void *out, int ndim, const int64_t *shape, vbl_stream s) {
  (void)s;
  int64_t out_stride[VBL_MAX_DIMS], step = 1;
  for (int i = ndim - 1; i >= 0; i--) {
    out_stride[i] = step;
    step *= shape[i];
  }
  const vbl_loop l = vbl_loop_make(ndim, shape, 3, (const int64_t *const[]){a_stride, b_stride, out_stride});
  if (T == VBL_I32) {
    binary_i32(f, a, b, out, l);
  } else {
    binary_f32(f, a, b, out, l);
  }
}

void VBL_K(scale_add)(double alpha, const void *x_, double beta, void *y_, int64_t n, vbl_stream s) {
  (void)s;
  const float *x = x_, a = (float)alpha, b = (float)beta;
  float *y = y_;
  if (beta == 0) {
#pragma omp parallel for simd schedule(static) if (n > VBL_GRAIN)
    for (int64_t i = 0; i < n; i++) y[i] = a * x[i];
  } else {
#pragma omp parallel for simd schedule(static) if (n > VBL_GRAIN)
    for (int64_t i = 0; i < n; i++) y[i] = a * x[i] + b * y[i];
  }
}
