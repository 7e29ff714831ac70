// The emulated device's memory: one reserved region that the host may touch only within a launch or a copy (device_memory), once
// vbl_emu_guard(true) was called: a host that reads a device's pointer faults, as it would with a real one.
// defines: vbl_emu::{device_memory, take_error, peek_error, raise_error, perform, is_captured, released, block_of, idle, launches, refused, told}; vbl_emu_guard
#pragma once
#include <functional>
#include <vector>

#include "kernels/emu/emu.h"

namespace vbl_emu {

// While one lives, the region can be touched.
struct device_memory {
  device_memory();
  ~device_memory();
};
cudaError_t take_error();         // the last launch's, and forgets it
bool idle();                      // VBL_EMU_IDLE: kernels and libraries do nothing, for tests of what the host asks for
extern int64_t launches;          // kernels that were launched so far
bool refused(const char *call);   // tests/faults has this request for the device fail
cudaError_t told(cudaError_t e);  // what a call of the runtime gives; cudaGetLastError remembers what failed, as the real one does
cudaError_t peek_error();         // and does not
void raise_error();               // as of a launch that failed
// Streams (streams.cc): an operation is queued that touches this, and is played now or, where the stream is captured (capture.cc), at each launch of
// the graph; a block is given back in the order of a stream, or (NULL) when the device has nothing left to do.
// kind: operations of different kinds are different nodes of a graph.
enum { KERNEL, PRODUCT, ATTENTION, COPY };
typedef std::function<void(int stream, int64_t at)> playing;
void perform(cudaStream_t stream, int kind, std::vector<touch> touches, playing play);
bool is_captured(cudaStream_t s);
void released(cudaStream_t stream, const void *block);
const void *block_of(const void *p);  // the start of the block that p lies in; NULL: in none

}  // namespace vbl_emu

extern "C" void vbl_emu_guard(bool on);
