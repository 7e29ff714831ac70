// The JPEG decoder behind vbl_image_decode.
// defines: vbl_jpeg_decode (where VBL_LIBJPEG is defined)
#pragma once
#include "core/data/image.h"

// A file that vbl_image_check accepts, to RGB; *out belongs to the caller (vbl_image_free). Gray becomes R = G = B, Adobe CMYK
// and YCCK 255 (1 - C)(1 - K). VBL_EIO for entropy-coded data that is damaged or ends too early.
vbl_status vbl_jpeg_decode(const uint8_t *bytes, size_t n, vbl_image *out, vbl_error *err);
