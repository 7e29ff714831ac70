// Order, caption choice, masks and swaps.
// defines: vbl_epoch_order, vbl_caption_choice, vbl_mask_tokens, vbl_mask_patches, vbl_swap_captions
#include "core/data/corrupt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/philox.h"

static double unit(uint32_t high, uint32_t low) { return (double)((((uint64_t)high << 32) | low) >> 11) * 0x1p-53; }

void vbl_epoch_order(uint32_t seed, uint32_t epoch, int32_t n, int32_t *order) {
  vbl_philox_key key = {seed, VBL_STREAM_ORDER};
  for (int32_t i = 0; i < n; i++) order[i] = i;
  for (int32_t i = n - 1; i > 0; i--) {
    int32_t j = (int32_t)vbl_philox_below(key, (uint64_t)i + 1, 0, 0, (uint32_t)i, epoch), t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
}

int32_t vbl_caption_choice(uint32_t seed, uint32_t epoch, int32_t sample, int32_t captions) {
  vbl_philox_key key = {seed, VBL_STREAM_CAPTION};
  return (int32_t)vbl_philox_below(key, (uint64_t)captions, 0, 0, (uint32_t)sample, epoch);
}

void vbl_mask_tokens(const vbl_vocabulary *v, uint32_t seed, uint32_t step, double probability, int32_t B, int32_t T,
                     const int32_t *lengths, const int32_t *sample, int32_t *tokens, int32_t *labels) {
  vbl_philox_key key = {seed, VBL_STREAM_MLM};
  int32_t cls = vbl_vocabulary_special(v, VBL_CLS), sep = vbl_vocabulary_special(v, VBL_SEP), ordinaries;
  const int32_t *ordinary = vbl_vocabulary_ordinary(v, &ordinaries);
  for (int32_t b = 0; b < B; b++) {
    for (int32_t t = 0; t < T; t++) {
      int32_t *token = tokens + (int64_t)b * T + t, *label = labels + (int64_t)b * T + t;
      *label = VBL_IGNORE_LABEL;
      if (t >= lengths[b] || *token == cls || *token == sep) continue;
      // Draw 2t chooses and says what happens, draw 2t + 1 which token comes instead.
      vbl_u32x4 r = vbl_philox(key, 2 * (uint32_t)t, 0, (uint32_t)sample[b], step);
      if (unit(r.v[0], r.v[1]) >= probability) continue;
      *label = *token;
      double what = unit(r.v[2], r.v[3]);
      if (what < 0.8)
        *token = vbl_vocabulary_special(v, VBL_MASK);
      else if (what < 0.9)
        *token = ordinary[vbl_philox_below(key, (uint64_t)ordinaries, 2 * (uint32_t)t + 1, 0, (uint32_t)sample[b], step)];
    }
  }
}

void vbl_mask_patches(uint32_t seed, uint32_t step, double fraction, int32_t B, int32_t P, const int32_t *sample, uint8_t *mask) {
  vbl_philox_key key = {seed, VBL_STREAM_MIM};
  int32_t count = (int32_t)rint(fraction * P);
  if (count == 0 && fraction > 0) count = 1;
  memset(mask, 0, (size_t)B * (size_t)P);
  for (int32_t b = 0; b < B; b++, mask += P) {
    // Floyd's sampling without replacement (Bentley and Floyd, CACM 30, 1987): j runs over the last `count` positions.
    for (int32_t j = P - count; j < P; j++) {
      int32_t k = (int32_t)vbl_philox_below(key, (uint64_t)j + 1, (uint32_t)j, 0, (uint32_t)sample[b], step);
      mask[mask[k] ? j : k] = 1;
    }
  }
}

// Whether `other` shows another image, and its caption of the epoch says something else than every caption of `own`.
static bool differs(const vbl_view *view, uint32_t caption_seed, uint32_t epoch, int32_t own, int32_t other) {
  const vbl_source *s = view->source;
  int32_t a = view->sample[own], b = view->sample[other];
  if (vbl_source_same_image(s, a, b)) return false;
  uint64_t key = s->text_key(s->self, b, vbl_caption_choice(caption_seed, epoch, b, s->captions(s->self, b)));
  for (int32_t k = 0, n = s->captions(s->self, a); k < n; k++)
    if (s->text_key(s->self, a, k) == key) return false;
  return true;
}

// Draws until a partner fits; where equal texts abound, looks on from the last draw one by one. -1: nobody fits.
static int32_t partner(const vbl_view *view, uint32_t seed, uint32_t step, uint32_t caption_seed, uint32_t epoch, int32_t own) {
  enum { DRAWS = 64 };
  vbl_philox_key key = {seed, VBL_STREAM_AP};
  int32_t at = 0;
  for (uint32_t draw = 1; draw <= DRAWS; draw++) {
    at = (int32_t)vbl_philox_below(key, (uint64_t)view->n, draw, 0, (uint32_t)view->sample[own], step);
    if (differs(view, caption_seed, epoch, own, at)) return at;
  }
  for (int32_t i = 0; i < view->n; i++, at = (at + 1) % view->n)
    if (differs(view, caption_seed, epoch, own, at)) return at;
  return -1;
}

typedef struct ranked {
  double u;
  int32_t b;
} ranked;

static int by_draw(const void *x, const void *y) {
  const ranked *a = x, *b = y;
  return a->u != b->u ? (a->u > b->u) - (a->u < b->u) : (a->b > b->b) - (a->b < b->b);
}

// swapped (B): true at exactly share * B of the pairs; what is left of a pair is a coin's.
static vbl_status choose_swapped(const vbl_view *view, vbl_philox_key key, uint32_t step, double share, int32_t B,
                                 const int32_t *index, bool *swapped, vbl_error *err) {
  ranked *order = malloc((size_t)B * sizeof *order + 1);
  if (order == NULL) return vbl_fail(err, VBL_ENOMEM, "swap: out of memory");
  for (int32_t b = 0; b < B; b++) order[b] = (ranked){vbl_philox_uniform(key, 0, 0, (uint32_t)view->sample[index[b]], step), b};
  if (B > 0) qsort(order, (size_t)B, sizeof *order, by_draw);
  const int32_t whole = (int32_t)floor(share * B);
  const bool one_more = vbl_philox_uniform(key, 0, 1, 0, step) < share * B - whole;
  for (int32_t i = 0; i < B; i++) swapped[order[i].b] = i < whole + one_more;
  free(order);
  return VBL_OK;
}

static vbl_status fill_swaps(const vbl_view *view, uint32_t seed, uint32_t step, uint32_t caption_seed, uint32_t epoch, int32_t B,
                             const int32_t *index, const bool *swapped, int32_t *from, float *matched, vbl_error *err) {
  for (int32_t b = 0; b < B; b++) {
    from[b] = swapped[b] ? partner(view, seed, step, caption_seed, epoch, index[b]) : index[b];
    matched[b] = swapped[b] ? 0 : 1;
    if (from[b] < 0)
      return vbl_fail(err, VBL_EINVAL,
                      "swap: no sample of the %d has another image and a caption different from those of sample %d; expected at "
                      "least two different "
                      "texts and images",
                      view->n, index[b]);
  }
  return VBL_OK;
}

vbl_status vbl_swap_captions(const vbl_view *view, uint32_t seed, uint32_t step, uint32_t caption_seed, uint32_t epoch,
                             double share, int32_t B, const int32_t *index, int32_t *from, float *matched, vbl_error *err) {
  bool *swapped = malloc((size_t)B * sizeof *swapped + 1);
  if (swapped == NULL) return vbl_fail(err, VBL_ENOMEM, "swap: out of memory");
  vbl_status status = choose_swapped(view, (vbl_philox_key){seed, VBL_STREAM_AP}, step, share, B, index, swapped, err);
  if (status == VBL_OK) status = fill_swaps(view, seed, step, caption_seed, epoch, B, index, swapped, from, matched, err);
  free(swapped);
  return status;
}
