// Stacks that a host thread switches between, with the sanitizers told. Compiled without -fsanitize; the sanitizers' functions are
// reached through weak symbols, so that one object serves every build.
// defines: vbl_emu::fiber, fiber_make, fiber_start, fiber_switch, fiber_end, and the sanitizer hooks
#pragma once
#include <stddef.h>

namespace vbl_emu {

struct fiber {
  void *sp;
  char *stack;  // lowest byte; the host's is its own
  size_t size;
  void *fake;  // AddressSanitizer's
  void *tsan;  // ThreadSanitizer's identity; NULL without it
};

extern fiber host;
void fiber_host();                                                     // notes the calling thread's own stack
void fiber_make(fiber *f, char *stack, size_t size, void (*entry)());  // ready to be switched to; entry never returns
void fiber_switch(fiber *from, fiber *to, bool from_ends);
void fiber_entered();  // first thing that an entry does

bool tsan();  // whether ThreadSanitizer is here
void *tsan_new();
void tsan_delete(void *identity);
void tsan_release(void *token);
void tsan_acquire(void *token);
void tsan_ignore(bool on);
void asan_poison(void *p, size_t bytes);
void asan_unpoison(void *p, size_t bytes);

}  // namespace vbl_emu
