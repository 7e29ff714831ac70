// The runtime calls that vbl makes, on emulated memory. A block lies between red zones and is full of NaN at first.
// defines: vbl_emu_guard, cudaMallocAsync, cudaFreeAsync, cudaHostAlloc, cudaMemcpyAsync, cudaStreamSynchronize, cudaGetLastError
#include "kernels/emu/memory.h"

#include <stdlib.h>
#include <sys/mman.h>

#include <map>

#include "kernels/emu/fiber.h"

namespace {

enum : size_t { REGION = (size_t)4 << 30, RED = 256, ALIGN = 256 };
char *region;
bool guarded;
int opened;
std::map<char *, size_t> holes;    // free, by address
std::map<char *, size_t> *blocks;  // handed out: start of the user's bytes -> whole size

void init() {
  if (region) return;
  region = (char *)mmap(nullptr, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) abort();
  holes[region] = REGION;
  blocks = new std::map<char *, size_t>;
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

cudaError_t cudaMallocAsync(void **p, size_t bytes, cudaStream_t) {
  init();
  vbl_emu::device_memory open;
  const size_t whole = RED + (bytes + ALIGN - 1) / ALIGN * ALIGN + RED;
  *p = nullptr;
  if (bytes > REGION) return cudaErrorMemoryAllocation;
  for (auto h = holes.begin(); h != holes.end(); ++h) {
    if (h->second < whole) continue;
    char *at = h->first;
    if (h->second > whole) holes[at + whole] = h->second - whole;
    holes.erase(at);
    (*blocks)[at + RED] = whole;
    vbl_emu::asan_unpoison(at, whole);
    memset(at + RED, 0xFF, bytes);
    vbl_emu::asan_poison(at, RED);
    vbl_emu::asan_poison(at + RED + bytes, whole - RED - bytes);
    *p = at + RED;
    return cudaSuccess;
  }
  return cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t) {
  if (p == nullptr) return cudaSuccess;
  auto b = blocks->find((char *)p);
  if (b == blocks->end()) abort();
  char *at = b->first - RED;
  size_t size = b->second;
  blocks->erase(b);
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

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned) {
  *p = malloc(bytes);
  return *p != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  vbl_emu::device_memory open;
  memmove(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) { return vbl_emu::take_error(); }
cudaError_t cudaGetLastError(void) { return cudaSuccess; }  // launches report at the synchronisation

const char *cudaGetErrorString(cudaError_t e) {
  switch (e) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
  }
  return "unknown error";
}
