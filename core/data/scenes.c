// The pictures of the built-in data set.
// defines: vbl_scenes_{describe,draw,change}
#include "core/data/scenes.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/philox.h"

// Draws of a sample, the Philox counter (draw, block, sample, kind): which purpose has which kind.
enum { DRAW_SCENE, DRAW_JITTER, DRAW_NOISE, DRAW_CHANGE };

static vbl_philox_key key_of(const vbl_scenes *s) { return (vbl_philox_key){s->seed, VBL_STREAM_SCENES}; }

static int below(const vbl_scenes *s, int n, uint32_t draw, uint32_t block, int32_t sample, uint32_t kind) {
  return (int)vbl_philox_below(key_of(s), (uint64_t)n, draw, block, (uint32_t)sample, kind);
}

static float uniform(const vbl_scenes *s, float low, float high, uint32_t draw, uint32_t block, int32_t sample) {
  return low + (high - low) * (float)vbl_philox_uniform(key_of(s), draw, block, (uint32_t)sample, DRAW_JITTER);
}

static vbl_object draw_object(const vbl_scenes *s, int32_t sample, uint32_t which) {
  return (vbl_object){below(s, VBL_COLORS, 0, which, sample, DRAW_SCENE), below(s, VBL_SHAPES, 1, which, sample, DRAW_SCENE),
                      below(s, VBL_SIZES, 2, which, sample, DRAW_SCENE), below(s, VBL_PLACES, 3, which, sample, DRAW_SCENE)};
}

vbl_scene vbl_scenes_describe(const vbl_scenes *s, int32_t sample) {
  vbl_scene scene = {s->objects, {draw_object(s, sample, 0), {0}}};
  if (s->objects == 1) return scene;
  vbl_object first = scene.object[0], second = draw_object(s, sample, 1);
  second.place = (first.place + 1 + below(s, VBL_PLACES - 1, 4, 1, sample, DRAW_SCENE)) % VBL_PLACES;
  if (second.color == first.color && second.shape == first.shape)
    second.color = (first.color + 1 + below(s, VBL_COLORS - 1, 5, 1, sample, DRAW_SCENE)) % VBL_COLORS;
  scene.object[1] = second;
  return scene;
}

int vbl_scenes_change(const vbl_scenes *s, vbl_scene *scene, int32_t sample, uint32_t draw) {
  vbl_object *o = &scene->object[below(s, scene->objects, draw, 0, sample, DRAW_CHANGE)];
  int *attribute[4] = {&o->color, &o->shape, &o->size, &o->place};
  const int values[4] = {VBL_COLORS, VBL_SHAPES, VBL_SIZES, VBL_PLACES};
  int which = below(s, 4, draw, 1, sample, DRAW_CHANGE);
  *attribute[which] = (*attribute[which] + 1 + below(s, values[which] - 1, draw, 2, sample, DRAW_CHANGE)) % values[which];
  return which;
}

// Signed distance from the shape's edge in pixels, negative inside; (x, y) from its centre, r its radius. Exact for the circle
// and inside the others; near enough outside for an edge one pixel wide.
static float distance(int shape, float x, float y, float r) {
  float ax = fabsf(x), ay = fabsf(y), side;
  switch (shape) {
    case 0:  // circle
      return sqrtf(x * x + y * y) - r;
    case 1:  // square
      return fmaxf(ax, ay) - 0.88f * r;
    case 2:                                           // triangle, one corner up: a horizontal base and two sides of slope 2
      side = (2 * ax + y - 0.95f * r) * 0.44721360f;  // 1 / sqrt(5)
      return fmaxf(side, y - 0.85f * r);
    default:  // cross
      return fminf(fmaxf(ax - 0.34f * r, ay - r), fmaxf(ay - 0.34f * r, ax - r));
  }
}

// red, green, blue, yellow, purple, orange, cyan, white
static const float palette[VBL_COLORS][3] = {{215, 40, 40},  {40, 170, 50},  {45, 70, 220},  {225, 215, 50},
                                             {140, 45, 170}, {240, 135, 25}, {50, 205, 215}, {240, 240, 240}};

// One object over `image`, planes of floats (3, S, S).
static void draw_one(const vbl_scenes *s, int32_t sample, uint32_t which, const vbl_object *o, float *image) {
  int size = s->image_size;
  float S = (float)size, cell = S / 3, color[3] = {0};
  int column = o->place % 3, line = o->place / 3;
  float cx = cell * ((float)column + 0.5f) + uniform(s, -0.03f, 0.03f, 0, which, sample) * S;
  float cy = cell * ((float)line + 0.5f) + uniform(s, -0.03f, 0.03f, 1, which, sample) * S;
  float r = S * (o->size == 0 ? 0.075f : 0.14f) * uniform(s, 0.88f, 1.12f, 2, which, sample);
  for (uint32_t c = 0; c < 3; c++) color[c] = palette[o->color][c] + uniform(s, -20, 20, 3 + c, which, sample);
  for (int y = 0; y < size; y++) {
    for (int x = 0; x < size; x++) {
      float cover = 0.5f - distance(o->shape, (float)x + 0.5f - cx, (float)y + 0.5f - cy, r);
      if (cover <= 0) continue;
      if (cover > 1) cover = 1;
      for (int c = 0; c < 3; c++) {
        float *p = image + (c * size + y) * size + x;
        *p += cover * (color[c] - *p);
      }
    }
  }
}

// Uniform noise of +-16 levels on every channel of every pixel: one Philox block gives 16 bytes.
static void add_noise(const vbl_scenes *s, int32_t sample, const float *image, int n, uint8_t *out) {
  for (int i = 0; i < n; i += 16) {
    vbl_u32x4 r = vbl_philox(key_of(s), (uint32_t)(i / 16), 0, (uint32_t)sample, DRAW_NOISE);
    for (int k = 0; k < 16 && i + k < n; k++) {
      float noise = ((float)(r.v[k / 4] >> (8 * (k % 4)) & 255) - 127.5f) * (16.0f / 127.5f);
      float v = image[i + k] + noise;
      out[i + k] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5f);
    }
  }
}

vbl_status vbl_scenes_draw(const vbl_scenes *s, int32_t sample, uint8_t *chw, vbl_error *err) {
  int plane = s->image_size * s->image_size;
  float *image = calloc(3 * (size_t)plane, sizeof *image);
  if (image == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a scene of %d x %d", s->image_size, s->image_size);
  vbl_scene scene = vbl_scenes_describe(s, sample);
  float gray = uniform(s, 50, 120, 0, 2, sample);
  for (int c = 0; c < 3; c++) {
    float level = gray + uniform(s, -12, 12, 1 + (uint32_t)c, 2, sample);
    for (int i = 0; i < plane; i++) image[c * plane + i] = level;
  }
  for (int i = 0; i < scene.objects; i++) draw_one(s, sample, (uint32_t)i, &scene.object[i], image);
  add_noise(s, sample, image, 3 * plane, chw);
  free(image);
  return VBL_OK;
}
