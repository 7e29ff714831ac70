// Sums over rows of a matrix, columns side by side: each block sums a chunk of rows, the chunks are then added in their order. The
// number of chunks depends on the sizes alone, so the sums repeat bit for bit.
// defines: vbl_cuda::{chunks_for, columns_grid, columns_block, columns_add, columns_finish}; VBL_EACH_BROAD, VBL_EACH_CHUNK_ROW
#pragma once
#include "kernels/blocks.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/parts.h"

namespace vbl_cuda {

// A block's shape: threadIdx.x its PART columns of BROAD, threadIdx.y every ROWS-th row of the chunk.
enum { COLUMNS = 32, ROWS = 8, BROAD = COLUMNS * PART };

static inline int64_t chunks_for(int64_t N) { return vbl_row_chunks(N); }

static inline dim3 columns_grid(int64_t N, int64_t D) { return dim3(blocks_for(D, BROAD), (unsigned)chunks_for(N)); }
static inline dim3 columns_block() { return dim3(COLUMNS, ROWS); }

// The block's sums of v over its ROWS threads of the same PART columns (BROAD from `first` on), written to part [chunks, D]. All threads of the block have
// to come here.
static __device__ inline void columns_add(const float *v, float *part, int64_t first, int64_t D) {
  VBL_SHARED(float, tile, [ROWS][PART][COLUMNS]);
  const int x = (int)threadIdx.x, y = (int)threadIdx.y;
  VBL_UNROLL
  for (int i = 0; i < PART; i++) tile[y][i][x] = v[i];
  __syncthreads();
  for (int i = y; i < PART; i += ROWS) {
    const int64_t col = first + x * PART + i;
    float sum = 0;
    for (int r = 0; r < ROWS; r++) sum += tile[r][i][x];
    if (col < D) part[(int64_t)blockIdx.y * D + col] = sum;
  }
  __syncthreads();
}

// sum [D] (+)= part [chunks, D], and second, where it is not NULL, (+)= the part behind that.
void columns_finish(const float *part, float *sum, float *second, bool accumulate, int64_t chunks, int64_t D, vbl_stream s);

}  // namespace vbl_cuda

// The first columns of what a block takes, BROAD at a time; and the rows of its chunk that this thread sums.
#define VBL_EACH_BROAD(first, D) for (int64_t first = (int64_t)blockIdx.x * BROAD; first < (D); first += (int64_t)gridDim.x * BROAD)
#define VBL_EACH_CHUNK_ROW(i, N) \
  for (int64_t i = (N)*blockIdx.y / gridDim.y + threadIdx.y, i##_end = (N) * (blockIdx.y + 1) / gridDim.y; i < i##_end; i += ROWS)
