// Switching stacks, on x86-64 (vbl's only processor so far).
// defines: what fiber.h names
#include "kernels/emu/fiber.h"

#include <pthread.h>
#include <stdint.h>

#define WEAK __attribute__((weak))
extern "C" {
WEAK void __sanitizer_start_switch_fiber(void **, const void *, size_t);
WEAK void __sanitizer_finish_switch_fiber(void *, const void **, size_t *);
WEAK void __asan_poison_memory_region(const volatile void *, size_t);
WEAK void __asan_unpoison_memory_region(const volatile void *, size_t);
WEAK void *__tsan_get_current_fiber(void);
WEAK void *__tsan_create_fiber(unsigned);
WEAK void __tsan_destroy_fiber(void *);
WEAK void __tsan_switch_to_fiber(void *, unsigned);
WEAK void __tsan_acquire(void *);
WEAK void __tsan_release(void *);
WEAK void AnnotateIgnoreReadsBegin(const char *, int);
WEAK void AnnotateIgnoreReadsEnd(const char *, int);
WEAK void AnnotateIgnoreWritesBegin(const char *, int);
WEAK void AnnotateIgnoreWritesEnd(const char *, int);
void vbl_emu_swap(void **save, void *load);
}

// Callee-saved registers to the old stack, the other stack's back.
asm(".text\n"
    ".globl vbl_emu_swap\n"
    ".type vbl_emu_swap, @function\n"
    "vbl_emu_swap:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n"
    ".size vbl_emu_swap, . - vbl_emu_swap\n");

namespace vbl_emu {

fiber host;

// A thread's stack stays where it is, and asking for the first thread's reads all of /proc/self/maps: once is enough.
void fiber_host() {
  static thread_local void *stack;
  static thread_local size_t size;
  if (stack == nullptr) {
    pthread_attr_t a;
    pthread_getattr_np(pthread_self(), &a);
    pthread_attr_getstack(&a, &stack, &size);
    pthread_attr_destroy(&a);
  }
  host.stack = (char *)stack;
  host.size = size;
  host.tsan = tsan() ? __tsan_get_current_fiber() : nullptr;
}

void fiber_make(fiber *f, char *stack, size_t size, void (*entry)()) {
  f->stack = stack;
  f->size = size;
  f->fake = nullptr;
  // The frame that vbl_emu_swap pops: six registers, the entry as return address, and a 0 that keeps the stack aligned as at a call.
  void **top = (void **)((uintptr_t)(stack + size) & ~(uintptr_t)15);
  *--top = nullptr;
  *--top = (void *)entry;
  for (int i = 0; i < 6; i++) *--top = nullptr;
  f->sp = top;
}

void fiber_switch(fiber *from, fiber *to, bool from_ends) {
  if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(from_ends ? nullptr : &from->fake, to->stack, to->size);
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(to->tsan, 1);  // 1: a switch orders nothing
  vbl_emu_swap(&from->sp, to->sp);
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(from->fake, nullptr, nullptr);
}

void fiber_entered() {
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
}

bool tsan() { return __tsan_create_fiber != nullptr; }
void *tsan_new() { return __tsan_create_fiber(0); }
void tsan_delete(void *identity) { __tsan_destroy_fiber(identity); }
void tsan_release(void *token) {
  if (__tsan_release) __tsan_release(token);
}
void tsan_acquire(void *token) {
  if (__tsan_acquire) __tsan_acquire(token);
}
void tsan_ignore(bool on) {
  if (!AnnotateIgnoreReadsBegin) return;
  (on ? AnnotateIgnoreReadsBegin : AnnotateIgnoreReadsEnd)("", 0);
  (on ? AnnotateIgnoreWritesBegin : AnnotateIgnoreWritesEnd)("", 0);
}
void asan_poison(void *p, size_t bytes) {
  if (__asan_poison_memory_region) __asan_poison_memory_region(p, bytes);
}
void asan_unpoison(void *p, size_t bytes) {
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(p, bytes);
}

}  // namespace vbl_emu
