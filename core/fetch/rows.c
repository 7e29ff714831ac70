// The TSV: mapped, its lines found; no quoting (a caption may begin with a quote).
// defines: vbl_fetch_table_{open,close,row}
#ifdef VBL_CURL
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/data/basic_tokenizer.h"
#include "core/fetch/work.h"
#include "core/store/file.h"

static vbl_status find_lines(vbl_fetch_table *t, vbl_error *err) {
  size_t room = 0;
  for (size_t at = 0; at < t->bytes || t->rows == 0; t->rows++) {
    if ((size_t)t->rows + 2 > room) {
      room = room == 0 ? 1024 : 2 * room;
      size_t *line = realloc(t->line, room * sizeof *line);
      if (line == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %zu lines", room);
      t->line = line;
    }
    t->line[t->rows] = at;
    if (at >= t->bytes) break;
    const char *end = memchr(t->map + at, '\n', t->bytes - at);
    at = end == NULL ? t->bytes : (size_t)(end - t->map) + 1;
    t->line[t->rows + 1] = at;
  }
  return t->rows > 0 ? VBL_OK : vbl_fail(err, VBL_EIO, "no rows in it");
}

static vbl_status open_all(int fd, vbl_fetch_table *t, vbl_error *err) {
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return vbl_fail(err, VBL_EIO, "not a regular file");
  t->bytes = (size_t)st.st_size;
  if (t->bytes > 0) {
    void *map = mmap(NULL, t->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) return vbl_fail(err, VBL_ENOMEM, "cannot map it: %s", strerror(errno));
    t->map = map;
  }
  t->hash = vbl_hash_bytes(VBL_HASH_START, t->map, t->bytes);
  return find_lines(t, err);
}

vbl_status vbl_fetch_table_open(const char *path, vbl_fetch_table *t, vbl_error *err) {
  *t = (vbl_fetch_table){0};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return vbl_fail_errno(err, "open", path);
  vbl_status status = open_all(fd, t, err);
  close(fd);
  if (status == VBL_OK) return VBL_OK;
  vbl_context(err, "%s", path);
  return status;
}

void vbl_fetch_table_close(vbl_fetch_table *t) {
  if (t->map != NULL) munmap(t->map, t->bytes);
  free(t->line);
  *t = (vbl_fetch_table){0};
}

static bool is_web(const char *url, size_t n) {
  return (n > 7 && strncasecmp(url, "http://", 7) == 0) || (n > 8 && strncasecmp(url, "https://", 8) == 0);
}

const char *vbl_fetch_table_row(const vbl_fetch_table *t, vbl_fetch_columns columns, int64_t i, vbl_fetch_row *row) {
  const char *at = t->map + t->line[i], *end = t->map + t->line[i + 1];
  *row = (vbl_fetch_row){"", "", 0, 0};
  if (end > at && end[-1] == '\n') end--;
  if (end > at && end[-1] == '\r') end--;
  const char *tab = memchr(at, '\t', (size_t)(end - at));
  if (tab == NULL) return "no tab in the line";
  const char *second = tab + 1, *stop = memchr(second, '\t', (size_t)(end - second));
  if (stop == NULL) stop = end;  // further columns are not ours
  *row = columns == VBL_FETCH_CC3M ? (vbl_fetch_row){second, at, (size_t)(stop - second), (size_t)(tab - at)}
                                   : (vbl_fetch_row){at, second, (size_t)(tab - at), (size_t)(stop - second)};
  if (vbl_utf8_check(row->caption, row->caption_bytes, NULL) != VBL_OK) return "the caption is not UTF-8";
  if (vbl_utf8_check(row->url, row->url_bytes, NULL) != VBL_OK) return "the URL is not UTF-8";
  for (size_t k = 0; k < row->url_bytes; k++)
    if ((unsigned char)row->url[k] <= ' ') return "a blank or control character in the URL";
  if (row->url_bytes > 8000) return "a URL of more than 8,000 bytes";
  return is_web(row->url, row->url_bytes) ? NULL : "the URL is not http or https";
}
#endif
