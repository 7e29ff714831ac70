// The built-in data set: coloured shapes on a noisy ground, and captions from a small grammar, all drawn from (seed, sample).
// A sample is the same on every machine, with any number of threads, and whatever else was drawn before.
// defines: vbl_scenes, vbl_scene, vbl_object, vbl_scenes_{describe,draw,text,change,words,question,answer,answers,source}
#pragma once
#include "core/data/source.h"

enum {
  VBL_COLORS = 8,
  VBL_SHAPES = 4,
  VBL_SIZES = 2,
  VBL_PLACES = 9,
  VBL_SCENE_ANSWERS = VBL_COLORS + VBL_SHAPES + VBL_SIZES + VBL_PLACES,
  VBL_SCENE_CAPTIONS = 5,
  VBL_SCENE_TOKENS = 40
};  // no phrasing has more tokens

typedef struct vbl_object {
  int color, shape, size, place;  // indices below VBL_COLORS, VBL_SHAPES, VBL_SIZES, VBL_PLACES
} vbl_object;

typedef struct vbl_scene {
  int objects;  // 1 or 2
  vbl_object object[2];
} vbl_scene;

typedef struct vbl_scenes {
  uint32_t seed;
  int image_size;  // S, 16 to 1024
  int objects;     // 1, or 2: two objects in different places, told apart by colour or shape, and a relation in the caption
  bool questions;  // the texts are questions, the labels their answers
} vbl_scenes;

// What stands in a sample.
vbl_scene vbl_scenes_describe(const vbl_scenes *s, int32_t sample);

// The picture: (3, S, S) u8. Ground, colours, positions, sizes and every pixel are jittered; edges are antialiased.
vbl_status vbl_scenes_draw(const vbl_scenes *s, int32_t sample, uint8_t *chw, vbl_error *err);

// Appends phrasing `caption` (0 .. VBL_SCENE_CAPTIONS-1) of what the scene shows; the wording is drawn from (seed, sample,
// caption).
vbl_status vbl_scenes_text(const vbl_scenes *s, const vbl_scene *scene, int32_t sample, int32_t caption, vbl_bytes *out,
                           vbl_error *err);

// A hard negative: *scene with one attribute of one object changed to another value, drawn from (seed, sample, draw). Returns
// which: 0 colour, 1 shape, 2 size, 3 place.
int vbl_scenes_change(const vbl_scenes *s, vbl_scene *scene, int32_t sample, uint32_t draw);

// The question of a sample (which attribute of which object is drawn from (seed, sample)) in phrasing 0 .. VBL_SCENE_CAPTIONS-1,
// appended; and its answer, 0 .. VBL_SCENE_ANSWERS-1: colours, shapes, sizes, places.
vbl_status vbl_scenes_question(const vbl_scenes *s, int32_t sample, int32_t phrasing, vbl_bytes *out, vbl_error *err);
int vbl_scenes_answer(const vbl_scenes *s, int32_t sample);
extern const char *const vbl_scenes_answers[VBL_SCENE_ANSWERS];

// Every word of the grammar, with blanks between: a vocabulary built from it is the same for all seeds and sizes.
const char *vbl_scenes_words(void);

// The data set with `samples` samples. The vocabulary stays the caller's and must outlive the source. VBL_EINVAL for sizes out
// of range. End it with vbl_scenes_source_free.
vbl_status vbl_scenes_source(const vbl_scenes *s, int32_t samples, int32_t max_tokens, const vbl_vocabulary *v, vbl_source *out,
                             vbl_error *err);
void vbl_scenes_source_free(vbl_source *source);
