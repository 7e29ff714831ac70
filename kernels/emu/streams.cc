// Streams, events and pinned memory. What is queued is computed at once; what a device may do later is played, so that a host or a stream
// that does not wait is seen:
//   a copy into pinned memory is there once the host has waited for it (an event behind it, its stream); before, NaN is there;
//   an event has happened once somebody waited for it, or VBL_EMU_LAG (0) more operations were queued.
// And what no wait orders is a failed launch, with a sentence on stderr: pinned memory that is sent again before the host knows that the copy out
// of it is done; memory that one stream copies to while another's kernel may use it, either way round. Kernels are known by their pointer
// arguments; what lies behind pointers in memory is not looked at.
// defines: cudaStream*, cudaEvent*, cudaMemcpyAsync, cudaHostAlloc, cudaFreeHost; vbl_emu::{launched, forget_streams}
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <vector>

#include "kernels/emu/memory.h"

enum { STREAMS = 4 };

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
struct region {  // of the device, that a stream beside the default one has copied to
  stretch memory;
  int writer;
  int64_t written;
  order used;
};

order host, before[STREAMS];
int streams = 1;
int64_t operations;
// Never destroyed: memory may be freed while the program ends.
std::vector<stretch> &pinned = *new std::vector<stretch>;
std::vector<sending> &outbound = *new std::vector<sending>;
std::vector<arriving> &inbound = *new std::vector<arriving>;
std::vector<region> &regions = *new std::vector<region>;

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

void use(int s, int64_t at, const void *p, size_t n, bool copied_to) {
  for (region &r : regions) {
    if (!r.memory.meets(p, n)) continue;
    if (!after(s, r.writer, r.written)) broken("memory is used that another stream may still be copying to");
    for (int other = 0; copied_to && other < STREAMS; other++)
      if (!after(s, other, r.used.done[other])) broken("memory is copied to that another stream may still be using");
    r.used.done[s] = at;
    if (copied_to) r.writer = s, r.written = at;
  }
}

void send(int s, int64_t at, void *to, const void *from, size_t bytes) {
  for (const sending &o : outbound)
    if (o.from.meets(from, bytes)) broken("pinned memory is sent again while it may still be being sent");
  if (is_pinned(from)) outbound.push_back({{(const char *)from, bytes}, s, at});
  for (region &r : regions) {
    if (!r.memory.meets(to, bytes)) continue;
    if (r.memory.start == to && r.memory.bytes < bytes) r.memory.bytes = bytes;
    return;
  }
  if (s != 0) regions.push_back({{(const char *)to, bytes}, s, at, {}});
}

}  // namespace

void vbl_emu::launched(cudaStream_t stream, const void *arguments, size_t bytes) {
  const int s = number(stream);
  const int64_t at = queue(s);
  for (size_t i = 0; !regions.empty() && i + sizeof(void *) <= bytes; i += sizeof(void *)) {
    const void *p;
    memcpy(&p, (const char *)arguments + i, sizeof p);
    use(s, at, p, 1, false);
  }
}

void vbl_emu::forget_streams(const void *p, size_t bytes) {
  size_t left = 0;
  for (const region &r : regions)
    if (!r.memory.meets(p, bytes)) regions[left++] = r;
  regions.resize(left);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  vbl_emu::device_memory open;
  const int s = number(stream);
  const int64_t at = queue(s);
  use(s, at, kind == cudaMemcpyDeviceToHost ? from : to, bytes, kind != cudaMemcpyDeviceToHost);
  if (kind == cudaMemcpyHostToDevice) send(s, at, to, from, bytes);
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

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
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
