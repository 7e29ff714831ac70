// Parallel loops: the first failure, which others see and leave their work, its error being the loop's; and pairs as one loop's numbers.
// defines: VBL_MEASURE_GRAIN, vbl_pair, vbl_shared_failed, vbl_shared_fail
#pragma once
#include "core/base/status.h"

// Elements below which one thread is done before a second one is awake.
enum { VBL_MEASURE_GRAIN = 16384 };

// Number q of count (count + 1) / 2, laid out in lines of count, count - 1, ... 1: its line, and its place in it.
static inline void vbl_pair(int64_t q, int64_t count, int64_t *line, int64_t *place) {
  *line = 0;
  while (q >= count - *line) q -= count - (*line)++;
  *place = q;
}

static inline bool vbl_shared_failed(const vbl_status *shared) {
  vbl_status seen;
#pragma omp atomic read
  seen = *shared;
  return seen != VBL_OK;
}

// A status other than VBL_OK becomes *shared, and `mine` *err, if none was there before.
static inline void vbl_shared_fail(vbl_status *shared, vbl_status status, const vbl_error *mine, vbl_error *err) {
  if (status == VBL_OK) return;
#pragma omp critical(vbl_shared_fail)
  if (!vbl_shared_failed(shared)) {
    if (err != NULL) *err = *mine;
#pragma omp atomic write
    *shared = status;
  }
}
