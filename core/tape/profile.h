// Where time goes, by name: ops forward and backward, the matrix products inside them, and whatever else opens a span. Off by
// default; a span then costs one branch.
//
// Spans nest (a product inside linear, a checkpoint's second run inside backward). A row's seconds are its own: what an inner
// span took is counted in the inner span's row alone, so rows add up to the time covered. Times are of the one thread that runs ops,
// by the host's clock; where a device is open by the time that its work takes (kernels.h: mark), all in one branch: what the host
// does meanwhile costs nothing there, and what it does alone counts as ever.
// defines: vbl_phase, vbl_span, vbl_profile_row, vbl_profile_{start,stop,clock,read}, vbl_profiling,
//          vbl_span_{begin,end,open,close}
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum vbl_phase { VBL_PHASE_FORWARD, VBL_PHASE_BACKWARD, VBL_PHASE_OUTER /* that of the span around */ } vbl_phase;

typedef struct vbl_profile_row {
  const char *name;
  int64_t calls;             // in both phases
  double forward, backward;  // seconds
  double flops;              // of matrix products: 2MNK each
} vbl_profile_row;

enum { VBL_PROFILE_ROWS = 128 };  // names beyond these share the last row, "other"

// Lives on the stack of the function that it measures.
typedef struct vbl_span {
  const char *name;  // NULL: begun while off
  vbl_phase phase;
  double started, inside;
  int record;  // of a device's time; -1: none
  struct vbl_span *outer;
} vbl_span;

extern bool vbl_profiling;  // for vbl_span_begin; vbl_profile_start and _stop change it

void vbl_profile_start(void);  // forgets all rows
// Returns the seconds since the start, by the clock of the rows. A second call returns 0 and does nothing.
double vbl_profile_stop(void);
const char *vbl_profile_clock(void);  // whose time the rows are: "cpu", or the device's name
// The rows so far, in the order in which their first spans ended; valid until the next start.
const vbl_profile_row *vbl_profile_read(int *count);

// `name` lives as long as the program. Spans end in the reverse order of their beginning.
void vbl_span_open(vbl_span *span, const char *name, vbl_phase phase);
void vbl_span_close(vbl_span *span, double flops);

static inline void vbl_span_begin(vbl_span *span, const char *name, vbl_phase phase) {
  span->name = NULL;
  if (vbl_profiling) vbl_span_open(span, name, phase);
}
static inline void vbl_span_end(vbl_span *span, double flops) {
  if (span->name != NULL) vbl_span_close(span, flops);
}
