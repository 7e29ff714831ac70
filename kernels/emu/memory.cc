// The runtime calls that vbl makes, on emulated memory. A block lies between red zones and is full of NaN at first.
// defines: vbl_emu_guard, vbl_emu::{idle, refused, told, block_of}, cudaMallocAsync, cudaFreeAsync, cudaMalloc, cudaFree, cudaMemGetInfo, cudaGetLastError
#include "kernels/emu/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <map>

#include "kernels/emu/fiber.h"

namespace {

enum : size_t { REGION = (size_t)4 << 30, RED = 256, ALIGN = 256 };

// Bytes that the device has: VBL_EMU_MEMORY plays a smaller one.
size_t capacity() {
  static const char *given = getenv("VBL_EMU_MEMORY");
  return given != nullptr ? (size_t)strtoull(given, nullptr, 10) : REGION;
}

size_t used;  // of them
char *region;
bool guarded;
int opened;
std::map<char *, size_t> holes;  // free, by address
struct block {
  size_t whole, bytes;  // with the red zones, and as asked for
};
std::map<char *, block> *blocks;  // handed out, by the start of the user's bytes

void init() {
  if (region) return;
  region = (char *)mmap(nullptr, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) abort();
  holes[region] = REGION;
  blocks = new std::map<char *, block>;
}

void protect(int access) {
  if (guarded && region) mprotect(region, REGION, access);
}

}  // namespace

namespace vbl_emu {

device_memory::device_memory() {
  if (opened++ == 0) protect(PROT_READ | PROT_WRITE);
}
device_memory::~device_memory() {
  if (--opened == 0) protect(PROT_NONE);
}

}  // namespace vbl_emu

extern "C" void vbl_emu_guard(bool on) {
  init();
  if (!on) protect(PROT_READ | PROT_WRITE);
  guarded = on;
  if (on && opened == 0) protect(PROT_NONE);
}

// Nothing is computed, everything is 0: what is left is what the host does.
bool vbl_emu::idle() {
  static const bool on = getenv("VBL_EMU_IDLE") != nullptr;
  return on;
}

// Of libvbl_faults.so, where it is preloaded.
extern "C" int fault_device(const char *call) __attribute__((weak));

bool vbl_emu::refused(const char *call) { return fault_device != nullptr && fault_device(call) != 0; }

static cudaError_t last_error;

cudaError_t vbl_emu::told(cudaError_t e) {
  if (e != cudaSuccess) last_error = e;
  return e;
}

// Launches report at the synchronisation.
cudaError_t cudaGetLastError(void) {
  const cudaError_t e = last_error;
  last_error = cudaSuccess;
  return e;
}

cudaError_t cudaMallocAsync(void **p, size_t bytes, cudaStream_t stream) {
  init();
  if (vbl_emu::is_captured(stream))
    return fprintf(stderr, "emulation: memory is asked for in a capture\n"), vbl_emu::told(cudaErrorStreamCaptureUnsupported);
  vbl_emu::device_memory open;
  const size_t whole = RED + (bytes + ALIGN - 1) / ALIGN * ALIGN + RED;
  *p = nullptr;
  if (vbl_emu::refused("cudaMallocAsync") || bytes > capacity() || used > capacity() - bytes)
    return vbl_emu::told(cudaErrorMemoryAllocation);
  for (auto h = holes.begin(); h != holes.end(); ++h) {
    if (h->second < whole) continue;
    char *at = h->first;
    if (h->second > whole) holes[at + whole] = h->second - whole;
    holes.erase(at);
    (*blocks)[at + RED] = {whole, bytes};
    used += bytes;
    vbl_emu::asan_unpoison(at, whole);
    memset(at + RED, vbl_emu::idle() ? 0 : 0xFF, bytes);
    vbl_emu::asan_poison(at, RED);
    vbl_emu::asan_poison(at + RED + bytes, whole - RED - bytes);
    *p = at + RED;
    return cudaSuccess;
  }
  return vbl_emu::told(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t stream) {
  if (p == nullptr) return cudaSuccess;
  if (vbl_emu::is_captured(stream))
    return fprintf(stderr, "emulation: memory is given back in a capture\n"), vbl_emu::told(cudaErrorStreamCaptureUnsupported);
  auto b = blocks->find((char *)p);
  if (b == blocks->end()) abort();
  char *at = b->first - RED;
  size_t size = b->second.whole;
  used -= b->second.bytes;
  blocks->erase(b);
  vbl_emu::released(stream, p);
  vbl_emu::asan_poison(at, size);
  auto next = holes.lower_bound(at);
  if (next != holes.end() && at + size == next->first) {
    size += next->second;
    next = holes.erase(next);
  }
  if (next != holes.begin() && std::prev(next)->first + std::prev(next)->second == at)
    std::prev(next)->second += size;
  else
    holes[at] = size;
  return cudaSuccess;
}

const void *vbl_emu::block_of(const void *p) {
  if (blocks == nullptr) return nullptr;
  auto b = blocks->upper_bound((char *)p);
  if (b == blocks->begin()) return nullptr;
  --b;
  return (const char *)p < b->first + (b->second.bytes > 0 ? b->second.bytes : 1) ? b->first : nullptr;
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
  *total = capacity();
  *free = *total - used;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void **p, size_t bytes) { return cudaMallocAsync(p, bytes, nullptr); }
cudaError_t cudaFree(void *p) { return cudaFreeAsync(p, nullptr); }

const char *cudaGetErrorString(cudaError_t e) {
  switch (e) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    case cudaErrorCapturedEvent:
      return "operation not permitted on an event last recorded in a capturing stream";
    case cudaErrorGraphExecUpdateFailure:
      return "the graph update was not performed because it included changes which violated constraints specific to instantiated "
             "graph update";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
  }
  return "unknown error";
}
