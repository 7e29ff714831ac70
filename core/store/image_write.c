#include "core/store/image_write.h"

#include <limits.h>
#include <stb/stb_image_write.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/store/atomic.h"

static void add_piece(void *context, void *data, int n) {
  vbl_image_bytes *out = context;
  if (out->failed || n <= 0) return;
  if (out->room - out->size < (size_t)n) {
    const size_t room = 2 * out->room + (size_t)n + 1024;
    uint8_t *grown = realloc(out->data, room);
    out->failed = grown == NULL;
    if (grown == NULL) return;
    out->data = grown;
    out->room = room;
  }
  memcpy(out->data + out->size, data, (size_t)n);
  out->size += (size_t)n;
}

void vbl_image_bytes_free(vbl_image_bytes *bytes) {
  free(bytes->data);
  *bytes = (vbl_image_bytes){0};
}

// [C, H, W] to [H, W, C]
static uint8_t *interleave(const uint8_t *planes, int64_t channels, int64_t area) {
  uint8_t *pixels = malloc((size_t)(channels * area));
  for (int64_t c = 0; pixels && c < channels; c++)
    for (int64_t i = 0; i < area; i++) pixels[i * channels + c] = planes[c * area + i];
  return pixels;
}

static bool is_png(const char *format) { return strcasecmp(format, "png") == 0; }
static bool is_jpeg(const char *format) { return strcasecmp(format, "jpg") == 0 || strcasecmp(format, "jpeg") == 0; }

vbl_status vbl_image_encode(const char *format, int quality, const uint8_t *planes, int64_t channels, int64_t height, int64_t width,
                            vbl_image_bytes *out, vbl_error *err) {
  if (!is_png(format) && !is_jpeg(format))
    return vbl_fail(err, VBL_EINVAL, "an image is written as .png or .jpg, not '%s'", format);
  if (quality < 1 || quality > 100) return vbl_fail(err, VBL_EINVAL, "quality: expected 1 to 100, got %d", quality);
  if ((channels != 1 && channels != 3) || height < 1 || width < 1 || height > 32767 || width > 32767)
    return vbl_fail(err, VBL_EINVAL, "expected [1 or 3, height, width] up to 32767, got [%lld, %lld, %lld]", (long long)channels,
                    (long long)height, (long long)width);
  // stb counts bytes in ints. A PNG's grow by an eighth at most when they are packed, into a buffer that doubles.
  int64_t bytes = (channels * width + 1) * height, most = is_png(format) ? 900000000 : INT_MAX;
  if (bytes > most)
    return vbl_fail(err, VBL_EINVAL, "an image of %lld bytes cannot be written as .%s; at most %lld", (long long)bytes, format,
                    (long long)most);
  out->size = 0;
  out->failed = false;
  uint8_t *pixels = interleave(planes, channels, height * width);
  int w = (int)width, h = (int)height, c = (int)channels, written = 0;
  if (pixels && is_png(format)) written = stbi_write_png_to_func(add_piece, out, w, h, c, pixels, w * c);
  if (pixels && !is_png(format)) written = stbi_write_jpg_to_func(add_piece, out, w, h, c, pixels, quality);
  free(pixels);
  return written && !out->failed ? VBL_OK : vbl_fail(err, VBL_ENOMEM, "not enough memory to encode the image");
}

vbl_status vbl_image_write(const char *path, const uint8_t *planes, int64_t channels, int64_t height, int64_t width,
                           vbl_error *err) {
  const char *slash = strrchr(path, '/'), *suffix = strrchr(slash ? slash : path, '.');
  vbl_image_bytes bytes = {0};
  vbl_status status = vbl_image_encode(suffix ? suffix + 1 : "", 95, planes, channels, height, width, &bytes, err);
  status = status == VBL_OK ? vbl_atomic_write(path, bytes.data, bytes.size, err) : vbl_context(err, "%s", path);
  vbl_image_bytes_free(&bytes);
  return status;
}
