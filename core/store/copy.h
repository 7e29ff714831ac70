// Bytes from one file into a new one, and the files of a folder without following links.
// defines: vbl_copy_range, vbl_gunzip, vbl_tree_files
#pragma once
#include "core/base/status.h"

// Bytes [offset, offset + bytes) of `from` (bytes < 0: to its end) into the file `to`, which appears whole (core/store/atomic.h).
// VBL_EIO: a failing read or write, `from` ends before.
vbl_status vbl_copy_range(const char *from, int64_t offset, int64_t bytes, const char *to, vbl_error *err);

// The content of a gzip file. VBL_EIO also where it is damaged or cut off, naming `from`.
vbl_status vbl_gunzip(const char *from, const char *to, vbl_error *err);

typedef vbl_status vbl_file_fn(void *context, const char *relative, vbl_error *err);
// Calls `each` with the path, relative to `folder`, of every regular file below it, in no order. Symbolic links, to files or folders, are
// left out. Ends at the first status that is not VBL_OK and returns it.
vbl_status vbl_tree_files(const char *folder, vbl_file_fn *each, void *context, vbl_error *err);
