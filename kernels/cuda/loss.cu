// Softmax, cross-entropy and row normalisation, with their backward. A warp a row, or a block where rows are long.
// defines: vbl_cuda_softmax, vbl_cuda_softmax_backward, vbl_cuda_cross_entropy, vbl_cuda_cross_entropy_backward,
//          vbl_cuda_normalize_rows, vbl_cuda_normalize_rows_backward
#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

enum { LONG = 1024 };  // from this width on a block takes a row

// All threads of a group of N go through the same rows, so that a block-wide sum is reached by all.
#define EACH_ROW(i, N_rows) for (int64_t i = first_row<G>(); i < (N_rows); i += row_step<G>())
#define EACH_IN_ROW(j, V)   for (int64_t j = threadIdx.x % G; j < (V); j += G)
// Launches kernel<G> on N rows of width V.
#define LAUNCH_ROWS(kernel, N, V, s, ...)                                               \
  do {                                                                                  \
    if ((N) == 0 || (V) == 0) break;                                                    \
    if ((V) < LONG)                                                                     \
      VBL_LAUNCH(kernel<WARP>, blocks_for(N, THREADS / WARP), THREADS, s, __VA_ARGS__); \
    else                                                                                \
      VBL_LAUNCH(kernel<THREADS>, blocks_for(N, 1), THREADS, s, __VA_ARGS__);           \
  } while (0)

// log sum exp of a row; the largest is taken out first, so that nothing overflows.
template <int G>
static __device__ float log_sum_exp(const float *x, int64_t V) {
  float largest = -INFINITY, total = 0;
  EACH_IN_ROW(j, V) largest = x[j] > largest ? x[j] : largest;
  largest = group_max<G>(largest);
  EACH_IN_ROW(j, V) total += expf(x[j] - largest);
  return largest + logf(group_sum<G>(total));
}

template <int G>
static __global__ void softmax_kernel(const float *x, float *y, bool log, int64_t N, int64_t V) {
  EACH_ROW(i, N) {
    const float lse = log_sum_exp<G>(x + i * V, V);
    EACH_IN_ROW(j, V) y[i * V + j] = log ? x[i * V + j] - lse : expf(x[i * V + j] - lse);
  }
}

// softmax: dx = y (dy - <y, dy>);  log-softmax: dx = dy - exp(y) sum(dy).
template <int G>
static __global__ void softmax_backward_kernel(const float *y, const float *dy, float *dx, bool log, int64_t N, int64_t V) {
  EACH_ROW(i, N) {
    float sum = 0;
    EACH_IN_ROW(j, V) sum += log ? dy[i * V + j] : y[i * V + j] * dy[i * V + j];
    sum = group_sum<G>(sum);
    EACH_IN_ROW(j, V) {
      const int64_t k = i * V + j;
      dx[k] = log ? dy[k] - expf(y[k]) * sum : y[k] * (dy[k] - sum);
    }
  }
}

void vbl_cuda_softmax(const void *x, void *y, bool log, int64_t N, int64_t V, vbl_stream s) {
  LAUNCH_ROWS(softmax_kernel, N, V, s, (const float *)x, (float *)y, log, N, V);
}

void vbl_cuda_softmax_backward(const void *y, const void *dy, void *dx, bool log, int64_t N, int64_t V, vbl_stream s) {
  LAUNCH_ROWS(softmax_backward_kernel, N, V, s, (const float *)y, (const float *)dy, (float *)dx, log, N, V);
}

template <int G>
static __global__ void cross_entropy_kernel(const float *x, const int32_t *label, int32_t ignore, float *loss, float *lse,
                                            int64_t N, int64_t V) {
  EACH_ROW(i, N) {
    const float l = log_sum_exp<G>(x + i * V, V);
    if (threadIdx.x % G != 0) continue;
    lse[i] = l;
    loss[i] = label[i] == ignore ? 0 : l - x[i * V + label[i]];
  }
}

template <int G>
static __global__ void cross_entropy_backward_kernel(const float *x, const int32_t *label, int32_t ignore, const float *lse,
                                                     const float *dloss, float scale, float *dx, int64_t N, int64_t V) {
  EACH_ROW(i, N) {
    const float factor = label[i] == ignore ? 0 : scale * (dloss != nullptr ? dloss[i] : 1);
    EACH_IN_ROW(j, V) {
      const float p = expf(x[i * V + j] - lse[i]);
      dx[i * V + j] = label[i] == ignore ? 0 : (p - (j == label[i])) * factor;
    }
  }
}

void vbl_cuda_cross_entropy(const void *x, const int32_t *label, int32_t ignore, void *loss, void *lse, int64_t N, int64_t V,
                            vbl_stream s) {
  LAUNCH_ROWS(cross_entropy_kernel, N, V, s, (const float *)x, label, ignore, (float *)loss, (float *)lse, N, V);
}

void vbl_cuda_cross_entropy_backward(const void *x, const int32_t *label, int32_t ignore, const void *lse, const void *dloss,
                                     double scale, void *dx, int64_t N, int64_t V, vbl_stream s) {
  LAUNCH_ROWS(cross_entropy_backward_kernel, N, V, s, (const float *)x, label, ignore, (const float *)lse, (const float *)dloss,
              (float)scale, (float *)dx, N, V);
}

// norm keeps |x| itself, also where it is below eps.
template <int G>
static __global__ void normalize_kernel(const float *x, float eps, float *y, float *norm, int64_t N, int64_t D) {
  EACH_ROW(i, N) {
    float sum = 0;
    EACH_IN_ROW(j, D) sum += x[i * D + j] * x[i * D + j];
    const float length = sqrtf(group_sum<G>(sum)), divisor = length > eps ? length : eps;
    EACH_IN_ROW(j, D) y[i * D + j] = x[i * D + j] / divisor;
    if (threadIdx.x % G == 0) norm[i] = length;
  }
}

// Below eps, y = x / eps is linear: dx = dy / eps.
template <int G>
static __global__ void normalize_backward_kernel(const float *y, const float *norm, float eps, const float *dy, float *dx,
                                                 int64_t N, int64_t D) {
  EACH_ROW(i, N) {
    float sum = 0;
    EACH_IN_ROW(j, D) sum += y[i * D + j] * dy[i * D + j];
    sum = group_sum<G>(sum);
    EACH_IN_ROW(j, D) {
      const int64_t k = i * D + j;
      dx[k] = norm[i] > eps ? (dy[k] - y[k] * sum) / norm[i] : dy[k] / eps;
    }
  }
}

void vbl_cuda_normalize_rows(const void *x, double eps, void *y, void *norm, int64_t N, int64_t D, vbl_stream s) {
  LAUNCH_ROWS(normalize_kernel, N, D, s, (const float *)x, (float)eps, (float *)y, (float *)norm, N, D);
}

void vbl_cuda_normalize_rows_backward(const void *y, const void *norm, double eps, const void *dy, void *dx, int64_t N, int64_t D,
                                      vbl_stream s) {
  LAUNCH_ROWS(normalize_backward_kernel, N, D, s, (const float *)y, (const float *)norm, (float)eps, (const float *)dy, (float *)dx,
              N, D);
}
