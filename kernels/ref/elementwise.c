// Reference elementwise functions, their derivatives, and broadcasting binary functions.
// defines: vbl_ref_unary, vbl_ref_unary_backward, vbl_ref_binary, vbl_ref_scale_add
#include <math.h>

#include "kernels/ref/ref.h"

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

// Phi, the distribution function of the normal law, and its density: gelu(x) = x Phi(x) (Hendrycks, Gimpel 2016).
static double normal_cdf(double x) { return 0.5 * (1 + erf(x / sqrt(2.0))); }
static double normal_density(double x) { return exp(-x * x / 2) / sqrt(2 * M_PI); }

static double apply(vbl_unary f, double x) {
  switch (f) {
    case VBL_NEG:
      return -x;
    case VBL_ABS:
      return fabs(x);
    case VBL_EXP:
      return exp(x);
    case VBL_LOG:
      return log(x);
    case VBL_SQRT:
      return sqrt(x);
    case VBL_TANH:
      return tanh(x);
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
      return sin(x);
    case VBL_COS:
      return cos(x);
  }
  return NAN;
}

// f'(x); at the kinks of abs and relu it is 0.
static double derivative(vbl_unary f, double x) {
  switch (f) {
    case VBL_NEG:
      return -1;
    case VBL_ABS:
      return x > 0 ? 1 : x < 0 ? -1 : 0;
    case VBL_EXP:
      return exp(x);
    case VBL_LOG:
      return 1 / x;
    case VBL_SQRT:
      return 1 / (2 * sqrt(x));
    case VBL_TANH:
      return 1 - tanh(x) * tanh(x);
    case VBL_SIGMOID:
      return sigmoid(x) * (1 - sigmoid(x));
    case VBL_RELU:
      return x > 0 ? 1 : 0;
    case VBL_GELU:
      return normal_cdf(x) + x * normal_density(x);
    case VBL_SQUARE:
      return 2 * x;
    case VBL_RECIPROCAL:
      return -1 / (x * x);
    case VBL_SIN:
      return cos(x);
    case VBL_COS:
      return -sin(x);
  }
  return NAN;
}

void vbl_ref_unary(vbl_unary f, const void *x, void *y, int64_t n, vbl_stream s) {
  (void)s;
  const double *in = x;
  double *out = y;
  for (int64_t i = 0; i < n; i++) out[i] = apply(f, in[i]);
}

void vbl_ref_unary_backward(vbl_unary f, const void *x, const void *y, const void *dy, void *dx, int64_t n, vbl_stream s) {
  (void)s, (void)y;
  const double *in = x, *gradient = dy;
  double *out = dx;
  for (int64_t i = 0; i < n; i++) out[i] = gradient[i] * derivative(f, in[i]);
}

static double real_binary(vbl_binary f, double a, double b) {
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
      return pow(a, b);
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
static int64_t integer_power(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 == 0 ? 1 : -1) : 0;
  uint32_t result = 1, base = (uint32_t)a;
  for (uint64_t rest = (uint64_t)b; rest > 0; rest >>= 1) {
    if (rest & 1) result *= base;
    base *= base;
  }
  return result;
}

// In 64 bits, of which the caller keeps the lower 32: sums wrap; a quotient truncates, and a quotient by 0 is 0.
static int64_t integer_binary(vbl_binary f, int64_t a, int64_t b) {
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

static void binary_element(vbl_binary f, vbl_dtype T, const void *a, int64_t a_at, const void *b, int64_t b_at, void *out,
                           int64_t at) {
  if (T == VBL_I32) {
    ((int32_t *)out)[at] = (int32_t)(uint32_t)integer_binary(f, ((const int32_t *)a)[a_at], ((const int32_t *)b)[b_at]);
  } else {
    vbl_ref_store(T, out, at, real_binary(f, vbl_ref_load(T, a, a_at), vbl_ref_load(T, b, b_at)));
  }
}

void vbl_ref_binary(vbl_binary f, vbl_dtype T, const void *a, const int64_t *a_stride, const void *b, const int64_t *b_stride,
                    void *out, int ndim, const int64_t *shape, vbl_stream s) {
  (void)s;
  int64_t count = 1;
  for (int dim = 0; dim < ndim; dim++) count *= shape[dim];
  for (int64_t at = 0; at < count; at++) {
    int64_t rest = at, a_at = 0, b_at = 0;
    for (int dim = ndim - 1; dim >= 0; dim--) {
      int64_t index = rest % shape[dim];
      rest /= shape[dim];
      a_at += index * a_stride[dim];
      b_at += index * b_stride[dim];
    }
    binary_element(f, T, a, a_at, b, b_at, out, at);
  }
}

void vbl_ref_scale_add(double alpha, const void *x, double beta, void *y, int64_t n, vbl_stream s) {
  (void)s;
  const double *in = x;
  double *out = y;
  for (int64_t i = 0; i < n; i++) out[i] = beta == 0 ? alpha * in[i] : alpha * in[i] + beta * out[i];
}
