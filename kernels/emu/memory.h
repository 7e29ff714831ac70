// The emulated device's memory: one reserved region that the host may touch only within a launch or a copy (device_memory), once
// vbl_emu_guard(true) was called: a host that reads a device's pointer faults, as it would with a real one.
// defines: vbl_emu::{device_memory, take_error, peek_error, raise_error, queued, released, block_of, idle, launches}; vbl_emu_guard
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
extern int64_t launches;   // kernels that were launched so far
cudaError_t peek_error();  // and does not
void raise_error();        // as of a launch that failed
// Streams (streams.cc): a kernel, or a library's, is queued that touches this; a block is given back in the order of a stream, or (NULL) when the
// device has nothing left to do.
void queued(cudaStream_t stream, const touch *touches, size_t count);
void released(cudaStream_t stream, const void *block);
const void *block_of(const void *p);  // the start of the block that p lies in; NULL: in none

}  // namespace vbl_emu

extern "C" void vbl_emu_guard(bool on);
