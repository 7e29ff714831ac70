// Memory in stream order, copies to the host, and the record of what failed until the next sync.
//
// Freed blocks are kept by size and handed out again to the branch (branches.cu) that freed them, where that alone can have used them since the
// branches met last: in stream order its work is done before what their next owner queues. That is so where the other has queued nothing since,
// and for a block that was taken since, by this branch, for the other touches nothing of this one's without a meeting. Any other block may still be
// used by both, and waits for the next meeting, which gives all free blocks to both.
//
// Sizes are rounded up in steps of an eighth, so that packed batches of nearly one size meet the same blocks; a step whose sizes repeat asks the
// driver for nothing.
// defines: vbl_cuda_alloc, vbl_cuda_free, vbl_cuda_to_host, vbl_cuda_sync, vbl_cuda_counts, vbl_cuda_memory, scratch;
//          note_failure, note, new_event, failed, wait, count_allocation, count_stop, met
#include <stdio.h>
#include <stdlib.h>

#include <atomic>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/blocks.h"
#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

static std::atomic<const char *> failure;  // what failed, or NULL
static std::atomic<int> failure_code;
static std::atomic<int64_t> allocations, stops;

void vbl_cuda::note_failure(vbl_status code, const char *what) {
  failure_code = code;
  failure = what;
}

void vbl_cuda::note(cudaError_t e) {
  if (e != cudaSuccess) note_failure(VBL_EDEVICE, cudaGetErrorString(e));
}

bool vbl_cuda::new_event(cudaEvent_t *e) {
  return tried([=] { return cudaEventCreateWithFlags(e, cudaEventDisableTiming); });
}

vbl_status vbl_cuda::failed(vbl_error *err) {
  note(cudaGetLastError());
  const char *what = failure.exchange(nullptr);
  if (what == nullptr) return VBL_OK;
  return vbl_fail(err, (vbl_status)failure_code.load(), "cuda: %s; the results since the last check are undefined", what);
}

void vbl_cuda::count_allocation() { allocations++; }
void vbl_cuda::count_stop() { stops++; }

static void stop(cudaStream_t s) {
  uncapture("the host waits for the device");
  stops++;
  note(cudaStreamSynchronize(s));
}

void vbl_cuda::wait(cudaEvent_t e, bool counted) {
  const cudaError_t state = cudaEventQuery(e);
  if (state == cudaSuccess) return;
  if (counted && state == cudaErrorNotReady) stops++;
  note(cudaEventSynchronize(e));
}

void vbl_cuda_counts(int64_t *made, int64_t *stopped) {
  *made = allocations;
  *stopped = stops;
}

namespace {

// The emulation's blocks lie between red zones and start as NaN, so there each is made anew, unless VBL_EMU_CACHE plays a device.
bool caching() {
#ifdef __CUDACC__
  return true;
#else
  static const bool on = getenv("VBL_EMU_CACHE") != nullptr;
  return on;
#endif
}

class blocks {
 public:
  void *take(size_t bytes) {
    std::lock_guard<std::recursive_mutex> hold(lock);
    const size_t size = class_of(bytes);
    void *p = nullptr;
    if ((p = kept(size)) == nullptr && (p = fresh(size)) == nullptr) {
      give_back();
      if ((p = fresh(size)) == nullptr) return nullptr;
    }
    out[p] = {size, branch_of(current), meetings};
    now.live += size;
    if (now.live > now.peak) now.peak = now.live;
    if (now.held > now.most_held) now.most_held = now.held;
    return p;
  }
  void put(void *p) {
    std::lock_guard<std::recursive_mutex> hold(lock);
    const auto at = out.find(p);
    if (at == out.end()) return note_failure(VBL_EDEVICE, "a block was freed that was not handed out");
    const given b = at->second;
    out.erase(at);
    now.live -= b.size;
    const int here = branch_of(current);
    if (!apart() || (b.meeting == meetings && b.branch == here))
      keep(here, b.size, p);
    else
      later.emplace_back(b.size, p);
  }
  void met() {
    std::lock_guard<std::recursive_mutex> hold(lock);
    meetings++;
    collect();
  }
  void state(vbl_device_memory *m, bool reset) {
    std::lock_guard<std::recursive_mutex> hold(lock);
    size_t free = 0, total = 0;
    note(cudaMemGetInfo(&free, &total));
    *m = now;
    m->limit = free + now.held + unused();
    if (reset) now.peak = now.live, now.most_held = now.held;
  }

 private:
  std::recursive_mutex lock;  // asking the driver ends a recording, which makes the branches meet
  vbl_device_memory now = {};
  enum { BOTH = 2 };
  struct given {
    size_t size;
    int branch;
    uint64_t meeting;
  };
  std::multimap<size_t, void *> idle[3];  // by branch, and for both
  std::vector<std::pair<size_t, void *>> later;
  std::unordered_map<void *, given> out;
  uint64_t meetings = 0;

  void *kept(size_t size) {
    for (auto *pile : {&idle[branch_of(current)], &idle[BOTH]}) {
      const auto at = pile->find(size);
      if (at == pile->end()) continue;
      void *p = at->second;
      pile->erase(at);
      return p;
    }
    return nullptr;
  }
  void keep(int pile, size_t size, void *p) {
    if (caching())
      idle[pile].emplace(size, p);
    else
      drop(size, p);
  }
  // The branches have met.
  void collect() {
    for (int b = 0; b < BOTH; b++) idle[BOTH].insert(idle[b].begin(), idle[b].end()), idle[b].clear();
    const auto now_free = std::move(later);
    later.clear();
    for (const auto &block : now_free) keep(BOTH, block.first, block.second);
  }

  static size_t class_of(size_t bytes) { return caching() ? vbl_block_size(bytes, VBL_BLOCK_LEAST) : bytes > 0 ? bytes : 1; }
  // What the driver's pool has from it beyond our blocks, for the next of them.
  size_t unused() const {
#ifdef __CUDACC__
    cudaMemPool_t pool;
    int device = 0;
    uint64_t reserved = 0;
    if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetDefaultMemPool(&pool, device) != cudaSuccess ||
        cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved) != cudaSuccess)
      return 0;
    return reserved > now.held ? (size_t)reserved - now.held : 0;
#else
    return 0;
#endif
  }
  static size_t card() {
    static const size_t bytes = [] {
      size_t free = 0, total = 0;
      return cudaMemGetInfo(&free, &total) == cudaSuccess ? total : SIZE_MAX;
    }();
    return bytes;
  }
  void drop(size_t size, void *p) {
    uncapture("memory is given back");
    note(cudaFreeAsync(p, current));
    now.held -= size;
  }
  void *fresh(size_t size) {
    void *p = nullptr;
    if (size > card()) return nullptr;  // a driver may take its time, and the host's memory, to find out
    uncapture("new memory");            // in a graph it would be the graph's, and end with it
    count_allocation();
    cudaError_t e = cudaSuccess;
    if (tried([&] { return e = cudaMallocAsync(&p, size, current); })) return now.held += size, p;
    if (e != cudaErrorMemoryAllocation) note(e);  // a kernel's fault, which every call gives from then on
    return nullptr;
  }
  void give_back() {
    quiet();
    collect();
    for (const auto &at : idle[BOTH]) drop(at.first, at.second);
    idle[BOTH].clear();
    stop(current);  // so that the pool has what was freed
  }
};

// Never destroyed: tensors may be freed while the program ends.
blocks &memory() {
  static blocks *b = new blocks;
  return *b;
}

}  // namespace

void *vbl_cuda_alloc(size_t bytes) { return memory().take(bytes); }

void vbl_cuda::met(void) { memory().met(); }

void vbl_cuda_memory(vbl_device_memory *m, bool reset) { memory().state(m, reset); }

void vbl_cuda_free(void *p, size_t bytes) {
  (void)bytes;
  if (p != nullptr && !returned(p)) memory().put(p);
}

void vbl_cuda_to_host(void *host, const void *device, size_t bytes, vbl_stream s) {
  if (bytes == 0) return;
  uncapture("the host waits for the device");
  note(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, queue(s)));
  stop(queue(s));  // the host reads it next
}

vbl_status vbl_cuda_sync(vbl_stream s, vbl_error *err) {
  stop(queue(s));
  return failed(err);
}

scratch::scratch(size_t bytes, vbl_stream s) : p(memory().take(bytes)), stream(s) {
  if (p != nullptr) return;
  // Not VBL_ENOMEM: a call that says so changed nothing and may be made again.
  static char text[192];
  vbl_device_memory m;
  memory().state(&m, false);
  snprintf(text, sizeof text,
           "out of memory for %.1f MiB of a kernel's own, %.1f of %.1f MiB free (a smaller micro_batch needs less)",
           (double)bytes / 0x1p20, (double)(m.limit - m.live) / 0x1p20, (double)m.limit / 0x1p20);
  note_failure(VBL_EDEVICE, text);
}

scratch::~scratch() { vbl_cuda_free(p, 0); }
