// The emulation catches what it says: each kernel of bugs.cu runs in a process of its own, because a sanitizer's report ends it. What
// only a sanitizer sees is checked in that sanitizer's build.
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/emu/memory.h"
#include "tests/emu/bugs.h"

#if defined(__SANITIZE_THREAD__)
static const int here = BY_TSAN, sanitized = 1;
#elif defined(__SANITIZE_ADDRESS__)
static const int here = BY_LAUNCH | BY_NAN | BY_ASAN, sanitized = 1;
#else
static const int here = BY_LAUNCH | BY_NAN, sanitized = 0;
#endif

enum { CLEAN = 0, CAUGHT = 10, NAN_SEEN = 11 };

static int child(const bug *b) {
  void *out = nullptr;
  float host[64];
  freopen("/dev/null", "w", stderr);
  cudaMallocAsync(&out, sizeof host, nullptr);
  memset(host, 0, sizeof host);
  cudaMemcpyAsync(out, host, sizeof host, cudaMemcpyHostToDevice, nullptr);
  bug_run(b, (float *)out);
  if (cudaStreamSynchronize(nullptr) != cudaSuccess) return CAUGHT;
  cudaMemcpyAsync(host, out, sizeof host, cudaMemcpyDeviceToHost, nullptr);
  for (float v : host)
    if (isnan(v)) return NAN_SEEN;
  return CLEAN;
}

int main() {
  int passed = 0, failed = 0;
  setenv("TSAN_OPTIONS", "exitcode=66", 0);
  for (int i = 0; i < bug_count; i++) {
    const bug *b = &bugs[i];
    if (b->by != BY_NOTHING && !(b->by & here)) continue;
    fflush(nullptr);
    const pid_t pid = fork();
    if (pid == 0) exit(child(b));
    int status = 0;
    waitpid(pid, &status, 0);
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
    const bool caught = code != CLEAN && !(code == NAN_SEEN && !(b->by & BY_NAN));
    const bool right = b->by == BY_NOTHING ? code == CLEAN : caught;
    right ? passed++ : failed++;
    if (!right)
      fprintf(stderr, "%s<<<%u, %u>>>: ended with %d, expected %s\n", b->name, b->blocks, b->threads, code,
              b->by ? "to be caught" : "0");
  }
  printf("%d passed, %d failed (%s)\n", passed, failed, sanitized ? "sanitized" : "plain");
  return failed == 0 && passed > 0 ? 0 : 1;
}
