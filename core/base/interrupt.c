#include "core/base/interrupt.h"

#include <stdatomic.h>

static atomic_int pending;
static atomic_bool held;

void vbl_interrupt_request(int signal_number) { atomic_store(&pending, signal_number); }

int vbl_interrupt_pending(void) { return atomic_load(&pending); }

void vbl_interrupt_clear(void) { atomic_store(&pending, 0); }

vbl_status vbl_interrupt_check(vbl_error *err) {
  if (atomic_load_explicit(&pending, memory_order_relaxed) == 0 || atomic_load(&held)) return VBL_OK;
  return vbl_fail(err, VBL_EINTERRUPT, "interrupted");
}

void vbl_interrupt_hold(bool on) { atomic_store(&held, on); }

bool vbl_interrupt_held(void) { return atomic_load(&held); }
