// Reference dropout: a mask that is a pure function of (seed, site, step, sample, position, column); see vbl_dropout.
// defines: vbl_ref_keep, vbl_ref_dropout_add
#include <stddef.h>

#include "kernels/ref/ref.h"

double vbl_ref_keep(const vbl_dropout *drop, int64_t sample, int64_t pos, int64_t column) {
  if (drop == NULL || drop->p == 0) return 1;
  vbl_u32x4 draw = vbl_philox(drop->rng, (uint32_t)(column / 4), (uint32_t)pos, (uint32_t)sample, drop->step);
  double u = (double)vbl_u32_to_unit(draw.v[column % 4]);
  return u >= drop->p ? 1 / (1 - drop->p) : 0;
}

void vbl_ref_dropout_add(const void *x, const void *residual, const vbl_dropout *drop, void *y, int64_t N, int64_t D,
                         vbl_stream s) {
  (void)s;
  const double *in = x, *add = residual;
  double *out = y;
  bool active = drop != NULL && drop->p > 0;
  for (int64_t row = 0; row < N; row++) {
    int64_t sample = active ? drop->rows[2 * row] : 0, pos = active ? drop->rows[2 * row + 1] : 0;
    for (int64_t col = 0; col < D; col++) {
      int64_t at = row * D + col;
      double kept = in[at] * vbl_ref_keep(drop, sample, pos, col);
      out[at] = add == NULL ? kept : add[at] + kept;
    }
  }
}
