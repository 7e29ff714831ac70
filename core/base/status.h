// Status values and the error record that every core function fills.
//
// A core function returns a vbl_status and, when it is not VBL_OK, has filled *err with one sentence that says what was
// expected, what was found and what to do. It never prints, never exits, never throws; the bindings raise once.
// defines: vbl_status, vbl_error, vbl_fail, vbl_status_of_errno, vbl_context, VBL_TRY
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum vbl_status {
  VBL_OK = 0,
  VBL_EINVAL,      // a programmer's mistake: wrong shape, dtype, range
  VBL_EIO,         // the environment's: a file, a disk, a format
  VBL_ENOMEM,      // memory, or descriptors: what the process lacks, not what is wrong with a file
  VBL_ENUMERIC,    // NaN or Inf where a finite number is needed
  VBL_EDEVICE,     // a device, driver or library that is missing or too old
  VBL_EINTERRUPT,  // Ctrl-C or SIGTERM
} vbl_status;

typedef struct vbl_error {
  vbl_status code;
  char message[1024];
} vbl_error;

// Fills *err (err may be NULL) and returns code, so that `return vbl_fail(err, VBL_EINVAL, "...")` is one line.
vbl_status vbl_fail(vbl_error *err, vbl_status code, const char *format, ...) __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__  // it sees one file at a time, and would follow paths on which a failure returns VBL_OK
#define vbl_fail(err, code, ...) ((vbl_fail)(err, code, __VA_ARGS__), (code))
#endif

vbl_status vbl_status_of_errno(int code);  // VBL_ENOMEM or VBL_EIO

// Puts "prefix: " before the message that *err already holds (a module's path, a file's name). Returns err->code.
vbl_status vbl_context(vbl_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Returns from the calling function with the status of `call` when it failed.
#define VBL_TRY(call)                                      \
  do {                                                     \
    vbl_status vbl_try_status_ = (call);                   \
    if (vbl_try_status_ != VBL_OK) return vbl_try_status_; \
  } while (0)
