#include "core/store/atomic.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/store/file.h"
#include "core/store/hash.h"

#define VBL_STALE_MARK ".tmp-"

// Says after a failed write that what was there before still is.
static vbl_status keep_note(vbl_error *err, const char *path) {
  if (!err) return VBL_EIO;
  size_t used = strlen(err->message);
  if (access(path, F_OK) == 0) snprintf(err->message + used, sizeof err->message - used, " (the earlier one is intact)");
  return err->code;
}

vbl_status vbl_atomic_file_open(vbl_atomic_file *f, const char *path, vbl_error *err) {
  *f = (vbl_atomic_file){.fd = -1};
  int n = snprintf(f->temporary, sizeof f->temporary, "%s" VBL_STALE_MARK "%ld", path, (long)getpid());
  if (n >= (int)sizeof f->temporary) return vbl_fail(err, VBL_EINVAL, "%s: path too long", path);
  snprintf(f->path, sizeof f->path, "%s", path);
  f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (f->fd < 0) return vbl_fail_errno(err, "write", path);
  return VBL_OK;
}

void vbl_atomic_file_abort(vbl_atomic_file *f) {
  if (f->fd < 0) return;
  close(f->fd);
  unlink(f->temporary);
  f->fd = -1;
}

static vbl_status file_failed(vbl_atomic_file *f, vbl_error *err) {
  vbl_fail_errno(err, "write", f->path);
  vbl_atomic_file_abort(f);
  return keep_note(err, f->path);
}

// The disk begins with what is there while the rest is made, so that the fsync in the end waits for little. A hint: its failure is none.
static void begin_writing(vbl_atomic_file *f) {
  if (f->written - f->begun < (uint64_t)4 << 20) return;
  f->begun = f->written;
  (void)sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

vbl_status vbl_atomic_file_write(vbl_atomic_file *f, const void *data, size_t n, vbl_error *err) {
  if (f->fd < 0) return vbl_fail(err, VBL_EIO, "%s: cannot write: closed after an earlier failure", f->path);
  const char *p = data;
  f->crc = vbl_crc32(f->crc, data, n);
  f->written += n;
  while (n > 0) {
    ssize_t w = write(f->fd, p, n);
    if (w < 0 && errno == EINTR) continue;
    if (w < 0) return file_failed(f, err);
    p += w;
    n -= (size_t)w;
  }
  begin_writing(f);
  return VBL_OK;
}

// rename, where a server's answer may be lost and the request sent again: the second one finds the name gone and fails, though all is done.
// `file` is the inode behind `from`.
static int rename_file(const char *from, const char *to, const struct stat *file) {
  struct stat s;
  if (rename(from, to) == 0) return 0;
  int code = errno;
  if (code == ENOENT && lstat(to, &s) == 0 && s.st_ino == file->st_ino && s.st_dev == file->st_dev) return 0;
  errno = code;
  return -1;
}

vbl_status vbl_atomic_file_commit(vbl_atomic_file *f, vbl_error *err) {
  struct stat file;
  if (f->fd < 0) return vbl_fail(err, VBL_EIO, "%s: cannot write: closed after an earlier failure", f->path);
  if (fsync(f->fd) != 0 || fstat(f->fd, &file) != 0) return file_failed(f, err);
  int fd = f->fd;
  f->fd = -1;
  if (close(fd) != 0 || rename_file(f->temporary, f->path, &file) != 0) {  // NFS reports a full disk at close
    vbl_fail_errno(err, "write", f->path);
    unlink(f->temporary);
    return keep_note(err, f->path);
  }
  return vbl_parent_sync(f->path, err);
}

vbl_status vbl_atomic_write(const char *path, const void *data, size_t n, vbl_error *err) {
  vbl_atomic_file f;
  VBL_TRY(vbl_atomic_file_open(&f, path, err));
  VBL_TRY(vbl_atomic_file_write(&f, data, n, err));
  return vbl_atomic_file_commit(&f, err);
}

static vbl_status write_flushed(const char *path, const char *data, size_t n, vbl_error *err) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return vbl_fail_errno(err, "write", path);
  vbl_status s = VBL_OK;
  while (n > 0 && s == VBL_OK) {
    ssize_t w = write(fd, data, n);
    if (w < 0 && errno == EINTR) continue;
    if (w < 0) {
      s = vbl_fail_errno(err, "write", path);
    } else {
      data += w;
      n -= (size_t)w;
    }
  }
  if (s == VBL_OK && fsync(fd) != 0) s = vbl_fail_errno(err, "write", path);
  if (close(fd) != 0 && s == VBL_OK) s = vbl_fail_errno(err, "write", path);
  return s;
}

// A server's answer may be lost and the request sent again, which then finds the file there: the count of links tells.
static bool linked_twice(const char *path) {
  struct stat s;
  return stat(path, &s) == 0 && s.st_nlink == 2;
}

vbl_status vbl_create_once(const char *path, const char *temporary, const void *data, size_t n, bool *created, vbl_error *err) {
  unlink(temporary);  // what a killed process left may be linked already: never written again
  vbl_status s = write_flushed(temporary, data, n, err);
  if (s == VBL_OK) {
    int code = link(temporary, path) == 0 ? 0 : errno;
    *created = code == 0 || linked_twice(temporary);
    errno = code;
    if (!*created && code != EEXIST) s = vbl_fail_errno(err, "make", path);
  }
  unlink(temporary);
  if (s == VBL_OK && *created) s = vbl_parent_sync(path, err);
  return s;
}

vbl_status vbl_atomic_folder_begin(vbl_atomic_folder *f, const char *parent, const char *name, vbl_error *err) {
  *f = (vbl_atomic_folder){0};
  if (!*name || *name == '.' || strchr(name, '/') || strlen(name) > NAME_MAX - 40 || strlen(parent) > PATH_MAX - NAME_MAX - 2)
    return vbl_fail(err, VBL_EINVAL, "%s/%s: not a name for a folder written whole (no '/', no dot first, short)", parent, name);
  snprintf(f->parent, sizeof f->parent, "%s", parent);
  snprintf(f->name, sizeof f->name, "%s", name);
  for (int i = 0; i < 1000; i++) {
    snprintf(f->path, sizeof f->path, "%s/.%s-%ld-%d", parent, name, (long)getpid(), i);
    if (mkdir(f->path, 0777) == 0) return VBL_OK;
    if (errno != EEXIST) break;
  }
  vbl_fail_errno(err, "make folder", f->path);
  f->path[0] = 0;
  return err ? err->code : VBL_EIO;
}

void vbl_atomic_folder_abort(vbl_atomic_folder *f) {
  if (f->path[0]) vbl_tree_remove(f->path, NULL);
  f->path[0] = 0;
}

// Whether the path is a link to `target`.
static bool links_to(const char *path, const char *target) {
  char to[PATH_MAX];
  ssize_t n = readlink(path, to, sizeof to - 1);
  to[n > 0 ? n : 0] = 0;
  return n > 0 && strcmp(to, target) == 0;
}

// symlink; one whose first answer was lost finds the link there.
static int make_link(const char *target, const char *link) {
  if (symlink(target, link) == 0) return 0;
  return errno == EEXIST && links_to(link, target) ? 0 : -1;
}

// Renames the new link onto `target`. A real folder there (a copy made with cp -L) cannot be renamed over: the two are exchanged.
static int put_link(const char *link, const char *target) {
  struct stat s;
  if (lstat(link, &s) != 0) return -1;
  if (rename_file(link, target, &s) == 0) return 0;
  if (errno != EISDIR && errno != EEXIST && errno != ENOTEMPTY) return -1;
  return renameat2(AT_FDCWD, link, AT_FDCWD, target, RENAME_EXCHANGE);
}

vbl_status vbl_atomic_folder_commit(vbl_atomic_folder *f, vbl_error *err) {
  char target[PATH_MAX + NAME_MAX + 2], link[PATH_MAX + 8], old[NAME_MAX + 1] = "", old_path[PATH_MAX + NAME_MAX + 2];
  snprintf(target, sizeof target, "%s/%s", f->parent, f->name);
  snprintf(link, sizeof link, "%s.link", f->path);
  ssize_t n = readlink(target, old, sizeof old - 1);
  old[n > 0 ? n : 0] = 0;
  if (vbl_folder_sync(f->path, err) != VBL_OK || vbl_folder_sync(f->parent, err) != VBL_OK) {
    vbl_atomic_folder_abort(f);
    return keep_note(err, target);
  }
  if (make_link(strrchr(f->path, '/') + 1, link) != 0 || put_link(link, target) != 0) {
    vbl_fail_errno(err, "write", target);
    unlink(link);
    vbl_atomic_folder_abort(f);
    return keep_note(err, target);
  }
  f->path[0] = 0;
  VBL_TRY(vbl_folder_sync(f->parent, err));
  vbl_tree_remove(link, NULL);  // there only after an exchange: the real folder that stood in the link's place
  snprintf(old_path, sizeof old_path, "%s/%s", f->parent, old);
  if (*old == '.' && !strchr(old, '/')) vbl_tree_remove(old_path, NULL);  // what stays is a left-over for vbl_clean_stale
  return VBL_OK;
}

// NAME.tmp-DIGITS
static bool is_stale_file(const char *name) {
  const char *mark = NULL;
  for (const char *p = name; (p = strstr(p, VBL_STALE_MARK)); p++) mark = p;
  if (!mark || mark == name) return false;
  const char *digits = mark + strlen(VBL_STALE_MARK);
  if (!*digits) return false;
  while (isdigit((unsigned char)*digits)) digits++;
  return !*digits;
}

// .NAME-PID-COUNTER or .NAME-PID-COUNTER.link, as vbl_atomic_folder_begin makes them
static bool is_hidden_folder(const char *name) {
  size_t n = strlen(name);
  if (name[0] != '.' || n < 5) return false;
  if (n > 5 && strcmp(name + n - 5, ".link") == 0) n -= 5;
  int dashes = 0, digits = 0;
  while (n > 1 && dashes < 2) {
    char c = name[--n];
    if (c == '-' && digits > 0)
      dashes++, digits = 0;
    else if (isdigit((unsigned char)c))
      digits++;
    else
      return false;
  }
  return dashes == 2 && n > 1;
}

static bool is_linked(const char *folder, const char *name) {
  DIR *dir = opendir(folder);
  bool linked = false;
  for (struct dirent *e; dir && !linked && (e = readdir(dir));) {
    char path[PATH_MAX], to[PATH_MAX];
    if (e->d_name[0] == '.' || snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= (int)sizeof path) continue;
    ssize_t n = readlink(path, to, sizeof to - 1);
    if (n <= 0) continue;
    to[n] = 0;
    linked = strcmp(to, name) == 0;
  }
  if (dir) closedir(dir);
  return linked || !dir;
}

vbl_status vbl_clean_stale(const char *folder, int *removed, vbl_error *err) {
  DIR *dir = opendir(folder);
  if (removed) *removed = 0;
  if (!dir) return vbl_fail_errno(err, "open folder", folder);
  vbl_status s = VBL_OK;
  for (struct dirent *e; s == VBL_OK && (e = readdir(dir));) {
    if (!is_stale_file(e->d_name) && !(is_hidden_folder(e->d_name) && !is_linked(folder, e->d_name))) continue;
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= (int)sizeof path) continue;
    s = vbl_tree_remove(path, err);
    if (removed) ++*removed;
  }
  closedir(dir);
  return s;
}
