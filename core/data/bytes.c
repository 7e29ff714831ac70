// Growing bytes, whole files, FNV-1a.
// defines: vbl_bytes_{add,add_text,read,free}, vbl_hash_bytes
#include "core/data/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static vbl_status reserve(vbl_bytes *b, size_t room, vbl_error *err) {
  if (room <= b->room) return VBL_OK;
  if (room < 2 * b->room) room = 2 * b->room;
  if (room < 64) room = 64;
  uint8_t *data = realloc(b->data, room);
  if (data == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %zu bytes", room);
  b->data = data;
  b->room = room;
  return VBL_OK;
}

vbl_status vbl_bytes_add(vbl_bytes *b, const void *data, size_t n, vbl_error *err) {
  if (n == 0) return VBL_OK;
  VBL_TRY(reserve(b, b->size + n, err));
  memcpy(b->data + b->size, data, n);
  b->size += n;
  return VBL_OK;
}

vbl_status vbl_bytes_add_text(vbl_bytes *b, const char *text, vbl_error *err) { return vbl_bytes_add(b, text, strlen(text), err); }

void vbl_bytes_free(vbl_bytes *b) {
  free(b->data);
  *b = (vbl_bytes){0};
}

static vbl_status read_open(int fd, size_t max_bytes, vbl_bytes *out, vbl_error *err) {
  struct stat st;
  if (fstat(fd, &st) != 0) return vbl_fail(err, VBL_EIO, "%s", strerror(errno));
  if (!S_ISREG(st.st_mode)) return vbl_fail(err, VBL_EIO, "not a regular file");
  if ((uint64_t)st.st_size > max_bytes)
    return vbl_fail(err, VBL_EIO, "%lld bytes, more than the %zu allowed", (long long)st.st_size, max_bytes);
  VBL_TRY(reserve(out, (size_t)st.st_size + 1, err));
  while (out->size < (size_t)st.st_size) {
    ssize_t got = read(fd, out->data + out->size, (size_t)st.st_size - out->size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return vbl_fail(err, VBL_EIO, "read failed: %s", strerror(errno));
    if (got == 0) break;
    out->size += (size_t)got;
  }
  return VBL_OK;
}

vbl_status vbl_bytes_read(const char *path, size_t max_bytes, vbl_bytes *out, vbl_error *err) {
  *out = (vbl_bytes){0};
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO would wait for its writer
  if (fd < 0) {
    int code = errno;
    return vbl_fail(err, vbl_status_of_errno(code), "%s: %s", path, strerror(code));
  }
  vbl_status status = read_open(fd, max_bytes, out, err);
  close(fd);
  if (status != VBL_OK) {
    vbl_bytes_free(out);
    return vbl_context(err, "%s", path);
  }
  return VBL_OK;
}

uint64_t vbl_hash_bytes(uint64_t hash, const void *data, size_t n) {
  const uint8_t *byte = data;
  for (size_t i = 0; i < n; i++) hash = (hash ^ byte[i]) * 0x100000001B3u;
  return hash;
}
