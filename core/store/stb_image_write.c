// The implementation of stb_image_write (public domain, Debian's libstb-dev), with zlib's compression in place of its own, which ends the process
// where it is refused memory.
#include <stdlib.h>
#include <zlib.h>

static unsigned char *compressed(unsigned char *bytes, int size, int *packed_size, int level) {
  uLongf n = compressBound((uLong)size);
  unsigned char *packed = malloc(n);
  if (packed && compress2(packed, &n, bytes, (uLong)size, level) != Z_OK) {
    free(packed);
    packed = NULL;
  }
  *packed_size = packed ? (int)n : 0;
  return packed;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-function"
#define STBIW_ZLIB_COMPRESS compressed
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop
