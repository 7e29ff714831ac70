// Small matrix products inside one core's cache: register tiles of at most 6 rows by 2 vectors (Goto, van de Geijn 2008).
// defines: vbl_tiles, vbl_pad, vbl_stride
#pragma once
#include "kernels/cpu/isa/transpose.h"

typedef float vbl_vec __attribute__((vector_size(4 * VBL_LANES), aligned(4), may_alias));

enum { VBL_TILE_ROWS = 6, VBL_TILE_WIDTH = 2 * VBL_LANES };

// n rounded up to whole vectors
static inline int64_t vbl_pad(int64_t n) { return (n + VBL_LANES - 1) / VBL_LANES * VBL_LANES; }

// A row stride of at least n floats for matrices that tiles read by columns: an odd number of cache lines, so that the rows fall
// into all sets of the cache (a stride of a power of two would use a few).
static inline int64_t vbl_stride(int64_t n) { return ((n + 15) / 16 | 1) * 16; }

// C [m, n] (+)= part, for a tile at C's right edge. Apart, so that its loops are not compiled into every tile.
__attribute__((noinline)) static void vbl_store_part(int64_t m, int64_t n, float part[][VBL_TILE_WIDTH], bool add, float *C,
                                                     int64_t ldc) {
  for (int64_t i = 0; i < m; i++) {
    for (int64_t j = 0; j < n; j++) C[i * ldc + j] = add ? C[i * ldc + j] + part[i][j] : part[i][j];
  }
}

// C [m, n] (+)= op(A) B; element (i, k) of op(A) is A[i * ai + k * ak]; B [K, ldb] is readable in `vectors` whole vectors.
// m and vectors are constants where this is inlined, so that the accumulators are registers.
__attribute__((always_inline)) static inline void vbl_one_tile(const int m, const int vectors, int64_t K, const float *A,
                                                               int64_t ai, int64_t ak, const float *B, int64_t ldb, bool add,
                                                               float *C, int64_t ldc, int64_t n) {
  const vbl_vec zero = {0};
  vbl_vec acc[VBL_TILE_ROWS][2] = {0};
  for (int64_t k = 0; k < K; k++) {
    const vbl_vec b0 = *(const vbl_vec *)(B + k * ldb);
    const vbl_vec b1 = vectors == 2 ? *(const vbl_vec *)(B + k * ldb + VBL_LANES) : b0;
#pragma GCC unroll 6
    for (int i = 0; i < m; i++) {
      const float a = A[i * ai + k * ak];
      acc[i][0] += a * b0;
      if (vectors == 2) acc[i][1] += a * b1;
    }
  }
  if (n == vectors * VBL_LANES) {
#pragma GCC unroll 6
    for (int i = 0; i < m; i++) {
      vbl_vec *c = (vbl_vec *)(C + i * ldc);
      c[0] = acc[i][0] + (add ? c[0] : zero);
      if (vectors == 2) c[1] = acc[i][1] + (add ? c[1] : zero);
    }
    return;
  }
  float part[VBL_TILE_ROWS][VBL_TILE_WIDTH];
#pragma GCC unroll 6
  for (int i = 0; i < m; i++) {
    *(vbl_vec *)part[i] = acc[i][0];
    *(vbl_vec *)(part[i] + VBL_LANES) = acc[i][1];
  }
  vbl_store_part(m, n, part, add, C, ldc);
}

// The same for any m <= 6.
#define VBL_TILE_CASE(m, vectors)                                   \
  case m:                                                           \
    vbl_one_tile(m, vectors, K, A, ai, ak, B, ldb, add, C, ldc, n); \
    break;
__attribute__((noinline, noclone)) static void vbl_wide_tile(int64_t m, int64_t K, const float *A, int64_t ai, int64_t ak,
                                                             const float *B, int64_t ldb, bool add, float *C, int64_t ldc,
                                                             int64_t n) {
  switch (m) {
    VBL_TILE_CASE(1, 2) VBL_TILE_CASE(2, 2) VBL_TILE_CASE(3, 2) VBL_TILE_CASE(4, 2) VBL_TILE_CASE(5, 2) VBL_TILE_CASE(6, 2)
  }
}
__attribute__((noinline, noclone)) static void vbl_narrow_tile(int64_t m, int64_t K, const float *A, int64_t ai, int64_t ak,
                                                               const float *B, int64_t ldb, bool add, float *C, int64_t ldc,
                                                               int64_t n) {
  switch (m) {
    VBL_TILE_CASE(1, 1) VBL_TILE_CASE(2, 1) VBL_TILE_CASE(3, 1) VBL_TILE_CASE(4, 1) VBL_TILE_CASE(5, 1) VBL_TILE_CASE(6, 1)
  }
}
#undef VBL_TILE_CASE

// C [M,N] (+)= op(A) B; op(A) [M,K] by strides as above; B [K, ldb], readable in vbl_pad(N) columns; only N columns of C are
// touched. Rows are split evenly (14 = 5 + 5 + 4), because a tile of one or two rows cannot keep the multipliers busy.
static inline void vbl_tiles(int64_t M, int64_t N, int64_t K, const float *A, int64_t ai, int64_t ak, const float *B, int64_t ldb,
                             bool add, float *C, int64_t ldc) {
  const int64_t blocks = (M + VBL_TILE_ROWS - 1) / VBL_TILE_ROWS;
  for (int64_t j = 0; j < N; j += VBL_TILE_WIDTH) {
    const int64_t n = vbl_min64(VBL_TILE_WIDTH, N - j);
    for (int64_t block = 0; block < blocks; block++) {
      const int64_t i = M * block / blocks, m = M * (block + 1) / blocks - i;
      if (n > VBL_LANES) {
        vbl_wide_tile(m, K, A + i * ai, ai, ak, B + j, ldb, add, C + i * ldc + j, ldc, n);
      } else {
        vbl_narrow_tile(m, K, A + i * ai, ai, ak, B + j, ldb, add, C + i * ldc + j, ldc, n);
      }
    }
  }
}
