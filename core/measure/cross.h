// Products A'B of two tall matrices that share their rows.
// defines: vbl_factor, vbl_centred, vbl_row_product, vbl_row_product_single
#pragma once
#include "core/measure/prepared.h"

// The first `columns` columns of rows of length `stride`, less a mean: f32 or f64, whichever is not NULL.
typedef struct vbl_factor {
  const float *single;
  const double *raw;
  const double *mean;  // (columns); NULL: 0
  int64_t stride, columns;
} vbl_factor;

vbl_factor vbl_centred(const vbl_prepared *p);  // X less its mean

// Whether f32 pays for n rows: above 2e8 multiplications, where both matrices came as f32 (or bf16).
bool vbl_row_product_single(const vbl_prepared *x, const vbl_prepared *y, int64_t columns_x, int64_t columns_y);

// C (columns of a, columns of b) = sum over the n rows i of a_i' b_order[i]; order NULL: i. The same bits whatever the number of
// threads. `single` (both factors f32 with a mean, or f64 without one): rows are rounded to f32 and multiplied in f32 by tiles of 512
// rows, whose products are added in f64. With u = 2^-24 the rounding of rows moves C by at most (2 u + u^2) |A|_F |B|_F in nuclear
// norm, hence in Frobenius norm; the sums of 512 terms move it, errors being as good as independent, by about 0.4 u |A|_F |B|_F in
// Frobenius norm.
vbl_status vbl_row_product(int64_t n, const vbl_factor *a, const vbl_factor *b, const int64_t *order, bool single, double *c,
                           vbl_error *err);
