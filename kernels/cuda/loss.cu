// Softmax, cross-entropy and row normalisation, with their backward. A warp a row, or a block where rows are long.
// defines: vbl_cuda_softmax, vbl_cuda_softmax_backward, vbl_cuda_cross_entropy, vbl_cuda_cross_entropy_backward,
//          vbl_cuda_mixed_cross_entropy_backward, vbl_cuda_normalize_rows, vbl_cuda_normalize_rows_backward
#include <initializer_list>

#include "kernels/cuda/mixed.h"
#include "kernels/cuda/numbers.h"

using namespace vbl_cuda;

// All threads of a group of N go through the same rows, so that a block-wide sum is reached by all.
#define EACH_ROW(i, N_rows) for (int64_t i = first_row<G>(); i < (N_rows); i += row_step<G>())
// Launches kernel<G> on N rows of width V.
#define LAUNCH_ROWS(kernel, N, V, s, ...)                                               \
  do {                                                                                  \
    if ((N) == 0 || (V) == 0) break;                                                    \
    if ((V) < LONG)                                                                     \
      VBL_LAUNCH(kernel<WARP>, blocks_for(N, THREADS / WARP), THREADS, s, __VA_ARGS__); \
    else                                                                                \
      VBL_LAUNCH(kernel<THREADS>, blocks_for(N, 1), THREADS, s, __VA_ARGS__);           \
  } while (0)

// The numbers of a row lie in fours that are aligned to 16 bytes, with some before and after them. How many are before: all, where the
// matrices are not `together`, so that a four of one is a four of the others.
static __device__ int64_t before_fours(const float *row, int64_t V, bool together) {
  const int64_t before = (int64_t)(16 - (uintptr_t)row % 16) / 4 % 4;
  return together && before < V ? before : V;
}

static bool are_together(std::initializer_list<const void *> matrices) {
  for (const void *p : matrices)
    if ((uintptr_t)p % 16 != (uintptr_t)*matrices.begin() % 16 || (uintptr_t)p % 4 != 0) return false;
  return true;
}

// one(j) for a number of the row, four(j) for those from j to j + 3.
template <int G, class One, class Four>
static __device__ void each_in_row(int64_t V, int64_t before, One one, Four four) {
  const int64_t lane = threadIdx.x % G, after = before + (V - before) / 4 * 4;
  for (int64_t j = lane; j < before; j += G) one(j);
  for (int64_t j = before + 4 * lane; j < after; j += 4 * G) four(j);
  for (int64_t j = after + lane; j < V; j += G) one(j);
}
static __device__ float4 four_at(const float *x) { return *(const float4 *)x; }

// f(j, number) -> number for each one of a row, x to y (which may be x). A four is stored by __stwb: an assignment is taken apart where the loop
// is unrolled.
template <int G, class F>
static __device__ void map_row(const float *x, float *y, int64_t V, int64_t before, F f) {
  each_in_row<G>(
      V, before, [&](int64_t j) { y[j] = f(j, x[j]); },
      [&](int64_t j) {
        float4 v = four_at(x + j);
        v.x = f(j, v.x), v.y = f(j + 1, v.y), v.z = f(j + 2, v.z), v.w = f(j + 3, v.w);
        __stwb((float4 *)(y + j), v);
      });
}
// The same, rounded.
template <int G, class F>
static __device__ void map_row(const float *x, bf16 *y, int64_t V, int64_t before, F f) {
  each_in_row<G>(
      V, before, [&](int64_t j) { store(y + j, (float)f(j, x[j])); },
      [&](int64_t j) {
        const float4 v = four_at(x + j);
        __stwb((rounded_quad *)(y + j), rounded_quad{pack(f(j, v.x), f(j + 1, v.y)), pack(f(j + 2, v.z), f(j + 3, v.w))});
      });
}
// The same with two, x and z.
template <int G, class F>
static __device__ void map_rows(const float *x, const float *z, float *y, int64_t V, int64_t before, F f) {
  each_in_row<G>(
      V, before, [&](int64_t j) { y[j] = f(x[j], z[j]); },
      [&](int64_t j) {
        float4 a = four_at(x + j);
        const float4 b = four_at(z + j);
        a.x = f(a.x, b.x), a.y = f(a.y, b.y), a.z = f(a.z, b.z), a.w = f(a.w, b.w);
        __stwb((float4 *)(y + j), a);
      });
}
// The sum of f(x, z) over a row, in all threads of the group.
template <int G, class F>
static __device__ float sum_rows(const float *x, const float *z, int64_t V, int64_t before, F f) {
  float sum = 0;
  each_in_row<G>(
      V, before, [&](int64_t j) { sum += f(x[j], z[j]); },
      [&](int64_t j) {
        const float4 a = four_at(x + j), b = four_at(z + j);
        sum += f(a.x, b.x) + f(a.y, b.y) + (f(a.z, b.z) + f(a.w, b.w));
      });
  return group_sum<G>(sum);
}

// A thread's share of sum exp(x - largest), brought along as the largest grows (Milakov and Gimelshein 2018): the row is read once.
struct softened {
  float largest = -INFINITY, total = 0;
  __device__ float base() const { return largest == -INFINITY ? 0 : largest; }
  __device__ void raise(float x) {
    if (!(x > largest)) return;
    total *= expf(largest - x);
    largest = x;
  }
  __device__ void add(float x) {
    raise(x);
    total += expf(x - base());
  }
  __device__ void add(const float4 &v) {
    raise(fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w)));
    const float m = base();
    total += expf(v.x - m) + expf(v.y - m) + (expf(v.z - m) + expf(v.w - m));
  }
};

template <int G>
static __device__ float log_sum_exp(const float *x, int64_t V, int64_t before) {
  softened own;
  each_in_row<G>(
      V, before, [&](int64_t j) { own.add(x[j]); }, [&](int64_t j) { own.add(four_at(x + j)); });
  const float largest = group_max<G>(own.largest);
  if (own.largest != -INFINITY) own.total *= expf(own.largest - largest);
  return largest + logf(group_sum<G>(own.total));
}

template <int G>
static __global__ void softmax_kernel(const float *x, float *y, bool log, int64_t N, int64_t V, bool together) {
  EACH_ROW(i, N) {
    const float *row = x + i * V;
    const int64_t before = before_fours(row, V, together);
    const float lse = log_sum_exp<G>(row, V, before);
    map_row<G>(row, y + i * V, V, before, [&](int64_t, float v) { return log ? v - lse : expf(v - lse); });
  }
}

// softmax: dx = y (dy - <y, dy>);  log-softmax: dx = dy - exp(y) sum(dy).
template <int G>
static __global__ void softmax_backward_kernel(const float *y, const float *dy, float *dx, bool log, int64_t N, int64_t V,
                                               bool together) {
  EACH_ROW(i, N) {
    const float *row = y + i * V, *grad = dy + i * V;
    const int64_t before = before_fours(row, V, together);
    const float sum = sum_rows<G>(row, grad, V, before, [&](float v, float g) { return log ? g : v * g; });
    map_rows<G>(row, grad, dx + i * V, V, before, [&](float v, float g) { return log ? g - expf(v) * sum : v * (g - sum); });
  }
}

void vbl_cuda_softmax(const void *x, void *y, bool log, int64_t N, int64_t V, vbl_stream s) {
  LAUNCH_ROWS(softmax_kernel, N, V, s, (const float *)x, (float *)y, log, N, V, are_together({x, y}));
}

void vbl_cuda_softmax_backward(const void *y, const void *dy, void *dx, bool log, int64_t N, int64_t V, vbl_stream s) {
  LAUNCH_ROWS(softmax_backward_kernel, N, V, s, (const float *)y, (const float *)dy, (float *)dx, log, N, V,
              are_together({y, dy, dx}));
}

template <int G>
static __global__ void cross_entropy_kernel(const float *x, const int32_t *label, int32_t ignore, float *loss, float *lse,
                                            int64_t N, int64_t V) {
  EACH_ROW(i, N) {
    const float *row = x + i * V, l = log_sum_exp<G>(row, V, before_fours(row, V, true));
    if (threadIdx.x % G != 0) continue;
    lse[i] = l;
    loss[i] = label[i] == ignore ? 0 : l - row[label[i]];
  }
}

template <int G, class Y>
static __device__ void each_slope(const float *x, const int32_t *label, int32_t ignore, const float *lse, const float *dloss,
                                  float scale, Y *dx, int64_t N, int64_t V, bool together) {
  EACH_ROW(i, N) {
    const float *row = x + i * V, l = lse[i];
    const int64_t before = before_fours(row, V, together), right = label[i];
    const bool ignored = label[i] == ignore;
    const float factor = ignored ? 0 : scale * (dloss != nullptr ? dloss[i] : 1);
    map_row<G>(row, dx + i * V, V, before,
               [&](int64_t j, float v) { return ignored ? 0 : (expf(v - l) - (float)(j == right)) * factor; });
  }
}
template <int G>
static __global__ void cross_entropy_backward_kernel(const float *x, const int32_t *label, int32_t ignore, const float *lse,
                                                     const float *dloss, float scale, float *dx, int64_t N, int64_t V,
                                                     bool together) {
  each_slope<G>(x, label, ignore, lse, dloss, scale, dx, N, V, together);
}
template <int G>
static __global__ void rounded_backward_kernel(const float *x, const int32_t *label, int32_t ignore, const float *lse,
                                               const float *dloss, float scale, bf16 *dx, int64_t N, int64_t V, bool together) {
  each_slope<G>(x, label, ignore, lse, dloss, scale, dx, N, V, together);
}

void vbl_cuda_cross_entropy(const void *x, const int32_t *label, int32_t ignore, void *loss, void *lse, int64_t N, int64_t V,
                            vbl_stream s) {
  LAUNCH_ROWS(cross_entropy_kernel, N, V, s, (const float *)x, label, ignore, (float *)loss, (float *)lse, N, V);
}

void vbl_cuda_cross_entropy_backward(const void *x, const int32_t *label, int32_t ignore, const void *lse, const void *dloss,
                                     double scale, void *dx, int64_t N, int64_t V, vbl_stream s) {
  LAUNCH_ROWS(cross_entropy_backward_kernel, N, V, s, (const float *)x, label, ignore, (const float *)lse, (const float *)dloss,
              (float)scale, (float *)dx, N, V, are_together({x, dx}));
}

// Fours of dx, 8 bytes each, lie as those of x do.
void vbl_cuda_mixed_cross_entropy_backward(const void *x, const int32_t *label, int32_t ignore, const void *lse, const void *dloss,
                                           double scale, void *dx, int64_t N, int64_t V, vbl_stream s) {
  LAUNCH_ROWS(rounded_backward_kernel, N, V, s, (const float *)x, label, ignore, (const float *)lse, (const float *)dloss,
              (float)scale, (bf16 *)dx, N, V, (uintptr_t)x % 16 == 0 && (uintptr_t)dx % 8 == 0);
}

// norm keeps |x| itself, also where it is below eps.
template <int G>
static __global__ void normalize_kernel(const float *x, float eps, float *y, float *norm, int64_t N, int64_t D, bool together) {
  EACH_ROW(i, N) {
    const float *row = x + i * D;
    const int64_t before = before_fours(row, D, together);
    const float length = sqrtf(sum_rows<G>(row, row, D, before, [](float a, float b) { return a * b; }));
    const float divisor = length > eps ? length : eps;
    map_row<G>(row, y + i * D, D, before, [&](int64_t, float v) { return v / divisor; });
    if (threadIdx.x % G == 0) norm[i] = length;
  }
}

// Below eps, y = x / eps is linear: dx = dy / eps.
template <int G>
static __global__ void normalize_backward_kernel(const float *y, const float *norm, float eps, const float *dy, float *dx,
                                                 int64_t N, int64_t D, bool together) {
  EACH_ROW(i, N) {
    const float *row = y + i * D, *grad = dy + i * D, length = norm[i];
    const int64_t before = before_fours(row, D, together);
    const float sum = sum_rows<G>(row, grad, D, before, [](float a, float b) { return a * b; });
    map_rows<G>(row, grad, dx + i * D, D, before,
                [&](float v, float g) { return length > eps ? (g - v * sum) / length : g / eps; });
  }
}

void vbl_cuda_normalize_rows(const void *x, double eps, void *y, void *norm, int64_t N, int64_t D, vbl_stream s) {
  LAUNCH_ROWS(normalize_kernel, N, D, s, (const float *)x, (float)eps, (float *)y, (float *)norm, N, D, are_together({x, y}));
}

void vbl_cuda_normalize_rows_backward(const void *y, const void *norm, double eps, const void *dy, void *dx, int64_t N, int64_t D,
                                      vbl_stream s) {
  LAUNCH_ROWS(normalize_backward_kernel, N, D, s, (const float *)y, (const float *)norm, (float)eps, (const float *)dy, (float *)dx,
              N, D, are_together({y, dy, dx}));
}
