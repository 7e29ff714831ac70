// Images to patches, and patches with the class token and positions to a token sequence (Dosovitskiy et al. 2021).
// defines: vbl_cpu_patchify, vbl_cpu_vit_assemble
#include <string.h>

#include "kernels/cpu/isa/isa.h"

enum { CHANNELS = 3 };

// What a row of p pixels becomes: u8 through a table of the 256 normalised values of its channel, f32 as it is.
typedef struct pixels {
  bool bytes;
  float table[CHANNELS][256];
} pixels;

static void pixels_make(pixels *x, vbl_dtype T, const double *mean, const double *std) {
  x->bytes = T == VBL_U8;
  if (!x->bytes) return;
  for (int c = 0; c < CHANNELS; c++) {
    for (int v = 0; v < 256; v++) x->table[c][v] = mean ? (float)((v / 255.0 - mean[c]) / std[c]) : (float)v;
  }
}

static void copy_row(const pixels *x, const void *images, int64_t at, int c, int64_t p, float *out) {
  if (x->bytes) {
    const uint8_t *from = (const uint8_t *)images + at;
    for (int64_t j = 0; j < p; j++) out[j] = x->table[c][from[j]];
  } else {
    memcpy(out, (const float *)images + at, (size_t)p * sizeof(float));
  }
}

void VBL_K(patchify)(vbl_dtype T, const void *images, const double *mean, const double *std, const uint8_t *mask, void *patches_,
                     int64_t B, int64_t S_h, int64_t S_w, int64_t p, vbl_stream s) {
  (void)s;
  float *patches = patches_;
  const int64_t rows = S_h / p, columns = S_w / p, width = CHANNELS * p * p;
  pixels x;
  pixels_make(&x, T, mean, std);
#pragma omp parallel for schedule(static) if (B * CHANNELS * S_h * S_w > VBL_GRAIN)
  for (int64_t n = 0; n < B * rows * columns; n++) {
    const int64_t b = n / (rows * columns), r = n / columns % rows, q = n % columns;
    float *out = patches + n * width;
    if (mask && mask[n]) {
      memset(out, 0, (size_t)width * sizeof(float));
      continue;
    }
    for (int c = 0; c < CHANNELS; c++) {
      for (int64_t i = 0; i < p; i++) {
        copy_row(&x, images, ((b * CHANNELS + c) * S_h + r * p + i) * S_w + q * p, c, p, out + (c * p + i) * p);
      }
    }
  }
}

void VBL_K(vit_assemble)(const void *patches_, const void *cls_, const void *pos_, void *y_, int64_t B, int64_t P, int64_t D,
                         vbl_stream s) {
  (void)s;
  const float *patches = patches_, *cls = cls_, *pos = pos_;
  float *y = y_;
#pragma omp parallel for schedule(static) if (B * P * D > VBL_GRAIN)
  for (int64_t n = 0; n < B * (P + 1); n++) {
    const int64_t b = n / (P + 1), t = n % (P + 1);
    const float *from = t == 0 ? cls : patches + (b * P + t - 1) * D;
#pragma omp simd
    for (int64_t j = 0; j < D; j++) y[n * D + j] = from[j] + pos[t * D + j];
  }
}
