// The counting backend's kernels of layers, as plan_kernels.c.
// defines: vbl_plan_layers, vbl_plan_chunks, vbl_plan_norm_backward
#include <stdlib.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/heads.h"
#include "kernels/plan.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

enum { F32 = 4, BF16 = 2, I32 = 4 };

static double times(int64_t a, int64_t b) { return (double)a * (double)b; }
static void add(const char *kernel, double read, double written) { vbl_plan_add(kernel, 1, 0, read, written); }

// Adds `sums` sums of D columns that lie in `chunks` chunks.
static void finish_chunks(const char *finish, int sums, int64_t chunks, bool accumulate, int64_t D) {
  add(finish, sums * F32 * times(chunks + (accumulate ? 1 : 0), D), sums * F32 * (double)D);
}
void vbl_plan_chunks(const char *kernel, const char *finish, int sums, double read, double written, bool accumulate, int64_t N,
                     int64_t D) {
  add(kernel, read, written + sums * F32 * times(vbl_row_chunks(N), D));
  if (finish != NULL) finish_chunks(finish, sums, vbl_row_chunks(N), accumulate, D);
}
void vbl_plan_norm_backward(const char *kernel, const char *parameters, double read, double both, double written, bool sums,
                            bool accumulate, int64_t N, int64_t D) {
  const double parts = 2 * F32 * times(vbl_norm_chunks(N), D);
  const bool at_once = sums && D <= VBL_NORM_WIDEST && N > 0;
  if (sums && !at_once) add(parameters, both, parts);
  if (N > 0) add(kernel, read, written + (at_once ? parts : 0));
  if (sums) finish_chunks("layer_norm_backward chunks", 2, vbl_norm_chunks(N), accumulate, D);
}
static void count_column_sum(const void *x, void *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s) {
  vbl_plan_chunks("column_sum", "column_sum chunks", 1, F32 * times(N, D), 0, accumulate, N, D);
}
static void count_gelu_backward_bias(const void *h, const void *dg, void *dh, void *dbias, bool accumulate, int64_t N, int64_t D,
                                     vbl_stream s) {
  const double n = F32 * times(N, D);
  vbl_plan_chunks("gelu_backward", dbias != NULL ? "column_sum chunks" : NULL, 1, 2 * n, n, accumulate, N, D);
}

static double rows_of(const vbl_dropout *drop, int64_t N) { return drop != NULL && drop->p > 0 ? 2 * I32 * (double)N : 0; }

static void count_layer_norm(const void *x, const void *gamma, const void *beta, double eps, void *y, void *mean, void *rstd,
                             int64_t N, int64_t D, vbl_stream s) {
  const double n = F32 * times(N, D);
  if (n > 0) add("layer_norm", n + 2 * F32 * (double)D, n + 2 * F32 * (double)N);
}
static void count_residual_norm(const void *x, const void *residual, const vbl_dropout *drop, const void *gamma, const void *beta,
                                double eps, void *sum, void *y, void *mean, void *rstd, int64_t N, int64_t D, vbl_stream s) {
  const double n = F32 * times(N, D);
  if (n > 0) add("residual_norm", 2 * n + 2 * F32 * (double)D + rows_of(drop, N), 2 * n + 2 * F32 * (double)N);
}
static void count_layer_norm_backward(const void *x, const void *mean, const void *rstd, const void *gamma, const void *dy,
                                      const void *dsum, void *dx, void *dgamma, void *dbeta, bool accumulate, int64_t N, int64_t D,
                                      vbl_stream s) {
  const double n = F32 * times(N, D), both = 2 * n + 2 * F32 * (double)N;
  vbl_plan_norm_backward("layer_norm_backward", "layer_norm_backward parameters", both + (dsum != NULL ? n : 0) + F32 * (double)D,
                         both, n, dgamma != NULL, accumulate, N, D);
}
static void count_dropout_add(const void *x, const void *residual, const vbl_dropout *drop, void *y, int64_t N, int64_t D,
                              vbl_stream s) {
  const double n = F32 * times(N, D);
  if (n > 0) add("dropout_add", (residual != NULL ? 2 : 1) * n + rows_of(drop, N), n);
}

// What is to be known of attention's segments: the rows that they hold, and the pairs of a query and a key.
typedef struct segments {
  double q, k, pairs;
} segments;

// From the tables that the host sent; without them, from the rows that the caller says there are (0: not known).
static segments segments_of(const int32_t (*q)[2], const int32_t (*k)[2], int64_t B, int64_t q_rows, int64_t k_rows) {
  size_t q_bytes, k_bytes;
  const int32_t(*at_q)[2] = vbl_plan_content(q, &q_bytes), (*at_k)[2] = vbl_plan_content(k, &k_bytes);
  const size_t wanted = (size_t)B * sizeof *q;
  if (at_q == NULL || at_k == NULL || q_bytes < wanted || k_bytes < wanted)
    return (segments){(double)q_rows, (double)k_rows, B > 0 ? times(q_rows, k_rows) / (double)B : 0};
  segments sum = {0, 0, 0};
  for (int64_t b = 0; b < B; b++) {
    sum.q += at_q[b][1];
    sum.k += at_k[b][1];
    sum.pairs += times(at_q[b][1], at_k[b][1]);
  }
  return sum;
}

static void count_attention(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv,
                            const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d, double scale,
                            const vbl_dropout *drop, void *o, int64_t ldo, void *lse, vbl_stream s) {
  const segments n = segments_of(q_seg, k_seg, B, 0, 0);
  const double width = F32 * times(H, d), row = F32 * (double)H;
  vbl_plan_add("attention", 1, 4 * times(H, d) * n.pairs, width * (n.q + 2 * n.k), (width + row) * n.q);
}
// Two kernels, which both make the scores and dP: seven products where five would do.
static void count_attention_backward(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv,
                                     const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d,
                                     double scale, const vbl_dropout *drop, const void *o, int64_t ldo, const void *lse,
                                     const void *dout, int64_t lddo, void *delta, void *dq, int64_t lddq, void *dk, int64_t lddk,
                                     void *dv, int64_t lddv, vbl_stream s) {
  const segments n = segments_of(q_seg, k_seg, B, 0, 0);
  const double width = F32 * times(H, d), row = F32 * (double)H, flops = 2 * times(H, d) * n.pairs;
  vbl_plan_add("attention_backward q", 1, 3 * flops, width * (3 * n.q + 2 * n.k) + row * n.q, (width + row) * n.q);
  vbl_plan_add("attention_backward kv", 1, 4 * flops, width * (2 * n.q + 2 * n.k) + 2 * row * n.q, 2 * width * n.k);
}

enum { SPARE = 128, BUCKET = 32 };

// Attention's operands and results in bf16 as attention_bf16.cu lays them out where cuDNN takes packed rows: in place where all samples are as
// long, packed where every row is some sample's, else padded.
static bool padded(const vbl_heads *a) { return !a->even && !a->whole; }
static int64_t places(const vbl_heads *a, int64_t rows, int64_t longest) {
  return padded(a) ? a->B * ((longest + BUCKET - 1) / BUCKET * BUCKET) : rows + SPARE;
}
// cuDNN's working memory for dq's sums in a fixed order: dS in bf16, in tiles of 64 (cuDNN 9.19, sm_90).
static size_t ordered_sums(const vbl_heads *a) {
  enum { TILE = 64 };
  const int64_t q = (a->longest_q + TILE - 1) / TILE * TILE, k = (a->longest_k + TILE - 1) / TILE * TILE;
  return (size_t)(a->B * a->H * q * k) * BF16;
}
static void heads(const vbl_heads *a, bool backward) {
  const int64_t q = places(a, a->q_rows, a->longest_q), k = places(a, a->k_rows, a->longest_k);
  const size_t width = (size_t)(a->H * a->d) * BF16, matrices = (size_t)((backward ? 4 : 2) * (q + k)) * width,
               stats = padded(a) ? (size_t)(q * a->H) * F32 : 0,
               sums = backward ? (size_t)(a->B * a->H * a->longest_q) * F32 + ordered_sums(a) : 0;
  vbl_plan_scratch(1, (size_t[]){(a->even ? 0 : matrices) + stats + sums});
}
// Rows packed, zeros behind them.
static void pack_rows(const vbl_heads *a, int64_t rows, int64_t longest) {
  const double W = (double)(a->H * a->d), n = (double)rows * W;
  if (a->even) return;
  add("attention_bf16 packing", BF16 * n, BF16 * (padded(a) ? (double)places(a, rows, longest) * W : n));
  if (!padded(a)) add("attention_bf16 packing", 0, BF16 * SPARE * W);
}
// What the plan reads beside the matrices: lengths, offsets, the seed.
static void control(const vbl_heads *a) {
  const double B = (double)a->B;
  add("attention_bf16 control", 4 * I32 * B, 2 * I32 * B + 3 * 8 * (B + 1) + 16);
}
static void unpack(const vbl_heads *a, double rows, double width) {
  if (!a->even) add("attention_bf16 unpacking", rows * width, rows * width);
}
// vbl's own kernels, which read and write where the rows lie; the backward's two both make the scores and dP.
static void count_own(const vbl_heads *a, const segments *n) {
  const double width = BF16 * times(a->H, a->d), row = F32 * (double)a->H;
  vbl_plan_add("attention_bf16 own", 1, 4 * times(a->H, a->d) * n->pairs, width * (n->q + 2 * n->k), (width + row) * n->q);
}
static void count_own_backward(const vbl_heads *a, const segments *n) {
  const double width = BF16 * times(a->H, a->d), row = F32 * (double)a->H, flops = 2 * times(a->H, a->d) * n->pairs;
  vbl_plan_scratch(1, (size_t[]){(size_t)(a->q_rows * a->H) * F32});
  vbl_plan_add("attention_bf16_backward own q", 1, 3 * flops, width * (3 * n->q + 2 * n->k) + row * n->q, (width + row) * n->q);
  vbl_plan_add("attention_bf16_backward own kv", 1, 4 * flops, width * (2 * n->q + 2 * n->k) + 2 * row * n->q, 2 * width * n->k);
}
static bool count_attention_bf16(const vbl_heads *a, void *o, void *lse, vbl_stream s) {
  const segments n = segments_of(a->q_seg, a->k_seg, a->B, a->q_rows, a->k_rows);
  const double width = BF16 * times(a->H, a->d), row = F32 * (double)a->H;
  if (vbl_heads_own(a)) return count_own(a, &n), true;
  heads(a, false);
  control(a);
  pack_rows(a, a->q_rows, a->longest_q);
  for (int i = 0; i < 2; i++) pack_rows(a, a->k_rows, a->longest_k);
  vbl_plan_add("attention_bf16", 1, 4 * times(a->H, a->d) * n.pairs, width * (n.q + 2 * n.k), (width + row) * n.q);
  unpack(a, n.q, width);
  unpack(a, n.q, row);
  return true;
}
static bool count_attention_bf16_backward(const vbl_heads *a, const void *o, const void *lse, const void *dout, void *dq, void *dk,
                                          void *dv, vbl_stream s) {
  const segments n = segments_of(a->q_seg, a->k_seg, a->B, a->q_rows, a->k_rows);
  const double width = BF16 * times(a->H, a->d), row = F32 * (double)a->H;
  if (vbl_heads_own(a)) return count_own_backward(a, &n), true;
  heads(a, true);
  control(a);
  for (int i = 0; i < 3; i++) pack_rows(a, a->q_rows, a->longest_q);  // q, o, do
  for (int i = 0; i < 2; i++) pack_rows(a, a->k_rows, a->longest_k);
  if (padded(a)) add("attention_bf16 packing", row * n.q, row * (double)places(a, a->q_rows, a->longest_q));
  vbl_plan_add("attention_bf16_backward", 1, 10 * times(a->H, a->d) * n.pairs, width * (3 * n.q + 2 * n.k) + row * n.q,
               width * (n.q + 2 * n.k) + row * n.q);
  unpack(a, n.q, width);
  for (int i = 0; i < 2; i++) unpack(a, n.k, width);
  return true;
}

static int by_value(const void *a, const void *b) {
  const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

// How many different indices, of those that are not -1, there are among n; all n where they are not known.
static double different(const int32_t *index, int64_t n) {
  size_t bytes;
  const int32_t *at = vbl_plan_content(index, &bytes);
  if (at == NULL || bytes < (size_t)n * sizeof *at) return (double)n;
  int32_t *sorted = malloc((size_t)n * sizeof *sorted + 1);
  if (sorted == NULL) return vbl_plan_short(), (double)n;
  memcpy(sorted, at, (size_t)n * sizeof *sorted);
  qsort(sorted, (size_t)n, sizeof *sorted, by_value);
  int64_t found = 0;
  for (int64_t i = 0; i < n; i++) found += sorted[i] >= 0 && (i == 0 || sorted[i] != sorted[i - 1]);
  free(sorted);
  return (double)found;
}

static void count_gather_rows(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, vbl_stream s) {
  if (n * D > 0) add("gather_rows", F32 * different(index, n) * (double)D + I32 * (double)n, F32 * times(n, D));
}
static void count_scatter_add_rows(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, int64_t rows, vbl_stream s) {
  if (n * D == 0) return;
  const double touched = F32 * different(index, n) * (double)D, of = 2 * I32 * (double)rows;
  const bool counted = n > VBL_SCATTER_COMPARED;
  vbl_plan_scratch(1, (size_t[]){counted ? (size_t)of : 0});
  if (counted) add("fill", 0, of);
  if (counted) add("scatter_add_rows counting", I32 * (double)n, 2 * I32 * (double)n);
  add("scatter_add_rows", F32 * times(n, D) + I32 * (double)n + touched, touched);
}
static void count_text_embedding(const int32_t *ids, const int32_t *pos, const void *word, const void *position, const void *type,
                                 void *y, int64_t n, int64_t D, vbl_stream s) {
  if (n * D > 0)
    add("text_embedding", F32 * (different(ids, n) + different(pos, n) + 1) * (double)D + 2 * I32 * (double)n, F32 * times(n, D));
}
static void count_patchify(vbl_dtype T, const void *images, const double *mean, const double *std, const uint8_t *mask,
                           void *patches, int64_t B, int64_t S_h, int64_t S_w, int64_t p, vbl_stream s) {
  const double places = times(B, (S_h / p) * (S_w / p)), n = places * (double)(3 * p * p);
  if (n > 0) add("patchify", n * (double)vbl_dtype_size(T) + (mask != NULL ? places : 0), F32 * n);
}
static void count_vit_assemble(const void *patches, const void *cls, const void *pos, void *y, int64_t B, int64_t P, int64_t D,
                               vbl_stream s) {
  const double row = F32 * (double)D;
  if (B * D > 0) add("vit_assemble", row * (times(B, P) + 1 + (double)(P + 1)), row * times(B, P + 1));
}

static void count_softmax(const void *x, void *y, bool log, int64_t N, int64_t V, vbl_stream s) {
  add("softmax", F32 * times(N, V), F32 * times(N, V));
}
static void count_softmax_backward(const void *y, const void *dy, void *dx, bool log, int64_t N, int64_t V, vbl_stream s) {
  add("softmax_backward", 2 * F32 * times(N, V), F32 * times(N, V));
}
static void count_cross_entropy(const void *x, const int32_t *label, int32_t ignore, void *loss, void *lse, int64_t N, int64_t V,
                                vbl_stream s) {
  if (N * V > 0) add("cross_entropy", F32 * times(N, V) + I32 * (double)N, 2 * F32 * (double)N);
}
static void count_cross_entropy_backward(const void *x, const int32_t *label, int32_t ignore, const void *lse, const void *dloss,
                                         double scale, void *dx, int64_t N, int64_t V, vbl_stream s) {
  const double by_row = (I32 + F32 + (dloss != NULL ? F32 : 0)) * (double)N;
  if (N * V > 0) add("cross_entropy_backward", F32 * times(N, V) + by_row, F32 * times(N, V));
}
static void count_normalize_rows(const void *x, double eps, void *y, void *norm, int64_t N, int64_t D, vbl_stream s) {
  if (N * D > 0) add("normalize_rows", F32 * times(N, D), F32 * (times(N, D) + (double)N));
}
static void count_normalize_rows_backward(const void *y, const void *norm, double eps, const void *dy, void *dx, int64_t N,
                                          int64_t D, vbl_stream s) {
  if (N * D > 0) add("normalize_rows_backward", F32 * (2 * times(N, D) + (double)N), F32 * times(N, D));
}

void vbl_plan_layers(vbl_backend *b, bool gpu) {
  b->gelu_backward_bias = count_gelu_backward_bias;
  b->column_sum = count_column_sum;
  b->layer_norm = count_layer_norm;
  b->residual_norm = count_residual_norm;
  b->layer_norm_backward = count_layer_norm_backward;
  b->dropout_add = count_dropout_add;
  b->attention = count_attention;
  b->attention_backward = count_attention_backward;
  b->gather_rows = count_gather_rows;
  b->scatter_add_rows = count_scatter_add_rows;
  b->text_embedding = count_text_embedding;
  b->patchify = count_patchify;
  b->vit_assemble = count_vit_assemble;
  b->softmax = count_softmax;
  b->softmax_backward = count_softmax_backward;
  b->cross_entropy = count_cross_entropy;
  b->cross_entropy_backward = count_cross_entropy_backward;
  b->normalize_rows = count_normalize_rows;
  b->normalize_rows_backward = count_normalize_rows_backward;
  b->attention_bf16 = gpu ? count_attention_bf16 : NULL;
  b->attention_bf16_backward = gpu ? count_attention_bf16_backward : NULL;
}
