// The TSV's rows; no quoting (a caption may begin with a quote).
// defines: vbl_fetch_table_{open,close,row}
#ifdef VBL_CURL
#include <string.h>
#include <strings.h>

#include "core/data/basic_tokenizer.h"
#include "core/fetch/work.h"

vbl_status vbl_fetch_table_open(const char *path, vbl_fetch_table *t, vbl_error *err) {
  *t = (vbl_fetch_table){0};
  VBL_TRY(vbl_lines_open(path, &t->lines, err));
  t->rows = t->lines.count;
  t->hash = vbl_hash_bytes(VBL_HASH_START, t->lines.map, t->lines.bytes);
  return t->rows > 0 ? VBL_OK : vbl_fail(err, VBL_EIO, "%s: no rows in it", path);
}

void vbl_fetch_table_close(vbl_fetch_table *t) {
  vbl_lines_close(&t->lines);
  *t = (vbl_fetch_table){0};
}

static bool is_web(const char *url, size_t n) {
  return (n > 7 && strncasecmp(url, "http://", 7) == 0) || (n > 8 && strncasecmp(url, "https://", 8) == 0);
}

const char *vbl_fetch_table_row(const vbl_fetch_table *t, vbl_fetch_columns columns, int64_t i, vbl_fetch_row *row) {
  size_t n;
  const char *at = vbl_lines_at(&t->lines, i, &n), *end = at + n;
  *row = (vbl_fetch_row){"", "", 0, 0};
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
