// Calls on files and folders.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/faults.h"

#define CALLER __builtin_return_address(0)

// The error of a call that may not be done; 0: it is to be done.
static int refused(fault_class c, const char *call, const char *path, int fd) {
  int code = fault_hit(c, NULL, call, path, fd);
  if (code <= 0) return 0;
  errno = code;
  return code;
}

// ---- opening -------------------------------------------------------------------------------------------------------------

static int refused_open(const char *path, int flags) {
  int code = refused(FAULT_OPEN, "open", path, -1);
  if (code == 0 && (flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR)) != 0) code = refused(FAULT_CREATE, "create", path, -1);
  return code;
}

#define MODE(mode, flags)                                           \
  mode_t mode = 0;                                                  \
  if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) { \
    va_list arguments;                                              \
    va_start(arguments, flags);                                     \
    mode = va_arg(arguments, mode_t);                               \
    va_end(arguments);                                              \
  }

int open(const char *path, int flags, ...) {
  MODE(mode, flags)
  return refused_open(path, flags) ? -1 : NEXT(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  MODE(mode, flags)
  return refused_open(path, flags) ? -1 : NEXT(open64)(path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
  MODE(mode, flags)
  return refused_open(path, flags) ? -1 : NEXT(openat)(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
  MODE(mode, flags)
  return refused_open(path, flags) ? -1 : NEXT(openat64)(at, path, flags, mode);
}

static int flags_of(const char *mode) {
  return *mode == 'r' && mode[1] != '+' && mode[1] != 'b' ? O_RDONLY : *mode == 'r' ? O_RDONLY : O_CREAT;
}

FILE *fopen(const char *path, const char *mode) { return refused_open(path, flags_of(mode)) ? NULL : NEXT(fopen)(path, mode); }

FILE *fopen64(const char *path, const char *mode) { return refused_open(path, flags_of(mode)) ? NULL : NEXT(fopen64)(path, mode); }

DIR *opendir(const char *path) { return refused(FAULT_OPEN, "opendir", path, -1) ? NULL : NEXT(opendir)(path); }

// ---- reading and writing ---------------------------------------------------------------------------------------------------

ssize_t read(int fd, void *to, size_t n) {
  int code = fault_hit(FAULT_READ, CALLER, "read", NULL, fd);
  if (code > 0) return errno = code, -1;
  return NEXT(read)(fd, to, code == FAULT_SHORT ? (n + 1) / 2 : n);
}

ssize_t pread(int fd, void *to, size_t n, off_t at) {
  int code = fault_hit(FAULT_READ, CALLER, "pread", NULL, fd);
  if (code > 0) return errno = code, -1;
  return NEXT(pread)(fd, to, code == FAULT_SHORT ? (n + 1) / 2 : n, at);
}

ssize_t pread64(int fd, void *to, size_t n, off64_t at) {
  int code = fault_hit(FAULT_READ, CALLER, "pread", NULL, fd);
  if (code > 0) return errno = code, -1;
  return NEXT(pread64)(fd, to, code == FAULT_SHORT ? (n + 1) / 2 : n, at);
}

static int hit_write(const char *call, int fd) { return fd == STDERR_FILENO ? 0 : fault_hit(FAULT_WRITE, NULL, call, NULL, fd); }

ssize_t write(int fd, const void *from, size_t n) {
  int code = hit_write("write", fd);
  if (code > 0) return errno = code, -1;
  return NEXT(write)(fd, from, code == FAULT_SHORT ? (n + 1) / 2 : n);
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at) {
  int code = hit_write("pwrite", fd);
  if (code > 0) return errno = code, -1;
  return NEXT(pwrite)(fd, from, code == FAULT_SHORT ? (n + 1) / 2 : n, at);
}

ssize_t pwrite64(int fd, const void *from, size_t n, off64_t at) {
  int code = hit_write("pwrite", fd);
  if (code > 0) return errno = code, -1;
  return NEXT(pwrite64)(fd, from, code == FAULT_SHORT ? (n + 1) / 2 : n, at);
}

// A stream whose write has failed says so ever after (ferror): the flag is glibc's.
static int refused_stream(const char *call, FILE *f) {
  int code = f == NULL || f == stderr ? 0 : hit_write(call, fileno(f));
  if (code <= 0) return 0;
  f->_flags |= 0x20;  // _IO_ERR_SEEN
  return errno = code;
}

size_t fwrite(const void *from, size_t size, size_t n, FILE *f) {
  return refused_stream("fwrite", f) ? 0 : NEXT(fwrite)(from, size, n, f);
}

int fflush(FILE *f) { return refused_stream("fflush", f) ? EOF : NEXT(fflush)(f); }

int ftruncate(int fd, off_t size) { return refused(FAULT_WRITE, "ftruncate", NULL, fd) ? -1 : NEXT(ftruncate)(fd, size); }

int truncate(const char *path, off_t size) { return refused(FAULT_WRITE, "truncate", path, -1) ? -1 : NEXT(truncate)(path, size); }

// ---- to the disk ------------------------------------------------------------------------------------------------------------

static int synced(int fd, int result) {
  if (result == 0 && fault_inside == 0) durable_synced(fd);
  return result;
}

int fsync(int fd) { return refused(FAULT_SYNC, "fsync", NULL, fd) ? -1 : synced(fd, NEXT(fsync)(fd)); }

int fdatasync(int fd) { return refused(FAULT_SYNC, "fdatasync", NULL, fd) ? -1 : synced(fd, NEXT(fdatasync)(fd)); }

// As Linux does: the descriptor is gone also when closing it fails.
int close(int fd) {
  int code = fault_hit(FAULT_CLOSE, CALLER, "close", NULL, fd), result = NEXT(close)(fd);
  return code > 0 ? errno = code, -1 : result;
}

int fclose(FILE *f) {
  int code = fault_hit(FAULT_CLOSE, CALLER, "fclose", NULL, fileno(f)), result = NEXT(fclose)(f);
  return code > 0 ? errno = code, EOF : result;
}

// ---- names ----------------------------------------------------------------------------------------------------------------------

// The result of a change of names: refused, done, or done and yet failing with `lost`.
#define CHANGE(class, call, path, lost, done)                  \
  do {                                                         \
    int code_ = fault_hit(class, CALLER, call, path, -1);      \
    if (code_ > 0) return errno = code_, -1;                   \
    int result_ = done;                                        \
    return code_ == FAULT_LOST ? errno = (lost), -1 : result_; \
  } while (0)

int rename(const char *from, const char *to) { CHANGE(FAULT_RENAME, "rename", to, ENOENT, NEXT(rename)(from, to)); }

int renameat(int at, const char *from, int to_at, const char *to) {
  CHANGE(FAULT_RENAME, "renameat", to, ENOENT, NEXT(renameat)(at, from, to_at, to));
}

int renameat2(int at, const char *from, int to_at, const char *to, unsigned flags) {
  CHANGE(FAULT_RENAME, "renameat2", to, ENOENT, NEXT(renameat2)(at, from, to_at, to, flags));
}

int link(const char *from, const char *to) { CHANGE(FAULT_RENAME, "link", to, EEXIST, NEXT(link)(from, to)); }

int symlink(const char *target, const char *path) { CHANGE(FAULT_RENAME, "symlink", path, EEXIST, NEXT(symlink)(target, path)); }

int mkdir(const char *path, mode_t mode) { CHANGE(FAULT_MKDIR, "mkdir", path, EEXIST, NEXT(mkdir)(path, mode)); }

int unlink(const char *path) { CHANGE(FAULT_UNLINK, "unlink", path, ENOENT, NEXT(unlink)(path)); }

int rmdir(const char *path) { CHANGE(FAULT_UNLINK, "rmdir", path, ENOENT, NEXT(rmdir)(path)); }

int remove(const char *path) { CHANGE(FAULT_UNLINK, "remove", path, ENOENT, NEXT(remove)(path)); }

int flock(int fd, int operation) { return refused(FAULT_LOCK, "flock", NULL, fd) ? -1 : NEXT(flock)(fd, operation); }
