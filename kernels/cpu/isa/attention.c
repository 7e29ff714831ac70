// Scaled dot-product attention per sample and head, forward and backward (Vaswani et al. 2017; the backward recomputes the
// probabilities from the log-sum-exp, Dao et al. 2022).
// defines: vbl_cpu_attention, vbl_cpu_attention_backward
#include <math.h>
#include <string.h>

#include "kernels/cpu/isa/dropout.h"
#include "kernels/cpu/isa/vecmath.h"

static float dot(const float *a, const float *b, int64_t n) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t j = 0; j < n; j++) total += a[j] * b[j];
  return total;
}
static void axpy(float a, const float *x, float *y, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; j++) y[j] += a * x[j];
}

void VBL_K(attention)(const void *q_, int64_t ldq, const void *k_, int64_t ldk, const void *v_, int64_t ldv,
                      const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d, double scale,
                      const vbl_dropout *drop, void *o_, int64_t ldo, void *lse_, vbl_stream s) {
  (void)s;
  float *lse = lse_;
  const vbl_mask mask = vbl_mask_make(drop);
#pragma omp parallel for schedule(static)
  for (int64_t bh = 0; bh < B * H; bh++) {
    const int64_t b = bh / H, h = bh % H, q0 = q_seg[b][0], k0 = k_seg[b][0], keys = k_seg[b][1];
    const size_t bytes = (size_t)(2 * keys + 4) * sizeof(float);
    float *p = vbl_cpu_alloc(bytes), *factor = p + keys;
    for (int64_t i = 0; i < q_seg[b][1]; i++) {
      const float *q = (const float *)q_ + (q0 + i) * ldq + h * d;
      float *o = (float *)o_ + (q0 + i) * ldo + h * d, m = -INFINITY, total = 0;
      for (int64_t j = 0; j < keys; j++) {
        p[j] = (float)scale * dot(q, (const float *)k_ + (k0 + j) * ldk + h * d, d);
        if (p[j] > m) m = p[j];
      }
      for (int64_t j = 0; j < keys; j++) total += p[j] = vbl_exp_neg(p[j] - m);
      lse[(q0 + i) * H + h] = m + logf(total);
      memset(o, 0, (size_t)d * sizeof(float));
      if (mask.on) vbl_mask_row(&mask, (uint32_t)(i | h << 16), (uint32_t)mask.rows[b], 0, (keys + 3) / 4, factor);
      for (int64_t j = 0; j < keys; j++) {
        axpy(p[j] / total * (mask.on ? factor[j] : 1), (const float *)v_ + (k0 + j) * ldv + h * d, o, d);
      }
    }
    vbl_cpu_free(p, bytes);
  }
}

void VBL_K(attention_backward)(const void *q_, int64_t ldq, const void *k_, int64_t ldk, const void *v_, int64_t ldv,
                               const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d, double scale,
                               const vbl_dropout *drop, const void *o_, int64_t ldo, const void *lse_, const void *dout_,
                               int64_t lddo, void *delta_, void *dq_, int64_t lddq, void *dk_, int64_t lddk, void *dv_,
                               int64_t lddv, vbl_stream s) {
  (void)s;
  (void)delta_;
  const float *lse = lse_;
  const vbl_mask mask = vbl_mask_make(drop);
#pragma omp parallel for schedule(static)
  for (int64_t bh = 0; bh < B * H; bh++) {
    const int64_t b = bh / H, h = bh % H, q0 = q_seg[b][0], k0 = k_seg[b][0], keys = k_seg[b][1];
    const size_t bytes = (size_t)(keys + 4) * sizeof(float), row = (size_t)d * sizeof(float);
    float *factor = vbl_cpu_alloc(bytes);
    for (int64_t j = 0; j < keys; j++) {
      memset((float *)dk_ + (k0 + j) * lddk + h * d, 0, row);
      memset((float *)dv_ + (k0 + j) * lddv + h * d, 0, row);
    }
    for (int64_t i = 0; i < q_seg[b][1]; i++) {
      const float *q = (const float *)q_ + (q0 + i) * ldq + h * d, *dout = (const float *)dout_ + (q0 + i) * lddo + h * d;
      float *dq = (float *)dq_ + (q0 + i) * lddq + h * d;
      const float delta = dot(dout, (const float *)o_ + (q0 + i) * ldo + h * d, d);
      memset(dq, 0, row);
      if (mask.on) vbl_mask_row(&mask, (uint32_t)(i | h << 16), (uint32_t)mask.rows[b], 0, (keys + 3) / 4, factor);
      for (int64_t j = 0; j < keys; j++) {
        const float *k = (const float *)k_ + (k0 + j) * ldk + h * d, *v = (const float *)v_ + (k0 + j) * ldv + h * d;
        const float p = vbl_exp((float)scale * dot(q, k, d) - lse[(q0 + i) * H + h]), f = mask.on ? factor[j] : 1;
        const float ds = p * (f * dot(dout, v, d) - delta) * (float)scale;
        axpy(p * f, dout, (float *)dv_ + (k0 + j) * lddv + h * d, d);
        axpy(ds, k, dq, d);
        axpy(ds, q, (float *)dk_ + (k0 + j) * lddk + h * d, d);
      }
    }
    vbl_cpu_free(factor, bytes);
  }
}
