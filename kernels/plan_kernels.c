// What each entry of the CUDA backend costs, kernel by kernel, from its arguments: the counting backend's kernels. They follow kernels/cuda line
// by line; a kernel there that reads or writes something else needs another formula here (test_plan_launches compares the launches,
// test_count_kernels the bytes with some counted by hand).
// defines: vbl_plan_kernels, vbl_plan_rounded
#include "kernels/plan.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

enum { F32 = 4, BF16 = 2, I32 = 4, F64 = 8 };

static double times(int64_t a, int64_t b) { return (double)a * (double)b; }
static double size_of(vbl_dtype T) { return (double)vbl_dtype_size(T); }

static void add(const char *kernel, double read, double written) { vbl_plan_add(kernel, 1, 0, read, written); }

// Different elements of a strided array of `shape`: what is repeated has stride 0.
static double elements(int ndim, const int64_t *shape, const int64_t *stride) {
  double n = 1;
  for (int i = 0; i < ndim; i++)
    if (stride[i] != 0 || shape[i] == 0) n *= (double)shape[i];
  return n;
}
static double product_of(int ndim, const int64_t *shape) {
  double n = 1;
  for (int i = 0; i < ndim; i++) n *= (double)shape[i];
  return n;
}

static void count_copy(vbl_dtype from, const void *src, const int64_t *src_stride, vbl_dtype to, void *dst,
                       const int64_t *dst_stride, int ndim, const int64_t *shape, vbl_stream s) {
  if (product_of(ndim, shape) > 0)
    add(from == VBL_F32 && to == VBL_BF16 ? "copy to bf16" : "copy", elements(ndim, shape, src_stride) * size_of(from),
        elements(ndim, shape, dst_stride) * size_of(to));
}
static void count_fill(vbl_dtype T, void *x, int64_t n, double value, vbl_stream s) { add("fill", 0, (double)n * size_of(T)); }
static void count_unary(vbl_unary f, const void *x, void *y, int64_t n, vbl_stream s) {
  add("unary", F32 * (double)n, F32 * (double)n);
}
static void count_unary_backward(vbl_unary f, const void *x, const void *y, const void *dy, void *dx, int64_t n, vbl_stream s) {
  add("unary_backward", 3 * F32 * (double)n, F32 * (double)n);
}
static void count_binary(vbl_binary f, vbl_dtype T, const void *a, const int64_t *a_stride, const void *b, const int64_t *b_stride,
                         void *out, int ndim, const int64_t *shape, vbl_stream s) {
  const double n = product_of(ndim, shape);
  const double width = size_of(T);
  if (n > 0) add("binary", width * (elements(ndim, shape, a_stride) + elements(ndim, shape, b_stride)), width * n);
}
static void count_scale_add(double alpha, const void *x, double beta, void *y, int64_t n, vbl_stream s) {
  add("scale_add", (beta == 0 ? 1 : 2) * F32 * (double)n, F32 * (double)n);
}
static void count_reduce(vbl_reduce f, const void *x, void *y, int32_t *index, int64_t outer, int64_t n, int64_t inner,
                         vbl_stream s) {
  const double lines = times(outer, inner);
  if (lines > 0) add("reduce", F32 * lines * (double)n, (index != NULL ? F32 + I32 : F32) * lines);
}

// A product of operands of `width` bytes, C in f32. The operands' memory is counted without gaps.
static void product(const char *name, int64_t M, int64_t N, int64_t K, int width, bool sum, bool bias) {
  const double out = F32 * times(M, N);
  if (M > 0 && N > 0 && K > 0)
    vbl_plan_add(name, 1, 2 * times(M, N) * (double)K,
                 width * (times(M, K) + times(K, N)) + (sum ? out : 0) + (bias ? F32 * (double)N : 0), out);
}
static void count_gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, double alpha, const void *A, int64_t lda, const void *B,
                       int64_t ldb, double beta, void *C, int64_t ldc, vbl_stream s) {
  product("gemm", M, N, K, F32, beta != 0, false);
}
static void count_gemm_tf32(bool ta, bool tb, int64_t M, int64_t N, int64_t K, const void *A, int64_t lda, const void *B,
                            int64_t ldb, bool accumulate, void *C, int64_t ldc, vbl_stream s) {
  product("gemm_tf32", M, N, K, F32, accumulate, false);
}

size_t vbl_plan_rounded(vbl_dtype T, int64_t rows, int64_t columns) {
  if (T == VBL_BF16) return 0;
  add("gemm_bf16 rounding", F32 * times(rows, columns), BF16 * times(rows, columns));
  return (size_t)(rows * ((columns + 7) / 8 * 8)) * 2;
}
static void count_gemm_bf16(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda,
                            vbl_dtype b_type, const void *B, int64_t ldb, bool accumulate, void *C, int64_t ldc, const void *bias,
                            void *gelu, vbl_stream s) {
  if (M == 0 || N == 0) return;
  if (K > 0)
    vbl_plan_scratch(
        2, (size_t[]){vbl_plan_rounded(a_type, ta ? K : M, ta ? M : K), vbl_plan_rounded(b_type, tb ? N : K, tb ? K : N)});
  product("gemm_bf16", M, N, K, BF16, accumulate, bias != NULL);
  if (gelu != NULL) add("gemm_bf16 gelu", F32 * times(M, N), BF16 * times(M, N));
}
// The CPU rounds as it multiplies: no working memory.
static void no_gemm_bf16(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda,
                         vbl_dtype b_type, const void *B, int64_t ldb, bool accumulate, void *C, int64_t ldc, const void *bias,
                         void *gelu, vbl_stream s) {}

static void count_bias_add(void *y, const void *bias, int64_t N, int64_t D, vbl_stream s) {
  if (bias != NULL) add("bias_add", F32 * (times(N, D) + (N > 0 ? (double)D : 0)), F32 * times(N, D));
}
static void count_bias_gelu(void *h, const void *bias, void *g, int64_t N, int64_t D, vbl_stream s) {
  const double n = F32 * times(N, D);
  if (n > 0) add("bias_gelu", n + (bias != NULL ? F32 * (double)D : 0), bias != NULL ? 2 * n : n);
}

static void count_adamw(void *w, const void *g, void *m, void *v, int64_t n, double lr, double beta1, double beta2, double eps,
                        double decay, double scale, int64_t t, vbl_stream s) {
  add("adamw", 4 * F32 * (double)n, 3 * F32 * (double)n);
}
static void count_sgd(void *w, const void *g, void *momentum_buffer, int64_t n, double lr, double momentum, double decay,
                      double scale, bool first, vbl_stream s) {
  const double N = F32 * (double)n;
  add("sgd", 2 * N + (momentum != 0 && !first ? N : 0), N + (momentum != 0 ? N : 0));
}

// Norms by chunks of each piece, their sum and the scale, the update. The tables go from the host first.
static vbl_reading *count_adamw_pieces(const vbl_adamw_piece *pieces, int count, double beta1, double beta2, double eps,
                                       double clip, vbl_stream s) {
  enum { CHUNK = 1 << 15, PIECE = 80, WHERE = 16 };  // a chunk's elements; bytes of a piece's record, and of a chunk's
  double n = 0, parts = 0, narrow = 0;
  for (int k = 0; k < count; k++) {
    n += (double)pieces[k].n;
    if (pieces[k].narrow != NULL) narrow += (double)pieces[k].n;
    parts += (double)((pieces[k].n + CHUNK - 1) / CHUNK);
  }
  const double tables = PIECE * (double)count + WHERE * parts, found = F64 * (double)(count + 1);
  vbl_plan_add("from_host", 0, 0, 0, tables + I32 * (double)(count + 1));
  add("adamw_pieces norms", F32 * n + tables, F64 * parts);
  add("adamw_pieces sums", F64 * parts + I32 * (double)(count + 1), found);
  add("adamw_pieces scale", found, F64 + F32);
  add("adamw_pieces", 4 * F32 * n + tables + F32 + I32, 3 * F32 * n + BF16 * narrow);
  const vbl_backend *b = vbl_plan_backend();
  return b->read_later(NULL, (size_t)found, false, s);
}

// A norm of 1: the step is taken. The CPU's sum is waited for.
static double count_sum_squares(const void *x, int64_t n, vbl_stream s) {
  add("sum_squares", F32 * (double)n, 0);
  return 1;
}
static int64_t count_nonfinite(const void *x, int64_t n, vbl_stream s) {
  add("count_nonfinite", F32 * (double)n, 0);
  return 0;
}

void vbl_plan_kernels(vbl_backend *b, bool gpu) {
  vbl_plan_layers(b, gpu);
  b->copy = count_copy;
  b->fill = count_fill;
  b->unary = count_unary;
  b->unary_backward = count_unary_backward;
  b->binary = count_binary;
  b->scale_add = count_scale_add;
  b->reduce = count_reduce;
  b->gemm = count_gemm;
  b->gemm_tf32 = count_gemm_tf32;
  b->bias_add = count_bias_add;
  b->bias_gelu = count_bias_gelu;
  b->adamw = count_adamw;
  b->sgd = count_sgd;
  b->sum_squares = count_sum_squares;
  b->count_nonfinite = count_nonfinite;
  b->gemm_bf16 = gpu ? count_gemm_bf16 : no_gemm_bf16;
  b->adamw_pieces = gpu ? count_adamw_pieces : NULL;
}
