// Steps that several ops are made of: products, gradient buffers, elementwise steps, broadcasting, dropout sites.
// defines: vbl_mm, vbl_at, vbl_zero, vbl_grad_buffer, vbl_grad_commit, vbl_grad_zeroed, vbl_ew_*, vbl_broadcast_strides,
//          vbl_grad_broadcast, vbl_op_dropout, vbl_saved_dropout
#include <string.h>

#include "core/ops/common.h"
#include "core/tape/profile.h"
#include "core/tensor/storage.h"

void *vbl_at(const vbl_tensor *t, int64_t element) {
  char *data = vbl_tensor_data(t);
  return data == NULL ? NULL : data + element * (int64_t)vbl_dtype_size(t->dtype);
}

void vbl_zero(const vbl_real *r, vbl_tensor *t) { r->be->fill(t->dtype, vbl_tensor_data(t), vbl_tensor_numel(t), 0, NULL); }

void vbl_mm(const vbl_real *r, bool ta, bool tb, int64_t M, int64_t N, int64_t K, double alpha, const void *A, int64_t lda,
            const void *B, int64_t ldb, double beta, void *C, int64_t ldc) {
  if (M == 0 || N == 0) return;
  if (K > 0) {
    vbl_span span;
    vbl_span_begin(&span, "gemm", VBL_PHASE_OUTER);
    r->be->gemm(ta, tb, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc, NULL);
    vbl_span_end(&span, 2.0 * (double)M * (double)N * (double)K);
  } else if (beta == 0) {
    const int64_t row = ldc * (int64_t)vbl_dtype_size(r->T);
    for (int64_t i = 0; i < M; i++) r->be->fill(r->T, (char *)C + i * row, N, 0, NULL);
  }
}

vbl_status vbl_grad_buffer(vbl_call *c, const vbl_real *r, int i, vbl_tensor **buffer, vbl_error *err) {
  const vbl_meta *m = vbl_input_meta(c, i);
  bool accumulate = false;
  if (c->needs_grad[i]) VBL_TRY(vbl_grad_target(c, i, buffer, &accumulate, err));
  if (c->needs_grad[i] && !accumulate) return VBL_OK;
  return vbl_temp_real(c, r, m->ndim, m->shape, buffer, err);
}

vbl_status vbl_grad_commit(vbl_call *c, const vbl_real *r, int i, vbl_tensor *buffer, vbl_error *err) {
  vbl_tensor *target;
  bool accumulate;
  if (!c->needs_grad[i]) return VBL_OK;
  VBL_TRY(vbl_grad_target(c, i, &target, &accumulate, err));
  if (target != buffer) r->be->scale_add(1, vbl_tensor_data(buffer), 1, vbl_tensor_data(target), vbl_tensor_numel(target), NULL);
  return VBL_OK;
}

vbl_status vbl_grad_zeroed(vbl_call *c, const vbl_real *r, int i, vbl_tensor **target, vbl_error *err) {
  bool accumulate;
  VBL_TRY(vbl_grad_target(c, i, target, &accumulate, err));
  if (!accumulate) vbl_zero(r, *target);
  return VBL_OK;
}

vbl_status vbl_ew_unary(vbl_call *c, const vbl_real *r, vbl_unary f, const vbl_tensor *x, vbl_tensor **y, vbl_error *err) {
  VBL_TRY(vbl_temp_real(c, r, x->ndim, x->shape, y, err));
  r->be->unary(f, vbl_tensor_data(x), vbl_tensor_data(*y), vbl_tensor_numel(x), NULL);
  return VBL_OK;
}

void vbl_broadcast_strides(const vbl_tensor *t, int ndim, const int64_t *shape, int64_t *stride) {
  const int lead = ndim - t->ndim;
  for (int i = 0; i < ndim; i++) {
    bool repeated = i < lead || (t->shape[i - lead] == 1 && shape[i] != 1);
    stride[i] = repeated ? 0 : t->stride[i - lead];
  }
}

vbl_status vbl_ew_binary(vbl_call *c, const vbl_real *r, vbl_binary f, const vbl_tensor *a, const vbl_tensor *b, int ndim,
                         const int64_t *shape, vbl_tensor **y, vbl_error *err) {
  int64_t a_stride[VBL_MAX_DIMS], b_stride[VBL_MAX_DIMS];
  VBL_TRY(vbl_temp_real(c, r, ndim, shape, y, err));
  vbl_broadcast_strides(a, ndim, shape, a_stride);
  vbl_broadcast_strides(b, ndim, shape, b_stride);
  if (vbl_tensor_numel(*y) > 0)
    r->be->binary(f, r->T, vbl_tensor_data(a), a_stride, vbl_tensor_data(b), b_stride, vbl_tensor_data(*y), ndim, shape, NULL);
  return VBL_OK;
}

vbl_status vbl_ew_affine(vbl_call *c, const vbl_real *r, double alpha, double beta, const vbl_tensor *x, vbl_tensor **y,
                         vbl_error *err) {
  VBL_TRY(vbl_temp_real(c, r, x->ndim, x->shape, y, err));
  const int64_t n = vbl_tensor_numel(x);
  if (beta != 0) r->be->fill(r->T, vbl_tensor_data(*y), n, beta, NULL);
  r->be->scale_add(alpha, vbl_tensor_data(x), beta != 0 ? 1 : 0, vbl_tensor_data(*y), n, NULL);
  return VBL_OK;
}

// Sums dim d of g (contiguous) to size 1.
static vbl_status sum_dim(vbl_call *c, const vbl_real *r, vbl_tensor *g, int d, vbl_tensor **out, vbl_error *err) {
  int64_t shape[VBL_MAX_DIMS];
  memcpy(shape, g->shape, sizeof shape);
  shape[d] = 1;
  VBL_TRY(vbl_temp_real(c, r, g->ndim, shape, out, err));
  if (vbl_tensor_numel(g) == 0) {
    vbl_zero(r, *out);
  } else {
    r->be->reduce(VBL_SUM, vbl_tensor_data(g), vbl_tensor_data(*out), NULL, vbl_shape_numel(d, g->shape), g->shape[d],
                  vbl_shape_numel(g->ndim - d - 1, g->shape + d + 1), NULL);
  }
  return VBL_OK;
}

vbl_status vbl_grad_broadcast(vbl_call *c, const vbl_real *r, int i, vbl_tensor *g, vbl_error *err) {
  const vbl_meta *m = vbl_input_meta(c, i);
  const int lead = g->ndim - m->ndim;
  for (int d = 0; d < g->ndim; d++) {
    const int64_t want = d < lead ? 1 : m->shape[d - lead];
    if (g->shape[d] != want) VBL_TRY(sum_dim(c, r, g, d, &g, err));
  }
  if (lead > 0) {
    VBL_TRY(vbl_tensor_reshape_view(g, m->ndim, m->shape, &g, err));
    VBL_TRY(vbl_temp_keep(c, g, err));
  }
  return vbl_grad_give(c, i, g, err);
}

vbl_dropout vbl_saved_dropout(const vbl_call *c, const vbl_tensor *rows) {
  const vbl_attrs *a = &c->attrs;
  return (vbl_dropout){.p = a->p, .rng = a->rng, .step = a->step, .rows = rows == NULL ? NULL : vbl_tensor_data(rows)};
}

vbl_status vbl_op_dropout(vbl_call *c, int input, const char *what, int64_t N, int width, vbl_tensor **rows, vbl_dropout *drop,
                          vbl_error *err) {
  *rows = NULL;
  if (!(c->attrs.p >= 0 && c->attrs.p < 1))
    return vbl_fail(err, VBL_EINVAL, "expected a dropout probability in [0, 1), got %g", c->attrs.p);
  if (c->attrs.p > 0) {
    VBL_TRY(vbl_in_i32(c, input, what, rows, err));
    if (*rows == NULL)
      return vbl_fail(err, VBL_EINVAL, "dropout needs %s: they number what is dropped, so that it does not depend on the batch",
                      what);
    const int64_t shape[2] = {N, width};
    VBL_TRY(vbl_expect(*rows, what, width == 1 ? 1 : 2, shape, err));
  }
  *drop = vbl_saved_dropout(c, *rows);
  return VBL_OK;
}
