// Streams, events and pinned memory. What is queued is computed at once; what a device may do later is played, so that a host or a stream
// that does not wait is seen:
//   a copy into pinned memory is there once the host has waited for it (an event behind it, its stream); before, NaN is there;
//   an event has happened once somebody waited for it, or VBL_EMU_LAG (0) more operations were queued.
// And what no wait orders is a failed launch, with a sentence on stderr: pinned memory that is sent again before the host knows that the copy out
// of it is done; memory that one stream reads or writes, or that is given back, while another may still write or read it. Kernels, library calls and
// copies are known by their pointer arguments: one to const reads, another writes. What lies behind pointers in memory is not looked at.
// defines: cudaStream*, cudaEvent*, cudaMemcpyAsync, cudaHostAlloc, cudaFreeHost; vbl_emu::{queued, released}
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <vector>

#include "kernels/emu/memory.h"

enum { STREAMS = 8 };

// How many operations of each stream are done before what comes next.
struct order {
  int64_t done[STREAMS];
  void join(const order &o) {
    for (int i = 0; i < STREAMS; i++) done[i] = done[i] > o.done[i] ? done[i] : o.done[i];
  }
};

struct vbl_emu_event {
  int stream;
  int64_t at, clock;  // the stream's operation; of all operations
  order before;
};

namespace {

struct stretch {
  const char *start;
  size_t bytes;
  bool meets(const void *p, size_t n) const { return (const char *)p < start + bytes && start < (const char *)p + n; }
};
struct sending {
  stretch from;
  int stream;
  int64_t at;
};
struct arriving {
  char *to;
  std::vector<char> bytes;
  int stream;
  int64_t at;
};
// What streams did last with a block of the device's memory: the number of their operation, 0: nothing. A write is known by its address, for parameters'
// gradients lie in one block; who reads may read all of the block.
typedef std::array<int64_t, STREAMS> last;
struct block_use {
  last read, written;
  std::map<const void *, last> written_at;
};

order host, before[STREAMS];
int streams = 1;
int64_t operations;
// Never destroyed: memory may be freed while the program ends.
std::vector<stretch> &pinned = *new std::vector<stretch>;
std::vector<sending> &outbound = *new std::vector<sending>;
std::vector<arriving> &inbound = *new std::vector<arriving>;
std::unordered_map<const void *, block_use> &uses = *new std::unordered_map<const void *, block_use>;

int number(cudaStream_t s) { return (int)(intptr_t)s; }

int64_t lag() {
  static const char *text = getenv("VBL_EMU_LAG");
  return text != nullptr ? atoll(text) : 0;
}

int64_t queue(int s) {
  operations++;
  return ++before[s].done[s];
}

void broken(const char *what) {
  fprintf(stderr, "emulation: %s\n", what);
  vbl_emu::raise_error();
}

bool is_pinned(const void *p) {
  for (const stretch &s : pinned)
    if (s.meets(p, 1)) return true;
  return false;
}

// The host has waited.
void learn(const order &o) {
  host.join(o);
  const auto there = [](const arriving &a) { return host.done[a.stream] >= a.at; };
  for (const arriving &a : inbound)
    if (there(a)) memcpy(a.to, a.bytes.data(), a.bytes.size());
  inbound.erase(std::remove_if(inbound.begin(), inbound.end(), there), inbound.end());
  size_t left = 0;
  for (const sending &sent : outbound)
    if (host.done[sent.stream] < sent.at) outbound[left++] = sent;
  outbound.resize(left);
}

// Whether stream s does what it does next after operation `at` of stream `other`.
bool after(int s, int other, int64_t at) { return s == other || before[s].done[other] >= at || host.done[other] >= at; }

void wait_for(int s, const last &others, const char *otherwise) {
  for (int other = 0; other < STREAMS; other++)
    if (!after(s, other, others[(size_t)other])) return broken(otherwise);
}

void use(int s, int64_t at, const void *p, bool writes) {
  const void *block = vbl_emu::block_of(p);
  if (block == nullptr) return;
  block_use &u = uses[block];
  if (writes) {
    wait_for(s, u.read, "memory is written that another stream may still be reading");
    wait_for(s, u.written_at[p], "memory is written that another stream may still be writing");
    u.written[(size_t)s] = u.written_at[p][(size_t)s] = at;
  } else {
    wait_for(s, u.written, "memory is read that another stream may still be writing");
    u.read[(size_t)s] = at;
  }
}

void send(int s, int64_t at, const void *from, size_t bytes) {
  for (const sending &o : outbound)
    if (o.from.meets(from, bytes)) broken("pinned memory is sent again while it may still be being sent");
  if (is_pinned(from)) outbound.push_back({{(const char *)from, bytes}, s, at});
}

}  // namespace

void vbl_emu::queued(cudaStream_t stream, const touch *touches, size_t count) {
  const int s = number(stream);
  const int64_t at = queue(s);
  for (size_t i = 0; i < count; i++)
    if (!touches[i].writes) use(s, at, touches[i].p, false);
  for (size_t i = 0; i < count; i++)
    if (touches[i].writes) use(s, at, touches[i].p, true);
}

void vbl_emu::released(cudaStream_t stream, const void *block) {
  const auto u = uses.find(block);
  if (u == uses.end()) return;
  if (stream != nullptr)
    for (const last &l : {u->second.read, u->second.written})
      wait_for(number(stream), l, "memory is given back that another stream may still be using");
  uses.erase(u);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  vbl_emu::device_memory open;
  const int s = number(stream);
  const int64_t at = queue(s);
  if (kind != cudaMemcpyHostToDevice) use(s, at, from, false);
  if (kind != cudaMemcpyDeviceToHost) use(s, at, to, true);
  if (kind == cudaMemcpyHostToDevice) send(s, at, from, bytes);
  if (vbl_emu::idle() && kind != cudaMemcpyDeviceToHost) return cudaSuccess;
  if (kind == cudaMemcpyDeviceToHost && is_pinned(to)) {
    inbound.push_back({(char *)to, {(const char *)from, (const char *)from + bytes}, s, at});
    memset(to, 0xFF, bytes);
  } else {
    memmove(to, from, bytes);
  }
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned) {
  *p = malloc(bytes);
  if (*p == nullptr) return cudaErrorMemoryAllocation;
  pinned.push_back({(const char *)*p, bytes});
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p) {
  for (size_t i = 0; i < pinned.size(); i++)
    if (pinned[i].start == p) pinned.erase(pinned.begin() + (ptrdiff_t)i--);
  free(p);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned) {
  if (streams == STREAMS) return cudaErrorMemoryAllocation;
  *s = (cudaStream_t)(intptr_t)streams++;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  learn(before[number(s)]);
  return vbl_emu::take_error();
}

// VBL_EMU_DEAF: the number of the wait that is forgotten (0: all are), so that a test sees whether it is missed.
static bool forgotten() {
  static const char *text = getenv("VBL_EMU_DEAF");
  static int64_t waits;
  return text != nullptr && (atoll(text) == ++waits || atoll(text) == 0);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  if (forgotten()) return cudaSuccess;
  before[number(s)].join(e->before);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned) {
  *e = new vbl_emu_event{};
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  e->stream = number(s);
  e->at = queue(e->stream);
  e->clock = operations;
  e->before = before[e->stream];
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t e) {
  if (host.done[e->stream] < e->at && e->clock + lag() > operations) return cudaErrorNotReady;
  learn(e->before);
  return vbl_emu::peek_error();
}

cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  learn(e->before);
  return vbl_emu::take_error();
}
