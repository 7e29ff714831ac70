// Whether the ranks' devices reach one another. Inside core/comm only.
// defines: vbl_comm_devices
#pragma once
#include "kernels/kernels.h"

// Of all ranks at once, whose devices are of one kind: whether these add up and gather by themselves. They join the first time.
vbl_status vbl_comm_devices(const vbl_backend *b, bool *yes, vbl_error *err);
