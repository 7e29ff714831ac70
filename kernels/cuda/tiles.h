// What the kernels of flash.cu do with matrices of bf16 in shared memory: fill them, multiply them into a warp's fragments, write fragments
// out, and say which elements of a fragment dropout keeps. Fragments are 16 x 8 sums in f32, as mma.h's C; a warp's rows are 16.
//
// A row of D numbers takes D / 8 chunks and one more that is not used: with an odd distance the eight rows of an 8 x 8 matrix lie in
// different banks, so that no load of one waits for another.
// defines: vbl_cuda::{rows, BLOCK, staged, fill_rows, add_product, add_weighted, quad_sum, quad_max, write_rows, draw_kept}
#pragma once
#include "kernels/cuda/mma.h"

namespace vbl_cuda {

template <int D>
using rows = chunk[D / 8 + 1];

static __device__ inline chunk load_chunk(const bf16 *x) {
  if ((uintptr_t)x % 16 == 0) return *(const chunk *)x;
  chunk c;
  VBL_UNROLL
  for (int i = 0; i < 4; i++) c.pair[i] = (uint32_t)x[2 * i].bits | (uint32_t)x[2 * i + 1].bits << 16;
  return c;
}

enum { WARPS = 4, BLOCK = WARPS * WARP };

// N rows of a matrix from `first` on (row 0 at x, d columns, a multiple of 8), zeros past `end` and from d to D, on their way to shared memory: all are
// read before one is waited for. The whole block.
template <int D, int N>
class staged {
 public:
  __device__ void load(const bf16 *x, int64_t ld, int64_t first, int64_t end, int64_t d) {
    VBL_UNROLL
    for (int j = 0; j < MOST; j++) {
      const int i = j * BLOCK + (int)threadIdx.x, r = i / (D / 8), c = i % (D / 8);
      part[j] = {{0, 0, 0, 0}};
      if (i < N * (D / 8) && first + r < end && 8 * c < d) part[j] = load_chunk(x + (first + r) * ld + 8 * c);
    }
  }
  __device__ void store(rows<D> *to) const {
    VBL_UNROLL
    for (int j = 0; j < MOST; j++) {
      const int i = j * BLOCK + (int)threadIdx.x;
      if (i < N * (D / 8)) to[i / (D / 8)][i % (D / 8)] = part[j];
    }
  }

 private:
  enum { MOST = (N * (D / 8) + BLOCK - 1) / BLOCK };
  chunk part[MOST];
};

template <int D, int N>
static __device__ void fill_rows(rows<D> *to, const bf16 *x, int64_t ld, int64_t first, int64_t end, int64_t d) {
  staged<D, N> s;
  s.load(x, ld, first, end, d);
  s.store(to);
}

// s [16, N] += X Y': X 16 rows, Y N rows of D
template <int D, int N>
static __device__ inline void add_product(float (*s)[4], const rows<D> *X, const rows<D> *Y) {
  const int lane = (int)threadIdx.x % WARP;
  VBL_UNROLL
  for (int k = 0; k < D / 8; k += 2) {
    uint32_t a[4];
    ldmatrix(a, &X[lane % 16][k + lane / 16]);
    VBL_UNROLL
    for (int n = 0; n < N / 8; n += 2) {
      uint32_t b[4];
      ldmatrix(b, &Y[8 * n + lane % 8 + lane / 16 * 8][k + lane / 8 % 2]);
      mma(s[n], a, b);
      mma(s[n + 1], a, b + 2);
    }
  }
}

// sum [16, D] += W Y: W [16, N] fragments, rounded, Y N rows of D
template <int D, int N>
static __device__ inline void add_weighted(float (*sum)[4], const float (*W)[4], const rows<D> *Y) {
  const int lane = (int)threadIdx.x % WARP;
  VBL_UNROLL
  for (int k = 0; k < N / 8; k += 2) {
    const float *u = W[k], *v = W[k + 1];
    const uint32_t a[4] = {pack(u[0], u[1]), pack(u[2], u[3]), pack(v[0], v[1]), pack(v[2], v[3])};
    VBL_UNROLL
    for (int n = 0; n < D / 8; n += 2) {
      uint32_t b[4];
      ldmatrix_transposed(b, &Y[8 * k + lane % 16][n + lane / 16]);
      mma(sum[n], a, b);
      mma(sum[n + 1], a, b + 2);
    }
  }
}

// Over the four lanes that share a fragment's rows.
static __device__ inline float quad_sum(float v) {
  v += __shfl_xor_sync(~0u, v, 1);
  return v + __shfl_xor_sync(~0u, v, 2);
}
static __device__ inline float quad_max(float v) {
  v = fmaxf(v, __shfl_xor_sync(~0u, v, 1));
  return fmaxf(v, __shfl_xor_sync(~0u, v, 2));
}

// Row g + 8 r of the warp's 16, times factor[r], rounded, to row first + g + 8 r of a matrix (row 0 at x, d columns), up to `end`.
template <int D>
static __device__ inline void write_rows(const float (*sum)[4], const float *factor, bf16 *x, int64_t ld, int64_t first,
                                         int64_t end, int64_t d) {
  const int lane = (int)threadIdx.x % WARP;
  const bool pairs = (uintptr_t)x % 4 == 0 && ld % 2 == 0;
  VBL_UNROLL
  for (int r = 0; r < 2; r++) {
    const int64_t row = first + lane / 4 + r * 8;
    VBL_UNROLL
    for (int n = 0; n < D / 8; n++) {
      if (row >= end || 8 * n >= d) continue;
      bf16 *to = x + row * ld + 8 * n + lane % 4 * 2;
      const uint32_t both = pack(sum[n][2 * r] * factor[r], sum[n][2 * r + 1] * factor[r]);
      if (pairs)
        *(uint32_t *)to = both;
      else
        to[0].bits = (uint16_t)both, to[1].bits = (uint16_t)(both >> 16);
    }
  }
}

// Bit j: dropout keeps key 4 g + j for the query.
static __device__ inline uint32_t kept4(const site &s, int32_t sample, int64_t h, int64_t query, int64_t g) {
  const vbl_u32x4 u = vbl_philox(s.rng, (uint32_t)g, (uint32_t)(query | h << 16), (uint32_t)sample, s.step);
  uint32_t bits = 0;
  VBL_UNROLL
  for (int j = 0; j < 4; j++) bits |= (uint32_t)(u.v[j] >> 8 >= s.threshold) << j;
  return bits;
}

// Which elements of a fragment dropout keeps, bit e for c[e]; its corner is (row, column), multiples of 8. KEYS: rows are keys and columns
// queries, else the other way round. A draw of Philox's is for four keys of one query; the lanes that need the same ones make one each
// and hand them round: four lanes with KEYS, where they have a key each, else two.
template <bool KEYS>
static __device__ inline uint32_t draw_kept(const site &s, int32_t sample, int64_t h, int64_t row, int64_t column) {
  const int lane = (int)threadIdx.x % WARP, g = lane / 4, t = lane % 4;
  uint32_t kept = 0;
  if (KEYS) {
    const int e = g % 4;
    uint32_t draws = kept4(s, sample, h, column + 2 * t + e % 2, row / 4 + g / 4 + e / 2 * 2) << 4 * e;
    draws |= __shfl_xor_sync(~0u, draws, 4);
    draws |= __shfl_xor_sync(~0u, draws, 8);
    for (int i = 0; i < 4; i++) kept |= (draws >> (4 * i + e) & 1u) << i;
  } else {
    const int r = t % 2;
    uint32_t draws = kept4(s, sample, h, row + g + 8 * r, column / 4 + t / 2) << 4 * r;
    draws |= __shfl_xor_sync(~0u, draws, 1);
    for (int i = 0; i < 4; i++) kept |= (draws >> (i / 2 * 4 + 2 * r + i % 2) & 1u) << i;
  }
  return kept;
}

}  // namespace vbl_cuda
