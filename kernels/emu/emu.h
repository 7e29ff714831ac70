// The CUDA device language for g++ and clang++, so that the files of kernels/cuda run on a CPU, in tests: a launch runs its blocks
// one after another, a block's threads as fibers of one host thread (block.cc). No CUDA toolkit is needed.
//
// What is checked at every launch: launch limits; barriers that not all threads of a block reach, or reach at different lines;
// warp functions whose lanes differ in function, line or mask; reads from lanes outside the mask; deadlock. Shared memory is filled
// with NaN before each block and lies between red zones. AddressSanitizer sees both, ThreadSanitizer sees every CUDA thread as a
// thread of its own, ordered by barriers alone (a shuffle orders no memory). VBL_EMU_ORDER: 0 runs threads forward, 1 backward,
// any other number shuffles them with that seed.
//
// Streams, events and graphs: streams.cc and capture.cc say what is played and what is checked.
//
// Only what vbl's kernels use is here. It does not show timing, occupancy, FMA contraction, the order in which tensor cores add, or races between blocks
// without ThreadSanitizer.
// defines: the device language; VBL_SHARED; the runtime calls of kernels/cuda/memory.cu
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tuple>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __restrict__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(16) float4 {
  float x, y, z, w;
};

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorCapturedEvent = 907,
  cudaErrorGraphExecUpdateFailure = 910
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
typedef void *cudaStream_t;

cudaError_t cudaGetLastError(void);
cudaError_t cudaMallocAsync(void **p, size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void *p, cudaStream_t stream);
cudaError_t cudaMemGetInfo(size_t *free, size_t *total);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
const char *cudaGetErrorString(cudaError_t e);
cudaError_t cudaMalloc(void **p, size_t bytes);
cudaError_t cudaFree(void *p);
cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *p);
typedef struct vbl_emu_event *cudaEvent_t;
enum { cudaEventDefault = 0, cudaEventDisableTiming = 2, cudaHostAllocDefault = 0, cudaStreamNonBlocking = 1 };
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags,
                                         int priority);  // which changes nothing that is allowed
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t e, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t e);
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t e);
cudaError_t cudaEventSynchronize(cudaEvent_t e);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to);  // a microsecond an operation
enum cudaStreamCaptureMode { cudaStreamCaptureModeRelaxed = 2 };
enum { cudaGraphInstantiateFlagUseNodePriority = 8 };
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive };
typedef struct vbl_emu_graph *cudaGraph_t, *cudaGraphExec_t;
typedef void *cudaGraphNode_t;
struct cudaGraphExecUpdateResultInfo {};
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status);
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags = 0);
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo *why);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

namespace vbl_emu {

struct position {
  uint3 thread, block;
  dim3 block_dim, grid_dim;
  int lane;
};
extern position *current;

// Where a call stands in a kernel, for messages and to see whether threads meet at the same place.
struct place {
  const char *what, *file;
  int line;
};
#define VBL_EMU_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

struct touch {  // of memory, by a kernel or a library
  const void *p;
  bool writes;
};

void launch(const char *name, dim3 grid, dim3 block, size_t shared, cudaStream_t stream, void (*run)(void *), void *arguments,
            size_t argument_bytes, const touch *touches, size_t touch_count);
void barrier(const place &at);
// The values of all lanes of `mask`, by lane. orders: whether what was written before is seen after (__syncwarp).
const uint64_t *meet(const place &at, unsigned mask, uint64_t value, bool orders);
[[noreturn]] void fail(const place &at, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct site {  // a VBL_SHARED declaration; its memory is taken once a block
  uint64_t block;
  void *memory;
};
void *shared(site *s, size_t bytes, size_t align);

// What a kernel's argument says of the memory that it touches: a pointer to const reads, another writes. What lies in a structure may be a pointer;
// it is taken to read.
template <class T>
void list(touch **to, const T &v) {
  if constexpr (std::is_pointer_v<T>) {
    *(*to)++ = {(const void *)v, !std::is_const_v<std::remove_pointer_t<T>>};
  } else {
    T dense = v;
#if __has_builtin(__builtin_clear_padding)
    __builtin_clear_padding(&dense);  // which may hold half of an old pointer
#endif
    for (size_t at = 0; at + sizeof(void *) <= sizeof v; at += sizeof(void *)) {
      memcpy(&(*to)->p, (const char *)&dense + at, sizeof(void *));
      (*to)++->writes = false;
    }
  }
}

template <class... P, class... A>
void go(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, A &&...a) {
  struct call {
    void (*kernel)(P...);
    std::tuple<std::decay_t<P>...> arguments;  // copied once, as a launch does
  } c{kernel, std::tuple<std::decay_t<P>...>(static_cast<std::decay_t<P>>(a)...)};
  touch touches[(sizeof c + sizeof(void *)) / sizeof(void *)], *end = touches;
  std::apply([&](const auto &...v) { (list(&end, v), ...); }, c.arguments);
  launch(
      name, grid, block, shared_bytes, stream, [](void *p) { std::apply(((call *)p)->kernel, ((call *)p)->arguments); }, &c,
      sizeof c, touches, (size_t)(end - touches));
}

template <class T>
T from_lane(const place &at, unsigned mask, T value, int lane) {
  static_assert(sizeof(T) <= 8, "a warp moves values of at most 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  const uint64_t *all = meet(at, mask, bits, false);
  if (!(mask >> lane & 1)) fail(at, "reads lane %d, which is not in mask 0x%08x", lane, mask);
  memcpy(&value, &all[lane], sizeof value);
  return value;
}

}  // namespace vbl_emu

#define threadIdx (vbl_emu::current->thread)
#define blockIdx  (vbl_emu::current->block)
#define blockDim  (vbl_emu::current->block_dim)
#define gridDim   (vbl_emu::current->grid_dim)

#define VBL_SHARED(T, name, dims)   \
  typedef T name##_type dims;       \
  static vbl_emu::site name##_site; \
  name##_type &name = *(name##_type *)vbl_emu::shared(&name##_site, sizeof(name##_type), 16)

static inline void __syncthreads(VBL_EMU_HERE) { vbl_emu::barrier({"__syncthreads", file, line}); }
static inline void __syncwarp(unsigned mask = ~0u, VBL_EMU_HERE) { vbl_emu::meet({"__syncwarp", file, line}, mask, 0, true); }
template <class T>
static inline T __shfl_sync(unsigned mask, T value, int lane, VBL_EMU_HERE) {
  return vbl_emu::from_lane({"__shfl_sync", file, line}, mask, value, lane & 31);
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int x, VBL_EMU_HERE) {
  return vbl_emu::from_lane({"__shfl_xor_sync", file, line}, mask, value, vbl_emu::current->lane ^ x);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate, VBL_EMU_HERE) {
  const uint64_t *all = vbl_emu::meet({"__ballot_sync", file, line}, mask, predicate != 0, false);
  unsigned bits = 0;
  for (int lane = 0; lane < 32; lane++)
    if ((mask >> lane & 1) != 0 && all[lane] != 0) bits |= 1u << lane;
  return bits;
}
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int atomicAdd(int *at, int v) { return __atomic_fetch_add(at, v, __ATOMIC_RELAXED); }
static inline int atomicMax(int *at, int v) {
  int old = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (old < v && !__atomic_compare_exchange_n(at, &old, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}
template <class T>
static inline void __stwb(T *p, const T &value) {
  *p = value;
}

static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline uint32_t __float_as_uint(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}
static inline float __uint_as_float(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}
