// Stream capture and CUDA graphs. What is queued in a captured stream is kept, and played at each launch of the graph, in the order and with the waits
// that were captured: branch 0 of a graph is the launching stream's, the other one a stream of its own, so that what no wait orders is seen as ever.
//
// Refused, with a sentence on stderr, as CUDA refuses them (the capture is lost then, and its end fails): a wait of the host for a captured stream, or for
// an event that was recorded in it; memory asked for or given back in it; an event from outside waited for in it; a branch that is not joined at the
// end; the default stream. Refused too, though CUDA says nothing: a graph that runs at one priority what was captured from streams of several. An
// executable graph takes over another's operations if they are as many, of the same kinds, with the same waits and priorities.
// defines: cudaStream{BeginCapture, EndCapture, IsCapturing}, cudaGraph*; vbl_emu::{is_captured, captured, captured_wait, captured_record, forbidden}
#include <stdio.h>

#include <map>
#include <vector>

#include "kernels/emu/streams.h"

using namespace vbl_emu;

namespace {

enum what { WORK, RECORD, WAIT };

struct item {
  what is;
  int branch, priority, event;  // 0: the origin's; its stream's; the number of the event, in the order of their records
  operation work;
  bool like(const item &o) const {
    return is == o.is && branch == o.branch && priority == o.priority && event == o.event && work.kind == o.work.kind;
  }
};

struct recorded {
  int event;
  order seen;
};

struct state {
  bool on, lost;
  uint64_t number;
  int origin, events;
  bool member[STREAMS];
  order seen[STREAMS];  // by each: how much work of the capture comes before what it does next
  std::map<cudaEvent_t, recorded> records;
  std::vector<item> items;
};

state &capture = *new state{};

bool member(int s) { return capture.on && capture.member[s]; }

void add(what is, int s, int event, const operation &o) {
  capture.items.push_back({is, s == capture.origin ? 0 : 1, priority[s], event, o});
}

}  // namespace

struct vbl_emu_graph {
  std::vector<item> items;
};

bool vbl_emu::is_captured(cudaStream_t s) { return member(number(s)); }

bool vbl_emu::forbidden(bool is, const char *what) {
  if (!is) return false;
  fprintf(stderr, "emulation: %s\n", what);
  capture.lost = true;
  return true;
}

bool vbl_emu::captured(int s, const operation &o) {
  if (!member(s)) return false;
  capture.seen[s].done[s]++;
  add(WORK, s, 0, o);
  return true;
}

bool vbl_emu::captured_record(int s, cudaEvent_t e) {
  e->capture = 0;
  if (!member(s)) return false;
  e->capture = capture.number;
  capture.records[e] = {capture.events++, capture.seen[s]};
  add(RECORD, s, capture.records[e].event, {});
  return true;
}

bool vbl_emu::captured_wait(int s, cudaEvent_t e) {
  const bool inside = capture.on && e->capture == capture.number;
  if (!inside && e->capture != 0) return broken("an event is waited for that was recorded in a capture that has ended"), true;
  if (!inside) return forbidden(member(s), "a captured stream waits for an event from outside");
  if (!member(s)) capture.member[s] = true, capture.seen[s] = {};
  capture.seen[s].join(capture.records[e].seen);
  add(WAIT, s, capture.records[e].event, {});
  return true;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
  if (number(s) == 0 || capture.on) return vbl_emu::told(cudaErrorStreamCaptureUnsupported);
  capture.on = true, capture.lost = false;
  capture.number++;
  capture.origin = number(s);
  capture.events = 0;
  for (int i = 0; i < STREAMS; i++) capture.member[i] = i == capture.origin, capture.seen[i] = {};
  capture.records.clear();
  capture.items.clear();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph) {
  *graph = nullptr;
  if (!capture.on || number(s) != capture.origin) return vbl_emu::told(cudaErrorStreamCaptureUnsupported);
  capture.on = false;
  for (int i = 0; i < STREAMS; i++)
    if (capture.member[i] && capture.seen[i].done[i] > capture.seen[capture.origin].done[i])
      (void)forbidden(true, "a branch of a capture is not joined at its end");
  if (capture.lost) return vbl_emu::told(cudaErrorStreamCaptureInvalidated);
  *graph = new vbl_emu_graph{std::move(capture.items)};
  capture.items.clear();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus *status) {
  *status = is_captured(s) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *, size_t *count) {
  *count = 0;
  for (const item &i : graph->items) *count += i.is == WORK;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
  if (vbl_emu::refused("cudaGraphInstantiate")) return vbl_emu::told(cudaErrorMemoryAllocation);
  if ((flags & cudaGraphInstantiateFlagUseNodePriority) == 0)
    for (const item &i : graph->items)
      if (i.priority != graph->items[0].priority)
        return broken("a graph forgets the priorities of the streams it was captured from"), vbl_emu::told(cudaErrorLaunchFailure);
  *exec = new vbl_emu_graph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo *) {
  bool alike = exec->items.size() == graph->items.size();
  for (size_t i = 0; alike && i < graph->items.size(); i++) alike = exec->items[i].like(graph->items[i]);
  if (!alike) return vbl_emu::told(cudaErrorGraphExecUpdateFailure);
  exec->items = graph->items;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (is_captured(stream)) return vbl_emu::told(cudaErrorStreamCaptureUnsupported);
  std::map<int, order> events;
  for (const item &i : exec->items) {
    const int s = i.branch == 0 ? number(stream) : REPLAYED;
    if (i.is == WORK) at_once(s, i.work);
    if (i.is == RECORD) events[i.event] = before[s];
    if (i.is == WAIT) before[s].join(events[i.event]);
  }
  return peek_error();
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return cudaGraphDestroy(exec); }
