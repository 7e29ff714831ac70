// Calls for memory. What asks before the next definition is known (dlsym itself) is served from a small store and never given back.
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/faults/faults.h"

#define CALLER __builtin_return_address(0)

static _Alignas(16) char early[16384];
static size_t early_used;
static __thread int resolving __attribute__((tls_model("initial-exec")));

static void *serve_early(size_t bytes) {
  void *p = early + early_used;
  early_used += (bytes + 15) & ~(size_t)15;
  return early_used <= sizeof early ? p : NULL;
}

static bool is_early(const void *p) { return (const char *)p >= early && (const char *)p < early + sizeof early; }

#define RESOLVED(name)                        \
  ({                                          \
    resolving++;                              \
    __typeof__(&name) function_ = NEXT(name); \
    resolving--;                              \
    function_;                                \
  })

void *malloc(size_t bytes) {
  if (resolving) return serve_early(bytes);
  if (fault_hit(FAULT_MEMORY, CALLER, "malloc", "", -1)) return errno = ENOMEM, NULL;
  return RESOLVED(malloc)(bytes);
}

void *calloc(size_t n, size_t bytes) {
  if (resolving) return serve_early(n * bytes);
  if (fault_hit(FAULT_MEMORY, CALLER, "calloc", "", -1)) return errno = ENOMEM, NULL;
  return RESOLVED(calloc)(n, bytes);
}

// dlsym frees the error of a call before, while it is asked for free itself: that one stays.
void free(void *p) {
  static void (*next)(void *);
  if (is_early(p) || (resolving && next == NULL)) return;
  if (next == NULL) next = RESOLVED(free);
  next(p);
}

// Whether Lua's request is refused so that it collects; the request that follows is its second try, which is granted.
static bool refused_to_lua(void *p, size_t bytes, const void *caller) {
  static __thread void *last __attribute__((tls_model("initial-exec")));
  static __thread size_t last_bytes __attribute__((tls_model("initial-exec")));
  if (last_bytes == bytes && last == p && bytes > 0) {
    last_bytes = 0;
    return false;
  }
  if (bytes >= 1536) return false;                                // may be the box of a luaL_Buffer, which does not ask twice
  if (p != NULL && bytes <= malloc_usable_size(p)) return false;  // Lua takes it for granted that a block can shrink
  if (!fault_hit(FAULT_LUA, caller, "realloc for Lua", "", -1)) return false;
  last = p, last_bytes = bytes;
  return true;
}

void *realloc(void *p, size_t bytes) {
  const void *caller = CALLER;
  if (fault_from_lua(caller)) {
    if (refused_to_lua(p, bytes, caller)) return NULL;
    if (p != NULL && bytes <= malloc_usable_size(p)) return RESOLVED(realloc)(p, bytes);
  }
  if (fault_hit(FAULT_MEMORY, caller, "realloc", "", -1)) return errno = ENOMEM, NULL;
  return RESOLVED(realloc)(p, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes) {
  if (fault_hit(FAULT_MEMORY, CALLER, "posix_memalign", "", -1)) return ENOMEM;
  return RESOLVED(posix_memalign)(out, alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
  if (fault_hit(FAULT_MEMORY, CALLER, "aligned_alloc", "", -1)) return errno = ENOMEM, NULL;
  return RESOLVED(aligned_alloc)(alignment, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
  if (fault_hit(FAULT_MEMORY, CALLER, "memalign", "", -1)) return errno = ENOMEM, NULL;
  return RESOLVED(memalign)(alignment, bytes);
}

// Memory without a file is memory.
static int map_refused(int flags, int fd, const void *caller) {
  const bool memory = (flags & MAP_ANONYMOUS) != 0;
  return memory ? (fault_hit(FAULT_MEMORY, caller, "mmap", "", -1) ? ENOMEM : 0) : fault_hit(FAULT_MAP, caller, "mmap", NULL, fd);
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
  int code = map_refused(flags, fd, CALLER);
  if (code > 0) return errno = code, MAP_FAILED;
  return NEXT(mmap)(at, bytes, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t bytes, int protection, int flags, int fd, off64_t offset) {
  int code = map_refused(flags, fd, CALLER);
  if (code > 0) return errno = code, MAP_FAILED;
  return NEXT(mmap64)(at, bytes, protection, flags, fd, offset);
}
