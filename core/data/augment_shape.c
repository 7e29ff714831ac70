// Crop, flip and blur of u8 planes.
// defines: vbl_planes_{crop,flip,blur}
#include <math.h>
#include <stdlib.h>

#include "core/data/augment.h"
#include "core/data/image.h"
#include "kernels/cpu/loops.h"

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

// One plane as floats (S, width), with kernel / 2 mirrored columns on both sides.
static void widen(const uint8_t *plane, int S, int kernel, float *wide, int width) {
  const int side = kernel / 2;
  for (int y = 0; y < S; y++, plane += S, wide += width) {
    for (int x = 0; x < S; x++) wide[side + x] = plane[x];
    for (int i = 1; i <= side; i++) {
      wide[side - i] = plane[mirror(-i, S)];
      wide[side + S - 1 + i] = plane[mirror(S - 1 + i, S)];
    }
  }
}

// Down the columns, then across the row that this gave; the sums of each in the order of the weights. row: room for kernel pointers.
static void blur_row(const float *wide, int S, int kernel, int y, const float *weight, const float **row, float *down, float *out) {
  const int width = S + kernel - 1;
  const vbl_loops *loops = vbl_cpu_loops();
  for (int k = 0; k < kernel; k++) row[k] = wide + (size_t)mirror(y + k - kernel / 2, S) * (size_t)width;
  loops->weigh(row, weight, kernel, width, down);
  for (int k = 0; k < kernel; k++) row[k] = down + k;
  loops->weigh(row, weight, kernel, S, out);
}

vbl_status vbl_planes_blur(uint8_t *chw, int S, int kernel, double sigma, vbl_error *err) {
  const size_t width = (size_t)(S + kernel - 1);
  const float **row =
      malloc((size_t)kernel * sizeof *row + ((size_t)S * width + width + (size_t)kernel + (size_t)S) * sizeof **row);
  if (row == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a blur of %d x %d", S, S);
  float *wide = (float *)(row + kernel), *down = wide + (size_t)S * width, *weight = down + width, *out = weight + kernel;
  gaussian(kernel, sigma, weight);
  for (int c = 0; c < 3; c++) {
    widen(chw, S, kernel, wide, (int)width);
    for (int y = 0; y < S; y++, chw += S) {
      blur_row(wide, S, kernel, y, weight, row, down, out);
      for (int x = 0; x < S; x++) chw[x] = (uint8_t)rintf(out[x]);
    }
  }
  free(row);
  return VBL_OK;
}
