#include "core/store/npy.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/store/atomic.h"

static const char mark[8] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0};  // and the version, 1.0

static const struct {
  const char *text;
  vbl_file_dtype dtype;
} descriptions[] = {{"<f4", VBL_FILE_F32}, {"<f8", VBL_FILE_F64}, {"<f2", VBL_FILE_F16}, {"<i4", VBL_FILE_I32},
                    {"<i8", VBL_FILE_I64}, {"<i2", VBL_FILE_I16}, {"<u2", VBL_FILE_U16}, {"|u1", VBL_FILE_U8},
                    {"|i1", VBL_FILE_I8},  {"|b1", VBL_FILE_BOOL}};

static vbl_status bad(const char *where, const char *what, vbl_error *err) {
  return vbl_fail(err, VBL_EIO, "%s: not a readable .npy: %s", where, what);
}

static const char *after_blanks(const char *p) {
  while (*p == ' ') p++;
  return p;
}

// At the value of descr; leaves *p behind it.
static vbl_status parse_dtype(const char **p, const char *where, vbl_npy *out, vbl_error *err) {
  const char *text = *p + 1, quote = **p;
  if (quote != '\'' && quote != '"') return bad(where, "descr names no single dtype (records are not supported)", err);
  const char *end = strchr(text, quote);
  if (end == NULL) return bad(where, "descr does not end", err);
  *p = end + 1;
  for (size_t i = 0; i < sizeof descriptions / sizeof *descriptions; i++) {
    if (end - text != 3 || strncmp(text, descriptions[i].text, 3) != 0) continue;
    out->dtype = descriptions[i].dtype;
    return VBL_OK;
  }
  const char *why = *text == '>' ? "it is big-endian: save a.astype(a.dtype.newbyteorder('<'))"
                    : memchr(text, 'O', (size_t)(end - text))
                        ? "Python objects are pickled, and reading them could run code: save numbers"
                        : "expected one of f2 f4 f8 i1 u1 i2 u2 i4 i8 b1";
  return vbl_fail(err, VBL_EIO, "%s: dtype '%.*s' is not supported: %s", where, (int)(end - text > 12 ? 12 : end - text), text,
                  why);
}

// At the value of shape, "(3, 4)" or "(3,)" or "()".
static vbl_status parse_shape(const char **p, const char *where, vbl_npy *out, vbl_error *err) {
  const char *q = *p;
  if (*q != '(') return bad(where, "no shape", err);
  for (q = after_blanks(q + 1); *q != ')'; q = after_blanks(q)) {
    char *end;
    if (*q == '-') return bad(where, "a dim is negative", err);
    if (!isdigit((unsigned char)*q)) return bad(where, "a dim is no number", err);
    if (out->ndim == VBL_MAX_DIMS) return bad(where, "more than 6 dims", err);
    errno = 0;
    out->shape[out->ndim++] = strtoll(q, &end, 10);
    if (errno == ERANGE) return bad(where, "a dim does not fit 63 bits", err);
    q = after_blanks(*end == 'L' ? end + 1 : end);  // Python 2 wrote 3L
    if (*q == ',')
      q++;
    else if (*q != ')')
      return bad(where, "its shape is no list of dims", err);
  }
  *p = q + 1;
  return VBL_OK;
}

static vbl_status parse_order(const char **p, const char *where, vbl_npy *out, vbl_error *err) {
  out->fortran = strncmp(*p, "True", 4) == 0;
  if (!out->fortran && strncmp(*p, "False", 5) != 0) return bad(where, "fortran_order is neither True nor False", err);
  *p += out->fortran ? 4 : 5;
  return VBL_OK;
}

// One 'key': value of the header; `seen` has a bit for each key.
static vbl_status parse_item(const char **p, int *seen, const char *where, vbl_npy *out, vbl_error *err) {
  static const char *const keys[3] = {"descr", "fortran_order", "shape"};
  static vbl_status (*const parse[3])(const char **, const char *, vbl_npy *, vbl_error *) = {parse_dtype, parse_order,
                                                                                              parse_shape};
  char quote = **p;
  if (quote != '\'' && quote != '"') return bad(where, "its header is no dict of descr, fortran_order and shape", err);
  for (int k = 0; k < 3; k++) {
    size_t n = strlen(keys[k]);
    if (strncmp(*p + 1, keys[k], n) != 0 || (*p)[1 + n] != quote) continue;
    if (*seen & 1 << k) return bad(where, "a key of its header appears twice", err);
    *seen |= 1 << k;
    *p = after_blanks(*p + n + 2);
    if (**p != ':') return bad(where, "a key of its header has no value", err);
    *p = after_blanks(*p + 1);
    return parse[k](p, where, out, err);
  }
  return bad(where, "its header has a key other than descr, fortran_order and shape", err);
}

// The header is a Python dict literal with the keys descr, fortran_order, shape, each once.
static vbl_status parse_header(const char *header, const char *where, vbl_npy *out, vbl_error *err) {
  const char *p = after_blanks(header);
  int seen = 0;
  if (*p != '{') return bad(where, "its header is no dict", err);
  for (p = after_blanks(p + 1); *p != '}'; p = after_blanks(p)) {
    VBL_TRY(parse_item(&p, &seen, where, out, err));
    p = after_blanks(p);
    if (*p == ',')
      p++;
    else if (*p != '}')
      return bad(where, "its header is no dict", err);
  }
  if (seen != 7) return bad(where, "its header lacks descr, fortran_order or shape", err);
  if (strspn(p + 1, " \n") != strlen(p + 1)) return bad(where, "its header goes on behind the dict", err);
  if (vbl_array_size(out->ndim, out->shape, vbl_file_dtype_size(out->dtype), &out->bytes, err) != VBL_OK)
    return vbl_context(err, "%s", where);
  return VBL_OK;
}

vbl_status vbl_npy_parse(const char *text, size_t n, const char *where, vbl_npy *out, vbl_error *err) {
  const uint8_t *u = (const uint8_t *)text;
  *out = (vbl_npy){0};
  if (n < 10 || memcmp(text, mark, 6) != 0) return bad(where, "no NUMPY mark at its start", err);
  if (u[6] < 1 || u[6] > 3) return bad(where, "unknown version", err);
  size_t start = u[6] == 1 ? 10 : 12, length = u[8] | (size_t)u[9] << 8;
  if (u[6] > 1 && n >= 12) length |= (size_t)u[10] << 16 | (size_t)u[11] << 24;
  if (n < start || n - start < length) return bad(where, "truncated in its header", err);
  char *header = malloc(length + 1);
  if (!header) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", where);
  memcpy(header, text + start, length);
  header[length] = 0;
  vbl_status s = strlen(header) < length ? bad(where, "a NUL in its header", err) : parse_header(header, where, out, err);
  free(header);
  if (s != VBL_OK) return s;
  out->data = text + start + length;
  size_t got = n - start - length;
  if (got == out->bytes) return VBL_OK;
  return vbl_fail(err, VBL_EIO, "%s: %zu bytes of data, expected %llu from its dtype and shape%s", where, got,
                  (unsigned long long)out->bytes, got < out->bytes ? " (truncated?)" : "");
}

// Fortran order: element (i0, i1, ...) lies at i0 + n0 (i1 + n1 (...)). Walks the target in C order.
static void to_c_order(const vbl_npy *a, char *dst, int64_t n) {
  size_t size = vbl_file_dtype_size(a->dtype);
  int64_t index[VBL_MAX_DIMS] = {0};
  for (int64_t i = 0; i < n; i++) {
    int64_t at = 0;
    for (int d = a->ndim - 1; d >= 0; d--) at = at * a->shape[d] + index[d];
    memcpy(dst + (size_t)i * size, a->data + (size_t)at * size, size);
    for (int d = a->ndim - 1; d >= 0 && ++index[d] == a->shape[d]; d--) index[d] = 0;
  }
}

vbl_status vbl_npy_read(const vbl_npy *a, void *dst, const char *where, vbl_error *err) {
  int64_t n = (int64_t)(a->bytes / vbl_file_dtype_size(a->dtype));
  if (!a->fortran || a->ndim < 2) return vbl_file_dtype_convert(a->dtype, a->data, dst, n, where, err);
  char *ordered = malloc(a->bytes + 1);
  if (!ordered) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", where);
  to_c_order(a, ordered, n);
  vbl_status s = vbl_file_dtype_convert(a->dtype, ordered, dst, n, where, err);
  free(ordered);
  return s;
}

static size_t format_header(const vbl_array *a, char out[512]) {
  static const char *const names[VBL_DTYPES] = {"<f4", "<f8", "<f4", "<i4", "|u1"};
  char shape[192];
  int n = 0;
  for (int i = 0; i < a->ndim; i++)
    n += snprintf(shape + n, sizeof shape - (size_t)n, i ? ", %lld" : "%lld", (long long)a->shape[i]);
  shape[n] = 0;
  int used = snprintf(out + 10, 500, "{'descr': '%s', 'fortran_order': False, 'shape': (%s%s), }", names[a->dtype], shape,
                      a->ndim == 1 ? "," : "");
  while ((used + 11) % 64 != 0) out[10 + used++] = ' ';
  out[10 + used++] = '\n';
  memcpy(out, mark, sizeof mark);
  out[8] = (char)(used & 255);
  out[9] = (char)(used >> 8);
  return 10 + (size_t)used;
}

static void put_elements(const vbl_array *a, uint64_t bytes, char *dst) {
  if (a->dtype != VBL_BF16) {
    if (bytes > 0) memcpy(dst, a->data, bytes);
    return;
  }
  for (uint64_t i = 0; i < bytes / 4; i++) {
    uint16_t h;
    memcpy(&h, (const char *)a->data + 2 * i, 2);
    uint32_t bits = (uint32_t)h << 16;
    memcpy(dst + 4 * i, &bits, 4);
  }
}

vbl_status vbl_npy_format(const vbl_array *a, vbl_file_bytes *out, vbl_error *err) {
  char header[512];
  uint64_t bytes = 0;
  VBL_TRY(vbl_array_size(a->ndim, a->shape, a->dtype == VBL_BF16 ? 4 : vbl_dtype_size(a->dtype), &bytes, err));
  size_t n = format_header(a, header);
  *out = (vbl_file_bytes){malloc(n + bytes + 1), n + bytes};
  if (!out->data) return vbl_fail(err, VBL_ENOMEM, "not enough memory to write an array of %llu bytes", (unsigned long long)bytes);
  memcpy(out->data, header, n);
  put_elements(a, bytes, out->data + n);
  return VBL_OK;
}

vbl_status vbl_npy_write(const char *path, const vbl_array *a, vbl_error *err) {
  vbl_file_bytes b = {0};
  if (vbl_npy_format(a, &b, err) != VBL_OK) return vbl_context(err, "%s", path);
  vbl_status s = vbl_atomic_write(path, b.data, b.size, err);
  vbl_file_bytes_free(&b);
  return s;
}
