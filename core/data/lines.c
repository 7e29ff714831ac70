// Lines of a mapped file.
// defines: vbl_lines_{open,close,at}
#include "core/data/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/store/file.h"

static vbl_status grow(vbl_lines *l, size_t *room, vbl_error *err) {
  *room = *room == 0 ? 1024 : 2 * *room;
  size_t *start = realloc(l->start, *room * sizeof *start);
  if (start == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %zu lines", *room);
  l->start = start;
  return VBL_OK;
}

static vbl_status find_lines(vbl_lines *l, vbl_error *err) {
  size_t room = 0;
  VBL_TRY(grow(l, &room, err));
  l->start[0] = 0;
  for (size_t at = 0; at < l->bytes;) {
    if ((size_t)l->count + 2 > room) VBL_TRY(grow(l, &room, err));
    const char *end = memchr(l->map + at, '\n', l->bytes - at);
    at = end == NULL ? l->bytes : (size_t)(end - l->map) + 1;
    l->start[++l->count] = at;
  }
  return VBL_OK;
}

static vbl_status open_all(int fd, vbl_lines *l, vbl_error *err) {
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return vbl_fail(err, VBL_EIO, "not a regular file");
  l->bytes = (size_t)st.st_size;
  if (l->bytes > 0) {
    void *map = mmap(NULL, l->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) return vbl_fail(err, VBL_ENOMEM, "cannot map it: %s", strerror(errno));
    l->map = map;
  }
  return find_lines(l, err);
}

vbl_status vbl_lines_open(const char *path, vbl_lines *out, vbl_error *err) {
  *out = (vbl_lines){0};
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO would wait for its writer
  if (fd < 0) return vbl_fail_errno(err, "open", path);
  vbl_status status = open_all(fd, out, err);
  close(fd);
  if (status == VBL_OK) return VBL_OK;
  vbl_lines_close(out);
  return vbl_context(err, "%s", path);
}

void vbl_lines_close(vbl_lines *l) {
  if (l->map != NULL) munmap(l->map, l->bytes);
  free(l->start);
  *l = (vbl_lines){0};
}

const char *vbl_lines_at(const vbl_lines *l, int64_t i, size_t *n) {
  const char *at = l->map + l->start[i], *end = l->map + l->start[i + 1];
  if (end > at && end[-1] == '\n') end--;
  if (end > at && end[-1] == '\r') end--;
  *n = (size_t)(end - at);
  return at;
}
