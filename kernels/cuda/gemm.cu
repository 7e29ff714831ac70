// Matrix products through cuBLAS, of f32 (no TF32) and of bf16 summed in f32; in the emulation through the CPU backend.
// defines: vbl_cuda_gemm, vbl_cuda_gemm_bf16, vbl_cuda_gemm_open
#include "kernels/cuda/backend.h"
#include "kernels/cuda/numbers.h"

#ifdef __CUDACC__
#include <cublas_v2.h>
#endif

using namespace vbl_cuda;

static __global__ void scale_kernel(float *C, int64_t ldc, int64_t N, float beta, int64_t n) {
  VBL_EACH(i, n) {
    float *c = C + i / N * ldc + i % N;
    *c = beta == 0 ? 0 : beta * *c;
  }
}

#ifdef __CUDACC__

static cublasHandle_t handle;

bool vbl_cuda_gemm_open(void) { return handle != nullptr || cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS; }

// Row-major C = op(A) op(B) is column-major C' = op(B)' op(A)'.
static void product(bool ta, bool tb, int64_t M, int64_t N, int64_t K, float alpha, const float *A, int64_t lda, const float *B,
                    int64_t ldb, float beta, float *C, int64_t ldc, vbl_stream s) {
  cublasStatus_t status = cublasSetStream(handle, (cudaStream_t)s);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasSgemm_64(handle, tb ? CUBLAS_OP_T : CUBLAS_OP_N, ta ? CUBLAS_OP_T : CUBLAS_OP_N, N, M, K, &alpha, B, ldb, A, lda,
                            &beta, C, ldc);
  if (status != CUBLAS_STATUS_SUCCESS) note_failure(VBL_EDEVICE, cublasGetStatusString(status));
}

// The same of bf16 operands, C in f32.
static void product_bf16(bool ta, bool tb, int64_t M, int64_t N, int64_t K, const void *A, int64_t lda, const void *B, int64_t ldb,
                         bool accumulate, float *C, int64_t ldc, vbl_stream s) {
  const float one = 1, beta = accumulate ? 1 : 0;
  cublasStatus_t status = cublasSetStream(handle, (cudaStream_t)s);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasGemmEx_64(handle, tb ? CUBLAS_OP_T : CUBLAS_OP_N, ta ? CUBLAS_OP_T : CUBLAS_OP_N, N, M, K, &one, B, CUDA_R_16BF,
                             ldb, A, CUDA_R_16BF, lda, &beta, C, CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  if (status != CUBLAS_STATUS_SUCCESS) note_failure(VBL_EDEVICE, cublasGetStatusString(status));
}

#else

bool vbl_cuda_gemm_open(void) { return true; }

static void product(bool ta, bool tb, int64_t M, int64_t N, int64_t K, float alpha, const float *A, int64_t lda, const float *B,
                    int64_t ldb, float beta, float *C, int64_t ldc, vbl_stream s) {
  vbl_emu::device_memory open;
  vbl_cpu_backend()->gemm(ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc, s);
}

static void product_bf16(bool ta, bool tb, int64_t M, int64_t N, int64_t K, const void *A, int64_t lda, const void *B, int64_t ldb,
                         bool accumulate, float *C, int64_t ldc, vbl_stream s) {
  vbl_emu::device_memory open;
  vbl_cpu_backend()->gemm_bf16(ta, tb, M, N, K, VBL_BF16, A, lda, VBL_BF16, B, ldb, accumulate, C, ldc, nullptr, nullptr, s);
}

#endif

void vbl_cuda_gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, double alpha, const void *A, int64_t lda, const void *B,
                   int64_t ldb, double beta, void *C, int64_t ldc, vbl_stream s) {
  if (M == 0 || N == 0) return;
  if (K == 0)
    VBL_LAUNCH(scale_kernel, blocks_for(M * N), THREADS, s, (float *)C, ldc, N, (float)beta, M * N);
  else
    product(ta, tb, M, N, K, (float)alpha, (const float *)A, lda, (const float *)B, ldb, (float)beta, (float *)C, ldc, s);
}

static __global__ void epilogue_kernel(float *C, int64_t ldc, const float *bias, bf16 *gelu, int64_t n, int64_t N) {
  VBL_EACH(i, n) {
    float *c = C + i / N * ldc + i % N;
    const float v = bias != nullptr ? *c + bias[i % N] : *c;
    if (bias != nullptr) *c = v;
    if (gelu != nullptr) store(gelu + i, gelu_erf(v));
  }
}

// An operand [rows, columns] rounded to bf16; one that is bf16 already stays where it is.
class rounded {
 public:
  rounded(vbl_dtype type, const void *x, int64_t ld, int64_t rows, int64_t columns, vbl_stream s)
      : data(x), stride(ld), copy(type == VBL_BF16 ? 0 : (size_t)(rows * columns) * 2, s) {
    const int64_t from[] = {ld, 1}, to[] = {columns, 1}, shape[] = {rows, columns};
    if (type == VBL_BF16) return;
    if (copy.p != nullptr) vbl_cuda_copy(type, x, from, VBL_BF16, copy.p, to, 2, shape, s);
    data = copy.p;
    stride = columns;
  }
  const void *data;
  int64_t stride;

 private:
  scratch copy;
};

void vbl_cuda_gemm_bf16(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda,
                        vbl_dtype b_type, const void *B, int64_t ldb, bool accumulate, void *C, int64_t ldc, const void *bias,
                        void *gelu, vbl_stream s) {
  if (M == 0 || N == 0) return;
  if (K == 0) {
    VBL_LAUNCH(scale_kernel, blocks_for(M * N), THREADS, s, (float *)C, ldc, N, accumulate ? 1.0f : 0.0f, M * N);
  } else {
    const rounded a(a_type, A, lda, ta ? K : M, ta ? M : K, s), b(b_type, B, ldb, tb ? N : K, tb ? K : N, s);
    if (a.data == nullptr || b.data == nullptr) return;
    product_bf16(ta, tb, M, N, K, a.data, a.stride, b.data, b.stride, accumulate, (float *)C, ldc, s);
  }
  if (bias != nullptr || gelu != nullptr)
    VBL_LAUNCH(epilogue_kernel, blocks_for(M * N), THREADS, s, (float *)C, ldc, (const float *)bias, (bf16 *)gelu, M * N, N);
}
