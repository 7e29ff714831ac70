// The emulated device's memory: one reserved region that the host may touch only within a launch or a copy (device_memory), once
// vbl_emu_guard(true) was called: a host that reads a device's pointer faults, as it would with a real one.
// defines: vbl_emu::{device_memory, take_error, idle}; vbl_emu_guard
#pragma once
#include "kernels/emu/emu.h"

namespace vbl_emu {

// While one lives, the region can be touched.
struct device_memory {
  device_memory();
  ~device_memory();
};
cudaError_t take_error();  // the last launch's, and forgets it
bool idle();               // VBL_EMU_IDLE: kernels and libraries do nothing, for tests of what the host asks for

}  // namespace vbl_emu

extern "C" void vbl_emu_guard(bool on);
