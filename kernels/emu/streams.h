// What streams (streams.cc) and what captures them (capture.cc) share.
// defines: vbl_emu::{STREAMS, order, before, priority, number, queue, broken, operation, at_once, captured, captured_wait, captured_record, forbidden}
#pragma once
#include "kernels/emu/memory.h"

namespace vbl_emu {

enum { STREAMS = 8, REPLAYED = STREAMS - 1 /* a graph's second branch */ };

// How many operations of each stream are done before what comes next.
struct order {
  int64_t done[STREAMS];
  void join(const order &o) {
    for (int i = 0; i < STREAMS; i++) done[i] = done[i] > o.done[i] ? done[i] : o.done[i];
  }
};
extern order before[STREAMS];
extern int priority[STREAMS];

static inline int number(cudaStream_t s) { return (int)(intptr_t)s; }
int64_t queue(int s);           // the number of the next operation of s
void broken(const char *what);  // a failed launch, with a sentence on stderr

// An operation of a stream: what it touches, and what it does once it is the stream's operation `at`.
struct operation {
  int kind;
  std::vector<touch> touches;
  playing play;
};
void at_once(int s, const operation &o);

// Of a stream that is captured (false: it is not, and nothing was done).
bool captured(int s, const operation &o);
bool captured_wait(int s, cudaEvent_t e);
bool captured_record(int s, cudaEvent_t e);
// What no captured stream may be asked for, and what the host may not ask of an event that was recorded in one: the capture is lost.
bool forbidden(bool is, const char *what);

}  // namespace vbl_emu

struct vbl_emu_event {
  int stream;
  int64_t at, clock;  // the stream's operation; of all operations
  vbl_emu::order before;
  uint64_t capture;  // the number of the capture that it was recorded in; 0: none
};
