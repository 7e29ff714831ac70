// Images: files made here byte by byte (PNG with stored deflate blocks), bad files one by one, and resizing against its
// definition in double precision.
#include <stdlib.h>
#include <unistd.h>

#include "core/data/image.h"
#include "core/data/image_orientation.h"
#include "tests/check.h"
#include "tests/png.h"

static char path[] = "/tmp/vbl-test-image-XXXXXX";

// An 8 x 8 gray baseline JPEG of one block: DC difference 0 and end of block, so every pixel is 128.
static size_t jpeg(uint8_t *out) {
  uint8_t *o = out;
  static const uint8_t start[] = {0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0};
  static const uint8_t frame[] = {0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0};
  static const uint8_t rest[] = {0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0x3F, 0xFF, 0xD9};
  memcpy(o, start, sizeof start), o += sizeof start;
  memset(o, 1, 64), o += 64;
  memcpy(o, frame, sizeof frame), o += sizeof frame;
  for (int table = 0; table < 2; table++) {  // one code, "0": DC category 0, AC end of block
    uint8_t dht[5 + 16 + 1] = {0xFF, 0xC4, 0, 20, (uint8_t)(table << 4), 1};
    memcpy(o, dht, sizeof dht), o += sizeof dht;
  }
  memcpy(o, rest, sizeof rest), o += sizeof rest;
  return (size_t)(o - out);
}

static void write_file(const uint8_t *bytes, size_t n) {
  FILE *f = fopen(path, "wb");
  fwrite(bytes, 1, n, f);
  fclose(f);
}

static void check_refused(const uint8_t *bytes, size_t n, const char *reason) {
  vbl_image image;
  vbl_error err = {0};
  write_file(bytes, n);
  CHECK(vbl_image_read(path, &image, &err) == VBL_EIO && image.rgb == NULL);
  CHECK(strstr(err.message, path) != NULL);
  if (strstr(err.message, reason) == NULL) CHECK_STR(err.message, reason);
  err = (vbl_error){0};
  CHECK(vbl_image_probe(path, &err) == VBL_EIO && strstr(err.message, path) != NULL && strstr(err.message, reason) != NULL);
}

static void test_good(void) {
  static uint8_t file[70000], rows[4 * 4 * 8];
  vbl_image image;
  vbl_error err;
  for (size_t i = 0; i < sizeof rows; i++) rows[i] = (uint8_t)(7 * i);
  size_t n = png(4, 4, 8, 2, rows, file);
  CHECK_OK(vbl_image_decode(file, n, &image, &err), err);
  CHECK(image.width == 4 && image.height == 4 && memcmp(image.rgb, rows, 48) == 0);
  vbl_image_free(&image);
  n = png(4, 4, 8, 0, rows, file);  // gray
  CHECK_OK(vbl_image_decode(file, n, &image, &err), err);
  for (int i = 0; i < 48; i++) CHECK(image.rgb[i] == rows[i / 3]);
  vbl_image_free(&image);
  n = png(4, 4, 16, 2, rows, file);  // 16 bits: the upper byte
  CHECK_OK(vbl_image_decode(file, n, &image, &err), err);
  for (int i = 0; i < 48; i++) CHECK(image.rgb[i] == rows[2 * i]);
  vbl_image_free(&image);
  n = png(4, 4, 8, 6, rows, file);  // alpha, on white
  CHECK_OK(vbl_image_decode(file, n, &image, &err), err);
  for (int i = 0; i < 48; i++) {
    double a = rows[i / 3 * 4 + 3] / 255.0;
    CHECK_NEAR(image.rgb[i], rows[i / 3 * 4 + i % 3] * a + 255 * (1 - a), 0.5 + 1e-9);
  }
  vbl_image_free(&image);
  n = jpeg(file);
  write_file(file, n);
  CHECK_OK(vbl_image_probe(path, &err), err);
  CHECK_OK(vbl_image_read(path, &image, &err), err);
  CHECK(image.width == 8 && image.height == 8);
  for (int i = 0; i < 192; i++) CHECK(image.rgb[i] == 128);
  vbl_image_free(&image);
  file[n] = file[n + 1] = 0x20;  // bytes after the end are allowed
  write_file(file, n + 2);
  CHECK_OK(vbl_image_probe(path, &err), err);
}

static void test_bad(void) {
  static uint8_t file[70000], rows[20000 * 3];
  vbl_image image;
  vbl_error err = {0};
  check_refused(file, 0, "an empty file (0 bytes)");
  check_refused((const uint8_t *)"not an image\n", 13, "neither JPEG nor PNG");
  check_refused((const uint8_t *)"<html>404</html>", 16, "a web page?");
  check_refused(file, png(1, 1, 8, 2, rows, file), "1 x 1 pixels");
  check_refused(file, png(20000, 3, 8, 0, rows, file), "20000 x 3 pixels; expected at most 16384");
  CHECK(vbl_image_read("/nonexistent/a.jpg", &image, &err) == VBL_EIO && strstr(err.message, "/nonexistent/a.jpg") != NULL);
  CHECK(vbl_image_read("/tmp", &image, &err) == VBL_EIO && strstr(err.message, "not a regular file") != NULL);
  // Every way of cutting a PNG or a JPEG short.
  size_t n = png(8, 8, 8, 2, rows, file);
  for (size_t cut = 8; cut < n; cut++)
    CHECK(vbl_image_decode(file, cut, &image, &err) == VBL_EIO && strstr(err.message, "truncated") != NULL);
  check_refused(file, n - 1, "truncated");
  n = jpeg(file);
  for (size_t cut = 3; cut < n; cut++)
    CHECK(vbl_image_decode(file, cut, &image, &err) == VBL_EIO && strstr(err.message, "truncated") != NULL);
  check_refused(file, n - 2, "truncated");
}

static void test_bad_jpeg_frames(void) {
  static uint8_t file[1000];
  size_t n = jpeg(file), frame = 7 + 64;  // the SOF marker
  file[frame + 4] = 12;
  check_refused(file, n, "12 bits a channel");
  jpeg(file);
  file[frame + 1] = 0xC3;
  check_refused(file, n, "lossless");
  jpeg(file);
  file[frame + 9] = 4;
  check_refused(file, n, "CMYK JPEG without Adobe's marker");
  jpeg(file);
  file[frame + 5] = file[frame + 7] = 0x4E;  // 20,000 and more a side
  check_refused(file, n, "expected at most 16384");
  jpeg(file);
  file[frame] = 0x00;
  check_refused(file, n, "no marker at byte 71");
}

// What ImageOps.exif_transpose makes of rows "ab", "cd", "ef" with orientations 1 to 8, read line by line.
static const char *const turned[] = {"abcdef", "badcfe", "fedcba", "efcdab", "acebdf", "ecafdb", "fdbeca", "bdface"};

// TIFF block: head, one other tag, the orientation.
static size_t exif(uint8_t *out, bool big, uint8_t orientation) {
  static const uint8_t little_endian[] = {'I', 'I', 42, 0, 8, 0,    0, 0, 2, 0, 0x0F, 1, 2, 0, 1, 0, 0,
                                          0,   0,   0,  0, 0, 0x12, 1, 3, 0, 1, 0,    0, 0, 0, 0, 0, 0};
  static const uint8_t big_endian[] = {'M', 'M', 0, 42, 0, 0, 0,    8, 0, 2, 1, 0x0F, 0, 2, 0, 0, 0,
                                       1,   0,   0, 0,  0, 1, 0x12, 0, 3, 0, 0, 0,    1, 0, 0, 0, 0};
  memcpy(out, big ? big_endian : little_endian, sizeof big_endian);
  out[big ? 31 : 30] = orientation;
  return sizeof big_endian;
}

static void test_orientation(void) {
  uint8_t block[64];
  for (int o = 0; o <= 9; o++) {
    vbl_image image = {2, 3, malloc(18)};
    vbl_error err;
    bool known = o >= 1 && o <= 8;
    const char *expected = turned[known ? o - 1 : 0];
    for (int i = 0; i < 18; i++) image.rgb[i] = (uint8_t)("abcdef"[i / 3] + i % 3);
    size_t n = exif(block, o % 2 == 0, (uint8_t)o);
    CHECK(vbl_exif_orientation(block, n) == (known ? o : 1));
    for (size_t cut = 0; cut < 32; cut++) CHECK(vbl_exif_orientation(block, cut) == 1);
    CHECK_OK(vbl_image_turn(&image, vbl_exif_orientation(block, n), &err), err);
    CHECK(image.width == (o >= 5 && known ? 3 : 2) && image.height == (o >= 5 && known ? 2 : 3));
    for (int i = 0; i < 18; i++) CHECK(image.rgb[i] == (expected[i / 3] + i % 3));
    vbl_image_free(&image);
  }
  // Type, count and the four bytes of the value, in little endian and in big endian; what PIL makes of it.
  static const struct {
    uint8_t type, count, value[2][4];
    int expected;
  } entries[] = {
      {1, 1, {{6, 0, 0, 0}, {6, 0, 0, 0}}, 1},         // BYTE
      {3, 1, {{6, 0, 0, 0}, {0, 6, 0, 0}}, 6},         // SHORT
      {4, 1, {{6, 0, 0, 0}, {0, 0, 0, 6}}, 6},         // LONG
      {4, 1, {{6, 0, 1, 0}, {0, 1, 0, 6}}, 1},         // 65542
      {9, 1, {{6, 0, 0, 0}, {0, 0, 0, 6}}, 6},         // SLONG
      {3, 2, {{6, 0, 6, 0}, {0, 6, 0, 6}}, 1},         // two of them
      {11, 1, {{0, 0, 192, 64}, {64, 192, 0, 0}}, 1},  // FLOAT 6
  };
  for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
    for (int big = 0; big < 2; big++) {
      size_t n = exif(block, big, 1);
      block[big ? 25 : 24] = entries[i].type;
      block[big ? 29 : 26] = entries[i].count;
      memcpy(block + 30, entries[i].value[big], 4);
      CHECK(vbl_exif_orientation(block, n) == entries[i].expected);
    }
  }
  memset(block + 4, 0xFF, 4);  // the directory lies outside
  CHECK(vbl_exif_orientation(block, 34) == 1);
}

// The way from a file: a PNG of 4 x 5 pixels lies on its side.
static void test_orientation_in_png(void) {
  static uint8_t file[70000], tail[12], rows[4 * 5 * 3], block[64];
  vbl_image image;
  vbl_error err;
  for (size_t i = 0; i < sizeof rows; i++) rows[i] = (uint8_t)(3 * i);
  size_t n = png(4, 5, 8, 2, rows, file), size = exif(block, false, 6);
  memcpy(tail, file + n - 12, 12);
  n = n - 12 + chunk(file + n - 12, "eXIf", block, size);
  memcpy(file + n, tail, 12);
  CHECK_OK(vbl_image_decode(file, n + 12, &image, &err), err);
  CHECK(image.width == 5 && image.height == 4);
  for (int y = 0; y < 4; y++)  // a quarter turn clockwise: the lowest row becomes the first column
    for (int x = 0; x < 5; x++) CHECK(memcmp(image.rgb + 3 * (y * 5 + x), rows + 3 * ((4 - x) * 4 + y), 3) == 0);
  vbl_image_free(&image);
}

// One byte changed at a time: any result but a crash (the sanitizer builds look on).
static void test_flips(void) {
  static uint8_t file[2000], rows[8 * 8 * 3];
  vbl_image image;
  int refused = 0;
  for (int kind = 0; kind < 2; kind++) {
    size_t n = kind == 0 ? jpeg(file) : png(8, 8, 8, 2, rows, file);
    for (size_t i = 0; i < n; i++) {
      for (int bit = 0; bit < 8; bit++) {
        file[i] ^= (uint8_t)(1 << bit);
        refused += vbl_image_decode(file, n, &image, NULL) != VBL_OK;
        vbl_image_free(&image);
        file[i] ^= (uint8_t)(1 << bit);
      }
    }
  }
  CHECK(refused > 100);
}

// --- resizing ---

static double cubic(double x) {
  x = fabs(x);
  return x < 1 ? 1.5 * x * x * x - 2.5 * x * x + 1 : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

// One line of n values to m, by the definition: weights are the filter at the distances in units of the stretch, normalised.
static void line(const double *in, int n, int stride, double *out, int m, int out_stride) {
  double scale = (double)n / m, stretch = scale < 1 ? 1 : scale;
  for (int i = 0; i < m; i++) {
    double sum = 0, total = 0, center = (i + 0.5) * scale;
    for (int j = 0; j < n; j++) {
      double d = (j + 0.5 - center) / stretch;
      // PIL takes the inputs whose index lies in [round(center - 2 stretch), round(center + 2 stretch)); the filter is 0 beyond.
      sum += cubic(d) * in[j * stride];
      total += cubic(d);
    }
    out[i * out_stride] = sum / total;
  }
}

static double clip(double v) { return v < 0 ? 0 : v > 255 ? 255 : v; }

// `down`: the vertical pass comes first.
static void check_resize(bool down, int w, int h, int to_w, int to_h) {
  uint8_t *rgb = malloc((size_t)(w * h * 3)), *out = malloc((size_t)(to_w * to_h * 3));
  double *in = malloc(sizeof(double) * (size_t)(w * h)), *mid = malloc(sizeof(double) * (size_t)(to_w * h + to_h * w)),
         *ref = malloc(sizeof(double) * (size_t)(to_w * to_h)), worst = 0;
  uint32_t state = 1;
  for (int i = 0; i < w * h * 3; i++) rgb[i] = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
  vbl_image image = {w, h, rgb};
  vbl_error err;
  CHECK_OK(vbl_image_resize(&image, to_w, to_h, out, &err), err);
  for (int c = 0; c < 3; c++) {
    for (int i = 0; i < w * h; i++) in[i] = rgb[3 * i + c];
    if (down) {
      for (int x = 0; x < w; x++) line(in + x, h, w, mid + x, to_h, w);
      for (int i = 0; i < w * to_h; i++) mid[i] = clip(mid[i]);
      for (int y = 0; y < to_h; y++) line(mid + y * w, w, 1, ref + y * to_w, to_w, 1);
    } else {
      for (int y = 0; y < h; y++) line(in + y * w, w, 1, mid + y * to_w, to_w, 1);
      for (int i = 0; i < to_w * h; i++) mid[i] = clip(mid[i]);
      for (int x = 0; x < to_w; x++) line(mid + x, h, to_w, ref + x, to_h, to_w);
    }
    for (int i = 0; i < to_w * to_h; i++) worst = fmax(worst, fabs(clip(ref[i]) - out[3 * i + c]));
  }
  // Half a level for each rounding; the first's is weighted by sum |w| <= 1.375 of the second pass (a = -0.5); fixed point far
  // below.
  CHECK_NEAR(worst, 0, 0.5 + 1.375 * 0.5 + 0.01);
  free(rgb), free(out), free(in), free(mid), free(ref);
}

static void test_resize(void) {
  check_resize(false, 7, 5, 13, 11);
  check_resize(false, 50, 40, 8, 9);
  check_resize(false, 64, 48, 32, 24);
  check_resize(true, 5, 300, 16, 16);
  check_resize(true, 33, 1000, 32, 969);
  check_resize(true, 16, 9, 16, 4);
  check_resize(false, 4, 4, 1, 1);
  check_resize(false, 9, 8, 9, 8);
  static uint8_t rgb[37 * 23 * 3], whole[3 * 26 * 16], chw[3 * 16 * 16], squash[3 * 16 * 16];
  vbl_error err;
  for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * i >> 3);
  vbl_image image = {37, 23, rgb};
  // The window of the crop holds the same levels as the whole resized image: shortest side 16, width floor(16 * 37 / 23) = 25.
  CHECK_OK(vbl_image_resize(&image, 25, 16, whole, &err), err);
  CHECK_OK(vbl_image_fit(&image, &(vbl_fit){.size = 16}, chw, &err), err);
  int left = 4;  // (25 - 16) / 2 = 4.5, half to even
  for (int c = 0; c < 3; c++)
    for (int y = 0; y < 16; y++)
      for (int x = 0; x < 16; x++) CHECK(chw[(c * 16 + y) * 16 + x] == whole[(y * 25 + left + x) * 3 + c]);
  CHECK_OK(vbl_image_resize(&image, 16, 16, whole, &err), err);
  CHECK_OK(vbl_image_fit(&image, &(vbl_fit){.size = 16, .crop = VBL_CROP_SQUASH}, squash, &err), err);
  for (int i = 0; i < 16 * 16; i++) CHECK(squash[256 + i] == whole[3 * i + 1]);
  CHECK(vbl_image_fit(&image, &(vbl_fit){.size = 0}, chw, &err) == VBL_EINVAL);
  const double bad_pct[] = {0.05, 1.01, -1, NAN};
  for (int i = 0; i < 4; i++) CHECK(vbl_image_fit(&image, &(vbl_fit){.size = 16, .crop_pct = bad_pct[i]}, chw, &err) == VBL_EINVAL);
  CHECK(vbl_image_fit(&image, &(vbl_fit){.size = VBL_IMAGE_MAX_SIDE, .crop_pct = 0.9}, chw, &err) == VBL_EINVAL);
}

// --- golden: PIL's resize and crop (tests/golden/make_golden.py) ---

// The bytes of a tensor of a safetensors file.
static const uint8_t *tensor_of(const vbl_bytes *file, const char *name, long shape[3]) {
  char key[64];
  uint64_t header;
  long first;
  memcpy(&header, file->data, sizeof header);
  snprintf(key, sizeof key, "\"%s\":", name);
  const char *at = strstr((const char *)file->data + 8, key), *dims, *offsets;
  if (at == NULL || (dims = strstr(at, "\"shape\"")) == NULL || (offsets = strstr(at, "\"data_offsets\"")) == NULL) return NULL;
  if (shape != NULL && sscanf(strchr(dims, '['), "[%ld,%ld,%ld]", shape, shape + 1, shape + 2) != 3) return NULL;
  if (sscanf(strchr(offsets, '['), "[%ld,", &first) != 1) return NULL;
  return file->data + 8 + header + first;
}

static void check_golden(const vbl_bytes *file, const char *name) {
  char key[64];
  long in[3] = {0}, out[3] = {0};
  int32_t size[4];
  vbl_error err;
  const uint8_t *input = tensor_of(file, (snprintf(key, sizeof key, "%s.input", name), key), in);
  const uint8_t *sizes = tensor_of(file, (snprintf(key, sizeof key, "%s.size", name), key), NULL);
  const uint8_t *output = tensor_of(file, (snprintf(key, sizeof key, "%s.output", name), key), out);
  CHECK(input != NULL && sizes != NULL && output != NULL);
  if (input == NULL || sizes == NULL || output == NULL) return;
  memcpy(size, sizes, sizeof size);
  uint8_t *rgb = malloc((size_t)(3 * in[1] * in[2])), *got = malloc((size_t)(3 * size[0] * size[1]));
  for (long c = 0; c < 3; c++)
    for (long i = 0; i < in[1] * in[2]; i++) rgb[3 * i + c] = input[c * in[1] * in[2] + i];
  vbl_image image = {(int)in[2], (int)in[1], rgb};
  CHECK_OK(vbl_image_resize(&image, size[1], size[0], got, &err), err);
  int top = (int)rint((size[0] - size[2]) / 2.0), left = (int)rint((size[1] - size[3]) / 2.0), worst = 0;
  for (int c = 0; c < 3; c++)
    for (int y = 0; y < size[2]; y++)
      for (int x = 0; x < size[3]; x++) {
        int d = got[((y + top) * size[1] + x + left) * 3 + c] - output[(c * size[2] + y) * size[3] + x];
        if (abs(d) > worst) worst = abs(d);
      }
  CHECK_NEAR(worst, 0, 1);
  free(rgb), free(got);
}

// Only what the crop keeps is computed: the same bytes as the middle of the whole resized image, whichever pass comes first.
static void test_window(void) {
  enum { SIZE = 40, SIDE = 50 };
  static const int shapes[][2] = {{70, 60}, {200, 61}, {61, 200}, {300, 1000}, {1000, 300}, {30, 90}, {90, 30}};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    const int w = shapes[s][0], h = shapes[s][1], W = w > h ? SIDE * w / h : SIDE, H = w > h ? SIDE : SIDE * h / w;
    const int x0 = (int)rint((W - SIZE) / 2.0), y0 = (int)rint((H - SIZE) / 2.0);
    uint8_t *rgb = malloc((size_t)(3 * w * h)), *whole = malloc((size_t)(3 * W * H)), chw[3 * SIZE * SIZE];
    vbl_error err;
    uint32_t state = 1;
    for (int i = 0; i < 3 * w * h; i++) rgb[i] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
    const vbl_image image = {w, h, rgb};
    CHECK_OK(vbl_image_fit(&image, &(vbl_fit){.size = SIZE, .crop_pct = (double)SIZE / SIDE}, chw, &err), err);
    CHECK_OK(vbl_image_resize(&image, W, H, whole, &err), err);
    int wrong = 0;
    for (int c = 0; c < 3; c++)
      for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++) wrong += chw[(c * SIZE + y) * SIZE + x] != whole[3 * ((y0 + y) * W + x0 + x) + c];
    CHECK_REPORT_(wrong == 0, "%d x %d: %d bytes of the window differ", w, h, wrong);
    free(rgb);
    free(whole);
  }
}

// torchvision's Resize and CenterCrop with timm's crop_pct.
static void check_fit(const vbl_bytes *file, const char *name, vbl_fit fit) {
  char key[64];
  long in[3] = {0}, out[3] = {0};
  int worst = 0;
  vbl_error err;
  const uint8_t *input = tensor_of(file, (snprintf(key, sizeof key, "fit.%s.input", name), key), in);
  const uint8_t *output = tensor_of(file, (snprintf(key, sizeof key, "fit.%s.output", name), key), out);
  CHECK(input != NULL && output != NULL);
  if (input == NULL || output == NULL) return;
  fit.size = (int)out[1];
  uint8_t *rgb = malloc((size_t)(3 * in[1] * in[2])), *got = malloc((size_t)(3 * fit.size * fit.size));
  for (long c = 0; c < 3; c++)
    for (long i = 0; i < in[1] * in[2]; i++) rgb[3 * i + c] = input[c * in[1] * in[2] + i];
  CHECK_OK(vbl_image_fit(&(vbl_image){(int)in[2], (int)in[1], rgb}, &fit, got, &err), err);
  for (int i = 0; i < 3 * fit.size * fit.size; i++) worst = abs(got[i] - output[i]) > worst ? abs(got[i] - output[i]) : worst;
  if (worst > 1) fprintf(stderr, "%s: ", name);
  CHECK_NEAR(worst, 0, 1);
  free(rgb), free(got);
}

static void test_golden(void) {
  static const char *const names[] = {"down", "up", "mixed", "tiny", "much", "same", "tall", "wide"};
  vbl_bytes file;
  vbl_error err;
  vbl_status status = vbl_bytes_read("tests/golden/preprocess.safetensors", 1 << 24, &file, &err);
  CHECK_OK(status, err);
  if (status != VBL_OK) return;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_golden(&file, names[i]);
  check_fit(&file, "timm", (vbl_fit){.crop_pct = 0.9});
  check_fit(&file, "deit", (vbl_fit){.crop_pct = 0.875, .filter = VBL_FILTER_BILINEAR});
  check_fit(&file, "grow", (vbl_fit){.crop_pct = 0.9, .filter = VBL_FILTER_BILINEAR});
  check_fit(&file, "flat", (vbl_fit){.crop = VBL_CROP_SQUASH, .crop_pct = 0.95});
  vbl_bytes_free(&file);
}

// --- golden: PIL's pixels of JPEG files (tests/golden/make_jpeg.py) ---

static void check_jpeg(const vbl_bytes *file, const char *name, int allowed) {
  char key[64];
  long bytes[3] = {0}, shape[3] = {0};
  vbl_image image;
  vbl_error err;
  const uint8_t *stored = tensor_of(file, (snprintf(key, sizeof key, "%s.file", name), key), NULL);
  const uint8_t *pixels = tensor_of(file, (snprintf(key, sizeof key, "%s.pixels", name), key), shape);
  CHECK(stored != NULL && pixels != NULL);
  if (stored == NULL || pixels == NULL) return;
  for (bytes[0] = 2; stored[bytes[0] - 2] != 0xFF || stored[bytes[0] - 1] != 0xD9;) bytes[0]++;
  CHECK_OK(vbl_image_decode(stored, (size_t)bytes[0], &image, &err), err);
  CHECK(image.height == shape[0] && image.width == shape[1]);
  int worst = 0;
  for (long i = 0; image.rgb != NULL && i < 3 * shape[0] * shape[1]; i++)
    worst = abs(image.rgb[i] - pixels[i]) > worst ? abs(image.rgb[i] - pixels[i]) : worst;
  if (worst > allowed) fprintf(stderr, "%s: ", name);
  CHECK_NEAR(worst, 0, allowed);
  vbl_image_free(&image);
}

// libjpeg-turbo's levels are PIL's; another decoder's IDCT and upsampling round otherwise, and only that it decodes is checked.
static void test_golden_jpeg(void) {
  static const char *const names[] = {"420", "422", "444", "progressive", "gray", "cmyk", "restart"};
  vbl_bytes file;
  vbl_error err;
  bool turbo = strncmp(vbl_image_jpeg_decoder(), "libjpeg-turbo", 13) == 0;
  vbl_status status = vbl_bytes_read("tests/golden/jpeg.safetensors", 1 << 24, &file, &err);
  CHECK_OK(status, err);
  if (status != VBL_OK) return;
  if (!turbo) printf("JPEG by %s: PIL's levels not compared\n", vbl_image_jpeg_decoder());
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_jpeg(&file, names[i], turbo ? 1 : 255);
  vbl_bytes_free(&file);
}

int main(void) {
  close(mkstemp(path));
  test_good();
  test_bad();
  test_bad_jpeg_frames();
  test_orientation();
  test_orientation_in_png();
  test_flips();
  test_resize();
  test_window();
  test_golden();
  test_golden_jpeg();
  unlink(path);
  return check_done();
}
