// Eight columns of a row at a time, in f32 whatever they are stored as: 16-byte accesses where the row allows them, elements one by one where
// it does not and at its end.
// defines: vbl_cuda::{PART, whole_parts, load_part, store_part}; VBL_BY_TYPE
#pragma once
#include "kernels/cuda/numbers.h"

namespace vbl_cuda {

enum { PART = 8 };

// Whether every part of rows of D columns, one after another from each of these addresses on, is whole and 16-byte aligned.
template <class... P>
static inline bool whole_parts(int64_t D, const P *...p) {
  return D % PART == 0 && ((uintptr_t)0 | ... | (uintptr_t)p) % 16 == 0;
}

// n: how many of the columns there are; the others are 0, and not written. whole: all, and x is aligned.
static __device__ inline void load_part(const float *x, int64_t n, bool whole, float *v) {
  if (whole) {
    const float4 a = *(const float4 *)x, b = *(const float4 *)(x + 4);
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
  } else {
    VBL_UNROLL
    for (int i = 0; i < PART; i++) v[i] = i < n ? x[i] : 0;
  }
}
static __device__ inline void load_part(const bf16 *x, int64_t n, bool whole, float *v) {
  if (whole) {
    const chunk c = *(const chunk *)x;
    VBL_UNROLL
    for (int i = 0; i < PART; i++) v[i] = __uint_as_float(i % 2 == 0 ? c.pair[i / 2] << 16 : c.pair[i / 2] & 0xffff0000u);
  } else {
    VBL_UNROLL
    for (int i = 0; i < PART; i++) v[i] = i < n ? (float)load(x[i]) : 0;
  }
}

static __device__ inline void store_part(float *y, int64_t n, bool whole, const float *v) {
  if (whole) {
    float4 a, b;
    a.x = v[0], a.y = v[1], a.z = v[2], a.w = v[3], b.x = v[4], b.y = v[5], b.z = v[6], b.w = v[7];
    *(float4 *)y = a, *(float4 *)(y + 4) = b;
  } else {
    VBL_UNROLL
    for (int i = 0; i < PART; i++)
      if (i < n) y[i] = v[i];
  }
}
static __device__ inline void store_part(bf16 *y, int64_t n, bool whole, const float *v) {
  if (whole) {
    *(chunk *)y = {{pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7])}};
  } else {
    VBL_UNROLL
    for (int i = 0; i < PART; i++)
      if (i < n) store(y + i, v[i]);
  }
}

}  // namespace vbl_cuda

// Calls f<T>(...) with T the storage of a vbl_dtype that is VBL_F32 or VBL_BF16.
#define VBL_BY_TYPE(type, T, call) \
  do {                             \
    if ((type) == VBL_BF16) {      \
      typedef vbl_cuda::bf16 T;    \
      call;                        \
    } else {                       \
      typedef float T;             \
      call;                        \
    }                              \
  } while (0)
