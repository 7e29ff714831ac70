// Points in the device's time, for profiles: events of the current branch, kept from one profile to the next.
// defines: vbl_cuda_mark, vbl_cuda_between, vbl_cuda_forget_marks
#include <vector>

#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

static std::vector<cudaEvent_t> &events = *new std::vector<cudaEvent_t>;
static size_t used;

int64_t vbl_cuda_mark(void) {
  cudaEvent_t e;
  uncapture("a profile");
  if (used == events.size()) {
    if (!tried([&] { return cudaEventCreateWithFlags(&e, cudaEventDefault); })) return -1;
    events.push_back(e);
  }
  note(cudaEventRecord(events[used], current));
  return (int64_t)used++;
}

double vbl_cuda_between(int64_t from, int64_t to) {
  float milliseconds = 0;
  if (from < 0 || to < 0) return 0;
  note(cudaEventSynchronize(events[(size_t)to]));
  note(cudaEventElapsedTime(&milliseconds, events[(size_t)from], events[(size_t)to]));
  return milliseconds / 1e3;
}

void vbl_cuda_forget_marks(void) { used = 0; }
