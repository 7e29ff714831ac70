// Reads tar archives (ustar, PAX, GNU long names, v7), member by member, without unpacking: where each regular file's bytes lie. What
// is damaged costs only itself: a bad header is skipped up to the next good one, and so is a cut-off end; both are noted.
// defines: vbl_tar, vbl_tar_member, vbl_tar_{open,next,read,free}
#pragma once
#include "core/data/bytes.h"

typedef struct vbl_tar {
  int64_t damaged;   // headers skipped, members cut off
  vbl_bytes report;  // a line each: the archive's path, where, what
  bool ended;        // the block of zeros that ends an archive was there: nothing is cut off, at a member's end neither

  // Private from here.
  int fd;
  char *path;
  int64_t size, at;  // of the file; of the next header
  vbl_bytes name;    // of the member
  int64_t pax_size;  // of the next member, -1: none
  uint8_t *window;   // a piece of the file, so that small members cost no read each
  int64_t window_at;
  size_t window_bytes;
} vbl_tar;

typedef struct vbl_tar_member {
  const char *name;  // without a leading "./"; NULL at the end. Valid until the next call
  int64_t offset, bytes;
} vbl_tar_member;

vbl_status vbl_tar_open(const char *path, vbl_tar **out, vbl_error *err);  // VBL_EIO: not there, no file; VBL_ENOMEM
// The next regular file. VBL_EIO: the first block is no tar header; a failing read.
vbl_status vbl_tar_next(vbl_tar *t, vbl_tar_member *member, vbl_error *err);
// Appends `bytes` bytes of the archive from `offset` on. VBL_EIO: it ends before.
vbl_status vbl_tar_read(vbl_tar *t, int64_t offset, int64_t bytes, vbl_bytes *out, vbl_error *err);
void vbl_tar_free(vbl_tar *t);  // NULL is allowed
