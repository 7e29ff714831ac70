// Graphs: the emulation refuses what CUDA refuses while a stream is captured, and computes what was captured when the graph is launched; the backend's
// recordings (kernels/cuda/capture.cu) end where something cannot be captured, and lose nothing. VBL_EMU_LAG is set by the build.
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

#include "kernels/cuda/backend.h"
#include "kernels/emu/memory.h"
#include "tests/check.h"

extern "C" const vbl_backend *vbl_cuda_open(int device, char *message, size_t size);

enum { N = 100, BYTES = N * sizeof(float), LARGE = 1 << 20 };

static __global__ void add_kernel(const float *x, float *y, float more, int n) { VBL_EACH(i, n) y[i] = x[i] + more; }

enum mistake {
  NONE,
  HOST_WAITS,
  EVENT_ASKED,
  EVENT_WAITED,
  FROM_OUTSIDE,
  MEMORY,
  GIVEN_BACK,
  UNJOINED,
  DEFAULT_STREAM,
  AFTER_THE_END,
  ONE_PRIORITY,
  RACE
};

// Two branches of a graph, and what may not be asked for. Whether all went well.
static bool play(mistake m) {
  cudaStream_t a, b;
  cudaEvent_t outside, forked, joined;
  float *x, *y, *z, *w;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec;
  freopen("/dev/null", "w", stderr);
  for (cudaStream_t *s : {&a, &b}) cudaStreamCreateWithPriority(s, cudaStreamNonBlocking, s == &a ? -1 : 0);
  for (cudaEvent_t *e : {&outside, &forked, &joined}) cudaEventCreateWithFlags(e, cudaEventDisableTiming);
  for (float **p : {&x, &y, &z}) cudaMalloc((void **)p, BYTES);
  VBL_LAUNCH(add_kernel, 1, 32, b, x, x, 0, N);
  cudaEventRecord(outside, b);
  cudaStreamWaitEvent(a, outside, 0);
  bool well = cudaStreamBeginCapture(m == DEFAULT_STREAM ? nullptr : a, cudaStreamCaptureModeRelaxed) == cudaSuccess;
  cudaEventRecord(forked, a);
  cudaStreamWaitEvent(b, forked, 0);
  if (m == HOST_WAITS) well = cudaStreamSynchronize(a) == cudaSuccess && well;
  if (m == EVENT_ASKED) well = cudaEventQuery(forked) == cudaSuccess && well;
  if (m == EVENT_WAITED) well = cudaEventSynchronize(forked) == cudaSuccess && well;
  if (m == FROM_OUTSIDE) (void)cudaStreamWaitEvent(a, outside, 0);
  if (m == MEMORY) well = cudaMallocAsync((void **)&w, BYTES, a) == cudaSuccess && well;
  if (m == GIVEN_BACK) well = cudaFreeAsync(z, b) == cudaSuccess && well;
  VBL_LAUNCH(add_kernel, 1, 32, b, x, y, 1, N);
  VBL_LAUNCH(add_kernel, 1, 32, a, x, m == RACE ? y : z, 1, N);
  cudaEventRecord(joined, b);
  if (m != UNJOINED) cudaStreamWaitEvent(a, joined, 0);
  well = cudaStreamEndCapture(a, &graph) == cudaSuccess && well;
  if (graph == nullptr) return false;
  well = cudaGraphInstantiate(&exec, graph, m == ONE_PRIORITY ? 0 : cudaGraphInstantiateFlagUseNodePriority) == cudaSuccess && well;
  if (m == AFTER_THE_END) (void)cudaStreamWaitEvent(b, joined, 0);
  for (int i = 0; i < 2; i++) well = cudaGraphLaunch(exec, a) == cudaSuccess && well;
  return cudaStreamSynchronize(a) == cudaSuccess && well;
}

static bool fine(mistake m) {
  fflush(nullptr);
  const pid_t pid = fork();
  if (pid == 0) _exit(play(m) ? 0 : 1);
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void mistakes() {
  CHECK(fine(NONE));
  for (mistake m : {HOST_WAITS, EVENT_ASKED, EVENT_WAITED, FROM_OUTSIDE, MEMORY, GIVEN_BACK, UNJOINED, DEFAULT_STREAM,
                    AFTER_THE_END, ONE_PRIORITY, RACE})
    CHECK(!fine(m));
}

// y = x + more, `times` times, captured.
static cudaGraph_t captured(cudaStream_t s, const float *x, float *y, float more, int times) {
  cudaGraph_t graph;
  CHECK(cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed) == cudaSuccess);
  for (int i = 0; i < times; i++) VBL_LAUNCH(add_kernel, 1, 32, s, i == 0 ? x : y, y, more, N);
  CHECK(cudaStreamEndCapture(s, &graph) == cudaSuccess);
  return graph;
}

static float first(const float *p, cudaStream_t s) {
  float host[N];
  cudaMemcpyAsync(host, p, BYTES, cudaMemcpyDeviceToHost, s);
  cudaStreamSynchronize(s);
  return host[0];
}

// Nothing is computed before the launch; arguments are taken over, another topology is not.
static void graphs() {
  cudaStream_t s;
  float *x, *y;
  cudaGraphExec_t exec;
  cudaGraphExecUpdateResultInfo why;
  size_t nodes;
  cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
  for (float **p : {&x, &y}) cudaMalloc((void **)p, BYTES);
  const float zeros[N] = {};
  for (float *p : {x, y}) cudaMemcpyAsync(p, zeros, BYTES, cudaMemcpyHostToDevice, s);
  cudaGraph_t once = captured(s, x, y, 1, 1), other = captured(s, x, y, 5, 1), twice = captured(s, x, y, 1, 2);
  CHECK(cudaGraphGetNodes(twice, nullptr, &nodes) == cudaSuccess && nodes == 2);
  CHECK(first(y, s) == 0);
  CHECK(cudaGraphInstantiate(&exec, once) == cudaSuccess && cudaGraphLaunch(exec, s) == cudaSuccess);
  CHECK(first(y, s) == 1);
  CHECK(cudaGraphExecUpdate(exec, twice, &why) == cudaErrorGraphExecUpdateFailure);
  CHECK(cudaGetLastError() == cudaErrorGraphExecUpdateFailure && cudaGetLastError() == cudaSuccess);  // remembered once
  CHECK(cudaGraphExecUpdate(exec, other, &why) == cudaSuccess && cudaGraphLaunch(exec, s) == cudaSuccess);
  CHECK(first(y, s) == 5);
  for (cudaGraph_t g : {once, other, twice}) cudaGraphDestroy(g);
  cudaGraphExecDestroy(exec);
}

// What a step does: tables from the host, work in both branches, a reading; and in some steps what ends a recording. More kinds than are kept.
static void steps(const vbl_backend *gpu) {
  vbl_error err;
  vbl_reading *before = nullptr;
  int whole = 0;
  float expected_before = 0;
  char *large = (char *)calloc(1, LARGE), *table = (char *)gpu->alloc(LARGE);  // in 16 steps more than pinned memory has a part for
  for (int step = 0; step < 60; step++) {
    float host[N] = {}, value;
    float *sent = (float *)gpu->send((const void *)host, BYTES, nullptr);
    CHECK(gpu->capture(true) == nullptr);
    for (float &v : host) v = (float)step;
    float *x = (float *)gpu->alloc(BYTES), *y[2];
    gpu->from_host(x, host, BYTES, nullptr);
    gpu->from_host(table, large, LARGE, nullptr);
    for (float &v : host) v = -1;
    gpu->meet();
    for (int b = 0; b < 2; b++) {
      gpu->branch(b);
      y[b] = (float *)gpu->alloc(BYTES);
      for (int i = 0; i <= step % 10; i++) VBL_LAUNCH(add_kernel, 1, 32, nullptr, x, y[b], (float)(b + 1), N);
      if (step == 31 && b == 1) CHECK(gpu->sync(nullptr, &err) == VBL_OK);  // in the middle of the second branch
    }
    gpu->branch(0);
    gpu->meet();
    gpu->free(sent, BYTES);
    VBL_LAUNCH(add_kernel, 1, 32, nullptr, y[1], y[0], 1.0f, N);
    vbl_reading *now = gpu->read_later(y[0], sizeof value, false, nullptr);
    if (step == 40) {
      CHECK(gpu->read(now, &value, &err) == VBL_OK && value == (float)(step + 3));
      now = nullptr;
    }
    if (step == 50) sent = (float *)gpu->send(host, BYTES, nullptr), gpu->free(sent, BYTES);
    for (float *p : {x, y[0], y[1]}) gpu->free(p, BYTES);
    const char *ended = gpu->capture(false);
    whole += ended == nullptr;
    CHECK((ended != nullptr) == (step <= 1 || step == 31 || step == 40 || step == 50));  // at first memory is new
    if (before != nullptr) CHECK(gpu->read(before, &value, &err) == VBL_OK && value == expected_before);
    before = now;
    expected_before = (float)(step + 3);
  }
  CHECK(whole == 55);
  gpu->free(table, LARGE);
  free(large);
  CHECK(gpu->read(before, nullptr, &err) == VBL_OK);
  CHECK(gpu->sync(nullptr, &err) == VBL_OK);
}

// A capture that is lost is an error that says what to do, at the next look; then it goes on.
static void lost(const vbl_backend *gpu) {
  vbl_error err;
  float *x = (float *)gpu->alloc(BYTES), value;
  for (bool lose : {true, false}) {
    CHECK(gpu->capture(true) == nullptr);
    VBL_LAUNCH(add_kernel, 1, 32, nullptr, x, x, 0, N);
    vbl_reading *r = gpu->read_later(x, sizeof value, false, nullptr);
    if (lose) CHECK(cudaStreamSynchronize(vbl_cuda::current) != cudaSuccess);  // behind the backend's back
    (void)gpu->capture(false);
    const vbl_status status = gpu->read(r, &value, &err);
    CHECK(lose ? status == VBL_EDEVICE && strstr(err.message, "cuda_graph = false") != nullptr : status == VBL_OK);
  }
  gpu->free(x, BYTES);
  CHECK(gpu->sync(nullptr, &err) == VBL_OK);
}

int main() {
  char message[256];
  mistakes();
  graphs();
  const vbl_backend *gpu = vbl_cuda_open(0, message, sizeof message);
  steps(gpu);
  lost(gpu);
  return check_done();
}
