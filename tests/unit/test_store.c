// core/store: round trips, every corruption that a small file can have, and writes that fail.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/store/atomic.h"
#include "core/store/file.h"
#include "core/store/hash.h"
#include "core/store/image_write.h"
#include "core/store/json.h"
#include "core/store/npy.h"
#include "core/store/safetensors.h"
#include "tests/check.h"

static char folder[] = "/tmp/vbl-test-store-XXXXXX";
static vbl_error err;

static const char *at(const char *name) {
  static char paths[4][256];
  static int turn;
  char *p = paths[turn++ % 4];
  snprintf(p, sizeof paths[0], "%s/%s", folder, name);
  return p;
}

static bool says(const char *part) { return strstr(err.message, part) != NULL; }

static void put_file(const char *path, const void *data, size_t n) {
  FILE *f = fopen(path, "wb");
  CHECK(f && fwrite(data, 1, n, f) == n);
  if (f) fclose(f);
}

static bool holds(const char *path, const char *text) {
  vbl_file_bytes b;
  if (vbl_file_read(path, &b, NULL) != VBL_OK) return false;
  bool same = strcmp(b.data, text) == 0;
  vbl_file_bytes_free(&b);
  return same;
}

// FIPS 180-4 examples, the "123456789" check values of the CRC catalogue, RFC 3720 B.4 for crc32c.
static void test_hash(void) {
  char hex[65];
  vbl_sha256 s;
  vbl_sha256_init(&s);
  vbl_sha256_final(&s, hex);
  CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  vbl_sha256_init(&s);
  vbl_sha256_update(&s, "abcdbcdecdefdefgefghfghi", 24);
  vbl_sha256_update(&s, "ghijhijkijkljklmklmnlmnomnopnopq", 32);
  vbl_sha256_final(&s, hex);
  CHECK_STR(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(vbl_crc32(0, "123456789", 9) == 0xCBF43926u);
  CHECK(vbl_crc32(vbl_crc32(0, "1234", 4), "56789", 5) == 0xCBF43926u);
  CHECK(vbl_crc32c(0, "123456789", 9) == 0xE3069283u);
  char zeros[32] = {0};
  CHECK(vbl_crc32c(0, zeros, 32) == 0x8A9136AAu);
}

static bool parses(const char *text) {
  vbl_json *root;
  bool ok = vbl_json_parse(text, strlen(text), "t", &root, &err) == VBL_OK;
  vbl_json_free(root);
  return ok;
}

static void test_json_values(void) {
  const char *text =
      "{\"a\": [1, -2.5e3, true, false, null, \"x\\u00e9\\ud83d\\ude00\\n\"],\n \"big\": 9007199254740993, \"o\": {}}";
  vbl_json *root;
  CHECK_OK(vbl_json_parse(text, strlen(text), "t", &root, &err), err);
  const vbl_json *a = vbl_json_get(root, "a"), *big = vbl_json_get(root, "big");
  CHECK(a && a->size == 6 && a->child->integer == 1 && a->child->next->type == VBL_JSON_DOUBLE &&
        a->child->next->number == -2500.0);
  CHECK(big && big->integer == 9007199254740993 && big->line == 2);
  const vbl_json *last = a->child;
  while (last->next) last = last->next;
  CHECK_STR(last->text, "x\xc3\xa9\xf0\x9f\x98\x80\n");
  vbl_json_free(root);
}

// A string as long as what the parser takes memory in, and longer, where it has none yet.
static void test_json_long_strings(void) {
  static const size_t sizes[] = {4093, 4094, 4095, 4096, 4097, 20000, 65535, 65536, 65537, 200000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    size_t n = sizes[i];
    char *text = malloc(n + 2);
    vbl_json *root;
    memset(text, 'x', n + 2);
    text[0] = text[n + 1] = '"';
    CHECK_OK(vbl_json_parse(text, n + 2, "t", &root, &err), err);
    CHECK(root->size == n && memcmp(root->text, text + 1, n) == 0 && root->text[n] == 0);
    vbl_json_free(root);
    free(text);
  }
}

static void test_json_refusals(void) {
  static const char *const bad[] = {"",
                                    "{",
                                    "[1,]",
                                    "{\"a\":}",
                                    "{a:1}",
                                    "01",
                                    "1.",
                                    "1e",
                                    "NaN",
                                    "nul",
                                    "\"\\x\"",
                                    "\"\\ud800\"",
                                    "\"\\udc00\"",
                                    "\"\t\"",
                                    "\"\xff\"",
                                    "\"\xc0\x80\"",
                                    "[1] 2",
                                    "-",
                                    "\"abc",
                                    "[1 2]",
                                    "{\"a\" 1}",
                                    "1e999",
                                    "+1",
                                    "\"\xed\xa0\x80\"",
                                    "\"\\u12",
                                    "\"\\",
                                    "[\"a",
                                    "{\"a\\u0000b\":1}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    CHECK_REPORT_(!parses(bad[i]), "accepted: %s", bad[i]);
    CHECK(strncmp(err.message, "t:1:", 4) == 0);
  }
  CHECK(!parses("{\"a\": 1,\n  \"b\": x}") && says("t:2:8: "));
  char deep[2 * VBL_JSON_DEPTH + 8];
  memset(deep, '[', VBL_JSON_DEPTH);
  memset(deep + VBL_JSON_DEPTH, ']', VBL_JSON_DEPTH);
  deep[2 * VBL_JSON_DEPTH] = 0;
  CHECK(parses(deep));
  memset(deep, '[', VBL_JSON_DEPTH + 1);
  CHECK(!parses(deep) && says("nested too deep"));
}

static void test_json_numbers(void) {
  static const struct {
    double x;
    const char *text;
  } cases[] = {{0.1, "0.1"},
               {1.0, "1.0"},
               {1e300, "1e+300"},
               {-0.0, "-0.0"},
               {1.0 / 3, "0.3333333333333333"},
               {5e-324, "4.94065645841247e-324"},
               {0x1.fffffffffffffp1023, "1.7976931348623157e+308"},
               {9007199254740993.0, "9007199254740992.0"}};
  char buf[VBL_JSON_NUMBER_TEXT];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    CHECK(vbl_json_number(cases[i].x, buf) == (int)strlen(buf));
    CHECK_STR(buf, cases[i].text);
    CHECK(strtod(buf, NULL) == cases[i].x);
  }
  CHECK(vbl_json_number(NAN, buf) == 0 && vbl_json_number(-INFINITY, buf) == 0);
  char quoted[64];
  CHECK(vbl_json_quoted_size("a\"\x01\n\xc3\xa9", 6) == 15);
  *vbl_json_quote("a\"\x01\n\xc3\xa9", 6, quoted) = 0;
  CHECK_STR(quoted, "\"a\\\"\\u0001\\n\xc3\xa9\"");
  CHECK(vbl_json_quoted_size("\xff", 1) == 0);
}

static void test_atomic_file(void) {
  const char *path = at("one.txt");
  CHECK_OK(vbl_atomic_write(path, "old", 3, &err), err);
  vbl_atomic_file f;
  CHECK_OK(vbl_atomic_file_open(&f, path, &err), err);
  CHECK_OK(vbl_atomic_file_write(&f, "new", 3, &err), err);
  CHECK(holds(path, "old"));
  CHECK_OK(vbl_atomic_file_commit(&f, &err), err);
  CHECK(holds(path, "new") && access(f.temporary, F_OK) != 0);
  CHECK(vbl_atomic_write(at("missing/x"), "a", 1, &err) == VBL_EIO && says("missing/x") && says(strerror(ENOENT)));
}

// A file size limit stands for a full disk: write fails with EFBIG in place of ENOSPC, on the same path.
static void limit_file_size(rlim_t n) {
  struct rlimit limit;
  getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = n;
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void test_full_disk(void) {
  const char *path = at("full.txt");
  static char big[100000];
  vbl_array a = {.name = "w", .dtype = VBL_U8, .ndim = 1, .shape = {sizeof big}, .data = big};
  CHECK_OK(vbl_atomic_write(path, "old", 3, &err), err);
  signal(SIGXFSZ, SIG_IGN);
  limit_file_size(50000);
  CHECK(vbl_atomic_write(path, big, sizeof big, &err) == VBL_EIO && says("full.txt") && says(strerror(EFBIG)) && says("is intact"));
  CHECK(vbl_safetensors_write(at("full.safetensors"), 1, &a, 0, NULL, NULL, NULL, &err) == VBL_EIO && says("cannot write") &&
        !says("intact"));
  CHECK(vbl_npz_write(at("full.npz"), 1, &a, &err) == VBL_EIO);
  limit_file_size(RLIM_INFINITY);
  CHECK(holds(path, "old") && access(at("full.safetensors"), F_OK) != 0);
  int removed = 1;
  CHECK_OK(vbl_clean_stale(folder, &removed, &err), err);
  CHECK(removed == 0);  // nothing was left lying
}

static vbl_status write_folder(const char *parent, const char *text) {
  vbl_atomic_folder f;
  char path[PATH_MAX + 16];
  VBL_TRY(vbl_atomic_folder_begin(&f, parent, "last", &err));
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/%d", f.path, i);
    VBL_TRY(vbl_atomic_write(path, text, strlen(text), &err));
  }
  return vbl_atomic_folder_commit(&f, &err);
}

static int count_names(const char *path) {
  char command[400];
  snprintf(command, sizeof command, "ls -A '%s' | wc -l", path);
  FILE *p = popen(command, "r");
  int n = -1;
  if (!p || fscanf(p, "%d", &n) != 1) n = -1;
  if (p) pclose(p);
  return n;
}

static void test_atomic_folder(void) {
  char parent[80];
  snprintf(parent, sizeof parent, "%s/checkpoints", folder);
  CHECK_OK(vbl_folder_make(parent, NULL, &err), err);
  CHECK_OK(write_folder(parent, "1"), err);
  CHECK(holds(at("checkpoints/last/0"), "1") && count_names(parent) == 2);
  CHECK_OK(write_folder(parent, "2"), err);
  CHECK(holds(at("checkpoints/last/1"), "2") && count_names(parent) == 2);
  vbl_atomic_folder f;
  CHECK_OK(vbl_atomic_folder_begin(&f, parent, "last", &err), err);
  vbl_atomic_folder_abort(&f);
  CHECK(holds(at("checkpoints/last/1"), "2") && count_names(parent) == 2);
  CHECK(vbl_atomic_folder_begin(&f, parent, "../x", &err) == VBL_EINVAL);
  CHECK_OK(vbl_tree_remove(at("checkpoints/last"), &err), err);  // the link only
  CHECK_OK(vbl_folder_make(at("checkpoints/last"), NULL, &err), err);
  put_file(at("checkpoints/last/0"), "copied", 6);
  CHECK_OK(write_folder(parent, "3"), err);  // a real folder in the link's place
  CHECK(holds(at("checkpoints/last/0"), "3"));
  int removed = 0;
  CHECK_OK(vbl_clean_stale(parent, &removed, &err), err);
  CHECK(removed == 1 && count_names(parent) == 2 && holds(at("checkpoints/last/0"), "3"));
}

// Images whose bytes stb would count beyond an int are refused before a pixel is read.
static void test_image_too_big(void) {
  uint8_t pixel = 0;
  vbl_image_bytes out = {0};
  CHECK(vbl_image_encode("png", 95, &pixel, 3, 32767, 32767, &out, &err) == VBL_EINVAL && says("3221061634 bytes"));
  CHECK(vbl_image_encode("jpg", 95, &pixel, 3, 32767, 32767, &out, &err) == VBL_EINVAL && says("at most 2147483647"));
}

// A writer swaps folders without pause and is killed; each time both files are there, equal and whole.
static void test_kill(void) {
  char parent[80];
  snprintf(parent, sizeof parent, "%s/killed", folder);
  CHECK_OK(vbl_folder_make(parent, NULL, &err), err);
  CHECK_OK(write_folder(parent, "0"), err);
  int whole = 0, kills = 40;
  for (int k = 0; k < kills; k++) {
    pid_t pid = fork();
    if (pid == 0)
      for (int i = 0;; i++) write_folder(parent, i % 2 ? "odd" : "even");
    usleep((useconds_t)(500 + 377 * k));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    vbl_file_bytes a = {0}, b = {0};
    vbl_status s = vbl_file_read(at("killed/last/0"), &a, &err);
    if (s == VBL_OK) s = vbl_file_read(at("killed/last/1"), &b, &err);
    whole += s == VBL_OK && a.size > 0 && strcmp(a.data, b.data) == 0;
    vbl_file_bytes_free(&a);
    vbl_file_bytes_free(&b);
  }
  CHECK(whole == kills);
  CHECK_OK(vbl_clean_stale(parent, NULL, &err), err);
  CHECK(count_names(parent) == 2);
}

static void write_sample(const char *path) {
  static const float w[6] = {1, 2, 3, 4, 5, -0.5f};
  static const int32_t n[1] = {7};
  static const uint16_t h[2] = {0x3f80, 0xc000};
  vbl_array t[] = {{"b.weight", VBL_F32, 2, {2, 3}, w},
                   {"a", VBL_I32, 0, {0}, n},
                   {"half", VBL_BF16, 1, {2}, h},
                   {"none", VBL_U8, 2, {0, 4}, NULL}};
  vbl_pair meta[] = {{"format", "pt"}, {"note", "a \"quoted\" one"}};
  uint32_t crc, again;
  uint64_t size, bytes;
  CHECK_OK(vbl_safetensors_write(path, 4, t, 2, meta, &crc, &size, &err), err);
  CHECK_OK(vbl_hash_file(path, NULL, &again, &bytes, &err), err);
  CHECK(crc == again && size == bytes);
}

static void test_safetensors(void) {
  const char *path = at("m.safetensors");
  write_sample(path);
  vbl_safetensors f;
  CHECK_OK(vbl_safetensors_open(&f, path, &err), err);
  CHECK(f.count == 4 && f.pairs == 2);
  CHECK_STR(f.metadata[1].value, "a \"quoted\" one");
  CHECK_STR(f.entries[0].name, "b.weight");
  CHECK(f.entries[0].begin % 8 == 0 && f.entries[0].ndim == 2 && f.entries[0].shape[1] == 3 && f.entries[1].ndim == 0);
  float w[6];
  CHECK_OK(vbl_safetensors_read(&f, 0, w, &err), err);
  CHECK(w[0] == 1 && w[5] == -0.5f);
  vbl_safetensors_close(&f);
  vbl_array twice[] = {{"x", VBL_U8, 1, {1}, "a"}, {"x", VBL_U8, 1, {1}, "b"}};
  CHECK(vbl_safetensors_write(path, 2, twice, 0, NULL, NULL, NULL, &err) == VBL_EINVAL && says("\"x\"") && says("twice"));
}

// Every truncation is refused; so is every header bit flip that changes the meaning in a checkable way, and none crashes.
static void test_safetensors_damage(void) {
  const char *path = at("m.safetensors");
  char damaged[256];
  snprintf(damaged, sizeof damaged, "%s/damaged.safetensors", folder);
  write_sample(path);
  vbl_file_bytes b;
  CHECK_OK(vbl_file_read(path, &b, &err), err);
  vbl_safetensors f;
  int accepted = 0;
  for (size_t n = 0; n < b.size; n++) {
    put_file(damaged, b.data, n);
    accepted += vbl_safetensors_open(&f, damaged, &err) == VBL_OK;
    if (!says("damaged.safetensors")) accepted++;
  }
  CHECK(accepted == 0);
  int refused = 0, flips = 8 * 8;
  size_t header = 8 + (uint8_t)b.data[0] + 256u * (uint8_t)b.data[1];
  for (size_t bit = 0; bit < 8 * header; bit++) {
    b.data[bit / 8] ^= (char)(1 << bit % 8);
    put_file(damaged, b.data, b.size);
    vbl_status s = vbl_safetensors_open(&f, damaged, &err);
    if (s == VBL_OK) {
      char room[64];
      for (int64_t i = 0; i < f.count; i++)
        if (f.entries[i].bytes <= 32) CHECK_OK(vbl_safetensors_read(&f, i, room, &err), err);
      vbl_safetensors_close(&f);
    }
    if (bit < (size_t)flips) refused += s != VBL_OK;
    b.data[bit / 8] ^= (char)(1 << bit % 8);
  }
  CHECK(refused == flips);  // the header's length
  vbl_file_bytes_free(&b);
}

static void check_header(const char *header, size_t data, const char *expected) {
  char text[1024] = {0};
  size_t n = strlen(header);
  text[0] = (char)(n & 255);
  text[1] = (char)(n >> 8);
  memcpy(text + 8, header, n);
  put_file(at("h.safetensors"), text, 8 + n + data);
  vbl_safetensors f;
  vbl_status s = vbl_safetensors_open(&f, at("h.safetensors"), &err);
  CHECK_REPORT_(expected ? s == VBL_EIO && says(expected) && says("h.safetensors") : s == VBL_OK, "%s: %s", header,
                s == VBL_OK ? "accepted" : err.message);
  if (s == VBL_OK) vbl_safetensors_close(&f);
}

static void test_safetensors_headers(void) {
  check_header("{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}  ", 4, NULL);
  check_header("{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,5]}}", 5, "\"x\": 5 bytes of data, expected 4");
  check_header("{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 3, "outside");
  check_header("{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 5, "after the last tensor");
  check_header("{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[1,5]}}", 5, "hole");
  check_header(
      "{\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"y\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}"
      "}",
      3, "\"y\": its data overlaps");
  check_header(
      "{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}"
      "}",
      2, "\"x\": the name appears twice");
  check_header("{\"x\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype F8_E4M3");
  check_header("{\"x\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0, "overflow");
  check_header("{\"x\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}}", 0, "dim");
  check_header("{\"x\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "more than 6 dims");
  check_header("{\"x\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets");
  check_header("{\"x\":3}", 0, "is no {dtype");
  check_header("[]", 0, "no JSON object");
  check_header("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__.a");
  put_file(at("h.safetensors"), "\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10);
  vbl_safetensors f;
  CHECK(vbl_safetensors_open(&f, at("h.safetensors"), &err) == VBL_EIO && says("not a safetensors file"));
}

// F16 and I64 arrive as f32 and i32.
static void test_conversions(void) {
  static const uint16_t half[6] = {0x3c00, 0xc500, 0x0001, 0x7c00, 0x8000, 0x7bff};
  static const float want[6] = {1, -5, 0x1p-24f, INFINITY, -0.0f, 65504};
  float got[6];
  CHECK_OK(vbl_file_dtype_convert(VBL_FILE_F16, half, got, 6, "h", &err), err);
  CHECK(memcmp(got, want, sizeof want) == 0);
  int64_t wide[2] = {-2147483648, 2147483648};
  int32_t narrow[2];
  CHECK_OK(vbl_file_dtype_convert(VBL_FILE_I64, wide, narrow, 1, "n", &err), err);
  CHECK(narrow[0] == INT32_MIN);
  CHECK(vbl_file_dtype_convert(VBL_FILE_I64, wide, narrow, 2, "n", &err) == VBL_EIO && says("n: element 1 is 2147483648"));
}

static vbl_status parse_npy(const char *dict, const void *data, size_t bytes, vbl_npy *out, char *text) {
  size_t n = strlen(dict);
  memcpy(text, "\x93NUMPY\x01\x00", 8);
  text[8] = (char)n;
  text[9] = 0;
  memcpy(text + 10, dict, n);
  memcpy(text + 10 + n, data, bytes);
  return vbl_npy_parse(text, 10 + n + bytes, "a.npy", out, &err);
}

static void test_npy(void) {
  char text[512];
  vbl_npy a;
  int32_t values[6] = {1, 2, 3, 4, 5, 6}, got[6];
  CHECK_OK(parse_npy("{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }\n", values, 24, &a, text), err);
  CHECK_OK(vbl_npy_read(&a, got, "a.npy", &err), err);
  CHECK(got[0] == 1 && got[1] == 3 && got[2] == 5 && got[3] == 2);
  CHECK(parse_npy("{'descr': '>i4', 'fortran_order': False, 'shape': (6,), }\n", values, 24, &a, text) == VBL_EIO && says(">i4"));
  CHECK(parse_npy("{'descr': '<i4', 'fortran_order': False, 'shape': (7,), }\n", values, 24, &a, text) == VBL_EIO &&
        says("expected 28"));
  CHECK(parse_npy("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (6,)}\n", values, 24, &a, text) == VBL_EIO &&
        says("records"));
  float w[2] = {0.5f, -1};
  vbl_array array = {"w", VBL_F32, 1, {2}, w};
  CHECK_OK(vbl_npy_write(at("w.npy"), &array, &err), err);
  vbl_file_bytes b;
  CHECK_OK(vbl_file_read(at("w.npy"), &b, &err), err);
  CHECK(b.size == 128 + 8);
  CHECK_OK(vbl_npy_parse(b.data, b.size, "w.npy", &a, &err), err);
  CHECK(a.ndim == 1 && a.shape[0] == 2 && memcmp(a.data, w, 8) == 0);
  for (size_t n = 0; n < b.size; n++) CHECK(vbl_npy_parse(b.data, n, "w.npy", &a, &err) == VBL_EIO && says("w.npy"));
  vbl_file_bytes_free(&b);
}

static void test_npz(void) {
  uint16_t h[2] = {0x3f80, 0xc000};
  uint8_t u[3] = {1, 2, 3};
  vbl_array arrays[] = {{"h", VBL_BF16, 1, {2}, h}, {"u", VBL_U8, 2, {3, 1}, u}};
  CHECK_OK(vbl_npz_write(at("a.npz"), 2, arrays, &err), err);
  vbl_npz z;
  CHECK_OK(vbl_npz_open(&z, at("a.npz"), &err), err);
  CHECK(z.count == 2);
  if (z.count != 2) return;
  CHECK_STR(z.entries[1].name, "u");
  vbl_npy a;
  float got[2];
  CHECK_OK(vbl_npy_parse(z.entries[0].bytes.data, z.entries[0].bytes.size, "h", &a, &err), err);
  CHECK_OK(vbl_npy_read(&a, got, "h", &err), err);
  CHECK(a.dtype == VBL_FILE_F32 && got[0] == 1 && got[1] == -2);
  vbl_npz_close(&z);
  vbl_file_bytes b;
  CHECK_OK(vbl_file_read(at("a.npz"), &b, &err), err);
  char damaged[256];
  snprintf(damaged, sizeof damaged, "%s/damaged.npz", folder);
  int accepted = 0;
  for (size_t n = 0; n < b.size; n++) {
    put_file(damaged, b.data, n);
    accepted += vbl_npz_open(&z, damaged, &err) == VBL_OK;
  }
  CHECK(accepted == 0);
  b.data[30 + 5 + 128] ^= 1;  // in the first entry's data
  put_file(damaged, b.data, b.size);
  CHECK(vbl_npz_open(&z, damaged, &err) == VBL_EIO && says("\"h\": checksum differs"));
  vbl_file_bytes_free(&b);
}

static void test_image(void) {
  uint8_t pixels[3 * 2 * 2] = {255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0};
  CHECK_OK(vbl_image_write(at("p.png"), pixels, 3, 2, 2, &err), err);
  CHECK_OK(vbl_image_write(at("p.jpg"), pixels, 3, 2, 2, &err), err);
  vbl_file_bytes b;
  CHECK_OK(vbl_file_read(at("p.png"), &b, &err), err);
  CHECK(b.size > 50 && memcmp(b.data, "\x89PNG\r\n\x1a\n", 8) == 0 && b.data[19] == 2 && b.data[23] == 2);
  vbl_file_bytes_free(&b);
  CHECK(vbl_image_write(at("p.gif"), pixels, 3, 2, 2, &err) == VBL_EINVAL && says(".png or .jpg"));
  CHECK(vbl_image_write(at("p.png"), pixels, 4, 1, 3, &err) == VBL_EINVAL && says("[4, 1, 3]"));
}

static void test_files(void) {
  put_file(at("t"), "0123456789", 10);
  CHECK_OK(vbl_file_truncate(at("t"), 4, &err), err);
  CHECK(holds(at("t"), "0123"));
  CHECK(vbl_file_truncate(at("t"), 5, &err) == VBL_EIO && says("has 4 bytes, expected at least 5"));
  bool existed = true;
  CHECK_OK(vbl_folder_make(at("x/y/z"), &existed, &err), err);
  CHECK(!existed);
  CHECK_OK(vbl_folder_make(at("x/y/z"), &existed, &err), err);
  CHECK(existed);
  CHECK(vbl_folder_make(at("t/u"), NULL, &err) == VBL_EIO && says("/t"));
  vbl_file_bytes b;
  CHECK(vbl_file_read(at("x"), &b, &err) == VBL_EIO && says("is a folder"));
  CHECK(vbl_file_read(at("nothing"), &b, &err) == VBL_EIO && says("nothing") && says(strerror(ENOENT)));
}

int main(void) {
  if (mkdtemp(folder) == NULL) return check_skip("/tmp cannot be written to");
  test_hash();
  test_json_values();
  test_json_long_strings();
  test_json_refusals();
  test_json_numbers();
  test_files();
  test_atomic_file();
  test_full_disk();
  test_atomic_folder();
  test_image_too_big();
  test_kill();
  test_safetensors();
  test_safetensors_damage();
  test_safetensors_headers();
  test_conversions();
  test_npy();
  test_npz();
  test_image();
  vbl_tree_remove(folder, NULL);
  return check_done();
}
