// Copies to the device, through pinned memory, so that the host does not wait.
// defines: vbl_cuda_from_host, make_room
#include <string.h>

#include <mutex>

#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

namespace {

// Pinned memory in parts, each used again once the copies out of it, all in one stream, are done.
class staging {
 public:
  void send(void *device, const char *host, size_t bytes, cudaStream_t s) {
    std::lock_guard<std::mutex> hold(lock);
    if (!open()) {
      uncapture("a copy from memory that is not pinned");
      count_stop();  // from memory that is not pinned the driver waits
      return note(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, s));
    }
    while (bytes > 0) {
      if (used == PART) turn(s);
      const size_t n = bytes < PART - used ? bytes : PART - used;
      char *to = start + part * PART + used;
      memcpy(to, host, n);
      note(cudaMemcpyAsync(device, to, n, cudaMemcpyHostToDevice, s));
      used += n;
      host += n, device = (char *)device + n, bytes -= n;
    }
  }

  void make_room(cudaStream_t s) {
    std::lock_guard<std::mutex> hold(lock);
    if (used > PART / 2) turn(s);
  }

 private:
  enum : size_t { PART = (size_t)16 << 20, PARTS = 3 };
  std::mutex lock;
  char *start = nullptr;
  bool asked = false;
  cudaEvent_t sent[PARTS];
  size_t part = 0, used = 0;

  bool open() {
    if (asked) return start != nullptr;
    asked = true;
    uncapture("new memory");
    for (cudaEvent_t &e : sent)
      if (!new_event(&e)) return false;
    return tried([&] { return cudaHostAlloc((void **)&start, PART * PARTS, cudaHostAllocDefault); });  // else it goes the slow way
  }
  void turn(cudaStream_t s) {
    uncapture("the pinned memory is full");  // the host has to know when this part is read
    note(cudaEventRecord(sent[part], s));
    part = (part + 1) % PARTS;
    used = 0;
    wait(sent[part], true);
  }
};

staging *pinned() {
  static staging *s = new staging[2];  // one a branch
  return s;
}

}  // namespace

void vbl_cuda_from_host(void *device, const void *host, size_t bytes, vbl_stream s) {
  if (bytes > 0) pinned()[branch_of(queue(s))].send(device, (const char *)host, bytes, queue(s));
}

void vbl_cuda::make_room(void) {
  for (int b = 0; b < 2; b++) pinned()[b].make_room(stream_of_branch(b));
}
