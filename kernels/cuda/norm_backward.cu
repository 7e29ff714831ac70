// The backward of LayerNorm, alone or with the sum before it: one warp a row for dx, then the columns' sums.
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

// dx may lie on dy (where that is f32) or dsum, branch may be NULL: a lane writes a column after it read it. Two blocks at once where
// registers allow it: 16 rows of up to 6 KB are on their way to a multiprocessor, more than the memory's answer takes.
template <int SPANS, class T>
static __global__ void __launch_bounds__(THREADS, SPANS < 4 ? 2 : 1)
    backward_kernel(operands<T> a, float *dx, site drop, bf16 *branch) {
  const int64_t D = a.D;
  for (int64_t row = first_row<WARP>(); row < a.N; row += row_step<WARP>()) {
    lane_row<SPANS, float> xs(a.x + row * D, a.whole);
    lane_row<SPANS, T> grads(a.dy + row * D, a.whole);
    const float mean = a.mean[row], rstd = a.rstd[row];
    float g_sum = 0, gn_sum = 0, gamma[PART], out[PART];
    xs.read(D);
    grads.read(D);
    VBL_EACH_PART(k, j, n, D) {
      const float *x = xs.get(k, j, n), *dy = grads.get(k, j, n);
      load_part(a.gamma + j, n, a.whole, gamma);
      VBL_EACH_OF(i, n) {
        const float g = dy[i] * gamma[i];
        g_sum += g;
        gn_sum += g * ((x[i] - mean) * rstd);
      }
    }
    const float g_mean = group_sum<WARP>(g_sum) / (float)D, gn_mean = group_sum<WARP>(gn_sum) / (float)D;
    VBL_EACH_PART(k, j, n, D) {
      const float *x = xs.get(k, j, n), *dy = grads.get(k, j, n);
      float dsum[PART] = {};
      load_part(a.gamma + j, n, a.whole, gamma);
      if (a.dsum != nullptr) load_part(a.dsum + row * D + j, n, a.whole, dsum);
      VBL_EACH_OF(i, n) out[i] = rstd * (dy[i] * gamma[i] - g_mean - (x[i] - mean) * rstd * gn_mean) + dsum[i];
      store_part(dx + row * D + j, n, a.whole, out);
      if (branch == nullptr) continue;
      drop_part(drop, row, j, out);
      store_part(branch + row * D + j, n, a.whole, out);
    }
  }
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

template <class T>
static void backward(operands<T> a, void *dx, const vbl_dropout *drop, void *branch, void *dgamma, void *dbeta, bool accumulate,
                     vbl_stream s) {
  if (a.D == 0) return;
  a.whole = whole_parts(a.D, (const void *)a.x, (const void *)a.gamma, (const void *)a.dy, (const void *)a.dsum, (const void *)dx,
                        (const void *)branch);
  if (dgamma != nullptr) {  // first: dx may overwrite dy
    const int64_t size = chunks_for(a.N) * a.D;
    scratch part((size_t)(2 * size) * sizeof(float), s);
    if (part.p == nullptr) return;
    float *g = (float *)part.p, *b = g + size;
    VBL_LAUNCH(parameters_kernel<T>, columns_grid(a.N, a.D), columns_block(), s, a, g, b);
    columns_finish(g, (float *)dgamma, accumulate, a.N, a.D, s);
    columns_finish(b, (float *)dbeta, accumulate, a.N, a.D, s);
  }
  if (a.N > 0)
    VBL_BY_WIDTH(
        a.D, VBL_LAUNCH((backward_kernel<SPANS, T>), row_blocks(a.N), THREADS, s, a, (float *)dx, site_of(drop), (bf16 *)branch));
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
                       dx, drop, branch, dgamma, dbeta, accumulate, s));
}
