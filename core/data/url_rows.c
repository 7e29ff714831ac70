// Rows of captions and URLs: their images found by name, the rows taken in.
// defines: vbl_records_add_urls
#include "core/data/url_rows.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/interrupt.h"
#include "core/data/lines.h"
#include "core/store/hash.h"

typedef struct span {
  const char *at;
  size_t n;
} span;

// --- the names in the folder of images ---

typedef struct names {
  vbl_vocabulary *name;  // of each file
  vbl_vocabulary *stem;  // names without suffix, where they have one
  int32_t *of_stem;      // [stems] the number of the first file, by the alphabet, of that stem
  int32_t room;
  bool numbered, other;  // whether one is of the form NUMBER_CRC, and one is not
} names;

static void names_free(names *n) {
  vbl_vocabulary_free(n->name);
  vbl_vocabulary_free(n->stem);
  free(n->of_stem);
}

// Bytes before a suffix of letters ("a.b.jpg": 3); 0 where there is none.
static size_t stem_of(span s) {
  size_t at = s.n;
  while (at > 0 && isalpha((unsigned char)s.at[at - 1])) at--;
  return at < s.n && at > 1 && s.at[at - 1] == '.' ? at - 1 : 0;
}

static bool is_numbered(span s) {
  size_t at = 0, digits;
  while (at < s.n && isdigit((unsigned char)s.at[at])) at++;
  if (at == 0 || at == s.n || s.at[at] != '_') return false;
  for (digits = at + 1; digits < s.n && isdigit((unsigned char)s.at[digits]);) digits++;
  return digits == s.n && digits > at + 1;
}

static vbl_status add_stem(names *n, span stem, int32_t file, vbl_error *err) {
  int32_t known = vbl_vocabulary_find(n->stem, stem.at, stem.n), size = vbl_vocabulary_size(n->stem);
  if (known >= 0) {
    int32_t *first = &n->of_stem[known];
    if (strcmp(vbl_vocabulary_token(n->name, file), vbl_vocabulary_token(n->name, *first)) < 0) *first = file;
    return VBL_OK;
  }
  if (size == n->room) {
    int32_t room = n->room == 0 ? 1024 : 2 * n->room, *more = realloc(n->of_stem, (size_t)room * sizeof *more);
    if (more == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for the names of %d images", room);
    n->of_stem = more;
    n->room = room;
  }
  n->of_stem[size] = file;
  return vbl_vocabulary_add(n->stem, stem.at, stem.n, err);
}

static vbl_status add_name(names *n, const char *text, vbl_error *err) {
  span name = {text, strlen(text)};
  int32_t file = vbl_vocabulary_size(n->name);
  if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0) return VBL_OK;
  VBL_TRY(vbl_vocabulary_add(n->name, name.at, name.n, err));
  span stem = {text, stem_of(name)};
  bool numbered = is_numbered(stem.n > 0 ? stem : name);
  n->numbered = n->numbered || numbered;
  n->other = n->other || !numbered;
  return stem.n > 0 ? add_stem(n, stem, file, err) : VBL_OK;
}

static vbl_status list_names(const char *folder, names *n, vbl_error *err) {
  DIR *dir = opendir(folder);
  const struct dirent *entry;
  if (dir == NULL) return vbl_fail(err, VBL_EIO, "%s: cannot list it: %s", folder, strerror(errno));
  vbl_status status = vbl_vocabulary_new(&n->name, err);
  if (status == VBL_OK) status = vbl_vocabulary_new(&n->stem, err);
  while (status == VBL_OK && (errno = 0, entry = readdir(dir)) != NULL) {
    if (vbl_vocabulary_size(n->name) % 4096 == 0) status = vbl_interrupt_check(err);
    if (status == VBL_OK) status = add_name(n, entry->d_name, err);
  }
  if (status == VBL_OK && errno != 0) status = vbl_fail(err, VBL_EIO, "%s: cannot list it: %s", folder, strerror(errno));
  closedir(dir);
  return status;
}

// The number of the file of that name, with or without its suffix; -1: none.
static int32_t file_named(const names *n, span name) {
  int32_t file = vbl_vocabulary_find(n->name, name.at, name.n);
  if (file >= 0) return file;
  int32_t stem = vbl_vocabulary_find(n->stem, name.at, name.n);
  return stem < 0 ? -1 : n->of_stem[stem];
}

// --- the rows ---

typedef struct row {
  span url, caption;
} row;

static bool cut(const vbl_lines *lines, bool url_first, int64_t i, row *out) {
  size_t n;
  const char *at = vbl_lines_at(lines, i, &n);
  if (i == 0) {
    size_t mark = vbl_byte_order_mark(at, n);
    at += mark;
    n -= mark;
  }
  const char *tab = n == 0 ? NULL : url_first ? memchr(at, '\t', n) : memrchr(at, '\t', n);
  if (tab == NULL || tab == at + n - 1) return false;
  span first = {at, (size_t)(tab - at)}, second = {tab + 1, (size_t)(at + n - tab - 1)};
  const char *more = url_first ? memchr(second.at, '\t', second.n) : NULL;  // columns behind the caption are none of it
  if (more != NULL) second.n = (size_t)(more - second.at);
  *out = url_first ? (row){first, second} : (row){second, first};
  return second.n > 0;
}

// "http://a.b/c/d.jpg?e" -> "d.jpg"; NAME is looked for as it stands and without its suffix.
static int32_t file_by_name(const names *n, span url) {
  size_t end = 0, start;
  while (end < url.n && url.at[end] != '?' && url.at[end] != '#') end++;
  for (start = end; start > 0 && url.at[start - 1] != '/';) start--;
  span part = {url.at + start, end - start};
  if (part.n == 0) return -1;
  int32_t file = file_named(n, part);
  size_t stem = stem_of(part);
  return file >= 0 || stem == 0 ? file : file_named(n, (span){part.at, stem});
}

static int32_t file_by_number(const names *n, int64_t i, span url) {
  char text[64];
  int length = snprintf(text, sizeof text, "%lld_%u", (long long)i, vbl_crc32(0, url.at, url.n));
  return file_named(n, (span){text, (size_t)length});
}

// What is found of each row.
typedef struct matches {
  int32_t *number, *name;  // [rows] a file by either form, -1: none
  uint8_t *users;          // [files] how many rows name it, at most 2
} matches;

static vbl_status find_all(const names *n, const vbl_lines *lines, bool url_first, matches *m, vbl_error *err) {
  size_t rows = (size_t)lines->count, files = (size_t)vbl_vocabulary_size(n->name);
  m->number = malloc((rows + 1) * sizeof *m->number);
  m->name = malloc((rows + 1) * sizeof *m->name);
  m->users = calloc(files + 1, 1);
  if (m->number == NULL || m->name == NULL || m->users == NULL)
    return vbl_fail(err, VBL_ENOMEM, "out of memory for %zu rows", rows);
#pragma omp parallel for schedule(dynamic, 4096)
  for (int64_t i = 0; i < lines->count; i++) {
    row parts;
    bool whole = cut(lines, url_first, i, &parts);
    m->number[i] = whole && n->numbered ? file_by_number(n, i, parts.url) : -1;
    m->name[i] = whole && n->other ? file_by_name(n, parts.url) : -1;
  }
  for (int64_t i = 0; i < lines->count; i++)
    if (m->name[i] >= 0 && m->users[m->name[i]] < 2) m->users[m->name[i]]++;
  return VBL_OK;
}

// --- rows that are left out: the first ones a line each, of millions of others the numbers, many a line ---

enum { LEFT_OUT_SAID = 100, LEFT_OUT_WIDTH = 900 };

typedef struct left_out {
  const char *path, *why;
  int64_t count, first, last;  // the run of lines that is being collected; first 0: none
  char text[LEFT_OUT_WIDTH + 64];
  size_t n;
} left_out;

static vbl_status flush_runs(vbl_records *r, left_out *l, vbl_error *err) {
  if (l->n == 0) return VBL_OK;
  l->n = 0;
  return vbl_records_note(r, err, "%s: lines%s: %s; left out", l->path, l->text, l->why);
}

static vbl_status end_run(vbl_records *r, left_out *l, vbl_error *err) {
  if (l->first == 0) return VBL_OK;
  const char *form = l->first == l->last ? " %lld" : " %lld-%lld";
  l->n += (size_t)snprintf(l->text + l->n, sizeof l->text - l->n, form, (long long)l->first, (long long)l->last);
  l->first = 0;
  return l->n > LEFT_OUT_WIDTH ? flush_runs(r, l, err) : VBL_OK;
}

// detail: what is named of one that has a line of its own.
static vbl_status leave_out(vbl_records *r, left_out *l, int64_t line, span detail, vbl_error *err) {
  char where[600], why[1000];
  if (l->count++ < LEFT_OUT_SAID) {
    snprintf(where, sizeof where, "%.500s:%lld", l->path, (long long)line);
    snprintf(why, sizeof why, "%s (%.*s)", l->why, (int)(detail.n < 800 ? detail.n : 800), detail.at);
    return vbl_records_absent(r, where, why, err);
  }
  r->absent++;
  if (l->first > 0 && l->last == line - 1) {
    l->last = line;
    return VBL_OK;
  }
  VBL_TRY(end_run(r, l, err));
  l->first = l->last = line;
  return VBL_OK;
}

static vbl_status end_left_out(vbl_records *r, left_out *l, vbl_error *err) {
  VBL_TRY(end_run(r, l, err));
  return flush_runs(r, l, err);
}

// --- taking in ---

typedef struct work {
  const vbl_url_rows *o;
  names names;
  vbl_lines lines;
  matches found;
  left_out gone, shared;
} work;

static vbl_status add_row(vbl_records *r, work *w, int64_t i, vbl_error *err) {
  char where[600], id[300], image[4200];
  row parts;
  const vbl_url_rows *o = w->o;
  if (!cut(&w->lines, o->url_first, i, &parts)) {
    snprintf(where, sizeof where, "%.500s:%lld", o->path, (long long)i + 1);
    return vbl_records_skip(r, where, o->url_first ? "expected url<TAB>caption" : "expected caption<TAB>url", err);
  }
  int32_t file = w->found.number[i] >= 0 ? w->found.number[i] : w->found.name[i];
  if (file < 0) return leave_out(r, &w->gone, i + 1, parts.url, err);
  const char *name = vbl_vocabulary_token(w->names.name, file);
  if (w->found.number[i] < 0 && w->found.users[file] > 1) return leave_out(r, &w->shared, i + 1, (span){name, strlen(name)}, err);
  snprintf(where, sizeof where, "%.500s:%lld", o->path, (long long)i + 1);
  snprintf(id, sizeof id, "%.200s/%lld", o->split, (long long)i + 1);
  snprintf(image, sizeof image, "%s/%s", o->images, name);
  vbl_record record = {.id = id, .split = o->split, .image = image, .archive = -1};
  return vbl_records_add(r, where, &record, parts.caption.at, parts.caption.n, err);
}

static vbl_status add_all(vbl_records *r, work *w, vbl_error *err) {
  vbl_bytes folder = {0};
  vbl_status status = w->o->images[0] == '/' ? VBL_OK : vbl_bytes_add_text(&folder, r->folder, err);
  if (status == VBL_OK) status = vbl_bytes_add(&folder, w->o->images, strlen(w->o->images) + 1, err);
  if (status == VBL_OK) status = list_names((const char *)folder.data, &w->names, err);
  vbl_bytes_free(&folder);
  VBL_TRY(status);
  VBL_TRY(vbl_lines_open(w->o->path, &w->lines, err));
  VBL_TRY(find_all(&w->names, &w->lines, w->o->url_first, &w->found, err));
  for (int64_t i = 0; i < w->lines.count; i++) {
    if (i % 4096 == 0) VBL_TRY(vbl_interrupt_check(err));
    VBL_TRY(add_row(r, w, i, err));
  }
  VBL_TRY(end_left_out(r, &w->gone, err));
  return end_left_out(r, &w->shared, err);
}

vbl_status vbl_records_add_urls(vbl_records *r, const vbl_url_rows *rows, vbl_error *err) {
  work w = {.o = rows,
            .gone = {.path = rows->path, .why = "no image of its URL"},
            .shared = {.path = rows->path, .why = "several URLs end in the name of its image: whose it is cannot be known"}};
  vbl_status status = add_all(r, &w, err);
  names_free(&w.names);
  vbl_lines_close(&w.lines);
  free(w.found.number);
  free(w.found.name);
  free(w.found.users);
  return status;
}
