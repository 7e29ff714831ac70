// Files that nobody vouches for: each way in which a safetensors, .npy or .npz file or a packed shard can lie is refused with a message
// that names the file and the reason. (Damage at random: tests/fuzz.)
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "core/data/packed.h"
#include "core/store/hash.h"
#include "core/store/npy.h"
#include "core/store/safetensors.h"
#include "tests/check.h"

static vbl_error err;
static char path[] = "/tmp/vbl-test-untrusted-XXXXXX";

static bool says(const char *part) { return strstr(err.message, part) != NULL; }

static void put_file(const void *data, size_t n) {
  FILE *f = fopen(path, "wb");
  CHECK(f != NULL && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

static vbl_status open_header(uint64_t length, const char *header, size_t data) {
  char text[2048] = {0};
  size_t n = strlen(header);
  memcpy(text, &length, 8);
  memcpy(text + 8, header, n);
  put_file(text, 8 + n + data);
  vbl_safetensors f;
  vbl_status s = vbl_safetensors_open(&f, path, &err);
  if (s == VBL_OK) vbl_safetensors_close(&f);
  return s;
}

static void refused(const char *header, size_t data, const char *why) {
  vbl_status s = open_header(strlen(header), header, data);
  CHECK_REPORT_(s == VBL_EIO && says(why) && says(path), "%s: %s", header, s == VBL_OK ? "accepted" : err.message);
}

static void test_safetensors(void) {
  static const uint64_t lengths[] = {(uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 7, 100000001, 3};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
    CHECK(open_header(lengths[i], "{}", 0) == VBL_EIO && says("not a safetensors file"));
  CHECK(open_header(0, "", 0) == VBL_EIO);
  refused("{\"x\":{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype appears twice");
  refused("{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "shape appears twice");
  refused("{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"strides\":[1]}}", 1, "unknown field \"strides\"");
  refused("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "__metadata__.a appears twice");
  refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ appears twice");
  refused("{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "empty name");
  refused("{\"x\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807],\"data_offsets\":[0,4]}}", 4, "overflow");
  refused("{\"x\":{\"dtype\":\"U8\",\"shape\":[9223372036854775808],\"data_offsets\":[0,4]}}", 4, "dim");
  refused("{\"x\":{\"dtype\":\"U8\",\"shape\":[2147483648,2147483648,4],\"data_offsets\":[0,0]}}", 0, "overflow");
  refused("{\"x\":{\"dtype\":\"U8\",\"shape\":[0,9223372036854775807],\"data_offsets\":[0,4]}}", 4, "expected 0");
  refused("{\"x\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, "dim");
  refused("{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,18446744073709551615]}}", 1, "data_offsets");
  refused("{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 1, "outside");
  refused("{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}}", 1, "outside");
  refused("{\"x\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "dtype C64");
  refused("{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}", 4, path);  // the header ends inside the object
}

// Alignment is nobody's promise: an f32 tensor behind one byte is read as it stands.
static void test_unaligned(void) {
  static const char header[] =
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]"
      "}}";
  char text[256] = {0};
  float value = 2.5f;
  text[0] = (char)(sizeof header - 1);
  memcpy(text + 8, header, sizeof header - 1);
  memcpy(text + 8 + sizeof header, &value, 4);
  put_file(text, 8 + sizeof header - 1 + 5);
  vbl_safetensors f;
  value = 0;
  CHECK_OK(vbl_safetensors_open(&f, path, &err), err);
  CHECK_OK(vbl_safetensors_read(&f, 1, &value, &err), err);
  CHECK(value == 2.5f);
  vbl_safetensors_close(&f);
}

static vbl_status parse(const char *dict, size_t data, vbl_npy *out) {
  char text[1024] = "\x93NUMPY\x01";
  size_t n = strlen(dict);
  text[8] = (char)n;
  memcpy(text + 10, dict, n);
  memset(text + 10 + n, 0, data);
  return vbl_npy_parse(text, 10 + n + data, "a.npy", out, &err);
}

static void test_npy(void) {
  static const struct {
    const char *dict, *why;
  } bad[] = {
      {"{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", "big-endian"},
      {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "pickled"},
      {"{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }", "dtype '<U3'"},
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "dtype '<c8'"},
      {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,), }", "records"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "negative"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "63 bits"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", "overflow"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1), }", "6 dims"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 1), }", "no list of dims"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': 1, }", "no shape"},
      {"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }", "neither True nor False"},
      {"{'descr': '<f4', 'fortran_order': False, }", "lacks"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (1,), }", "twice"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'extra': 1, }", "other than"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } + evil", "goes on"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,", "no number"},
      {"{'descr': '<f4", "does not end"},
      {"", "no dict"},
  };
  vbl_npy a;
  CHECK_OK(parse("{\"shape\": (1,), \"descr\": \"<f4\", \"fortran_order\": True}\n", 4, &a), err);
  CHECK(a.fortran && a.ndim == 1 && a.shape[0] == 1 && a.dtype == VBL_FILE_F32);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    vbl_status s = parse(bad[i].dict, 4, &a);
    CHECK_REPORT_(s == VBL_EIO && says(bad[i].why) && says("a.npy"), "%s: %s", bad[i].dict, s == VBL_OK ? "accepted" : err.message);
  }
  CHECK(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 4, &a) == VBL_EIO && says("truncated"));
  CHECK(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 8, &a) == VBL_EIO && says("8 bytes of data, expected 4"));
}

// A zip of one or two entries, as wrong as asked for. Offsets: row of the directory.
typedef struct zip {
  uint8_t bytes[4096];
  size_t size;
  size_t row[2];
} zip;

static void put(zip *z, uint64_t v, int n) {
  for (int i = 0; i < n; i++) z->bytes[z->size++] = (uint8_t)(i < 8 ? v >> 8 * i : 0);
}

static void put_entry(zip *z, const char *name, const void *data, size_t packed, size_t size, uint32_t crc, int method) {
  put(z, 0x04034b50, 4);
  put(z, 20, 2);
  put(z, 0, 2);
  put(z, (uint64_t)method, 2);
  put(z, 0, 4);
  put(z, crc, 4);
  put(z, packed, 4);
  put(z, size, 4);
  put(z, strlen(name), 2);
  put(z, 0, 2);
  memcpy(z->bytes + z->size, name, strlen(name));
  z->size += strlen(name);
  memcpy(z->bytes + z->size, data, packed);
  z->size += packed;
}

static void put_row(zip *z, int which, const char *name, size_t at, size_t packed, size_t size, uint32_t crc, int method) {
  z->row[which] = z->size;
  put(z, 0x02014b50, 4);
  put(z, 20, 2);
  put(z, 20, 2);
  put(z, 0, 2);
  put(z, (uint64_t)method, 2);
  put(z, 0, 4);
  put(z, crc, 4);
  put(z, packed, 4);
  put(z, size, 4);
  put(z, strlen(name), 2);
  put(z, 0, 12);
  put(z, at, 4);
  memcpy(z->bytes + z->size, name, strlen(name));
  z->size += strlen(name);
}

static void put_end(zip *z, int rows) {
  size_t from = z->row[0], length = z->size - from;
  put(z, 0x06054b50, 4);
  put(z, 0, 4);
  put(z, (uint64_t)rows, 2);
  put(z, (uint64_t)rows, 2);
  put(z, length, 4);
  put(z, from, 4);
  put(z, 0, 2);
}

static vbl_status open_zip(const zip *z) {
  vbl_npz n;
  put_file(z->bytes, z->size);
  vbl_status s = vbl_npz_open(&n, path, &err);
  if (s == VBL_OK) vbl_npz_close(&n);
  return s;
}

static void refused_zip(const zip *z, const char *why) {
  vbl_status s = open_zip(z);
  CHECK_REPORT_(s == VBL_EIO && says(why) && says(path), "expected \"%s\": %s", why, s == VBL_OK ? "accepted" : err.message);
}

static zip one_entry(size_t claimed, int method) {
  static const char data[64] = "0123456789";
  zip z = {.size = 0};
  uint32_t crc = (uint32_t)crc32(0, (const Bytef *)data, sizeof data);
  put_entry(&z, "a.npy", data, sizeof data, claimed, crc, method);
  put_row(&z, 0, "a.npy", 0, sizeof data, claimed, crc, method);
  put_end(&z, 1);
  return z;
}

static void test_npz(void) {
  zip z = one_entry(64, 0);
  CHECK_OK(open_zip(&z), err);
  z.bytes[z.row[0] + 8] = 1;
  refused_zip(&z, "encrypted");
  z = one_entry(64, 0);
  z.bytes[z.row[0] + 10] = 12;  // method bzip2
  refused_zip(&z, "neither stored nor deflated");
  z = one_entry(64, 0);
  z.bytes[z.row[0] + 47] = 0;
  refused_zip(&z, "NUL");
  z = one_entry(65, 0);
  refused_zip(&z, "two sizes");
  z = one_entry(64, 8);
  refused_zip(&z, "broken");  // no deflate stream
  z = one_entry((size_t)1 << 31, 8);
  refused_zip(&z, "claims to unpack to 2147483648");
  z = one_entry(UINT32_MAX, 8);
  refused_zip(&z, "beyond 4 GiB");
  z = one_entry(64, 0);
  z.bytes[z.row[0] + 42] = 200;
  refused_zip(&z, "an entry is missing");
  z = one_entry(64, 0);
  z.bytes[z.size - 12] = 2;  // a directory of two rows
  refused_zip(&z, "directory is broken");
  z = one_entry(64, 0);
  z.bytes[z.size - 3] = 0x7f;
  refused_zip(&z, "directory");
}

// Two rows that name the same bytes (the overlapping kind of zip bomb), and two entries of one name.
static void test_npz_two(void) {
  static const char data[256] = "x";
  uint32_t crc = (uint32_t)crc32(0, (const Bytef *)data, sizeof data);
  zip z = {.size = 0};
  put_entry(&z, "a.npy", data, sizeof data, sizeof data, crc, 0);
  put_row(&z, 0, "a.npy", 0, sizeof data, sizeof data, crc, 0);
  put_row(&z, 1, "b.npy", 0, sizeof data, sizeof data, crc, 0);
  put_end(&z, 2);
  refused_zip(&z, "overlap");
  zip twice = {.size = 0};
  put_entry(&twice, "a.npy", data, sizeof data, sizeof data, crc, 0);
  size_t second = twice.size;
  put_entry(&twice, "a.npy", data, sizeof data, sizeof data, crc, 0);
  put_row(&twice, 0, "a.npy", 0, sizeof data, sizeof data, crc, 0);
  put_row(&twice, 1, "a.npy", second, sizeof data, sizeof data, crc, 0);
  put_end(&twice, 2);
  refused_zip(&twice, "\"a\" appears twice");
}

// --- packed shards, whose checksums fit what they say ---

enum { SAMPLES = 4 };

static int32_t one(const void *self, int32_t sample) {
  (void)self;
  (void)sample;
  return 1;
}

static vbl_status tokens(const void *self, int32_t sample, int32_t caption, vbl_token_list *out, vbl_error *e) {
  (void)self;
  (void)sample;
  (void)caption;
  return vbl_token_list_add(out, 0, e);
}

static vbl_status text(const void *self, int32_t sample, int32_t caption, vbl_bytes *out, vbl_error *e) {
  (void)self;
  (void)sample;
  (void)caption;
  return vbl_bytes_add(out, "x", 1, e);
}

static vbl_status image(const void *self, int32_t sample, uint8_t *chw, vbl_error *e) {
  (void)self;
  (void)sample;
  (void)e;
  memset(chw, 7, 3);
  return VBL_OK;
}

static uint64_t text_key(const void *self, int32_t sample, int32_t caption) {
  (void)self;
  return (uint64_t)(sample + caption);
}

static vbl_status id(const void *self, int32_t sample, vbl_bytes *out, vbl_error *e) {
  (void)self;
  (void)sample;
  return vbl_bytes_add(out, "i", 1, e);
}

// `self` is how many classes a sample has.
static vbl_label label(const void *self, int32_t sample) {
  static const int32_t index[] = {0, 1};
  (void)sample;
  return (vbl_label){*(const int32_t *)self, index, NULL};
}

static char folder[] = "/tmp/vbl-test-shards-XXXXXX", shard_path[64];

static void write_shard(int32_t classes) {
  static const int32_t split[SAMPLES];
  atomic_llong done = 0, bad = 0;
  atomic_bool stop = false;
  vbl_source s = {.self = &classes,
                  .samples = SAMPLES,
                  .image_size = 1,
                  .captions = one,
                  .tokens = tokens,
                  .text = text,
                  .image = image,
                  .text_key = text_key,
                  .id = id,
                  .label = label};
  vbl_pack p = {.source = &s, .folder = folder, .identity = 1, .shard_samples = SAMPLES, .split = split};
  CHECK_OK(vbl_pack_write(&p, 0, &done, &bad, &stop, &err), err);
}

// A shard that claims images of 2^31 x 2^31 in no bytes, as their product is modulo 2^64, with the checksums that fit it.
static void lie_about_size(void) {
  static uint8_t bytes[1 << 14];
  vbl_pack_header h;
  FILE *f = fopen(shard_path, "r+b");
  size_t size = f == NULL ? 0 : fread(bytes, 1, sizeof bytes, f);
  CHECK(size > VBL_PACK_IMAGES_AT && size < sizeof bytes);
  memcpy(&h, bytes, sizeof h);
  h.image_size = (uint32_t)1 << 31;
  h.section[VBL_PACK_IMAGES].bytes = 0;
  h.tables_crc = vbl_crc32(0, bytes + VBL_PACK_IMAGES_AT, size - VBL_PACK_IMAGES_AT);
  h.header_crc = 0;
  h.header_crc = vbl_crc32(0, &h, sizeof h);
  CHECK(fseek(f, 0, SEEK_SET) == 0 && fwrite(&h, sizeof h, 1, f) == 1 && fclose(f) == 0);
}

static void test_shard_size(void) {
  vbl_shard s;
  write_shard(1);
  CHECK_OK(vbl_shard_open(shard_path, &s, &err), err);
  CHECK(vbl_shard_verify(&s) == 0);
  vbl_shard_close(&s);
  lie_about_size();
  CHECK(vbl_shard_open(shard_path, &s, &err) == VBL_EIO && says("images' size") && says(shard_path));
  vbl_shard_close(&s);
}

static vbl_status open_packed(vbl_error *e) {
  static const char *const names[] = {"a", "b"};
  vbl_packed_options o = {.folder = folder,
                          .identity = 1,
                          .samples = SAMPLES,
                          .shard_samples = SAMPLES,
                          .max_tokens = 3,
                          .image_size = 1,
                          .label_kind = VBL_LABEL_CLASS,
                          .classes = 2,
                          .splits = 1,
                          .class_name = names,
                          .split_name = names,
                          .hash = "",
                          .notes = ""};
  vbl_packed *p;
  VBL_TRY(vbl_packed_open(&o, &p, e));
  vbl_packed_free(p);
  return VBL_OK;
}

// Where a sample has one class, a reader takes the first of its list.
static void test_shard_labels(void) {
  char vocabulary[64];
  snprintf(vocabulary, sizeof vocabulary, "%s/vocab.txt", folder);
  FILE *f = fopen(vocabulary, "w");
  CHECK(f != NULL && fputs("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nx\n", f) >= 0 && fclose(f) == 0);
  for (int32_t classes = -1; classes <= 2; classes++) {
    write_shard(classes);
    vbl_status status = open_packed(&err);
    if (classes == -1 || classes == 1)
      CHECK_OK(status, err);
    else
      CHECK(status == VBL_EIO && says("expected one"));
  }
  unlink(vocabulary);
}

static void test_shards(void) {
  if (mkdtemp(folder) == NULL) return;
  snprintf(shard_path, sizeof shard_path, "%s/" VBL_PACK_NAME, folder, 0);
  test_shard_size();
  test_shard_labels();
  unlink(shard_path);
  rmdir(folder);
}

int main(void) {
  int fd = mkstemp(path);
  if (fd < 0) return check_skip("no temporary file can be made");
  close(fd);
  test_safetensors();
  test_unaligned();
  test_npy();
  test_npz();
  test_npz_two();
  test_shards();
  unlink(path);
  return check_done();
}
