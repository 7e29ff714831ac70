// Reference optimizers on flat blocks of n elements.
//
// AdamW (Loshchilov, Hutter 2019, arXiv 1711.05101, algorithm 2), in the order of torch.optim.AdamW:
//   w -= lr * decay * w;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   w -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
// SGD, as torch.optim.SGD without dampening or Nesterov:
//   g += decay * w;  buf = momentum * buf + g (the first time g);  w -= lr * buf
// defines: vbl_ref_adamw, vbl_ref_sgd
#include <math.h>

#include "kernels/ref/ref.h"

void vbl_ref_adamw(void *w, const void *g, void *m, void *v, int64_t n, double lr, double beta1, double beta2, double eps,
                   double decay, double scale, int64_t t, vbl_stream s) {
  (void)s;
  double *weight = w, *first = m, *second = v;
  double correction1 = 1 - pow(beta1, (double)t), correction2 = 1 - pow(beta2, (double)t);
  for (int64_t i = 0; i < n; i++) {
    double gradient = scale * ((const double *)g)[i];
    weight[i] -= lr * decay * weight[i];
    first[i] = beta1 * first[i] + (1 - beta1) * gradient;
    second[i] = beta2 * second[i] + (1 - beta2) * gradient * gradient;
    weight[i] -= lr / correction1 * first[i] / (sqrt(second[i]) / sqrt(correction2) + eps);
  }
}

void vbl_ref_sgd(void *w, const void *g, void *momentum_buffer, int64_t n, double lr, double momentum, double decay, double scale,
                 bool first, vbl_stream s) {
  (void)s;
  double *weight = w, *buffer = momentum_buffer;
  for (int64_t i = 0; i < n; i++) {
    double step = scale * ((const double *)g)[i] + decay * weight[i];
    if (momentum != 0) {
      buffer[i] = first ? step : momentum * buffer[i] + step;
      step = buffer[i];
    }
    weight[i] -= lr * step;
  }
}
