#include "core/store/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/store/atomic.h"
#include "core/store/file.h"
#include "core/store/json.h"

enum { MAX_HEADER = 100000000 };  // the format's own limit

static const char *const dtype_names[VBL_FILE_DTYPES] = {"F32", "F64",  "BF16", "I32", "U8", "F16",
                                                         "I64", "BOOL", "I8",   "I16", "U16"};

static vbl_status bad(const vbl_safetensors *f, const char *name, const char *what, vbl_error *err) {
  return vbl_fail(err, VBL_EIO, "%s: tensor \"%s\": %s", f->path, name, what);
}

static vbl_status read_at(const vbl_safetensors *f, void *dst, uint64_t n, uint64_t at, vbl_error *err) {
  char *p = dst;
  while (n > 0) {
    ssize_t got = pread(f->fd, p, n, (off_t)at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return vbl_fail_errno(err, "read", f->path);
    if (got == 0) return vbl_fail(err, VBL_EIO, "%s: truncated while it was read", f->path);
    p += got;
    n -= (uint64_t)got;
    at += (uint64_t)got;
  }
  return VBL_OK;
}

// dtype, shape and data_offsets, each once, and nothing else: a second one would be read by others and not by us.
static vbl_status check_fields(const vbl_safetensors *f, const vbl_json *v, vbl_error *err) {
  static const char *const known[3] = {"dtype", "shape", "data_offsets"};
  int seen = 0;
  for (const vbl_json *c = v->child; c; c = c->next) {
    int k = 0;
    while (k < 3 && strcmp(known[k], c->key) != 0) k++;
    if (k == 3) return vbl_fail(err, VBL_EIO, "%s: tensor \"%s\": unknown field \"%.40s\" in the header", f->path, v->key, c->key);
    if (seen & 1 << k) return vbl_fail(err, VBL_EIO, "%s: tensor \"%s\": %s appears twice", f->path, v->key, c->key);
    seen |= 1 << k;
  }
  return VBL_OK;
}

static vbl_status parse_shape(const vbl_safetensors *f, const vbl_json *v, vbl_safetensors_entry *e, vbl_error *err) {
  const vbl_json *shape = vbl_json_get(v, "shape");
  if (!shape || shape->type != VBL_JSON_ARRAY) return bad(f, e->name, "has no shape", err);
  if (shape->size > VBL_MAX_DIMS) return bad(f, e->name, "has more than 6 dims", err);
  for (const vbl_json *d = shape->child; d; d = d->next) {
    if (d->type != VBL_JSON_INTEGER || d->integer < 0) return bad(f, e->name, "a dim is no whole number >= 0", err);
    e->shape[e->ndim++] = d->integer;
  }
  return VBL_OK;
}

static vbl_status parse_entry(const vbl_safetensors *f, const vbl_json *v, uint64_t data, uint64_t size, vbl_safetensors_entry *e,
                              vbl_error *err) {
  e->name = v->key;
  if (v->type != VBL_JSON_OBJECT) return bad(f, e->name, "is no {dtype, shape, data_offsets}", err);
  VBL_TRY(check_fields(f, v, err));
  if (!*e->name) return bad(f, e->name, "an empty name", err);
  const vbl_json *dtype = vbl_json_get(v, "dtype"), *range = vbl_json_get(v, "data_offsets");
  if (!dtype || dtype->type != VBL_JSON_STRING) return bad(f, e->name, "has no dtype", err);
  int d = 0;
  while (d < VBL_FILE_DTYPES && strcmp(dtype_names[d], dtype->text) != 0) d++;
  if (d == VBL_FILE_DTYPES)
    return vbl_fail(err, VBL_EIO,
                    "%s: tensor \"%s\": dtype %.20s is not supported (F32, F64, BF16, F16, I64, I32, I16, I8, U16, U8, BOOL)",
                    f->path, e->name, dtype->text);
  e->dtype = (vbl_file_dtype)d;
  VBL_TRY(parse_shape(f, v, e, err));
  if (!range || range->type != VBL_JSON_ARRAY || range->size != 2 || range->child->type != VBL_JSON_INTEGER ||
      range->child->next->type != VBL_JSON_INTEGER)
    return bad(f, e->name, "data_offsets is no pair of whole numbers", err);
  int64_t begin = range->child->integer, end = range->child->next->integer;
  if (begin < 0 || end < begin || (uint64_t)end > size - data)
    return vbl_fail(err, VBL_EIO, "%s: tensor \"%s\": bytes %lld to %lld lie outside the %llu bytes of data (truncated file?)",
                    f->path, e->name, (long long)begin, (long long)end, (unsigned long long)(size - data));
  if (vbl_array_size(e->ndim, e->shape, vbl_file_dtype_size(e->dtype), &e->bytes, err) != VBL_OK)
    return vbl_context(err, "%s: tensor \"%s\"", f->path, e->name);
  if (e->bytes != (uint64_t)(end - begin))
    return vbl_fail(err, VBL_EIO, "%s: tensor \"%s\": %lld bytes of data, expected %llu from its dtype and shape", f->path, e->name,
                    (long long)(end - begin), (unsigned long long)e->bytes);
  e->begin = data + (uint64_t)begin;
  return VBL_OK;
}

static vbl_status parse_metadata(vbl_safetensors *f, const vbl_json *v, vbl_error *err) {
  if (v->type != VBL_JSON_OBJECT) return vbl_fail(err, VBL_EIO, "%s: __metadata__ is no object", f->path);
  f->metadata = calloc(v->size + 1, sizeof *f->metadata);
  if (!f->metadata) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", f->path);
  for (const vbl_json *c = v->child; c; c = c->next) {
    if (c->type != VBL_JSON_STRING) return vbl_fail(err, VBL_EIO, "%s: __metadata__.%s is no string", f->path, c->key);
    f->metadata[f->pairs++] = (vbl_pair){c->key, c->text};
  }
  const char **keys = malloc((v->size + 1) * sizeof *keys);
  if (!keys) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", f->path);
  for (int64_t i = 0; i < f->pairs; i++) keys[i] = f->metadata[i].key;
  const char *twice = vbl_names_twice(keys, f->pairs);
  free(keys);
  return twice ? vbl_fail(err, VBL_EIO, "%s: __metadata__.%s appears twice", f->path, twice) : VBL_OK;
}

static int by_offset(const void *a, const void *b) {
  const vbl_safetensors_entry *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;  // empty ones first
}

static vbl_status check_names(const char *path, const char **names, int64_t n, vbl_status code, vbl_error *err) {
  const char *twice = vbl_names_twice(names, n);
  return twice ? vbl_fail(err, code, "%s: tensor \"%s\": the name appears twice", path, twice) : VBL_OK;
}

static vbl_status check_layout(vbl_safetensors *f, uint64_t data, uint64_t size, vbl_error *err) {
  qsort(f->entries, (size_t)f->count, sizeof *f->entries, by_offset);
  uint64_t at = data;
  for (int64_t i = 0; i < f->count; i++) {
    const vbl_safetensors_entry *e = &f->entries[i];
    if (e->begin < at) return bad(f, e->name, "its data overlaps the tensor before it", err);
    if (e->begin > at) return bad(f, e->name, "a hole lies before its data", err);
    at += e->bytes;
  }
  if (at != size) return vbl_fail(err, VBL_EIO, "%s: %llu bytes after the last tensor", f->path, (unsigned long long)(size - at));
  const char **names = malloc((size_t)(f->count + 1) * sizeof *names);
  if (!names) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", f->path);
  for (int64_t i = 0; i < f->count; i++) names[i] = f->entries[i].name;
  vbl_status s = check_names(f->path, names, f->count, VBL_EIO, err);
  free(names);
  return s;
}

static vbl_status parse_header(vbl_safetensors *f, uint64_t data, uint64_t size, vbl_error *err) {
  const vbl_json *h = f->header;
  if (h->type != VBL_JSON_OBJECT) return vbl_fail(err, VBL_EIO, "%s: the header is no JSON object", f->path);
  f->entries = calloc(h->size + 1, sizeof *f->entries);
  if (!f->entries) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", f->path);
  for (const vbl_json *v = h->child; v; v = v->next) {
    if (strcmp(v->key, "__metadata__") != 0) {
      VBL_TRY(parse_entry(f, v, data, size, &f->entries[f->count], err));
      f->count++;
    } else if (f->metadata) {
      return vbl_fail(err, VBL_EIO, "%s: __metadata__ appears twice", f->path);
    } else {
      VBL_TRY(parse_metadata(f, v, err));
    }
  }
  return check_layout(f, data, size, err);
}

static vbl_status read_header(vbl_safetensors *f, size_t size, vbl_error *err) {
  uint8_t raw[8];
  uint64_t n = 0;
  if (size < 8) return vbl_fail(err, VBL_EIO, "%s: %zu bytes, too short for a safetensors file", f->path, size);
  VBL_TRY(read_at(f, raw, 8, 0, err));
  for (int i = 7; i >= 0; i--) n = n << 8 | raw[i];
  if (n > MAX_HEADER || n > size - 8)
    return vbl_fail(err, VBL_EIO, "%s: a header of %llu bytes in a file of %zu: truncated, or not a safetensors file", f->path,
                    (unsigned long long)n, size);
  char *text = malloc(n + 1);
  if (!text) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", f->path);
  vbl_status s = read_at(f, text, n, 8, err);
  if (s == VBL_OK) s = vbl_json_parse(text, n, f->path, &f->header, err);
  free(text);
  return s == VBL_OK ? parse_header(f, 8 + n, size, err) : s;
}

vbl_status vbl_safetensors_open(vbl_safetensors *f, const char *path, vbl_error *err) {
  *f = (vbl_safetensors){.fd = -1, .path = strdup(path)};
  if (!f->path) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", path);
  size_t size;
  vbl_status s = vbl_file_open(path, &f->fd, &size, err);
  if (s == VBL_OK) s = read_header(f, size, err);
  if (s != VBL_OK) vbl_safetensors_close(f);
  return s;
}

void vbl_safetensors_close(vbl_safetensors *f) {
  if (f->fd >= 0) close(f->fd);
  vbl_json_free(f->header);
  free(f->entries);
  free(f->metadata);
  free(f->path);
  *f = (vbl_safetensors){.fd = -1};
}

vbl_status vbl_safetensors_read(const vbl_safetensors *f, int64_t i, void *dst, vbl_error *err) {
  const vbl_safetensors_entry *e = &f->entries[i];
  if (e->dtype <= VBL_FILE_U8 || e->dtype == VBL_FILE_BOOL) return read_at(f, dst, e->bytes, e->begin, err);
  void *raw = malloc(e->bytes + 1);
  if (!raw) return bad(f, e->name, "not enough memory", err);
  vbl_status s = read_at(f, raw, e->bytes, e->begin, err);
  if (s == VBL_OK &&
      vbl_file_dtype_convert(e->dtype, raw, dst, (int64_t)(e->bytes / vbl_file_dtype_size(e->dtype)), e->name, err) != VBL_OK)
    s = vbl_context(err, "%s: tensor", f->path);
  free(raw);
  return s;
}

// A growing text that remembers a failed allocation.
typedef struct text {
  char *data;
  size_t size, room;
  bool failed;
} text;

static void add(text *t, const char *s, size_t n) {
  if (!t->failed && t->room - t->size < n) {
    size_t room = 2 * t->room + n + 256;
    char *grown = realloc(t->data, room);
    t->failed = !grown;
    if (grown) t->data = grown, t->room = room;
  }
  if (t->failed) return;
  memcpy(t->data + t->size, s, n);
  t->size += n;
}

static void add_text(text *t, const char *s) { add(t, s, strlen(s)); }

static void add_quoted(text *t, const char *s) {
  size_t n = vbl_json_quoted_size(s, strlen(s));
  char *quoted = malloc(n + 1);
  if (quoted) add(t, quoted, (size_t)(vbl_json_quote(s, strlen(s), quoted) - quoted));
  t->failed |= !quoted;
  free(quoted);
}

static void add_number(text *t, uint64_t n) {
  char buf[32];
  int length = snprintf(buf, sizeof buf, "%llu", (unsigned long long)n);
  add(t, buf, (size_t)length);
}

static void add_entry(text *t, const vbl_array *a, uint64_t begin, uint64_t bytes) {
  add_quoted(t, a->name);
  add_text(t, ":{\"dtype\":\"");
  add_text(t, dtype_names[a->dtype]);
  add_text(t, "\",\"shape\":[");
  for (int i = 0; i < a->ndim; i++) {
    if (i) add_text(t, ",");
    add_number(t, (uint64_t)a->shape[i]);
  }
  add_text(t, "],\"data_offsets\":[");
  add_number(t, begin);
  add_text(t, ",");
  add_number(t, begin + bytes);
  add_text(t, "]}");
}

static void add_metadata(text *t, int64_t pairs, const vbl_pair *metadata) {
  add_text(t, "\"__metadata__\":{");
  for (int64_t i = 0; i < pairs; i++) {
    if (i) add_text(t, ",");
    add_quoted(t, metadata[i].key);
    add_text(t, ":");
    add_quoted(t, metadata[i].value);
  }
  add_text(t, "}");
}

static vbl_status check_written(const char *path, int64_t count, const vbl_array *tensors, int64_t pairs, const vbl_pair *metadata,
                                vbl_error *err) {
  const char **names = malloc((size_t)(count + 1) * sizeof *names);
  if (!names) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", path);
  vbl_status s = VBL_OK;
  for (int64_t i = 0; i < count && s == VBL_OK; i++) {
    const char *name = names[i] = tensors[i].name;
    if (!*name || strcmp(name, "__metadata__") == 0 || vbl_json_quoted_size(name, strlen(name)) == 0)
      s = vbl_fail(err, VBL_EINVAL, "%s: tensor \"%s\": the name is empty, reserved or not UTF-8", path, name);
  }
  for (int64_t i = 0; i < pairs && s == VBL_OK; i++)
    if (!vbl_json_quoted_size(metadata[i].key, strlen(metadata[i].key)) ||
        !vbl_json_quoted_size(metadata[i].value, strlen(metadata[i].value)))
      s = vbl_fail(err, VBL_EINVAL, "%s: metadata \"%s\": not UTF-8", path, metadata[i].key);
  if (s == VBL_OK) s = check_names(path, names, count, VBL_EINVAL, err);
  free(names);
  return s;
}

static vbl_status make_header(const char *path, int64_t count, const vbl_array *tensors, int64_t pairs, const vbl_pair *metadata,
                              text *t, vbl_error *err) {
  uint64_t at = 0, bytes = 0;
  add_text(t, "{");
  if (pairs > 0) add_metadata(t, pairs, metadata);
  for (int64_t i = 0; i < count; i++) {
    if (i > 0 || pairs > 0) add_text(t, ",");
    VBL_TRY(vbl_array_size(tensors[i].ndim, tensors[i].shape, vbl_dtype_size(tensors[i].dtype), &bytes, err));
    add_entry(t, &tensors[i], at, bytes);
    at += bytes;
  }
  add_text(t, "}");
  while (!t->failed && t->size % 8 != 0) add_text(t, " ");
  if (t->failed) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", path);
  if (t->size > MAX_HEADER) return vbl_fail(err, VBL_EINVAL, "%s: the header exceeds 100 MB", path);
  return VBL_OK;
}

static vbl_status write_all(vbl_atomic_file *f, const text *header, int64_t count, const vbl_array *tensors, vbl_error *err) {
  uint8_t raw[8];
  for (int i = 0; i < 8; i++) raw[i] = (uint8_t)((uint64_t)header->size >> 8 * i);
  VBL_TRY(vbl_atomic_file_write(f, raw, 8, err));
  VBL_TRY(vbl_atomic_file_write(f, header->data, header->size, err));
  for (int64_t i = 0; i < count; i++) {
    uint64_t bytes = 0;
    VBL_TRY(vbl_array_size(tensors[i].ndim, tensors[i].shape, vbl_dtype_size(tensors[i].dtype), &bytes, err));
    VBL_TRY(vbl_atomic_file_write(f, tensors[i].data, bytes, err));
  }
  return vbl_atomic_file_commit(f, err);
}

vbl_status vbl_safetensors_write(const char *path, int64_t count, const vbl_array *tensors, int64_t pairs, const vbl_pair *metadata,
                                 uint32_t *crc, uint64_t *size, vbl_error *err) {
  text header = {0};
  vbl_atomic_file f = {.fd = -1};
  vbl_status s = check_written(path, count, tensors, pairs, metadata, err);
  if (s == VBL_OK) s = make_header(path, count, tensors, pairs, metadata, &header, err);
  if (s == VBL_OK) s = vbl_atomic_file_open(&f, path, err);
  if (s == VBL_OK) s = write_all(&f, &header, count, tensors, err);
  vbl_atomic_file_abort(&f);
  free(header.data);
  if (s == VBL_OK && crc) *crc = f.crc;
  if (s == VBL_OK && size) *size = f.written;
  return s;
}
