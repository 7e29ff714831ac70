// Optimizers on flat blocks; formulas in kernels/ref/optim.c.
// defines: vbl_cuda_adamw, vbl_cuda_adamw_pieces, vbl_cuda_sgd
#include <vector>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/numbers.h"

using namespace vbl_cuda;

// What does not depend on the element, in f64 on the host.
struct adamw_step {
  float decay, beta1, rest1, beta2, rest2, eps, scale, rate,
      root2;  // rest = 1 - beta; rate = lr / (1 - beta1^t); root2 = 1 / sqrt(1 - beta2^t)
};

static adamw_step step_of(double lr, double beta1, double beta2, double eps, double decay, double scale, int64_t t) {
  const double c1 = 1 - pow(beta1, (double)t), c2 = 1 - pow(beta2, (double)t);
  return {(float)(lr * decay), (float)beta1, (float)(1 - beta1), (float)beta2,         (float)(1 - beta2),
          (float)eps,          (float)scale, (float)(lr / c1),   (float)(1 / sqrt(c2))};
}

static __device__ void adamw_element(float *w, float g, float *m, float *v, const adamw_step &a) {
  const float gradient = a.scale * g;
  const float first = a.beta1 * *m + a.rest1 * gradient, second = a.beta2 * *v + a.rest2 * gradient * gradient;
  *m = first;
  *v = second;
  *w = *w - a.decay * *w - a.rate * (first / (sqrtf(second) * a.root2 + a.eps));
}

static __global__ void adamw_kernel(float *w, const float *g, float *m, float *v, int64_t n, adamw_step a) {
  VBL_EACH(i, n) adamw_element(w + i, g[i], m + i, v + i, a);
}

void vbl_cuda_adamw(void *w, const void *g, void *m, void *v, int64_t n, double lr, double beta1, double beta2, double eps,
                    double decay, double scale, int64_t t, vbl_stream s) {
  if (n > 0)
    VBL_LAUNCH(adamw_kernel, blocks_for(n), THREADS, s, (float *)w, (const float *)g, (float *)m, (float *)v, n,
               step_of(lr, beta1, beta2, eps, decay, scale, t));
}

struct piece {
  float *w, *m, *v;
  bf16 *narrow;
  const float *g;
  adamw_step step;
};

// Elements of a piece that one block takes: a table of embeddings is many of them, a bias one.
struct stretch {
  int piece, n;
  int64_t first;
};

static int64_t stretch_size(void) {
#ifdef __CUDACC__
  return 1 << 15;
#else
  return 300;
#endif
}

// All that the kernels read, in device memory: the rates and step numbers are in the pieces.
struct tables {
  std::vector<piece> pieces;
  std::vector<stretch> stretches;
  std::vector<int> start;  // of piece k's stretches; one more at the end
};

static tables tables_of(const vbl_adamw_piece *pieces, int count, double beta1, double beta2, double eps) {
  tables t;
  for (int k = 0; k < count; k++) {
    const vbl_adamw_piece &p = pieces[k];
    t.pieces.push_back({(float *)p.w, (float *)p.m, (float *)p.v, (bf16 *)p.narrow, (const float *)p.g,
                        step_of(p.lr, beta1, beta2, eps, p.decay, 1, p.t)});
    t.start.push_back((int)t.stretches.size());
    for (int64_t first = 0; first < p.n; first += stretch_size())
      t.stretches.push_back({k, (int)(p.n - first < stretch_size() ? p.n - first : stretch_size()), first});
  }
  t.start.push_back((int)t.stretches.size());
  return t;
}

static __global__ void squares_kernel(const piece *pieces, const stretch *stretches, int count, double *part) {
  for (int k = (int)blockIdx.x; k < count; k += (int)gridDim.x) {
    const stretch c = stretches[k];
    const float *g = pieces[c.piece].g + c.first;
    double sum = 0;
    for (int i = (int)threadIdx.x; i < c.n; i += THREADS) sum += (double)g[i] * g[i];
    sum = group_sum<THREADS>(sum);
    if (threadIdx.x == 0) part[k] = sum;
  }
}

// found[1 + k] piece k's sum of squares. A warp a piece: a table of embeddings is hundreds of stretches.
static __global__ void sums_kernel(const double *part, const int *start, int count, double *found) {
  for (int k = (int)first_row<WARP>(); k < count; k += (int)row_step<WARP>()) {
    double squares = 0;
    for (int i = start[k] + (int)threadIdx.x % WARP; i < start[k + 1]; i += WARP) squares += part[i];
    squares = group_sum<WARP>(squares);
    if (threadIdx.x % WARP == 0) found[1 + k] = squares;
  }
}

// found[0] the norm of all, *scale that of the gradients. One block.
static __global__ void norm_kernel(int count, double clip, double *found, float *scale, int32_t *alarm) {
  double sum = 0;
  for (int k = (int)threadIdx.x; k < count; k += THREADS) sum += found[1 + k];
  sum = group_sum<THREADS>(sum);
  if (threadIdx.x != 0) return;
  const double norm = sqrt(sum);
  found[0] = norm;
  *scale = (float)(clip > 0 && clip < norm + 1e-6 ? clip / (norm + 1e-6) : 1);
  if (!isfinite(norm)) *alarm = 1;
}

// Whether four elements at a time from the stretch's first on are aligned to their 16 bytes, and to 8 where they are rounded.
static __device__ bool quads(const piece &p, const stretch &c) {
  const uintptr_t wide =
      (uintptr_t)(p.w + c.first) | (uintptr_t)(p.g + c.first) | (uintptr_t)(p.m + c.first) | (uintptr_t)(p.v + c.first);
  return wide % 16 == 0 && (p.narrow == nullptr || (uintptr_t)(p.narrow + c.first) % 8 == 0);
}

// Four elements: four reads of 16 bytes on their way at once.
static __device__ void adamw_quad(const piece &p, int64_t i, const adamw_step &a) {
  float4 w = *(const float4 *)(p.w + i), m = *(const float4 *)(p.m + i), v = *(const float4 *)(p.v + i);
  const float4 g = *(const float4 *)(p.g + i);
  adamw_element(&w.x, g.x, &m.x, &v.x, a);
  adamw_element(&w.y, g.y, &m.y, &v.y, a);
  adamw_element(&w.z, g.z, &m.z, &v.z, a);
  adamw_element(&w.w, g.w, &m.w, &v.w, a);
  *(float4 *)(p.w + i) = w;
  *(float4 *)(p.m + i) = m;
  *(float4 *)(p.v + i) = v;
  if (p.narrow != nullptr) *(rounded_quad *)(p.narrow + i) = {pack(w.x, w.y), pack(w.z, w.w)};
}

static __global__ void pieces_kernel(const piece *pieces, const stretch *stretches, int count, const float *scale,
                                     const int32_t *alarm) {
  if (*alarm != 0) return;
  for (int k = (int)blockIdx.x; k < count; k += (int)gridDim.x) {
    const stretch c = stretches[k];
    const piece p = pieces[c.piece];
    adamw_step step = p.step;
    step.scale = *scale;
    const int64_t last = c.first + c.n, whole = quads(p, c) ? last - c.n % 4 : c.first;
    for (int64_t i = c.first + 4 * threadIdx.x; i < whole; i += 4 * THREADS) adamw_quad(p, i, step);
    for (int64_t i = whole + threadIdx.x; i < last; i += THREADS) {
      adamw_element(p.w + i, p.g[i], p.m + i, p.v + i, step);
      if (p.narrow != nullptr) store(p.narrow + i, p.w[i]);
    }
  }
}

// A vector's elements in device memory.
template <class T>
class sent : public scratch {
 public:
  sent(const std::vector<T> &v, vbl_stream s) : scratch(v.size() * sizeof(T), s) {
    if (p != nullptr) vbl_cuda_from_host(p, v.data(), v.size() * sizeof(T), s);
  }
};

vbl_reading *vbl_cuda_adamw_pieces(const vbl_adamw_piece *pieces, int count, double beta1, double beta2, double eps, double clip,
                                   vbl_stream s) {
  const tables t = tables_of(pieces, count, beta1, beta2, eps);
  const int many = (int)t.stretches.size();
  const size_t bytes = ((size_t)count + 1) * sizeof(double);
  const sent<piece> list(t.pieces, s);
  const sent<stretch> parts(t.stretches, s);
  const sent<int> start(t.start, s);
  const scratch part((size_t)many * sizeof(double), s), found(bytes, s), scale(sizeof(float), s);
  int32_t *up = alarm();
  for (void *p : {list.p, parts.p, start.p, part.p, found.p, scale.p, (void *)up})
    if (p == nullptr) return nullptr;
  vbl_reading *found_later = new_reading(bytes, s);  // before any weight changes: the caller may try again where there is none
  if (found_later == nullptr) return nullptr;
  const unsigned grid = blocks_for(many, 1);
  VBL_LAUNCH(squares_kernel, grid, THREADS, s, (const piece *)list.p, (const stretch *)parts.p, many, (double *)part.p);
  VBL_LAUNCH(sums_kernel, blocks_for(count, THREADS / WARP), THREADS, s, (const double *)part.p, (const int *)start.p, count,
             (double *)found.p);
  VBL_LAUNCH(norm_kernel, 1, THREADS, s, count, clip, (double *)found.p, (float *)scale.p, up);
  VBL_LAUNCH(pieces_kernel, grid, THREADS, s, (const piece *)list.p, (const stretch *)parts.p, many, (const float *)scale.p, up);
  start_reading(found_later, found.p, s);
  return found_later;
}

static __global__ void sgd_kernel(float *w, const float *g, float *buffer, int64_t n, float lr, float momentum, float decay,
                                  float scale, bool first) {
  VBL_EACH(i, n) {
    float step = scale * g[i] + decay * w[i];
    if (momentum != 0) buffer[i] = step = first ? step : momentum * buffer[i] + step;
    w[i] -= lr * step;
  }
}

void vbl_cuda_sgd(void *w, const void *g, void *momentum_buffer, int64_t n, double lr, double momentum, double decay, double scale,
                  bool first, vbl_stream s) {
  if (n > 0)
    VBL_LAUNCH(sgd_kernel, blocks_for(n), THREADS, s, (float *)w, (const float *)g, (float *)momentum_buffer, n, (float)lr,
               (float)momentum, (float)decay, (float)scale, first);
}
