// Conversions between element types, one value at a time. real -> integer truncates and saturates, NaN gives 0; f32 -> bf16
// rounds to nearest even and keeps NaN; f64 -> bf16 goes through f32.
// defines: vbl_bf16, vbl_from_*, vbl_to_*
#pragma once
#include "kernels/cpu/isa/vecmath.h"

typedef struct vbl_bf16 {
  uint16_t bits;
} vbl_bf16;

static inline float vbl_from_bf16(vbl_bf16 x) { return vbl_bits_float((uint32_t)x.bits << 16); }
static inline vbl_bf16 vbl_to_bf16(float x) {
  const uint32_t u = vbl_float_bits(x);
  const uint32_t rounded = (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16;
  const uint32_t quiet = (u >> 16) | 0x40u;  // rounding could carry a NaN's payload into infinity
  return (vbl_bf16){(uint16_t)(x != x ? quiet : rounded)};
}

static inline int32_t vbl_to_i32(double x) {
  return x != x ? 0 : x >= 2147483647.0 ? INT32_MAX : x <= -2147483648.0 ? INT32_MIN : (int32_t)x;
}
static inline uint8_t vbl_to_u8(double x) { return x >= 255.0 ? 255 : x > 0.0 ? (uint8_t)x : 0; }
