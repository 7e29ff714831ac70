// The grammar of the built-in data set, and the data set as a source.
// defines: vbl_scenes_{text,words,source,source_free}
#include <stdio.h>
#include <stdlib.h>

#include "core/base/philox.h"
#include "core/data/scenes.h"

enum { DRAW_TEXT = 16 };  // the Philox counter's last number; those of scenes.c are below

static const char *const sizes[VBL_SIZES][3] = {{"small", "little", "tiny"}, {"large", "big", "huge"}};
static const char *const *const colors = vbl_scenes_answers;
static const char *const *const shapes = vbl_scenes_answers + VBL_COLORS;
static const char *const *const places = vbl_scenes_answers + VBL_COLORS + VBL_SHAPES + VBL_SIZES;
// $A article and adjectives: "a small red circle"; $P place; $S size; $C colour; $H shape; $R relation; $B the second object.
static const char *const templates[] = {"$A at the $P",
                                        "there is $A at the $P",
                                        "at the $P there is $A",
                                        "the $P of the picture shows $A",
                                        "a picture of $A , at the $P",
                                        "one $S $H at the $P , and it is $C",
                                        "at the $P , one $C $H that is $S",
                                        "the $H at the $P is $S and $C",
                                        "$A can be seen in the $P"};
static const char *const pair_templates[] = {"$A at the $P , $R $B", "$A $R $B , at the $P",
                                             "there is $A at the $P and it is $R $B", "the $P of the picture shows $A , $R $B"};

const char *vbl_scenes_words(void) {
  return "red green blue yellow purple orange cyan white circle square triangle cross small little tiny large big huge top left "
         "right center bottom at the there is a of picture shows one and it that can be seen in above below to , . what where "
         "color shape size object ?";
}

// How the first object lies to the second: the axis on which they are further apart; vertical where equal.
static const char *relation(const vbl_object *a, const vbl_object *b) {
  int dx = a->place % 3 - b->place % 3, dy = a->place / 3 - b->place / 3;
  if (abs(dy) >= abs(dx)) return dy < 0 ? "above" : "below";
  return dx < 0 ? "to the left of" : "to the right of";
}

static vbl_status phrase(const vbl_object *o, const char *size, vbl_bytes *out, vbl_error *err) {
  const char *parts[] = {"a ", size, " ", colors[o->color], " ", shapes[o->shape]};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) VBL_TRY(vbl_bytes_add_text(out, parts[i], err));
  return VBL_OK;
}

static vbl_status fill(const char *form, const vbl_scene *scene, const char *const size[2], vbl_bytes *out, vbl_error *err) {
  const vbl_object *a = &scene->object[0], *b = &scene->object[1];
  for (const char *at = form; *at != 0; at++) {
    vbl_status status = VBL_OK;
    if (*at != '$') {
      VBL_TRY(vbl_bytes_add(out, at, 1, err));
      continue;
    }
    switch (*++at) {
      case 'A':
        status = phrase(a, size[0], out, err);
        break;
      case 'B':
        status = phrase(b, size[1], out, err);
        break;
      case 'P':
        status = vbl_bytes_add_text(out, places[a->place], err);
        break;
      case 'S':
        status = vbl_bytes_add_text(out, size[0], err);
        break;
      case 'C':
        status = vbl_bytes_add_text(out, colors[a->color], err);
        break;
      case 'H':
        status = vbl_bytes_add_text(out, shapes[a->shape], err);
        break;
      default:
        status = vbl_bytes_add_text(out, relation(a, b), err);
        break;
    }
    VBL_TRY(status);
  }
  return VBL_OK;
}

vbl_status vbl_scenes_text(const vbl_scenes *s, const vbl_scene *scene, int32_t sample, int32_t caption, vbl_bytes *out,
                           vbl_error *err) {
  vbl_philox_key key = {s->seed, VBL_STREAM_SCENES};
  vbl_u32x4 r = vbl_philox(key, (uint32_t)caption, 0, (uint32_t)sample, DRAW_TEXT);
  const char *size[2] = {sizes[scene->object[0].size][r.v[0] % 3], sizes[scene->object[1].size][r.v[1] % 3]};
  const char *form = scene->objects == 1 ? templates[r.v[2] % (sizeof templates / sizeof *templates)]
                                         : pair_templates[r.v[2] % (sizeof pair_templates / sizeof *pair_templates)];
  return fill(form, scene, size, out, err);
}

// --- the source ---

typedef struct scenes_source {
  vbl_scenes scenes;
  const vbl_vocabulary *vocabulary;
  int32_t max_tokens;
} scenes_source;

static int32_t source_captions(const void *self, int32_t sample) {
  (void)self;
  (void)sample;
  return VBL_SCENE_CAPTIONS;
}

static vbl_status source_text(const void *self, int32_t sample, int32_t caption, vbl_bytes *out, vbl_error *err) {
  const scenes_source *s = self;
  if (s->scenes.questions) return vbl_scenes_question(&s->scenes, sample, caption, out, err);
  vbl_scene scene = vbl_scenes_describe(&s->scenes, sample);
  return vbl_scenes_text(&s->scenes, &scene, sample, caption, out, err);
}

static vbl_status source_tokens(const void *self, int32_t sample, int32_t caption, vbl_token_list *out, vbl_error *err) {
  const scenes_source *s = self;
  vbl_bytes text = {0};
  bool truncated;
  vbl_status status = source_text(self, sample, caption, &text, err);
  if (status == VBL_OK) status = vbl_encode(s->vocabulary, (const char *)text.data, text.size, s->max_tokens, out, &truncated, err);
  vbl_bytes_free(&text);
  return status;
}

static vbl_status source_image(const void *self, int32_t sample, uint8_t *chw, vbl_error *err) {
  return vbl_scenes_draw(&((const scenes_source *)self)->scenes, sample, chw, err);
}

// All phrasings of equal scenes say the same.
static uint64_t source_text_key(const void *self, int32_t sample, int32_t caption) {
  (void)caption;
  vbl_scene scene = vbl_scenes_describe(&((const scenes_source *)self)->scenes, sample);
  return vbl_hash_bytes(VBL_HASH_START, scene.object, sizeof scene.object);
}

static vbl_label source_label(const void *self, int32_t sample) {
  static const int32_t number[VBL_SCENE_ANSWERS] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                                    12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22};
  return (vbl_label){1, number + vbl_scenes_answer(&((const scenes_source *)self)->scenes, sample), NULL};
}

static vbl_status source_id(const void *self, int32_t sample, vbl_bytes *out, vbl_error *err) {
  (void)self;
  char name[32];
  snprintf(name, sizeof name, "scene-%d", sample);
  return vbl_bytes_add_text(out, name, err);
}

vbl_status vbl_scenes_source(const vbl_scenes *s, int32_t samples, int32_t max_tokens, const vbl_vocabulary *v, vbl_source *out,
                             vbl_error *err) {
  if (s->image_size < 16 || s->image_size > 1024)
    return vbl_fail(err, VBL_EINVAL, "scenes: image = %d; expected 16 to 1024", s->image_size);
  if (s->objects < 1 || s->objects > 2) return vbl_fail(err, VBL_EINVAL, "scenes: objects = %d; expected 1 or 2", s->objects);
  if (samples < 1) return vbl_fail(err, VBL_EINVAL, "scenes: %d samples; expected at least 1", samples);
  if (max_tokens < VBL_SCENE_TOKENS)
    return vbl_fail(err, VBL_EINVAL, "scenes: max_tokens = %d; expected at least %d", max_tokens, VBL_SCENE_TOKENS);
  scenes_source *self = malloc(sizeof *self);
  if (self == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for the data set");
  *self = (scenes_source){*s, v, max_tokens};
  *out = (vbl_source){.self = self,
                      .samples = samples,
                      .image_size = s->image_size,
                      .max_tokens = max_tokens,
                      .vocabulary = v,
                      .captions = source_captions,
                      .tokens = source_tokens,
                      .text = source_text,
                      .image = source_image,
                      .text_key = source_text_key,
                      .id = source_id};
  if (s->questions) {
    out->label_kind = VBL_LABEL_CLASS;
    out->classes = VBL_SCENE_ANSWERS;
    out->class_name = vbl_scenes_answers;
    out->label = source_label;
  }
  // cppcheck-suppress memleak ; vbl_scenes_source_free frees it
  return VBL_OK;
}

void vbl_scenes_source_free(vbl_source *source) {
  free(source->self);
  *source = (vbl_source){0};
}
