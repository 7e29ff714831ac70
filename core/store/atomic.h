// Files and folders that appear whole or not at all. A reader, a crash, a full disk or kill -9 at any instant leaves either
// the old content or the new one, never a mixture.
//
// File: written to PATH.tmp-PID beside PATH, fsynced, renamed onto PATH, folder fsynced.
// Folder: PARENT/NAME is a symbolic link. The new content is made in PARENT/.NAME-PID-COUNTER, fsynced; then a new link is
// renamed onto NAME (the one atomic step) and what NAME named before is removed. A folder starting with a dot that no link
// names is a left-over; vbl_clean_stale removes those and stale PATH.tmp-PID files.
// defines: vbl_atomic_file (open, write, commit, abort), vbl_atomic_write, vbl_create_once, vbl_atomic_folder (begin, commit,
// abort), vbl_clean_stale
#pragma once
#include <limits.h>

#include "core/base/status.h"

typedef struct vbl_atomic_file {
  char path[PATH_MAX], temporary[PATH_MAX];
  int fd;            // -1 when closed
  uint64_t written;  // bytes so far
  uint64_t begun;    // of these the disk was told to write
  uint32_t crc;      // crc32 (zlib's) of the bytes so far
} vbl_atomic_file;

vbl_status vbl_atomic_file_open(vbl_atomic_file *f, const char *path, vbl_error *err);
// On failure the temporary is removed and the file closed; later writes and the commit fail too, harmlessly.
vbl_status vbl_atomic_file_write(vbl_atomic_file *f, const void *data, size_t n, vbl_error *err);
vbl_status vbl_atomic_file_commit(vbl_atomic_file *f, vbl_error *err);
void vbl_atomic_file_abort(vbl_atomic_file *f);  // idempotent; nothing after a commit

vbl_status vbl_atomic_write(const char *path, const void *data, size_t n, vbl_error *err);

// Makes `path` with this content unless it exists: of all processes that try, on any host of a network file system, one sees
// *created. The content is written and flushed at `temporary`, a path of the same file system that no other process writes, and
// linked to `path`, which NFS does at once and for one only (version 2 on; locks and O_EXCL need more of a server).
vbl_status vbl_create_once(const char *path, const char *temporary, const void *data, size_t n, bool *created, vbl_error *err);

typedef struct vbl_atomic_folder {
  char parent[PATH_MAX], name[NAME_MAX + 1];
  char path[PATH_MAX];  // where to write the files
} vbl_atomic_folder;

// `name` has no '/', does not start with a dot; `parent` exists.
vbl_status vbl_atomic_folder_begin(vbl_atomic_folder *f, const char *parent, const char *name, vbl_error *err);
vbl_status vbl_atomic_folder_commit(vbl_atomic_folder *f, vbl_error *err);  // the files in it were fsynced by their writer
void vbl_atomic_folder_abort(vbl_atomic_folder *f);                         // idempotent; nothing after a commit

// Removes the left-overs of killed writers in `folder` (not deeper). Only its one writer may call it, before writing.
// *removed (may be NULL) counts them.
vbl_status vbl_clean_stale(const char *folder, int *removed, vbl_error *err);
