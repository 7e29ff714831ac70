// The counting backend: a run's steps, taken on a device that has no memory and computes nothing, ask it for exactly the blocks that they
// would ask a real device for, so that what they need is known before there is one. Blocks are counted as the allocators do it: in the same
// sizes, kept when they are freed and handed out again, given back when the limit is met (kernels/cuda/memory.cu, kernels/cpu/alloc.c).
// Kernels that take working memory take it here too; what is small beside a batch (partial sums) is left out.
// defines: vbl_plan_start, vbl_plan_end, vbl_plan_backend
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/kernels.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

static struct {
  bool open, scarce;  // scarce: a kernel's working memory did not fit
  size_t least;       // size of the smallest block
  vbl_device_memory now;
  int branch;
  bool apart;
  int64_t idle[3][VBL_BLOCK_CLASSES];  // by branch, and for both
  int64_t later[VBL_BLOCK_CLASSES];    // free when the branches meet
  uintptr_t first, met, next;  // addresses of this count, and of what was taken since they met; those of earlier ones are lower
} count = {.next = (uintptr_t)1 << 40};

static const uintptr_t SECOND = (uintptr_t)1 << 60;  // in the addresses of branch 1's
enum { BOTH = 2 };

static bool fits(size_t more) { return count.now.limit == 0 || more <= count.now.limit - count.now.held; }

static void give_back(void) {
  memset(count.idle, 0, sizeof count.idle);
  memset(count.later, 0, sizeof count.later);
  count.now.held = count.now.live;
}

static size_t most(size_t a, size_t b) { return a > b ? a : b; }

static void *plan_alloc(size_t bytes) {
  if (bytes > PTRDIFF_MAX / 2) return NULL;
  const size_t size = vbl_block_size(bytes, count.least);
  const int class = vbl_block_class(size, count.least);
  if (count.idle[count.branch][class] > 0) {
    count.idle[count.branch][class]--;
  } else if (count.idle[BOTH][class] > 0) {
    count.idle[BOTH][class]--;
  } else {
    if (!fits(size)) give_back();
    if (!fits(size)) return NULL;
    count.now.held += size;
  }
  count.now.live += size;
  count.now.peak = most(count.now.peak, count.now.live);
  count.now.most_held = most(count.now.most_held, count.now.held);
  void *p = (void *)(count.next | (count.branch == 1 ? SECOND : 0));
  count.next += size;
  return p;
}

static void plan_free(void *p, size_t bytes) {
  const uintptr_t at = (uintptr_t)p & ~SECOND;
  if (at < count.first) return;  // NULL, or of an earlier count
  const size_t size = vbl_block_size(bytes, count.least);
  const int class = vbl_block_class(size, count.least), branch = (uintptr_t)p != at;
  count.now.live -= size;
  if (!count.apart || (at >= count.met && branch == count.branch))
    count.idle[count.branch][class]++;
  else
    count.later[class]++;
}

static void plan_branch(int b) {
  count.branch = b;
  count.apart |= b == 1;
}

static void plan_meet(void) {
  for (int class = 0; class < VBL_BLOCK_CLASSES; class ++) {
    count.idle[BOTH][class] += count.idle[0][class] + count.idle[1][class] + count.later[class];
    count.idle[0][class] = count.idle[1][class] = count.later[class] = 0;
  }
  count.met = count.next;
  count.apart = count.branch == 1;
}

static void plan_memory(vbl_device_memory *m, bool reset) {
  *m = count.now;
  if (reset) count.now.peak = count.now.live, count.now.most_held = count.now.held;
}

static void to_host(void *host, const void *device, size_t bytes, vbl_stream s) { memset(host, 0, bytes); }
static void from_host(void *device, const void *host, size_t bytes, vbl_stream s) {}

static vbl_status plan_sync(vbl_stream s, vbl_error *err) {
  const bool scarce = count.scarce;
  count.scarce = false;
  return scarce ? vbl_fail(err, VBL_EDEVICE, "plan: out of memory for a kernel's own") : VBL_OK;
}

// Working memory of `blocks` blocks at once.
static void scratch(int blocks, const size_t *bytes) {
  void *p[2];
  for (int i = 0; i < blocks; i++) {
    p[i] = bytes[i] > 0 ? plan_alloc(bytes[i]) : NULL;
    count.scarce |= bytes[i] > 0 && p[i] == NULL;
  }
  for (int i = 0; i < blocks; i++)
    if (p[i] != NULL) plan_free(p[i], bytes[i]);
}

// An operand of f32, [rows, columns], rounded (gemm.cu).
static size_t rounded(vbl_dtype T, int64_t rows, int64_t columns) {
  return T == VBL_BF16 ? 0 : (size_t)(rows * ((columns + 7) / 8 * 8)) * 2;
}

static void count_gemm_bf16(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda,
                            vbl_dtype b_type, const void *B, int64_t ldb, bool accumulate, void *C, int64_t ldc, const void *bias,
                            void *gelu, vbl_stream s) {
  scratch(2, (size_t[]){rounded(a_type, ta ? K : M, ta ? M : K), rounded(b_type, tb ? N : K, tb ? K : N)});
}

// The operands and results of attention in bf16, as attention_bf16.cu lays them out where rows are not padded.
static void heads(const vbl_heads *a, bool backward) {
  enum { SPARE = 128 };
  const size_t width = (size_t)(a->H * a->d) * 2, q = (size_t)(a->q_rows + SPARE) * width, k = (size_t)(a->k_rows + SPARE) * width;
  scratch(1, (size_t[]){backward ? 4 * q + 4 * k + (size_t)(a->B * a->H * a->longest_q) * 4 : 2 * q + 2 * k});
}
static bool count_attention_bf16(const vbl_heads *a, void *o, int64_t ldo, void *lse, vbl_stream s) {
  return heads(a, false), true;
}
static bool count_attention_bf16_backward(const vbl_heads *a, const void *o, int64_t ldo, const void *lse, const void *dout,
                                          int64_t lddo, void *dq, int64_t lddq, void *dk, int64_t lddk, void *dv, int64_t lddv,
                                          vbl_stream s) {
  return heads(a, true), true;
}

// A norm of 1: the step is taken.
static double no_sum_squares(const void *x, int64_t n, vbl_stream s) { return 1; }
static int64_t no_count_nonfinite(const void *x, int64_t n, vbl_stream s) { return 0; }

static void no_copy(vbl_dtype from, const void *src, const int64_t *src_stride, vbl_dtype to, void *dst, const int64_t *dst_stride,
                    int ndim, const int64_t *shape, vbl_stream s) {}
static void no_fill(vbl_dtype T, void *x, int64_t n, double value, vbl_stream s) {}
static void no_unary(vbl_unary f, const void *x, void *y, int64_t n, vbl_stream s) {}
static void no_unary_backward(vbl_unary f, const void *x, const void *y, const void *dy, void *dx, int64_t n, vbl_stream s) {}
static void no_binary(vbl_binary f, vbl_dtype T, const void *a, const int64_t *a_stride, const void *b, const int64_t *b_stride,
                      void *out, int ndim, const int64_t *shape, vbl_stream s) {}
static void no_scale_add(double alpha, const void *x, double beta, void *y, int64_t n, vbl_stream s) {}
static void no_reduce(vbl_reduce f, const void *x, void *y, int32_t *index, int64_t outer, int64_t n, int64_t inner, vbl_stream s) {
}
static void no_gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, double alpha, const void *A, int64_t lda, const void *B,
                    int64_t ldb, double beta, void *C, int64_t ldc, vbl_stream s) {}
static void no_gemm_tf32(bool ta, bool tb, int64_t M, int64_t N, int64_t K, const void *A, int64_t lda, const void *B, int64_t ldb,
                         bool accumulate, void *C, int64_t ldc, vbl_stream s) {}
static void no_bias_add(void *y, const void *bias, int64_t N, int64_t D, vbl_stream s) {}
static void no_bias_gelu(void *h, const void *bias, void *g, int64_t N, int64_t D, vbl_stream s) {}
static void no_gelu_backward_bias(const void *h, const void *dg, void *dh, void *dbias, bool accumulate, int64_t N, int64_t D,
                                  vbl_stream s) {}
static void no_column_sum(const void *x, void *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s) {}
static void no_layer_norm(const void *x, const void *gamma, const void *beta, double eps, void *y, void *mean, void *rstd,
                          int64_t N, int64_t D, vbl_stream s) {}
static void no_residual_norm(const void *x, const void *residual, const vbl_dropout *drop, const void *gamma, const void *beta,
                             double eps, void *sum, void *y, void *mean, void *rstd, int64_t N, int64_t D, vbl_stream s) {}
static void no_layer_norm_backward(const void *x, const void *mean, const void *rstd, const void *gamma, const void *dy,
                                   const void *dsum, void *dx, void *dgamma, void *dbeta, bool accumulate, int64_t N, int64_t D,
                                   vbl_stream s) {}
static void no_dropout_add(const void *x, const void *residual, const vbl_dropout *drop, void *y, int64_t N, int64_t D,
                           vbl_stream s) {}
static void no_attention(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv,
                         const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d, double scale,
                         const vbl_dropout *drop, void *o, int64_t ldo, void *lse, vbl_stream s) {}
static void no_attention_backward(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv,
                                  const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d,
                                  double scale, const vbl_dropout *drop, const void *o, int64_t ldo, const void *lse,
                                  const void *dout, int64_t lddo, void *delta, void *dq, int64_t lddq, void *dk, int64_t lddk,
                                  void *dv, int64_t lddv, vbl_stream s) {}
static void no_gather_rows(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, vbl_stream s) {}
static void no_scatter_add_rows(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, int64_t rows, vbl_stream s) {}
static void no_text_embedding(const int32_t *ids, const int32_t *pos, const void *word, const void *position, const void *type,
                              void *y, int64_t n, int64_t D, vbl_stream s) {}
static void no_patchify(vbl_dtype T, const void *images, const double *mean, const double *std, const uint8_t *mask, void *patches,
                        int64_t B, int64_t S_h, int64_t S_w, int64_t p, vbl_stream s) {}
static void no_vit_assemble(const void *patches, const void *cls, const void *pos, void *y, int64_t B, int64_t P, int64_t D,
                            vbl_stream s) {}
static void no_softmax(const void *x, void *y, bool log, int64_t N, int64_t V, vbl_stream s) {}
static void no_softmax_backward(const void *y, const void *dy, void *dx, bool log, int64_t N, int64_t V, vbl_stream s) {}
static void no_cross_entropy(const void *x, const int32_t *label, int32_t ignore, void *loss, void *lse, int64_t N, int64_t V,
                             vbl_stream s) {}
static void no_cross_entropy_backward(const void *x, const int32_t *label, int32_t ignore, const void *lse, const void *dloss,
                                      double scale, void *dx, int64_t N, int64_t V, vbl_stream s) {}
static void no_normalize_rows(const void *x, double eps, void *y, void *norm, int64_t N, int64_t D, vbl_stream s) {}
static void no_normalize_rows_backward(const void *y, const void *norm, double eps, const void *dy, void *dx, int64_t N, int64_t D,
                                       vbl_stream s) {}
static void no_adamw(void *w, const void *g, void *m, void *v, int64_t n, double lr, double beta1, double beta2, double eps,
                     double decay, double scale, int64_t t, vbl_stream s) {}
static void no_sgd(void *w, const void *g, void *momentum_buffer, int64_t n, double lr, double momentum, double decay, double scale,
                   bool first, vbl_stream s) {}
static void no_gemm_bf16(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda,
                         vbl_dtype b_type, const void *B, int64_t ldb, bool accumulate, void *C, int64_t ldc, const void *bias,
                         void *gelu, vbl_stream s) {}

static vbl_backend plan = {
    .name = "plan",
    .host = false,
    .isa = "counts",
    .alloc = plan_alloc,
    .free = plan_free,
    .to_host = to_host,
    .from_host = from_host,
    .sync = plan_sync,
    .memory = plan_memory,
    .copy = no_copy,
    .fill = no_fill,
    .unary = no_unary,
    .unary_backward = no_unary_backward,
    .binary = no_binary,
    .scale_add = no_scale_add,
    .reduce = no_reduce,
    .gemm = no_gemm,
    .gemm_tf32 = no_gemm_tf32,
    .bias_add = no_bias_add,
    .bias_gelu = no_bias_gelu,
    .gelu_backward_bias = no_gelu_backward_bias,
    .column_sum = no_column_sum,
    .layer_norm = no_layer_norm,
    .residual_norm = no_residual_norm,
    .layer_norm_backward = no_layer_norm_backward,
    .dropout_add = no_dropout_add,
    .attention = no_attention,
    .attention_backward = no_attention_backward,
    .gather_rows = no_gather_rows,
    .scatter_add_rows = no_scatter_add_rows,
    .text_embedding = no_text_embedding,
    .patchify = no_patchify,
    .vit_assemble = no_vit_assemble,
    .softmax = no_softmax,
    .softmax_backward = no_softmax_backward,
    .cross_entropy = no_cross_entropy,
    .cross_entropy_backward = no_cross_entropy_backward,
    .normalize_rows = no_normalize_rows,
    .normalize_rows_backward = no_normalize_rows_backward,
    .adamw = no_adamw,
    .sgd = no_sgd,
    .sum_squares = no_sum_squares,
    .count_nonfinite = no_count_nonfinite,
};

// The CPU rounds as it multiplies and attends in f32.
void vbl_plan_start(bool gpu, size_t limit) {
  plan.rounds_weights = gpu;
  plan.branch = gpu ? plan_branch : NULL;
  plan.meet = gpu ? plan_meet : NULL;
  plan.gemm_bf16 = gpu ? count_gemm_bf16 : no_gemm_bf16;
  plan.attention_bf16 = gpu ? count_attention_bf16 : NULL;
  plan.attention_bf16_backward = gpu ? count_attention_bf16_backward : NULL;
  memset(count.idle, 0, sizeof count.idle);
  memset(count.later, 0, sizeof count.later);
  count.branch = 0;
  count.apart = false;
  count.open = true;
  count.scarce = false;
  count.least = gpu ? VBL_BLOCK_LEAST : 64;
  count.now = (vbl_device_memory){.limit = limit};
  count.first = count.met = count.next;
}

void vbl_plan_end(void) { count.open = false; }

const vbl_backend *vbl_plan_backend(void) { return count.open ? &plan : NULL; }
