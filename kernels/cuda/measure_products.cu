// Products of features in f64 for measures (kernels/measure.h). f32 numbers less their mean are multiplied as f64, so what comes out
// is as good as the CPU's: an f32 product of the library's would be four times as fast on a data-centre GPU, and its rounding would be
// multiplied by (|X| / s)^2 where a basis divides by small singular values s.
// defines: vbl_cuda_product, vbl_cuda_pair_sums
#include "kernels/cuda/measure.h"

using namespace vbl_cuda;

enum { TILE = 64, DEPTH = 16, EACH = 4, SIDE = TILE / EACH };

// Element (k, m) of op(A): of row m where `outer`, else of row k.
static __device__ inline double element(const vbl_features &f, bool outer, int64_t k, int64_t m) {
  const int64_t row = outer ? m : k, column = outer ? k : m;
  const int64_t at = (f.order != nullptr ? (int64_t)f.order[row] : row) * f.ld + column;
  const double v = f.wide ? ((const double *)f.x)[at] : (double)((const float *)f.x)[at];
  return f.mean != nullptr ? v - f.mean[column] : v;
}

// Elements k .. k + DEPTH, m .. m + TILE of op(A), 0 beyond its ends. Neighbouring threads read neighbouring numbers of a row.
static __device__ inline void load(const vbl_features &f, bool outer, int64_t k, int64_t K, int64_t m, int64_t M,
                                   double (*to)[TILE + 1]) {
  for (int q = (int)threadIdx.x; q < TILE * DEPTH; q += THREADS) {
    const int dk = outer ? q % DEPTH : q / TILE, dm = outer ? q / DEPTH : q % TILE;
    to[dk][dm] = k + dk < K && m + dm < M ? element(f, outer, k + dk, m + dm) : 0;
  }
}

// A block a tile of C, a thread EACH x EACH elements of it, SIDE apart.
static __global__ void product_kernel(bool outer, int64_t M, int64_t N, int64_t K, vbl_features A, vbl_features B, bool accumulate,
                                      double *C, int64_t ldc) {
  VBL_SHARED(double, a, [DEPTH][TILE + 1]);
  VBL_SHARED(double, b, [DEPTH][TILE + 1]);
  const int64_t across = (N + TILE - 1) / TILE, tiles = (M + TILE - 1) / TILE * across;
  const int row = (int)threadIdx.x / SIDE, column = (int)threadIdx.x % SIDE;
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    const int64_t m = t / across * TILE, n = t % across * TILE;
    double c[EACH][EACH] = {};
    for (int64_t k = 0; k < K; k += DEPTH) {
      load(A, outer, k, K, m, M, a);
      load(B, outer, k, K, n, N, b);
      __syncthreads();
      for (int q = 0; q < DEPTH; q++) {
        double left[EACH], right[EACH];
        for (int i = 0; i < EACH; i++) left[i] = a[q][row + i * SIDE];
        for (int j = 0; j < EACH; j++) right[j] = b[q][column + j * SIDE];
        for (int i = 0; i < EACH; i++)
          for (int j = 0; j < EACH; j++) c[i][j] += left[i] * right[j];
      }
      __syncthreads();
    }
    for (int i = 0; i < EACH; i++)
      for (int j = 0; j < EACH; j++) {
        const int64_t y = m + row + i * SIDE, x = n + column + j * SIDE;
        if (y < M && x < N) C[y * ldc + x] = accumulate ? C[y * ldc + x] + c[i][j] : c[i][j];
      }
  }
}

void vbl_cuda_product(bool outer, int64_t M, int64_t N, int64_t K, const vbl_features *A, const vbl_features *B, bool accumulate,
                      double *C, int64_t ldc, vbl_stream s) {
  const int64_t tiles = (M + TILE - 1) / TILE * ((N + TILE - 1) / TILE);
  if (tiles == 0) return;
  VBL_LAUNCH(product_kernel, blocks_for(tiles, 1), THREADS, s, outer, M, N, K, *A, *B, accumulate, C, ldc);
}

// A block one part of one pair.
static __global__ void pairs_kernel(const double *t, int64_t count, int64_t elements, double weight, double *sums) {
  for (int64_t q = blockIdx.x; q < count * count * VBL_SUM_PARTS; q += gridDim.x) {
    const int64_t part = q % VBL_SUM_PARTS, a = q / VBL_SUM_PARTS / count, b = q / VBL_SUM_PARTS % count;
    if (a > b) continue;
    const int64_t end = elements * (part + 1) / VBL_SUM_PARTS;
    double sum = 0;
    for (int64_t e = elements * part / VBL_SUM_PARTS + threadIdx.x; e < end; e += THREADS)
      sum += t[a * elements + e] * t[b * elements + e];
    sum = group_sum<THREADS>(sum);
    if (threadIdx.x == 0) sums[q] += weight * sum;
  }
}

void vbl_cuda_pair_sums(const double *t, int64_t count, int64_t elements, double weight, double *sums, vbl_stream s) {
  if (count * elements == 0) return;
  VBL_LAUNCH(pairs_kernel, blocks_for(count * count * VBL_SUM_PARTS, 1), THREADS, s, t, count, elements, weight, sums);
}
