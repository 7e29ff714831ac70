// GEMM through oneDNN's row-major sgemm, which picks its own instruction set and runs on the same OpenMP threads as our loops.
// defines: vbl_cpu_gemm
#include <oneapi/dnnl/dnnl.h>

#include "kernels/cpu/isa/isa.h"

static void scale_rows(float *C, int64_t M, int64_t N, int64_t ldc, float beta) {
  for (int64_t i = 0; i < M; i++) {
    for (int64_t j = 0; j < N; j++) C[i * ldc + j] = beta == 0 ? 0.0f : beta * C[i * ldc + j];
  }
}

void VBL_K(gemm)(bool ta, bool tb, int64_t M, int64_t N, int64_t K, double alpha, const void *A, int64_t lda, const void *B,
                 int64_t ldb, double beta, void *C, int64_t ldc, vbl_stream s) {
  (void)s;
  if (M == 0 || N == 0) return;
  if (K == 0) {
    scale_rows(C, M, N, ldc, (float)beta);
    return;
  }
  const dnnl_status_t status =
      dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', M, N, K, (float)alpha, A, lda, B, ldb, (float)beta, C, ldc);
  if (status != dnnl_success) vbl_cpu_fail(VBL_ENOMEM, "oneDNN's sgemm could not get memory");
}
