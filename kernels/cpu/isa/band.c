// Log determinants of a shifted band matrix, VBL_SHIFTS shifts side by side in a vector: elimination without pivoting, which positive
// definite matrices allow. defines: vbl_cpu_log_determinants
#include <math.h>
#include <string.h>

#include "kernels/cpu/isa/isa.h"
#include "kernels/cpu/loops.h"

typedef double shifts __attribute__((vector_size(8 * VBL_SHIFTS)));
typedef int64_t truths __attribute__((vector_size(8 * VBL_SHIFTS)));

// The columns of scale T + shift I that are being eliminated, diagonal elements first; column c lies at c % (VBL_BAND + 1).
typedef struct window {
  shifts column[VBL_BAND + 1][VBL_BAND + 1], scale, shift;
} window;

static void load_column(window *w, int64_t n, const double *band, int64_t c, int at) {
  shifts *to = w->column[at];
  for (int i = 0; i <= VBL_BAND; i++) to[i] = w->scale * (c < n ? band[c * (VBL_BAND + 1) + i] : 0);
  to[0] += w->shift;
}

// Takes the outer product of the column at `at`, below its pivot, from those that follow.
static void eliminate(window *w, int at) {
  const shifts *from = w->column[at], inverse = 1 / from[0];
  for (int j = 1; j <= VBL_BAND; j++) {
    const shifts factor = from[j] * inverse;
    shifts *to = w->column[at + j > VBL_BAND ? at + j - VBL_BAND - 1 : at + j];
    for (int i = 0; i <= VBL_BAND - j; i++) to[i] -= from[i + j] * factor;
  }
}

bool VBL_K(log_determinants)(int64_t n, const double *band, const double *scale, const double *shift, double *out) {
  enum { TOGETHER = 8 };  // pivots to a logarithm
  window w;
  shifts product = {1, 1, 1, 1, 1, 1, 1, 1};
  truths in_range = product > 0;
  memcpy(&w.scale, scale, sizeof w.scale);
  memcpy(&w.shift, shift, sizeof w.shift);
  for (int q = 0; q < VBL_SHIFTS; q++) out[q] = 0;
  for (int c = 0; c <= VBL_BAND; c++) load_column(&w, n, band, c, c);
  for (int64_t c = 0; c < n; c++) {
    const int at = (int)(c % (VBL_BAND + 1));
    const shifts pivot = w.column[at][0];
    in_range &= (pivot >= 1e-30) & (pivot <= 1e30);
    product *= pivot;
    for (int q = 0; (c % TOGETHER == TOGETHER - 1 || c + 1 == n) && q < VBL_SHIFTS; q++) {
      out[q] += log(product[q]);
      product[q] = 1;
    }
    eliminate(&w, at);
    load_column(&w, n, band, c + VBL_BAND + 1, at);
  }
  bool all = true;
  for (int q = 0; q < VBL_SHIFTS; q++) all &= in_range[q] != 0;
  return all;
}
