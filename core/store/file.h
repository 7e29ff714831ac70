// Whole files and folders: read, truncate, make, remove. Every error names the path and the system's reason.
// defines: vbl_file_bytes, vbl_file_bytes_free, vbl_file_open, vbl_file_read, vbl_file_truncate, vbl_folder_make, vbl_folder_sync, vbl_parent_sync, vbl_tree_remove,
// vbl_fail_errno
#pragma once
#include "core/base/status.h"

typedef struct vbl_file_bytes {
  char *data;  // malloc; one NUL follows the last byte
  size_t size;
} vbl_file_bytes;

void vbl_file_bytes_free(vbl_file_bytes *b);  // idempotent

// Opens a regular file, or a link to one, for reading; *size: its bytes; *fd is -1 after an error. VBL_EIO for anything else, at once: a FIFO would wait for a writer, a device
// need not end. Every file that may be a stranger's is opened so.
vbl_status vbl_file_open(const char *path, int *fd, size_t *size, vbl_error *err);
vbl_status vbl_file_read(const char *path, vbl_file_bytes *out, vbl_error *err);
// Cuts a file to `size` bytes; VBL_EIO when it is shorter than that (it would be filled with zeros).
vbl_status vbl_file_truncate(const char *path, uint64_t size, vbl_error *err);
// Makes the folder, and its parents; their names are on the disk when it returns. *existed (may be NULL) says whether it was there already.
vbl_status vbl_folder_make(const char *path, bool *existed, vbl_error *err);
// Waits until the names in the folder (of the parent: this name in it) are on the disk.
vbl_status vbl_folder_sync(const char *path, vbl_error *err);
vbl_status vbl_parent_sync(const char *path, vbl_error *err);
// Removes a file, a link (not what it points to) or a folder with all that is in it. A missing path is no error.
vbl_status vbl_tree_remove(const char *path, vbl_error *err);

// VBL_EIO (VBL_ENOMEM for ENOMEM) with "path: cannot ACTION: strerror(errno)".
vbl_status vbl_fail_errno(vbl_error *err, const char *action, const char *path);
