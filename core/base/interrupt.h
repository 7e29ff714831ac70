// The interrupt flag: set by Ctrl-C and SIGTERM, polled at kernel, loader and training-step boundaries.
// defines: vbl_interrupt_request, vbl_interrupt_pending, vbl_interrupt_clear, vbl_interrupt_check, vbl_interrupt_hold,
//          vbl_interrupt_held
#pragma once
#include "core/base/status.h"

void vbl_interrupt_request(int signal_number);  // async-signal-safe
int vbl_interrupt_pending(void);                // 0, or the signal's number
void vbl_interrupt_clear(void);
// VBL_OK, or VBL_EINTERRUPT with "interrupted". Does not clear the flag: whoever handles the interrupt does.
vbl_status vbl_interrupt_check(vbl_error *err);
// While held, vbl_interrupt_check is VBL_OK: a training step runs to its end, and its loop asks vbl_interrupt_pending.
void vbl_interrupt_hold(bool on);
bool vbl_interrupt_held(void);
