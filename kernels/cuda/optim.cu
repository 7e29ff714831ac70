// Optimizers on flat blocks; formulas in kernels/ref/optim.c.
// defines: vbl_cuda_adamw, vbl_cuda_adamw_pieces, vbl_cuda_sgd
#include <vector>

#include "kernels/cuda/backend.h"

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
  const float *g;
  int64_t n;
  adamw_step step;
};

// Blocks of a piece: enough for the largest (a table of embeddings), few enough for hundreds of small ones.
static unsigned blocks_of_piece(void) {
#ifdef __CUDACC__
  return 128;
#else
  return 2;
#endif
}

static __global__ void squares_kernel(const piece *pieces, int count, double *part) {
  for (int k = (int)blockIdx.y; k < count; k += (int)gridDim.y) {
    double sum = 0;
    VBL_EACH(i, pieces[k].n) sum += (double)pieces[k].g[i] * pieces[k].g[i];
    sum = group_sum<THREADS>(sum);
    if (threadIdx.x == 0) part[(int64_t)k * gridDim.x + blockIdx.x] = sum;
  }
}

// norm[0] = the norm of all, norm[1] = the scale of the gradients. One block.
static __global__ void norm_kernel(const double *part, int64_t n, double clip, double *norm) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += THREADS) sum += part[i];
  sum = group_sum<THREADS>(sum);
  if (threadIdx.x != 0) return;
  norm[0] = sqrt(sum);
  norm[1] = clip > 0 && clip < norm[0] + 1e-6 ? clip / (norm[0] + 1e-6) : 1;
}

static __global__ void pieces_kernel(const piece *pieces, int count, const double *norm) {
  if (!isfinite(norm[0])) return;
  for (int k = (int)blockIdx.y; k < count; k += (int)gridDim.y) {
    const piece p = pieces[k];
    adamw_step step = p.step;
    step.scale = (float)norm[1];
    VBL_EACH(i, p.n) adamw_element(p.w + i, p.g[i], p.m + i, p.v + i, step);
  }
}

double vbl_cuda_adamw_pieces(const vbl_adamw_piece *pieces, int count, double beta1, double beta2, double eps, double clip,
                             vbl_stream s) {
  if (count == 0) return 0;
  std::vector<piece> list;
  for (int i = 0; i < count; i++) {
    const vbl_adamw_piece &p = pieces[i];
    list.push_back(
        {(float *)p.w, (float *)p.m, (float *)p.v, (const float *)p.g, p.n, step_of(p.lr, beta1, beta2, eps, p.decay, 1, p.t)});
  }
  const dim3 grid(blocks_of_piece(), (unsigned)(count < 65535 ? count : 65535));
  const int64_t parts = (int64_t)count * grid.x;
  const size_t bytes = list.size() * sizeof(piece);
  scratch table(bytes, s), part((size_t)parts * sizeof(double), s), norm(2 * sizeof(double), s);
  if (table.p == nullptr || part.p == nullptr || norm.p == nullptr) return NAN;
  vbl_cuda_from_host(table.p, list.data(), bytes, s);
  VBL_LAUNCH(squares_kernel, grid, THREADS, s, (const piece *)table.p, count, (double *)part.p);
  VBL_LAUNCH(norm_kernel, 1, THREADS, s, (const double *)part.p, parts, clip, (double *)norm.p);
  VBL_LAUNCH(pieces_kernel, grid, THREADS, s, (const piece *)table.p, count, (const double *)norm.p);
  double size;
  vbl_cuda_to_host(&size, norm.p, sizeof size, s);
  return size;
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
