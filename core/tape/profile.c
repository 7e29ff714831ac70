// defines: vbl_profiling, vbl_profile_start, vbl_profile_stop, vbl_profile_clock, vbl_profile_read, vbl_span_open, vbl_span_close
#include "core/tape/profile.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/tensor/branch.h"
#include "kernels/kernels.h"

bool vbl_profiling = false;

static vbl_profile_row rows[VBL_PROFILE_ROWS];
static int count;
static vbl_span *innermost;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// A span on a device. Its times are asked for at the end, when the device is done: a host that waited at every span would measure its own waiting.
typedef struct record {
  int row, outer;
  vbl_phase phase;
  int64_t from, to;
} record;

static const vbl_backend *clock_of;  // NULL: the host's
static record *records;
static int made, room;
static int64_t began;
static double began_at;

// -1 where there is no memory for it: its time is then its outer span's.
static int new_record(int outer, vbl_phase phase) {
  if (made == room) {
    record *more = realloc(records, (size_t)(room * 2 + 1024) * sizeof *more);
    if (more == NULL) return -1;
    records = more;
    room = room * 2 + 1024;
  }
  records[made] = (record){.row = -1, .outer = outer, .phase = phase, .from = clock_of->mark(), .to = -1};
  return made++;
}

void vbl_profile_start(void) {
  memset(rows, 0, sizeof rows);
  count = made = 0;
  innermost = NULL;
  vbl_profiling = true;
  clock_of = vbl_backend_opened() != NULL && vbl_backend_opened()->mark != NULL ? vbl_backend_opened() : NULL;
  if (clock_of != NULL) {
    vbl_branches_one(true);
    clock_of->forget_marks();
    began = clock_of->mark();
  }
  began_at = now();
}

const char *vbl_profile_clock(void) { return clock_of != NULL ? clock_of->name : "cpu"; }

static void add(int row, vbl_phase phase, double seconds) {
  *(phase == VBL_PHASE_BACKWARD ? &rows[row].backward : &rows[row].forward) += seconds;
}

// What an inner span took is not its outer span's; one that never ended, for an error, is passed over.
static void add_records(void) {
  for (int i = 0; i < made; i++) {
    const record *r = &records[i];
    if (r->row < 0) continue;
    const double seconds = clock_of->between(r->from, r->to);
    add(r->row, r->phase, seconds);
    if (r->outer >= 0 && records[r->outer].row >= 0) add(records[r->outer].row, records[r->outer].phase, -seconds);
  }
}

double vbl_profile_stop(void) {
  if (!vbl_profiling) return 0;
  vbl_profiling = false;
  if (clock_of == NULL) return now() - began_at;
  const double total = clock_of->between(began, clock_of->mark());
  add_records();
  vbl_branches_one(false);
  return total;
}

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
  *span = (vbl_span){.name = name, .phase = phase, .outer = innermost, .record = -1};
  if (clock_of != NULL) span->record = new_record(innermost == NULL ? -1 : innermost->record, phase);
  innermost = span;
  span->started = now();
}

void vbl_span_close(vbl_span *span, double flops) {
  const double seconds = now() - span->started;
  vbl_profile_row *row = row_of(span->name);
  row->calls++;
  row->flops += flops;
  innermost = span->outer;
  if (clock_of != NULL) {
    if (span->record < 0 || !vbl_profiling) return;
    records[span->record].row = (int)(row - rows);
    records[span->record].to = clock_of->mark();
    return;
  }
  add((int)(row - rows), span->phase, seconds - span->inside);
  if (innermost != NULL) innermost->inside += seconds;
}
