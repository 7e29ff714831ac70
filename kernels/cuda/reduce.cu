// Reductions over a middle dim, sums of squares, counts. Sums are in f64. A NaN is the largest and the smallest of all: the first one
// is the result, as in PyTorch.
// defines: vbl_cuda_reduce, vbl_cuda_sum_squares, vbl_cuda_count_nonfinite
#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

// A state of one number, and how two are put together; both orders give the same.
struct sums {
  typedef double state;
  bool mean;
  __device__ state none() const { return 0; }
  __device__ state of(float x, int64_t) const { return x; }
  __device__ state both(state a, state b) const { return a + b; }
  __device__ static state from_lane(state v, int x) { return __shfl_xor_sync(~0u, v, x); }
  __device__ void put(state a, int64_t n, float *y, int32_t *) const { *y = (float)(mean ? a / (double)n : a); }
};

struct extremes {
  struct state {
    float value;
    int64_t index;  // -1: nothing seen
  };
  bool max;
  __device__ bool beats(float candidate, float best) const {
    if (isnan(best)) return false;
    if (isnan(candidate)) return true;
    return max ? candidate > best : candidate < best;
  }
  __device__ state none() const { return {0, -1}; }
  __device__ state of(float x, int64_t j) const { return {x, j}; }
  __device__ state both(state a, state b) const {
    if (a.index < 0 || b.index < 0) return a.index < 0 ? b : a;
    if (beats(b.value, a.value)) return b;
    if (beats(a.value, b.value)) return a;
    return a.index < b.index ? a : b;
  }
  __device__ static state from_lane(state v, int x) { return {__shfl_xor_sync(~0u, v.value, x), __shfl_xor_sync(~0u, v.index, x)}; }
  __device__ void put(state a, int64_t, float *y, int32_t *index) const {
    *y = a.value;
    if (index != nullptr) *index = (int32_t)a.index;
  }
};

// A group of G threads a line: x[o, :, i] for line = o * inner + i. All threads of a block take part in as many lines.
template <int G, class R>
static __global__ void lines_kernel(R r, const float *x, float *y, int32_t *index, int64_t lines, int64_t n, int64_t inner) {
  typedef typename R::state state;
  const int lane = (int)threadIdx.x % G;
  for (int64_t line = first_row<G>(); line < lines; line += row_step<G>()) {
    const float *from = x + line / inner * n * inner + line % inner;
    state a = r.none();
    for (int64_t j = lane; j < n; j += G) a = r.both(a, r.of(from[j * inner], j));
    for (int k = 16; k > 0; k /= 2) a = r.both(a, R::from_lane(a, k));
    if (G > WARP) {
      VBL_SHARED(state, part, [G / WARP]);
      if (lane % WARP == 0) part[lane / WARP] = a;
      __syncthreads();
      a = part[0];
      for (int k = 1; k < G / WARP; k++) a = r.both(a, part[k]);
      __syncthreads();  // part is used again
    }
    if (lane == 0) r.put(a, n, y + line, index != nullptr ? index + line : nullptr);
  }
}

// 32 lines side by side, whose numbers are then read side by side: threadIdx.y takes every ROWS-th number of each.
enum { ROWS = THREADS / WARP };
template <class R>
static __global__ void beside_kernel(R r, const float *x, float *y, int32_t *index, int64_t outer, int64_t n, int64_t inner) {
  typedef typename R::state state;
  VBL_SHARED(state, part, [ROWS][WARP]);
  for (int64_t o = blockIdx.y; o < outer; o += gridDim.y) {
    for (int64_t first = (int64_t)blockIdx.x * WARP; first < inner; first += (int64_t)gridDim.x * WARP) {
      const int64_t i = first + threadIdx.x, line = o * inner + i;
      state a = r.none();
      for (int64_t j = threadIdx.y; j < n && i < inner; j += ROWS) a = r.both(a, r.of(x[(o * n + j) * inner + i], j));
      part[threadIdx.y][threadIdx.x] = a;
      __syncthreads();
      if (threadIdx.y == 0 && i < inner) {
        for (int k = 1; k < ROWS; k++) a = r.both(a, part[k][threadIdx.x]);
        r.put(a, n, y + line, index != nullptr ? index + line : nullptr);
      }
      __syncthreads();
    }
  }
}

template <class R>
static void reduce(R r, const float *x, float *y, int32_t *index, int64_t outer, int64_t n, int64_t inner, vbl_stream s) {
  const int64_t lines = outer * inner;
  if (inner >= WARP)
    VBL_LAUNCH(beside_kernel<R>, dim3(blocks_for(inner, WARP), blocks_for(outer, 1)), dim3(WARP, ROWS), s, r, x, y, index, outer, n,
               inner);
  else if (n < LONG)
    VBL_LAUNCH((lines_kernel<WARP, R>), blocks_for(lines, THREADS / WARP), THREADS, s, r, x, y, index, lines, n, inner);
  else
    VBL_LAUNCH((lines_kernel<THREADS, R>), blocks_for(lines, 1), THREADS, s, r, x, y, index, lines, n, inner);
}

void vbl_cuda_reduce(vbl_reduce f, const void *x, void *y, int32_t *index, int64_t outer, int64_t n, int64_t inner, vbl_stream s) {
  if (outer * inner == 0) return;
  if (f == VBL_SUM || f == VBL_MEAN)
    reduce(sums{f == VBL_MEAN}, (const float *)x, (float *)y, nullptr, outer, n, inner, s);
  else if (n > 0)
    reduce(extremes{f == VBL_MAX}, (const float *)x, (float *)y, index, outer, n, inner, s);
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
