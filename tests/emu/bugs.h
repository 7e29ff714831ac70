// Planted mistakes and what has to catch each.
// defines: bug, bugs, bug_run
#pragma once
#include "kernels/cuda/cuda.h"

enum { BY_NOTHING = 0, BY_LAUNCH = 1, BY_NAN = 2, BY_ASAN = 4, BY_TSAN = 8 };

struct bug {
  const char *name;
  void (*kernel)(float *);
  unsigned blocks, threads;
  int by;
};
extern const bug bugs[];
extern const int bug_count;
void bug_run(const bug *b, float *out);  // out: 64 floats of device memory
