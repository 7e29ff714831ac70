// Copies to the host that it does not wait for, and the alarm. A host that looks at a step's losses only when the next step is queued cannot
// stop the optimizer where one of them is not finite; so the device does: the alarm is a number in its memory that a watched value or a
// gradient's norm sets, and that the optimizer's kernels read.
// defines: vbl_cuda_read_later, vbl_cuda_read, vbl_cuda_calm, {new,start}_reading, alarm
#include <stdlib.h>

#include <map>
#include <mutex>
#include <utility>

#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

struct vbl_reading {
  size_t size, bytes;  // of its pinned memory; of what is read
  uint64_t number;
  void *pinned;
  cudaEvent_t done;
  cudaStream_t in;
};

namespace {

// Readings are kept by size, with their pinned memory and their event; small ones share a page. Each stays in one stream: a copy that nobody waited
// for is done before the next into the same memory.
class readings {
 public:
  vbl_reading *take(size_t bytes, cudaStream_t s) {
    std::lock_guard<std::mutex> hold(lock);
    size_t size = SMALLEST;
    while (size < bytes) size *= 2;
    const auto at = idle.find({size, s});
    vbl_reading *r = at != idle.end() ? at->second : fresh(size, s);
    if (at != idle.end()) idle.erase(at);
    if (r != nullptr) r->bytes = bytes, r->number = ++taken;
    return r;
  }
  // Whether something is read after r: then the device has more to do while the host waits for r.
  bool is_last(const vbl_reading *r) {
    std::lock_guard<std::mutex> hold(lock);
    return r->number == taken;
  }
  void put(vbl_reading *r) {
    std::lock_guard<std::mutex> hold(lock);
    idle.emplace(std::make_pair(r->size, r->in), r);
  }

 private:
  enum : size_t { SMALLEST = 64, PAGE = (size_t)64 << 10 };
  std::mutex lock;
  std::multimap<std::pair<size_t, cudaStream_t>, vbl_reading *> idle;
  uint64_t taken = 0;
  char *page = nullptr;
  size_t left = 0;

  void *pinned(size_t size) {
    if (left < size) {
      left = size < PAGE ? PAGE : size;
      if (!tried([&] { return cudaHostAlloc((void **)&page, left, cudaHostAllocDefault); }))
        page = (char *)malloc(left);  // the driver waits then
    }
    if (page == nullptr) return left = 0, nullptr;
    left -= size;
    return page + left;
  }
  vbl_reading *fresh(size_t size, cudaStream_t s) {
    uncapture("new memory");
    vbl_reading r = {size, 0, 0, pinned(size), {}, s};
    if (r.pinned != nullptr && new_event(&r.done)) return new vbl_reading(r);
    note_failure(VBL_ENOMEM, "no memory for what is read from the device");
    return nullptr;
  }
};

readings &all() {
  static readings *r = new readings;  // a reading may end while the program does
  return *r;
}

}  // namespace

static __global__ void watch_kernel(const float *x, int32_t *alarm) {
  if (threadIdx.x == 0 && !isfinite(*x)) *alarm = 1;
}

int32_t *vbl_cuda::alarm() {
  static int32_t *number = nullptr;
  if (number != nullptr) return number;
  number = (int32_t *)vbl_cuda_alloc(sizeof *number);
  if (number == nullptr)
    note_failure(VBL_ENOMEM, "no memory for the optimizer's alarm");
  else
    vbl_cuda_fill(VBL_I32, number, 1, 0, nullptr);
  return number;
}

vbl_reading *vbl_cuda::new_reading(size_t bytes, vbl_stream s) { return all().take(bytes, queue(s)); }

void vbl_cuda::start_reading(vbl_reading *r, const void *device, vbl_stream s) {
  note(cudaMemcpyAsync(r->pinned, device, r->bytes, cudaMemcpyDeviceToHost, queue(s)));
  mark(r->done, queue(s));
}

vbl_reading *vbl_cuda_read_later(const void *device, size_t bytes, bool watched, vbl_stream s) {
  vbl_reading *r = new_reading(bytes, s);
  if (r == nullptr) return nullptr;
  if (watched && alarm() != nullptr) VBL_LAUNCH(watch_kernel, 1, WARP, s, (const float *)device, alarm());
  start_reading(r, device, s);
  return r;
}

vbl_status vbl_cuda_read(vbl_reading *r, void *host, vbl_error *err) {
  if (host != nullptr) {
    if (is_captured(r->done)) uncapture("the host waits for a number");
    wait(r->done, all().is_last(r));
    memcpy(host, r->pinned, r->bytes);
  }
  all().put(r);
  return host != nullptr ? failed(err) : VBL_OK;
}

void vbl_cuda_calm(vbl_stream s) {
  if (alarm() != nullptr) vbl_cuda_fill(VBL_I32, alarm(), 1, 0, s);
}
