// POSIX.1-1988 ustar.
// defines: vbl_tar_add, vbl_tar_end
#include "core/fetch/tar.h"

#include <stdio.h>
#include <string.h>

enum { BLOCK = 512, RECORD = 20 * BLOCK };

static vbl_status pad(vbl_atomic_file *f, uint64_t unit, vbl_error *err) {
  static const char zeros[RECORD];
  return vbl_atomic_file_write(f, zeros, (size_t)((unit - f->written % unit) % unit), err);
}

vbl_status vbl_tar_add(vbl_atomic_file *f, const char *name, const void *data, size_t n, vbl_error *err) {
  char h[BLOCK + 1] = {0};
  unsigned sum = 0;
  if (strlen(name) > 99 || n > 077777777777) return vbl_fail(err, VBL_EINVAL, "%s: too long a name or too large for a tar", name);
  snprintf(h, 100, "%s", name);
  // NOLINTBEGIN(bugprone-not-null-terminated-result): the fields of a header end at their width
  memcpy(h + 100,
         "0000444\0"
         "0000000\0"
         "0000000",
         24);
  snprintf(h + 124, 12, "%011llo", (unsigned long long)n);
  memcpy(h + 136, "00000000000", 12);
  memset(h + 148, ' ', 8);
  h[156] = '0';
  memcpy(h + 257,
         "ustar\0"
         "00",
         8);
  memcpy(h + 265, "bigdata", 7);
  memcpy(h + 297, "bigdata", 7);
  memcpy(h + 329,
         "0000000\0"
         "0000000",
         15);
  // NOLINTEND(bugprone-not-null-terminated-result)
  for (int i = 0; i < BLOCK; i++) sum += (unsigned char)h[i];
  snprintf(h + 148, 8, "%06o", sum);
  VBL_TRY(vbl_atomic_file_write(f, h, BLOCK, err));
  VBL_TRY(vbl_atomic_file_write(f, data, n, err));
  return pad(f, BLOCK, err);
}

vbl_status vbl_tar_end(vbl_atomic_file *f, vbl_error *err) {
  static const char zeros[2 * BLOCK];
  VBL_TRY(vbl_atomic_file_write(f, zeros, sizeof zeros, err));
  return pad(f, RECORD, err);
}
