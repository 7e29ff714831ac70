// Questions about the pictures of the built-in data set, with one of 23 answers: a data set for fine-tuning that needs no files.
// The question alone tells which attribute is asked for, the picture alone what it shows: only both together give the answer.
// defines: vbl_scenes_answers, vbl_scenes_answer, vbl_scenes_question
#include <string.h>

#include "core/base/philox.h"
#include "core/data/scenes.h"

enum { DRAW_QUESTION = 17 };  // the Philox counter's last number; those of scenes.c and scenes_text.c are below

const char *const vbl_scenes_answers[VBL_SCENE_ANSWERS] = {"red",    "green", "blue",        "yellow", "purple",      "orange",
                                                           "cyan",   "white", "circle",      "square", "triangle",    "cross",
                                                           "small",  "large", "top left",    "top",    "top right",   "left",
                                                           "center", "right", "bottom left", "bottom", "bottom right"};

// By attribute (colour, shape, size, place); $O the object.
static const char *const forms[4][2] = {{"what color is $O ?", "what is the color of $O ?"},
                                        {"what shape is $O ?", "what is the shape of $O ?"},
                                        {"what size is $O ?", "what is the size of $O ?"},
                                        {"where is $O ?", "where in the picture is $O ?"}};

typedef struct question {
  int attribute;  // 0 colour, 1 shape, 2 size, 3 place
  vbl_object object;
} question;

static question describe(const vbl_scenes *s, int32_t sample) {
  vbl_u32x4 r = vbl_philox((vbl_philox_key){s->seed, VBL_STREAM_SCENES}, 0, 0, (uint32_t)sample, DRAW_QUESTION);
  vbl_scene scene = vbl_scenes_describe(s, sample);
  return (question){(int)(r.v[0] % 4), scene.object[r.v[1] % (uint32_t)scene.objects]};
}

int vbl_scenes_answer(const vbl_scenes *s, int32_t sample) {
  const question q = describe(s, sample);
  const int first[4] = {0, VBL_COLORS, VBL_COLORS + VBL_SHAPES, VBL_COLORS + VBL_SHAPES + VBL_SIZES};
  const int value[4] = {q.object.color, q.object.shape, q.object.size, q.object.place};
  return first[q.attribute] + value[q.attribute];
}

// Of two objects the one that is meant: by its place, or by colour and shape where its place is asked for.
static vbl_status subject(const vbl_scenes *s, const question *q, vbl_bytes *out, vbl_error *err) {
  const char *color = vbl_scenes_answers[q->object.color], *shape = vbl_scenes_answers[VBL_COLORS + q->object.shape],
             *place = vbl_scenes_answers[VBL_COLORS + VBL_SHAPES + VBL_SIZES + q->object.place];
  if (s->objects == 1) return vbl_bytes_add_text(out, "the object", err);
  const char *by_place[] = {"the object at the ", place}, *by_look[] = {"the ", color, " ", shape};
  if (q->attribute != 3)
    for (int i = 0; i < 2; i++) VBL_TRY(vbl_bytes_add_text(out, by_place[i], err));
  else
    for (int i = 0; i < 4; i++) VBL_TRY(vbl_bytes_add_text(out, by_look[i], err));
  return VBL_OK;
}

vbl_status vbl_scenes_question(const vbl_scenes *s, int32_t sample, int32_t phrasing, vbl_bytes *out, vbl_error *err) {
  const question q = describe(s, sample);
  const char *form = forms[q.attribute][phrasing % 2], *hole = strchr(form, '$');
  VBL_TRY(vbl_bytes_add(out, form, (size_t)(hole - form), err));
  VBL_TRY(subject(s, &q, out, err));
  return vbl_bytes_add_text(out, hole + 2, err);
}
