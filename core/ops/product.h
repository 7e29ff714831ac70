// Matrix products in the precision of the call: f32 (f64), or operands rounded to bf16 or TF32 and sums in f32 (vbl_set_autocast).
// defines: vbl_matrix, vbl_products, vbl_activations, vbl_product_rows, vbl_product_gradient, vbl_matrix_at, vbl_product_weight, vbl_weight_at,
//          vbl_product_bias, vbl_product, vbl_product_gelu
#pragma once
#include "core/ops/common.h"

// op(X): rows `ld` elements apart, of T; transposed where said.
typedef struct vbl_matrix {
  const void *data;
  int64_t ld;
  vbl_dtype T;  // r's dtype, or VBL_BF16
  bool transposed;
} vbl_matrix;

// The precision of a call's products: VBL_BF16, or r's dtype (f64 is never rounded).
vbl_dtype vbl_products(const vbl_call *c, const vbl_real *r);
// What passes between products: as vbl_products where the backend's activations follow it (r->mixed), else r's dtype.
vbl_dtype vbl_activations(const vbl_call *c, const vbl_real *r);

// Input i as rows for products: as vbl_in_rows; but where products are bf16, a bf16 input stays as it is, and with `keep` (backward
// wants it again) an f32 one is rounded once, into half the memory. VBL_EINVAL: tf32 where the backend has none.
vbl_status vbl_product_rows(vbl_call *c, const vbl_real *r, int i, bool keep, vbl_tensor **x, int64_t *ld, vbl_error *err);
// The gradient of a result for products: itself, or, where they are bf16 and it is f32, rounded once for both. The CPU rounds as it packs.
vbl_status vbl_product_gradient(vbl_call *c, const vbl_real *r, vbl_tensor *dy, vbl_tensor **rounded, vbl_error *err);
// A contiguous matrix from its `first` element on, columns wide.
vbl_matrix vbl_matrix_at(const vbl_tensor *t, int64_t first, int64_t ld, bool transposed);

// A weight for products: w (contiguous, input i or made of it). Where products are bf16 on a device, its memory is rounded once for all
// products until it changes (a step's forward and backward, evaluations), and the matrix is of that copy; the CPU rounds as it packs.
vbl_status vbl_product_weight(const vbl_call *c, const vbl_real *r, int i, const vbl_tensor *w, vbl_error *err);
vbl_matrix vbl_weight_at(const vbl_call *c, const vbl_real *r, const vbl_tensor *w, bool transposed);

// A bias, `n` contiguous numbers of r's dtype from b (input i) on, of the type that the product's result has.
vbl_status vbl_product_bias(vbl_call *c, const vbl_real *r, int i, const vbl_tensor *b, int64_t n, vbl_dtype T, const void **bias,
                            vbl_error *err);

// C[M,N] (+)= op(A) op(B), then + bias [N] where not NULL. C and bias are of T: r's dtype (then, with a bias, C has no gaps: ldc = N), or bf16
// (vbl_activations).
void vbl_product(const vbl_call *c, const vbl_real *r, int64_t M, int64_t N, int64_t K, vbl_matrix A, vbl_matrix B, bool accumulate,
                 vbl_dtype T, void *C, int64_t ldc, const void *bias);
// C[M,N] = op(A) op(B) + bias, kept for backward, of vbl_activations, as bias; and g[M,N] = gelu_erf(C): of r's dtype, but bf16 where
// products are (the next product would round it so).
void vbl_product_gelu(const vbl_call *c, const vbl_real *r, int64_t M, int64_t N, int64_t K, vbl_matrix A, vbl_matrix B, void *C,
                      const void *bias, void *g);
