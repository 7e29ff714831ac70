// EXIF orientation: how a camera was held. Photographs are turned upright when they are decoded.
// defines: vbl_exif_orientation, vbl_image_turn
#pragma once
#include "core/data/image.h"

// The orientation (tag 0x0112 of IFD 0, values 1 to 8; EXIF 2.3, 4.6.4 A) of a TIFF block, as APP1 of a JPEG holds it after
// "Exif\0\0" and eXIf of a PNG whole. The standard has it as a SHORT; a LONG, which some programs write, and a signed one are read
// too, as PIL does. 1, upright, where the block is damaged or does not say.
int vbl_exif_orientation(const uint8_t *tiff, size_t n);

// Turns and mirrors the image upright, as PIL's ImageOps.exif_transpose; sides are exchanged by orientations 5 to 8.
vbl_status vbl_image_turn(vbl_image *image, int orientation, vbl_error *err);
