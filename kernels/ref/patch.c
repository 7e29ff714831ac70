// Reference image entry: pixels to patches, patches to the rows of a ViT (Dosovitskiy et al. 2021, equation 1).
// defines: vbl_ref_patchify, vbl_ref_vit_assemble
#include <stddef.h>

#include "kernels/ref/ref.h"

// One patch [3,p,p] of the image [3,S_h,S_w] that starts at element `image`, upper left corner (top, left).
static void one_patch(vbl_dtype T, const void *images, int64_t image, const double *mean, const double *std, int64_t S_h,
                      int64_t S_w, int64_t p, int64_t top, int64_t left, double *patch) {
  for (int64_t c = 0; c < 3; c++) {
    for (int64_t i = 0; i < p; i++) {
      for (int64_t j = 0; j < p; j++) {
        double value = vbl_ref_load(T, images, image + (c * S_h + top + i) * S_w + left + j);
        if (mean != NULL) value = (value / 255 - mean[c]) / std[c];
        patch[(c * p + i) * p + j] = value;
      }
    }
  }
}

void vbl_ref_patchify(vbl_dtype T, const void *images, const double *mean, const double *std, const uint8_t *mask, void *patches,
                      int64_t B, int64_t S_h, int64_t S_w, int64_t p, vbl_stream s) {
  (void)s;
  int64_t rows = S_h / p, columns = S_w / p, width = 3 * p * p;
  for (int64_t b = 0; b < B; b++) {
    for (int64_t r = 0; r < rows; r++) {
      for (int64_t c = 0; c < columns; c++) {
        int64_t at = (b * rows + r) * columns + c;
        double *patch = (double *)patches + at * width;
        if (mask != NULL && mask[at]) {
          for (int64_t i = 0; i < width; i++) patch[i] = 0;
        } else {
          one_patch(T, images, b * 3 * S_h * S_w, mean, std, S_h, S_w, p, r * p, c * p, patch);
        }
      }
    }
  }
}

void vbl_ref_vit_assemble(const void *patches, const void *cls, const void *pos, void *y, int64_t B, int64_t P, int64_t D,
                          vbl_stream s) {
  (void)s;
  const double *token = cls, *position = pos;
  for (int64_t b = 0; b < B; b++) {
    for (int64_t row = 0; row <= P; row++) {
      const double *content = row == 0 ? token : (const double *)patches + (b * P + row - 1) * D;
      double *out = (double *)y + (b * (P + 1) + row) * D;
      for (int64_t col = 0; col < D; col++) out[col] = content[col] + position[row * D + col];
    }
  }
}
