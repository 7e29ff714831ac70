// JPEG and PNG: the walk through a file's structure, and decoding: PNG with stb_image, JPEG with libjpeg-turbo where it is there at
// build time, else with stb_image too.
// defines: vbl_image_{check,probe,decode,read,free}
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/data/image.h"
#include "core/data/image_jpeg.h"
#include "core/data/image_orientation.h"
#include "core/data/image_stb.h"

static const uint8_t png_signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

static uint32_t be16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static uint32_t be32(const uint8_t *p) { return be16(p) << 16 | be16(p + 2); }

static bool is_jpeg(const uint8_t *b, size_t n) { return n >= 3 && b[0] == 0xFF && b[1] == 0xD8 && b[2] == 0xFF; }
static bool is_png(const uint8_t *b, size_t n) { return n >= 8 && memcmp(b, png_signature, 8) == 0; }

static vbl_status check_size(uint32_t width, uint32_t height, vbl_error *err) {
  if (width > VBL_IMAGE_MAX_SIDE || height > VBL_IMAGE_MAX_SIDE)
    return vbl_fail(err, VBL_EIO, "%u x %u pixels; expected at most %d a side", width, height, VBL_IMAGE_MAX_SIDE);
  if (width < VBL_IMAGE_MIN_SIDE || height < VBL_IMAGE_MIN_SIDE)
    return vbl_fail(err, VBL_EIO, "%u x %u pixels; expected at least %d a side", width, height, VBL_IMAGE_MIN_SIDE);
  if ((uint64_t)width * height > VBL_IMAGE_MAX_PIXELS)
    return vbl_fail(err, VBL_EIO, "%u x %u pixels; expected at most %d in all", width, height, VBL_IMAGE_MAX_PIXELS);
  return VBL_OK;
}

static vbl_status truncated(size_t n, vbl_error *err) {
  return vbl_fail(err, VBL_EIO, "truncated: the file ends after %zu bytes, before its end marker", n);
}

// What the walk through a JPEG has seen.
typedef struct jpeg_walk {
  bool frame, adobe, scan, progressive;
  int components, orientation;
  uint8_t quantisation[4];               // the table of each component
  unsigned huffman, quantisations_seen;  // a bit for each table that was defined; Huffman: 4 for DC, then 4 for AC
} jpeg_walk;

// A frame header (SOF): precision, height, width, components, and for each its id, sampling and quantisation table.
static vbl_status jpeg_frame(uint8_t marker, const uint8_t *body, size_t n, jpeg_walk *w, vbl_error *err) {
  if (n < 6) return vbl_fail(err, VBL_EIO, "a JPEG frame header of %zu bytes", n);
  if (marker > 0xC2)
    return vbl_fail(
        err, VBL_EIO,
        "a lossless, hierarchical or arithmetic-coded JPEG (frame type %02X); only baseline and progressive can be read", marker);
  if (body[0] != 8) return vbl_fail(err, VBL_EIO, "a JPEG of %d bits a channel; only 8 can be read", body[0]);
  w->frame = true;
  w->components = body[5];
  if (w->components != 1 && w->components != 3 && w->components != 4)
    return vbl_fail(err, VBL_EIO, "a JPEG of %d components; expected 1, 3 or 4", w->components);
  w->progressive = marker == 0xC2;
  for (int i = 0; i < w->components; i++) w->quantisation[i] = n >= 9 + 3 * (size_t)i ? body[8 + 3 * i] : UINT8_MAX;
  return check_size(be16(body + 3), be16(body + 1), err);
}

// Quantisation tables (DQT): precision and number, then 64 values of 1 or 2 bytes.
static vbl_status jpeg_quantisation(const uint8_t *body, size_t n, jpeg_walk *w, vbl_error *err) {
  while (n > 0) {
    size_t length = 1 + (body[0] >> 4 ? 128 : 64);
    if (length > n || (body[0] & 15) > 3) return vbl_fail(err, VBL_EIO, "a damaged JPEG: bad quantisation table");
    w->quantisations_seen |= 1u << (body[0] & 15);
    body += length;
    n -= length;
  }
  return VBL_OK;
}

// The tables that a scan (SOS) names must have been defined: the decoder would take what lies in its memory for them. A progressive scan
// uses its DC tables where it begins at coefficient 0 and is the first there, else its AC tables.
static vbl_status jpeg_scan(const uint8_t *body, size_t n, const jpeg_walk *w, vbl_error *err) {
  size_t count = n > 0 ? body[0] : 0;
  if (count < 1 || count > 4 || n < 4 + 2 * count) return vbl_fail(err, VBL_EIO, "a damaged JPEG: bad scan header");
  const uint8_t *range = body + 1 + 2 * count;
  bool dc = !w->progressive || (range[0] == 0 && range[2] >> 4 == 0), ac = !w->progressive || range[0] > 0;
  for (size_t i = 0; i < count; i++) {
    unsigned tables = body[2 + 2 * i];
    bool known = !(dc && !(w->huffman >> (tables >> 4) & 1)) && !(ac && !(w->huffman >> (4 + (tables & 15)) & 1));
    if (tables >> 4 > 3 || (tables & 15) > 3 || !known)
      return vbl_fail(err, VBL_EIO, "a damaged JPEG: a scan uses a Huffman table that is not there");
  }
  for (int i = 0; i < w->components; i++)
    if (w->quantisation[i] > 3 || !(w->quantisations_seen >> w->quantisation[i] & 1))
      return vbl_fail(err, VBL_EIO, "a damaged JPEG: a component's quantisation table is not there");
  return VBL_OK;
}

// Huffman tables (DHT): class and number, counts of the codes of 1 to 16 bits, then the symbols. More than 256 codes would run over the
// decoder's tables.
static vbl_status jpeg_huffman(const uint8_t *body, size_t n, jpeg_walk *w, vbl_error *err) {
  while (n > 0) {
    size_t codes = 0;
    for (size_t i = 1; i <= 16 && n >= 17; i++) codes += body[i];
    if (n < 17 || codes > 256 || 17 + codes > n) return vbl_fail(err, VBL_EIO, "a damaged JPEG: bad Huffman table");
    if (body[0] >> 4 > 1 || (body[0] & 15) > 3) return vbl_fail(err, VBL_EIO, "a damaged JPEG: Huffman table %02X", body[0]);
    w->huffman |= 1u << (4 * (body[0] >> 4) + (body[0] & 15));
    body += 17 + codes;
    n -= 17 + codes;
  }
  return VBL_OK;
}

static vbl_status jpeg_segment(uint8_t marker, const uint8_t *body, size_t n, jpeg_walk *w, vbl_error *err) {
  if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC)
    return jpeg_frame(marker, body, n, w, err);
  if (marker == 0xC4) return jpeg_huffman(body, n, w, err);
  if (marker == 0xDB) return jpeg_quantisation(body, n, w, err);
  if (marker == 0xE1 && w->orientation == 0 && n >= 6 && memcmp(body, "Exif\0", 6) == 0)
    w->orientation = vbl_exif_orientation(body + 6, n - 6);
  if (marker == 0xEE && n >= 12 && memcmp(body, "Adobe", 5) == 0) w->adobe = true;
  if (marker != 0xDA) return VBL_OK;
  w->scan = true;
  if (!w->frame) return vbl_fail(err, VBL_EIO, "a JPEG scan before its frame header");
  if (w->components == 4 && !w->adobe)
    return vbl_fail(err, VBL_EIO, "a CMYK JPEG without Adobe's marker (whether 255 means full ink is unknown); convert it to RGB");
  return jpeg_scan(body, n, w, err);
}

// Walks markers until the end of image, over entropy-coded data too; `head_only` stops at the first scan.
// *orientation, where wanted, is that of EXIF.
static vbl_status check_jpeg(const uint8_t *b, size_t n, bool head_only, int *orientation, vbl_error *err) {
  jpeg_walk w = {0};
  for (size_t at = 2;;) {
    const uint8_t *next = w.scan && at < n ? memchr(b + at, 0xFF, n - at) : b + at;  // over entropy-coded bytes
    at = next != NULL ? (size_t)(next - b) : n;
    if (at + 1 >= n) return truncated(n, err);
    uint8_t marker = b[at + 1];
    if (b[at] != 0xFF) return vbl_fail(err, VBL_EIO, "a damaged JPEG: no marker at byte %zu", at);
    if (marker == 0xD9) {
      if (orientation != NULL) *orientation = w.orientation;
      return w.scan ? VBL_OK : vbl_fail(err, VBL_EIO, "a JPEG without image data");
    }
    if (marker == 0xFF) {
      at++;  // fill byte
    } else if (marker == 0x00 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7)) {
      at += 2;  // stuffed byte, restart: no length
    } else {
      if (at + 4 > n) return truncated(n, err);
      size_t length = be16(b + at + 2);
      if (length < 2) return vbl_fail(err, VBL_EIO, "a damaged JPEG: a segment of length %zu at byte %zu", length, at);
      if (at + 2 + length > n) return truncated(n, err);
      VBL_TRY(jpeg_segment(marker, b + at + 4, length - 2, &w, err));
      if (w.scan && head_only) return VBL_OK;
      at += 2 + length;
    }
  }
}

static vbl_status check_png(const uint8_t *b, size_t n, bool head_only, int *orientation, vbl_error *err) {
  if (n < 33) return truncated(n, err);
  if (memcmp(b + 12, "IHDR", 4) != 0) return vbl_fail(err, VBL_EIO, "a damaged PNG: its first chunk is not IHDR");
  VBL_TRY(check_size(be32(b + 16), be32(b + 20), err));
  if (head_only) return VBL_OK;
  for (size_t at = 8;;) {
    if (n - at < 12) return truncated(n, err);
    size_t length = be32(b + at);
    if (length > n - at - 12) return truncated(n, err);
    if (memcmp(b + at + 4, "IEND", 4) == 0) return VBL_OK;
    if (orientation != NULL && memcmp(b + at + 4, "eXIf", 4) == 0) *orientation = vbl_exif_orientation(b + at + 8, length);
    at += 12 + length;
  }
}

static vbl_status check(const uint8_t *b, size_t n, bool head_only, int *orientation, vbl_error *err) {
  if (n == 0) return vbl_fail(err, VBL_EIO, "an empty file (0 bytes)");
  if (is_jpeg(b, n)) return check_jpeg(b, n, head_only, orientation, err);
  if (is_png(b, n)) return check_png(b, n, head_only, orientation, err);
  return vbl_fail(err, VBL_EIO, "neither JPEG nor PNG: it begins with the bytes %02X %02X %02X %02X%s", b[0], n > 1 ? b[1] : 0,
                  n > 2 ? b[2] : 0, n > 3 ? b[3] : 0, b[0] == '<' ? " (a web page?)" : "");
}

vbl_status vbl_image_check(const uint8_t *bytes, size_t n, vbl_error *err) { return check(bytes, n, false, NULL, err); }

enum { PROBE_BYTES = 64 << 10 };

// Whether head and tail alone prove that the file is whole; false also when they are not enough to tell.
static bool probe_ends(int fd, uint8_t *buffer) {
  uint8_t tail[8];
  ssize_t got = pread(fd, buffer, PROBE_BYTES, 0);
  off_t size = lseek(fd, 0, SEEK_END);
  if (got <= 0 || size < (off_t)sizeof tail || pread(fd, tail, sizeof tail, size - (off_t)sizeof tail) != (ssize_t)sizeof tail)
    return false;
  if (got == size) return check(buffer, (size_t)got, false, NULL, NULL) == VBL_OK;
  bool ended = is_png(buffer, (size_t)got) ? memcmp(tail, "IEND", 4) == 0 : tail[6] == 0xFF && tail[7] == 0xD9;
  return ended && check(buffer, (size_t)got, true, NULL, NULL) == VBL_OK;
}

vbl_status vbl_image_probe(const char *path, vbl_error *err) {
  uint8_t *buffer = malloc(PROBE_BYTES);
  vbl_bytes file;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO would wait for its writer
  bool whole = buffer != NULL && fd >= 0 && probe_ends(fd, buffer);
  if (fd >= 0) close(fd);
  free(buffer);
  if (whole) return VBL_OK;
  VBL_TRY(vbl_bytes_read(path, VBL_IMAGE_MAX_BYTES, &file, err));
  vbl_status status = check(file.data, file.size, false, NULL, err);
  vbl_bytes_free(&file);
  return status == VBL_OK ? VBL_OK : vbl_context(err, "%s", path);
}

// RGBA in place to RGB on white, round to nearest.
static void lay_on_white(uint8_t *p, size_t pixels) {
  for (size_t i = 0; i < pixels; i++) {
    unsigned a = p[4 * i + 3];
    for (size_t c = 0; c < 3; c++) p[3 * i + c] = (uint8_t)((p[4 * i + c] * a + 255 * (255 - a) + 127) / 255);
  }
}

static vbl_status decode(const uint8_t *bytes, size_t n, vbl_image *out, vbl_error *err) {
#ifdef VBL_LIBJPEG
  if (is_jpeg(bytes, n)) return vbl_jpeg_decode(bytes, n, out, err);
#endif
  int channels, wanted = is_png(bytes, n) ? 4 : 3;
  (void)vbl_stb_refused();  // of images before
  out->rgb = stbi_load_from_memory(bytes, (int)n, &out->width, &out->height, &channels, wanted);
  if (out->rgb == NULL) {
    if (vbl_stb_refused()) return vbl_fail(err, VBL_ENOMEM, "out of memory for an image");
    const char *why = stbi_failure_reason();  // not set by every failure
    if (why != NULL && strcmp(why, "outofmem") == 0) why = "it unpacks to more than an image has";
    return vbl_fail(err, VBL_EIO, "damaged image data (%s)", why != NULL ? why : "broken compression");
  }
  if (wanted == 4) lay_on_white(out->rgb, (size_t)out->width * (size_t)out->height);
  return VBL_OK;
}

vbl_status vbl_image_decode(const uint8_t *bytes, size_t n, vbl_image *out, vbl_error *err) {
  int orientation = 0;
  *out = (vbl_image){0};
  VBL_TRY(check(bytes, n, false, &orientation, err));
  VBL_TRY(decode(bytes, n, out, err));
  vbl_status status = vbl_image_turn(out, orientation, err);
  if (status != VBL_OK) vbl_image_free(out);
  return status;
}

vbl_status vbl_image_read(const char *path, vbl_image *out, vbl_error *err) {
  vbl_bytes file;
  *out = (vbl_image){0};
  VBL_TRY(vbl_bytes_read(path, VBL_IMAGE_MAX_BYTES, &file, err));
  vbl_status status = vbl_image_decode(file.data, file.size, out, err);
  vbl_bytes_free(&file);
  return status == VBL_OK ? VBL_OK : vbl_context(err, "%s", path);
}

void vbl_image_free(vbl_image *image) {
  stbi_image_free(image->rgb);
  *image = (vbl_image){0};
}
