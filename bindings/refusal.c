// What is done when memory is refused inside a C++ library. oneDNN lets std::bad_alloc go through its C functions, which ends the program
// by abort(). operator new asks a handler first and tries again: this one gives back the blocks that the allocator keeps, then a reserve,
// and when neither is left ends the program with a message. What a run has saved by then is whole; nothing can unwind a library's frames.
// defines: vbl_refusal_start
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindings/program.h"
#include "kernels/cpu/cpu.h"

enum { RESERVE = 4 << 20 };

static void *_Atomic reserve;

static void on_refusal(void) {
  static const char message[] = "vbl: out of memory inside a library (oneDNN); what was saved before is whole\n";
  bool kept = vbl_cpu_alloc_stats().cached > 0;
  if (kept) vbl_cpu_alloc_trim();
  void *held = kept ? NULL : atomic_exchange(&reserve, NULL);
  if (kept || held != NULL) {
    free(held);
    return;
  }
  ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
  (void)written;
  _exit(EXIT_FAILURE);
}

void vbl_refusal_start(void) {
  typedef void (*handler)(void);
  handler (*set)(handler);
  void *found = dlsym(RTLD_DEFAULT, "_ZSt15set_new_handlerPFvvE");  // std::set_new_handler
  if (found == NULL) return;
  memcpy(&set, &found, sizeof set);
  atomic_store(&reserve, malloc(RESERVE));
  set(on_refusal);
}
