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

extern "C" const vbl_backend *vbl_cuda_open(int device, char *message, size_t size);

static int passed, failed;

static void check(bool right, const char *what, int line) {
  right ? passed++ : failed++;
  if (!right) fprintf(stderr, "%s:%d: %s\n", __FILE__, line, what);
}
#define CHECK(condition) check(condition, #condition, __LINE__)

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

static int ended_with(mistake left_out) {
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

int main() {
  char message[256];
  mistakes();
  const vbl_backend *gpu = vbl_cuda_open(0, message, sizeof message);
  steps(gpu);
  many(gpu);
  printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}
