// What the op families share: choosing kernels, inputs in the form that kernels want, outputs, working memory, checks.
//
// An op computes in one dtype, f32 or f64. f64 inputs make it f64 (and the reference backend computes); f32 and bf16 make it
// f32. f32 or bf16 beside f64 is an error: nothing is silently rounded. Integers given where reals are wanted are
// converted, and refused where f32 does not hold them (some beyond 2^24).
// defines: vbl_real, vbl_op_real, vbl_real_of, vbl_in_*, vbl_out_*, vbl_temp_*, vbl_expect*, vbl_mm, vbl_grad_buffer, vbl_ew_*
#pragma once
#include "core/ops/ops.h"
#include "kernels/kernels.h"

typedef struct vbl_real {
  const vbl_backend *memory;              // whose memory
  const vbl_backend *be;                  // whose kernels
  vbl_dtype T;                            // VBL_F32 or VBL_F64
  const struct vbl_mixed_kernels *mixed;  // its kernels between bf16 tensors; NULL: there are none, or the op is of f64
} vbl_real;

// From all inputs of a forward call. VBL_EINVAL: tensors of two devices, f64 mixed with f32 or bf16.
vbl_status vbl_op_real(const vbl_call *c, vbl_real *r, vbl_error *err);
vbl_real vbl_real_of(const vbl_tensor *grad);  // for backward: from a gradient

// Input i in r's dtype: contiguous, or with its own strides. A conversion lives until the call's end.
vbl_status vbl_in_real(vbl_call *c, const vbl_real *r, int i, vbl_tensor **x, vbl_error *err);
vbl_status vbl_in_strided(vbl_call *c, const vbl_real *r, int i, vbl_tensor **x, vbl_error *err);
// Input i as rows of `width` (its last dim) with one distance ld >= width between them, copied only where it has to be.
vbl_status vbl_in_rows(vbl_call *c, const vbl_real *r, int i, vbl_tensor **x, int64_t *ld, vbl_error *err);
// Input i, contiguous: bf16 where it is that and r has kernels for it, else of r's dtype.
vbl_status vbl_in_mixed(vbl_call *c, const vbl_real *r, int i, vbl_tensor **x, vbl_error *err);
// Input i as contiguous i32; NULL input gives NULL.
vbl_status vbl_in_i32(vbl_call *c, int i, const char *what, vbl_tensor **x, vbl_error *err);

vbl_status vbl_out_real(vbl_call *c, const vbl_real *r, int o, int ndim, const int64_t *shape, vbl_tensor **y, vbl_error *err);
vbl_status vbl_temp_real(vbl_call *c, const vbl_real *r, int ndim, const int64_t *shape, vbl_tensor **t, vbl_error *err);
vbl_status vbl_temp_arange(vbl_call *c, const vbl_backend *memory, int64_t n, vbl_tensor **t, vbl_error *err);  // i32 0, 1, ...

int64_t vbl_row_count(const vbl_tensor *t);   // product of all dims but the last
int64_t vbl_row_stride(const vbl_tensor *t);  // ld of rows as vbl_in_rows gives them; -1 where there is none
static inline int64_t vbl_width(const vbl_tensor *t) {
  return t->shape[t->ndim - 1];  // NOLINT(clang-analyzer-core.NullDereference): it does not see that calls set t
}

// VBL_EINVAL "expected <what> [4, *], got [3, 2]" unless t has this shape; -1 stands for any size.
vbl_status vbl_expect(const vbl_tensor *t, const char *what, int ndim, const int64_t *shape, vbl_error *err);
// The same for the last dim only; t has at least one.
vbl_status vbl_expect_width(const vbl_tensor *t, const char *what, int64_t width, vbl_error *err);
vbl_status vbl_expect_real(const vbl_tensor *t, vbl_error *err);
// Every element of a host-readable i32 tensor lies in [low, high): "id 7 at row 3 is outside [0, 5)". A device's indices were
// checked before they were sent there.
vbl_status vbl_check_index(const vbl_tensor *index, const char *what, int64_t low, int64_t high, vbl_error *err);

// VBL_EINVAL: input i, i32, has an integer that f32 does not hold. A device is waited for.
vbl_status vbl_check_exact(const vbl_call *c, int i, vbl_error *err);

// C[M,N] = alpha op(A) op(B) + beta C, for any sizes: beta 0 with K = 0 gives zeros.
void vbl_mm(const vbl_real *r, bool ta, bool tb, int64_t M, int64_t N, int64_t K, double alpha, const void *A, int64_t lda,
            const void *B, int64_t ldb, double beta, void *C, int64_t ldc);
void *vbl_at(const vbl_tensor *t, int64_t element);  // address of an element of a contiguous tensor
void vbl_zero(const vbl_real *r, vbl_tensor *t);     // t is contiguous
// sum [D] of r's dtype (+)= sum over the rows of x, which may be bf16 where r has kernels for it
void vbl_sum_rows(const vbl_real *r, const vbl_tensor *x, void *sum, bool accumulate);

// For kernels that can only write. buffer: memory of input i's gradient shape (what it holds is undefined); commit delivers it
// once it is written. Where nobody wants the gradient the buffer is a temporary and commit does nothing.
vbl_status vbl_grad_buffer(vbl_call *c, const vbl_real *r, int i, vbl_tensor **buffer, vbl_error *err);
vbl_status vbl_grad_commit(vbl_call *c, const vbl_real *r, int i, vbl_tensor *buffer, vbl_error *err);
// For kernels that add rows: the target of input i's gradient, zeroed when it held nothing.
vbl_status vbl_grad_zeroed(vbl_call *c, const vbl_real *r, int i, vbl_tensor **target, vbl_error *err);

// Elementwise steps on tensors of r's dtype into a new temporary. binary broadcasts both to the shape given.
vbl_status vbl_ew_unary(vbl_call *c, const vbl_real *r, vbl_unary f, const vbl_tensor *x, vbl_tensor **y, vbl_error *err);
vbl_status vbl_ew_binary(vbl_call *c, const vbl_real *r, vbl_binary f, const vbl_tensor *a, const vbl_tensor *b, int ndim,
                         const int64_t *shape, vbl_tensor **y, vbl_error *err);
vbl_status vbl_ew_affine(vbl_call *c, const vbl_real *r, double alpha, double beta, const vbl_tensor *x, vbl_tensor **y,
                         vbl_error *err);
// Strides of t broadcast to shape (t's dims align at the end; size 1 becomes stride 0).
void vbl_broadcast_strides(const vbl_tensor *t, int ndim, const int64_t *shape, int64_t *stride);
// Gives g (contiguous) to input i, summed over the dims along which that input was broadcast.
vbl_status vbl_grad_broadcast(vbl_call *c, const vbl_real *r, int i, vbl_tensor *g, vbl_error *err);

// attrs' dropout for N rows. rows: the input that numbers them, i32 [N, width]; width 2, or 1 for a vector. VBL_EINVAL: p
// outside [0, 1), or p > 0 without rows.
vbl_status vbl_op_dropout(vbl_call *c, int input, const char *what, int64_t N, int width, vbl_tensor **rows, vbl_dropout *drop,
                          vbl_error *err);
vbl_dropout vbl_saved_dropout(const vbl_call *c, const vbl_tensor *rows);
