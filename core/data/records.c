// Records: taking them in, and the steps that make a data set of them.
// defines: vbl_records_{new,classes,archive,archive_of,add,skip,absent,note,check_bad,finish,free,id,text}
#include "core/data/records.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/basic_tokenizer.h"

static vbl_status check_options(const vbl_records_options *o, vbl_error *err) {
  if (o->image_size < 16 || o->image_size > 1024)
    return vbl_fail(err, VBL_EINVAL, "data: image = %d; expected 16 to 1024", o->image_size);
  if (o->max_tokens < 3) return vbl_fail(err, VBL_EINVAL, "data: max_tokens = %d; expected at least 3", o->max_tokens);
  if (o->tokenizer != VBL_TOKENIZER_OF_FILE && o->vocabulary == NULL)
    return vbl_fail(err, VBL_EINVAL, "data: the option tokenizer says how a vocabulary file is used; expected vocabulary=FILE too");
  if (!(o->max_bad >= 0 && o->max_bad <= 1)) return vbl_fail(err, VBL_EINVAL, "data: max_bad = %g; expected 0 to 1", o->max_bad);
  if (!(o->test_fraction >= 0 && o->test_fraction < 1))
    return vbl_fail(err, VBL_EINVAL, "data: test_fraction = %g; expected 0 to below 1", o->test_fraction);
  return VBL_OK;
}

static vbl_status make(vbl_records *r, const char *folder, vbl_error *err) {
  size_t n = strlen(folder);
  bool slash = n > 0 && folder[n - 1] != '/';
  r->folder = malloc(n + 2);
  if (r->folder == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a data set");
  snprintf(r->folder, n + 2, "%s%s", folder, slash ? "/" : "");
  VBL_TRY(vbl_vocabulary_new(&r->keys, err));
  VBL_TRY(vbl_vocabulary_new(&r->image_name, err));
  VBL_TRY(vbl_vocabulary_new(&r->split_name, err));
  VBL_TRY(vbl_vocabulary_new(&r->class_name, err));
  return vbl_vocabulary_new(&r->archives, err);
}

vbl_status vbl_records_new(const char *folder, const vbl_records_options *options, vbl_records **out, vbl_error *err) {
  *out = NULL;
  VBL_TRY(check_options(options, err));
  vbl_records *r = calloc(1, sizeof *r);
  if (r == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a data set");
  r->options = *options;
  r->unit = "records";
  r->hash = VBL_HASH_START;
  // The option strings are the caller's.
  r->options.vocabulary = options->vocabulary == NULL ? NULL : strdup(options->vocabulary);
  r->options.split = options->split == NULL ? NULL : strdup(options->split);
  vbl_status status =
      (options->vocabulary != NULL && r->options.vocabulary == NULL) || (options->split != NULL && r->options.split == NULL)
          ? vbl_fail(err, VBL_ENOMEM, "out of memory for a data set")
          : make(r, folder, err);
  if (status != VBL_OK) {
    vbl_records_free(r);
    return status;
  }
  *out = r;
  return VBL_OK;
}

void vbl_records_free(vbl_records *r) {
  if (r == NULL) return;
  vbl_vocabulary *const names[] = {r->vocabulary, r->keys, r->image_name, r->split_name, r->class_name, r->archives};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) vbl_vocabulary_free(names[i]);
  vbl_bytes *const bytes[] = {&r->report, &r->text_bytes, &r->label_index, &r->label_weight};
  for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) vbl_bytes_free(bytes[i]);
  vbl_token_list_free(&r->tokens);
  free((char *)r->options.vocabulary);
  free((char *)r->options.split);
  free(r->folder);
  free(r->images);
  free(r->rows);
  free(r->text_row);
  free(r->text_start);
  free(r->first);
  free(r->token_first);
  free(r->text_key);
  free(r->splits);
  free(r->split_samples);
  free(r->class_list);
  free(r);
}

vbl_status vbl_records_note(vbl_records *r, vbl_error *err, const char *format, ...) {
  char line[1200];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(line, sizeof line - 1, format, args);
  va_end(args);
  if (n > (int)sizeof line - 2) n = (int)sizeof line - 2;
  line[n] = '\n';
  return vbl_bytes_add(&r->report, line, (size_t)n + 1, err);
}

vbl_status vbl_records_skip(vbl_records *r, const char *where, const char *reason, vbl_error *err) {
  r->bad_records++;
  return vbl_records_note(r, err, "%s: %s; skipped", where, reason);
}

vbl_status vbl_records_absent(vbl_records *r, const char *where, const char *reason, vbl_error *err) {
  r->absent++;
  return vbl_records_note(r, err, "%s: %s; left out", where, reason);
}

vbl_status vbl_records_classes(vbl_records *r, vbl_label_kind kind, const char *const *name, int32_t n, vbl_error *err) {
  if (n < 1) return vbl_fail(err, VBL_EINVAL, "labels without a class");
  for (int32_t i = 0; i < n; i++) VBL_TRY(vbl_vocabulary_add(r->class_name, name[i], strlen(name[i]), err));
  const char *twice;
  if (vbl_vocabulary_duplicates(r->class_name, &twice) > 0) return vbl_fail(err, VBL_EIO, "the class \"%s\" stands twice", twice);
  r->source.label_kind = kind;
  r->source.classes = n;
  return VBL_OK;
}

vbl_status vbl_records_archive(vbl_records *r, const char *path, int32_t *number, vbl_error *err) {
  return vbl_vocabulary_number(r->archives, path, strlen(path), number, err);
}

int32_t vbl_records_archive_of(const vbl_records *r, const char *id) {
  char key[4200];
  int length = snprintf(key, sizeof key, "\t%s", id);
  int32_t known = (size_t)length < sizeof key ? vbl_vocabulary_find(r->keys, key, (size_t)length) : -1;
  return known < 0 ? -1 : r->images[r->rows[known].image].archive;
}

// Room for one more of `size` bytes each.
static vbl_status grow(void **list, int32_t count, int32_t *room, size_t size, vbl_error *err) {
  if (count < *room) return VBL_OK;
  if (count > INT32_MAX / 2) return vbl_fail(err, VBL_EINVAL, "more than 2^30 records in one data set");
  int32_t more = *room == 0 ? 1024 : 2 * *room;
  void *grown = realloc(*list, (size_t)more * size);
  if (grown == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d records", more);
  *list = grown;
  *room = more;
  return VBL_OK;
}

static vbl_status add_image(vbl_records *r, const vbl_record *record, int32_t *number, vbl_error *err) {
  char joined[8192];
  const char *name = record->image;
  if (record->archive >= 0) {
    snprintf(joined, sizeof joined, "%s/%s", vbl_vocabulary_token(r->archives, record->archive), record->image);
    name = joined;
  }
  VBL_TRY(vbl_vocabulary_number(r->image_name, name, strlen(name), number, err));
  if (*number + 1 < vbl_vocabulary_size(r->image_name)) return VBL_OK;  // known
  VBL_TRY(grow((void **)&r->images, *number, &r->image_room, sizeof *r->images, err));
  r->images[*number] = (vbl_stored_image){record->archive, record->offset, record->bytes, false};
  return VBL_OK;
}

static vbl_status add_text(vbl_records *r, int32_t row, const char *text, size_t bytes, vbl_error *err) {
  int32_t room = r->text_room;
  VBL_TRY(grow((void **)&r->text_row, r->text_count, &room, sizeof *r->text_row, err));
  room = r->text_room;
  VBL_TRY(grow((void **)&r->text_start, r->text_count, &room, sizeof *r->text_start, err));
  r->text_room = room;
  r->text_row[r->text_count] = row;
  r->text_start[r->text_count] = (int64_t)r->text_bytes.size;
  VBL_TRY(vbl_bytes_add(&r->text_bytes, text, bytes, err));
  VBL_TRY(vbl_bytes_add(&r->text_bytes, "", 1, err));
  r->text_count++;
  return VBL_OK;
}

static vbl_status add_label(vbl_records *r, const vbl_label *label, vbl_row *row, vbl_error *err) {
  row->labels = -1;
  row->label_at = (int64_t)(r->label_index.size / sizeof(int32_t));
  if (r->source.classes == 0 || label->n < 0) return VBL_OK;
  row->labels = label->n;
  VBL_TRY(vbl_bytes_add(&r->label_index, label->index, (size_t)label->n * sizeof *label->index, err));
  if (r->source.label_kind != VBL_LABEL_SOFT) return VBL_OK;
  return vbl_bytes_add(&r->label_weight, label->weight, (size_t)label->n * sizeof *label->weight, err);
}

// What is wrong with a record, or NULL.
static const char *fault(const vbl_records *r, const vbl_record *record, const char *text, size_t bytes, char why[200]) {
  vbl_error err;
  if (record->id[0] == 0) return "an empty id";
  if (record->image[0] == 0) return "an empty image name";
  if (strlen(record->image) > 4000) return "an image name of more than 4000 bytes";
  if (strpbrk(record->id, "\t\n") != NULL) return "an id with a tab or line end in it";
  if (memchr(text, 0, bytes) != NULL) return "a NUL byte";
  size_t blank = 0;
  while (blank < bytes && strchr(" \t\r\n", text[blank]) != NULL) blank++;
  if (blank == bytes) return "an empty text";
  if (vbl_utf8_check(text, bytes, &err) != VBL_OK || vbl_utf8_check(record->id, strlen(record->id), &err) != VBL_OK) {
    snprintf(why, 200, "%.190s", err.message);
    return why;
  }
  if (r->source.label_kind == VBL_LABEL_CLASS && record->label.n >= 0 && record->label.n != 1) {
    snprintf(why, 200, "a label of %d classes; expected one", record->label.n);
    return why;
  }
  for (int32_t i = 0; r->source.classes > 0 && i < record->label.n; i++) {
    int32_t index = record->label.index[i];
    if (index >= 0 && index < r->source.classes) continue;
    snprintf(why, 200, "label %d; expected 0 to %d (%d classes)", index, r->source.classes - 1, r->source.classes);
    return why;
  }
  return NULL;
}

static vbl_status skip_repeated(vbl_records *r, const char *where, const char *id, vbl_error *err) {
  char why[200];
  snprintf(why, sizeof why, "id \"%.100s\" stands in an earlier record of the split", id);
  return vbl_records_skip(r, where, why, err);
}

static vbl_status add_good(vbl_records *r, const char *where, const vbl_record *record, const char *text, size_t bytes,
                           vbl_bytes *key, vbl_error *err) {
  const char *split = record->split == NULL || r->options.split != NULL ? "" : record->split;
  VBL_TRY(vbl_bytes_add_text(key, split, err));
  VBL_TRY(vbl_bytes_add_text(key, "\t", err));
  VBL_TRY(vbl_bytes_add(key, record->id, strlen(record->id) + 1, err));
  int32_t known = vbl_vocabulary_find(r->keys, (const char *)key->data, key->size - 1);
  if (known >= 0 && record->append) return add_text(r, known, text, bytes, err);
  if (known >= 0) return skip_repeated(r, where, record->id, err);
  vbl_row row = {.key = r->row_count, .split = -1};
  VBL_TRY(grow((void **)&r->rows, r->row_count, &r->row_room, sizeof *r->rows, err));
  VBL_TRY(add_image(r, record, &row.image, err));
  VBL_TRY(add_label(r, &record->label, &row, err));
  if (split[0] != 0) VBL_TRY(vbl_vocabulary_number(r->split_name, split, strlen(split), &row.split, err));
  VBL_TRY(add_text(r, r->row_count, text, bytes, err));
  VBL_TRY(vbl_vocabulary_add(r->keys, (const char *)key->data, key->size - 1, err));
  r->rows[r->row_count++] = row;
  return VBL_OK;
}

vbl_status vbl_records_add(vbl_records *r, const char *where, const vbl_record *record, const char *text, size_t bytes,
                           vbl_error *err) {
  char why[200];
  if (record->archive >= vbl_vocabulary_size(r->archives))
    return vbl_fail(err, VBL_EINVAL, "archive %d of %d", record->archive, vbl_vocabulary_size(r->archives));
  const char *wrong = fault(r, record, text, bytes, why);
  if (wrong != NULL) return vbl_records_skip(r, where, wrong, err);
  vbl_bytes key = {0};
  int64_t bad = r->bad_records;
  vbl_status status = add_good(r, where, record, text, bytes, &key, err);
  vbl_bytes_free(&key);
  r->added += status == VBL_OK && bad == r->bad_records;
  return status;
}

vbl_status vbl_records_check_bad(const vbl_records *r, const char *name, int64_t bad, int64_t all, const char *what, size_t from,
                                 vbl_error *err) {
  if ((double)bad <= r->options.max_bad * (double)all) return VBL_OK;
  const char *first = (const char *)r->report.data + from;
  int shown = 0, lines = 0, most = (int)(r->report.size - from);
  while (shown < most && shown < 600 && lines < 3) lines += first[shown++] == '\n';
  char way[120] = "";
  double least = ceil(100 * (double)bad / (double)all) / 100;
  if (bad < all)
    snprintf(way, sizeof way, ", or take only the good ones with max_bad=%.2f, in an experiment captions.max_bad=%.2f", least,
             least);
  return vbl_fail(err, VBL_EIO, "%s: %lld of %lld %s, more than max_bad = %g of them; the first:\n%.*s(mend them%s)", name,
                  (long long)bad, (long long)all, what, r->options.max_bad, shown, first, way);
}

const char *vbl_records_id(const vbl_records *r, int32_t sample) {
  return strchr(vbl_vocabulary_token(r->keys, r->rows[sample].key), '\t') + 1;
}

const char *vbl_records_text(const vbl_records *r, int32_t text) { return (const char *)r->text_bytes.data + r->text_start[text]; }

// Leaves out the rows of bad images and puts each row's texts side by side, in the order in which they came.
static vbl_status compact(vbl_records *r, vbl_error *err) {
  int32_t samples = 0, *number = malloc((size_t)r->row_count * sizeof *number);
  int64_t *start = malloc((size_t)r->text_count * sizeof *start);
  r->first = calloc((size_t)r->row_count + 2, sizeof *r->first);
  if (number == NULL || start == NULL || r->first == NULL) {
    free(number);
    free(start);
    return vbl_fail(err, VBL_ENOMEM, "out of memory for %d records", r->row_count);
  }
  for (int32_t i = 0; i < r->row_count; i++) {
    number[i] = r->images[r->rows[i].image].bad ? -1 : samples++;
    if (number[i] >= 0) r->rows[number[i]] = r->rows[i];
  }
  // first[s + 2] counts sample s, then first[s + 1] is where its next text goes, and in the end its texts' end.
  for (int32_t k = 0; k < r->text_count; k++)
    if (number[r->text_row[k]] >= 0) r->first[number[r->text_row[k]] + 2]++;
  for (int32_t s = 0; s < samples; s++) r->first[s + 2] += r->first[s + 1];
  for (int32_t k = 0; k < r->text_count; k++)
    if (number[r->text_row[k]] >= 0) start[r->first[number[r->text_row[k]] + 1]++] = r->text_start[k];
  free(number);
  free(r->text_start);
  free(r->text_row);
  r->text_row = NULL;
  r->text_start = start;
  r->text_count = r->first[samples];
  r->row_count = r->source.samples = samples;
  return VBL_OK;
}

// Pointers to the classes' names, which stay where they are from here on.
static vbl_status list_classes(vbl_records *r, vbl_error *err) {
  r->class_list = malloc(((size_t)r->source.classes + 1) * sizeof *r->class_list);
  if (r->class_list == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d classes", r->source.classes);
  for (int32_t i = 0; i < r->source.classes; i++) r->class_list[i] = vbl_vocabulary_token(r->class_name, i);
  return VBL_OK;
}

vbl_status vbl_records_finish(vbl_records *r, const char *name, vbl_error *err) {
  char what[100];
  snprintf(what, sizeof what, "%s are bad", r->unit);
  VBL_TRY(vbl_records_check_bad(r, name, r->bad_records, r->added + r->bad_records, what, 0, err));
  if (r->row_count == 0) return vbl_fail(err, VBL_EIO, "%s: no %s in it", name, r->unit);
  VBL_TRY(vbl_records_check_images(r, name, err));
  vbl_status status = vbl_records_divide(r, err);
  if (status == VBL_OK) status = compact(r, err);
  if (status == VBL_OK) status = vbl_records_collect(r, err);
  if (status != VBL_OK) return vbl_context(err, "splits of %s", name);
  VBL_TRY(list_classes(r, err));
  VBL_TRY(vbl_records_tokenize(r, err));
  vbl_records_fill_source(r);
  return VBL_OK;
}
