// Optimizers on flat blocks; formulas in kernels/ref/optim.c.
// defines: vbl_cuda_adamw, vbl_cuda_sgd
#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

// What does not depend on the element, in f64 on the host.
struct adamw_step {
  float decay, beta1, rest1, beta2, rest2, eps, scale, rate,
      root2;  // rest = 1 - beta; rate = lr / (1 - beta1^t); root2 = 1 / sqrt(1 - beta2^t)
};

static __global__ void adamw_kernel(float *w, const float *g, float *m, float *v, int64_t n, adamw_step a) {
  VBL_EACH(i, n) {
    const float gradient = a.scale * g[i];
    const float first = a.beta1 * m[i] + a.rest1 * gradient, second = a.beta2 * v[i] + a.rest2 * gradient * gradient;
    m[i] = first;
    v[i] = second;
    w[i] = w[i] - a.decay * w[i] - a.rate * (first / (sqrtf(second) * a.root2 + a.eps));
  }
}

void vbl_cuda_adamw(void *w, const void *g, void *m, void *v, int64_t n, double lr, double beta1, double beta2, double eps,
                    double decay, double scale, int64_t t, vbl_stream s) {
  const double c1 = 1 - pow(beta1, (double)t), c2 = 1 - pow(beta2, (double)t);
  const adamw_step a = {(float)(lr * decay), (float)beta1, (float)(1 - beta1), (float)beta2,         (float)(1 - beta2),
                        (float)eps,          (float)scale, (float)(lr / c1),   (float)(1 / sqrt(c2))};
  if (n > 0) VBL_LAUNCH(adamw_kernel, blocks_for(n), THREADS, s, (float *)w, (const float *)g, (float *)m, (float *)v, n, a);
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
