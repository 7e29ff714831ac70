// Images: the check of the structure, the probe of a file, and decoding and fitting where the header claims at most a megapixel (more
// is only slower).
#define STBI_NO_STDIO
#include <stb/stb_image.h>

#include "core/data/image.h"
#include "tests/fuzz/fuzz.h"

static void decode(const uint8_t *data, size_t size) {
  int width, height, channels;
  vbl_error err;
  vbl_image image;
  if (!stbi_info_from_memory(data, (int)size, &width, &height, &channels) || (int64_t)width * height > 1 << 20) return;
  if (vbl_image_decode(data, size, &image, &err) != VBL_OK) return;
  uint8_t *chw = malloc(3 * 16 * 16);
  if (chw != NULL) vbl_image_fit(&image, &(vbl_fit){.size = 16, .crop_pct = 0.875}, chw, &err);
  free(chw);
  vbl_image_free(&image);
}

int FUZZ_ENTRY(const uint8_t *data, size_t size) {
  vbl_error err;
  if (size == 0) return 0;
  bool whole = vbl_image_check(data, size, &err) == VBL_OK;
  fuzz_file f = fuzz_file_make(data, size);
  vbl_image_probe(f.path, &err);
  fuzz_file_end(&f);
  if (whole) decode(data, size);
  return 0;
}
