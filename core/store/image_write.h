// PNG and JPEG from pixels in memory.
// defines: vbl_image_encode, vbl_image_bytes_free, vbl_image_write
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "core/base/status.h"

typedef struct vbl_image_bytes {
  uint8_t *data;  // malloc
  size_t size, room;
  bool failed;  // memory ran out while encoding
} vbl_image_bytes;

// planes: u8 [channels, height, width], contiguous; channels 1 (grey) or 3 (RGB), sides up to 32767. format: "png", or "jpg"/"jpeg" at
// `quality`, 1 to 100. out: zeroed or of an earlier call, which it replaces; to be
// freed by vbl_image_bytes_free, after an error too.
vbl_status vbl_image_encode(const char *format, int quality, const uint8_t *planes, int64_t channels, int64_t height, int64_t width,
                            vbl_image_bytes *out, vbl_error *err);

void vbl_image_bytes_free(vbl_image_bytes *bytes);

// The same into a file, by the path's suffix: .png, or .jpg/.jpeg at quality 95. Written atomically.
vbl_status vbl_image_write(const char *path, const uint8_t *planes, int64_t channels, int64_t height, int64_t width,
                           vbl_error *err);
