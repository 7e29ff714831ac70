// Tar archives. Formats: POSIX.1-1988 (ustar), POSIX.1-2001 (pax), GNU tar's manual, "Basic Tar Format".
// defines: vbl_tar_{open,next,read,free}
#include "core/data/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 512, WINDOW = 32 << 10, MAX_EXTENSION = 1 << 20 };

// Fields of a header block: offsets and lengths.
enum {
  NAME_AT = 0,
  NAME = 100,
  SIZE_AT = 124,
  SIZE = 12,
  SUM_AT = 148,
  SUM = 8,
  TYPE_AT = 156,
  MAGIC_AT = 257,
  PREFIX_AT = 345,
  PREFIX = 155
};

vbl_status vbl_tar_open(const char *path, vbl_tar **out, vbl_error *err) {
  struct stat st;
  *out = NULL;
  vbl_tar *t = calloc(1, sizeof *t);
  if (t == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for an archive");
  t->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO would wait for its writer
  t->path = strdup(path);
  t->window = malloc(WINDOW);
  t->pax_size = -1;
  vbl_status status = VBL_OK;
  if (t->fd < 0 || fstat(t->fd, &st) != 0)
    status = vbl_fail(err, VBL_EIO, "%s: %s", path, strerror(errno));
  else if (!S_ISREG(st.st_mode))
    status = vbl_fail(err, VBL_EIO, "%s: not a regular file", path);
  else if (t->path == NULL || t->window == NULL)
    status = vbl_fail(err, VBL_ENOMEM, "out of memory for an archive");
  if (status != VBL_OK) {
    vbl_tar_free(t);
    return status;
  }
  t->size = (int64_t)st.st_size;
  *out = t;
  return VBL_OK;
}

void vbl_tar_free(vbl_tar *t) {
  if (t == NULL) return;
  if (t->fd >= 0) close(t->fd);
  vbl_bytes_free(&t->report);
  vbl_bytes_free(&t->name);
  free(t->path);
  free(t->window);
  free(t);
}

static vbl_status note(vbl_tar *t, vbl_error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));
static vbl_status note(vbl_tar *t, vbl_error *err, const char *format, ...) {
  char line[600];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  t->damaged++;
  VBL_TRY(vbl_bytes_add_text(&t->report, t->path, err));
  VBL_TRY(vbl_bytes_add_text(&t->report, ": ", err));
  VBL_TRY(vbl_bytes_add_text(&t->report, line, err));
  return vbl_bytes_add_text(&t->report, "\n", err);
}

// Bytes [at, at + n) of the file, n <= WINDOW and within the file, as a pointer into the window.
static vbl_status look(vbl_tar *t, int64_t at, size_t n, const uint8_t **out, vbl_error *err) {
  if (at < t->window_at || at + (int64_t)n > t->window_at + (int64_t)t->window_bytes) {
    t->window_at = at;
    t->window_bytes = 0;
    while (t->window_bytes < n) {
      ssize_t got = pread(t->fd, t->window + t->window_bytes, WINDOW - t->window_bytes, at + (int64_t)t->window_bytes);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return vbl_fail(err, VBL_EIO, "%s: %s", t->path, got < 0 ? strerror(errno) : "it was cut while it was read");
      t->window_bytes += (size_t)got;
    }
  }
  *out = t->window + (at - t->window_at);
  return VBL_OK;
}

vbl_status vbl_tar_read(vbl_tar *t, int64_t offset, int64_t bytes, vbl_bytes *out, vbl_error *err) {
  if (offset < 0 || bytes < 0 || bytes > t->size || offset > t->size - bytes)
    return vbl_fail(err, VBL_EIO, "%s: cannot read %lld bytes from byte %lld on: it has %lld", t->path, (long long)bytes,
                    (long long)offset, (long long)t->size);
  while (bytes > 0) {
    const uint8_t *piece;
    size_t n = bytes < WINDOW ? (size_t)bytes : WINDOW;
    VBL_TRY(look(t, offset, n, &piece, err));
    VBL_TRY(vbl_bytes_add(out, piece, n, err));
    offset += (int64_t)n;
    bytes -= (int64_t)n;
  }
  return VBL_OK;
}

// An octal number with blanks or NULs round it, or GNU's binary form (first bit set). False: neither, or beyond 2^62.
static bool read_number(const uint8_t *field, size_t n, int64_t *out) {
  int64_t v = 0;
  size_t i = 0;
  if (field[0] == 0x80) {
    for (i = 1; i < n; i++) {
      if (v >> 54) return false;
      v = v << 8 | field[i];
    }
    *out = v;
    return true;
  }
  while (i < n && field[i] == ' ') i++;
  if (i == n || field[i] < '0' || field[i] > '7') return false;
  for (; i < n && field[i] >= '0' && field[i] <= '7'; i++) v = v << 3 | (field[i] - '0');  // 12 digits: 36 bits
  *out = v;
  return i == n || field[i] == ' ' || field[i] == 0;
}

// The sum of the header's bytes with blanks in place of the sum; old programs summed them as signed.
static bool sum_is_right(const uint8_t *h) {
  int64_t wanted, plain = 0, with_signs = 0;
  if (!read_number(h + SUM_AT, SUM, &wanted)) return false;
  for (int i = 0; i < BLOCK; i++) {
    uint8_t b = i >= SUM_AT && i < SUM_AT + SUM ? ' ' : h[i];
    plain += b;
    with_signs += (int8_t)b;
  }
  return wanted == plain || wanted == with_signs;
}

static bool is_zero(const uint8_t *h) {
  for (int i = 0; i < BLOCK; i++)
    if (h[i] != 0) return false;
  return true;
}

// The first good header from t->at on; the archive's end when there is none.
static vbl_status resynchronise(vbl_tar *t, vbl_error *err) {
  const uint8_t *h;
  int64_t from = t->at;
  for (t->at += BLOCK; t->at + BLOCK <= t->size; t->at += BLOCK) {
    VBL_TRY(look(t, t->at, BLOCK, &h, err));
    if (memcmp(h + MAGIC_AT, "ustar", 5) == 0 && sum_is_right(h)) break;
  }
  if (t->at + BLOCK > t->size) t->at = t->size;
  t->name.size = 0;
  t->pax_size = -1;
  return note(t, err, "byte %lld: no tar header; the next one is at byte %lld, what lies between is lost", (long long)from,
              (long long)t->at);
}

// Records "LENGTH KEYWORD=VALUE\n" of a pax header.
static vbl_status read_pax(vbl_tar *t, const char *body, size_t n, vbl_error *err) {
  while (n > 0) {
    size_t length = 0, i = 0;
    while (i < n && body[i] >= '0' && body[i] <= '9' && length < MAX_EXTENSION) length = 10 * length + (size_t)(body[i++] - '0');
    if (i == 0 || i >= n || body[i] != ' ' || length <= i + 1 || length > n) break;  // padding, or no record
    const char *keyword = body + i + 1, *end = body + length - 1;
    size_t rest = (size_t)(end - keyword);
    if (rest > 5 && memcmp(keyword, "path=", 5) == 0) {
      t->name.size = 0;
      VBL_TRY(vbl_bytes_add(&t->name, keyword + 5, rest - 5, err));
    } else if (rest > 5 && rest < 25 && memcmp(keyword, "size=", 5) == 0) {
      char digits[24] = {0};
      memcpy(digits, keyword + 5, rest - 5);
      t->pax_size = strtoll(digits, NULL, 10);
    }
    body += length;
    n -= length;
  }
  return VBL_OK;
}

// What stands before a member: 'x' pax records, 'L' its long name.
static vbl_status read_extension(vbl_tar *t, char type, int64_t at, int64_t bytes, vbl_error *err) {
  vbl_bytes body = {0};
  if (bytes > MAX_EXTENSION) return VBL_OK;
  vbl_status status = vbl_tar_read(t, at, bytes, &body, err);
  if (status == VBL_OK && type == 'x') status = read_pax(t, (const char *)body.data, body.size, err);
  if (status == VBL_OK && type == 'L' && body.size > 0) {
    t->name.size = 0;
    status = vbl_bytes_add(&t->name, body.data, strnlen((const char *)body.data, body.size), err);
  }
  vbl_bytes_free(&body);
  return status;
}

// The member's name from its header, unless an extension gave one.
static vbl_status read_name(vbl_tar *t, const uint8_t *h, vbl_error *err) {
  if (t->name.size == 0) {
    size_t prefix = memcmp(h + MAGIC_AT, "ustar\0", 6) == 0 ? strnlen((const char *)h + PREFIX_AT, PREFIX) : 0;
    if (prefix > 0) VBL_TRY(vbl_bytes_add(&t->name, h + PREFIX_AT, prefix, err));
    if (prefix > 0) VBL_TRY(vbl_bytes_add_text(&t->name, "/", err));
    VBL_TRY(vbl_bytes_add(&t->name, h + NAME_AT, strnlen((const char *)h + NAME_AT, NAME), err));
  }
  return vbl_bytes_add(&t->name, "", 1, err);
}

// One header at t->at and what belongs to it. A regular file is given out.
static vbl_status step(vbl_tar *t, vbl_tar_member *member, vbl_error *err) {
  uint8_t h[BLOCK];
  const uint8_t *block;
  int64_t bytes;
  VBL_TRY(look(t, t->at, BLOCK, &block, err));
  if (is_zero(block)) {
    bool last = t->at + 2 * BLOCK > t->size;
    if (!last) VBL_TRY(look(t, t->at + BLOCK, BLOCK, &block, err));
    t->ended = true;
    t->at = last || is_zero(block) ? t->size : t->at + BLOCK;
    return VBL_OK;
  }
  if (!sum_is_right(block) || !read_number(block + SIZE_AT, SIZE, &bytes)) {
    if (t->at == 0) return vbl_fail(err, VBL_EIO, "%s: no tar archive: its first block is no header", t->path);
    return resynchronise(t, err);
  }
  memcpy(h, block, BLOCK);
  char type = (char)h[TYPE_AT];
  bool regular = type == '0' || type == 0 || type == '7', extension = type == 'x' || type == 'L';
  if (!extension && t->pax_size >= 0) bytes = t->pax_size;
  if (type >= '1' && type <= '6') bytes = 0;  // links, devices, folders
  int64_t data = t->at + BLOCK;
  if (bytes > t->size - data) {
    if (regular) VBL_TRY(read_name(t, h, err));
    VBL_TRY(note(t, err, "cut off: it ends within %s (%lld of %lld bytes are there)",
                 regular ? (const char *)t->name.data : "a header", (long long)(t->size - data), (long long)bytes));
    t->at = t->size;
    return VBL_OK;
  }
  t->at = data + (bytes + BLOCK - 1) / BLOCK * BLOCK;
  if (extension) return read_extension(t, type, data, bytes, err);
  if (regular) {
    VBL_TRY(read_name(t, h, err));
    const char *name = (const char *)t->name.data;
    *member = (vbl_tar_member){strncmp(name, "./", 2) == 0 ? name + 2 : name, data, bytes};
  }
  if (type != 'g') {
    t->name.size = 0;  // the bytes stay until the next header
    t->pax_size = -1;
  }
  return VBL_OK;
}

vbl_status vbl_tar_next(vbl_tar *t, vbl_tar_member *member, vbl_error *err) {
  *member = (vbl_tar_member){0};
  while (member->name == NULL && t->at + BLOCK <= t->size) VBL_TRY(step(t, member, err));
  if (member->name == NULL && t->at < t->size) {
    VBL_TRY(note(t, err, "cut off: %lld bytes at its end are no whole block", (long long)(t->size - t->at)));
    t->at = t->size;
  }
  if (member->name == NULL && t->size == 0) return vbl_fail(err, VBL_EIO, "%s: an empty file (0 bytes)", t->path);
  return VBL_OK;
}
