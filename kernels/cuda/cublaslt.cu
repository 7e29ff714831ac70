// Products through cuBLASLt: C = alpha op(A) op(B) + beta C and a bias, f32 sums, algorithms chosen by the caller. A bias is of C's type, which
// is what the library takes where it is told nothing else.
// defines: vbl_lt::{open, candidates, accepts, seconds, offers, run, REFUSED, capturing, identity}
#ifdef __CUDACC__
#include <cublasLt.h>
#include <cuda_runtime.h>
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/product.h"

using namespace vbl_product;

namespace vbl_lt {

enum : size_t { WORKSPACE = (size_t)32 << 20 };
enum { ROUNDS = 3 };

const char *const REFUSED = "not supported";

static cublasLtHandle_t handle;
static void *workspace[2];  // one a branch

bool open(void) {
  if (handle != nullptr) return true;
  for (void *&w : workspace)
    if (w == nullptr && cudaMalloc(&w, WORKSPACE) != cudaSuccess) return false;
  return cublasLtCreate(&handle) == CUBLAS_STATUS_SUCCESS;
}

// The library's descriptors of a shape. Row-major C = op(A) op(B) is column-major C' = op(B)' op(A)', so its A is our B.
class description {
 public:
  description(const shape &s, const void *bias) : status(CUBLAS_STATUS_SUCCESS) {
    const cudaDataType_t T = s.operands == BF16 ? CUDA_R_16BF : CUDA_R_32F;
    then(cublasLtMatmulDescCreate(&product, s.operands == TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
    set(CUBLASLT_MATMUL_DESC_TRANSA, s.tb ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, s.ta ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (s.bias) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
    then(cublasLtMatrixLayoutCreate(&a, T, (uint64_t)(s.tb ? s.K : s.N), (uint64_t)(s.tb ? s.N : s.K), s.ldb));
    then(cublasLtMatrixLayoutCreate(&b, T, (uint64_t)(s.ta ? s.M : s.K), (uint64_t)(s.ta ? s.K : s.M), s.lda));
    then(cublasLtMatrixLayoutCreate(&c, s.result == BF16 ? CUDA_R_16BF : CUDA_R_32F, (uint64_t)s.N, (uint64_t)s.M, s.ldc));
  }
  ~description() {
    cublasLtMatrixLayoutDestroy(c);
    cublasLtMatrixLayoutDestroy(b);
    cublasLtMatrixLayoutDestroy(a);
    cublasLtMatmulDescDestroy(product);
  }
  description(const description &) = delete;
  void then(cublasStatus_t next) { status = status == CUBLAS_STATUS_SUCCESS ? next : status; }

  cublasStatus_t status;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t name, T value) {
    then(cublasLtMatmulDescSetAttribute(product, name, &value, sizeof value));
  }
};

static cublasLtMatmulAlgo_t native(const algorithm &a) {
  static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof a.words, "cuBLASLt's record of an algorithm");
  cublasLtMatmulAlgo_t n;
  memcpy(&n, a.words, sizeof n);
  return n;
}

// Split sums meet in the workspace in a fixed order, not by additions in place, and in f32: runs repeat bit for bit.
static cublasLtMatmulPreference_t preference(const shape &s) {
  cublasLtMatmulPreference_t p = nullptr;
  const size_t bytes = WORKSPACE;
  const uint32_t aligned = (uint32_t)s.alignment;
  const uint32_t schemes =
      CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | (s.result == BF16 ? 0u : (uint32_t)CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE);
  if (cublasLtMatmulPreferenceCreate(&p) != CUBLAS_STATUS_SUCCESS) return nullptr;
  bool set = cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes) ==
                 CUBLAS_STATUS_SUCCESS &&
             cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes) ==
                 CUBLAS_STATUS_SUCCESS;
  for (cublasLtMatmulPreferenceAttributes_t name :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set = set && cublasLtMatmulPreferenceSetAttribute(p, name, &aligned, sizeof aligned) == CUBLAS_STATUS_SUCCESS;
  if (set) return p;
  cublasLtMatmulPreferenceDestroy(p);
  return nullptr;
}

// Of a bias the library looks at the alignment when it is asked for algorithms, at no more: an address that has it.
static const void *aligned_as(const shape &s) { return (const void *)((uintptr_t)1 << 20 | (uintptr_t)s.alignment); }

int candidates(const shape &s, algorithm *out) {
  description d(s, aligned_as(s));
  cublasLtMatmulPreference_t p = preference(s);
  cublasLtMatmulHeuristicResult_t found[MOST];
  int n = 0, good = 0;
  if (p != nullptr && d.status == CUBLAS_STATUS_SUCCESS &&
      cublasLtMatmulAlgoGetHeuristic(handle, d.product, d.a, d.b, d.c, d.c, p, MOST, found, &n) != CUBLAS_STATUS_SUCCESS)
    n = 0;
  if (p != nullptr) cublasLtMatmulPreferenceDestroy(p);
  for (int i = 0; i < n; i++)
    if (found[i].state == CUBLAS_STATUS_SUCCESS) memcpy(out[good++].words, &found[i].algo, sizeof found[i].algo);
  return good;
}

bool accepts(const shape &s, const algorithm &a) {
  description d(s, aligned_as(s));
  const cublasLtMatmulAlgo_t n = native(a);
  cublasLtMatmulHeuristicResult_t result;
  return d.status == CUBLAS_STATUS_SUCCESS &&
         cublasLtMatmulAlgoCheck(handle, d.product, d.a, d.b, d.c, d.c, &n, &result) == CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize <= WORKSPACE;
}

static cublasStatus_t multiply(const description &d, const operands &o, const cublasLtMatmulAlgo_t &a, void *stream) {
  return cublasLtMatmul(handle, d.product, &o.alpha, o.B, d.a, o.A, d.b, &o.beta, o.C, d.c, o.C, d.c, &a,
                        workspace[vbl_cuda::branch_of((cudaStream_t)stream)], WORKSPACE, (cudaStream_t)stream);
}

// NULL, REFUSED or a sentence, of what multiplying gave.
static const char *told(cublasStatus_t status) {
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return REFUSED;
  return status == CUBLAS_STATUS_SUCCESS ? nullptr : cublasLtGetStatusString(status);
}

const char *run(const shape &s, const operands &o, const algorithm &a, void *stream) {
  const description d(s, o.bias);
  return told(d.status == CUBLAS_STATUS_SUCCESS ? multiply(d, o, native(a), stream) : d.status);
}

// As `description`, of batches in f64.
class batch_description {
 public:
  explicit batch_description(const batch &b) {
    const cublasOperation_t first = b.outer ? CUBLAS_OP_T : CUBLAS_OP_N, second = b.outer ? CUBLAS_OP_N : CUBLAS_OP_T;
    made = cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_64F, CUDA_R_64F) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second) == CUBLAS_STATUS_SUCCESS &&
           layout(&right, b.outer ? b.K : b.N, b.outer ? b.N : b.K, b.count) &&
           layout(&left, b.outer ? b.K : b.M, b.outer ? b.M : b.K, b.count) && layout(&result, b.N, b.M, b.count);
  }
  ~batch_description() {
    cublasLtMatrixLayoutDestroy(result);
    cublasLtMatrixLayoutDestroy(left);
    cublasLtMatrixLayoutDestroy(right);
    cublasLtMatmulDescDestroy(product);
  }
  batch_description(const batch_description &) = delete;

  bool made;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t right = nullptr, left = nullptr, result = nullptr;

 private:
  static bool layout(cublasLtMatrixLayout_t *out, int64_t rows, int64_t columns, int64_t count) {
    const int32_t many = (int32_t)count;
    const int64_t apart = rows * columns;
    return cublasLtMatrixLayoutCreate(out, CUDA_R_64F, (uint64_t)rows, (uint64_t)columns, rows) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &many, sizeof many) ==
               CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &apart, sizeof apart) ==
               CUBLAS_STATUS_SUCCESS;
  }
};

bool offers(const batch &b, algorithm *out) {
  const batch_description d(b);
  shape s = {};  // what preference() reads of it
  s.alignment = ((b.outer ? b.K : b.M) | b.N) % 2 == 0 ? 16 : 8;
  cublasLtMatmulPreference_t p = d.made ? preference(s) : nullptr;
  cublasLtMatmulHeuristicResult_t offer;
  int found = 0;
  if (p == nullptr) return false;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle, d.product, d.right, d.left, d.result, d.result, p, 1, &offer, &found);
  cublasLtMatmulPreferenceDestroy(p);
  if (status != CUBLAS_STATUS_SUCCESS || found == 0 || offer.state != CUBLAS_STATUS_SUCCESS) return false;
  memcpy(out->words, &offer.algo, sizeof offer.algo);
  return true;
}

const char *run(const batch &b, const algorithm &a, void *stream) {
  const batch_description d(b);
  const cublasLtMatmulAlgo_t n = native(a);
  const double one = 1, before = b.accumulate ? 1 : 0;
  if (!d.made) return "cuBLASLt has no room to describe a batch of products";
  return told(cublasLtMatmul(handle, d.product, &one, b.B, d.right, b.A, d.left, &before, b.C, d.result, b.C, d.result, &n,
                             workspace[vbl_cuda::branch_of((cudaStream_t)stream)], WORKSPACE, (cudaStream_t)stream));
}

double seconds(const shape &s, const operands &o, const algorithm &a, void *stream) {
  const description d(s, o.bias);
  const cublasLtMatmulAlgo_t n = native(a);
  cudaEvent_t from, to;
  float milliseconds = -1;
  if (d.status != CUBLAS_STATUS_SUCCESS || !vbl_cuda::tried([&] { return cudaEventCreate(&from); })) return -1;
  if (!vbl_cuda::tried([&] { return cudaEventCreate(&to); })) return (void)cudaEventDestroy(from), -1;
  bool well = multiply(d, o, n, stream) == CUBLAS_STATUS_SUCCESS;  // loads its code
  well = well && cudaEventRecord(from, (cudaStream_t)stream) == cudaSuccess;
  for (int i = 0; i < ROUNDS && well; i++) well = multiply(d, o, n, stream) == CUBLAS_STATUS_SUCCESS;
  well = well && cudaEventRecord(to, (cudaStream_t)stream) == cudaSuccess && cudaEventSynchronize(to) == cudaSuccess &&
         cudaEventElapsedTime(&milliseconds, from, to) == cudaSuccess;
  cudaEventDestroy(from);
  cudaEventDestroy(to);
  return well ? milliseconds / 1e3 / ROUNDS : -1;
}

bool capturing(void *stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  return cudaStreamIsCapturing((cudaStream_t)stream, &status) == cudaSuccess && status != cudaStreamCaptureStatusNone;
}

const char *identity(void) {
  static char text[320];
  int device = 0;
  cudaDeviceProp p;
  if (text[0] == '\0' && cudaGetDevice(&device) == cudaSuccess && cudaGetDeviceProperties(&p, device) == cudaSuccess)
    snprintf(text, sizeof text, "%s sm_%d%d cublasLt %zu", p.name, p.major, p.minor, cublasLtGetVersion());
  return text;
}

}  // namespace vbl_lt
#endif
