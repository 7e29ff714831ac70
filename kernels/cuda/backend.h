// The CUDA backend's functions, one per entry of vbl_backend with its contract (kernels/kernels.h), and what its files share.
// defines: vbl_cuda_*, vbl_cuda::{note_failure, note, tried, new_event, failed, wait, count_allocation, count_stop, {new,start}_reading, alarm, returned, make_room, met, quiet};
//          of branches.cu and capture.cu: {open_branches, branch_of, stream_of_branch, apart, uncapture, mark, is_captured}
#pragma once
#include "kernels/cuda/cuda.h"
#ifndef __CUDACC__
#include "kernels/emu/memory.h"
#endif

void *vbl_cuda_alloc(size_t bytes);
void vbl_cuda_free(void *p, size_t bytes);
void vbl_cuda_to_host(void *host, const void *device, size_t bytes, vbl_stream s);
void vbl_cuda_from_host(void *device, const void *host, size_t bytes, vbl_stream s);
vbl_status vbl_cuda_sync(vbl_stream s, vbl_error *err);
vbl_reading *vbl_cuda_read_later(const void *device, size_t bytes, bool watched, vbl_stream s);
vbl_status vbl_cuda_read(vbl_reading *r, void *host, vbl_error *err);
void vbl_cuda_calm(vbl_stream s);
void *vbl_cuda_send(const void *host, size_t bytes, vbl_stream s);
void vbl_cuda_branch(int b);
void vbl_cuda_meet(void);
int64_t vbl_cuda_mark(void);
double vbl_cuda_between(int64_t from, int64_t to);
void vbl_cuda_forget_marks(void);
const char *vbl_cuda_capture(bool on);
void vbl_cuda_counts(int64_t *allocations, int64_t *stops);
void vbl_cuda_memory(vbl_device_memory *m, bool reset);
void vbl_cuda_set_deterministic(bool on);
void vbl_cuda_describe(char *text, size_t size);
vbl_status vbl_cuda_ranks_id(char *id, vbl_error *err);
vbl_status vbl_cuda_join_ranks(const char *id, int rank, int size, vbl_error *err);
void vbl_cuda_sum_ranks(vbl_dtype T, void *x, int64_t n, vbl_stream s);
void vbl_cuda_gather_ranks(const void *mine, void *all, const int64_t *bytes, vbl_stream s);
void vbl_cuda_copy(vbl_dtype from, const void *src, const int64_t *src_stride, vbl_dtype to, void *dst, const int64_t *dst_stride,
                   int ndim, const int64_t *shape, vbl_stream s);
void vbl_cuda_fill(vbl_dtype T, void *x, int64_t n, double value, vbl_stream s);
void vbl_cuda_unary(vbl_unary f, const void *x, void *y, int64_t n, vbl_stream s);
void vbl_cuda_unary_backward(vbl_unary f, const void *x, const void *y, const void *dy, void *dx, int64_t n, vbl_stream s);
void vbl_cuda_binary(vbl_binary f, vbl_dtype T, const void *a, const int64_t *a_stride, const void *b, const int64_t *b_stride,
                     void *out, int ndim, const int64_t *shape, vbl_stream s);
void vbl_cuda_scale_add(double alpha, const void *x, double beta, void *y, int64_t n, vbl_stream s);
void vbl_cuda_reduce(vbl_reduce f, const void *x, void *y, int32_t *index, int64_t outer, int64_t n, int64_t inner, vbl_stream s);
void vbl_cuda_gemm(bool ta, bool tb, int64_t M, int64_t N, int64_t K, double alpha, const void *A, int64_t lda, const void *B,
                   int64_t ldb, double beta, void *C, int64_t ldc, vbl_stream s);
void vbl_cuda_gemm_bf16(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda,
                        vbl_dtype b_type, const void *B, int64_t ldb, bool accumulate, void *C, int64_t ldc, const void *bias,
                        void *gelu, vbl_stream s);
void vbl_cuda_gemm_tf32(bool ta, bool tb, int64_t M, int64_t N, int64_t K, const void *A, int64_t lda, const void *B, int64_t ldb,
                        bool accumulate, void *C, int64_t ldc, vbl_stream s);
void vbl_cuda_bias_add(void *y, const void *bias, int64_t N, int64_t D, vbl_stream s);
void vbl_cuda_bias_gelu(void *h, const void *bias, void *g, int64_t N, int64_t D, vbl_stream s);
void vbl_cuda_gelu_backward_bias(const void *h, const void *dg, void *dh, void *dbias, bool accumulate, int64_t N, int64_t D,
                                 vbl_stream s);
void vbl_cuda_column_sum(const void *x, void *sum, bool accumulate, int64_t N, int64_t D, vbl_stream s);
void vbl_cuda_layer_norm(const void *x, const void *gamma, const void *beta, double eps, void *y, void *mean, void *rstd, int64_t N,
                         int64_t D, vbl_stream s);
void vbl_cuda_residual_norm(const void *x, const void *residual, const vbl_dropout *drop, const void *gamma, const void *beta,
                            double eps, void *sum, void *y, void *mean, void *rstd, int64_t N, int64_t D, vbl_stream s);
void vbl_cuda_layer_norm_backward(const void *x, const void *mean, const void *rstd, const void *gamma, const void *dy,
                                  const void *dsum, void *dx, void *dgamma, void *dbeta, bool accumulate, int64_t N, int64_t D,
                                  vbl_stream s);
void vbl_cuda_dropout_add(const void *x, const void *residual, const vbl_dropout *drop, void *y, int64_t N, int64_t D,
                          vbl_stream s);
void vbl_cuda_attention(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv,
                        const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d, double scale,
                        const vbl_dropout *drop, void *o, int64_t ldo, void *lse, vbl_stream s);
void vbl_cuda_attention_backward(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv,
                                 const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d,
                                 double scale, const vbl_dropout *drop, const void *o, int64_t ldo, const void *lse,
                                 const void *dout, int64_t lddo, void *delta, void *dq, int64_t lddq, void *dk, int64_t lddk,
                                 void *dv, int64_t lddv, vbl_stream s);
bool vbl_cuda_attention_bf16(const vbl_heads *a, void *o, void *lse, vbl_stream s);
bool vbl_cuda_attention_bf16_backward(const vbl_heads *a, const void *o, const void *lse, const void *dout, void *dq, void *dk,
                                      void *dv, vbl_stream s);
void vbl_cuda_gather_rows(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, vbl_stream s);
void vbl_cuda_scatter_add_rows(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, int64_t rows, vbl_stream s);
void vbl_cuda_text_embedding(const int32_t *ids, const int32_t *pos, const void *word, const void *position, const void *type,
                             void *y, int64_t n, int64_t D, vbl_stream s);
void vbl_cuda_patchify(vbl_dtype T, const void *images, const double *mean, const double *std, const uint8_t *mask, void *patches,
                       int64_t B, int64_t S_h, int64_t S_w, int64_t p, vbl_stream s);
void vbl_cuda_vit_assemble(const void *patches, const void *cls, const void *pos, void *y, int64_t B, int64_t P, int64_t D,
                           vbl_stream s);
void vbl_cuda_softmax(const void *x, void *y, bool log, int64_t N, int64_t V, vbl_stream s);
void vbl_cuda_softmax_backward(const void *y, const void *dy, void *dx, bool log, int64_t N, int64_t V, vbl_stream s);
void vbl_cuda_cross_entropy(const void *x, const int32_t *label, int32_t ignore, void *loss, void *lse, int64_t N, int64_t V,
                            vbl_stream s);
void vbl_cuda_cross_entropy_backward(const void *x, const int32_t *label, int32_t ignore, const void *lse, const void *dloss,
                                     double scale, void *dx, int64_t N, int64_t V, vbl_stream s);
void vbl_cuda_normalize_rows(const void *x, double eps, void *y, void *norm, int64_t N, int64_t D, vbl_stream s);
void vbl_cuda_normalize_rows_backward(const void *y, const void *norm, double eps, const void *dy, void *dx, int64_t N, int64_t D,
                                      vbl_stream s);
void vbl_cuda_adamw(void *w, const void *g, void *m, void *v, int64_t n, double lr, double beta1, double beta2, double eps,
                    double decay, double scale, int64_t t, vbl_stream s);
vbl_reading *vbl_cuda_adamw_pieces(const vbl_adamw_piece *pieces, int count, double beta1, double beta2, double eps, double clip,
                                   vbl_stream s);
void vbl_cuda_sgd(void *w, const void *g, void *momentum_buffer, int64_t n, double lr, double momentum, double decay, double scale,
                  bool first, vbl_stream s);
double vbl_cuda_sum_squares(const void *x, int64_t n, vbl_stream s);
int64_t vbl_cuda_count_nonfinite(const void *x, int64_t n, vbl_stream s);

bool vbl_cuda_gemm_open(void);  // false: cuBLASLt cannot be started

namespace vbl_cuda {

// Whether cuDNN makes plans for attention on this device, forward and backward, of images of the base model. false: `why` says it.
bool fused_attention(char *why, size_t size);

// A kernel that cannot do its work says so here; the next sync reports it, once. `what` lasts.
void note_failure(vbl_status code, const char *what);
bool deterministic(void);  // nothing may be chosen by its time, or summed in an order that varies (vbl_cuda_set_deterministic)
void note(cudaError_t e);  // the same, of a call of the runtime
// The call, a function that gives a cudaError_t, succeeded. Else the caller deals with that, so it is forgotten; an error from before is not.
template <class call>
bool tried(call f) {
  note(cudaGetLastError());
  if (f() == cudaSuccess) return true;
  (void)cudaGetLastError();
  return false;
}
bool new_event(cudaEvent_t *e);          // without a time; false: there is none
vbl_status failed(vbl_error *err);       // what was noted since the last time, without waiting for the device
void wait(cudaEvent_t e, bool counted);  // counted: as a stop, where it has not happened yet
void count_stop();                       // the host has to wait
void count_allocation();                 // the driver is asked for memory
// A reading to come: its memory and event now, the copy behind what has been queued by then. NULL: no memory, which is noted.
vbl_reading *new_reading(size_t bytes, vbl_stream s);
void start_reading(vbl_reading *r, const void *device, vbl_stream s);
int32_t *alarm();               // on the device; not 0: the optimizer changes nothing. NULL: no memory, which is noted
bool returned(void *device);    // takes back what vbl_cuda_send gave; false: it is none of its
void make_room(void);           // in pinned memory, for what a graph is to copy from there
bool open_branches(void);       // their streams; false: the runtime has none
int branch_of(cudaStream_t s);  // 1: of the second branch; 0: any other stream
cudaStream_t stream_of_branch(int b);
bool apart(void);                 // branch 1 may have queued something since the last meeting
void met(void);                   // the allocator is told of a meeting
void quiet(void);                 // waits for all branches, to time something on a device that does nothing else
void uncapture(const char *why);  // where work is recorded: it is given to the device, and no more is recorded
// An event that the host asks for: recorded now, or behind the graph that is being recorded; whether that is so.
void mark(cudaEvent_t e, cudaStream_t s);
bool is_captured(cudaEvent_t e);
}  // namespace vbl_cuda
