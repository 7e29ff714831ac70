// Cosines between the tokens of two sequences, and each token's best (kernels/measure.h).
// defines: vbl_cuda_best_cosines
#include "kernels/cuda/measure.h"

using namespace vbl_cuda;

// One warp a pair of tokens.
static __global__ void cosine_kernel(vbl_token_rows a, vbl_token_rows b, const int32_t *sample, int64_t count, int64_t d,
                                     double *cosine) {
  for (int64_t w = first_row<WARP>(); w < count * a.tokens * b.tokens; w += row_step<WARP>()) {
    const int64_t q = w / b.tokens / a.tokens;
    const int64_t i = sample[2 * q] * a.tokens + w / b.tokens % a.tokens, j = sample[2 * q + 1] * b.tokens + w % b.tokens;
    const double scale = a.norm[i] * b.norm[j];
    const float *x = (const float *)a.x + i * d, *y = (const float *)b.x + j * d;
    double sum = 0;
    for (int64_t e = threadIdx.x % WARP; e < d; e += WARP) sum += (double)x[e] * y[e];
    sum = group_sum<WARP>(sum);
    if (threadIdx.x % WARP == 0) cosine[w] = scale > 0 ? sum / scale : -INFINITY;
  }
}

// Element i of the first side's best, then of the second's.
static __global__ void best_kernel(const double *cosine, int64_t count, int64_t T, int64_t P, double *best_a, double *best_b) {
  VBL_EACH(i, count * (T + P)) {
    const bool first = i < count * T;
    const int64_t at = first ? i : i - count * T, q = first ? at / T : at / P;
    const double *from = cosine + q * T * P + (first ? at % T * P : at % P);
    double best = -INFINITY;
    for (int64_t k = 0; k < (first ? P : T); k++) best = fmax(best, from[first ? k : k * P]);
    (first ? best_a : best_b)[at] = best;
  }
}

void vbl_cuda_best_cosines(const vbl_token_rows *a, const vbl_token_rows *b, const int32_t *sample, int64_t count, int64_t d,
                           double *best_a, double *best_b, vbl_stream s) {
  const int64_t T = a->tokens, P = b->tokens;
  if (count * T * P == 0) return;
  scratch cosine((size_t)(count * T * P) * sizeof(double), s);
  if (cosine.p == nullptr) return;
  VBL_LAUNCH(cosine_kernel, blocks_for(count * T * P, THREADS / WARP), THREADS, s, *a, *b, sample, count, d, (double *)cosine.p);
  VBL_LAUNCH(best_kernel, blocks_for(count * (T + P)), THREADS, s, (const double *)cosine.p, count, T, P, best_a, best_b);
}
