#include "core/store/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

vbl_status vbl_fail_errno(vbl_error *err, const char *action, const char *path) {
  int code = errno;
  return vbl_fail(err, vbl_status_of_errno(code), "%s: cannot %s: %s", path, action, strerror(code));
}

void vbl_file_bytes_free(vbl_file_bytes *b) {
  free(b->data);
  *b = (vbl_file_bytes){0};
}

// Reads to the end, growing: files of /proc say that they have no size.
static vbl_status read_all(int fd, const char *path, size_t expected, vbl_file_bytes *out, vbl_error *err) {
  size_t room = expected + 1;
  out->data = malloc(room + 1);
  while (out->data) {
    ssize_t n = read(fd, out->data + out->size, room - out->size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return vbl_fail_errno(err, "read", path);
    if (n == 0) {
      out->data[out->size] = 0;
      return VBL_OK;
    }
    out->size += (size_t)n;
    if (out->size < room) continue;
    room *= 2;
    char *grown = realloc(out->data, room + 1);
    if (!grown) break;
    out->data = grown;
  }
  return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory to read the file", path);
}

vbl_status vbl_file_open(const char *path, int *out, size_t *size, vbl_error *err) {
  struct stat st;
  *out = -1;
  *size = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return vbl_fail_errno(err, "open", path);
  vbl_status s = VBL_OK;
  if (fstat(fd, &st) != 0)
    s = vbl_fail_errno(err, "read", path);
  else if (S_ISDIR(st.st_mode))
    s = vbl_fail(err, VBL_EIO, "%s: is a folder, expected a file", path);
  else if (!S_ISREG(st.st_mode))
    s = vbl_fail(err, VBL_EIO, "%s: not a regular file", path);
  if (s != VBL_OK) return close(fd), s;
  *out = fd;
  *size = (size_t)st.st_size;
  return VBL_OK;
}

vbl_status vbl_file_read(const char *path, vbl_file_bytes *out, vbl_error *err) {
  *out = (vbl_file_bytes){0};
  int fd;
  size_t size;
  VBL_TRY(vbl_file_open(path, &fd, &size, err));
  vbl_status s = read_all(fd, path, size, out, err);
  close(fd);
  if (s != VBL_OK) vbl_file_bytes_free(out);
  return s;
}

vbl_status vbl_file_truncate(const char *path, uint64_t size, vbl_error *err) {
  struct stat st;
  if (stat(path, &st) != 0) return vbl_fail_errno(err, "open", path);
  if ((uint64_t)st.st_size < size)
    return vbl_fail(err, VBL_EIO, "%s: has %lld bytes, expected at least %llu: the file was cut or replaced", path,
                    (long long)st.st_size, (unsigned long long)size);
  if (truncate(path, (off_t)size) != 0) return vbl_fail_errno(err, "truncate", path);
  return VBL_OK;
}

// A folder's fsync makes a rename in it durable. Some network file systems refuse it (EINVAL); their close is the flush.
vbl_status vbl_folder_sync(const char *path, vbl_error *err) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return vbl_fail_errno(err, "open folder", path);
  vbl_status s = VBL_OK;
  if (fsync(fd) != 0 && errno != EINVAL) s = vbl_fail_errno(err, "flush folder", path);
  close(fd);
  return s;
}

vbl_status vbl_parent_sync(const char *path, vbl_error *err) {
  char parent[PATH_MAX];
  snprintf(parent, sizeof parent, "%s", path);
  char *slash = strrchr(parent, '/');
  if (!slash) return vbl_folder_sync(".", err);
  slash[slash == parent] = 0;
  return vbl_folder_sync(parent, err);
}

static bool is_folder(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

// Makes one folder in one that is there. Any refusal is none where the folder is there: mkdir of a mount point of a read-only disk says so first.
static vbl_status make_one(const char *path, bool *existed, vbl_error *err) {
  if (existed) *existed = false;
  if (mkdir(path, 0777) == 0) return vbl_parent_sync(path, err);
  const int code = errno;
  if (is_folder(path)) {
    if (existed) *existed = true;
    return VBL_OK;
  }
  errno = code;
  return vbl_fail_errno(err, "make folder", path);
}

vbl_status vbl_folder_make(const char *path, bool *existed, vbl_error *err) {
  char part[PATH_MAX];
  int length = snprintf(part, sizeof part, "%s", path);
  if (length < 1 || length >= (int)sizeof part)
    return vbl_fail(err, VBL_EINVAL, "\"%.100s\": not a path of 1 to %d bytes", path, PATH_MAX - 1);
  for (char *p = part + 1; *p; p++) {
    if (*p != '/') continue;
    *p = 0;
    VBL_TRY(make_one(part, NULL, err));
    *p = '/';
  }
  return make_one(path, existed, err);
}

static vbl_status remove_children(const char *path, vbl_error *err) {
  DIR *dir = opendir(path);
  if (!dir) return vbl_fail_errno(err, "open folder", path);
  vbl_status s = VBL_OK;
  struct dirent *e;
  while (s == VBL_OK && (e = readdir(dir))) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    char child[PATH_MAX];
    if (snprintf(child, sizeof child, "%s/%s", path, e->d_name) >= (int)sizeof child)
      s = vbl_fail(err, VBL_EIO, "%s/%s: path too long", path, e->d_name);
    else
      s = vbl_tree_remove(child, err);
  }
  closedir(dir);
  return s;
}

vbl_status vbl_tree_remove(const char *path, vbl_error *err) {
  struct stat st;
  if (lstat(path, &st) != 0) return errno == ENOENT ? VBL_OK : vbl_fail_errno(err, "remove", path);
  if (S_ISDIR(st.st_mode)) VBL_TRY(remove_children(path, err));
  if ((S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path)) != 0 && errno != ENOENT) return vbl_fail_errno(err, "remove", path);
  return VBL_OK;
}
