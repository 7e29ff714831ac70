// Inputs, outputs and checks of ops.
// defines: vbl_op_real, vbl_real_of, vbl_in_*, vbl_out_real, vbl_temp_real, vbl_temp_arange, vbl_row_*, vbl_sum_rows, vbl_expect*,
// vbl_check_index, vbl_check_exact
#include "core/ops/common.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/tape/node.h"
#include "kernels/mixed.h"

static bool one_memory(const vbl_backend *a, const vbl_backend *b) { return a == b || (a->host && b->host); }

vbl_status vbl_op_real(const vbl_call *c, vbl_real *r, vbl_error *err) {
  const vbl_tensor *wide = NULL, *narrow = NULL, *first = NULL;
  for (int i = 0; i < c->inputs; i++) {
    const vbl_tensor *t = c->in[i];
    if (t == NULL) continue;
    if (first == NULL) first = t;
    if (!one_memory(first->storage->backend, t->storage->backend))
      return vbl_fail(err, VBL_EINVAL, "expected all tensors on %s, got input %d on %s", first->storage->backend->name, i + 1,
                      t->storage->backend->name);
    if (t->dtype == VBL_F64) wide = t;
    if (t->dtype == VBL_F32 || t->dtype == VBL_BF16) narrow = t;
  }
  if (wide != NULL && narrow != NULL)
    return vbl_fail(err, VBL_EINVAL, "expected one real dtype, got f64 and %s; convert one of them", vbl_dtype_name(narrow->dtype));
  if (first == NULL) return vbl_fail(err, VBL_EINVAL, "expected a tensor, got none");
  r->memory = first->storage->backend;
  r->T = wide != NULL ? VBL_F64 : VBL_F32;
  r->be = vbl_kernels(r->memory, r->T);
  r->mixed = r->be->mixed;
  if (r->T == VBL_F32 && r->be == vbl_reference_backend())
    return vbl_fail(err, VBL_EINVAL, "the reference backend computes in f64 only; make the tensors f64 or keep them on the CPU");
  return VBL_OK;
}

vbl_real vbl_real_of(const vbl_tensor *grad) {
  const vbl_backend *memory = grad->storage->backend, *be = vbl_kernels(memory, grad->dtype);
  return (vbl_real){.memory = memory, .be = be, .T = grad->dtype == VBL_F64 ? VBL_F64 : VBL_F32, .mixed = be->mixed};
}

// Whether f32 holds each of these; the first that it does not is *bad.
static bool all_exact(const int32_t *v, int64_t n, int32_t *bad) {
  for (int64_t i = 0; i < n; i++) {
    *bad = v[i];
    if ((double)(float)v[i] != (double)v[i]) return false;
  }
  return true;
}

vbl_status vbl_check_exact(const vbl_call *c, int i, vbl_error *err) {
  vbl_tensor *dense, *host = NULL;
  int32_t bad = 0;
  VBL_TRY(vbl_tensor_contiguous(c->in[i], &dense, err));
  vbl_status status = dense->storage->backend->host ? VBL_OK : vbl_tensor_to_backend(dense, vbl_cpu_backend(), &host, err);
  if (status == VBL_OK && !all_exact(vbl_tensor_data(host != NULL ? host : dense), vbl_tensor_numel(dense), &bad))
    status = vbl_fail(err, VBL_EINVAL,
                      "input %d has the integer %d, which f32 does not hold; compute in f64, or convert it with :to(\"f32\"), "
                      "which rounds it",
                      i + 1, bad);
  vbl_tensor_release(host);
  vbl_tensor_release(dense);
  return status;
}

vbl_status vbl_in_strided(vbl_call *c, const vbl_real *r, int i, vbl_tensor **x, vbl_error *err) {
  *x = c->in[i];
  if (*x == NULL || (*x)->dtype == r->T) return VBL_OK;
  if ((*x)->dtype == VBL_I32 && r->T == VBL_F32) VBL_TRY(vbl_check_exact(c, i, err));
  VBL_TRY(vbl_tensor_to_dtype(c->in[i], r->T, x, err));
  return vbl_temp_keep(c, *x, err);
}

static vbl_status made_contiguous(vbl_call *c, vbl_tensor **x, vbl_error *err) {
  if (*x == NULL || vbl_tensor_is_contiguous(*x)) return VBL_OK;
  VBL_TRY(vbl_tensor_contiguous(*x, x, err));
  return vbl_temp_keep(c, *x, err);
}

vbl_status vbl_in_real(vbl_call *c, const vbl_real *r, int i, vbl_tensor **x, vbl_error *err) {
  VBL_TRY(vbl_in_strided(c, r, i, x, err));
  return made_contiguous(c, x, err);
}

vbl_status vbl_in_mixed(vbl_call *c, const vbl_real *r, int i, vbl_tensor **x, vbl_error *err) {
  if (r->mixed == NULL || c->in[i]->dtype != VBL_BF16) return vbl_in_real(c, r, i, x, err);
  *x = c->in[i];
  return made_contiguous(c, x, err);
}

void vbl_sum_rows(const vbl_real *r, const vbl_tensor *x, void *sum, bool accumulate) {
  const int64_t N = vbl_row_count(x), D = vbl_width(x);
  if (x->dtype == VBL_BF16)
    r->mixed->column_sum(vbl_tensor_data(x), sum, accumulate, N, D, NULL);
  else
    r->be->column_sum(vbl_tensor_data(x), sum, accumulate, N, D, NULL);
}

int64_t vbl_row_count(const vbl_tensor *t) {
  int64_t n = 1;
  for (int i = 0; i < t->ndim - 1; i++) n *= t->shape[i];
  return n;
}

int64_t vbl_row_stride(const vbl_tensor *t) {
  int64_t width = vbl_width(t), ld = -1, run = 1;
  if (vbl_tensor_is_contiguous(t)) return width;
  if (width != 1 && t->stride[t->ndim - 1] != 1) return -1;
  for (int i = t->ndim - 2; i >= 0; i--) {
    if (t->shape[i] == 1) continue;
    if (ld < 0) ld = t->stride[i];
    if (t->stride[i] != ld * run) return -1;
    run *= t->shape[i];
  }
  if (ld < 0) return width;  // one row
  return ld >= width ? ld : -1;
}

vbl_status vbl_in_rows(vbl_call *c, const vbl_real *r, int i, vbl_tensor **x, int64_t *ld, vbl_error *err) {
  VBL_TRY(vbl_in_strided(c, r, i, x, err));
  *ld = vbl_row_stride(*x);
  if (*ld >= 0) return VBL_OK;
  VBL_TRY(made_contiguous(c, x, err));
  *ld = vbl_width(*x);
  return VBL_OK;
}

vbl_status vbl_in_i32(vbl_call *c, int i, const char *what, vbl_tensor **x, vbl_error *err) {
  *x = i < c->inputs ? c->in[i] : NULL;
  if (*x == NULL) return VBL_OK;
  if ((*x)->dtype != VBL_I32) return vbl_fail(err, VBL_EINVAL, "expected %s as i32, got %s", what, vbl_dtype_name((*x)->dtype));
  return made_contiguous(c, x, err);
}

vbl_status vbl_out_real(vbl_call *c, const vbl_real *r, int o, int ndim, const int64_t *shape, vbl_tensor **y, vbl_error *err) {
  VBL_TRY(vbl_tensor_new(r->memory, r->T, ndim, shape, &c->out[o], err));
  *y = c->out[o];
  return VBL_OK;
}

vbl_status vbl_temp_real(vbl_call *c, const vbl_real *r, int ndim, const int64_t *shape, vbl_tensor **t, vbl_error *err) {
  return vbl_temp_new(c, r->memory, r->T, ndim, shape, t, err);
}

vbl_status vbl_temp_arange(vbl_call *c, const vbl_backend *memory, int64_t n, vbl_tensor **t, vbl_error *err) {
  VBL_TRY(vbl_temp_new(c, memory, VBL_I32, 1, &n, t, err));
  const size_t bytes = (size_t)n * sizeof(int32_t);
  int32_t *host = malloc(bytes + 1);
  if (host == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %" PRId64 " indices", n);
  for (int64_t i = 0; i < n; i++) host[i] = (int32_t)i;
  if (n > 0) memory->from_host(vbl_tensor_data(*t), host, bytes, NULL);
  free(host);
  return VBL_OK;
}

// As vbl_shape_text, with * for -1.
static char *pattern_text(int ndim, const int64_t *shape, char buf[VBL_SHAPE_TEXT]) {
  size_t used = (size_t)snprintf(buf, VBL_SHAPE_TEXT, "[");
  for (int i = 0; i < ndim && used < VBL_SHAPE_TEXT; i++) {
    const char *comma = i > 0 ? ", " : "";
    int n = shape[i] < 0 ? snprintf(buf + used, VBL_SHAPE_TEXT - used, "%s*", comma)
                         : snprintf(buf + used, VBL_SHAPE_TEXT - used, "%s%" PRId64, comma, shape[i]);
    used += (size_t)n;
  }
  if (used < VBL_SHAPE_TEXT) snprintf(buf + used, VBL_SHAPE_TEXT - used, "]");
  return buf;
}

vbl_status vbl_expect(const vbl_tensor *t, const char *what, int ndim, const int64_t *shape, vbl_error *err) {
  bool same = t->ndim == ndim;
  for (int i = 0; same && i < ndim; i++) same = shape[i] < 0 || shape[i] == t->shape[i];
  if (same) return VBL_OK;
  char a[VBL_SHAPE_TEXT], b[VBL_SHAPE_TEXT];
  return vbl_fail(err, VBL_EINVAL, "expected %s %s, got %s", what, pattern_text(ndim, shape, a),
                  vbl_shape_text(t->ndim, t->shape, b));
}

vbl_status vbl_expect_width(const vbl_tensor *t, const char *what, int64_t width, vbl_error *err) {
  if (t->ndim > 0 && (width < 0 || vbl_width(t) == width)) return VBL_OK;
  char text[VBL_SHAPE_TEXT];
  if (width < 0)
    return vbl_fail(err, VBL_EINVAL, "expected %s with at least one dim, got %s", what, vbl_shape_text(t->ndim, t->shape, text));
  return vbl_fail(err, VBL_EINVAL, "expected %s [.., %" PRId64 "], got %s", what, width, vbl_shape_text(t->ndim, t->shape, text));
}

vbl_status vbl_expect_real(const vbl_tensor *t, vbl_error *err) {
  if (vbl_is_real(t->dtype)) return VBL_OK;
  return vbl_fail(err, VBL_EINVAL, "expected a real tensor (f32, f64, bf16), got %s; convert it first", vbl_dtype_name(t->dtype));
}

vbl_status vbl_check_index(const vbl_tensor *index, const char *what, int64_t low, int64_t high, vbl_error *err) {
  if (!index->storage->backend->host) return VBL_OK;
  const int32_t *at = vbl_tensor_data(index);
  const int64_t n = vbl_tensor_numel(index);
  for (int64_t i = 0; i < n; i++)
    if (at[i] < low || at[i] >= high)
      return vbl_fail(err, VBL_EINVAL, "%s %d at row %" PRId64 " is outside [%" PRId64 ", %" PRId64 ")", what, at[i], i, low, high);
  return VBL_OK;
}
