// The zip container of .npz (PKWARE APPNOTE 6.3): the central directory at the end leads; entries are stored or deflated.
// defines: vbl_npz_open, vbl_npz_close, vbl_npz_write
#define ZLIB_CONST  // input that zlib only reads
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "core/store/atomic.h"
#include "core/store/hash.h"
#include "core/store/npy.h"

enum { END_SIZE = 22, CENTRAL_SIZE = 46, LOCAL_SIZE = 30, STORED = 0, DEFLATED = 8, DOS_1980 = 1 << 5 | 1 };
// Marks of the records, and ".npy", as little-endian numbers.
enum { LOCAL_MARK = 0x04034b50, CENTRAL_MARK = 0x02014b50, END_MARK = 0x06054b50, NPY = 0x79706e2e };

// Little-endian numbers of at most 8 bytes.
static uint32_t get(const char *p, int bytes) {
  uint32_t v = 0;
  for (int i = bytes - 1; i >= 0; i--) v = v << 8 | (uint8_t)p[i];
  return v;
}

static char *put(char *p, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; i++) *p++ = (char)(v >> 8 * i);
  return p;
}

static vbl_status bad(const char *path, const char *what, vbl_error *err) {
  return vbl_fail(err, VBL_EIO, "%s: not a readable .npz: %s", path, what);
}

static vbl_status inflate_entry(const char *src, uint32_t packed, vbl_file_bytes *out, const char *path, vbl_error *err) {
  z_stream z = {.next_in = (const Bytef *)src, .avail_in = packed, .next_out = (Bytef *)out->data, .avail_out = (uInt)out->size};
  if (inflateInit2(&z, -MAX_WBITS) != Z_OK) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", path);
  int result = inflate(&z, Z_FINISH);
  bool whole = result == Z_STREAM_END && z.total_out == out->size;
  inflateEnd(&z);
  return whole ? VBL_OK : bad(path, "a deflated entry is broken", err);
}

// Deflate stores at most 258 bytes in two bits: what claims more is no archive, and is refused before memory is taken for it.
enum { DEFLATE_MOST = 1032 };

// The row of the central directory as numbers.
typedef struct zip_row {
  uint32_t flags, method, crc, packed, size, at, name;
} zip_row;

static vbl_status check_row(const zip_row *c, const char *path, vbl_error *err) {
  if (c->packed == UINT32_MAX || c->size == UINT32_MAX || c->at == UINT32_MAX)
    return bad(path, "beyond 4 GiB; use .safetensors", err);
  if (c->flags & 1) return bad(path, "an entry is encrypted", err);
  if (c->method != STORED && c->method != DEFLATED) return bad(path, "an entry is neither stored nor deflated", err);
  if (c->method == STORED && c->packed != c->size) return bad(path, "a stored entry has two sizes", err);
  if (c->method == DEFLATED && c->size > (uint64_t)c->packed * DEFLATE_MOST + 64)
    return vbl_fail(err, VBL_EIO, "%s: an entry of %u bytes claims to unpack to %u, more than deflate can hold", path, c->packed,
                    c->size);
  return VBL_OK;
}

// Where the entry's data begins.
static vbl_status find_data(const vbl_file_bytes *all, const zip_row *c, const char **data, const char *path, vbl_error *err) {
  if (c->at > all->size || all->size - c->at < LOCAL_SIZE || memcmp(all->data + c->at, "PK\3\4", 4) != 0)
    return bad(path, "an entry is missing", err);
  uint64_t start = (uint64_t)c->at + LOCAL_SIZE + get(all->data + c->at + 26, 2) + get(all->data + c->at + 28, 2);
  if (start > all->size || all->size - start < c->packed) return bad(path, "truncated in an entry", err);
  *data = all->data + start;
  return VBL_OK;
}

static vbl_status name_entry(const char *text, uint32_t length, vbl_npz_entry *e, const char *path, vbl_error *err) {
  if (length == 0 || memchr(text, 0, length)) return bad(path, "an entry's name is empty or holds a NUL", err);
  e->name = strndup(text, length);
  if (!e->name) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", path);
  char *suffix = length > 4 ? e->name + length - 4 : NULL;
  if (suffix && strcmp(suffix, ".npy") == 0) *suffix = 0;
  return VBL_OK;
}

// One row of the central directory, at `row`; the file is `all`. *packed gets the bytes of the file that it takes.
static vbl_status read_entry(const vbl_file_bytes *all, const char *row, vbl_npz_entry *e, uint32_t *packed, const char *path,
                             vbl_error *err) {
  zip_row c = {get(row + 8, 2),  get(row + 10, 2), get(row + 16, 4), get(row + 20, 4),
               get(row + 24, 4), get(row + 42, 4), get(row + 28, 2)};
  const char *data = NULL;
  *packed = c.packed;
  VBL_TRY(check_row(&c, path, err));
  VBL_TRY(find_data(all, &c, &data, path, err));
  VBL_TRY(name_entry(row + CENTRAL_SIZE, c.name, e, path, err));
  e->bytes.data = malloc((size_t)c.size + 1);
  if (!e->bytes.data) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", path);
  e->bytes.size = c.size;
  e->bytes.data[c.size] = 0;
  if (c.method == DEFLATED)
    VBL_TRY(inflate_entry(data, c.packed, &e->bytes, path, err));
  else
    memcpy(e->bytes.data, data, c.size);
  if (vbl_crc32(0, e->bytes.data, c.size) != c.crc)
    return vbl_fail(err, VBL_EIO, "%s: array \"%s\": checksum differs, the file is damaged", path, e->name);
  return VBL_OK;
}

// The end record is the last 22 bytes, or earlier by at most a 65,535-byte comment.
static const char *find_end(const vbl_file_bytes *all) {
  if (all->size < END_SIZE) return NULL;
  size_t lowest = all->size > END_SIZE + 65535 ? all->size - END_SIZE - 65535 : 0;
  for (size_t i = all->size - END_SIZE + 1; i-- > lowest;)
    if (memcmp(all->data + i, "PK\5\6", 4) == 0) return all->data + i;
  return NULL;
}

static vbl_status check_names(const vbl_npz *z, const char *path, vbl_error *err) {
  const char **names = malloc(((size_t)z->count + 1) * sizeof *names);
  if (!names) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", path);
  for (int64_t i = 0; i < z->count; i++) names[i] = z->entries[i].name;
  const char *twice = vbl_names_twice(names, z->count);
  free(names);
  return twice ? vbl_fail(err, VBL_EIO, "%s: array \"%s\" appears twice", path, twice) : VBL_OK;
}

static vbl_status read_entries(vbl_npz *z, const vbl_file_bytes *all, const char *path, vbl_error *err) {
  const char *end = find_end(all), *limit = all->data + all->size;
  if (!end) return bad(path, "no zip directory at its end (truncated?)", err);
  uint32_t count = get(end + 10, 2), at = get(end + 16, 4);
  if (at > all->size) return bad(path, "the zip directory lies outside the file", err);
  z->entries = calloc(count + 1, sizeof *z->entries);
  if (!z->entries) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", path);
  const char *row = all->data + at;
  uint64_t total = 0, memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
  uint64_t taken = 0;  // entries that share bytes of the file would unpack to far more than it can hold
  for (uint32_t i = 0; i < count; i++) {
    uint32_t packed = 0;
    if (limit - row < CENTRAL_SIZE || memcmp(row, "PK\1\2", 4) != 0) return bad(path, "the zip directory is broken", err);
    size_t length = CENTRAL_SIZE + get(row + 28, 2) + get(row + 30, 2) + get(row + 32, 2);
    if ((size_t)(limit - row) < length) return bad(path, "the zip directory is broken", err);
    total += get(row + 24, 4);
    if (total > memory)
      return vbl_fail(err, VBL_EIO, "%s: unpacks to more than the %llu MiB of this machine's memory", path,
                      (unsigned long long)(memory >> 20));
    z->count++;
    VBL_TRY(read_entry(all, row, &z->entries[i], &packed, path, err));
    taken += (uint64_t)packed + LOCAL_SIZE;
    if (taken > all->size) return bad(path, "its entries overlap", err);
    row += length;
  }
  return check_names(z, path, err);
}

vbl_status vbl_npz_open(vbl_npz *z, const char *path, vbl_error *err) {
  *z = (vbl_npz){0};
  vbl_file_bytes all;
  VBL_TRY(vbl_file_read(path, &all, err));
  vbl_status s = read_entries(z, &all, path, err);
  vbl_file_bytes_free(&all);
  if (s != VBL_OK) vbl_npz_close(z);
  return s;
}

void vbl_npz_close(vbl_npz *z) {
  for (int64_t i = 0; i < z->count; i++) {
    free(z->entries[i].name);
    vbl_file_bytes_free(&z->entries[i].bytes);
  }
  free(z->entries);
  *z = (vbl_npz){0};
}

// What the local header and the central row have in common: version to checksum, sizes, name's length, no extra field.
static char *put_common(char *p, uint32_t crc, uint64_t size, size_t name) {
  p = put(p, 20, 2);
  p = put(p, 1 << 11, 2);  // names are UTF-8
  p = put(p, STORED, 2);
  p = put(p, (uint64_t)DOS_1980 << 16, 4);  // a fixed date: equal content gives equal bytes
  p = put(p, crc, 4);
  p = put(p, size, 4);
  p = put(p, size, 4);
  p = put(p, name, 2);
  return put(p, 0, 2);
}

// Writes entry i's local part; appends its central row at *central.
static vbl_status write_entry(vbl_atomic_file *f, const vbl_array *a, char **central, vbl_error *err) {
  char local[LOCAL_SIZE], *row = *central;
  size_t name = strlen(a->name) + 4;
  uint64_t at = f->written;
  vbl_file_bytes b = {0};
  VBL_TRY(vbl_npy_format(a, &b, err));
  uint32_t crc = vbl_crc32(0, b.data, b.size);
  vbl_status s = VBL_OK;
  if (at + b.size + name >= UINT32_MAX) s = vbl_fail(err, VBL_EINVAL, "%s: beyond 4 GiB; use .safetensors", f->path);
  put_common(put(local, LOCAL_MARK, 4), crc, b.size, name);
  if (s == VBL_OK) s = vbl_atomic_file_write(f, local, LOCAL_SIZE, err);
  if (s == VBL_OK) s = vbl_atomic_file_write(f, a->name, name - 4, err);
  if (s == VBL_OK) s = vbl_atomic_file_write(f, ".npy", 4, err);
  if (s == VBL_OK) s = vbl_atomic_file_write(f, b.data, b.size, err);
  uint64_t size = b.size;
  vbl_file_bytes_free(&b);
  char *p = put_common(put(put(row, CENTRAL_MARK, 4), 20, 2), crc, size, name);
  p = put(put(p, 0, 6), 0, 4);  // comment, disk, attributes
  p = put(p, at, 4);
  memcpy(p, a->name, name - 4);
  put(p + name - 4, NPY, 4);
  *central = p + name;
  return s;
}

static vbl_status write_archive(vbl_atomic_file *f, int64_t count, const vbl_array *arrays, char *central, vbl_error *err) {
  char *end = central, tail[END_SIZE];
  for (int64_t i = 0; i < count; i++) VBL_TRY(write_entry(f, &arrays[i], &end, err));
  uint64_t at = f->written, size = (uint64_t)(end - central);
  char *p = put(put(tail, END_MARK, 4), 0, 4);
  p = put(p, (uint64_t)count, 2);
  p = put(p, (uint64_t)count, 2);
  p = put(p, size, 4);
  p = put(p, at, 4);
  put(p, 0, 2);
  VBL_TRY(vbl_atomic_file_write(f, central, size, err));
  VBL_TRY(vbl_atomic_file_write(f, tail, END_SIZE, err));
  return vbl_atomic_file_commit(f, err);
}

vbl_status vbl_npz_write(const char *path, int64_t count, const vbl_array *arrays, vbl_error *err) {
  size_t room = 1;
  if (count > UINT16_MAX - 1) return vbl_fail(err, VBL_EINVAL, "%s: more than 65,534 arrays; use .safetensors", path);
  for (int64_t i = 0; i < count; i++) {
    if (strlen(arrays[i].name) > 60000) return vbl_fail(err, VBL_EINVAL, "%s: an array's name is too long", path);
    room += CENTRAL_SIZE + strlen(arrays[i].name) + 4;
  }
  char *central = malloc(room);
  if (!central) return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory", path);
  vbl_atomic_file f = {.fd = -1};
  vbl_status s = vbl_atomic_file_open(&f, path, err);
  if (s == VBL_OK) s = write_archive(&f, count, arrays, central, err);
  vbl_atomic_file_abort(&f);
  free(central);
  return s;
}
