// L2-regularised logistic regression. Inside core/measure only.
// defines: vbl_logistic, vbl_logistic_fit
#pragma once
#include "core/base/status.h"

// Rows x (n, d) with labels 0 .. classes - 1. Two classes have one output (the logit of class 1), more have one each.
typedef struct vbl_logistic {
  int64_t n, d, classes, outputs;
  const double *x;
  const int64_t *labels;
  double c;         // inverse penalty: mean loss + |W|^2 / (2 c n), the intercept free
  double *weights;  // (outputs, d) then (outputs) intercepts; the start and the result of the fit
  bool converged;   // largest gradient element < 1e-6
} vbl_logistic;

// L-BFGS (Nocedal 1980) with backtracking; convex, so the start does not matter.
vbl_status vbl_logistic_fit(vbl_logistic *m, vbl_error *err);
// Logits of rows x (n, d) into out (n, outputs).
void vbl_logistic_logits(const vbl_logistic *m, const double *x, int64_t n, double *out);
