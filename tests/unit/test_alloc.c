// The CPU's allocator: blocks are aligned, reused, and never held beyond 5/4 of what was live at once, whatever sizes come and go.
#include <stdint.h>

#include "kernels/cpu/cpu.h"
#include "tests/check.h"

static void reuse(void) {
  void *a = vbl_cpu_alloc(100000);
  vbl_cpu_free(a, 100000);
  const vbl_memory_stats before = vbl_cpu_alloc_stats();
  void *b = vbl_cpu_alloc(99990);
#if !defined(__SANITIZE_ADDRESS__)
  CHECK(a == b);
  CHECK(vbl_cpu_alloc_stats().cached < before.cached);
#endif
  CHECK(vbl_cpu_alloc_stats().allocations == before.allocations + 1);
  vbl_cpu_free(b, 99990);
}

// Every size from a cache line to 3 MB: content survives, capacity suffices, nothing is lost from the counts.
static void sizes(void) {
  const vbl_memory_stats before = vbl_cpu_alloc_stats();
  for (size_t bytes = 1; bytes < 3000000; bytes = bytes * 5 / 4 + 1) {
    unsigned char *p = vbl_cpu_alloc(bytes);
    CHECK(p != NULL && (uintptr_t)p % 64 == 0);
    memset(p, 0x5a, bytes);
    CHECK(vbl_cpu_alloc_stats().live >= before.live + bytes);
    vbl_cpu_free(p, bytes);
  }
  CHECK(vbl_cpu_alloc_stats().live == before.live);
}

static void bounded(void) {
  enum { BLOCKS = 16 };
  void *p[BLOCKS];
  size_t most = 0;
  for (size_t bytes = 1 << 20; bytes < (size_t)3 << 20; bytes += 60000) {
    for (int i = 0; i < BLOCKS; i++) p[i] = vbl_cpu_alloc(bytes);
    const vbl_memory_stats now = vbl_cpu_alloc_stats();
    if (now.live > most) most = now.live;
    CHECK(now.live + now.cached <= most + most / 4);
    for (int i = 0; i < BLOCKS; i++) vbl_cpu_free(p[i], bytes);
  }
  vbl_cpu_alloc_trim();
  CHECK(vbl_cpu_alloc_stats().cached == 0);
}

int main(void) {
  reuse();
  sizes();
  bounded();
  return check_done();
}
