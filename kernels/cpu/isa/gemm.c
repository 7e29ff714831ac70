// GEMM through oneDNN's row-major sgemm, which picks its own instruction set and runs on the same OpenMP threads as our loops.
// One form of it is slow without AVX-512: A' B, which every weight gradient is (39 to 69 GF/s on one thread of a Zen 3, against 77
// to 89 of OpenBLAS at the same sizes). There the rows of C are shared out to serial OpenBLAS calls. defines: vbl_cpu_gemm
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include "core/base/openblas.h"
#include "kernels/cpu/isa/isa.h"

static void scale_rows(float *C, int64_t M, int64_t N, int64_t ldc, float beta) {
  for (int64_t i = 0; i < M; i++) {
    for (int64_t j = 0; j < N; j++) C[i * ldc + j] = beta == 0 ? 0.0f : beta * C[i * ldc + j];
  }
}

typedef void sgemm_fn(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                      float beta, float *c, int ldc);
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112, ROWS_AT_LEAST = 16 };

// OpenBLAS's sgemm where it is the better one for A' B; NULL where it is not, or is not there.
#ifdef __AVX512F__
static sgemm_fn *transposed_gemm(void) { return NULL; }
#else
static sgemm_fn *transposed_gemm(void) {
  static sgemm_fn *found;
  static bool looked;
  if (!looked && vbl_openblas_symbol("cblas_sgemm", (void *)&found, NULL) != VBL_OK) found = NULL;
  looked = true;
  return found;
}
#endif

// C = alpha A' B + beta C, with A [K, M] and B [K, N].
static void shared_rows(sgemm_fn *sgemm, int64_t M, int64_t N, int64_t K, float alpha, const float *A, int64_t lda, const float *B,
                        int64_t ldb, float beta, float *C, int64_t ldc) {
  const int64_t wanted = (M + ROWS_AT_LEAST - 1) / ROWS_AT_LEAST;
  const int threads = (int)(wanted < omp_get_max_threads() ? wanted : omp_get_max_threads());
#pragma omp parallel num_threads(threads)
  {
    const int64_t t = omp_get_thread_num(), n = omp_get_num_threads();
    const int64_t first = M * t / n / ROWS_AT_LEAST * ROWS_AT_LEAST;
    const int64_t end = t + 1 == n ? M : M * (t + 1) / n / ROWS_AT_LEAST * ROWS_AT_LEAST;
    if (end > first)
      sgemm(ROW_MAJOR, TRANS, NO_TRANS, (int)(end - first), (int)N, (int)K, alpha, A + first, (int)lda, B, (int)ldb, beta,
            C + first * ldc, (int)ldc);
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
  sgemm_fn *transposed = ta && !tb ? transposed_gemm() : NULL;
  if (transposed != NULL && lda < INT32_MAX && ldb < INT32_MAX && ldc < INT32_MAX && K < INT32_MAX) {
    shared_rows(transposed, M, N, K, (float)alpha, A, lda, B, ldb, (float)beta, C, ldc);
    return;
  }
  const dnnl_status_t status =
      dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', M, N, K, (float)alpha, A, lda, B, ldb, (float)beta, C, ldc);
  if (status != dnnl_success) vbl_cpu_fail(VBL_ENOMEM, "oneDNN's sgemm could not get memory");
}
