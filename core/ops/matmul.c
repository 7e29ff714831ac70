// matmul: products of matrices, one or a batch of them.
// defines: vbl_op_matmul
#include <string.h>

#include "core/ops/common.h"
#include "core/tensor/storage.h"

// A matrix operand as GEMM wants it: rows or columns dense, the batch's matrices `step` elements apart (0: one for all).
typedef struct matrix {
  vbl_tensor *t;
  bool transposed;
  int64_t ld, step;
} matrix;

static matrix matrix_of(vbl_tensor *t, bool *fits) {
  const int n = t->ndim;
  const int64_t rows = t->shape[n - 2], columns = t->shape[n - 1], by_row = t->stride[n - 2], by_column = t->stride[n - 1];
  matrix m = {.t = t};
  int64_t run = 1;
  *fits = true;
  for (int i = n - 3; i >= 0; i--) {
    if (t->shape[i] == 1) continue;
    if (m.step == 0) m.step = t->stride[i];
    *fits &= m.step != 0 && t->stride[i] == m.step * run;
    run *= t->shape[i];
  }
  if ((by_column == 1 || columns == 1) && (by_row >= columns || rows == 1)) {
    m.ld = rows == 1 ? columns : by_row;
  } else if ((by_row == 1 || rows == 1) && (by_column >= rows || columns == 1)) {
    m.transposed = true;
    m.ld = columns == 1 ? rows : by_column;
  } else {
    *fits = false;
  }
  return m;
}

// Input i as a matrix, copied where GEMM cannot read its strides.
static vbl_status operand(vbl_call *c, const vbl_real *r, int i, matrix *m, vbl_error *err) {
  vbl_tensor *t;
  bool fits;
  VBL_TRY(vbl_in_strided(c, r, i, &t, err));
  *m = matrix_of(t, &fits);
  if (fits && vbl_tensor_numel(t) > 0) return VBL_OK;
  VBL_TRY(vbl_tensor_contiguous(t, &t, err));
  VBL_TRY(vbl_temp_keep(c, t, err));
  const int64_t rows = t->shape[t->ndim - 2], columns = t->shape[t->ndim - 1];
  *m = (matrix){.t = t, .ld = columns, .step = t->ndim > 2 ? rows * columns : 0};
  return VBL_OK;
}

static vbl_status check(const vbl_call *c, vbl_error *err) {
  const vbl_tensor *a = c->in[0], *b = c->in[1];
  bool fits = a->ndim >= 2 && b->ndim >= 2 && a->shape[a->ndim - 1] == b->shape[b->ndim - 2];
  if (fits && a->ndim > 2 && b->ndim > 2)
    fits = a->ndim == b->ndim && memcmp(a->shape, b->shape, (size_t)(a->ndim - 2) * sizeof *a->shape) == 0;
  if (fits) return VBL_OK;
  char ta[VBL_SHAPE_TEXT], tb[VBL_SHAPE_TEXT];
  return vbl_fail(err, VBL_EINVAL, "expected a [.., M, K] and b [.., K, N] with equal batch dims or one of two dims, got %s and %s",
                  vbl_shape_text(a->ndim, a->shape, ta), vbl_shape_text(b->ndim, b->shape, tb));
}

// C (+)= op(A) op(B) for each matrix of a batch of `count`; a step of 0 repeats one matrix. beta_first is for the first.
static void products(const vbl_real *r, matrix A, bool flip_a, matrix B, bool flip_b, int64_t count, int64_t M, int64_t N,
                     int64_t K, bool accumulate, vbl_tensor *C, int64_t step) {
  for (int64_t i = 0; i < count; i++)
    vbl_mm(r, A.transposed != flip_a, B.transposed != flip_b, M, N, K, 1, vbl_at(A.t, i * A.step), A.ld, vbl_at(B.t, i * B.step),
           B.ld, accumulate || (step == 0 && i > 0) ? 1 : 0, vbl_at(C, i * step), N);
}

// a [..,M,K], b [..,K,N] -> y [..,M,N].  da = dy b';  db = a' dy  (summed over the batch for a side without batch dims)
static vbl_status forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  matrix a, b;
  vbl_tensor *y;
  int64_t shape[VBL_MAX_DIMS];
  VBL_TRY(check(c, err));
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(operand(c, &r, 0, &a, err));
  VBL_TRY(operand(c, &r, 1, &b, err));
  const vbl_tensor *wide = a.t->ndim > 2 ? a.t : b.t;
  const int n = wide->ndim;
  const int64_t M = a.t->shape[a.t->ndim - 2], K = b.t->shape[b.t->ndim - 2], N = b.t->shape[b.t->ndim - 1];
  memcpy(shape, wide->shape, sizeof shape);
  shape[n - 2] = M, shape[n - 1] = N;
  VBL_TRY(vbl_out_real(c, &r, 0, n, shape, &y, err));
  products(&r, a, false, b, false, vbl_shape_numel(n - 2, shape), M, N, K, false, y, M * N);
  VBL_TRY(vbl_save(c, 0, a.t, err));
  return vbl_save(c, 1, b.t, err);
}

static vbl_status backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  const vbl_tensor *dy = grad[0];
  bool fits, accumulate;
  vbl_tensor *target;
  const int n = dy->ndim;
  const int64_t M = dy->shape[n - 2], N = dy->shape[n - 1], count = vbl_shape_numel(n - 2, dy->shape);
  const matrix d = {.t = grad[0], .ld = N, .step = M * N}, a = matrix_of(c->saved[0], &fits), b = matrix_of(c->saved[1], &fits);
  const int64_t K = a.t->shape[a.t->ndim - 1];
  if (c->needs_grad[0]) {
    VBL_TRY(vbl_grad_target(c, 0, &target, &accumulate, err));
    if (count == 0 && !accumulate) vbl_zero(&r, target);
    products(&r, d, false, b, true, count, M, K, N, accumulate, target, a.t->ndim > 2 ? M * K : 0);
  }
  if (c->needs_grad[1]) {
    VBL_TRY(vbl_grad_target(c, 1, &target, &accumulate, err));
    if (count == 0 && !accumulate) vbl_zero(&r, target);
    products(&r, a, true, d, false, count, K, N, M, accumulate, target, b.t->ndim > 2 ? K * N : 0);
  }
  return VBL_OK;
}

const vbl_op vbl_op_matmul = {"matmul", 2, 2, 1, forward, backward};
