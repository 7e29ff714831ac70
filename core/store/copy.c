#include "core/store/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "core/store/atomic.h"
#include "core/store/file.h"

enum { PIECE = 1 << 16 };

static vbl_status copy_pieces(int fd, const char *from, int64_t offset, int64_t bytes, vbl_atomic_file *out, vbl_error *err) {
  char piece[PIECE];
  for (int64_t left = bytes; left != 0;) {
    ssize_t n = pread(fd, piece, left < 0 || left > PIECE ? PIECE : (size_t)left, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return vbl_fail_errno(err, "read", from);
    if (n == 0 && left > 0) return vbl_fail(err, VBL_EIO, "%s: it ends %lld bytes early", from, (long long)left);
    if (n == 0) break;
    VBL_TRY(vbl_atomic_file_write(out, piece, (size_t)n, err));
    offset += n;
    if (left > 0) left -= n;
  }
  return VBL_OK;
}

static vbl_status finish(vbl_atomic_file *out, vbl_status status, vbl_error *err) {
  if (status == VBL_OK) return vbl_atomic_file_commit(out, err);
  vbl_atomic_file_abort(out);
  return status;
}

vbl_status vbl_copy_range(const char *from, int64_t offset, int64_t bytes, const char *to, vbl_error *err) {
  vbl_atomic_file out;
  int fd = open(from, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return vbl_fail_errno(err, "open", from);
  vbl_status status = vbl_atomic_file_open(&out, to, err);
  if (status == VBL_OK) status = finish(&out, copy_pieces(fd, from, offset, bytes, &out, err), err);
  close(fd);
  return status;
}

static vbl_status inflate_pieces(gzFile in, const char *from, vbl_atomic_file *out, vbl_error *err) {
  char piece[PIECE];
  int n, code;
  while ((n = gzread(in, piece, PIECE)) > 0) VBL_TRY(vbl_atomic_file_write(out, piece, (size_t)n, err));
  const char *why = gzerror(in, &code);
  if (n < 0 || code != Z_OK) return vbl_fail(err, VBL_EIO, "%s: damaged or cut off: %s", from, why);
  return VBL_OK;
}

vbl_status vbl_gunzip(const char *from, const char *to, vbl_error *err) {
  vbl_atomic_file out;
  gzFile in = gzopen(from, "rb");
  if (in == NULL) return vbl_fail_errno(err, "open", from);
  vbl_status status = vbl_atomic_file_open(&out, to, err);
  if (status == VBL_OK) status = finish(&out, inflate_pieces(in, from, &out, err), err);
  gzclose(in);
  return status;
}

// One folder, `prefix` (empty, or ending in '/') below `root`.
static vbl_status walk(const char *root, const char *prefix, vbl_file_fn *each, void *context, vbl_error *err) {
  char path[PATH_MAX], child[PATH_MAX], full[PATH_MAX];
  struct dirent *e;
  struct stat st;
  if (snprintf(path, sizeof path, "%s/%s", root, prefix) >= (int)sizeof path)
    return vbl_fail(err, VBL_EIO, "%s/%.200s: path too long", root, prefix);
  DIR *dir = opendir(path);
  if (dir == NULL) return vbl_fail_errno(err, "open folder", path);
  vbl_status status = VBL_OK;
  while (status == VBL_OK && (e = readdir(dir)) != NULL) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    if (snprintf(child, sizeof child, "%s%s/", prefix, e->d_name) >= (int)sizeof child ||
        snprintf(full, sizeof full, "%s%s", path, e->d_name) >= (int)sizeof full) {
      status = vbl_fail(err, VBL_EIO, "%s%s: path too long", path, e->d_name);
      break;
    }
    if (lstat(full, &st) != 0) {
      status = vbl_fail_errno(err, "read", full);
    } else if (S_ISDIR(st.st_mode)) {
      status = walk(root, child, each, context, err);
    } else if (S_ISREG(st.st_mode)) {
      child[strlen(child) - 1] = 0;
      status = each(context, child, err);
    }
  }
  closedir(dir);
  return status;
}

vbl_status vbl_tree_files(const char *folder, vbl_file_fn *each, void *context, vbl_error *err) {
  return walk(folder, "", each, context, err);
}
