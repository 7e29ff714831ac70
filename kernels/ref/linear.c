// Reference epilogues of a linear layer: bias, bias and GELU, their backward, column sums. Matrices are [N,D].
// defines: vbl_ref_bias_add, vbl_ref_bias_gelu, vbl_ref_gelu_backward_bias, vbl_ref_column_sum
#include <stddef.h>

#include "kernels/ref/ref.h"

void vbl_ref_bias_add(void *y, const void *bias, int64_t N, int64_t D, vbl_stream s) {
  (void)s;
  double *out = y;
  const double *b = bias;
  if (b == NULL) return;
  for (int64_t row = 0; row < N; row++) {
    for (int64_t col = 0; col < D; col++) out[row * D + col] += b[col];
  }
}

void vbl_ref_bias_gelu(void *h, const void *bias, void *g, int64_t N, int64_t D, vbl_stream s) {
  vbl_ref_bias_add(h, bias, N, D, s);
  vbl_ref_unary(VBL_GELU, h, g, N * D, s);
}

void vbl_ref_gelu_backward_bias(const void *h, const void *dg, void *dh, void *dbias, bool accumulate, int64_t N, int64_t D,
                                vbl_stream s) {
  vbl_ref_unary_backward(VBL_GELU, h, NULL, dg, dh, N * D, s);
  if (dbias != NULL) vbl_ref_column_sum(dh, dbias, accumulate, N, D, s);
}

void vbl_ref_column_sum(const void *x, void *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s) {
  (void)s;
  const double *in = x;
  double *out = sum;
  for (int64_t col = 0; col < D; col++) {
    double total = accumulate ? out[col] : 0;
    for (int64_t row = 0; row < N; row++) total += in[row * D + col];
    out[col] = total;
  }
}
