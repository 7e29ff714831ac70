// The two branches, a stream each, and their meetings. NULL as a stream means that of the current branch.
// defines: vbl_cuda_branch, vbl_cuda_meet; open_branches, branch_of, stream_of_branch, apart, quiet
#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

static cudaStream_t streams[2];
static cudaEvent_t reached[2];
static bool parted;

// Streams that do not wait for the default one. Branch 0 comes first: it has the images, most of a step, and a small kernel of its that had to wait
// behind a large one of the other branch would hold up all behind it (5 of 95 ms, measured); the text has time to spare.
bool vbl_cuda::open_branches(void) {
  int least = 0, greatest = 0;
  if (cudaDeviceGetStreamPriorityRange(&least, &greatest) != cudaSuccess) return false;
  for (int b = 0; b < 2; b++)
    if (cudaStreamCreateWithPriority(&streams[b], cudaStreamNonBlocking, b == 0 ? greatest : least) != cudaSuccess ||
        cudaEventCreateWithFlags(&reached[b], cudaEventDisableTiming) != cudaSuccess)
      return false;
  current = streams[0];
  return true;
}

int vbl_cuda::branch_of(cudaStream_t s) { return s != nullptr && s == streams[1]; }
cudaStream_t vbl_cuda::stream_of_branch(int b) { return streams[b]; }
bool vbl_cuda::apart(void) { return parted; }

void vbl_cuda::quiet(void) {
  uncapture("the host waits for the device");
  for (cudaStream_t s : streams) note(cudaStreamSynchronize(s));
}

void vbl_cuda_branch(int b) {
  current = streams[b];
  parted |= b == 1;
}

void vbl_cuda_meet(void) {
  for (int b = 0; b < 2; b++) note(cudaEventRecord(reached[b], streams[b]));
  for (int b = 0; b < 2; b++) note(cudaStreamWaitEvent(streams[b], reached[1 - b], 0));
  parted = current == streams[1];
  met();
}
