// defines: vbl_products, vbl_activations, vbl_product_rows, vbl_product_gradient, vbl_matrix_at, vbl_product_weight, vbl_weight_at,
//          vbl_product_bias, vbl_product, vbl_product_gelu
#include "core/ops/product.h"

#include "core/tape/profile.h"
#include "core/tensor/branch.h"
#include "core/tensor/storage.h"
#include "kernels/mixed.h"

vbl_dtype vbl_products(const vbl_call *c, const vbl_real *r) {
  return r->T == VBL_F32 && c->attrs.products == VBL_PRECISION_BF16 ? VBL_BF16 : r->T;
}

vbl_dtype vbl_activations(const vbl_call *c, const vbl_real *r) { return r->mixed != NULL ? vbl_products(c, r) : r->T; }

static bool in_tf32(const vbl_call *c, const vbl_real *r) { return r->T == VBL_F32 && c->attrs.products == VBL_PRECISION_TF32; }

vbl_status vbl_product_rows(vbl_call *c, const vbl_real *r, int i, bool keep, vbl_tensor **x, int64_t *ld, vbl_error *err) {
  *x = c->in[i];
  if (in_tf32(c, r) && r->be->gemm_tf32 == NULL)
    return vbl_fail(err, VBL_EINVAL, "products in tf32 are a GPU's, and these tensors are on %s: compute in f32 or bf16 there",
                    r->memory->name);
  const bool narrow = vbl_products(c, r) == VBL_BF16 && (keep || (*x)->dtype == VBL_BF16);
  if (!narrow) return vbl_in_rows(c, r, i, x, ld, err);
  *ld = vbl_row_stride(*x);
  if ((*x)->dtype == VBL_BF16 && *ld >= 0) return VBL_OK;
  vbl_tensor *dense;
  VBL_TRY(vbl_tensor_contiguous(*x, &dense, err));
  VBL_TRY(vbl_temp_keep(c, dense, err));
  VBL_TRY(vbl_tensor_to_dtype(dense, VBL_BF16, x, err));
  *ld = vbl_width(*x);
  return vbl_temp_keep(c, *x, err);
}

vbl_status vbl_product_gradient(vbl_call *c, const vbl_real *r, vbl_tensor *dy, vbl_tensor **rounded, vbl_error *err) {
  *rounded = dy;
  if (vbl_activations(c, r) != VBL_BF16 || dy->dtype == VBL_BF16) return VBL_OK;
  VBL_TRY(vbl_tensor_to_dtype(dy, VBL_BF16, rounded, err));
  return vbl_temp_keep(c, *rounded, err);
}

vbl_matrix vbl_matrix_at(const vbl_tensor *t, int64_t first, int64_t ld, bool transposed) {
  return (vbl_matrix){.data = vbl_at(t, first), .ld = ld, .T = t->dtype, .transposed = transposed};
}

// A leaf's own memory lasts; that of a conversion ends with the call.
vbl_status vbl_product_weight(const vbl_call *c, const vbl_real *r, int i, const vbl_tensor *w, vbl_error *err) {
  vbl_storage *s = w->storage;
  if (vbl_products(c, r) != VBL_BF16 || r->mixed == NULL || w != c->in[i] || w->node != NULL || w->dtype != VBL_F32) return VBL_OK;
  if (s->narrow != NULL) {
    const bool write = s->narrow_version != s->version;
    vbl_branch_await(&s->narrow->marks, write);
    vbl_branch_note(&s->narrow->marks, write);
    if (!write) return VBL_OK;
  }
  const int64_t stride = 1, n = (int64_t)(s->bytes / sizeof(float));
  if (s->narrow == NULL) {
    VBL_TRY(vbl_storage_new(s->backend, s->bytes / 2, &s->narrow, err));
    s->narrow->dtype = VBL_BF16, s->narrow->ndim = 1, s->narrow->shape[0] = n;
    s->narrow->user = (vbl_memory_user){"the weights, rounded", false};
  }
  r->be->copy(VBL_F32, s->data, &stride, VBL_BF16, s->narrow->data, &stride, 1, &n, NULL);
  s->narrow_version = s->version;
  vbl_branches_meet();  // now, so that the other branch need not wait for more than this
  return VBL_OK;
}

// Where the rounded copy has what w's memory holds from w's first element on; NULL: there is none, or it is not aligned.
static const void *narrow_copy(const vbl_call *c, const vbl_real *r, const vbl_tensor *w) {
  const vbl_storage *s = w->storage;
  if (vbl_products(c, r) != VBL_BF16 || s->narrow == NULL || s->narrow_version != s->version) return NULL;
  const char *data = (const char *)s->narrow->data + w->offset * 2;
  return (uintptr_t)data % 16 == 0 ? data : NULL;
}

vbl_matrix vbl_weight_at(const vbl_call *c, const vbl_real *r, const vbl_tensor *w, bool transposed) {
  vbl_matrix m = vbl_matrix_at(w, 0, vbl_width(w), transposed);
  const void *data = m.ld % 8 == 0 ? narrow_copy(c, r, w) : NULL;
  if (data == NULL) return m;  // a backend that rounds it aligns it too
  m.data = data;
  m.T = VBL_BF16;
  return m;
}

vbl_status vbl_product_bias(vbl_call *c, const vbl_real *r, int i, const vbl_tensor *b, int64_t n, vbl_dtype T, const void **bias,
                            vbl_error *err) {
  vbl_tensor *wide, *rounded;
  *bias = b == NULL ? NULL : vbl_tensor_data(b);
  if (b == NULL || T == r->T) return VBL_OK;
  VBL_TRY(vbl_product_weight(c, r, i, b, err));
  *bias = narrow_copy(c, r, b);
  if (*bias != NULL) return VBL_OK;
  VBL_TRY(vbl_tensor_as_strided(b, 1, &n, (int64_t[]){1}, b->offset, &wide, err));
  VBL_TRY(vbl_temp_keep(c, wide, err));
  VBL_TRY(vbl_tensor_to_dtype(wide, VBL_BF16, &rounded, err));
  *bias = vbl_tensor_data(rounded);
  return vbl_temp_keep(c, rounded, err);
}

static void rounded(const vbl_real *r, int64_t M, int64_t N, int64_t K, vbl_matrix A, vbl_matrix B, bool accumulate, vbl_dtype T,
                    void *C, int64_t ldc, const void *bias, void *g) {
  vbl_span span;
  vbl_span_begin(&span, "gemm", VBL_PHASE_OUTER);
  if (r->mixed != NULL)
    r->mixed->gemm(A.transposed, B.transposed, M, N, K, A.T, A.data, A.ld, B.T, B.data, B.ld, accumulate, T, C, ldc, bias, NULL);
  else
    r->be->gemm_bf16(A.transposed, B.transposed, M, N, K, A.T, A.data, A.ld, B.T, B.data, B.ld, accumulate, C, ldc, bias, g, NULL);
  vbl_span_end(&span, 2.0 * (double)M * (double)N * (double)K);
}

// C (+)= op(A) op(B) of r's dtype, in TF32 where the call asks for it.
static void whole(const vbl_call *c, const vbl_real *r, int64_t M, int64_t N, int64_t K, vbl_matrix A, vbl_matrix B,
                  bool accumulate, void *C, int64_t ldc) {
  if (!in_tf32(c, r) || M == 0 || N == 0 || K == 0) {
    vbl_mm(r, A.transposed, B.transposed, M, N, K, 1, A.data, A.ld, B.data, B.ld, accumulate ? 1 : 0, C, ldc);
    return;
  }
  vbl_span span;
  vbl_span_begin(&span, "gemm", VBL_PHASE_OUTER);
  r->be->gemm_tf32(A.transposed, B.transposed, M, N, K, A.data, A.ld, B.data, B.ld, accumulate, C, ldc, NULL);
  vbl_span_end(&span, 2.0 * (double)M * (double)N * (double)K);
}

void vbl_product(const vbl_call *c, const vbl_real *r, int64_t M, int64_t N, int64_t K, vbl_matrix A, vbl_matrix B, bool accumulate,
                 vbl_dtype T, void *C, int64_t ldc, const void *bias) {
  if (vbl_products(c, r) == VBL_BF16) {
    rounded(r, M, N, K, A, B, accumulate, T, C, ldc, bias, NULL);
    return;
  }
  whole(c, r, M, N, K, A, B, accumulate, C, ldc);
  if (bias != NULL) r->be->bias_add(C, bias, M, N, NULL);
}

void vbl_product_gelu(const vbl_call *c, const vbl_real *r, int64_t M, int64_t N, int64_t K, vbl_matrix A, vbl_matrix B, void *C,
                      const void *bias, void *g) {
  const vbl_dtype T = vbl_activations(c, r);
  if (vbl_products(c, r) == VBL_BF16) {
    rounded(r, M, N, K, A, B, false, T, C, N, bias, g);
    if (T == VBL_BF16) r->mixed->gelu(C, g, M * N, NULL);
    return;
  }
  whole(c, r, M, N, K, A, B, false, C, N);
  r->be->bias_gelu(C, bias, g, M, N, NULL);
}
