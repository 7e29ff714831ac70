// The backend interface. A backend is a table of functions on raw pointers; core calls nothing else of a device.
//
// Conventions. Matrices are row-major and contiguous unless a leading dimension (ld*) or stride is passed. All sizes are
// int64_t and may be 0 (then nothing is done). `T` is the tensor's dtype; kernels marked "real" take VBL_F32 (cpu, cuda) or
// VBL_F64 (the reference backend, which computes only in double); i32 index arrays are trusted: core has checked ranges.
// `stream` (last) is NULL on the CPU. Kernels cannot fail for reasons of input; a device's failure is reported by sync.
// Sums are accumulated in an order that depends on sizes and the thread count only.
// Letters: N rows, D columns (width), H heads, d head width, B samples, V classes, F mlp width, P tokens of an image.
//
// The CPU backend exists three times (x86-64 baseline, AVX2+FMA, AVX-512) from the same sources; kernels/cpu/dispatch.c
// picks one at start-up. The reference backend (kernels/ref) is the same interface in plain double loops: the oracle.
// defines: vbl_backend, vbl_dropout, vbl_reading, vbl_device_memory, and who makes backends
#pragma once
#include "core/base/philox.h"
#include "core/base/status.h"
#include "core/tensor/tensor.h"

typedef void *vbl_stream;

// A dropout site. Element (row r, column c) is kept iff u >= p, where u = vbl_u32_to_unit(philox(rng, c / 4, pos, sample,
// step).v[c % 4]) and (sample, pos) = rows[r]; kept values are scaled by 1 / (1 - p). For attention: c = key's position within
// its segment, pos = (query's position within its segment) | head << 16, sample = sample[b].
typedef struct vbl_dropout {
  double p;  // 0: none, and rows may be NULL
  vbl_philox_key rng;
  uint32_t step;
  const int32_t *rows;  // [N, 2]: sample in the effective batch, position in the sample (attention: [B]: sample)
} vbl_dropout;

typedef enum vbl_unary {
  VBL_NEG,
  VBL_ABS,
  VBL_EXP,
  VBL_LOG,
  VBL_SQRT,
  VBL_TANH,
  VBL_SIGMOID,
  VBL_RELU,
  VBL_GELU /* erf */,
  VBL_SQUARE,
  VBL_RECIPROCAL,
  VBL_SIN,
  VBL_COS,
} vbl_unary;
typedef enum vbl_binary {
  VBL_ADD,
  VBL_SUB,
  VBL_MUL,
  VBL_DIV,
  VBL_MAXIMUM,
  VBL_MINIMUM,
  VBL_POW,
  VBL_EQ,
  VBL_NE,
  VBL_LT,
  VBL_LE,
  VBL_GT,
  VBL_GE,
} vbl_binary;
typedef enum vbl_reduce { VBL_SUM, VBL_MEAN, VBL_MAX, VBL_MIN } vbl_reduce;

// The operands of attention_bf16, as attention's arguments of the same names, and what the host knows of the segments.
typedef struct vbl_heads {
  const void *q, *k, *v;  // bf16
  int64_t ldq, ldk, ldv, q_rows, k_rows;
  int64_t ldo, lddq, lddk, lddv;  // of o and dout, and of the gradients
  const int32_t (*q_seg)[2], (*k_seg)[2];
  int64_t B, H, d;
  int64_t longest_q, longest_k;  // no segment is longer; 0: not known
  bool even;                     // every segment is as long as the longest, in the order of the rows
  double scale;
  const vbl_dropout *drop;
  bool whole;    // every row of q and of k is in a segment
  bool ordered;  // nothing may be summed in an order that varies. The same in both directions, which agree by it about lse's layout
} vbl_heads;

// A piece of adamw_pieces: n elements of one rule, t >= 1 the step that it takes. narrow: w's new elements as bf16 go there too, where not NULL.
typedef struct vbl_adamw_piece {
  void *w, *m, *v, *narrow;
  const void *g;
  int64_t n, t;
  double lr, decay;
} vbl_adamw_piece;

// A device's memory in bytes, as its allocator counts: whole blocks (kernels/blocks.h).
typedef struct vbl_device_memory {
  size_t live, peak;       // in use, and the most of it since the last reset
  size_t held, most_held;  // with the free blocks that are kept for the next of their size
  size_t limit;            // what this process may hold
} vbl_device_memory;

enum { VBL_RANKS_ID = 128 };

typedef struct vbl_reading vbl_reading;  // a copy to the host that is not waited for

typedef struct vbl_backend {
  const char *name;  // "cpu", "reference", "cuda:0"
  bool host;         // whether the host may dereference its pointers
  const char *isa;   // "avx512", "avx2", "baseline", ...

  // Memory. alloc: 64-byte aligned, from the block-reusing allocator; NULL when there is none left.
  void *(*alloc)(size_t bytes);
  void (*free)(void *p, size_t bytes);
  void (*to_host)(void *host, const void *device, size_t bytes, vbl_stream s);
  // `host` may be changed as soon as it returns; to_host returns when `host` is written.
  void (*from_host)(void *device, const void *host, size_t bytes, vbl_stream s);
  vbl_status (*sync)(vbl_stream s, vbl_error *err);
  // What lets the host go on while a device computes; NULL on the CPU.
  // read_later: the `bytes` at `device` as they will be once what is queued so far is done. watched: they are one f32, and where it is not
  // finite the alarm goes up. NULL: no memory; sync says so. read: waits for them (a stop, where nothing was read later than they), copies
  // them to `host` (NULL: nobody wants them) and ends r; VBL_EDEVICE as of sync.
  // While the alarm is up adamw_pieces changes nothing; a norm that is not finite puts it up too. calm takes it down.
  vbl_reading *(*read_later)(const void *device, size_t bytes, bool watched, vbl_stream s);
  vbl_status (*read)(vbl_reading *r, void *host, vbl_error *err);
  void (*calm)(vbl_stream s);
  // Memory with the bytes at `host`, for a step to come: they are copied beside what is queued, by a stream of their own; what is queued from
  // now on waits for them. `host` may be changed as soon as it returns. NULL: no memory. Ends with free.
  void *(*send)(const void *host, size_t bytes, vbl_stream s);
  // Two branches that a device works off side by side; NULL: it has one. branch: what is queued from now on goes to b (0, where all begins, or 1).
  // meet: what is queued so far, in either, is done before what either queues from now on. A branch may only touch what the other is done with
  // by the last meeting (core/tensor/branch.h sees to it), and memory may be freed at any time: the allocator gives it to none too early.
  void (*branch)(int b);
  void (*meet)(void);

  // A profile's clock. mark: a point in the work queued so far, -1 where there is no memory for one. between: the seconds from one to a later one; the host
  // waits for that. forget_marks: all of them. NULL where the host's clock does.
  int64_t (*mark)(void);
  double (*between)(int64_t from, int64_t to);
  void (*forget_marks)(void);
  // on: work is recorded from now on, and none of it begins. off: what was recorded goes to the device in one call, as a graph. Returns NULL where
  // that was all work since, else a few words on what could not be recorded (a wait of the host, new memory): what came before it has gone to the
  // device then, and what came after it went there as ever. In any case it is done in the order in which it was queued. NULL: nothing is recorded.
  const char *(*capture)(bool on);
  // What a device was asked for since it was opened: memory, and stops of the host until it is done. NULL on the CPU.
  void (*counts)(int64_t *allocations, int64_t *stops);
  void (*memory)(vbl_device_memory *m, bool reset);  // reset: the peaks start again at what is there now. NULL on the CPU.
  // on: only what gives the same bits in every process on one device, nothing chosen by its time. NULL: there is nothing else.
  void (*set_deterministic)(bool on);
  // Sums over the devices of several processes, one each (core/comm); NULL: it has none. ranks_id: what the first gives to all, of VBL_RANKS_ID bytes; id
  // NULL: only whether it could. join_ranks: all at once, with the first's id. Both VBL_EDEVICE with the reason. sum_ranks, from then on: x [n], f32 or
  // f64, becomes the sum over all, when the device comes to it; all call it in the same order, with the same n. gather_ranks, likewise: `all` gets the
  // bytes of every rank, in the ranks' order; bytes (ranks): how many of each.
  vbl_status (*ranks_id)(char *id, vbl_error *err);
  vbl_status (*join_ranks)(const char *id, int rank, int size, vbl_error *err);
  void (*sum_ranks)(vbl_dtype T, void *x, int64_t n, vbl_stream s);
  void (*gather_ranks)(const void *mine, void *all, const int64_t *bytes, vbl_stream s);
  // kernels/mixed.h: under bf16 products, what passes between them is bf16 too, and weights are read from a rounded copy that is kept until
  // they change. NULL: activations and gradients stay f32.
  const struct vbl_mixed_kernels *mixed;
  // What `vbl doctor` says of a device: lines of state (ok, warn, missing) TAB what TAB sentence. It computes a little, to see that the
  // device does. NULL on the CPU.
  void (*describe)(char *text, size_t size);

  // Generic, any strides. copy converts between any two dtypes (f32 -> bf16 rounds to nearest even; real -> i32/u8 truncates and saturates).
  void (*copy)(vbl_dtype from, const void *src, const int64_t *src_stride, vbl_dtype to, void *dst, const int64_t *dst_stride,
               int ndim, const int64_t *shape, vbl_stream s);
  void (*fill)(vbl_dtype T, void *x, int64_t n, double value, vbl_stream s);
  // real: y[i] = f(x[i]);  dx[i] = dy[i] * f'(x[i]) (y[i] = f(x[i]) is given too)
  void (*unary)(vbl_unary f, const void *x, void *y, int64_t n, vbl_stream s);
  void (*unary_backward)(vbl_unary f, const void *x, const void *y, const void *dy, void *dx, int64_t n, vbl_stream s);
  // real, i32 with integer results, or (with `mixed`) bf16; broadcasting by stride 0; out is contiguous of `shape`.
  void (*binary)(vbl_binary f, vbl_dtype T, const void *a, const int64_t *a_stride, const void *b, const int64_t *b_stride,
                 void *out, int ndim, const int64_t *shape, vbl_stream s);
  void (*scale_add)(double alpha, const void *x, double beta, void *y, int64_t n,
                    vbl_stream s);  // real: y = alpha x + beta y (beta 0: y is not read, and x may be y)
  // real: x [outer, n, inner] -> y [outer, inner]; index (i32, may be NULL) gets the first arg of max/min
  void (*reduce)(vbl_reduce f, const void *x, void *y, int32_t *index, int64_t outer, int64_t n, int64_t inner, vbl_stream s);

  // real: C[M,N] = alpha op(A) op(B) + beta C; op(A) is A[M,K] or, transposed, A[K,M]; leading dims in elements. beta 0: C is not read.
  void (*gemm)(bool ta, bool tb, int64_t M, int64_t N, int64_t K, double alpha, const void *A, int64_t lda, const void *B,
               int64_t ldb, double beta, void *C, int64_t ldc, vbl_stream s);
  // C[M,N] (+)= bf16(op(A)) bf16(op(B)), C f32: A and B are f32, rounded to bf16 (nearest even) as they are read, or bf16 already;
  // products are exact, sums f32. Subnormal operands may count as 0. Then, where not NULL: C += bias [N], and gelu [M,N] (bf16, no
  // gaps) = gelu_erf(C). The reference backend: all f64 (types are not read, gelu is f64 and not rounded).
  void (*gemm_bf16)(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda,
                    vbl_dtype b_type, const void *B, int64_t ldb, bool accumulate, void *C, int64_t ldc, const void *bias,
                    void *gelu, vbl_stream s);

  // C[M,N] (+)= tf32(op(A)) tf32(op(B)), all f32: operands are rounded to TF32's 10 bits (nearest, ties away from 0) on a device's tensor
  // cores, products are exact, sums f32. NULL on the CPU.
  void (*gemm_tf32)(bool ta, bool tb, int64_t M, int64_t N, int64_t K, const void *A, int64_t lda, const void *B, int64_t ldb,
                    bool accumulate, void *C, int64_t ldc, vbl_stream s);

  // Linear's epilogues. y [N,D] holds x W'. bias may be NULL.
  void (*bias_add)(void *y, const void *bias, int64_t N, int64_t D, vbl_stream s);
  // h += bias in place (kept for backward), g = gelu_erf(h)
  void (*bias_gelu)(void *h, const void *bias, void *g, int64_t N, int64_t D, vbl_stream s);
  // dh = dg * gelu'(h) (dh may be dg or h); dbias [D] (+)= column sums of dh, where dbias is not NULL
  void (*gelu_backward_bias)(const void *h, const void *dg, void *dh, void *dbias, bool accumulate, int64_t N, int64_t D,
                             vbl_stream s);
  void (*column_sum)(const void *x, void *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s);  // sum [D] (+)= sum over rows

  // y = LayerNorm(x) * gamma + beta; mean, rstd [N] (f32 or f64) kept. Ba, Kiros, Hinton 2016; biased variance.
  void (*layer_norm)(const void *x, const void *gamma, const void *beta, double eps, void *y, void *mean, void *rstd, int64_t N,
                     int64_t D, vbl_stream s);
  // sum = residual + dropout(x); y = LayerNorm(sum). sum may equal x or residual.
  void (*residual_norm)(const void *x, const void *residual, const vbl_dropout *drop, const void *gamma, const void *beta,
                        double eps, void *sum, void *y, void *mean, void *rstd, int64_t N, int64_t D, vbl_stream s);
  // From x (what was normalised): dx = LN backward of dy (+ dsum where not NULL); dgamma, dbeta [D] (+)= (both or neither NULL).
  // dx may equal dy or dsum.
  void (*layer_norm_backward)(const void *x, const void *mean, const void *rstd, const void *gamma, const void *dy,
                              const void *dsum, void *dx, void *dgamma, void *dbeta, bool accumulate, int64_t N, int64_t D,
                              vbl_stream s);
  // y = dropout(x) (+ residual where not NULL). The backward of dropout is dropout of dy with residual NULL. y may equal x.
  void (*dropout_add)(const void *x, const void *residual, const vbl_dropout *drop, void *y, int64_t N, int64_t D, vbl_stream s);

  // O = softmax(Q K' scale) V per sample and head, without the score matrix in memory. Sample b's queries are rows q_seg[b][0] ..
  // + q_seg[b][1] of q (leading dim ldq, head h at columns h*d ..), its keys and values k_seg[b] of k and v (ldk, ldv). o [.., H*d]
  // (ldo); lse [rows of q, H] keeps max + log sum of each row's scaled scores. Rows of q outside every segment are not touched:
  // core zeroes o first where such rows exist. A segment without keys gives zeros and lse = -inf.
  void (*attention)(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv, const int32_t (*q_seg)[2],
                    const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d, double scale, const vbl_dropout *drop, void *o,
                    int64_t ldo, void *lse, vbl_stream s);
  // dq, dk, dv are written (not added to) for every row in a segment, with the leading dims given; may be column blocks of one
  // matrix. delta [rows of q, H] is scratch.
  void (*attention_backward)(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv,
                             const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d, double scale,
                             const vbl_dropout *drop, const void *o, int64_t ldo, const void *lse, const void *dout, int64_t lddo,
                             void *delta, void *dq, int64_t lddq, void *dk, int64_t lddk, void *dv, int64_t lddv, vbl_stream s);
  // The same in bf16: q, k, v, o, dout, dq, dk, dv, the probabilities and their gradients are bf16, sums and lse f32. lse, which
  // only the backward reads, may lie [B, H, S] where rows are even. Where the user asks for a library's attention, dropout's mask is the library's own: it
  // repeats with (site, step, first sample, sizes). NULL, or false with nothing done: not for these operands here, in both directions; core then calls the
  // f32 one.
  bool (*attention_bf16)(const vbl_heads *a, void *o, void *lse, vbl_stream s);
  bool (*attention_bf16_backward)(const vbl_heads *a, const void *o, const void *lse, const void *dout, void *dq, void *dk,
                                  void *dv, vbl_stream s);

  // Rows: y[i,:] = x[index[i],:] (index -1 gives zeros);  y[index[i],:] += x[i,:] (indices may repeat; -1 is skipped; deterministic).
  void (*gather_rows)(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, vbl_stream s);
  void (*scatter_add_rows)(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, int64_t rows, vbl_stream s);
  // y[i,:] = word[ids[i],:] + position[pos[i],:] + type[0,:]
  void (*text_embedding)(const int32_t *ids, const int32_t *pos, const void *word, const void *position, const void *type, void *y,
                         int64_t n, int64_t D, vbl_stream s);
  // Images [B,3,S,S] (u8, or real already normalised when mean is NULL) -> patches [B*(S/p)^2, 3*p*p], columns in the order
  // (channel, row, column) as timm's conv weight [D,3,p,p] wants; u8 values become (v/255 - mean[c]) / std[c]. mask (u8
  // [B*(S/p)^2], may be NULL): 1 writes zeros, the mean of the normalised pixels.
  void (*patchify)(vbl_dtype T, const void *images, const double *mean, const double *std, const uint8_t *mask, void *patches,
                   int64_t B, int64_t S_h, int64_t S_w, int64_t p, vbl_stream s);
  // y [B*(P+1), D]: row 0 of a sample cls + pos[0], row 1+j patches[b*P+j] + pos[1+j]
  void (*vit_assemble)(const void *patches, const void *cls, const void *pos, void *y, int64_t B, int64_t P, int64_t D,
                       vbl_stream s);

  // Rows of softmax over x [N,V]; log gives log-softmax. backward: dx from y and dy.
  void (*softmax)(const void *x, void *y, bool log, int64_t N, int64_t V, vbl_stream s);
  void (*softmax_backward)(const void *y, const void *dy, void *dx, bool log, int64_t N, int64_t V, vbl_stream s);
  // loss[i] = logsumexp(x[i,:]) - x[i,label[i]], 0 where label is `ignore`; lse [N] kept.
  void (*cross_entropy)(const void *x, const int32_t *label, int32_t ignore, void *loss, void *lse, int64_t N, int64_t V,
                        vbl_stream s);
  // dx[i,:] = (softmax(x[i,:]) - onehot) * scale * dloss[i] (dloss NULL: 1), zeros where ignored. dx may be x.
  void (*cross_entropy_backward)(const void *x, const int32_t *label, int32_t ignore, const void *lse, const void *dloss,
                                 double scale, void *dx, int64_t N, int64_t V, vbl_stream s);
  // y = x / max(|x|, eps) by rows, norm [N] kept;  dx = (dy - y <y, dy>) / norm
  void (*normalize_rows)(const void *x, double eps, void *y, void *norm, int64_t N, int64_t D, vbl_stream s);
  void (*normalize_rows_backward)(const void *y, const void *norm, double eps, const void *dy, void *dx, int64_t N, int64_t D,
                                  vbl_stream s);

  // Optimizers on flat blocks. g may be of f32; `scale` multiplies the gradient first (clipping).
  // AdamW: Loshchilov & Hutter 2019 (arXiv 1711.05101, algorithm 2), in torch.optim.AdamW's order of operations; t >= 1.
  void (*adamw)(void *w, const void *g, void *m, void *v, int64_t n, double lr, double beta1, double beta2, double eps,
                double decay, double scale, int64_t t, vbl_stream s);
  void (*sgd)(void *w, const void *g, void *momentum_buffer, int64_t n, double lr, double momentum, double decay, double scale,
              bool first, vbl_stream s);
  // adamw over all pieces, scale = min(1, clip / (norm + 1e-6)) of their common norm (clip <= 0: 1), with no stop of the host. What is read
  // later: 1 + count f64, the norm of g before clipping (not finite: nothing has changed, and the alarm is up), then each piece's sum of
  // squares; NULL as of read_later. count >= 1. The entry is NULL where core does it piece by piece.
  vbl_reading *(*adamw_pieces)(const vbl_adamw_piece *pieces, int count, double beta1, double beta2, double eps, double clip,
                               vbl_stream s);
  double (*sum_squares)(const void *x, int64_t n, vbl_stream s);  // real, accumulated in f64
  int64_t (*count_nonfinite)(const void *x, int64_t n, vbl_stream s);

  const struct vbl_measure_kernels *measure;  // kernels/measure.h; NULL on the CPU
} vbl_backend;

const vbl_backend *vbl_cpu_backend(void);  // the best ISA this machine has (VBL_ISA=avx512|avx2|baseline caps it, for tests)
// "cpu", "cuda" (its first device) or "cuda:N". VBL_EDEVICE with one sentence that says what is missing, VBL_EINVAL for another name.
vbl_status vbl_backend_open(const char *name, const vbl_backend **out, vbl_error *err);
const vbl_backend *vbl_backend_opened(void);  // the device that this process uses, NULL before one was opened
void vbl_set_deterministic(bool on);          // of the device, opened or not yet; off at first. See set_deterministic.
bool vbl_deterministic(void);
const vbl_backend *vbl_reference_backend(void);  // f64 only; shares the CPU's memory

// The counting backend (kernels/plan.c), "plan" by name while it counts: its tensors have addresses and no memory, its kernels do nothing,
// and what is read from it is 0. vbl_plan_start begins to count blocks as the CPU's (gpu false) or a GPU's allocator takes them, at most
// `limit` bytes (0: any number); tensors of an earlier count no longer matter to it.
void vbl_plan_start(bool gpu, size_t limit);
void vbl_plan_end(void);
const vbl_backend *vbl_plan_backend(void);  // NULL while nothing is counted
