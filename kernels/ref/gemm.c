// Reference matrix product: C[M,N] = alpha op(A)[M,K] op(B)[K,N] + beta C.
// defines: vbl_ref_gemm, vbl_ref_gemm_bf16
#include <math.h>
#include <string.h>

#include "kernels/ref/ref.h"

void vbl_ref_gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, double alpha, const void *A, int64_t lda, const void *B,
                  int64_t ldb, double beta, void *C, int64_t ldc, vbl_stream s) {
  (void)s;
  const double *a = A, *b = B;
  double *c = C;
  for (int64_t i = 0; i < M; i++) {
    for (int64_t j = 0; j < N; j++) {
      double dot = 0;
      for (int64_t k = 0; k < K; k++) {
        double a_ik = ta ? a[k * lda + i] : a[i * lda + k];
        double b_kj = tb ? b[j * ldb + k] : b[k * ldb + j];
        dot += a_ik * b_kj;
      }
      double old = beta == 0 ? 0 : beta * c[i * ldc + j];
      c[i * ldc + j] = alpha * dot + old;
    }
  }
}

// x rounded to 8 significant bits, ties to even.
static double to_bf16(double x) {
  enum { DROPPED = 45 };  // of the 52 bits that a double stores, bf16 keeps 7
  uint64_t bits;
  if (!isfinite(x)) return x;
  memcpy(&bits, &x, sizeof bits);
  bits += (1ull << (DROPPED - 1)) - 1 + (bits >> DROPPED & 1);
  bits &= ~((1ull << DROPPED) - 1);
  memcpy(&x, &bits, sizeof x);
  return x;
}

void vbl_ref_gemm_bf16(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda,
                       vbl_dtype b_type, const void *B, int64_t ldb, bool accumulate, void *C, int64_t ldc, const void *bias,
                       void *gelu, vbl_stream s) {
  (void)a_type;
  (void)b_type;
  const double *a = A, *b = B;
  double *c = C;
  for (int64_t i = 0; i < M; i++) {
    for (int64_t j = 0; j < N; j++) {
      double dot = 0;
      for (int64_t k = 0; k < K; k++)
        dot += to_bf16(ta ? a[k * lda + i] : a[i * lda + k]) * to_bf16(tb ? b[j * ldb + k] : b[k * ldb + j]);
      c[i * ldc + j] = dot + (accumulate ? c[i * ldc + j] : 0) + (bias ? ((const double *)bias)[j] : 0);
    }
    if (gelu) vbl_ref_unary(VBL_GELU, c + i * ldc, (double *)gelu + i * N, N, s);
  }
}
