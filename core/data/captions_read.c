// Captions: the TSV's lines, grouped by image, without the bad ones.
// defines: vbl_captions_read, vbl_captions_note
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/interrupt.h"
#include "core/data/basic_tokenizer.h"
#include "core/data/captions.h"

// A good line.
typedef struct row {
  const char *caption;
  int32_t image;  // number of its path among the distinct ones
} row;

typedef struct reading {
  row *rows;
  int32_t count, room;
  vbl_vocabulary *paths;  // the distinct paths, numbered as they come
  bool *bad;              // [paths]
  int64_t crlf;
} reading;

vbl_status vbl_captions_note(vbl_captions *c, vbl_error *err, const char *format, ...) {
  char line[1200];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(line, sizeof line - 1, format, args);
  va_end(args);
  if (n > (int)sizeof line - 2) n = (int)sizeof line - 2;
  line[n] = '\n';
  return vbl_bytes_add(&c->report, line, (size_t)n + 1, err);
}

static vbl_status add_row(reading *r, const char *path, const char *caption, vbl_error *err) {
  int32_t image = vbl_vocabulary_find(r->paths, path, strlen(path));
  if (image < 0) {
    image = vbl_vocabulary_size(r->paths);
    VBL_TRY(vbl_vocabulary_add(r->paths, path, strlen(path), err));
  }
  if (r->count == r->room) {
    int32_t room = r->room == 0 ? 1024 : 2 * r->room;
    row *rows = realloc(r->rows, (size_t)room * sizeof *rows);
    if (rows == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d captions", room);
    r->rows = rows;
    r->room = room;
  }
  r->rows[r->count++] = (row){caption, image};
  return VBL_OK;
}

// What is wrong with a line of n bytes (at[n] may be written), or NULL; then *caption is where the caption begins.
static const char *fault(char *at, size_t n, char **caption, char why[160]) {
  char *tab = memchr(at, '\t', n);
  vbl_error err;
  if (memchr(at, 0, n) != NULL) return "a NUL byte";
  if (tab == NULL) return "no tab; expected path<TAB>caption";
  if (tab == at) return "an empty path";
  *caption = tab + 1;
  if (strspn(tab + 1, " \t") == (size_t)(at + n - tab - 1)) return "an empty caption";
  if (vbl_utf8_check(at, n, &err) == VBL_OK) return NULL;
  snprintf(why, 160, "%.150s", err.message);
  return why;
}

static vbl_status read_line(vbl_captions *c, reading *r, const char *name, char *at, size_t n, vbl_error *err) {
  char why[160], *caption;
  if (n > 0 && at[n - 1] == '\r') {
    r->crlf++;
    n--;
  }
  at[n] = 0;
  const char *wrong = fault(at, n, &caption, why);
  if (wrong != NULL) {
    c->bad_lines++;
    return vbl_captions_note(c, err, "%s:%lld: %s; line skipped", name, (long long)c->lines, wrong);
  }
  caption[-1] = 0;
  return add_row(r, at, caption, err);
}

// Too many bad ones: an error that shows the first lines of the report from byte `from` on.
static vbl_status check_bad(const vbl_captions *c, const char *name, int64_t bad, int64_t all, const char *what, size_t from,
                            double max_bad, vbl_error *err) {
  if ((double)bad <= max_bad * (double)all) return VBL_OK;
  const char *first = (const char *)c->report.data + from;
  int shown = 0, lines = 0, most = (int)(c->report.size - from);
  while (shown < most && shown < 600 && lines < 3) lines += first[shown++] == '\n';
  return vbl_fail(err, VBL_EIO,
                  "%s: %lld of %lld %s are bad, more than max_bad = %g of them; the first:\n%.*s(mend them or raise max_bad)", name,
                  (long long)bad, (long long)all, what, max_bad, shown, first);
}

static vbl_status read_lines(vbl_captions *c, reading *r, const char *name, double max_bad, vbl_error *err) {
  VBL_TRY(vbl_bytes_add(&c->file, "\n", 1, err));  // a last line end, and room for the last NUL
  char *at = (char *)c->file.data, *end = at + c->file.size;
  at += vbl_byte_order_mark(at, (size_t)(end - at));
  while (at < end) {
    char *stop = memchr(at, '\n', (size_t)(end - at));
    bool after_last = stop == at && stop + 1 == end;  // the file ended in a line end of its own
    if (!after_last) c->lines++;
    if (!after_last) VBL_TRY(read_line(c, r, name, at, (size_t)(stop - at), err));
    at = stop + 1;
  }
  if (r->crlf > 0) VBL_TRY(vbl_captions_note(c, err, "%s: %lld lines end in CRLF; the CR is left out", name, (long long)r->crlf));
  VBL_TRY(check_bad(c, name, c->bad_lines, c->lines, "lines", 0, max_bad, err));
  if (r->count == 0) return vbl_fail(err, VBL_EIO, "%s: no captions in it; expected lines path<TAB>caption", name);
  return VBL_OK;
}

static vbl_status join(const char *folder, const char *path, vbl_bytes *out, vbl_error *err) {
  out->size = 0;
  if (path[0] != '/') VBL_TRY(vbl_bytes_add(out, folder, strlen(folder), err));
  return vbl_bytes_add(out, path, strlen(path) + 1, err);
}

// Checks the images and adds their sizes to the hash.
static vbl_status probe_images(vbl_captions *c, reading *r, vbl_bytes *file, vbl_error *err) {
  int32_t n = vbl_vocabulary_size(r->paths);
  r->bad = calloc((size_t)n, sizeof *r->bad);
  if (r->bad == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d images", n);
  for (int32_t i = 0; i < n; i++) {
    vbl_error why;
    struct stat st = {0};
    VBL_TRY(vbl_interrupt_check(err));
    VBL_TRY(join(c->folder, vbl_vocabulary_token(r->paths, i), file, err));
    int64_t size = stat((const char *)file->data, &st) == 0 ? (int64_t)st.st_size : -1;
    c->hash = vbl_hash_bytes(c->hash, &size, sizeof size);
    r->bad[i] = vbl_image_probe((const char *)file->data, &why) != VBL_OK;
    if (!r->bad[i]) continue;
    c->bad_images++;
    VBL_TRY(vbl_captions_note(c, err, "image %s; skipped with its captions", why.message));
  }
  return VBL_OK;
}

// Samples are the good images in the order of their first lines, each with its captions in the order of the lines.
static vbl_status group(vbl_captions *c, reading *r, vbl_error *err) {
  int32_t images = vbl_vocabulary_size(r->paths), samples = 0, *number = malloc((size_t)images * sizeof *number);
  c->path = malloc((size_t)images * sizeof *c->path);
  c->first = calloc((size_t)images + 2, sizeof *c->first);
  c->caption = malloc((size_t)r->count * sizeof *c->caption);
  if (number == NULL || c->path == NULL || c->first == NULL || c->caption == NULL) {
    free(number);
    return vbl_fail(err, VBL_ENOMEM, "out of memory for %d captions", r->count);
  }
  for (int32_t i = 0; i < images; i++) number[i] = r->bad[i] ? -1 : samples++;
  // first[s + 2] counts sample s, then first[s + 1] is where its next caption goes, and in the end its captions' end.
  for (int32_t i = 0; i < r->count; i++)
    if (number[r->rows[i].image] >= 0) c->first[number[r->rows[i].image] + 2]++;
  for (int32_t s = 0; s < samples; s++) c->first[s + 2] += c->first[s + 1];
  for (int32_t i = 0; i < r->count; i++) {
    int32_t s = number[r->rows[i].image];
    if (s >= 0) c->caption[c->first[s + 1]++] = r->rows[i].caption;
  }
  for (int32_t i = r->count - 1; i >= 0; i--) {  // the path of a sample: a string in the file, before a caption of its
    int32_t s = number[r->rows[i].image];
    if (s >= 0) c->path[s] = r->rows[i].caption - 1 - strlen(vbl_vocabulary_token(r->paths, r->rows[i].image));
  }
  c->source.samples = samples;
  free(number);
  return VBL_OK;
}

static vbl_status read_all(vbl_captions *c, reading *r, const char *path, double max_bad, vbl_error *err) {
  const char *slash = strrchr(path, '/');
  vbl_bytes file = {0};
  vbl_error why;
  vbl_status found = vbl_bytes_read(path, (size_t)1 << 36, &c->file, &why);
  if (found != VBL_OK)
    return vbl_fail(err, found, "%s (expected a file of lines: image path, tab, caption; data=scenes needs no file)", why.message);
  c->hash = vbl_hash_bytes(VBL_HASH_START, c->file.data, c->file.size);
  c->folder = strndup(path, slash == NULL ? 0 : (size_t)(slash + 1 - path));
  if (c->folder == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory");
  VBL_TRY(vbl_vocabulary_new(&r->paths, err));
  VBL_TRY(read_lines(c, r, path, max_bad, err));
  size_t from = c->report.size;
  vbl_status status = probe_images(c, r, &file, err);
  vbl_bytes_free(&file);
  VBL_TRY(status);
  VBL_TRY(check_bad(c, path, c->bad_images, vbl_vocabulary_size(r->paths), "images", from, max_bad, err));
  if (c->bad_images == vbl_vocabulary_size(r->paths)) return vbl_fail(err, VBL_EIO, "%s: none of its images can be read", path);
  return group(c, r, err);
}

vbl_status vbl_captions_read(vbl_captions *c, const char *path, double max_bad, vbl_error *err) {
  reading r = {0};
  vbl_status status = read_all(c, &r, path, max_bad, err);
  free(r.rows);
  free(r.bad);
  vbl_vocabulary_free(r.paths);
  return status;
}
