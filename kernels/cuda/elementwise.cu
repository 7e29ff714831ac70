// Elementwise functions and their derivatives, broadcasting binary functions, y = alpha x + beta y.
// defines: vbl_cuda_unary, vbl_cuda_unary_backward, vbl_cuda_binary, vbl_cuda_scale_add, vbl_cuda_mixed_scale_add
#include "kernels/cuda/backend.h"
#include "kernels/cuda/mixed.h"
#include "kernels/cuda/parts.h"

using namespace vbl_cuda;

static __device__ float sigmoid(float x) { return 1 / (1 + expf(-x)); }
static __device__ float normal_cdf(float x) { return 0.5f * (1 + erff(x * 0.70710678118654752f)); }
static __device__ float normal_density(float x) { return expf(-x * x / 2) * 0.39894228040143268f; }

static __device__ float apply(vbl_unary f, float x) {
  switch (f) {
    case VBL_NEG:
      return -x;
    case VBL_ABS:
      return fabsf(x);
    case VBL_EXP:
      return expf(x);
    case VBL_LOG:
      return logf(x);
    case VBL_SQRT:
      return sqrtf(x);
    case VBL_TANH:
      return tanhf(x);
    case VBL_SIGMOID:
      return sigmoid(x);
    case VBL_RELU:
      return x < 0 ? 0 : x;  // NaN stays
    case VBL_GELU:
      return x * normal_cdf(x);
    case VBL_SQUARE:
      return x * x;
    case VBL_RECIPROCAL:
      return 1 / x;
    case VBL_SIN:
      return sinf(x);
    case VBL_COS:
      return cosf(x);
  }
  return NAN;
}

// f'(x), from x or from y = f(x), whichever is cheaper; 0 at the kinks of abs and relu.
static __device__ float slope(vbl_unary f, float x, float y) {
  switch (f) {
    case VBL_NEG:
      return -1;
    case VBL_ABS:
      return x > 0 ? 1 : x < 0 ? -1 : 0;
    case VBL_EXP:
      return y;
    case VBL_LOG:
      return 1 / x;
    case VBL_SQRT:
      return 1 / (2 * y);
    case VBL_TANH:
      return 1 - y * y;
    case VBL_SIGMOID:
      return y * (1 - y);
    case VBL_RELU:
      return x > 0 ? 1 : 0;
    case VBL_GELU:
      return normal_cdf(x) + x * normal_density(x);
    case VBL_SQUARE:
      return 2 * x;
    case VBL_RECIPROCAL:
      return -y * y;
    case VBL_SIN:
      return cosf(x);
    case VBL_COS:
      return -sinf(x);
  }
  return NAN;
}

static __global__ void unary_kernel(vbl_unary f, const float *x, float *y, int64_t n) { VBL_EACH(i, n) y[i] = apply(f, x[i]); }

static __global__ void unary_backward_kernel(vbl_unary f, const float *x, const float *y, const float *dy, float *dx, int64_t n) {
  VBL_EACH(i, n) dx[i] = dy[i] * slope(f, x[i], y[i]);
}

template <class X, class Y>
static __global__ void scale_add_kernel(float alpha, const X *x, float beta, Y *y, int64_t n, bool aligned) {
  VBL_EACH(i, (n + PART - 1) / PART) {
    const int64_t j = i * PART;
    const bool whole = aligned && n - j >= PART;
    float v[PART], sum[PART] = {};
    load_part(x + j, n - j, whole, v);
    if (beta != 0) load_part(y + j, n - j, whole, sum);
    VBL_UNROLL
    for (int k = 0; k < PART; k++) v[k] = beta == 0 ? alpha * v[k] : alpha * v[k] + beta * sum[k];
    store_part(y + j, n - j, whole, v);
  }
}

void vbl_cuda_unary(vbl_unary f, const void *x, void *y, int64_t n, vbl_stream s) {
  if (n > 0) VBL_LAUNCH(unary_kernel, blocks_for(n), THREADS, s, f, (const float *)x, (float *)y, n);
}

void vbl_cuda_unary_backward(vbl_unary f, const void *x, const void *y, const void *dy, void *dx, int64_t n, vbl_stream s) {
  if (n > 0)
    VBL_LAUNCH(unary_backward_kernel, blocks_for(n), THREADS, s, f, (const float *)x, (const float *)y, (const float *)dy,
               (float *)dx, n);
}

void vbl_cuda_scale_add(double alpha, const void *x, double beta, void *y, int64_t n, vbl_stream s) {
  vbl_cuda_mixed_scale_add(alpha, VBL_F32, x, beta, VBL_F32, y, n, s);
}

template <class X, class Y>
static void scale_add(float alpha, const X *x, float beta, Y *y, int64_t n, vbl_stream s) {
  const bool aligned = whole_parts(0, (const void *)x, (const void *)y);
  if (n > 0) VBL_LAUNCH((scale_add_kernel<X, Y>), blocks_for(n, THREADS * PART), THREADS, s, alpha, x, beta, y, n, aligned);
}

void vbl_cuda_mixed_scale_add(double alpha, vbl_dtype x_type, const void *x, double beta, vbl_dtype y_type, void *y, int64_t n,
                              vbl_stream s) {
  VBL_BY_TYPE(x_type, X, VBL_BY_TYPE(y_type, Y, scale_add((float)alpha, (const X *)x, (float)beta, (Y *)y, n, s)));
}

static __device__ float real_binary(vbl_binary f, float a, float b) {
  switch (f) {
    case VBL_ADD:
      return a + b;
    case VBL_SUB:
      return a - b;
    case VBL_MUL:
      return a * b;
    case VBL_DIV:
      return a / b;
    case VBL_MAXIMUM:
      return isnan(a) || a > b ? a : b;  // a NaN on either side comes through
    case VBL_MINIMUM:
      return isnan(a) || a < b ? a : b;
    case VBL_POW:
      return powf(a, b);
    case VBL_EQ:
      return a == b;
    case VBL_NE:
      return a != b;
    case VBL_LT:
      return a < b;
    case VBL_LE:
      return a <= b;
    case VBL_GT:
      return a > b;
    case VBL_GE:
      return a >= b;
  }
  return NAN;
}

// a^b modulo 2^32; a negative exponent gives the quotient 1 / a^-b, truncated.
static __device__ int64_t integer_power(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 == 0 ? 1 : -1) : 0;
  uint32_t result = 1, base = (uint32_t)a;
  for (uint64_t rest = (uint64_t)b; rest > 0; rest >>= 1) {
    if (rest & 1) result *= base;
    base *= base;
  }
  return result;
}

// In 64 bits, of which the caller keeps the lower 32: sums wrap; a quotient truncates, and a quotient by 0 is 0.
static __device__ int64_t integer_binary(vbl_binary f, int64_t a, int64_t b) {
  switch (f) {
    case VBL_ADD:
      return a + b;
    case VBL_SUB:
      return a - b;
    case VBL_MUL:
      return a * b;
    case VBL_DIV:
      return b == 0 ? 0 : a / b;
    case VBL_MAXIMUM:
      return a > b ? a : b;
    case VBL_MINIMUM:
      return a < b ? a : b;
    case VBL_POW:
      return integer_power(a, b);
    case VBL_EQ:
      return a == b;
    case VBL_NE:
      return a != b;
    case VBL_LT:
      return a < b;
    case VBL_LE:
      return a <= b;
    case VBL_GT:
      return a > b;
    case VBL_GE:
      return a >= b;
  }
  return 0;
}

static __device__ float compute(vbl_binary f, float a, float b) { return real_binary(f, a, b); }
static __device__ int32_t compute(vbl_binary f, int32_t a, int32_t b) { return (int32_t)(uint32_t)integer_binary(f, a, b); }
static __device__ bf16 compute(vbl_binary f, bf16 a, bf16 b) {
  bf16 y;
  store(&y, real_binary(f, (float)load(a), (float)load(b)));
  return y;
}

template <class T>
static __global__ void binary_kernel(vbl_binary f, const T *a, const T *b, T *out, walk w, int64_t n) {
  VBL_EACH(i, n) {
    int64_t a_at, b_at;
    locate(w, i, &a_at, &b_at);
    out[i] = compute(f, a[a_at], b[b_at]);
  }
}

void vbl_cuda_binary(vbl_binary f, vbl_dtype T, const void *a, const int64_t *a_stride, const void *b, const int64_t *b_stride,
                     void *out, int ndim, const int64_t *shape, vbl_stream s) {
  int64_t n;
  const walk w = walk_of(ndim, shape, a_stride, b_stride, &n);
  if (n == 0) return;
  if (T == VBL_I32)
    VBL_LAUNCH(binary_kernel<int32_t>, blocks_for(n), THREADS, s, f, (const int32_t *)a, (const int32_t *)b, (int32_t *)out, w, n);
  else if (T == VBL_BF16)
    VBL_LAUNCH(binary_kernel<bf16>, blocks_for(n), THREADS, s, f, (const bf16 *)a, (const bf16 *)b, (bf16 *)out, w, n);
  else
    VBL_LAUNCH(binary_kernel<float>, blocks_for(n), THREADS, s, f, (const float *)a, (const float *)b, (float *)out, w, n);
}
