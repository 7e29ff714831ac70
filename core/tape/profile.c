#include "core/tape/profile.h"

#include <string.h>
#include <time.h>

bool vbl_profiling = false;

static vbl_profile_row rows[VBL_PROFILE_ROWS];
static int count;
static vbl_span *innermost;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void vbl_profile_start(void) {
  memset(rows, 0, sizeof rows);
  count = 0;
  innermost = NULL;
  vbl_profiling = true;
}

void vbl_profile_stop(void) { vbl_profiling = false; }

const vbl_profile_row *vbl_profile_read(int *n) {
  *n = count;
  return rows;
}

static vbl_profile_row *row_of(const char *name) {
  for (int i = 0; i < count; i++)
    if (rows[i].name == name || strcmp(rows[i].name, name) == 0) return &rows[i];
  if (count == VBL_PROFILE_ROWS) return &rows[count - 1];
  vbl_profile_row *row = &rows[count++];
  row->name = count == VBL_PROFILE_ROWS ? "other" : name;
  return row;
}

void vbl_span_open(vbl_span *span, const char *name, vbl_phase phase) {
  if (phase == VBL_PHASE_OUTER) phase = innermost == NULL ? VBL_PHASE_FORWARD : innermost->phase;
  *span = (vbl_span){.name = name, .phase = phase, .outer = innermost};
  innermost = span;
  span->started = now();
}

void vbl_span_close(vbl_span *span, double flops) {
  const double seconds = now() - span->started;
  vbl_profile_row *row = row_of(span->name);
  row->calls++;
  row->flops += flops;
  *(span->phase == VBL_PHASE_BACKWARD ? &row->backward : &row->forward) += seconds - span->inside;
  innermost = span->outer;
  if (innermost != NULL) innermost->inside += seconds;
}
