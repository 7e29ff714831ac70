// Streams: the emulation sees each planted mistake of order, and lets the right order pass; vbl's own copies beside a step (kernels/cuda/sending.cu,
// reading.cu) pass it, with events that happen late. VBL_EMU_LAG is set by the build.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

#include "kernels/cuda/backend.h"
#include "kernels/emu/memory.h"
#include "tests/check.h"

extern "C" const vbl_backend *vbl_cuda_open(int device, char *message, size_t size);

enum { N = 100, BYTES = N * sizeof(float) };

static __global__ void add_kernel(const float *x, float *y, int n) { VBL_EACH(i, n) y[i] = x[i] + 1; }

// Two streams, a buffer on the way from the host to the device and its result on the way back.
struct scene {
  cudaStream_t copies;
  cudaEvent_t sent, used, read;
  float *from, *back, *x, *y;
  scene() {
    cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking);
    for (cudaEvent_t *e : {&sent, &used, &read}) cudaEventCreateWithFlags(e, cudaEventDisableTiming);
    for (float **p : {&from, &back}) cudaHostAlloc((void **)p, BYTES, cudaHostAllocDefault);
    for (float **p : {&x, &y}) cudaMalloc((void **)p, BYTES);
  }
  void fill(float value) {
    for (int i = 0; i < N; i++) from[i] = value;
  }
  void send() {
    cudaMemcpyAsync(x, from, BYTES, cudaMemcpyHostToDevice, copies);
    cudaEventRecord(sent, copies);
  }
  void compute() {
    VBL_LAUNCH(add_kernel, 1, 32, nullptr, x, y, N);
    cudaEventRecord(used, nullptr);
  }
  void fetch() {
    cudaMemcpyAsync(back, y, BYTES, cudaMemcpyDeviceToHost, nullptr);
    cudaEventRecord(read, nullptr);
  }
};

enum { FINE, CAUGHT, WRONG };

// Which of the waits is left out. Where the host waits for each result there is little that it could overtake, so only then where that is the point.
enum mistake { NONE, AHEAD, KERNEL_WAITS, HOST_WAITS_TO_SEND, COPY_WAITS, HOST_WAITS_TO_READ };

static int play(mistake left_out) {
  scene s;
  bool right = true;
  freopen("/dev/null", "w", stderr);
  for (int step = 1; step <= 3; step++) {
    if (left_out != HOST_WAITS_TO_SEND) cudaEventSynchronize(s.sent);
    s.fill((float)step);
    if (left_out != COPY_WAITS) cudaStreamWaitEvent(s.copies, s.used, 0);
    s.send();
    if (left_out != KERNEL_WAITS) cudaStreamWaitEvent(nullptr, s.sent, 0);
    s.compute();
    s.fetch();
    if (left_out == NONE) cudaEventSynchronize(s.read);
    for (int i = 0; i < N && (left_out == NONE || left_out == HOST_WAITS_TO_READ); i++)
      right = right && s.back[i] == (float)step + 1;
  }
  return cudaStreamSynchronize(nullptr) != cudaSuccess ? CAUGHT : right ? FINE : WRONG;
}

// Two branches beside each other: which of their waits is left out, or what else goes wrong.
enum slip { NO_SLIP, AT_FORK, AT_JOIN, USED_AGAIN, BOTH_WRITE, GIVEN_BACK };

static int play(slip s) {
  cudaStream_t main_one, side;
  cudaEvent_t fork_at, join_at;
  float *x, *y, *z, *w;
  for (cudaStream_t *stream : {&main_one, &side}) cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking);
  for (cudaEvent_t *e : {&fork_at, &join_at}) cudaEventCreateWithFlags(e, cudaEventDisableTiming);
  for (float **p : {&x, &y, &z, &w}) cudaMallocAsync((void **)p, BYTES, main_one);
  freopen("/dev/null", "w", stderr);
  for (int step = 0; step < 2; step++) {
    VBL_LAUNCH(add_kernel, 1, 32, main_one, w, x, N);
    cudaEventRecord(fork_at, main_one);
    if (s != AT_FORK) cudaStreamWaitEvent(side, fork_at, 0);
    VBL_LAUNCH(add_kernel, 1, 32, side, x, y, N);
    VBL_LAUNCH(add_kernel, 1, 32, main_one, x, s == BOTH_WRITE ? y : s == USED_AGAIN ? x : z, N);  // x: side may still read it
    if (s == GIVEN_BACK && step == 1) cudaFreeAsync(x, main_one);
    cudaEventRecord(join_at, side);
    if (s != AT_JOIN) cudaStreamWaitEvent(main_one, join_at, 0);
    VBL_LAUNCH(add_kernel, 1, 32, main_one, y, w, N);
  }
  return cudaStreamSynchronize(main_one) != cudaSuccess ? CAUGHT : FINE;
}

template <class T>
static int ended_with(T left_out) {
  fflush(nullptr);
  const pid_t pid = fork();
  if (pid == 0) _exit(play(left_out));
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void mistakes() {
  CHECK(ended_with(NONE) == FINE);
  CHECK(ended_with(AHEAD) == FINE);
  CHECK(ended_with(KERNEL_WAITS) == CAUGHT);
  CHECK(ended_with(HOST_WAITS_TO_SEND) == CAUGHT);
  CHECK(ended_with(COPY_WAITS) == CAUGHT);
  CHECK(ended_with(HOST_WAITS_TO_READ) == WRONG);
  CHECK(ended_with(NO_SLIP) == FINE);
  for (slip s : {AT_FORK, AT_JOIN, USED_AGAIN, BOTH_WRITE, GIVEN_BACK}) CHECK(ended_with(s) == CAUGHT);
}

// Steps that send an input ahead, compute, and read a step's result when the next is queued.
static void steps(const vbl_backend *gpu) {
  vbl_error err;
  vbl_reading *before = nullptr;
  int64_t allocations[2], stops[2];
  for (int step = 1; step <= 12; step++) {
    float host[N], value;
    for (float &v : host) v = (float)step;
    if (step == 5) gpu->counts(&allocations[0], &stops[0]);
    float *x = (float *)gpu->send(host, BYTES, nullptr), *y = (float *)gpu->alloc(BYTES);
    for (float &v : host) v = NAN;  // it may be changed at once
    for (int i = 0; i < 40; i++) VBL_LAUNCH(add_kernel, 1, 32, nullptr, x, y, N);
    vbl_reading *now = gpu->read_later(y + N - 1, sizeof value, false, nullptr);
    gpu->free(x, BYTES), gpu->free(y, BYTES);
    if (before != nullptr) {
      CHECK(gpu->read(before, &value, &err) == VBL_OK && value == (float)step);
    }
    before = now;
  }
  gpu->counts(&allocations[1], &stops[1]);
  CHECK(stops[1] == stops[0] && allocations[1] - allocations[0] == 0);
  CHECK(gpu->read(before, nullptr, &err) == VBL_OK);
  CHECK(gpu->sync(nullptr, &err) == VBL_OK);
}

// More inputs on the way than are kept, of several sizes; each arrives.
static void many(const vbl_backend *gpu) {
  vbl_error err;
  float *held[9];
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 9; i++) {
      float host[N];
      for (float &v : host) v = (float)(10 * round + i);
      held[i] = (float *)gpu->send(host, (size_t)(N - i) * sizeof(float), nullptr);
    }
    for (int i = 0; i < 9; i++) {
      float back[N];
      gpu->to_host(back, held[i], (size_t)(N - i) * sizeof(float), nullptr);
      CHECK(back[0] == (float)(10 * round + i) && back[N - i - 1] == back[0]);
    }
    for (float *p : held) gpu->free(p, BYTES);
  }
  CHECK(gpu->sync(nullptr, &err) == VBL_OK);
}

// To whom the allocator gives a block that is freed while the branches are apart.
static void blocks(const vbl_backend *gpu) {
  const size_t size = 5000, other = 9000;  // sizes that nothing else here asks for
  void *old = gpu->alloc(size), *read_by_both = gpu->alloc(other);
  gpu->meet();
  gpu->branch(1);
  void *mine = gpu->alloc(size);
  gpu->free(mine, size);
  CHECK(gpu->alloc(size) == mine);  // taken since the meeting, freed by the same branch
  gpu->free(read_by_both, other);   // from before it
  CHECK(gpu->alloc(other) != read_by_both);
  gpu->branch(0);
  gpu->free(mine, size);  // by the other branch
  void *fresh = gpu->alloc(size);
  CHECK(fresh != mine && fresh != old);
  CHECK(gpu->alloc(other) != read_by_both);
  gpu->free(fresh, size);
  gpu->branch(1);
  CHECK(gpu->alloc(size) != fresh);  // branch 0's
  gpu->branch(0);
  gpu->meet();
  void *a = gpu->alloc(size), *b = gpu->alloc(size);
  CHECK((a == mine && b == fresh) || (a == fresh && b == mine));
  CHECK(gpu->alloc(other) == read_by_both);
  gpu->free(a, size);
  gpu->branch(1);
  CHECK(gpu->alloc(size) != a);  // no meeting since
  gpu->meet();
  CHECK(gpu->alloc(size) == a);
  gpu->branch(0);
  gpu->meet();
}

// Work, inputs and readings in both branches; what one makes the other reads after a meeting.
static void branches(const vbl_backend *gpu) {
  vbl_error err;
  float host[N], value[2];
  vbl_reading *reading[2];
  float *x = (float *)gpu->alloc(BYTES), *y[2];
  for (int round = 0; round < 40; round++) {
    for (float &v : host) v = (float)round;
    gpu->from_host(x, host, BYTES, nullptr);
    gpu->meet();
    for (int b = 0; b < 2; b++) {
      gpu->branch(b);
      y[b] = (float *)gpu->alloc(BYTES);
      float *sent = (float *)gpu->send(host, BYTES, nullptr), *half = (float *)gpu->alloc(BYTES);
      for (float &v : host) v += (float)b;
      gpu->from_host(half, host, BYTES, nullptr);
      VBL_LAUNCH(add_kernel, 1, 32, nullptr, b == 0 ? x : sent, y[b], N);
      VBL_LAUNCH(add_kernel, 1, 32, nullptr, half, y[b], N);
      gpu->free(half, BYTES);
      gpu->free(sent, BYTES);
      reading[b] = gpu->read_later(y[b], sizeof value[b], false, nullptr);
    }
    gpu->branch(0);
    gpu->meet();
    VBL_LAUNCH(add_kernel, 1, 32, nullptr, y[1], y[0], N);
    for (int b = 0; b < 2; b++) {
      CHECK(gpu->read(reading[b], round % 2 == 0 ? &value[b] : nullptr, &err) == VBL_OK);
      if (round % 2 == 0) CHECK(value[b] == (float)(round + b + 1));
      gpu->free(y[b], BYTES);
    }
  }
  gpu->free(x, BYTES);
  CHECK(gpu->sync(nullptr, &err) == VBL_OK);
}

int main() {
  char message[256];
  mistakes();
  const vbl_backend *gpu = vbl_cuda_open(0, message, sizeof message);
  steps(gpu);
  many(gpu);
  blocks(gpu);
  branches(gpu);
  return check_done();
}
