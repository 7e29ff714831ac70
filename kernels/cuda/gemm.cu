// Matrix products of f32, of f32 rounded to TF32, and of bf16, summed in f32, by the library (product.h). GELU is a kernel of our own: the
// library's epilogue has its tanh form only.
// defines: vbl_cuda_gemm, vbl_cuda_gemm_tf32, vbl_cuda_gemm_bf16, vbl_cuda_mixed_gemm, vbl_cuda_gemm_open
#include "kernels/cuda/mixed.h"
#include "kernels/cuda/parts.h"
#include "kernels/cuda/product.h"

using namespace vbl_cuda;

// What a product of no summands leaves: beta C + bias. Small or never: the division is not worth avoiding.
template <class T>
static __global__ void scale_kernel(T *C, int64_t ldc, int64_t N, float beta, const T *bias, int64_t n) {
  VBL_EACH(i, n) {
    T *c = C + i / N * ldc + i % N;
    store(c, (beta == 0 ? 0 : beta * load(*c)) + (bias != nullptr ? load(bias[i % N]) : 0));
  }
}

template <class T>
static void scale(void *C, int64_t ldc, int64_t M, int64_t N, float beta, const void *bias, vbl_stream s) {
  VBL_LAUNCH(scale_kernel<T>, blocks_for(M * N), THREADS, s, (T *)C, ldc, N, beta, (const T *)bias, M * N);
}

// C += sum, whose rows lie one after another.
static __global__ void add_kernel(const float *sum, bf16 *C, int64_t ldc, int64_t N, int64_t M, bool whole) {
  const int64_t parts = (N + PART - 1) / PART;
  VBL_EACH(i, M * parts) {
    const int64_t row = i / parts, j = i % parts * PART;
    float v[PART], was[PART];
    load_part(sum + row * N + j, N - j, whole, v);
    load_part(C + row * ldc + j, N - j, whole, was);
    VBL_UNROLL
    for (int k = 0; k < PART; k++) v[k] += was[k];
    store_part(C + row * ldc + j, N - j, whole, v);
  }
}

static void add_rounded(const float *sum, bf16 *C, int64_t ldc, int64_t M, int64_t N, vbl_stream s) {
  const bool whole = ldc % PART == 0 && whole_parts(N, sum, C);
  VBL_LAUNCH(add_kernel, blocks_for(M * ((N + PART - 1) / PART)), THREADS, s, sum, C, ldc, N, M, whole);
}

bool vbl_cuda_gemm_open(void) { return vbl_lt::open(); }

// The largest power of two up to 16 that divides all of these.
static int alignment_of(uintptr_t bits) {
  int a = 16;
  while (bits % (uintptr_t)a != 0) a /= 2;
  return a;
}

static void product(vbl_product::shape p, const vbl_product::operands &o, vbl_stream s) {
  const uintptr_t width = p.operands == vbl_product::BF16 ? 2 : 4, result = p.result == vbl_product::BF16 ? 2 : 4;
  p.sum = o.beta != 0;
  p.bias = o.bias != nullptr;
  p.alignment = alignment_of((uintptr_t)o.A | (uintptr_t)o.B | (uintptr_t)o.C | (uintptr_t)o.bias | (uintptr_t)p.lda * width |
                             (uintptr_t)p.ldb * width | (uintptr_t)p.ldc * result);
  const char *failure = vbl_product::run(p, o, queue(s));
  if (failure != nullptr) note_failure(VBL_EDEVICE, failure);
}

void vbl_cuda_gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, double alpha, const void *A, int64_t lda, const void *B,
                   int64_t ldb, double beta, void *C, int64_t ldc, vbl_stream s) {
  if (M == 0 || N == 0) return;
  if (K == 0)
    scale<float>(C, ldc, M, N, (float)beta, nullptr, s);
  else
    product({ta, tb, vbl_product::F32, vbl_product::F32, false, false, M, N, K, lda, ldb, ldc, 0},
            {A, B, C, nullptr, (float)alpha, (float)beta}, s);
}

void vbl_cuda_gemm_tf32(bool ta, bool tb, int64_t M, int64_t N, int64_t K, const void *A, int64_t lda, const void *B, int64_t ldb,
                        bool accumulate, void *C, int64_t ldc, vbl_stream s) {
  if (M > 0 && N > 0 && K > 0)
    product({ta, tb, vbl_product::TF32, vbl_product::F32, false, false, M, N, K, lda, ldb, ldc, 0},
            {A, B, C, nullptr, 1, accumulate ? 1.0f : 0.0f}, s);
}

// An operand [rows, columns] rounded to bf16, its rows aligned to 16 bytes; one that is bf16 already stays where it is.
class rounded {
 public:
  rounded(vbl_dtype type, const void *x, int64_t ld, int64_t rows, int64_t columns, vbl_stream s)
      : data(x),
        stride(type == VBL_BF16 ? ld : (columns + 7) / 8 * 8),
        copy(type == VBL_BF16 ? 0 : (size_t)(rows * stride) * 2, s) {
    const int64_t from[] = {ld, 1}, to[] = {stride, 1}, shape[] = {rows, columns};
    if (type == VBL_BF16) return;
    if (copy.p != nullptr) vbl_cuda_copy(type, x, from, VBL_BF16, copy.p, to, 2, shape, s);
    data = copy.p;
  }
  const void *data;
  int64_t stride;

 private:
  scratch copy;
};

void vbl_cuda_mixed_gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda,
                         vbl_dtype b_type, const void *B, int64_t ldb, bool accumulate, vbl_dtype c_type, void *C, int64_t ldc,
                         const void *bias, vbl_stream s) {
  const float beta = accumulate ? 1.0f : 0.0f;
  const bool narrow = c_type == VBL_BF16;
  if (M == 0 || N == 0) return;
  if (K == 0) return narrow ? scale<bf16>(C, ldc, M, N, beta, bias, s) : scale<float>(C, ldc, M, N, beta, bias, s);
  const rounded a(a_type, A, lda, ta ? K : M, ta ? M : K, s), b(b_type, B, ldb, tb ? N : K, tb ? K : N, s);
  if (a.data == nullptr || b.data == nullptr) return;
  if (narrow && accumulate) {  // some of the library's algorithms round the product before they add it
    const scratch sum((size_t)(M * N) * sizeof(float), s);
    if (sum.p == nullptr) return;
    product({ta, tb, vbl_product::BF16, vbl_product::F32, false, false, M, N, K, a.stride, b.stride, N, 0},
            {a.data, b.data, sum.p, nullptr, 1, 0}, s);
    return add_rounded((const float *)sum.p, (bf16 *)C, ldc, M, N, s);
  }
  product(
      {ta, tb, vbl_product::BF16, narrow ? vbl_product::BF16 : vbl_product::F32, false, false, M, N, K, a.stride, b.stride, ldc, 0},
      {a.data, b.data, C, bias, 1, beta}, s);
}

static __global__ void gelu_kernel(const float *C, int64_t ldc, bf16 *gelu, int64_t M, int64_t N) {
  for (int64_t i = first_row<WARP>(); i < M; i += row_step<WARP>())
    for (int64_t j = threadIdx.x % WARP; j < N; j += WARP) store(gelu + i * N + j, gelu_erf(C[i * ldc + j]));
}

void vbl_cuda_gemm_bf16(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda,
                        vbl_dtype b_type, const void *B, int64_t ldb, bool accumulate, void *C, int64_t ldc, const void *bias,
                        void *gelu, vbl_stream s) {
  vbl_cuda_mixed_gemm(ta, tb, M, N, K, a_type, A, lda, b_type, B, ldb, accumulate, VBL_F32, C, ldc, bias, s);
  if (gelu != nullptr && M * N > 0)
    VBL_LAUNCH(gelu_kernel, blocks_for(M, THREADS / WARP), THREADS, s, (const float *)C, ldc, (bf16 *)gelu, M, N);
}
