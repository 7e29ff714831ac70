#include "core/store/image_write.h"

#include <stb/stb_image_write.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/store/atomic.h"

typedef struct sink {
  vbl_atomic_file file;
  vbl_status status;
  vbl_error *err;
} sink;

static void write_piece(void *context, void *data, int n) {
  sink *s = context;
  if (s->status == VBL_OK) s->status = vbl_atomic_file_write(&s->file, data, (size_t)n, s->err);
}

// [C, H, W] to [H, W, C]
static uint8_t *interleave(const uint8_t *planes, int64_t channels, int64_t area) {
  uint8_t *pixels = malloc((size_t)(channels * area));
  for (int64_t c = 0; pixels && c < channels; c++)
    for (int64_t i = 0; i < area; i++) pixels[i * channels + c] = planes[c * area + i];
  return pixels;
}

vbl_status vbl_image_write(const char *path, const uint8_t *planes, int64_t channels, int64_t height, int64_t width,
                           vbl_error *err) {
  const char *suffix = strrchr(path, '.');
  bool png = suffix && strcasecmp(suffix, ".png") == 0;
  if (!png && !(suffix && (strcasecmp(suffix, ".jpg") == 0 || strcasecmp(suffix, ".jpeg") == 0)))
    return vbl_fail(err, VBL_EINVAL, "%s: an image is written as .png or .jpg", path);
  if ((channels != 1 && channels != 3) || height < 1 || width < 1 || height > 32767 || width > 32767)
    return vbl_fail(err, VBL_EINVAL, "%s: expected [1 or 3, height, width] up to 32767, got [%lld, %lld, %lld]", path,
                    (long long)channels, (long long)height, (long long)width);
  sink s = {.err = err};
  VBL_TRY(vbl_atomic_file_open(&s.file, path, err));
  uint8_t *pixels = interleave(planes, channels, height * width);
  int w = (int)width, h = (int)height, c = (int)channels, written = 0;
  if (pixels && png) written = stbi_write_png_to_func(write_piece, &s, w, h, c, pixels, w * c);
  if (pixels && !png) written = stbi_write_jpg_to_func(write_piece, &s, w, h, c, pixels, 95);
  free(pixels);
  if (s.status == VBL_OK && !written) s.status = vbl_fail(err, VBL_ENOMEM, "%s: not enough memory to encode the image", path);
  if (s.status == VBL_OK) s.status = vbl_atomic_file_commit(&s.file, err);
  vbl_atomic_file_abort(&s.file);
  return s.status;
}
