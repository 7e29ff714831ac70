// y = dropout(x) (+ residual); also its own backward.
// defines: vbl_cpu_dropout_add
#include "kernels/cpu/isa/dropout.h"

#include <string.h>

void VBL_K(dropout_add)(const void *x_, const void *residual_, const vbl_dropout *drop, void *y_, int64_t N, int64_t D,
                        vbl_stream s) {
  (void)s;
  const float *x = x_, *residual = residual_;
  float *y = y_;
  const vbl_mask mask = vbl_mask_make(drop);
#pragma omp parallel for schedule(static) if (N * D > VBL_GRAIN)
  for (int64_t i = 0; i < N; i++) {
    const float *xi = x + i * D, *ri = residual ? residual + i * D : NULL;
    float *yi = y + i * D;
    if (mask.on) {
      vbl_dropout_row(&mask, i, xi, ri, yi, D);
    } else if (ri) {
#pragma omp simd
      for (int64_t j = 0; j < D; j++) yi[j] = xi[j] + ri[j];
    } else if (yi != xi) {
      memcpy(yi, xi, (size_t)D * sizeof(float));
    }
  }
}
