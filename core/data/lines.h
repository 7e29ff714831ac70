// A text file as its lines: mapped, with the place of each line; nothing of it is copied.
// defines: vbl_lines, vbl_lines_{open,close}, vbl_lines_at
#pragma once
#include "core/base/status.h"

typedef struct vbl_lines {
  char *map;  // the file, mapped; NULL when it is empty
  size_t bytes;
  size_t *start;  // [count + 1] where each line begins; start[count] = bytes
  int64_t count;  // an end without a line end is a line too
} vbl_lines;

// VBL_EIO names the file: not there, not a regular file. A file that another process cuts while it is mapped ends the program (SIGBUS).
vbl_status vbl_lines_open(const char *path, vbl_lines *out, vbl_error *err);
void vbl_lines_close(vbl_lines *l);  // idempotent

// Line i, 0 <= i < count: *n bytes without CR and LF, not NUL-terminated.
const char *vbl_lines_at(const vbl_lines *l, int64_t i, size_t *n);
