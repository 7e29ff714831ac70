// Streams, events and pinned memory. What is queued is computed at once; what a device may do later is played, so that a host or a stream
// that does not wait is seen:
//   a copy into pinned memory is there once the host has waited for it (an event behind it, its stream); before, NaN is there;
//   an event has happened once somebody waited for it, or VBL_EMU_LAG (0) more operations were queued.
// And what no wait orders is a failed launch, with a sentence on stderr: pinned memory that is sent again before the host knows that the copy out
// of it is done; memory that one stream reads or writes, or that is given back, while another may still write or read it. Kernels, library calls and
// copies are known by their pointer arguments: one to const reads, another writes. What lies behind pointers in memory is not looked at.
// defines: cudaStream*, cudaEvent*, cudaMemcpyAsync, cudaHostAlloc, cudaFreeHost; vbl_emu::{before, queue, broken, at_once, perform, released}
#include "kernels/emu/streams.h"

#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <vector>

using namespace vbl_emu;

order vbl_emu::before[STREAMS];
int vbl_emu::priority[STREAMS];

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

order host;
int streams = 1;
int64_t operations;
// Never destroyed: memory may be freed while the program ends.
std::vector<stretch> &pinned = *new std::vector<stretch>;
std::vector<sending> &outbound = *new std::vector<sending>;
std::vector<arriving> &inbound = *new std::vector<arriving>;
std::unordered_map<const void *, block_use> &uses = *new std::unordered_map<const void *, block_use>;

int64_t lag() {
  static const char *text = getenv("VBL_EMU_LAG");
  return text != nullptr ? atoll(text) : 0;
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

bool on_its_way(const void *from, size_t bytes) {
  for (const sending &o : outbound)
    if (o.from.meets(from, bytes)) return true;
  return false;
}

// A copy's effect, as operation `at` of stream s.
void copy(int s, int64_t at, void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyHostToDevice) {
    if (on_its_way(from, bytes)) broken("pinned memory is sent again while it may still be being sent");
    if (is_pinned(from)) outbound.push_back({{(const char *)from, bytes}, s, at});
  }
  if (vbl_emu::idle() && kind != cudaMemcpyDeviceToHost) return;
  vbl_emu::device_memory open;
  if (kind == cudaMemcpyDeviceToHost && is_pinned(to)) {
    inbound.push_back({(char *)to, {(const char *)from, (const char *)from + bytes}, s, at});
    memset(to, 0xFF, bytes);
  } else {
    memmove(to, from, bytes);
  }
}

}  // namespace

int64_t vbl_emu::queue(int s) {
  operations++;
  return ++before[s].done[s];
}

void vbl_emu::broken(const char *what) {
  fprintf(stderr, "emulation: %s\n", what);
  raise_error();
}

void vbl_emu::at_once(int s, const operation &o) {
  const int64_t at = queue(s);
  for (const touch &t : o.touches)
    if (!t.writes) use(s, at, t.p, false);
  for (const touch &t : o.touches)
    if (t.writes) use(s, at, t.p, true);
  o.play(s, at);
}

void vbl_emu::perform(cudaStream_t stream, int kind, std::vector<touch> touches, playing play) {
  const operation o = {kind, std::move(touches), std::move(play)};
  if (!captured(number(stream), o)) at_once(number(stream), o);
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
  std::vector<touch> touches;
  if (kind != cudaMemcpyHostToDevice) touches.push_back({from, false});
  if (kind != cudaMemcpyDeviceToHost) touches.push_back({to, true});
  // Until the graph is launched.
  if (is_captured(stream) && kind == cudaMemcpyDeviceToHost) memset(to, 0xFF, bytes);
  perform(stream, COPY + kind, touches, [=](int s, int64_t at) { copy(s, at, to, from, bytes, kind); });
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned) {
  *p = vbl_emu::refused("cudaHostAlloc") ? nullptr : malloc(bytes);
  if (*p == nullptr) return vbl_emu::told(cudaErrorMemoryAllocation);
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
  if (vbl_emu::refused("cudaStreamCreate") || streams == REPLAYED) return vbl_emu::told(cudaErrorMemoryAllocation);
  *s = (cudaStream_t)(intptr_t)streams++;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *s, unsigned flags, int wanted) {
  const cudaError_t e = cudaStreamCreateWithFlags(s, flags);
  if (e == cudaSuccess) priority[number(*s)] = wanted;
  return e;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  if (forbidden(is_captured(s), "the host waits for a stream that is captured"))
    return vbl_emu::told(cudaErrorStreamCaptureUnsupported);
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
  if (forgotten() || captured_wait(number(s), e)) return cudaSuccess;
  before[number(s)].join(e->before);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned) {
  if (vbl_emu::refused("cudaEventCreate")) return vbl_emu::told(cudaErrorMemoryAllocation);
  *e = new vbl_emu_event{};
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t e) {
  delete e;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  if (captured_record(number(s), e)) return cudaSuccess;
  e->stream = number(s);
  e->at = queue(e->stream);
  e->clock = operations;
  e->before = before[e->stream];
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t e) {
  if (forbidden(e->capture != 0, "the host asks for an event that was recorded in a capture"))
    return vbl_emu::told(cudaErrorCapturedEvent);
  if (host.done[e->stream] < e->at && e->clock + lag() > operations) return cudaErrorNotReady;
  learn(e->before);
  return vbl_emu::peek_error();
}

cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  if (forbidden(e->capture != 0, "the host asks for an event that was recorded in a capture"))
    return vbl_emu::told(cudaErrorCapturedEvent);
  learn(e->before);
  return vbl_emu::take_error();
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = (float)(to->clock - from->clock) / 1000;
  return cudaSuccess;
}
