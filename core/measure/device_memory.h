// Memory of a device for one call, and sums that it leaves in parts. Inside core/measure only.
// defines: vbl_device_take, vbl_device_total
#pragma once
#include "kernels/measure.h"

// bytes of b's memory, to be given back with b->free, or VBL_ENOMEM naming what for and what to do.
static inline vbl_status vbl_device_take(const vbl_backend *b, size_t bytes, const char *what, void **out, vbl_error *err) {
  *out = b->alloc(bytes > 0 ? bytes : 1);
  if (*out != NULL) return VBL_OK;
  return vbl_fail(err, VBL_ENOMEM,
                  "%s: %s: out of memory for %.1f MB; measure on the host (X:to \"cpu\"), or free what else lies there", what,
                  b->name, (double)bytes * 1e-6);
}

// The sum whose parts a device left.
static inline double vbl_device_total(const double parts[VBL_SUM_PARTS]) {
  double sum = 0;
  for (int q = 0; q < VBL_SUM_PARTS; q++) sum += parts[q];
  return sum;
}
