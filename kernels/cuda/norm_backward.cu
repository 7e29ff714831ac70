// The backward of LayerNorm, alone or with the sum before it: one warp a row for dx, which sums the parameters' columns as it goes.
//   dx = rstd (g - mean(g) - n mean(g n)) + dsum with n = (x - mean) rstd, g = dy gamma;  dgamma = sum dy n, dbeta = sum dy
// The side that dropout was applied to before the sum gets branch = dropout(dx).
// defines: vbl_cuda_layer_norm_backward, vbl_cuda_mixed_layer_norm_backward
#include "kernels/cuda/columns.h"
#include "kernels/cuda/lane_row.h"
#include "kernels/cuda/mixed.h"

using namespace vbl_cuda;

namespace {

template <class T>
struct operands {
  const float *x, *mean, *rstd, *gamma;
  const T *dy;
  const float *dsum;
  int64_t N, D;
  bool whole;
};

}  // namespace

// This lane's parts of the parameters' sums over the rows that its warp has had.
template <int SPANS>
struct sums {
  float gamma[SPANS][PART] = {}, beta[SPANS][PART] = {};
};

// What a lane needs of a row before it can begin.
template <int SPANS, class T>
struct operand_row {
  lane_row<SPANS, float> x;
  lane_row<SPANS, T> dy;
  float mean, rstd;
  __device__ operand_row(const operands<T> &a, int64_t row)
      : x(a.x + row * a.D, a.whole), dy(a.dy + row * a.D, a.whole), mean(a.mean[row]), rstd(a.rstd[row]) {
    x.read(a.D);
    dy.read(a.D);
  }
};

// One row by a warp. dx may lie on dy (where that is f32) or dsum, branch may be NULL: a lane writes a column after it read it. Rows that stay in
// registers are read whole before anything is written, so that no read waits for another.
template <int SPANS, bool SUM, class T>
static __device__ void row_backward(const operands<T> &a, operand_row<SPANS, T> &from, int64_t row, float *dx, const site &drop,
                                    bf16 *branch, sums<SPANS == ANY ? 1 : SPANS> *s) {
  const int64_t D = a.D;
  const float mean = from.mean, rstd = from.rstd;
  float g_sum = 0, gn_sum = 0, gamma[PART], out[PART];
  lane_row<SPANS, float> dsums(a.dsum + row * D, a.whole);
  if (a.dsum != nullptr) dsums.read(D);
  VBL_EACH_PART(k, j, n, D) {
    const float *x = from.x.get(k, j, n), *dy = from.dy.get(k, j, n);
    load_part(a.gamma + j, n, a.whole, gamma);
    VBL_EACH_OF(i, n) {
      const float g = dy[i] * gamma[i], normal = (x[i] - mean) * rstd;
      g_sum += g;
      gn_sum += g * normal;
      if constexpr (SUM) s->gamma[k][i] += dy[i] * normal, s->beta[k][i] += dy[i];
    }
  }
  const float g_mean = group_sum<WARP>(g_sum) / (float)D, gn_mean = group_sum<WARP>(gn_sum) / (float)D;
  VBL_EACH_PART(k, j, n, D) {
    const float *x = from.x.get(k, j, n), *dy = from.dy.get(k, j, n);
    load_part(a.gamma + j, n, a.whole, gamma);
    VBL_EACH_OF(i, n) out[i] = rstd * (dy[i] * gamma[i] - g_mean - (x[i] - mean) * rstd * gn_mean);
    if (a.dsum != nullptr) {
      const float *dsum = dsums.get(k, j, n);
      VBL_EACH_OF(i, n) out[i] += dsum[i];
    }
    store_part(dx + row * D + j, n, a.whole, out);
    if (branch == nullptr) continue;
    drop_part(drop, row, j, out);
    store_part(branch + row * D + j, n, a.whole, out);
  }
}

// For parameters that are frozen, and rows too wide for registers.
template <int SPANS, class T>
static __global__ void __launch_bounds__(THREADS) backward_kernel(operands<T> a, float *dx, site drop, bf16 *branch) {
  for (int64_t row = first_row<WARP>(); row < a.N; row += row_step<WARP>()) {
    operand_row<SPANS, T> now(a, row);
    row_backward<SPANS, false>(a, now, row, dx, drop, branch, (sums < SPANS == ANY ? 1 : SPANS > *)nullptr);
  }
}

enum { SUM_WARPS = 4 };

// The sums of a block's warps, in their order, to part [blocks, D].
template <int SPANS>
static __device__ void add_warps(const float (*v)[PART], float *part, int64_t D) {
  VBL_SHARED(float, tile, [SUM_WARPS][SPANS * SPAN]);
  const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
  VBL_UNROLL
  for (int k = 0; k < SPANS; k++) store_part(&tile[warp][k * SPAN + lane * PART], PART, true, v[k]);
  __syncthreads();
  for (int64_t col = threadIdx.x; col < D; col += SUM_WARPS * WARP) {
    float sum = 0;
    for (int w = 0; w < SUM_WARPS; w++) sum += tile[w][col];
    part[blockIdx.x * D + col] = sum;
  }
  __syncthreads();
}

// With the sums of a chunk of rows a block, so that x and dy are read once. Their registers leave room for few warps: each has its next row on its
// way while it computes, where there are registers for that too.
template <int SPANS, class T>
static __global__ void __launch_bounds__(SUM_WARPS *WARP, 2)
    whole_kernel(operands<T> a, float *dx, site drop, bf16 *branch, float *gamma_part, float *beta_part) {
  const int64_t from = a.N * blockIdx.x / gridDim.x, to = a.N * (blockIdx.x + 1) / gridDim.x;
  sums<SPANS> s;
  int64_t row = from + threadIdx.x / WARP;
  if constexpr (SPANS <= 3) {
    if (row < to) {
      operand_row<SPANS, T> now(a, row);
      for (; row + SUM_WARPS < to; row += SUM_WARPS) {
        const operand_row<SPANS, T> next(a, row + SUM_WARPS);
        row_backward<SPANS, true>(a, now, row, dx, drop, branch, &s);
        now = next;
      }
      row_backward<SPANS, true>(a, now, row, dx, drop, branch, &s);
    }
  } else {
    for (; row < to; row += SUM_WARPS) {
      operand_row<SPANS, T> now(a, row);
      row_backward<SPANS, true>(a, now, row, dx, drop, branch, &s);
    }
  }
  add_warps<SPANS>(s.gamma, gamma_part, a.D);
  add_warps<SPANS>(s.beta, beta_part, a.D);
}

template <class T>
static __global__ void parameters_kernel(operands<T> a, float *gamma_part, float *beta_part) {
  const int64_t D = a.D;
  VBL_EACH_BROAD(first, D) {
    const int64_t col = first + threadIdx.x * PART;
    float gamma[PART] = {}, beta[PART] = {}, x[PART], dy[PART];
    VBL_EACH_CHUNK_ROW(row, a.N) {
      if (col >= D) break;
      load_part(a.x + row * D + col, D - col, a.whole, x);
      load_part(a.dy + row * D + col, D - col, a.whole, dy);
      VBL_UNROLL
      for (int i = 0; i < PART; i++) gamma[i] += dy[i] * ((x[i] - a.mean[row]) * a.rstd[row]), beta[i] += dy[i];
    }
    columns_add(gamma, gamma_part, first, D);
    columns_add(beta, beta_part, first, D);
  }
}

// Rows too wide for registers: the sums first, since dx may overwrite dy.
template <class T>
static void wide_sums(const operands<T> &a, float *gamma_part, float *beta_part, vbl_stream s) {
  VBL_LAUNCH(parameters_kernel<T>, dim3(blocks_for(a.D, BROAD), (unsigned)vbl_norm_chunks(a.N)), columns_block(), s, a, gamma_part,
             beta_part);
}

template <class T>
static void backward(operands<T> a, float *dx, const vbl_dropout *drop, bf16 *branch, float *dgamma, float *dbeta, bool accumulate,
                     vbl_stream s) {
  const int64_t chunks = vbl_norm_chunks(a.N), size = chunks * a.D;
  const bool sums = dgamma != nullptr, at_once = sums && a.D <= VBL_NORM_WIDEST && a.N > 0;
  if (a.D == 0) return;
  a.whole = whole_parts(a.D, (const void *)a.x, (const void *)a.gamma, (const void *)a.dy, (const void *)a.dsum, (const void *)dx,
                        (const void *)branch);
  scratch part(sums ? (size_t)(2 * size) * sizeof(float) : 0, s);
  float *g = (float *)part.p, *b = g + size;
  if (sums && g == nullptr) return;
  if (sums && !at_once) wide_sums(a, g, b, s);
  if (at_once && a.D <= 3 * SPAN)
    VBL_LAUNCH((whole_kernel<3, T>), dim3((unsigned)chunks), SUM_WARPS * WARP, s, a, dx, site_of(drop), branch, g, b);
  else if (at_once)
    VBL_LAUNCH((whole_kernel<4, T>), dim3((unsigned)chunks), SUM_WARPS * WARP, s, a, dx, site_of(drop), branch, g, b);
  else if (a.N > 0)
    VBL_BY_WIDTH(a.D, VBL_LAUNCH((backward_kernel<SPANS, T>), row_blocks(a.N), THREADS, s, a, dx, site_of(drop), branch));
  if (!sums) return;
  columns_finish(g, dgamma, dbeta, accumulate, chunks, a.D, s);
}

void vbl_cuda_layer_norm_backward(const void *x, const void *mean, const void *rstd, const void *gamma, const void *dy,
                                  const void *dsum, void *dx, void *dgamma, void *dbeta, bool accumulate, int64_t N, int64_t D,
                                  vbl_stream s) {
  vbl_cuda_mixed_layer_norm_backward(x, mean, rstd, gamma, VBL_F32, dy, dsum, dx, nullptr, nullptr, dgamma, dbeta, accumulate, N, D,
                                     s);
}

void vbl_cuda_mixed_layer_norm_backward(const void *x, const void *mean, const void *rstd, const void *gamma, vbl_dtype dy_type,
                                        const void *dy, const void *dsum, void *dx, const vbl_dropout *drop, void *branch,
                                        void *dgamma, void *dbeta, bool accumulate, int64_t N, int64_t D, vbl_stream s) {
  VBL_BY_TYPE(dy_type, T,
              backward(operands<T>{(const float *)x, (const float *)mean, (const float *)rstd, (const float *)gamma, (const T *)dy,
                                   (const float *)dsum, N, D, false},
                       (float *)dx, drop, (bf16 *)branch, (float *)dgamma, (float *)dbeta, accumulate, s));
}
