// The implementation of stb_image (public domain, Debian's libstb-dev), JPEG and PNG only, without stdio.
// defines: vbl_stb_refused
#include <stdlib.h>

#include "core/data/image.h"
#include "core/data/image_stb.h"

static _Thread_local bool refused;

bool vbl_stb_refused(void) {
  bool was = refused;
  refused = false;
  return was;
}

// No image of the size that is allowed needs more at once (16 bytes a pixel): a small one that unpacks without end is the data's fault.
static void *sized(void *old, size_t n) {
  if (n > (size_t)16 * VBL_IMAGE_MAX_PIXELS) return NULL;
  void *p = realloc(old, n);
  refused |= p == NULL;
  return p;
}

#define STBI_MALLOC(n)     sized(NULL, n)
#define STBI_REALLOC(p, n) sized(p, n)
#define STBI_FREE(p)       free(p)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-function"
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_MAX_DIMENSIONS 16384
#include <stb/stb_image.h>
#pragma GCC diagnostic pop
