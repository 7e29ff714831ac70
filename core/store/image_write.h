// PNG and JPEG from pixels in memory.
// defines: vbl_image_write
#pragma once
#include "core/base/status.h"

// planes: u8 [channels, height, width], contiguous; channels 1 (grey) or 3 (RGB). By the path's suffix: .png, or .jpg/.jpeg at
// quality 95. Written atomically.
vbl_status vbl_image_write(const char *path, const uint8_t *planes, int64_t channels, int64_t height, int64_t width,
                           vbl_error *err);
