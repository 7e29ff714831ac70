// defines: vbl_exif_orientation, vbl_image_turn
#include "core/data/image_orientation.h"

#include <stdlib.h>
#include <string.h>

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4, TYPE_SSHORT = 8, TYPE_SLONG = 9, ENTRY_BYTES = 12 };

// A TIFF block of n bytes, in the byte order that its head names.
typedef struct tiff_block {
  const uint8_t *bytes;
  size_t n;
  bool big_endian;
} tiff_block;

static uint32_t read16(const tiff_block *t, size_t at) {
  uint32_t a = t->bytes[at], b = t->bytes[at + 1];
  return t->big_endian ? a << 8 | b : b << 8 | a;
}

static uint32_t read32(const tiff_block *t, size_t at) {
  uint32_t a = read16(t, at), b = read16(t, at + 2);
  return t->big_endian ? a << 16 | b : b << 16 | a;
}

// The value of the entry at `at`, one integer of 16 or 32 bits; 0 of anything else.
static uint32_t entry_value(const tiff_block *t, size_t at) {
  if (read32(t, at + 4) != 1) return 0;
  switch (read16(t, at + 2)) {
    case TYPE_SHORT:
    case TYPE_SSHORT:
      return read16(t, at + 8);
    case TYPE_LONG:
    case TYPE_SLONG:
      return read32(t, at + 8);
  }
  return 0;
}

int vbl_exif_orientation(const uint8_t *tiff, size_t n) {
  tiff_block t = {tiff, n, n >= 8 && memcmp(tiff, "MM", 2) == 0};
  if (n < 8 || (!t.big_endian && memcmp(tiff, "II", 2) != 0) || read16(&t, 2) != 42) return 1;
  size_t at = read32(&t, 4);
  if (at > n || n - at < 2) return 1;
  size_t entries = read16(&t, at);
  for (at += 2; entries > 0 && n - at >= ENTRY_BYTES; entries--, at += ENTRY_BYTES) {
    if (read16(&t, at) != TAG_ORIENTATION) continue;
    uint32_t value = entry_value(&t, at);
    return value >= 1 && value <= 8 ? (int)value : 1;
  }
  return 1;
}

vbl_status vbl_image_turn(vbl_image *image, int orientation, vbl_error *err) {
  if (orientation <= 1 || orientation > 8) return VBL_OK;
  // Output (x, y) is input (column, row): exchanged from 5 on, then counted from the other end.
  const bool exchanged = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const int w = image->width, h = image->height, width = exchanged ? h : w, height = exchanged ? w : h;
  uint8_t *turned = malloc(3 * (size_t)w * (size_t)h), *to = turned;
  if (turned == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for turning an image of %d x %d pixels", w, h);
  for (int y = 0; y < height; y++) {
    for (int x = 0; x < width; x++, to += 3) {
      int column = exchanged ? y : x, row = exchanged ? x : y;
      if (from_right) column = w - 1 - column;
      if (from_bottom) row = h - 1 - row;
      memcpy(to, image->rgb + 3 * ((size_t)row * (size_t)w + (size_t)column), 3);
    }
  }
  vbl_image_free(image);
  *image = (vbl_image){width, height, turned};
  return VBL_OK;
}
