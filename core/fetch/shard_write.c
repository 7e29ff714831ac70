// A range of rows that is done: its tar, its status lines; and at the end the lines of all.
// defines: vbl_fetch_shard_finish, vbl_fetch_gather
#ifdef VBL_CURL
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fetch/tar.h"
#include "core/fetch/work.h"
#include "core/store/atomic.h"
#include "core/store/file.h"
#include "core/store/json.h"

static vbl_status add_quoted(vbl_bytes *b, const char *text, size_t n, vbl_error *err) {
  size_t size = vbl_json_quoted_size(text, n);
  char *quoted = malloc(size + 1);
  if (quoted == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a caption");
  vbl_json_quote(text, n, quoted);
  vbl_status status = vbl_bytes_add(b, quoted, size, err);
  free(quoted);
  return status;
}

// img2dataset's members: indent 4, its keys but exif.
static vbl_status make_json(const vbl_fetch_row *row, const char *key, const char *result, vbl_bytes *out, vbl_error *err) {
  static const struct {
    const char *name;
    int column;
  } numbers[] = {{"width", 4}, {"height", 5}, {"original_width", 6}, {"original_height", 7}};
  size_t n;
  out->size = 0;
  VBL_TRY(vbl_bytes_add_text(out, "{\n    \"url\": ", err));
  VBL_TRY(add_quoted(out, row->url, row->url_bytes, err));
  VBL_TRY(vbl_bytes_add_text(out, ",\n    \"caption\": ", err));
  VBL_TRY(add_quoted(out, row->caption, row->caption_bytes, err));
  VBL_TRY(vbl_bytes_add_text(out, ",\n    \"key\": ", err));
  VBL_TRY(add_quoted(out, key, strlen(key), err));
  VBL_TRY(vbl_bytes_add_text(out, ",\n    \"status\": \"success\",\n    \"error_message\": null", err));
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    const char *value = vbl_fetch_column(result, numbers[i].column, &n);
    VBL_TRY(vbl_bytes_add_text(out, ",\n    \"", err));
    VBL_TRY(vbl_bytes_add_text(out, numbers[i].name, err));
    VBL_TRY(vbl_bytes_add_text(out, "\": ", err));
    VBL_TRY(vbl_bytes_add(out, value, n, err));
  }
  VBL_TRY(vbl_bytes_add_text(out, ",\n    \"sha256\": ", err));
  const char *sha = vbl_fetch_column(result, VBL_FETCH_SHA, &n);
  VBL_TRY(add_quoted(out, sha, n, err));
  return vbl_bytes_add_text(out, "\n}", err);
}

static vbl_status add_members(const vbl_fetch *f, const vbl_fetch_shard *s, int32_t i, vbl_atomic_file *tar, vbl_bytes *json,
                              vbl_error *err) {
  char path[PATH_MAX], key[32], name[48];
  vbl_fetch_row row;
  vbl_file_bytes image;
  size_t n;
  const char *result = s->item[i].result, *suffix = vbl_fetch_column(result, VBL_FETCH_SUFFIX, &n);
  vbl_fetch_table_row(&f->table, f->o.columns, s->first + i, &row);
  snprintf(key, sizeof key, "%05lld%04d", (long long)s->number, i);
  if (!vbl_fetch_stored_path(f, s->number, result, path)) return vbl_fail(err, VBL_EIO, "%s: path too long", f->out);
  VBL_TRY(vbl_file_read(path, &image, err));
  snprintf(name, sizeof name, "%s.%.3s", key, suffix);
  vbl_status status = vbl_tar_add(tar, name, image.data, image.size, err);
  vbl_file_bytes_free(&image);
  VBL_TRY(status);
  VBL_TRY(make_json(&row, key, result, json, err));
  snprintf(name, sizeof name, "%s.json", key);
  VBL_TRY(vbl_tar_add(tar, name, json->data, json->size, err));
  snprintf(name, sizeof name, "%s.txt", key);
  return vbl_tar_add(tar, name, row.caption, row.caption_bytes, err);
}

static vbl_status write_tar(const vbl_fetch *f, const vbl_fetch_shard *s, vbl_error *err) {
  char path[PATH_MAX];
  vbl_atomic_file tar;
  vbl_bytes json = {0};
  snprintf(path, sizeof path, "%s/%05lld.tar", f->out, (long long)s->number);
  VBL_TRY(vbl_atomic_file_open(&tar, path, err));
  vbl_status status = VBL_OK;
  for (int32_t i = 0; i < s->rows && status == VBL_OK; i++)
    if (vbl_fetch_good(s->item[i].result)) status = add_members(f, s, i, &tar, &json, err);
  if (status == VBL_OK) status = vbl_tar_end(&tar, err);
  if (status == VBL_OK) status = vbl_atomic_file_commit(&tar, err);
  vbl_atomic_file_abort(&tar);
  vbl_bytes_free(&json);
  return status;
}

static vbl_status write_status(const vbl_fetch *f, const vbl_fetch_shard *s, vbl_error *err) {
  char path[PATH_MAX], number[64];
  vbl_bytes lines = {0};
  vbl_status status = VBL_OK;
  for (int32_t i = 0; i < s->rows && status == VBL_OK; i++) {
    vbl_fetch_row row;
    vbl_fetch_table_row(&f->table, f->o.columns, s->first + i, &row);
    snprintf(number, sizeof number, "%lld\t%05lld%04d\t", (long long)s->first + i + 1, (long long)s->number, i);
    status = vbl_bytes_add_text(&lines, number, err);
    if (status == VBL_OK) status = vbl_bytes_add(&lines, row.url, row.url_bytes, err);
    if (status == VBL_OK) status = vbl_bytes_add_text(&lines, "\t", err);
    if (status == VBL_OK) status = vbl_bytes_add_text(&lines, s->item[i].result, err);
    if (status == VBL_OK) status = vbl_bytes_add_text(&lines, "\n", err);
  }
  vbl_fetch_work_path(f, s->number, ".tsv", path);
  if (status == VBL_OK) status = vbl_atomic_write(path, lines.data, lines.size, err);
  vbl_bytes_free(&lines);
  return status;
}

vbl_status vbl_fetch_shard_finish(vbl_fetch *f, vbl_fetch_shard *s, vbl_error *err) {
  char path[PATH_MAX];
  if (f->o.form == VBL_FETCH_WEBDATASET) VBL_TRY(write_tar(f, s, err));
  VBL_TRY(write_status(f, s, err));
  vbl_fetch_work_path(f, s->number, ".journal", path);
  unlink(path);
  vbl_fetch_work_path(f, s->number, "", path);
  return vbl_tree_remove(path, err);
}

// --- gathering ---

// captions.tsv: image path and caption of each good row.
static vbl_status add_captions(const vbl_fetch *f, char *text, vbl_atomic_file *out, vbl_error *err) {
  for (char *at = text, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
    size_t n, m;
    vbl_fetch_row row;
    *end = 0;
    const char *result = vbl_fetch_column(at, 3, &n);
    if (!vbl_fetch_good(result)) continue;
    const char *sha = vbl_fetch_column(result, VBL_FETCH_SHA, &n), *suffix = vbl_fetch_column(result, VBL_FETCH_SUFFIX, &m);
    char path[128];
    int length = snprintf(path, sizeof path, "images/%.2s/%.64s.%.3s\t", sha, sha, suffix);
    vbl_fetch_table_row(&f->table, f->o.columns, strtoll(at, NULL, 10) - 1, &row);
    if (row.caption_bytes == 0) continue;
    VBL_TRY(vbl_atomic_file_write(out, path, (size_t)length, err));
    VBL_TRY(vbl_atomic_file_write(out, row.caption, row.caption_bytes, err));
    VBL_TRY(vbl_atomic_file_write(out, "\n", 1, err));
  }
  return VBL_OK;
}

static vbl_status gather_one(const vbl_fetch *f, int64_t number, vbl_atomic_file *status, vbl_atomic_file *captions,
                             vbl_error *err) {
  char path[PATH_MAX];
  vbl_file_bytes text;
  vbl_fetch_work_path(f, number, ".tsv", path);
  VBL_TRY(vbl_file_read(path, &text, err));
  vbl_status s = vbl_atomic_file_write(status, text.data, text.size, err);
  if (s == VBL_OK && captions != NULL) s = add_captions(f, text.data, captions, err);
  vbl_file_bytes_free(&text);
  return s;
}

vbl_status vbl_fetch_gather(vbl_fetch *f, vbl_error *err) {
  static const char head[] =
      "row\tkey\turl\tstatus\tdetail\thttp\tbytes\twidth\theight\toriginal_width\toriginal_height\tsha256\tsuffix\n";
  char path[PATH_MAX], captions_path[PATH_MAX];
  vbl_atomic_file status, captions = {.fd = -1};
  bool files = f->o.form == VBL_FETCH_FILES;
  snprintf(path, sizeof path, "%s/status.tsv", f->out);
  snprintf(captions_path, sizeof captions_path, "%s/captions.tsv", f->out);
  VBL_TRY(vbl_atomic_file_open(&status, path, err));
  vbl_status s = files ? vbl_atomic_file_open(&captions, captions_path, err) : VBL_OK;
  if (s == VBL_OK) s = vbl_atomic_file_write(&status, head, sizeof head - 1, err);
  for (int64_t k = 0; k < f->shards && s == VBL_OK; k++) s = gather_one(f, k, &status, files ? &captions : NULL, err);
  if (s == VBL_OK && files) s = vbl_atomic_file_commit(&captions, err);
  if (s == VBL_OK) s = vbl_atomic_file_commit(&status, err);
  vbl_atomic_file_abort(&captions);
  vbl_atomic_file_abort(&status);
  snprintf(path, sizeof path, "%s/.work", f->out);
  return s == VBL_OK ? vbl_tree_remove(path, err) : s;
}
#endif
