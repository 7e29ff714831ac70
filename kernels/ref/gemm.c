// Reference matrix product: C[M,N] = alpha op(A)[M,K] op(B)[K,N] + beta C.
// defines: vbl_ref_gemm
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
