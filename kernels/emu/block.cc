// A launch: its blocks one after another, a block's threads as fibers that run until they wait or end. The scheduler walks over the
// block's threads in the order under test and resumes those that are ready; when a walk finds none, the block is stuck.
// defines: vbl_emu::launch, barrier, meet, fail, shared
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <numeric>
#include <vector>

#include "kernels/emu/emu.h"
#include "kernels/emu/fiber.h"
#include "kernels/emu/memory.h"

namespace vbl_emu {
namespace {

enum {
  THREADS = 1024,
  WARPS = THREADS / 32,
  STACK = 64 << 10,
  ARENA = 256 << 10,
  RED = 64,
  MEETINGS = 64,
  STATIC_SHARED = 48 << 10
};
enum state { FRESH, READY, AT_BARRIER, AT_MEETING, ENDED };

struct thread : position {
  fiber f;
  state s;
  place at;
  unsigned mask;
};

// Lanes of a warp on their way through one warp function; slots are free while mask is 0.
struct meeting {
  unsigned mask, seen;
  int unread;
  place at;
  uint64_t value[32];
};

thread threads[THREADS];
meeting meetings[WARPS][MEETINGS];
int count, ended, waiting;  // threads of the block; of these, ended and at the barrier
place barrier_at;
unsigned generation;  // barriers passed
uint64_t block_number;
const char *kernel;
void (*run)(void *);
void *arguments;
cudaError_t error;
bool failed;

char *stacks, *arena, *tokens;
size_t arena_used;
int order = -1;
uint64_t random_state;
std::vector<void *> old_identities;

// ThreadSanitizer's synchronisation objects, fresh for every block, or blocks would be ordered through them: 0 and 1 the barriers
// of even and odd generations (with one, a fast thread's next arrival would leak into this one), then one a meeting.
enum { TOKENS = 2 + WARPS * MEETINGS, TOKEN_BYTES = 8 << 20 };
char launch_token, end_token;
void *token(int k) { return tokens + (block_number * TOKENS + (uint64_t)k) * 8 % TOKEN_BYTES; }

thread *self() { return (thread *)current; }
bool same(place a, place b) { return a.line == b.line && a.file == b.file && a.what == b.what; }

uint64_t draw() {  // xorshift (Marsaglia 2003)
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  return random_state ^= random_state << 17;
}

void wait(state s, const place &at, unsigned mask) {
  thread *t = self();
  t->s = s;
  t->at = at;
  t->mask = mask;
  fiber_switch(&t->f, &host, false);
}

void entry() {
  fiber_entered();
  tsan_acquire(&launch_token);
  run(arguments);
  tsan_release(&end_token);
  self()->s = ENDED;
  ended++;
  if (waiting > 0) fail(barrier_at, "a thread ended while %d wait here", waiting);
  fiber_switch(&self()->f, &host, true);
  abort();
}

// Memory that ThreadSanitizer is to know nothing about: a new mapping in the old one's place.
void forget(char *p, size_t bytes) {
  tsan_ignore(true);
  mmap(p, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  tsan_ignore(false);
}

void init() {
  const char *text = getenv("VBL_EMU_ORDER");
  order = text ? atoi(text) : 0;
  random_state = 88172645463325252u + (uint64_t)order * 0x9E3779B97F4A7C15u;
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  stacks = (char *)mmap(nullptr, (size_t)THREADS * STACK, PROT_READ | PROT_WRITE, flags, -1, 0);
  arena = (char *)mmap(nullptr, ARENA, PROT_READ | PROT_WRITE, flags, -1, 0);
  tokens = (char *)mmap(nullptr, TOKEN_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
  arena_used = ARENA;  // all of it is to be filled before the first block
  if (stacks == MAP_FAILED || arena == MAP_FAILED || tokens == MAP_FAILED) abort();
  if (!tsan())
    for (int i = 0; i < THREADS; i++) mprotect(stacks + (size_t)i * STACK, 4096, PROT_NONE);  // an overflow is a fault
}

// Shared memory of the next block: all of it poisoned, and what the last one used full of NaN again.
void reset_arena() {
  asan_unpoison(arena, ARENA);
  if (tsan()) forget(arena, ARENA);
  const size_t dirty = tsan() ? (size_t)ARENA : arena_used;
  for (size_t i = 0; i < (dirty + 7) / 8; i++)
    ((volatile uint64_t *)arena)[i] = ~(uint64_t)0;  // no call: the sanitizers intercept memset
  arena_used = RED;
  asan_poison(arena, ARENA);
}

void make_threads(uint64_t block, dim3 grid, dim3 dim) {
  if (tsan()) forget(stacks, (size_t)count * STACK);
  for (int i = 0; i < count; i++) {
    thread *t = &threads[i];
    t->thread::position::thread = {(unsigned)i % dim.x, (unsigned)i / dim.x % dim.y, (unsigned)i / dim.x / dim.y};
    t->block = {(unsigned)(block % grid.x), (unsigned)(block / grid.x % grid.y), (unsigned)(block / grid.x / grid.y)};
    t->block_dim = dim;
    t->grid_dim = grid;
    t->lane = i % 32;
    t->s = FRESH;
    fiber_make(&t->f, stacks + (size_t)i * STACK + (tsan() ? 0 : 4096), STACK - (tsan() ? 0 : 4096), entry);
    if (tsan()) old_identities.push_back(t->f.tsan = tsan_new());
  }
  for (auto &warp : meetings)
    for (auto &m : warp) m.mask = 0;
  ended = waiting = 0;
  generation = 0;
}

void report_stuck() {
  fprintf(stderr, "emulation: %s: stuck: %d of %d threads ended;\n", kernel, ended, count);
  for (int i = 0, shown = 0; i < count && shown < 4; i++) {
    const thread *t = &threads[i];
    if (t->s == ENDED || (i > 0 && threads[i - 1].s == t->s && same(threads[i - 1].at, t->at))) continue;
    fprintf(stderr, "  from thread %d on they wait at %s, mask 0x%08x [%s:%d]\n", i, t->at.what, t->mask, t->at.file, t->at.line);
    shown++;
  }
  error = cudaErrorLaunchFailure;
  failed = true;
}

void run_block() {
  int walk[THREADS];
  std::iota(walk, walk + count, 0);
  if (order == 1) std::reverse(walk, walk + count);
  while (ended < count && !failed) {
    if (order > 1)
      for (int i = count - 1; i > 0; i--) std::swap(walk[i], walk[draw() % (uint64_t)(i + 1)]);
    bool moved = false;
    for (int i = 0; i < count && !failed; i++) {
      thread *t = &threads[walk[i]];
      if (t->s != FRESH && t->s != READY) continue;
      moved = true;
      current = t;
      fiber_switch(&host, &t->f, false);
    }
    if (!moved) report_stuck();
  }
  current = nullptr;
}

bool valid(dim3 g, dim3 b, size_t shared_bytes, size_t argument_bytes) {
  const uint64_t n = (uint64_t)b.x * b.y * b.z;
  return n >= 1 && n <= THREADS && b.z <= 64 && g.x >= 1 && g.x <= 0x7fffffffu && g.y >= 1 && g.y <= 65535 && g.z >= 1 &&
         g.z <= 65535 && shared_bytes <= STATIC_SHARED && argument_bytes <= 4096;
}

}  // namespace

position *current;

void fail(const place &at, const char *format, ...) {
  va_list list;
  va_start(list, format);
  const position *p = current;
  fprintf(stderr, "emulation: %s: block (%u,%u,%u) thread (%u,%u,%u): %s ", kernel, p->block.x, p->block.y, p->block.z, p->thread.x,
          p->thread.y, p->thread.z, at.what);
  vfprintf(stderr, format, list);
  fprintf(stderr, " [%s:%d]\n", at.file, at.line);
  va_end(list);
  error = cudaErrorLaunchFailure;
  failed = true;
  fiber_switch(&self()->f, &host, false);  // the block is given up; nothing of it runs on
  abort();
}

void barrier(const place &at) {
  if (ended > 0) fail(at, "is reached after %d threads of the block ended", ended);
  if (waiting > 0 && !same(at, barrier_at))
    fail(at, "is reached while others wait at line %d of %s", barrier_at.line, barrier_at.file);
  barrier_at = at;
  const int parity = (int)(generation & 1);
  tsan_release(token(parity));
  if (++waiting < count) {
    wait(AT_BARRIER, at, 0);
  } else {
    waiting = 0;
    generation++;
    for (int i = 0; i < count; i++)
      if (threads[i].s == AT_BARRIER) threads[i].s = READY;
  }
  tsan_acquire(token(parity));
}

const uint64_t *meet(const place &at, unsigned mask, uint64_t value, bool orders) {
  thread *me = self();
  const int warp = (int)(me - threads) / 32;
  const unsigned lane = 1u << me->lane;
  if (!(mask & lane)) fail(at, "is called by lane %d, which is not in mask 0x%08x", me->lane, mask);
  if (mask >> std::min(32, count - warp * 32) != 0 && count - warp * 32 < 32)
    fail(at, "names lanes of mask 0x%08x that the block lacks", mask);
  meeting *m = nullptr;
  for (meeting &x : meetings[warp])
    if (x.mask == mask && x.seen != mask) m = &x;
  for (int i = 0; m == nullptr && i < MEETINGS; i++)
    if (meetings[warp][i].mask == 0) {
      m = &meetings[warp][i];
      *m = {mask, 0, __builtin_popcount(mask), at, {}};
    }
  if (m == nullptr) fail(at, "has more than %d meetings of one warp open", (int)MEETINGS);
  if (!same(m->at, at)) fail(at, "meets %s of line %d of %s", m->at.what, m->at.line, m->at.file);
  void *sync = token(2 + warp * MEETINGS + (int)(m - meetings[warp]));
  m->seen |= lane;
  m->value[me->lane] = value;
  if (orders) tsan_release(sync);
  if (m->seen != mask) {
    wait(AT_MEETING, at, mask);
  } else {
    for (int i = warp * 32; i < std::min(count, warp * 32 + 32); i++)
      if (threads[i].s == AT_MEETING && threads[i].mask == mask) threads[i].s = READY;
  }
  if (orders) tsan_acquire(sync);
  if (--m->unread == 0) m->mask = 0;
  return m->value;
}

void *shared(site *s, size_t bytes, size_t align) {
  if (s->block == block_number) return s->memory;
  const size_t at = (arena_used + align - 1) / align * align;
  if (at + bytes > RED + STATIC_SHARED)
    fail({"shared memory", __FILE__, __LINE__}, "of %zu bytes is more than %d KiB a block", bytes, STATIC_SHARED >> 10);
  asan_unpoison(arena + at, bytes);
  arena_used = (at + bytes + RED + 15) / 16 * 16;
  s->memory = arena + at;
  s->block = block_number;
  return s->memory;
}

int64_t launches;

static void play(const char *name, dim3 grid, dim3 dim, size_t shared_bytes, void (*fn)(void *), void *args,
                 size_t argument_bytes) {
  if (error != cudaSuccess) return;  // sticky, as on a device
  if (!valid(grid, dim, shared_bytes, argument_bytes)) {
    fprintf(stderr, "emulation: %s<<<(%u,%u,%u), (%u,%u,%u), %zu>>> is not a valid launch\n", name, grid.x, grid.y, grid.z, dim.x,
            dim.y, dim.z, shared_bytes);
    error = cudaErrorInvalidConfiguration;
    return;
  }
  if (idle()) return;
  device_memory open;
  kernel = name, run = fn, arguments = args;
  count = (int)(dim.x * dim.y * dim.z);
  failed = false;
  fiber_host();
  tsan_release(&launch_token);
  const uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
  for (uint64_t i = 0; i < blocks && !failed; i++) {
    block_number++;
    reset_arena();
    make_threads(order == 1 ? blocks - 1 - i : i, grid, dim);
    run_block();
    // Late: a reused identity would hide races between blocks.
    if (old_identities.size() > 4000) {
      for (void *identity : old_identities) tsan_delete(identity);
      old_identities.clear();
    }
  }
  if (failed)
    for (int i = 0; i < THREADS; i++) asan_unpoison(stacks + (size_t)i * STACK + 4096, STACK - 4096);
  tsan_acquire(&end_token);
}

void launch(const char *name, dim3 grid, dim3 dim, size_t shared_bytes, cudaStream_t stream, void (*fn)(void *), void *args,
            size_t argument_bytes, const touch *touches, size_t touch_count) {
  if (order < 0) init();
  launches++;
  std::shared_ptr<std::max_align_t[]> copied;  // of the arguments, for a graph that is launched later
  if (is_captured(stream)) {
    copied.reset(new std::max_align_t[argument_bytes / sizeof(std::max_align_t) + 1]);
    memcpy(copied.get(), args, argument_bytes);
    args = copied.get();
  }
  perform(stream, KERNEL, {touches, touches + touch_count}, [=](int, int64_t) {
    (void)copied;  // lives as long as this
    play(name, grid, dim, shared_bytes, fn, args, argument_bytes);
  });
}

cudaError_t peek_error() { return error; }

void raise_error() { error = cudaErrorLaunchFailure; }

cudaError_t take_error() {
  cudaError_t e = error;
  error = cudaSuccess;
  return e;
}

}  // namespace vbl_emu
