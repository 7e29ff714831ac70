// Measures whose dependence on the pairing is one inner product of two symmetric n x n matrices: value = g(<A, B>) where shuffling
// Y's rows only gathers B. A permutation then costs n^2 / 2 multiplications whatever the widths.
// HSIC, CKA, distance correlation, RSA (Spearman, Pearson), gw_identity, linear_r2 and CCA's rho^2 are such.
// defines: vbl_form, vbl_form_make, vbl_form_free, vbl_form_value
#pragma once
#include "core/measure/traits.h"

typedef struct vbl_form {
  int64_t n;
  double *a, *b;  // (n, n), symmetric
  double offset, scale;
  bool root;  // sqrt of what is above 0, last
} vbl_form;

// *made is false (and nothing is held) for another measure, or when the two matrices would take more than 1 GiB. x and y must be
// ones for which the measure's status is OK, with the parts that it reads already made.
vbl_status vbl_form_make(vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_form *f,
                         bool *made, vbl_error *err);
void vbl_form_free(vbl_form *f);
// offset + scale <A, P B P'> with Y's row order[i] beside X's row i.
double vbl_form_value(const vbl_form *f, const int32_t *order);
