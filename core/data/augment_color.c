// Colour operations on u8 planes, in the single precision and order of torchvision's functional_tensor.py.
// defines: vbl_planes_{brightness,contrast,saturation,hue,grayscale}
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

// Hue in [0, 1) of a colour by its largest channel and its chroma, which is how much that exceeds the smallest; 0 of a gray.
static float hue_of(float r, float g, float b, float most, float chroma) {
  float by = chroma > 0 ? chroma : 1, rc = (most - r) / by, gc = (most - g) / by, bc = (most - b) / by;
  float h = (most == r ? bc - gc : most == g ? 2 + rc - bc : 4 + gc - rc) / 6 + 1;
  return h - (float)(int)h;
}

static float floor_of(float v) {
  float whole = (float)(int)v;
  return whole > v ? whole - 1 : whole;
}

// A channel of the colour of hue h in [0, 6], chroma c and value v; n: 5 for red, 3 for green, 1 for blue (HSV to RGB in one formula:
// v - c max(0, min(k, 4 - k, 1)), k = (n + h) mod 6).
static uint8_t channel(float n, float h, float c, float v) {
  float k = n + h, least;
  k = k >= 6 ? k - 6 : k;
  least = k < 4 - k ? k : 4 - k;
  return cut((v - c * (least < 0 ? 0 : least > 1 ? 1 : least)) * (255 + 1.0f - 1e-3f));
}

// Without branches, so that the compiler takes several pixels at once. A gray stays: v * (256 - 1e-3) lies less than 1 above its level.
void vbl_planes_hue(uint8_t *chw, int S, double shift) {
  size_t plane = (size_t)S * (size_t)S;
  uint8_t *restrict red = chw, *restrict green = chw + plane, *restrict blue = chw + 2 * plane;
  const float by = (float)shift;
  for (size_t i = 0; i < plane; i++) {
    float r = (float)red[i] / 255, g = (float)green[i] / 255, b = (float)blue[i] / 255;
    float most = r > g ? r : g, least = r < g ? r : g, v = most > b ? most : b, c = v - (least < b ? least : b);
    float h = hue_of(r, g, b, v, c) + by;
    h = (h - floor_of(h)) * 6;
    red[i] = channel(5, h, c, v);
    green[i] = channel(3, h, c, v);
    blue[i] = channel(1, h, c, v);
  }
}
