// Images: JPEG and PNG files to 8-bit RGB, and the way from there to the S x S image that a model sees.
// Decoding by libjpeg-turbo (JPEG; stb_image where it is missing at build time) and stb_image (PNG), after a check of the file's
// structure: what is cut short or no image is refused with its reason.
// defines: vbl_image, vbl_image_{check,probe,decode,read,free,resize,fit,jpeg_decoder}, vbl_crop, vbl_filter, vbl_fit
#pragma once
#include "core/data/bytes.h"

// Refused outside of these; 64 Mpixel are 192 MB of RGB.
enum { VBL_IMAGE_MIN_SIDE = 4, VBL_IMAGE_MAX_SIDE = 16384, VBL_IMAGE_MAX_PIXELS = 64 << 20, VBL_IMAGE_MAX_BYTES = 256 << 20 };

typedef struct vbl_image {
  int width, height;
  uint8_t *rgb;  // (height, width, 3)
} vbl_image;

// Whether the bytes are a whole JPEG or PNG that can be decoded: signature, sizes, colour model, and the end marker reached by
// walking segment by segment. VBL_EIO with the reason (no file name). Pixels are not decoded.
vbl_status vbl_image_check(const uint8_t *bytes, size_t n, vbl_error *err);

// The same for a file, reading only its start and end where that is enough. The message names the file.
vbl_status vbl_image_probe(const char *path, vbl_error *err);

// Check and decode. Gray becomes R = G = B; transparent pixels are laid on white, round(c a + 255 (1 - a)); 16 bits a channel
// keep their upper 8; Adobe CMYK and YCCK are converted as 255 (1 - C)(1 - K). CMYK without Adobe's marker is refused (its
// polarity is unknown). The EXIF orientation is applied, as PIL's ImageOps.exif_transpose does (open() alone leaves a photograph on
// its side).
vbl_status vbl_image_decode(const uint8_t *bytes, size_t n, vbl_image *out, vbl_error *err);
vbl_status vbl_image_read(const char *path, vbl_image *out, vbl_error *err);  // the message names the file
void vbl_image_free(vbl_image *image);

// What decodes JPEG: "libjpeg-turbo 2.1.5", with the grey levels of PIL exactly, or "stb_image".
const char *vbl_image_jpeg_decoder(void);

// Antialiased bicubic (a = -0.5) resize to (height, width) with PIL's filter, fixed point and order of passes, into out
// (height, width, 3). The same grey levels as Image.resize((width, height), BICUBIC).
vbl_status vbl_image_resize(const vbl_image *in, int width, int height, uint8_t *out, vbl_error *err);

typedef enum vbl_crop {
  VBL_CROP_CENTER,  // shortest side to S, longer side to floor(S long / short), then the central S x S
  VBL_CROP_SQUASH,  // both sides to S
} vbl_crop;

typedef enum vbl_filter { VBL_FILTER_BICUBIC, VBL_FILTER_BILINEAR } vbl_filter;  // both antialiased, as PIL's

// How an image becomes the S x S that a model sees. crop_pct as timm has it: sides are resized to floor(S / crop_pct) where it says S
// above, and the central S x S of that is cut out; 0.1 to 1 (0: 1).
typedef struct vbl_fit {
  int size;  // S
  vbl_crop crop;
  double crop_pct;
  vbl_filter filter;
} vbl_fit;

// chw is (3, S, S) u8.
vbl_status vbl_image_fit(const vbl_image *in, const vbl_fit *fit, uint8_t *chw, vbl_error *err);
