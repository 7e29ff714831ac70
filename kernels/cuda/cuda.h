// What every file of kernels/cuda includes first: CUDA under nvcc, its emulation (kernels/emu) elsewhere, and the few device functions
// that kernels share.
//
// Rules that keep a kernel runnable in both: shared memory by VBL_SHARED (aligned to 16 bytes), launches by VBL_LAUNCH, every barrier reached by all
// threads of the block (loops around one have the same count for all), no reliance on a warp running in step, any size by loops whose
// stride is the grid, 64-bit indices. A result depends on sizes alone, never on the order in which blocks run: no floating-point atomics.
// A stream that is NULL is the current branch's (branches.cu).
// defines: VBL_SHARED, VBL_LAUNCH, VBL_UNROLL, VBL_EACH, vbl_cuda::{queue, blocks_for, group_reduce, group_sum, group_max, divider, divide, walk, walk_of, locate, site, site_of, keep4, scratch}
#pragma once
#ifdef __CUDACC__
#include <cuda_runtime.h>
#define VBL_SHARED(T, name, dims)                    __shared__ __align__(16) T name dims
#define VBL_LAUNCH(kernel, grid, block, stream, ...) kernel<<<(grid), (block), 0, vbl_cuda::queue(stream)>>>(__VA_ARGS__)
#define VBL_UNROLL                                   _Pragma("unroll")  // arrays stay in registers only where their indices are constants
#else
#include "kernels/emu/emu.h"
#define VBL_LAUNCH(kernel, grid, block, stream, ...) \
  vbl_emu::go(#kernel, kernel, grid, block, 0, vbl_cuda::queue(stream), __VA_ARGS__)
#define VBL_UNROLL
#endif

extern "C" {
#include "kernels/kernels.h"
}

// Elements i = 0 .. n - 1 over all threads of the grid.
#define VBL_EACH(i, n) \
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (int64_t)gridDim.x * blockDim.x)

namespace vbl_cuda {

enum { THREADS = 256, WARP = 32 };

// From this width on a block takes a row, below it a warp. The emulation's rows are short.
#ifdef __CUDACC__
enum { LONG = 1024 };
#else
enum { LONG = 200 };
#endif

// The stream of the branch that work goes to. Not CUDA's default stream: that one waits for others, and cannot be captured.
inline cudaStream_t current;
static inline cudaStream_t queue(vbl_stream s) { return s != nullptr ? (cudaStream_t)s : current; }

// Blocks of THREADS for n elements (or of `per` rows a block), at most a few waves of the largest device: the loops do the rest. The
// emulation takes so few that every loop runs more than once.
static inline unsigned blocks_for(int64_t n, int64_t per = THREADS) {
#ifdef __CUDACC__
  const int64_t most = 132 * 16;
#else
  const int64_t most = 3;
#endif
  const int64_t wanted = (n + per - 1) / per;
  return (unsigned)(wanted < most ? wanted : most);
}

struct add {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

// f over the N threads of a group (consecutive in threadIdx.x, N = 32 or the whole block), the same result in all of them. With N > 32
// all threads of the block have to come here.
template <int N, class F, class T>
__device__ T group_reduce(T v, F f) {
  for (int x = 16; x > 0; x /= 2) v = f(v, __shfl_xor_sync(~0u, v, x));
  if (N == WARP) return v;
  VBL_SHARED(T, part, [WARP]);
  const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
  if (lane == 0) part[warp] = v;
  __syncthreads();
  v = part[0];
  for (int i = 1; i < N / WARP; i++) v = f(v, part[i]);
  __syncthreads();  // part is used again
  return v;
}
template <int N, class T>
__device__ T group_sum(T v) {
  return group_reduce<N>(v, add());
}
template <int N, class T>
__device__ T group_max(T v) {
  return group_reduce<N>(v, larger());
}

// The row that a group of N threads has in round 0, and the distance to its next one. A block has THREADS threads.
template <int N>
__device__ int64_t first_row() {
  return (int64_t)blockIdx.x * (THREADS / N) + threadIdx.x / N;
}
template <int N>
__device__ int64_t row_step() {
  return (int64_t)gridDim.x * (THREADS / N);
}

// Division by a number that all threads share, of what is below 2^31: a multiplication and a shift (Granlund and Montgomery 1994). 64-bit
// division is some hundred instructions.
struct divider {
  uint32_t by, factor;
  int shift;
};

static inline divider divider_of(int64_t by) {
  divider d = {(uint32_t)by, 0, 0};
  while ((int64_t)1 << d.shift < by) d.shift++;
  if (by > 0 && by < (int64_t)1 << 31) d.factor = (uint32_t)(((((uint64_t)1 << d.shift) - (uint64_t)by) << 32) / (uint64_t)by + 1);
  return d;
}
static __device__ inline uint32_t divide(uint32_t n, const divider &d) {
  return (uint32_t)(((uint64_t)n * d.factor >> 32) + n) >> d.shift;
}

// Two arrays walked together in the row-major order of one shape, each with its own strides. Dims that lie as one in both are one.
struct walk {
  int ndim;
  bool small;  // the elements' numbers are below 2^31
  int64_t shape[VBL_MAX_DIMS], a[VBL_MAX_DIMS], b[VBL_MAX_DIMS];
  divider by[VBL_MAX_DIMS];
};

// Adds a dim inside of those that are there.
static inline void walk_add(walk *w, int64_t size, int64_t a, int64_t b) {
  int k = w->ndim - 1;
  if (size == 1) return;
  if (k >= 0 && w->a[k] == size * a && w->b[k] == size * b)
    w->shape[k] *= size;
  else
    w->shape[k = w->ndim++] = size;
  w->a[k] = a, w->b[k] = b;
}

static inline void walk_measure(walk *w, int64_t *n) {
  *n = 1;
  for (int dim = 0; dim < w->ndim; dim++) {
    *n *= w->shape[dim];
    w->by[dim] = divider_of(w->shape[dim]);
  }
  w->small = *n < (int64_t)1 << 31;
}

static inline walk walk_of(int ndim, const int64_t *shape, const int64_t *a, const int64_t *b, int64_t *n) {
  walk w = {};
  for (int dim = 0; dim < ndim; dim++) walk_add(&w, shape[dim], a[dim], b[dim]);
  walk_measure(&w, n);
  return w;
}

// Where element i lies in both.
static __device__ inline void locate(const walk &w, int64_t i, int64_t *a, int64_t *b) {
  *a = *b = 0;
  for (int dim = w.ndim - 1; dim > 0; dim--) {
    const int64_t rest = w.small ? divide((uint32_t)i, w.by[dim]) : i / w.shape[dim], index = i - rest * w.shape[dim];
    i = rest;
    *a += index * w.a[dim];
    *b += index * w.b[dim];
  }
  if (w.ndim == 0) return;
  *a += i * w.a[0];
  *b += i * w.b[0];
}

// A dropout site as kernels take it (vbl_dropout): u >= p is an integer comparison, since u has 24 bits.
struct site {
  bool on;
  uint32_t threshold;  // of the upper 24 bits: ceil(p 2^24)
  float scale;         // 1 / (1 - p)
  vbl_philox_key rng;
  uint32_t step;
  const int32_t *rows;
};

static inline site site_of(const vbl_dropout *drop) {
  if (drop == nullptr || !(drop->p > 0)) return {false, 0, 1, {0, 0}, 0, nullptr};
  return {true, (uint32_t)ceil(drop->p * 0x1p24), (float)(1 / (1 - drop->p)), drop->rng, drop->step, drop->rows};
}

// The factors of columns 4 g .. 4 g + 3 of a row: 0 or 1 / (1 - p).
static __device__ inline float4 keep4(const site &s, int32_t sample, int32_t pos, int64_t g) {
  const vbl_u32x4 r = vbl_philox(s.rng, (uint32_t)g, (uint32_t)pos, (uint32_t)sample, s.step);
  float4 k;
  k.x = r.v[0] >> 8 >= s.threshold ? s.scale : 0;
  k.y = r.v[1] >> 8 >= s.threshold ? s.scale : 0;
  k.z = r.v[2] >> 8 >= s.threshold ? s.scale : 0;
  k.w = r.v[3] >> 8 >= s.threshold ? s.scale : 0;
  return k;
}
static __device__ inline float at(const float4 &v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

// Working memory of one call, in stream order. NULL when there is none left: the next sync reports it.
class scratch {
 public:
  scratch(size_t bytes, vbl_stream s);
  ~scratch();
  scratch(const scratch &) = delete;
  void *p;

 private:
  vbl_stream stream;
};

}  // namespace vbl_cuda
