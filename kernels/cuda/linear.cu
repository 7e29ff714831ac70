// The epilogues of a linear layer, and column sums.
// defines: vbl_cuda_bias_add, vbl_cuda_bias_gelu, vbl_cuda_gelu_backward_bias, vbl_cuda_column_sum, columns_finish, vbl_cuda_mixed_gelu,
//          vbl_cuda_mixed_gelu_backward, vbl_cuda_mixed_column_sum
#include "kernels/cuda/columns.h"
#include "kernels/cuda/mixed.h"

using namespace vbl_cuda;

// A warp a row, so that a column's number needs no division.
template <class F>
static __device__ void each_column(int64_t N, int64_t D, F f) {
  for (int64_t i = first_row<WARP>(); i < N; i += row_step<WARP>())
    for (int64_t j = threadIdx.x % WARP; j < D; j += WARP) f(i * D + j, j);
}

static __global__ void bias_add_kernel(float *y, const float *bias, int64_t N, int64_t D) {
  each_column(N, D, [=](int64_t i, int64_t j) { y[i] += bias[j]; });
}

static __global__ void bias_gelu_kernel(float *h, const float *bias, float *g, int64_t N, int64_t D) {
  each_column(N, D, [=](int64_t i, int64_t j) {
    const float v = bias != nullptr ? h[i] + bias[j] : h[i];
    if (bias != nullptr) h[i] = v;
    g[i] = gelu_erf(v);
  });
}

void vbl_cuda_bias_add(void *y, const void *bias, int64_t N, int64_t D, vbl_stream s) {
  if (N * D > 0 && bias != nullptr)
    VBL_LAUNCH(bias_add_kernel, blocks_for(N, THREADS / WARP), THREADS, s, (float *)y, (const float *)bias, N, D);
}

void vbl_cuda_bias_gelu(void *h, const void *bias, void *g, int64_t N, int64_t D, vbl_stream s) {
  if (N * D > 0)
    VBL_LAUNCH(bias_gelu_kernel, blocks_for(N, THREADS / WARP), THREADS, s, (float *)h, (const float *)bias, (float *)g, N, D);
}

static __global__ void gelu_kernel(const bf16 *h, bf16 *g, int64_t n, bool aligned) {
  VBL_EACH(i, (n + PART - 1) / PART) {
    const int64_t j = i * PART;
    const bool whole = aligned && n - j >= PART;
    float v[PART];
    load_part(h + j, n - j, whole, v);
    VBL_UNROLL
    for (int k = 0; k < PART; k++) v[k] = gelu_erf(v[k]);
    store_part(g + j, n - j, whole, v);
  }
}

void vbl_cuda_mixed_gelu(const void *h, void *g, int64_t n, vbl_stream s) {
  if (n > 0)
    VBL_LAUNCH(gelu_kernel, blocks_for(n, THREADS * PART), THREADS, s, (const bf16 *)h, (bf16 *)g, n, whole_parts(0, h, g));
}

// A block a few columns; its threads take every ROWS-th chunk each. blockIdx.y: which of the sums.
static __global__ void finish_kernel(const float *parts, float *first_sum, float *second_sum, bool accumulate, int64_t chunks,
                                     int64_t D) {
  VBL_SHARED(float, tile, [ROWS][COLUMNS]);
  const float *part = parts + blockIdx.y * chunks * D;
  float *sum = blockIdx.y == 0 ? first_sum : second_sum;
  for (int64_t first = (int64_t)blockIdx.x * COLUMNS; first < D; first += (int64_t)gridDim.x * COLUMNS) {
    const int64_t col = first + threadIdx.x;
    float total = 0;
    for (int64_t k = threadIdx.y; k < chunks && col < D; k += ROWS) total += part[k * D + col];
    tile[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.y == 0 && col < D) {
      total = 0;
      for (int r = 0; r < ROWS; r++) total += tile[r][threadIdx.x];
      sum[col] = accumulate ? sum[col] + total : total;
    }
    __syncthreads();
  }
}

void vbl_cuda::columns_finish(const float *part, float *sum, float *second, bool accumulate, int64_t chunks, int64_t D,
                              vbl_stream s) {
  VBL_LAUNCH(finish_kernel, dim3(blocks_for(D, COLUMNS), second == nullptr ? 1 : 2), columns_block(), s, part, sum, second,
             accumulate, chunks, D);
}

template <class T>
static __global__ void column_sum_kernel(const T *x, float *part, int64_t N, int64_t D, bool whole) {
  VBL_EACH_BROAD(first, D) {
    const int64_t col = first + threadIdx.x * PART;
    float sum[PART] = {}, v[PART];
    VBL_EACH_CHUNK_ROW(i, N) {
      if (col >= D) break;
      load_part(x + i * D + col, D - col, whole, v);
      VBL_UNROLL
      for (int k = 0; k < PART; k++) sum[k] += v[k];
    }
    columns_add(sum, part, first, D);
  }
}

template <class T>
static void column_sum(const T *x, void *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s) {
  if (D == 0) return;
  scratch part((size_t)(chunks_for(N) * D) * sizeof(float), s);
  if (part.p == nullptr) return;
  VBL_LAUNCH(column_sum_kernel<T>, columns_grid(N, D), columns_block(), s, x, (float *)part.p, N, D, whole_parts(D, x));
  columns_finish((const float *)part.p, (float *)sum, nullptr, accumulate, chunks_for(N), D, s);
}

void vbl_cuda_column_sum(const void *x, void *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s) {
  column_sum((const float *)x, sum, accumulate, N, D, s);
}
void vbl_cuda_mixed_column_sum(const void *x, void *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s) {
  column_sum((const bf16 *)x, sum, accumulate, N, D, s);
}

// dh, and the chunks' sums of it, of the same numbers before they are rounded.
template <class T>
static __global__ void gelu_backward_kernel(const T *h, const T *dg, T *dh, float *part, int64_t N, int64_t D, bool whole) {
  VBL_EACH_BROAD(first, D) {
    const int64_t col = first + threadIdx.x * PART;
    float sum[PART] = {}, v[PART], g[PART];
    VBL_EACH_CHUNK_ROW(i, N) {
      if (col >= D) break;
      load_part(h + i * D + col, D - col, whole, v);
      load_part(dg + i * D + col, D - col, whole, g);
      VBL_UNROLL
      for (int k = 0; k < PART; k++) g[k] *= gelu_slope(v[k]), sum[k] += g[k];
      store_part(dh + i * D + col, D - col, whole, g);
    }
    columns_add(sum, part, first, D);
  }
}

template <class T>
static void gelu_backward(const T *h, const T *dg, T *dh, void *dbias, bool accumulate, int64_t N, int64_t D, vbl_stream s) {
  if (D == 0) return;
  scratch part((size_t)(chunks_for(N) * D) * sizeof(float), s);
  if (part.p == nullptr) return;
  VBL_LAUNCH(gelu_backward_kernel<T>, columns_grid(N, D), columns_block(), s, h, dg, dh, (float *)part.p, N, D,
             whole_parts(D, h, dg, dh));
  if (dbias != nullptr) columns_finish((const float *)part.p, (float *)dbias, nullptr, accumulate, chunks_for(N), D, s);
}

void vbl_cuda_gelu_backward_bias(const void *h, const void *dg, void *dh, void *dbias, bool accumulate, int64_t N, int64_t D,
                                 vbl_stream s) {
  gelu_backward((const float *)h, (const float *)dg, (float *)dh, dbias, accumulate, N, D, s);
}
void vbl_cuda_mixed_gelu_backward(const void *h, const void *dg, void *dh, void *dbias, bool accumulate, int64_t N, int64_t D,
                                  vbl_stream s) {
  gelu_backward((const bf16 *)h, (const bf16 *)dg, (bf16 *)dh, dbias, accumulate, N, D, s);
}
