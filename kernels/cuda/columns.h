// Sums over rows of a matrix, columns side by side: each block sums a chunk of rows, the chunks are then added in their order. The
// number of chunks depends on the sizes alone, so the sums repeat bit for bit.
// defines: vbl_cuda::{chunks_for, chunk_start, columns_add, columns_finish}
#pragma once
#include "kernels/blocks.h"
#include "kernels/cuda/backend.h"

namespace vbl_cuda {

enum { COLUMNS = 32, ROWS = 8 };  // a block's shape: threadIdx.x the column, threadIdx.y every ROWS-th row of the chunk

static inline int64_t chunks_for(int64_t N) { return vbl_row_chunks(N); }
static __device__ inline int64_t chunk_start(int64_t N, int64_t chunks, int64_t k) { return N * k / chunks; }

static inline dim3 columns_grid(int64_t N, int64_t D) { return dim3(blocks_for(D, COLUMNS), (unsigned)chunks_for(N)); }
static inline dim3 columns_block() { return dim3(COLUMNS, ROWS); }

// The block's sum of v over its ROWS threads of a column, written to part [chunks, D]. All threads of the block have to come here.
static __device__ inline void columns_add(float v, float *part, int64_t col, int64_t D) {
  VBL_SHARED(float, tile, [ROWS][COLUMNS + 1]);
  tile[threadIdx.y][threadIdx.x] = v;
  __syncthreads();
  if (threadIdx.y == 0 && col < D) {
    float sum = 0;
    for (int i = 0; i < ROWS; i++) sum += tile[i][threadIdx.x];
    part[(int64_t)blockIdx.y * D + col] = sum;
  }
  __syncthreads();
}

// sum [D] (+)= part [chunks, D]
void columns_finish(const float *part, float *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s);

}  // namespace vbl_cuda
