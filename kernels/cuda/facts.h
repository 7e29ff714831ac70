// What was found of a device, and whether vbl can work with it.
// defines: vbl_cuda::{facts, find_facts, usable}
#pragma once
#include <stddef.h>

namespace vbl_cuda {

struct facts {
  int driver, runtime;  // as 13000; driver 0: none
  bool driver_too_old;  // it says so itself, for this runtime
  int count;            // devices that are visible
  char error[128];      // the driver's word where they could not be counted or opened; "" otherwise
  char gpu[256];
  int major, minor;
  size_t free, total;  // bytes
  int doubles = 0;     // times that f32 is faster than f64; 0: not known
};

void find_facts(int device, facts *f);
// false: one sentence in message that says what is missing and what to do.
bool usable(const facts &f, int device, char *message, size_t size);

}  // namespace vbl_cuda
