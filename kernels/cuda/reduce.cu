// Reductions over a middle dim, sums of squares, counts. Sums are in f64. A NaN is the largest and the smallest of all: the first one
// is the result, as in PyTorch.
// defines: vbl_cuda_reduce, vbl_cuda_sum_squares, vbl_cuda_count_nonfinite
#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

struct sum_state {
  double total;
};
struct extreme_state {
  float value;
  int64_t index;  // -1: nothing seen
};

static __device__ bool beats(bool max, float candidate, float best) {
  if (isnan(best)) return false;
  if (isnan(candidate)) return true;
  return max ? candidate > best : candidate < best;
}

static __device__ extreme_state better(bool max, extreme_state a, extreme_state b) {
  if (a.index < 0 || b.index < 0) return a.index < 0 ? b : a;
  if (beats(max, b.value, a.value)) return b;
  if (beats(max, a.value, b.value)) return a;
  return a.index < b.index ? a : b;
}

static __device__ sum_state xor_lane(sum_state v, int x) { return {__shfl_xor_sync(~0u, v.total, x)}; }
static __device__ extreme_state xor_lane(extreme_state v, int x) {
  return {__shfl_xor_sync(~0u, v.value, x), __shfl_xor_sync(~0u, v.index, x)};
}

// One warp a line: x[o, :, i] for line = o * inner + i.
static __global__ void sum_kernel(bool mean, const float *x, float *y, int64_t lines, int64_t n, int64_t inner) {
  for (int64_t line = first_row<WARP>(); line < lines; line += row_step<WARP>()) {
    const float *from = x + line / inner * n * inner + line % inner;
    sum_state a = {0};
    for (int64_t j = threadIdx.x % WARP; j < n; j += WARP) a.total += from[j * inner];
    for (int k = 16; k > 0; k /= 2) a.total += xor_lane(a, k).total;
    if (threadIdx.x % WARP == 0) y[line] = (float)(mean ? a.total / (double)n : a.total);
  }
}

static __global__ void extreme_kernel(bool max, const float *x, float *y, int32_t *index, int64_t lines, int64_t n, int64_t inner) {
  for (int64_t line = first_row<WARP>(); line < lines; line += row_step<WARP>()) {
    const float *from = x + line / inner * n * inner + line % inner;
    extreme_state a = {0, -1};
    for (int64_t j = threadIdx.x % WARP; j < n; j += WARP) a = better(max, a, {from[j * inner], j});
    for (int k = 16; k > 0; k /= 2) a = better(max, a, xor_lane(a, k));
    if (threadIdx.x % WARP != 0) continue;
    y[line] = a.value;
    if (index != nullptr) index[line] = (int32_t)a.index;
  }
}

void vbl_cuda_reduce(vbl_reduce f, const void *x, void *y, int32_t *index, int64_t outer, int64_t n, int64_t inner, vbl_stream s) {
  const int64_t lines = outer * inner;
  const unsigned blocks = blocks_for(lines, THREADS / WARP);
  if (lines == 0) return;
  if (f == VBL_SUM || f == VBL_MEAN)
    VBL_LAUNCH(sum_kernel, blocks, THREADS, s, f == VBL_MEAN, (const float *)x, (float *)y, lines, n, inner);
  else if (n > 0)
    VBL_LAUNCH(extreme_kernel, blocks, THREADS, s, f == VBL_MAX, (const float *)x, (float *)y, index, lines, n, inner);
}

struct squares {
  __device__ double operator()(float v) const { return (double)v * v; }
};
struct nonfinite {
  __device__ double operator()(float v) const { return isfinite(v) ? 0 : 1; }  // counts stay exact below 2^53
};

template <class F>
static __global__ void partial_kernel(const float *x, int64_t n, double *part, F f) {
  double a = 0;
  VBL_EACH(i, n) a += f(x[i]);
  a = group_sum<THREADS>(a);
  if (threadIdx.x == 0) part[blockIdx.x] = a;
}

// The sum of f(x) on the host: one partial sum a block, added here in the blocks' order.
template <class F>
static double total(const void *x, int64_t n, vbl_stream s) {
  enum { MOST = 132 * 16 };
  double part[MOST], sum = 0;
  const unsigned blocks = blocks_for(n);
  scratch w(blocks * sizeof(double), s);
  if (n == 0 || w.p == nullptr) return 0;
  VBL_LAUNCH(partial_kernel<F>, blocks, THREADS, s, (const float *)x, n, (double *)w.p, F());
  vbl_cuda_to_host(part, w.p, blocks * sizeof(double), s);
  for (unsigned i = 0; i < blocks; i++) sum += part[i];
  return sum;
}

double vbl_cuda_sum_squares(const void *x, int64_t n, vbl_stream s) { return total<squares>(x, n, s); }
int64_t vbl_cuda_count_nonfinite(const void *x, int64_t n, vbl_stream s) { return (int64_t)total<nonfinite>(x, n, s); }
