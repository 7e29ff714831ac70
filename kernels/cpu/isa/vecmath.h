// Functions of one float that the compiler can vectorise: arithmetic and selects only, no calls and no tables.
//
// exp: x = k ln2 + r, |r| <= ln2 / 2, exp(r) = 1 + r + r^2 p(r); p is a minimax polynomial for the relative error (3e-9 before
// rounding, about 1 ulp after). erf(x) = x P(x^2) / Q(x^2) for |x| < 3.95, beyond which it rounds to 1; P and Q minimise the
// relative error (2e-8 before rounding, 4e-7 after).
// defines: vbl_exp, vbl_exp_neg, vbl_erf, vbl_gelu, vbl_gelu_slope, vbl_sigmoid
#pragma once
#include <stdint.h>
#include <string.h>

static inline uint32_t vbl_float_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

static inline float vbl_bits_float(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

// exp(x) = *mantissa * 2^(result), for -104 <= x <= 89 (NaN passes into the mantissa).
static inline int32_t vbl_exp_parts(float x, float *mantissa) {
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const float shifted = x * 1.44269504f + magic;
  const float k = shifted - magic;
  const float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;  // ln 2 in two parts; the first has 10 bits, so k * it is exact
  float p = 0.001381454f;
  p = p * r + 0.00836874518f;
  p = p * r + 0.0416683908f;
  p = p * r + 0.166665204f;
  p = p * r + 0.499999934f;
  *mantissa = (p * r * r + r) + 1.0f;
  return (int32_t)(vbl_float_bits(shifted) - 0x4B400000u);
}

static inline float vbl_power_of_two(int32_t k) { return vbl_bits_float((uint32_t)(k + 127) << 23); }

// The whole range: overflows to inf, underflows through the subnormals to 0.
static inline float vbl_exp(float x) {
  float c = x > 89.0f ? 89.0f : x;
  c = c < -104.0f ? -104.0f : c;
  float m;
  const int32_t k = vbl_exp_parts(c, &m) & 0x1FF;  // a NaN's k is arbitrary: the mask keeps the shifts below defined
  const int32_t s = (k ^ 0x100) - 0x100;           // sign extension of 9 bits
  const int32_t half = s >> 1;
  return m * vbl_power_of_two(half) * vbl_power_of_two(s - half);
}

// For x <= 88 (and NaN), meant for arguments that are negative but for rounding; with 0 in place of subnormal results.
static inline float vbl_exp_neg(float x) {
  const float c = x < -87.0f ? -87.0f : x;
  float m;
  const uint32_t k = (uint32_t)vbl_exp_parts(c, &m);
  const float y = vbl_bits_float(vbl_float_bits(m) + (k << 23));
  return x < -87.0f ? 0.0f : x != x ? x : y;  // a NaN's low bits would go into y's exponent
}

static inline float vbl_erf(float x) {
  float c = x > 3.95f ? 3.95f : x;
  c = c < -3.95f ? -3.95f : c;
  const float t = c * c;
  float p = 2.02589754e-06f;
  p = p * t + 0.000284688125f;
  p = p * t + 0.00380819521f;
  p = p * t + 0.0528755524f;
  p = p * t + 0.191551145f;
  p = p * t + 1.12837914f;
  float q = 3.78317117e-05f;
  q = q * t + 0.00117073317f;
  q = q * t + 0.0150551587f;
  q = q * t + 0.114559964f;
  q = q * t + 0.503090458f;
  q = q * t + 1.0f;
  return c * p / q;
}

// x Phi(x) and its derivative Phi(x) + x phi(x). Hendrycks, Gimpel 2016.
static inline float vbl_gelu(float x) { return x * (0.5f + 0.5f * vbl_erf(x * 0.707106781f)); }
static inline float vbl_gelu_slope(float x) {
  return (0.5f + 0.5f * vbl_erf(x * 0.707106781f)) + x * 0.398942280f * vbl_exp_neg(-0.5f * x * x);
}

static inline float vbl_sigmoid(float x) {
  const float e = vbl_exp_neg(x < 0 ? x : -x);  // exp(-|x|) never overflows
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}
