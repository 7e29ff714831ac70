// Augmentation: each operation against torchvision's functional one (tests/golden/make_augment.py), and the laws of what is drawn.
#include <stdlib.h>

#include "core/data/augment.h"
#include "core/data/bytes.h"
#include "tests/check.h"

enum { GOLDEN = 24, GOLDEN_BYTES = 3 * GOLDEN * GOLDEN };

static void run_operation(const char *name, uint8_t *chw) {
  double p[4] = {0};
  const char *at = strchr(name, ':') + 1;
  vbl_error err;
  sscanf(at, "%lf,%lf,%lf,%lf", p, p + 1, p + 2, p + 3);
  if (strncmp(name, "crop", 4) == 0)
    CHECK_OK(vbl_planes_crop(chw, GOLDEN, (int)p[0], (int)p[1], (int)p[2], (int)p[3], &err), err);
  else if (strncmp(name, "flip", 4) == 0)
    vbl_planes_flip(chw, GOLDEN);
  else if (strncmp(name, "brightness", 10) == 0)
    vbl_planes_brightness(chw, GOLDEN, p[0]);
  else if (strncmp(name, "contrast", 8) == 0)
    vbl_planes_contrast(chw, GOLDEN, p[0]);
  else if (strncmp(name, "saturation", 10) == 0)
    vbl_planes_saturation(chw, GOLDEN, p[0]);
  else if (strncmp(name, "hue", 3) == 0)
    vbl_planes_hue(chw, GOLDEN, p[0]);
  else if (strncmp(name, "grayscale", 9) == 0)
    vbl_planes_grayscale(chw, GOLDEN);
  else if (strncmp(name, "blur", 4) == 0)
    CHECK_OK(vbl_planes_blur(chw, GOLDEN, (int)p[0], p[1], &err), err);
  else
    CHECK_STR(name, "a known operation");
}

// The names and bytes of the dump: its header is JSON, each tensor u8 [3, 24, 24].
static void test_golden(void) {
  vbl_bytes file;
  vbl_error err;
  vbl_status status = vbl_bytes_read("tests/golden/augment.safetensors", 1 << 24, &file, &err);
  CHECK_OK(status, err);
  if (status != VBL_OK) return;
  uint64_t header;
  memcpy(&header, file.data, sizeof header);
  char *json = calloc(header + 1, 1);
  memcpy(json, file.data + 8, header);
  const uint8_t *data = file.data + 8 + header, *input = NULL;
  int seen = 0;
  for (int pass = 0; pass < 2; pass++)
    for (char *at = json; (at = strstr(at, "\":{\"dtype\"")) != NULL; at++) {
      char name[64] = {0};
      long first;
      char *begin = at;
      while (begin[-1] != '"') begin--;
      memcpy(name, begin, (size_t)(at - begin));
      sscanf(strstr(at, "data_offsets\":[") + 15, "%ld", &first);
      if (pass == 0 && strcmp(name, "input") == 0) input = data + first;
      if (pass == 0 || strcmp(name, "input") == 0) continue;
      uint8_t got[GOLDEN_BYTES];
      int worst = 0;
      memcpy(got, input, sizeof got);
      run_operation(name, got);
      for (int i = 0; i < GOLDEN_BYTES; i++) worst = abs(got[i] - data[first + i]) > worst ? abs(got[i] - data[first + i]) : worst;
      // One level: torch rounds sums of single precision in another order.
      if (worst > 1) fprintf(stderr, "%s: ", name);
      CHECK_NEAR(worst, 0, 1);
      seen++;
    }
  CHECK(seen == 30);
  free(json);
  vbl_bytes_free(&file);
}

static const vbl_augment strong = {.crop_low = 0.3,
                                   .crop_high = 0.9,
                                   .ratio_low = 0.75,
                                   .ratio_high = 4.0 / 3,
                                   .flip = 0.5,
                                   .jitter = 0.8,
                                   .brightness = 0.4,
                                   .contrast = 0.4,
                                   .saturation = 0.4,
                                   .hue = 0.1,
                                   .grayscale = 0.2,
                                   .blur = 0.5,
                                   .sigma_low = 0.1,
                                   .sigma_high = 2,
                                   .kernel = 3};

// Frequencies lie within five standard deviations, factors and rectangles within their ranges; every order of the jitter comes up.
static void test_draws(void) {
  enum { N = 4000, S = 32 };
  int flips = 0, jitters = 0, grays = 0, blurs = 0, orders[4][4] = {0};
  double area = 0;
  for (int i = 0; i < N; i++) {
    vbl_augmentation g = vbl_augment_draw(&strong, 7, VBL_AUGMENT_AP, 3, i, S);
    CHECK(g.crop && g.top >= 0 && g.left >= 0 && g.height >= 1 && g.width >= 1 && g.top + g.height <= S && g.left + g.width <= S);
    flips += g.flip, jitters += g.parts == 4, grays += g.gray, blurs += g.sigma > 0;
    area += (double)(g.width * g.height) / (S * S);
    for (int k = 0; k < g.parts; k++) orders[g.order[k]][k]++;
    if (g.parts == 4) {
      for (int k = 0; k < 3; k++) CHECK(g.factor[k] >= 0.6 && g.factor[k] <= 1.4);
      CHECK(fabs(g.factor[3]) <= 0.1);
    }
    CHECK(g.sigma == 0 || (g.sigma >= 0.1 && g.sigma <= 2));
  }
  CHECK_NEAR(flips, N * 0.5, 5 * sqrt(N * 0.25));
  CHECK_NEAR(jitters, N * 0.8, 5 * sqrt(N * 0.16));
  CHECK_NEAR(grays, N * 0.2, 5 * sqrt(N * 0.16));
  CHECK_NEAR(blurs, N * 0.5, 5 * sqrt(N * 0.25));
  CHECK_NEAR(area / N, 0.6, 0.02);  // sd of a uniform of width 0.6 over sqrt(4000) is 0.003; rounding to pixels adds below 0.01
  for (int a = 0; a < 4; a++)
    for (int k = 0; k < 4; k++) CHECK_NEAR(orders[a][k], jitters / 4.0, 5 * sqrt(jitters * 3 / 16.0));
}

static bool same(vbl_augmentation a, vbl_augmentation b) {
  return a.flip == b.flip && a.top == b.top && a.left == b.left && a.width == b.width && a.factor[0] == b.factor[0] &&
         a.sigma == b.sigma;
}

// Equal keys draw the same; a change of seed, purpose, epoch or sample draws anew.
static void test_keys(void) {
  vbl_augmentation base = vbl_augment_draw(&strong, 1, VBL_AUGMENT_MIM, 1, 5, 32);
  CHECK(same(base, vbl_augment_draw(&strong, 1, VBL_AUGMENT_MIM, 1, 5, 32)));
  CHECK(!same(base, vbl_augment_draw(&strong, 2, VBL_AUGMENT_MIM, 1, 5, 32)));
  CHECK(!same(base, vbl_augment_draw(&strong, 1, VBL_AUGMENT_AP, 1, 5, 32)));
  CHECK(!same(base, vbl_augment_draw(&strong, 1, VBL_AUGMENT_MIM, 2, 5, 32)));
  CHECK(!same(base, vbl_augment_draw(&strong, 1, VBL_AUGMENT_MIM, 1, 6, 32)));
}

// A crop that no ratio lets fit: the central rectangle.
static void test_fallback(void) {
  vbl_augment a = {
      .crop_low = 0.999, .crop_high = 0.9999, .ratio_low = 3, .ratio_high = 4, .sigma_low = 1, .sigma_high = 1, .kernel = 3};
  vbl_augmentation g = vbl_augment_draw(&a, 1, VBL_AUGMENT_AP, 1, 5, 30);
  CHECK(g.width == 30 && g.height == 10 && g.top == 10 && g.left == 0);
}

static void test_check(void) {
  vbl_error err;
  vbl_augment a = strong;
  CHECK_OK(vbl_augment_check(&a, 32, &err), err);
  a.hue = 0.6;
  CHECK(vbl_augment_check(&a, 32, &err) == VBL_EINVAL && strstr(err.message, "hue = 0.6; expected 0 to 0.5") != NULL);
  a = strong, a.flip = NAN;
  CHECK(vbl_augment_check(&a, 32, &err) == VBL_EINVAL && strstr(err.message, "flip") != NULL);
  a = strong, a.crop_low = 0.95;
  CHECK(vbl_augment_check(&a, 32, &err) == VBL_EINVAL && strstr(err.message, "crop") != NULL);
  a = strong, a.kernel = 64;
  CHECK(vbl_augment_check(&a, 32, &err) == VBL_EINVAL && strstr(err.message, "kernel = 64") != NULL);
}

int main(void) {
  test_golden();
  test_draws();
  test_keys();
  test_fallback();
  test_check();
  return check_done();
}
