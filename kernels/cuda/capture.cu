// A step as one CUDA graph: its work is captured from the branches' streams, and given to the device in one call. Every step is captured anew, so all in
// it may change: sizes, addresses, arguments by value, tables. An executable graph of an earlier step with the same nodes takes over what changed
// (cudaGraphExecUpdate); where there is none, one is made and kept, MOST of them.
//
// What a graph may not hold ends the recording (uncapture): what was recorded is launched, the rest of the step is queued as ever. So nothing is ever lost or
// done twice, and memory and order are those of a step without a graph: graphs are launched in branch 0, which branch 1 joins before and after.
//
// The mode is relaxed: this thread asks for events of earlier steps while it records, which is refused otherwise. No other thread makes calls.
// defines: vbl_cuda_capture, uncapture, mark, is_captured
#include <stdio.h>

#include <algorithm>
#include <vector>

#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

namespace {

enum { MOST = 8 };  // kinds of steps: the tasks that are active, measured ones, sizes for which products go other ways

struct executable {
  cudaGraphExec_t graph;
  size_t nodes;
  uint64_t used;  // the number of its last launch
};

executable kept[MOST];
uint64_t launches;
bool recording;
const char *interrupted;
cudaEvent_t forked, joined;
std::vector<cudaEvent_t> &asked_for = *new std::vector<cudaEvent_t>;  // by the host, behind the launch

bool take_over(executable *e, cudaGraph_t graph, size_t nodes) {
  cudaGraphExecUpdateResultInfo why;
  if (e->graph == nullptr || e->nodes != nodes) return false;
  return tried([&] { return cudaGraphExecUpdate(e->graph, graph, &why); });  // else it is another kind of step
}

cudaError_t executable_of(cudaGraph_t graph, executable **out) {
  size_t nodes = 0;
  cudaError_t e = cudaGraphGetNodes(graph, nullptr, &nodes);
  if (e != cudaSuccess) return e;
  executable *oldest = kept;
  for (executable &k : kept) {
    if (take_over(&k, graph, nodes)) return *out = &k, cudaSuccess;
    if (k.used < oldest->used) oldest = &k;
  }
  if (oldest->graph != nullptr) note(cudaGraphExecDestroy(oldest->graph));
  *oldest = {nullptr, nodes, 0};
  // Without the flag all of it runs at the launching stream's priority: branch 0 would no longer come first.
  e = cudaGraphInstantiate(&oldest->graph, graph, cudaGraphInstantiateFlagUseNodePriority);
  if (e == cudaSuccess) *out = oldest;
  return e;
}

cudaError_t launch(cudaGraph_t graph) {
  executable *e = nullptr;
  const cudaError_t made = executable_of(graph, &e);
  if (made != cudaSuccess) return made;
  e->used = ++launches;
  return cudaGraphLaunch(e->graph, stream_of_branch(0));
}

void finish() {
  cudaGraph_t graph = nullptr;
  const cudaStream_t origin = stream_of_branch(0);
  note(cudaEventRecord(joined, stream_of_branch(1)));
  note(cudaStreamWaitEvent(origin, joined, 0));
  cudaError_t e = cudaStreamEndCapture(origin, &graph);
  recording = false;
  if (e == cudaSuccess) e = launch(graph);
  if (graph != nullptr) note(cudaGraphDestroy(graph));
  if (e != cudaSuccess) {
    (void)cudaGetLastError();
    static char text[192];
    snprintf(text, sizeof text, "a step cannot be a CUDA graph: %s (cuda_graph = false does without)", cudaGetErrorString(e));
    note_failure(VBL_EDEVICE, text);
  }
  vbl_cuda_meet();  // branch 1 goes on behind the graph
  for (cudaEvent_t event : asked_for) note(cudaEventRecord(event, origin));
  asked_for.clear();
}

bool begin() {
  for (cudaEvent_t *e : {&forked, &joined})
    if (*e == nullptr && !new_event(e)) return false;
  make_room();
  vbl_cuda_meet();  // what the graph's branch 1 needs is before the launch
  if (!tried([] { return cudaStreamBeginCapture(stream_of_branch(0), cudaStreamCaptureModeRelaxed); })) return false;
  note(cudaEventRecord(forked, stream_of_branch(0)));
  note(cudaStreamWaitEvent(stream_of_branch(1), forked, 0));
  return true;
}

}  // namespace

const char *vbl_cuda_capture(bool on) {
  if (on && recording) return "it is within another";
  if (!on) {
    if (recording) finish();
    return interrupted;
  }
  interrupted = nullptr;
  recording = begin();
  if (!recording) interrupted = "the runtime captures no stream";
  return interrupted;
}

void vbl_cuda::uncapture(const char *why) {
  if (!recording) return;
  interrupted = why;
  finish();
}

void vbl_cuda::mark(cudaEvent_t e, cudaStream_t s) {
  if (recording)
    asked_for.push_back(e);
  else
    note(cudaEventRecord(e, s));
}

bool vbl_cuda::is_captured(cudaEvent_t e) {
  return recording && std::find(asked_for.begin(), asked_for.end(), e) != asked_for.end();
}
