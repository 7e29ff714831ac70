// Rows by warps: a lane has eight columns in a row, every 256 (parts.h). Up to 1024 columns a row stays in registers from one pass over it to
// the next, so that each byte is read once. Wider rows are read again, by the lanes that wrote them, so no order of memory is needed.
// defines: vbl_cuda::{SPAN, ANY, lane_row, drop_part, row_blocks}; VBL_EACH_PART, VBL_EACH_OF, VBL_BY_WIDTH
#pragma once
#include "kernels/cuda/parts.h"

// The parts of a row of D columns that this lane has: the k-th, from column j on, with n columns (of 8, but at the row's end). SPANS: how
// many the lane has, or ANY.
#define VBL_EACH_PART(k, j, n, D)                                                                                   \
  VBL_UNROLL                                                                                                        \
  for (int k = 0; SPANS != vbl_cuda::ANY ? k < SPANS : k < (int)(((D) + vbl_cuda::SPAN - 1) / vbl_cuda::SPAN); k++) \
    if (const int64_t j = k * vbl_cuda::SPAN + (int64_t)(threadIdx.x % vbl_cuda::WARP) * vbl_cuda::PART, n = (D)-j; n > 0)

#define VBL_EACH_OF(i, n)                  \
  VBL_UNROLL                               \
  for (int i = 0; i < vbl_cuda::PART; i++) \
    if (i < (n))

// The call, with SPANS as a row of D columns wants it.
#define VBL_BY_WIDTH(D, call)               \
  do {                                      \
    if ((D) <= 3 * vbl_cuda::SPAN) {        \
      constexpr int SPANS = 3;              \
      call;                                 \
    } else if ((D) <= 4 * vbl_cuda::SPAN) { \
      constexpr int SPANS = 4;              \
      call;                                 \
    } else {                                \
      constexpr int SPANS = vbl_cuda::ANY;  \
      call;                                 \
    }                                       \
  } while (0)

namespace vbl_cuda {

enum { SPAN = PART * WARP, ANY = 0 };

// This lane's parts of a row: in registers, or read again each time.
template <int SPANS, class T>
class lane_row {
 public:
  __device__ lane_row(const T *x, bool all_whole) : row(x), whole(all_whole) {}
  __device__ void read(int64_t D) {
    if constexpr (SPANS != ANY) VBL_EACH_PART(k, j, n, D) load_part(row + j, n, whole, v[k]);
  }
  __device__ float *part(int k) { return v[SPANS == ANY ? 0 : k]; }
  __device__ const float *get(int k, int64_t j, int64_t n) {
    if (SPANS == ANY) load_part(row + j, n, whole, v[0]);
    return part(k);
  }

 private:
  const T *row;
  bool whole;
  float v[SPANS == ANY ? 1 : SPANS][PART];
};

// v = dropout(v) of the part of a row from column j on
static __device__ inline void drop_part(const site &drop, int64_t row, int64_t j, float *v) {
  if (!drop.on) return;
  const int32_t sample = drop.rows[2 * row], pos = drop.rows[2 * row + 1];
  const float4 a = keep4(drop, sample, pos, j / 4), b = keep4(drop, sample, pos, j / 4 + 1);
  v[0] *= a.x, v[1] *= a.y, v[2] *= a.z, v[3] *= a.w, v[4] *= b.x, v[5] *= b.y, v[6] *= b.z, v[7] *= b.w;
}

static inline dim3 row_blocks(int64_t N) { return dim3(blocks_for(N, THREADS / WARP)); }

}  // namespace vbl_cuda
