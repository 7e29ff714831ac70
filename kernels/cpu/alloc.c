// The CPU's block-reusing allocator; the contract is in cpu.h.
// defines: vbl_cpu_alloc, vbl_cpu_free, vbl_cpu_alloc_stats, vbl_cpu_alloc_reset_peak, vbl_cpu_alloc_trim
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "kernels/blocks.h"
#include "kernels/cpu/cpu.h"

#if defined(__SANITIZE_ADDRESS__)
#define REUSE 0
#else
#define REUSE 1
#endif

enum { ALIGNMENT = 64 };
_Static_assert(VBL_BLOCK_LEAST_CPU % ALIGNMENT == 0, "blocks are aligned");
static const size_t huge_page = (size_t)2 << 20;

typedef struct block {
  struct block *next;
} block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *free_list[VBL_BLOCK_CLASSES];
static vbl_memory_stats stats;
static size_t most;  // live bytes at their highest since the start

// More than there is, swap counted: where the kernel promises memory that it does not have, the first to fill it would end the process.
static bool past_the_machine(size_t capacity) {
  struct sysinfo s;
  return capacity > (size_t)1 << 30 && sysinfo(&s) == 0 && capacity / s.mem_unit > s.totalram + s.totalswap;
}

static bool is_huge(size_t capacity) { return REUSE && capacity >= 2 * huge_page; }  // a sanitizer watches what is malloc's

// A mapping of its own, which begins at a huge page: all of it goes back when it is freed, where malloc would keep pieces that nothing fits into.
static void *mapped(size_t capacity) {
  const size_t whole = capacity + huge_page;
  char *from = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (from == MAP_FAILED) return NULL;
  char *p = (char *)(((uintptr_t)from + huge_page - 1) / huge_page * huge_page);
  if (p > from) munmap(from, (size_t)(p - from));
  munmap(p + capacity, whole - capacity - (size_t)(p - from));
  madvise(p, capacity, MADV_HUGEPAGE);  // a hint: refusal costs nothing but speed
  return p;
}

// posix_memalign, because aligned_alloc may refuse a size that is not a multiple of the alignment.
static void *from_system(size_t capacity) {
  void *p = NULL;
  if (past_the_machine(capacity)) return NULL;
  if (is_huge(capacity)) return mapped(capacity);
  return posix_memalign(&p, ALIGNMENT, capacity) == 0 ? p : NULL;
}

static void to_system(void *p, size_t capacity) {
  if (is_huge(capacity))
    munmap(p, capacity);
  else
    free(p);
}

// The lock is held.
static void give_back(void) {
  for (int c = 0; c < VBL_BLOCK_CLASSES; c++) {
    while (free_list[c]) {
      block *b = free_list[c];
      free_list[c] = b->next;
      to_system(b, vbl_block_of_class(c, VBL_BLOCK_LEAST_CPU));
    }
  }
  stats.cached = 0;
}

// Keeps live and free blocks together within 5/4 of what was ever live at once, largest free blocks first to go: a program whose shapes
// change (another batch size in evaluation, captions of other lengths) would else keep blocks of every size it has seen. malloc joins what
// is given back and serves other sizes from it. The lock is held.
static void make_room(size_t wanted) {
  const size_t top = stats.live + wanted > most ? stats.live + wanted : most;
  const size_t limit = top + top / 4;
  for (int c = VBL_BLOCK_CLASSES - 1; c >= 0 && stats.live + stats.cached + wanted > limit; c--) {
    const size_t capacity = vbl_block_of_class(c, VBL_BLOCK_LEAST_CPU);
    while (free_list[c] && stats.live + stats.cached + wanted > limit) {
      block *b = free_list[c];
      free_list[c] = b->next;
      stats.cached -= capacity;
      to_system(b, capacity);
    }
  }
}

void *vbl_cpu_alloc(size_t bytes) {
  if (bytes > PTRDIFF_MAX / 2) return NULL;
  const size_t capacity = vbl_block_size(bytes, VBL_BLOCK_LEAST_CPU);
  const int c = vbl_block_class(capacity, VBL_BLOCK_LEAST_CPU);
  pthread_mutex_lock(&lock);
  void *p = free_list[c];
  if (p) {
    free_list[c] = free_list[c]->next;
    stats.cached -= capacity;
  } else {
    make_room(capacity);
    p = from_system(capacity);
    if (!p && stats.cached > 0) {
      give_back();
      p = from_system(capacity);
    }
  }
  if (p) {
    stats.allocations++;
    stats.live += capacity;
    if (stats.live > stats.peak) stats.peak = stats.live;
    if (stats.live > most) most = stats.live;
  }
  pthread_mutex_unlock(&lock);
  return p;
}

void vbl_cpu_free(void *p, size_t bytes) {
  if (!p) return;
  const size_t capacity = vbl_block_size(bytes, VBL_BLOCK_LEAST_CPU);
  const int c = vbl_block_class(capacity, VBL_BLOCK_LEAST_CPU);
  pthread_mutex_lock(&lock);
  stats.live -= capacity;
  if (REUSE) {
    block *b = p;
    b->next = free_list[c];
    free_list[c] = b;
    stats.cached += capacity;
  } else {
    to_system(p, capacity);
  }
  pthread_mutex_unlock(&lock);
}

vbl_memory_stats vbl_cpu_alloc_stats(void) {
  pthread_mutex_lock(&lock);
  const vbl_memory_stats now = stats;
  pthread_mutex_unlock(&lock);
  return now;
}

void vbl_cpu_alloc_reset_peak(void) {
  pthread_mutex_lock(&lock);
  stats.peak = stats.live;
  pthread_mutex_unlock(&lock);
}

void vbl_cpu_alloc_trim(void) {
  pthread_mutex_lock(&lock);
  give_back();
  pthread_mutex_unlock(&lock);
}
