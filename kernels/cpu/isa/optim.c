// Optimizer steps on flat blocks of parameters.
// defines: vbl_cpu_adamw, vbl_cpu_sgd
#include <math.h>

#include "kernels/cpu/isa/isa.h"

// Loshchilov & Hutter 2019, algorithm 2, in the order of torch.optim.AdamW:
//   w -= lr decay w;  m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2;
//   w -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
void VBL_K(adamw)(void *w_, const void *g_, void *m_, void *v_, int64_t n, double lr, double beta1, double beta2, double eps,
                  double decay, double scale, int64_t t, vbl_stream s) {
  (void)s;
  float *w = w_, *m = m_, *v = v_;
  const float *g = g_;
  const float keep = (float)(1 - lr * decay), c1 = (float)(1 - beta1), b2 = (float)beta2, c2 = (float)(1 - beta2);
  const float step = (float)(lr / (1 - pow(beta1, (double)t))), root = (float)(1 / sqrt(1 - pow(beta2, (double)t)));
  const float e = (float)eps, factor = (float)scale;
#pragma omp parallel for simd schedule(static) if (n > VBL_GRAIN)
  for (int64_t i = 0; i < n; i++) {
    const float gi = g[i] * factor;
    const float mi = m[i] + c1 * (gi - m[i]), vi = b2 * v[i] + c2 * gi * gi;
    m[i] = mi;
    v[i] = vi;
    w[i] = w[i] * keep - step * mi / (sqrtf(vi) * root + e);
  }
}

// torch.optim.SGD: g += decay w; buffer = first ? g : momentum buffer + g; w -= lr buffer. Without momentum the buffer is not used.
void VBL_K(sgd)(void *w_, const void *g_, void *momentum_buffer, int64_t n, double lr, double momentum, double decay, double scale,
                bool first, vbl_stream s) {
  (void)s;
  float *w = w_, *buffer = momentum_buffer;
  const float *g = g_;
  const float rate = (float)lr, d = (float)decay, factor = (float)scale, mu = first ? 0.0f : (float)momentum;
  if (momentum == 0) {
#pragma omp parallel for simd schedule(static) if (n > VBL_GRAIN)
    for (int64_t i = 0; i < n; i++) w[i] -= rate * (g[i] * factor + d * w[i]);
    return;
  }
#pragma omp parallel for simd schedule(static) if (n > VBL_GRAIN)
  for (int64_t i = 0; i < n; i++) {
    const float old = first ? 0.0f : buffer[i];  // the first buffer is undefined
    const float b = mu * old + (g[i] * factor + d * w[i]);
    buffer[i] = b;
    w[i] -= rate * b;
  }
}
