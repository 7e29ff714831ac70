// Colour operations on u8 planes, in the single precision and order of torchvision's functional_tensor.py.
// defines: vbl_planes_{brightness,contrast,saturation,hue,grayscale}
#include <math.h>

#include "core/data/augment.h"

// To u8 as a tensor's .to(uint8): the fraction is cut off.
static uint8_t cut(float v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }

// Luma of ITU-R 601-2.
static uint8_t gray_of(const uint8_t *p, size_t plane) {
  return (uint8_t)(0.2989f * (float)p[0] + 0.587f * (float)p[plane] + 0.114f * (float)p[2 * plane]);
}

void vbl_planes_brightness(uint8_t *chw, int S, double factor) {
  float f = (float)factor;
  for (size_t i = 0, n = 3 * (size_t)S * (size_t)S; i < n; i++) chw[i] = cut(f * (float)chw[i]);
}

void vbl_planes_contrast(uint8_t *chw, int S, double factor) {
  size_t plane = (size_t)S * (size_t)S;
  uint64_t sum = 0;
  for (size_t i = 0; i < plane; i++) sum += gray_of(chw + i, plane);
  float f = (float)factor, rest = (float)(1 - factor) * (float)((double)sum / (double)plane);
  for (size_t i = 0; i < 3 * plane; i++) chw[i] = cut(f * (float)chw[i] + rest);
}

void vbl_planes_saturation(uint8_t *chw, int S, double factor) {
  size_t plane = (size_t)S * (size_t)S;
  float f = (float)factor, rest = (float)(1 - factor);
  for (size_t i = 0; i < plane; i++) {
    float gray = rest * (float)gray_of(chw + i, plane);
    for (size_t c = 0; c < 3; c++) chw[c * plane + i] = cut(f * (float)chw[c * plane + i] + gray);
  }
}

void vbl_planes_grayscale(uint8_t *chw, int S) {
  size_t plane = (size_t)S * (size_t)S;
  for (size_t i = 0; i < plane; i++) chw[i] = chw[plane + i] = chw[2 * plane + i] = gray_of(chw + i, plane);
}

// Hue in [0, 1) of a colour whose largest channel exceeds its smallest by `range` > 0.
static float hue_of(float r, float g, float b, float most, float range) {
  float rc = (most - r) / range, gc = (most - g) / range, bc = (most - b) / range;
  float h = most == r ? bc - gc : most == g ? 2 + rc - bc : 4 + gc - rc;
  return fmodf(h / 6 + 1, 1);
}

static float unit(float v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

static void from_hsv(float h, float s, float v, float rgb[3]) {
  int sector = (int)floorf(h * 6);
  float f = h * 6 - (float)sector, p = unit(v * (1 - s)), q = unit(v * (1 - s * f)), t = unit(v * (1 - s * (1 - f)));
  const float rows[6][3] = {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}};
  for (int c = 0; c < 3; c++) rgb[c] = rows[sector % 6][c];
}

void vbl_planes_hue(uint8_t *chw, int S, double shift) {
  size_t plane = (size_t)S * (size_t)S;
  for (size_t i = 0; i < plane; i++) {
    float r = (float)chw[i] / 255, g = (float)chw[plane + i] / 255, b = (float)chw[2 * plane + i] / 255, rgb[3];
    float most = fmaxf(fmaxf(r, g), b), range = most - fminf(fminf(r, g), b);
    if (range == 0) continue;
    float h = hue_of(r, g, b, most, range) + (float)shift;
    from_hsv(h - floorf(h), range / most, most, rgb);
    for (size_t c = 0; c < 3; c++) chw[c * plane + i] = cut(rgb[c] * (255 + 1.0f - 1e-3f));
  }
}
