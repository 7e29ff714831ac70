// A range of rows in work, and its journal.
// defines: vbl_fetch_shard_{open,free,note,done}, vbl_fetch_column, vbl_fetch_good, vbl_fetch_stored_path, vbl_fetch_work_path
#ifdef VBL_CURL
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fetch/work.h"
#include "core/store/file.h"

const char *vbl_fetch_column(const char *result, int column, size_t *bytes) {
  for (; column > 0; column--) result = strchr(result, '\t') + 1;
  *bytes = strcspn(result, "\t");
  return result;
}

bool vbl_fetch_good(const char *result) { return strncmp(result, "success\t", 8) == 0; }

// Whether it has all columns, as after a write that was not cut off.
static bool is_whole(const char *result) {
  int tabs = 0;
  for (const char *at = result; *at != 0; at++) tabs += *at == '\t';
  return tabs == VBL_FETCH_SUFFIX;
}

bool vbl_fetch_stored_path(const vbl_fetch *f, int64_t shard, const char *result, char path[PATH_MAX]) {
  size_t n, m;
  const char *sha = vbl_fetch_column(result, VBL_FETCH_SHA, &n), *suffix = vbl_fetch_column(result, VBL_FETCH_SUFFIX, &m);
  char name[65];
  if (n != 64 || m != 3) return false;
  memcpy(name, sha, n);
  name[n] = 0;
  return vbl_fetch_image_path(f, shard, name, suffix, path, PATH_MAX);
}

void vbl_fetch_work_path(const vbl_fetch *f, int64_t number, const char *suffix, char path[PATH_MAX]) {
  snprintf(path, PATH_MAX, "%s/.work/%05lld%s", f->out, (long long)number, suffix);
}

bool vbl_fetch_shard_done(const vbl_fetch *f, int64_t number) {
  char path[PATH_MAX];
  vbl_fetch_work_path(f, number, ".tsv", path);
  return access(path, F_OK) == 0;
}

static void settle(vbl_fetch_shard *s, int32_t row, char *result) {
  s->item[row].result = result;
  s->item[row].state = VBL_FETCH_DONE;
  s->left--;
}

// The rows that an earlier run settled. A last line that was cut off ends the reading; *whole: the bytes before it.
static vbl_status read_journal(const vbl_fetch *f, vbl_fetch_shard *s, const char *path, long *whole, vbl_error *err) {
  vbl_file_bytes text;
  char stored[PATH_MAX];
  *whole = 0;
  if (access(path, F_OK) != 0) return VBL_OK;
  VBL_TRY(vbl_file_read(path, &text, err));
  for (char *at = text.data, *end; (end = strchr(at, '\n')) != NULL; at = end + 1, *whole = at - text.data) {
    *end = 0;
    char *tab = strchr(at, '\t');
    long row = strtol(at, NULL, 10);
    if (tab == NULL || row < 0 || row >= s->rows || !is_whole(tab + 1) || s->item[row].state == VBL_FETCH_DONE) continue;
    if (vbl_fetch_good(tab + 1) && (!vbl_fetch_stored_path(f, s->number, tab + 1, stored) || access(stored, F_OK) != 0)) continue;
    char *result = strdup(tab + 1);
    if (result == NULL) break;
    settle(s, (int32_t)row, result);
  }
  vbl_file_bytes_free(&text);
  return VBL_OK;
}

// Host numbers of the rows; rows that cannot be asked for are done.
static vbl_status prepare_rows(vbl_fetch *f, vbl_fetch_shard *s, vbl_error *err) {
  for (int32_t i = 0; i < s->rows; i++) {
    vbl_fetch_row row;
    const char *wrong = vbl_fetch_table_row(&f->table, f->o.columns, s->first + i, &row);
    if (s->item[i].state == VBL_FETCH_DONE) continue;
    if (wrong != NULL) {
      char *result = vbl_fetch_failure("bad_row", wrong, 0);
      if (result == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a result");
      settle(s, i, result);
      continue;
    }
    char host[256];
    size_t n = 0;
    const char *at = strstr(row.url, "://") + 3;
    for (; n < sizeof host - 1 && at + n < row.url + row.url_bytes && strchr("/?#", at[n]) == NULL; n++)
      host[n] = (char)(at[n] >= 'A' && at[n] <= 'Z' ? at[n] + 32 : at[n]);
    VBL_TRY(vbl_vocabulary_number(f->host_names, host, n, &s->item[i].host, err));
  }
  return VBL_OK;
}

static vbl_status open_all(vbl_fetch *f, vbl_fetch_shard *s, vbl_error *err) {
  char path[PATH_MAX];
  long whole;
  s->item = calloc((size_t)s->rows, sizeof *s->item);
  if (s->item == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d rows", s->rows);
  if (f->o.form == VBL_FETCH_WEBDATASET) {
    vbl_fetch_work_path(f, s->number, "", path);
    VBL_TRY(vbl_folder_make(path, NULL, err));
  }
  vbl_fetch_work_path(f, s->number, ".journal", path);
  VBL_TRY(read_journal(f, s, path, &whole, err));
  s->journal = fopen(path, "ae");
  if (s->journal == NULL || ftruncate(fileno(s->journal), whole) != 0) return vbl_fail_errno(err, "write", path);
  return prepare_rows(f, s, err);
}

vbl_status vbl_fetch_shard_open(vbl_fetch *f, int64_t number, vbl_fetch_shard **out, vbl_error *err) {
  int64_t first = number * f->o.shard, left = f->table.rows - first;
  vbl_fetch_shard *s = calloc(1, sizeof *s);
  *out = s;
  if (s == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a shard");
  s->number = number;
  s->first = first;
  s->rows = s->left = (int32_t)(left < f->o.shard ? left : f->o.shard);
  return open_all(f, s, err);
}

void vbl_fetch_shard_free(vbl_fetch_shard *s) {
  if (s == NULL) return;
  for (int32_t i = 0; s->item != NULL && i < s->rows; i++) free(s->item[i].result);
  if (s->journal != NULL) fclose(s->journal);
  free(s->item);
  free(s);
}

vbl_status vbl_fetch_shard_note(vbl_fetch_shard *s, int32_t row, const char *result, vbl_error *err) {
  char *copy = strdup(result);
  if (copy == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a result");
  settle(s, row, copy);
  if (fprintf(s->journal, "%d\t%s\n", row, result) > 0 && fflush(s->journal) == 0) return VBL_OK;
  return vbl_fail_errno(err, "write", "the journal of a shard");
}
#endif
