// Products A'B of two tall matrices that share their rows.
// defines: vbl_factor, vbl_centred, vbl_row_product, vbl_row_product_single, vbl_product_single, vbl_debiased_sum, vbl_even_rows, vbl_note_cancels
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
// The same for <K, L> of x and y: not where one is known to cancel.
bool vbl_product_single(const vbl_prepared *x, const vbl_prepared *y);

enum { VBL_KEPT = 8 };  // a difference of this part of a product in f32, 1e-8 of which is error, is good to 1e-7
// n (n-3) HSIC1 of x and y from s = |Xc'Yc|_F^2. (Formula: hsic.c.)
double vbl_debiased_sum(const vbl_prepared *x, const vbl_prepared *y, double s);
// Whether the rows are so alike in length, and so many, that p cannot cancel whatever its product: that is at least (sum a_i)^2 / d.
bool vbl_even_rows(const vbl_prepared *p);
// Decides p->cancels, where it is not known, from p's own product. Of rows no more than columns the diagonal, which grams.h has exact, is no
// part of the error.
void vbl_note_cancels(vbl_prepared *p, double self);

// C (columns of a, columns of b) = sum over the n rows i of a_i' b_order[i]; order NULL: i. The same bits whatever the number of
// threads. `single` (both factors f32 with a mean, or f64 without one): rows are rounded to f32 and multiplied in f32 by tiles of 512
// rows, whose products are added in f64. With u = 2^-24 the rounding of rows moves C by at most (2 u + u^2) |A|_F |B|_F in nuclear
// norm, hence in Frobenius norm. The sums of 512 terms move it, rows and errors being as good as independent, by at most
// u sqrt(512/3 sum_i |a_i|^2 |b_i|^2) in Frobenius norm (a long row stays in every sum after it): about 0.4 u |A|_F |B|_F for 512 rows of
// equal length, and up to 13 u |A|_F |B|_F where one holds all.
vbl_status vbl_row_product(int64_t n, const vbl_factor *a, const vbl_factor *b, const int64_t *order, bool single, double *c,
                           vbl_error *err);
