// Antialiased resizing in 8 bits, with the same fixed point as PIL's ImagingResample (Pillow, src/libImaging/Resample.c):
// weights of 22 fractional bits, one pass rounded to 8 bits, then the other; a size that stays has the weights 1 and 0, exactly.
// The filters, stretched by the scale when shrinking: Keys' cubic convolution (IEEE ASSP 29, 1981) with a = -0.5, and the triangle.
// defines: vbl_image_resize, vbl_image_fit
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/image.h"
#include "kernels/cpu/loops.h"

// The weights of output positions [first, first + count) along one axis.
typedef struct weights {
  int taps;     // weights a position has room for
  int *start;   // [count] first input position
  int *length;  // [count] how many
  int32_t *w;   // [count][taps]
} weights;

static double cubic(double x) {
  const double a = -0.5;
  x = fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

static double triangle(double x) {
  x = fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

// A filter and where it ends.
typedef struct kernel {
  double (*at)(double x);
  double support;
} kernel;

static const kernel kernels[] = {[VBL_FILTER_BICUBIC] = {cubic, 2.0}, [VBL_FILTER_BILINEAR] = {triangle, 1.0}};

static void weights_free(weights *k) {
  free(k->start);
  free(k->length);
  free(k->w);
}

// One output position: input window, normalised weights, rounded to fixed point.
static void position(const weights *k, const kernel *f, int i, double center, double stretch, int in, double *real) {
  double support = f->support * stretch, sum = 0;
  int first = (int)(center - support + 0.5), last = (int)(center + support + 0.5);
  if (first < 0) first = 0;
  if (last > in) last = in;
  for (int x = 0; x < last - first; x++) sum += real[x] = f->at((x + first - center + 0.5) / stretch);
  for (int x = 0; x < last - first; x++) {
    double w = (sum != 0 ? real[x] / sum : real[x]) * (1 << VBL_PIXEL_BITS);
    k->w[(size_t)i * (size_t)k->taps + (size_t)x] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
  }
  k->start[i] = first;
  k->length[i] = last - first;
}

static vbl_status weights_new(const kernel *f, int in, int out, int first, int count, weights *k, vbl_error *err) {
  double scale = (double)in / out, stretch = scale < 1 ? 1 : scale;
  size_t n = (size_t)count;
  k->taps = (int)ceil(f->support * stretch) * 2 + 1;
  k->start = malloc(n * sizeof(int));
  k->length = malloc(n * sizeof(int));
  k->w = malloc(n * (size_t)k->taps * sizeof(int32_t));
  double *real = malloc((size_t)k->taps * sizeof(double));
  bool ok = k->start != NULL && k->length != NULL && k->w != NULL && real != NULL;
  for (int i = 0; ok && i < count; i++) position(k, f, i, (first + i + 0.5) * scale, stretch, in, real);
  free(real);
  return ok ? VBL_OK : vbl_fail(err, VBL_ENOMEM, "out of memory while resizing");
}

// The part of a resized image that is wanted: whole (width, height), and the window [x, x + columns) x [y, y + rows) of it.
typedef struct window {
  int width, height, x, y, columns, rows;
} window;

// Pixels whose first one stands at (x, y) of the input; `stride` pixels a row.
typedef struct pixels {
  const uint8_t *rgb;
  int x, y;
  size_t stride;
} pixels;

static const uint8_t *pixel(const pixels *p, int x, int y) {
  return p->rgb + 3 * ((size_t)(y - p->y) * p->stride + (size_t)(x - p->x));
}

// Input positions that the weights reach: [first, last).
static int first_of(const weights *k) { return k->start[0]; }
static int last_of(const weights *k, int count) { return k->start[count - 1] + k->length[count - 1]; }

// Rows [first, last), resized along the width, into out (last - first, columns, 3).
static void horizontal(const pixels *in, const weights *k, int columns, int first, int last, uint8_t *out) {
  vbl_cpu_loops()->weigh_columns(pixel(in, in->x, first), in->x, (int)in->stride, last - first, k->start, k->length, k->w, k->taps,
                                 columns, out);
}

// Columns [first, last), resized along the height, into out (rows, last - first, 3).
static void vertical(const pixels *in, const weights *k, int rows, int first, int last, uint8_t *out) {
  const size_t bytes = 3 * (size_t)(last - first);
  for (int y = 0; y < rows; y++, out += bytes)
    vbl_cpu_loops()->weigh_rows(pixel(in, first, k->start[y]), 3 * in->stride, k->w + (size_t)y * (size_t)k->taps, k->length[y],
                                bytes, out);
}

// The vertical pass comes first where the height loses more than twice as many rows as the width loses columns (Pillow 13).
static bool vertical_first(const vbl_image *in, const window *to) {
  return to->height < in->height && in->height - to->height > 2 * (in->width - to->width);
}

static vbl_status two_passes(const vbl_image *in, const window *to, const weights *kx, const weights *ky, uint8_t *out,
                             vbl_error *err) {
  pixels source = {in->rgb, 0, 0, (size_t)in->width}, middle = {0};
  int left = first_of(kx), right = last_of(kx, to->columns), top = first_of(ky), bottom = last_of(ky, to->rows);
  bool down = vertical_first(in, to);
  size_t size = down ? (size_t)to->rows * (size_t)(right - left) : (size_t)(bottom - top) * (size_t)to->columns;
  uint8_t *buffer = malloc(3 * size);
  if (buffer == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory while resizing");
  if (down) {
    vertical(&source, ky, to->rows, left, right, buffer);
    middle = (pixels){buffer, left, 0, (size_t)(right - left)};
    horizontal(&middle, kx, to->columns, 0, to->rows, out);
  } else {
    horizontal(&source, kx, to->columns, top, bottom, buffer);
    middle = (pixels){buffer, 0, top, (size_t)to->columns};
    vertical(&middle, ky, to->rows, 0, to->columns, out);
  }
  free(buffer);
  return VBL_OK;
}

// An image that keeps its size: the window as it is, which is what weights of 1 and 0 give.
static void copy_window(const vbl_image *in, const window *to, uint8_t *out) {
  size_t row = 3 * (size_t)to->columns;
  for (int y = 0; y < to->rows; y++, out += row)
    memcpy(out, in->rgb + 3 * ((size_t)(to->y + y) * (size_t)in->width + (size_t)to->x), row);
}

static vbl_status resample(const vbl_image *in, const window *to, vbl_filter filter, uint8_t *out, vbl_error *err) {
  if (to->width == in->width && to->height == in->height) return copy_window(in, to, out), VBL_OK;
  weights kx = {0}, ky = {0};
  const kernel *f = &kernels[filter];
  vbl_status status = weights_new(f, in->width, to->width, to->x, to->columns, &kx, err);
  if (status == VBL_OK) status = weights_new(f, in->height, to->height, to->y, to->rows, &ky, err);
  if (status == VBL_OK) status = two_passes(in, to, &kx, &ky, out, err);
  weights_free(&kx);
  weights_free(&ky);
  return status;
}

static vbl_status check_sizes(const vbl_image *in, int width, int height, vbl_error *err) {
  if (in->width >= 1 && in->height >= 1 && width >= 1 && height >= 1 && width <= VBL_IMAGE_MAX_SIDE && height <= VBL_IMAGE_MAX_SIDE)
    return VBL_OK;
  return vbl_fail(err, VBL_EINVAL, "resize %d x %d to %d x %d: each side must be 1 to %d", in->width, in->height, width, height,
                  VBL_IMAGE_MAX_SIDE);
}

vbl_status vbl_image_resize(const vbl_image *in, int width, int height, uint8_t *out, vbl_error *err) {
  VBL_TRY(check_sizes(in, width, height, err));
  window to = {width, height, 0, 0, width, height};
  return resample(in, &to, VBL_FILTER_BICUBIC, out, err);
}

// (area, 3) to (3, area)
static void to_planes(const uint8_t *rgb, size_t area, uint8_t *restrict chw) {
  uint8_t *restrict r = chw, *restrict g = chw + area, *restrict b = chw + 2 * area;
  for (size_t i = 0; i < area; i++, rgb += 3) {
    r[i] = rgb[0];
    g[i] = rgb[1];
    b[i] = rgb[2];
  }
}

// timm's floor; the small addition lets short / (short / long) come back as long.
static int resized_side(const vbl_fit *fit) { return (int)floor(fit->size / (fit->crop_pct > 0 ? fit->crop_pct : 1) + 1e-9); }

static window fit_window(const vbl_image *in, const vbl_fit *fit) {
  int side = resized_side(fit);
  window to = {side, side, 0, 0, fit->size, fit->size};
  if (fit->crop == VBL_CROP_CENTER && in->width > in->height) to.width = (int)((int64_t)side * in->width / in->height);
  if (fit->crop == VBL_CROP_CENTER && in->width <= in->height) to.height = (int)((int64_t)side * in->height / in->width);
  to.x = (int)rint((to.width - fit->size) / 2.0);
  to.y = (int)rint((to.height - fit->size) / 2.0);
  return to;
}

vbl_status vbl_image_fit(const vbl_image *in, const vbl_fit *fit, uint8_t *chw, vbl_error *err) {
  int size = fit->size;
  if (fit->crop_pct != 0 && !(fit->crop_pct >= 0.1 && fit->crop_pct <= 1))
    return vbl_fail(err, VBL_EINVAL, "crop_pct = %g; expected 0.1 to 1", fit->crop_pct);
  VBL_TRY(check_sizes(in, size, size, err));
  VBL_TRY(check_sizes(in, resized_side(fit), resized_side(fit), err));
  window to = fit_window(in, fit);
  size_t area = (size_t)size * (size_t)size;
  uint8_t *rgb = malloc(3 * area);
  if (rgb == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for an image of %d x %d", size, size);
  vbl_status status = resample(in, &to, fit->filter, rgb, err);
  if (status == VBL_OK) to_planes(rgb, area, chw);
  free(rgb);
  return status;
}
