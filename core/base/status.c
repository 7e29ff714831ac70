#include "core/base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef vbl_fail  // the analyzer's macro
vbl_status vbl_fail(vbl_error *err, vbl_status code, const char *format, ...) {
  if (err == NULL) return code;
  va_list args;
  va_start(args, format);
  err->code = code;
  vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  return code;
}

vbl_status vbl_status_of_errno(int code) { return code == ENOMEM || code == EMFILE || code == ENFILE ? VBL_ENOMEM : VBL_EIO; }

vbl_status vbl_context(vbl_error *err, const char *format, ...) {
  if (err == NULL) return VBL_EINVAL;
  char old[sizeof err->message], prefix[256];
  memcpy(old, err->message, sizeof old);
  va_list args;
  va_start(args, format);
  vsnprintf(prefix, sizeof prefix, format, args);
  va_end(args);
  // A message that fills the buffer is cut at its end; the prefix is what the reader needs first.
  snprintf(err->message, sizeof err->message, "%s: %.*s", prefix, (int)(sizeof old - sizeof prefix - 3), old);
  return err->code;
}
