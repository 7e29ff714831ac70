// Kernels with one planted mistake each, and two correct ones: what the emulation has to catch (test_emulation.cc). 64 threads.
#include "tests/emu/bugs.h"

#define KERNEL(name) static __global__ void name(float *out)
#define TID          ((int)threadIdx.x)

KERNEL(correct) {
  VBL_SHARED(float, tile, [64]);
  tile[TID] = TID;
  __syncthreads();
  out[TID] = tile[63 - TID] + __shfl_xor_sync(~0u, 1.0f, 1);
}
KERNEL(no_barrier_before_read) {
  VBL_SHARED(float, tile, [64]);
  tile[TID] = TID;
  out[TID] = tile[63 - TID];
}
KERNEL(no_warp_barrier_before_read) {
  VBL_SHARED(float, tile, [64]);
  tile[TID] = TID;
  out[TID] = tile[TID ^ 1];
}
KERNEL(reads_what_nobody_wrote) {
  VBL_SHARED(float, tile, [64]);
  if (TID < 32) tile[TID] = 1;
  __syncthreads();
  out[TID] = tile[TID];
}
KERNEL(returns_before_barrier) {
  if (TID == 5) return;
  __syncthreads();
  out[TID] = 1;
}
KERNEL(half_at_barrier) {
  if (TID < 32) __syncthreads();
  out[TID] = 1;
}
KERNEL(barriers_in_both_branches) {
  if (TID < 32)
    __syncthreads();
  else
    __syncthreads();
  out[TID] = 1;
}
KERNEL(shuffle_in_a_branch) {
  float v = 0;
  if (TID % 32 < 16) v = __shfl_xor_sync(~0u, 1.0f, 1);
  out[TID] = v;
}
KERNEL(lane_outside_mask) { out[TID] = __shfl_sync(0xffffu, 1.0f, 3); }
KERNEL(reads_lane_outside_mask) {
  if (TID % 32 < 16) out[TID] = __shfl_sync(0xffffu, 1.0f, 20);
}
KERNEL(two_functions_meet) {
  float v;
  if (TID % 2)
    v = __shfl_xor_sync(~0u, 1.0f, 1);
  else
    v = __shfl_sync(~0u, 1.0f, 1);
  out[TID] = v;
}
KERNEL(too_much_shared_memory) {
  VBL_SHARED(float, tile, [13000]);
  tile[TID] = 0;
  out[TID] = tile[TID];
}
KERNEL(writes_past_shared_memory) {
  VBL_SHARED(float, tile, [64]);
  volatile int past = 64;
  tile[TID == 0 ? past : TID] = 1;
  __syncthreads();
  out[TID] = tile[TID];
}
KERNEL(writes_past_device_memory) { out[TID + 64] = 1; }
KERNEL(no_barrier_before_reuse) {
  VBL_SHARED(float, tile, [64]);
  tile[TID] = 1;
  __syncthreads();
  out[TID] = tile[63 - TID];
  tile[TID] = 2;
}
KERNEL(shuffle_taken_for_a_barrier) {
  VBL_SHARED(float, tile, [64]);
  tile[TID] = 1;
  __shfl_xor_sync(~0u, 1.0f, 1);
  out[TID] = tile[TID ^ 1];
}
KERNEL(two_threads_one_element) { out[TID / 2] = TID; }
KERNEL(blocks_share_an_element) { out[TID] += 1; }

#define ROW(name, blocks, threads, by) \
  { #name, name, blocks, threads, by }
const bug bugs[] = {
    ROW(correct, 1, 64, BY_NOTHING),
    ROW(no_barrier_before_read, 1, 64, BY_NAN | BY_TSAN),
    ROW(no_warp_barrier_before_read, 1, 64, BY_NAN | BY_TSAN),
    ROW(reads_what_nobody_wrote, 1, 64, BY_NAN),
    ROW(returns_before_barrier, 1, 64, BY_LAUNCH),
    ROW(half_at_barrier, 1, 64, BY_LAUNCH),
    ROW(barriers_in_both_branches, 1, 64, BY_LAUNCH),
    ROW(shuffle_in_a_branch, 1, 64, BY_LAUNCH),
    ROW(lane_outside_mask, 1, 64, BY_LAUNCH),
    ROW(reads_lane_outside_mask, 1, 64, BY_LAUNCH),
    ROW(two_functions_meet, 1, 64, BY_LAUNCH),
    ROW(too_much_shared_memory, 1, 64, BY_LAUNCH),
    ROW(correct, 1, 2048, BY_LAUNCH),
    ROW(correct, 0, 64, BY_LAUNCH),
    ROW(correct, 1, 48, BY_LAUNCH),  // half a warp, named whole
    ROW(writes_past_shared_memory, 1, 64, BY_ASAN),
    ROW(writes_past_device_memory, 1, 64, BY_ASAN),
    ROW(no_barrier_before_reuse, 1, 64, BY_TSAN),
    ROW(shuffle_taken_for_a_barrier, 1, 64, BY_TSAN),
    ROW(two_threads_one_element, 1, 64, BY_TSAN),
    ROW(blocks_share_an_element, 4, 64, BY_TSAN),
};
const int bug_count = sizeof bugs / sizeof *bugs;

void bug_run(const bug *b, float *out) { vbl_emu::go(b->name, b->kernel, b->blocks, b->threads, 0, nullptr, out); }
