// Inputs of a step to come. They are copied by a stream of their own while the device still computes the step before, so their memory must
// not be anybody's who is not done: it is none of the blocks that stream order hands from one to the next, but a parcel, a piece of pinned and
// one of device memory of one size. A parcel goes again when two events have happened: the copy out of its pinned memory (else the host
// would write over what is on its way), and what was queued before its device memory was freed (else the copy would).
// defines: vbl_cuda_send, returned
#include <deque>
#include <mutex>
#include <unordered_map>

#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

namespace {

struct parcel {
  size_t size;
  void *pinned, *device;
  cudaEvent_t sent, freed;
  bool fits(size_t bytes) const { return bytes <= size && size <= 2 * bytes; }
  bool idle() const { return cudaEventQuery(sent) == cudaSuccess && cudaEventQuery(freed) == cudaSuccess; }
};

class parcels {
 public:
  void *send(const void *host, size_t bytes, cudaStream_t s) {
    std::lock_guard<std::mutex> hold(lock);
    parcel *p = open() ? choose(bytes) : nullptr;
    if (p == nullptr) return nullptr;
    wait(p->sent, true);
    memcpy(p->pinned, host, bytes);
    note(cudaStreamWaitEvent(copies, p->freed, 0));
    note(cudaMemcpyAsync(p->device, p->pinned, bytes, cudaMemcpyHostToDevice, copies));
    note(cudaEventRecord(p->sent, copies));
    note(cudaStreamWaitEvent(s, p->sent, 0));
    out[p->device] = p;
    return p->device;
  }
  bool has(void *device) {
    std::lock_guard<std::mutex> hold(lock);
    return out.count(device) != 0;
  }
  bool put(void *device) {
    std::lock_guard<std::mutex> hold(lock);
    const auto at = out.find(device);
    if (at == out.end()) return false;
    mark(at->second->freed, current);
    in.push_back(at->second);
    out.erase(at);
    return true;
  }

 private:
  enum { MOST = 4 };  // parcels of a size that lie about before one is waited for
  std::mutex lock;
  cudaStream_t copies = nullptr;
  bool asked = false;
  std::deque<parcel *> in;  // the longest unused first
  std::unordered_map<void *, parcel *> out;

  // A stream that the default one does not wait for.
  bool open() {
    if (!asked && !tried([&] { return cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking); })) copies = nullptr;
    asked = true;
    return copies != nullptr;
  }
  parcel *taken(size_t at) {
    parcel *p = in[at];
    in.erase(in.begin() + (ptrdiff_t)at);
    return p;
  }
  parcel *choose(size_t bytes) {
    size_t oldest = in.size(), fitting = 0;
    for (size_t i = 0; i < in.size(); i++) {
      if (!in[i]->fits(bytes)) continue;
      if (in[i]->idle()) return taken(i);
      if (fitting++ == 0) oldest = i;
    }
    parcel *p = fitting < MOST ? fresh(bytes) : nullptr;
    return p == nullptr && fitting > 0 ? taken(oldest) : p;
  }
  static parcel *fresh(size_t bytes) {
    parcel p = {bytes, nullptr, nullptr, {}, {}};
    count_allocation();
    if (tried([&] { return cudaMalloc(&p.device, bytes); }) &&
        tried([&] { return cudaHostAlloc(&p.pinned, bytes, cudaHostAllocDefault); }) && new_event(&p.sent) && new_event(&p.freed))
      return new parcel(p);  // else the copy is made in order
    if (p.sent != nullptr) (void)cudaEventDestroy(p.sent);
    if (p.pinned != nullptr) (void)cudaFreeHost(p.pinned);
    if (p.device != nullptr) (void)cudaFree(p.device);
    return nullptr;
  }
};

parcels &all() {
  static parcels *p = new parcels;  // tensors may be freed while the program ends
  return *p;
}

}  // namespace

void *vbl_cuda_send(const void *host, size_t bytes, vbl_stream s) {
  uncapture("an input is sent");  // a graph waits for no event from outside
  return bytes == 0 ? nullptr : all().send(host, bytes, queue(s));
}

// Either branch may have used it.
bool vbl_cuda::returned(void *device) {
  if (all().has(device) && apart()) vbl_cuda_meet();
  return all().put(device);
}
