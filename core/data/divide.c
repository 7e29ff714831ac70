// Dividing a view by image.
// defines: vbl_view_divide
#include "core/data/divide.h"

#include <stdlib.h>

#include "core/base/philox.h"

typedef struct place {
  uint64_t image;
  int32_t at;  // in the view
} place;

static int by_image(const void *a_, const void *b_) {
  const place *a = a_, *b = b_;
  if (a->image != b->image) return a->image < b->image ? -1 : 1;
  return a->at < b->at ? -1 : a->at > b->at;
}

static vbl_status draw(const vbl_source *s, int32_t sample, double share, bool *held, vbl_error *err) {
  vbl_bytes id = {0};
  vbl_status status = s->id(s->self, sample, &id, err);
  const uint64_t h = vbl_hash_bytes(VBL_HASH_START, id.data, id.size);
  vbl_bytes_free(&id);
  // The third counter keeps this draw apart from the one that divides off a test split (records_split.c).
  *held = vbl_philox_uniform((vbl_philox_key){0, VBL_STREAM_SPLIT}, (uint32_t)h, (uint32_t)(h >> 32), 1, 0) < share;
  return status;
}

// side[i]: whether sample i of the view is held out.
static vbl_status draw_all(const vbl_view *view, double share, place *list, bool *side, vbl_error *err) {
  const vbl_source *s = view->source;
  for (int32_t i = 0; i < view->n; i++)
    list[i] = (place){s->image_key == NULL ? (uint64_t)view->sample[i] : s->image_key(s->self, view->sample[i]), i};
  qsort(list, (size_t)view->n, sizeof *list, by_image);
  for (int32_t i = 0; i < view->n; i++) {
    if (i > 0 && list[i].image == list[i - 1].image)
      side[list[i].at] = side[list[i - 1].at];
    else
      VBL_TRY(draw(s, view->sample[list[i].at], share, &side[list[i].at], err));
  }
  return VBL_OK;
}

vbl_status vbl_view_divide(const vbl_view *view, double share, int32_t *kept, int32_t *kept_count, int32_t *held,
                           int32_t *held_count, vbl_error *err) {
  *kept_count = *held_count = 0;
  place *list = malloc((size_t)view->n * sizeof *list + 1);
  bool *side = malloc((size_t)view->n * sizeof *side + 1);
  vbl_status status = list == NULL || side == NULL
                          ? vbl_fail(err, VBL_ENOMEM, "out of memory for a division of %d samples", view->n)
                          : draw_all(view, share, list, side, err);
  for (int32_t i = 0; status == VBL_OK && i < view->n; i++) {
    if (side[i])
      held[(*held_count)++] = view->sample[i];
    else
      kept[(*kept_count)++] = view->sample[i];
  }
  free(list);
  free(side);
  if (status == VBL_OK && (*kept_count == 0 || *held_count == 0))
    return vbl_fail(err, VBL_EINVAL, "a share of %g held out of %d samples leaves %d and %d; both parts need some", share, view->n,
                    *kept_count, *held_count);
  return status;
}
