// Augmentation: what is drawn, and the order in which it is applied.
// defines: vbl_augment_{check,draw,apply}
#include "core/data/augment.h"

#include <math.h>

#include "core/base/philox.h"

// Draw numbers, the first place of the counter (draw, purpose, sample, epoch).
enum {
  CROP_ATTEMPTS = 10,
  DRAW_CROP = 0,
  DRAW_FLIP = 4 * CROP_ATTEMPTS,
  DRAW_JITTER,
  DRAW_ORDER,
  DRAW_FACTOR = DRAW_ORDER + 4,
  DRAW_GRAY = DRAW_FACTOR + 4,
  DRAW_BLUR,
  DRAW_SIGMA
};

static vbl_status check_range(const char *name, double low, double high, double from, double to, vbl_error *err) {
  if (low >= from && low <= high && high <= to) return VBL_OK;
  return vbl_fail(err, VBL_EINVAL, "augment: %s = {%g, %g}; expected {low, high} with %g <= low <= high <= %g", name, low, high,
                  from, to);
}

vbl_status vbl_augment_check(const vbl_augment *a, int S, vbl_error *err) {
  const struct {
    const char *name;
    double value, most;
  } rows[] = {{"flip", a->flip, 1},
              {"jitter", a->jitter, 1},
              {"grayscale", a->grayscale, 1},
              {"blur", a->blur, 1},
              {"brightness", a->brightness, 8},
              {"contrast", a->contrast, 8},
              {"saturation", a->saturation, 8},
              {"hue", a->hue, 0.5}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (!(rows[i].value >= 0 && rows[i].value <= rows[i].most))
      return vbl_fail(err, VBL_EINVAL, "augment: %s = %g; expected 0 to %g", rows[i].name, rows[i].value, rows[i].most);
  VBL_TRY(check_range("crop", a->crop_low, a->crop_high, 1e-4, 1, err));
  VBL_TRY(check_range("ratio", a->ratio_low, a->ratio_high, 0.1, 10, err));
  VBL_TRY(check_range("sigma", a->sigma_low, a->sigma_high, 1e-2, 1e3, err));
  if (a->kernel % 2 == 1 && a->kernel >= 1 && a->kernel < 2 * S) return VBL_OK;
  return vbl_fail(err, VBL_EINVAL, "augment: kernel = %d; expected an odd number below twice the image's side (%d)", a->kernel, S);
}

typedef struct drawing {
  vbl_philox_key key;
  uint32_t purpose, sample, epoch;
} drawing;

static double uniform(const drawing *d, uint32_t draw, double low, double high) {
  return low + (high - low) * vbl_philox_uniform(d->key, draw, d->purpose, d->sample, d->epoch);
}

static int below(const drawing *d, uint32_t draw, int n) {
  return (int)vbl_philox_below(d->key, (uint64_t)n, draw, d->purpose, d->sample, d->epoch);
}

// torchvision's RandomResizedCrop: ten attempts at an area and a shape that fit; else the largest central rectangle within the ratios.
static void draw_crop(const drawing *d, const vbl_augment *a, int S, vbl_augmentation *g) {
  double area = (double)S * S;
  for (uint32_t k = 0; k < CROP_ATTEMPTS; k++) {
    double target = area * uniform(d, DRAW_CROP + 4 * k, a->crop_low, a->crop_high);
    double ratio = exp(uniform(d, DRAW_CROP + 4 * k + 1, log(a->ratio_low), log(a->ratio_high)));
    g->width = (int)rint(sqrt(target * ratio));
    g->height = (int)rint(sqrt(target / ratio));
    if (g->width < 1 || g->width > S || g->height < 1 || g->height > S) continue;
    g->top = below(d, DRAW_CROP + 4 * k + 2, S - g->height + 1);
    g->left = below(d, DRAW_CROP + 4 * k + 3, S - g->width + 1);
    return;
  }
  g->width = a->ratio_high < 1 ? (int)rint(S * a->ratio_high) : S;
  g->height = a->ratio_low > 1 ? (int)rint(S / a->ratio_low) : S;
  g->top = (S - g->height) / 2;
  g->left = (S - g->width) / 2;
}

static void draw_jitter(const drawing *d, const vbl_augment *a, vbl_augmentation *g) {
  const double reach[3] = {a->brightness, a->contrast, a->saturation};
  for (int i = 0; i < 4; i++) g->order[i] = i;
  for (int i = 3; i > 0; i--) {
    int j = below(d, (uint32_t)(DRAW_ORDER + i), i + 1), t = g->order[i];
    g->order[i] = g->order[j];
    g->order[j] = t;
  }
  for (uint32_t i = 0; i < 3; i++) g->factor[i] = uniform(d, DRAW_FACTOR + i, fmax(0, 1 - reach[i]), 1 + reach[i]);
  g->factor[3] = uniform(d, DRAW_FACTOR + 3, -a->hue, a->hue);
  g->parts = 4;
}

vbl_augmentation vbl_augment_draw(const vbl_augment *a, uint32_t seed, vbl_augment_purpose purpose, uint32_t epoch, int32_t sample,
                                  int S) {
  drawing d = {{seed, VBL_STREAM_AUGMENT}, purpose, (uint32_t)sample, epoch};
  vbl_augmentation g = {.crop = a->crop_low < 1, .kernel = a->kernel};
  if (g.crop) draw_crop(&d, a, S, &g);
  g.flip = uniform(&d, DRAW_FLIP, 0, 1) < a->flip;
  if (uniform(&d, DRAW_JITTER, 0, 1) < a->jitter) draw_jitter(&d, a, &g);
  g.gray = uniform(&d, DRAW_GRAY, 0, 1) < a->grayscale;
  if (uniform(&d, DRAW_BLUR, 0, 1) < a->blur) g.sigma = uniform(&d, DRAW_SIGMA, a->sigma_low, a->sigma_high);
  return g;
}

vbl_status vbl_augment_apply(const vbl_augmentation *g, int S, uint8_t *chw, vbl_error *err) {
  static void (*const jitter[4])(uint8_t *, int, double) = {vbl_planes_brightness, vbl_planes_contrast, vbl_planes_saturation,
                                                            vbl_planes_hue};
  if (g->crop) VBL_TRY(vbl_planes_crop(chw, S, g->top, g->left, g->height, g->width, err));
  if (g->flip) vbl_planes_flip(chw, S);
  for (int i = 0; i < g->parts; i++) {
    int which = g->order[i];
    if (g->factor[which] != (which == 3 ? 0 : 1)) jitter[which](chw, S, g->factor[which]);
  }
  if (g->gray) vbl_planes_grayscale(chw, S);
  return g->sigma > 0 ? vbl_planes_blur(chw, S, g->kernel, g->sigma, err) : VBL_OK;
}
