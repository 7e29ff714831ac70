// Captions: the lines of a TSV as records.
// defines: vbl_captions_open
#include "core/data/captions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Of the lines without a tab, how many have a comma.
typedef struct counts {
  int64_t lines, untabbed, commas;
} counts;

// Adds a line of n bytes; at[n] may be written.
static vbl_status read_line(vbl_records *r, const char *where, char *at, size_t n, counts *seen, vbl_error *err) {
  char *tab = memchr(at, '\t', n);
  at[n] = 0;
  seen->lines++;
  seen->untabbed += tab == NULL;
  seen->commas += tab == NULL && memchr(at, ',', n) != NULL;
  if (tab == NULL) return vbl_records_skip(r, where, "no tab; expected path<TAB>caption", err);
  if (tab == at) return vbl_records_skip(r, where, "an empty path", err);
  if (memchr(at, 0, n) != NULL) return vbl_records_skip(r, where, "a NUL byte", err);
  // A third column would be read as words: of a table of labels the model would read the answer.
  if (memchr(tab + 1, '\t', (size_t)(at + n - tab - 1)) != NULL)
    return vbl_records_skip(
        r, where, "a second tab; expected path<TAB>caption (itm:FOLDER reads labelled pairs, csv:FILE tables with a header)", err);
  *tab = 0;
  vbl_record record = {.id = at, .image = at, .archive = -1, .append = true};
  return vbl_records_add(r, where, &record, tab + 1, (size_t)(at + n - tab - 1), err);
}

static vbl_status read_lines(vbl_records *r, const char *name, vbl_bytes *file, counts *seen, vbl_error *err) {
  char where[600];
  int64_t crlf = 0;
  VBL_TRY(vbl_bytes_add(file, "\n", 1, err));  // a last line end, and room for the last NUL
  char *at = (char *)file->data, *end = at + file->size;
  at += vbl_byte_order_mark(at, file->size);
  while (at < end) {
    char *stop = memchr(at, '\n', (size_t)(end - at));
    size_t n = (size_t)(stop - at);
    if (stop == at && stop + 1 == end) break;  // the file ended in a line end of its own
    crlf += n > 0 && at[n - 1] == '\r';
    n -= n > 0 && at[n - 1] == '\r';
    snprintf(where, sizeof where, "%.500s:%lld", name, (long long)seen->lines + 1);
    VBL_TRY(read_line(r, where, at, n, seen, err));
    at = stop + 1;
  }
  if (crlf > 0) VBL_TRY(vbl_records_note(r, err, "%s: %lld lines end in CRLF; the CR is left out", name, (long long)crlf));
  return VBL_OK;
}

// Of a file that has another form: what it lacks, rather than each line's own mistake.
static vbl_status no_table(const char *path, const counts *seen, vbl_error *err) {
  const char *csv = 2 * seen->commas > seen->untabbed ? " (this looks like CSV: with a header, the reader csv takes it)" : "";
  return vbl_fail(
      err, VBL_EIO,
      "%s: %lld of %lld lines have no tab%s; expected lines path<TAB>caption, without a header or quotes, the path relative to "
      "the file's folder",
      path, (long long)seen->untabbed, (long long)seen->lines, csv);
}

static vbl_status read_all(vbl_records *r, const char *path, vbl_error *err) {
  vbl_bytes file;
  r->unit = "lines";
  vbl_error why;
  vbl_status found = vbl_bytes_read(path, (size_t)1 << 36, &file, &why);
  if (found != VBL_OK)
    return vbl_fail(err, found, "%s (expected a file of lines: image path, tab, caption; data=scenes needs no file)", why.message);
  counts seen = {0};
  vbl_status status = read_lines(r, path, &file, &seen, err);
  vbl_bytes_free(&file);
  VBL_TRY(status);
  if (r->added == 0 && r->bad_records == 0)
    return vbl_fail(err, VBL_EIO, "%s: no captions in it; expected lines path<TAB>caption", path);
  status = vbl_records_finish(r, path, err);
  return status == VBL_EIO && 10 * seen.untabbed >= 9 * seen.lines ? no_table(path, &seen, err) : status;
}

vbl_status vbl_captions_open(const char *path, const vbl_records_options *options, vbl_records **out, vbl_error *err) {
  const char *slash = strrchr(path, '/');
  char *folder = strndup(path, slash == NULL ? 0 : (size_t)(slash + 1 - path));
  *out = NULL;
  if (folder == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for the data set %s", path);
  vbl_records *r = NULL;
  vbl_status status = vbl_records_new(folder, options, &r, err);
  free(folder);
  if (status == VBL_OK) status = read_all(r, path, err);
  if (status == VBL_OK)
    *out = r;
  else
    vbl_records_free(r);
  return status;
}
