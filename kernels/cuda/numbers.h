// Numbers of every dtype in kernels: loads, stores with their roundings, GELU.
// defines: vbl_cuda::{bf16, load, store, chunk, rounded_quad, pack, reciprocal, normal_cdf, gelu_erf, gelu_slope}
#pragma once
#include "kernels/cuda/cuda.h"

namespace vbl_cuda {

// Storage of bf16: the upper half of an f32.
struct bf16 {
  uint16_t bits;
};

static __device__ inline double load(float v) { return v; }
static __device__ inline double load(double v) { return v; }
static __device__ inline double load(int32_t v) { return v; }
static __device__ inline double load(uint8_t v) { return v; }
static __device__ inline double load(bf16 v) { return __uint_as_float((uint32_t)v.bits << 16); }

static __device__ inline double truncate_between(double v, double low, double high) {
  return isnan(v) ? 0 : v <= low ? low : v >= high ? high : trunc(v);
}

static __device__ inline void store(float *to, double v) { *to = (float)v; }
static __device__ inline void store(double *to, double v) { *to = v; }
static __device__ inline void store(int32_t *to, double v) { *to = (int32_t)truncate_between(v, INT32_MIN, INT32_MAX); }
static __device__ inline void store(uint8_t *to, double v) { *to = (uint8_t)truncate_between(v, 0, UINT8_MAX); }
// Nearest even; a NaN keeps its upper half with the quiet bit set, since rounding could carry its payload into infinity.
static __device__ inline void store(bf16 *to, float v) {
  const uint32_t bits = __float_as_uint(v);
  to->bits = isnan(v) ? (uint16_t)(bits >> 16 | 0x40u) : (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
static __device__ inline void store(bf16 *to, double v) { store(to, (float)v); }

// Eight bf16 side by side, two in a register, the left one in its lower half.
struct alignas(16) chunk {
  uint32_t pair[4];
};

// Four of them.
#ifdef __CUDACC__
typedef uint2 rounded_quad;
#else
struct alignas(8) rounded_quad {
  uint32_t x, y;
};
#endif

// Two numbers, rounded to nearest even.
static __device__ inline uint32_t pack(float low, float high) {
#ifdef __CUDACC__
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  bf16 a, b;
  store(&a, low);
  store(&b, high);
  return (uint32_t)a.bits | (uint32_t)b.bits << 16;
#endif
}

static __device__ inline float reciprocal(float x) {
#ifdef __CUDACC__
  return __fdividef(1, x);
#else
  return 1 / x;
#endif
}

// Phi(x), the normal distribution, and bell = exp(-x^2 / 2). Phi(-|x|) = bell erfcx(|x| / sqrt 2) / 2, with erfcx / 2 a polynomial in
// t = 1 / (1 + |x| / sqrt 8), fitted to 5e-8 of itself (minimax, as in Abramowitz, Stegun 7.1.26): off by 2e-7, below 0 by 1e-6 of itself, and
// half the instructions of erff, which two kernels that read and write bf16 would else wait for.
static __device__ inline float normal_cdf(float x, float *bell) {
  const float t = reciprocal(1 + 0.35355339059f * fabsf(x));
  float p = -2.953446730e-02f;
  p = p * t + 1.422874228e-01f;
  p = p * t - 2.435998350e-01f;
  p = p * t + 1.390334586e-01f;
  p = p * t - 1.331275630e-02f;
  p = p * t + 1.013434054e-01f;
  p = p * t + 1.215518878e-01f;
  p = p * t + 1.411876535e-01f;
  p = p * t + 1.410432090e-01f;
  *bell = exp2f(-0.72134752044f * x * x);
  const float below = p * t * *bell;
  return x < 0 ? below : 1 - below;
}

// gelu(x) = x Phi(x) (Hendrycks, Gimpel 2016), exact form.
static __device__ inline float gelu_erf(float x) {
  float bell;
  return x * normal_cdf(x, &bell);
}
static __device__ inline float gelu_slope(float x) {
  float bell;
  const float phi = normal_cdf(x, &bell);
  return phi + x * bell * 0.39894228040143268f;
}

}  // namespace vbl_cuda
