// Reference reductions. An empty sum is 0 and an empty mean NaN; an empty maximum or minimum has no value, core refuses it.
// A NaN is the largest and the smallest of all, as in PyTorch: the first one is the result.
// defines: vbl_ref_reduce, vbl_ref_sum_squares, vbl_ref_count_nonfinite
#include <math.h>

#include "kernels/ref/ref.h"

static bool beats(vbl_reduce f, double candidate, double best) {
  if (isnan(best)) return false;
  if (isnan(candidate)) return true;
  return f == VBL_MAX ? candidate > best : candidate < best;
}

// The n elements x[0], x[inner], x[2 inner], ...
static double extreme(vbl_reduce f, const double *x, int64_t n, int64_t inner, int64_t *where) {
  *where = 0;
  for (int64_t i = 1; i < n; i++) {
    if (beats(f, x[i * inner], x[*where * inner])) *where = i;
  }
  return x[*where * inner];
}

static double sum(const double *x, int64_t n, int64_t inner) {
  double total = 0;
  for (int64_t i = 0; i < n; i++) total += x[i * inner];
  return total;
}

void vbl_ref_reduce(vbl_reduce f, const void *x, void *y, int32_t *index, int64_t outer, int64_t n, int64_t inner, vbl_stream s) {
  (void)s;
  double *out = y;
  for (int64_t o = 0; o < outer; o++) {
    for (int64_t i = 0; i < inner; i++) {
      const double *line = (const double *)x + o * n * inner + i;
      int64_t at = o * inner + i, where = 0;
      switch (f) {
        case VBL_SUM:
          out[at] = sum(line, n, inner);
          break;
        case VBL_MEAN:
          out[at] = sum(line, n, inner) / (double)n;
          break;
        case VBL_MAX:
        case VBL_MIN:
          if (n == 0) break;
          out[at] = extreme(f, line, n, inner, &where);
          if (index != NULL) index[at] = (int32_t)where;
          break;
      }
    }
  }
}

double vbl_ref_sum_squares(const void *x, int64_t n, vbl_stream s) {
  (void)s;
  const double *in = x;
  double total = 0;
  for (int64_t i = 0; i < n; i++) total += in[i] * in[i];
  return total;
}

int64_t vbl_ref_count_nonfinite(const void *x, int64_t n, vbl_stream s) {
  (void)s;
  const double *in = x;
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++) {
    if (!isfinite(in[i])) count++;
  }
  return count;
}
