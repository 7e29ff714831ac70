// Crop, flip and blur of u8 planes.
// defines: vbl_planes_{crop,flip,blur}
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/augment.h"
#include "core/data/image.h"

vbl_status vbl_planes_crop(uint8_t *chw, int S, int top, int left, int height, int width, vbl_error *err) {
  size_t plane = (size_t)S * (size_t)S, part = (size_t)height * (size_t)width;
  uint8_t *rgb = malloc(3 * (part + plane));
  if (rgb == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a crop of %d x %d", width, height);
  uint8_t *cut = rgb, *whole = rgb + 3 * part;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++, cut += 3)
      for (size_t c = 0; c < 3; c++) cut[c] = chw[c * plane + (size_t)(top + y) * (size_t)S + (size_t)(left + x)];
  vbl_image image = {width, height, rgb};
  vbl_status status = vbl_image_resize(&image, S, S, whole, err);
  for (size_t i = 0; status == VBL_OK && i < plane; i++)
    for (size_t c = 0; c < 3; c++) chw[c * plane + i] = whole[3 * i + c];
  free(rgb);
  return status;
}

void vbl_planes_flip(uint8_t *chw, int S) {
  for (int row = 0; row < 3 * S; row++, chw += S)
    for (int x = 0; x < S / 2; x++) {
      uint8_t t = chw[x];
      chw[x] = chw[S - 1 - x];
      chw[S - 1 - x] = t;
    }
}

// weight (kernel): exp(-(x / sigma)^2 / 2) over its sum, x from the middle.
static void gaussian(int kernel, double sigma, float *weight) {
  float sum = 0, half = 0.5f * (float)(kernel - 1);
  for (int i = 0; i < kernel; i++) {
    float x = ((float)i - half) / (float)sigma;
    sum += weight[i] = expf(-0.5f * x * x);
  }
  for (int i = 0; i < kernel; i++) weight[i] /= sum;
}

static int mirror(int i, int S) { return i < 0 ? -i : i >= S ? 2 * S - 2 - i : i; }

// Each output row is a weighted sum of whole input rows: the inner loop runs over columns that do not depend on each other.
static void down(const float *in, int S, int kernel, const float *weight, float *out) {
  memset(out, 0, (size_t)S * (size_t)S * sizeof *out);
  for (int y = 0; y < S; y++)
    for (int k = 0; k < kernel; k++) {
      const float *row = in + (size_t)mirror(y + k - kernel / 2, S) * (size_t)S;
      float *to = out + (size_t)y * (size_t)S, w = weight[k];
      for (int x = 0; x < S; x++) to[x] += w * row[x];
    }
}

// One row; `wide` holds it with kernel / 2 mirrored pixels on both sides.
static void across(float *row, int S, int kernel, const float *weight, float *wide) {
  for (int i = 0; i < S + kernel - 1; i++) wide[i] = row[mirror(i - kernel / 2, S)];
  memset(row, 0, (size_t)S * sizeof *row);
  for (int k = 0; k < kernel; k++)
    for (int x = 0; x < S; x++) row[x] += weight[k] * wide[x + k];
}

vbl_status vbl_planes_blur(uint8_t *chw, int S, int kernel, double sigma, vbl_error *err) {
  size_t plane = (size_t)S * (size_t)S;
  float *in = malloc((2 * plane + (size_t)(S + 2 * kernel)) * sizeof *in);
  if (in == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a blur of %d x %d", S, S);
  float *out = in + plane, *weight = out + plane, *wide = weight + kernel;
  gaussian(kernel, sigma, weight);
  for (int c = 0; c < 3; c++, chw += plane) {
    for (size_t i = 0; i < plane; i++) in[i] = chw[i];
    down(in, S, kernel, weight, out);
    for (int y = 0; y < S; y++) across(out + (size_t)y * (size_t)S, S, kernel, weight, wide);
    for (size_t i = 0; i < plane; i++) chw[i] = (uint8_t)rintf(out[i]);
  }
  free(in);
  return VBL_OK;
}
