// Batches, item by item.
// defines: vbl_batch_{fill,free}, vbl_bad_images_{init,free}, vbl_making_{new,start,item,finish,free}
#include "core/data/batch.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/interrupt.h"
#include "core/data/corrupt.h"

void vbl_batch_free(vbl_batch *b) {
  free(b->tokens);
  free(b->lengths);
  free(b->images);
  free(b->index);
  *b = (vbl_batch){0};
}

vbl_status vbl_bad_images_init(vbl_bad_images *bad, const vbl_source *source, int64_t allowed, vbl_error *err) {
  *bad = (vbl_bad_images){.allowed = allowed, .seen = calloc((size_t)source->samples, 1)};
  return bad->seen != NULL ? VBL_OK : vbl_fail(err, VBL_ENOMEM, "out of memory for %d samples", source->samples);
}

void vbl_bad_images_free(vbl_bad_images *bad) {
  free(bad->seen);
  vbl_bytes_free(&bad->report);
  *bad = (vbl_bad_images){0};
}

// Notes what item b met. The order of the notes is that of batches and items, whoever made them.
static vbl_status count_bad(const vbl_source *s, const vbl_bytes *met, vbl_bad_images *bad, vbl_error *err) {
  for (const uint8_t *at = met->data, *end = at + met->size; at < end; at += strlen((const char *)at) + 1) {
    int32_t sample;
    memcpy(&sample, at, sizeof sample);
    at += sizeof sample;
    if (bad->seen[sample]) continue;
    bad->seen[sample] = 1;
    bad->count++;
    VBL_TRY(vbl_bytes_add(&bad->report, "image ", 6, err));
    VBL_TRY(s->id(s->self, sample, &bad->report, err));
    VBL_TRY(vbl_bytes_add(&bad->report, ": ", 2, err));
    VBL_TRY(vbl_bytes_add(&bad->report, at, strlen((const char *)at), err));
    VBL_TRY(vbl_bytes_add(&bad->report, "; replaced by the next\n", 23, err));
    if (bad->count > bad->allowed)
      return vbl_fail(err, VBL_EIO, "%lld images failed to decode, more than max_bad allows (%lld); the last: %s",
                      (long long)bad->count, (long long)bad->allowed, (const char *)at);
  }
  return VBL_OK;
}

static vbl_status check_indices(const vbl_view *view, const int32_t *index, int32_t n, const char *what, vbl_error *err) {
  for (int32_t b = 0; b < n; b++)
    if (index[b] < 0 || index[b] >= view->n)
      return vbl_fail(err, VBL_EINVAL, "%s[%d] = %d; expected 0 to %d (indices of the split, from 0)", what, b + 1, index[b],
                      view->n - 1);
  return VBL_OK;
}

vbl_status vbl_making_new(const vbl_view *view, const vbl_request *r, vbl_making *m, vbl_error *err) {
  *m = (vbl_making){.B = r->n, .seed = r->seed, .epoch = r->epoch, .caption = r->caption, .with_images = r->images};
  m->some = r->images && r->wanted != NULL;
  if (r->n < 1) return vbl_fail(err, VBL_EINVAL, "a batch of %d samples; expected at least 1", r->n);
  VBL_TRY(check_indices(view, r->index, r->n, "indices", err));
  if (r->from != NULL) VBL_TRY(check_indices(view, r->from, r->n, "captions_from", err));
  size_t bytes = (size_t)r->n * sizeof *m->index;
  m->index = malloc(bytes);
  m->from = malloc(bytes);
  m->row = malloc(bytes);
  if (m->index == NULL || m->from == NULL || m->row == NULL) {
    vbl_making_free(m);
    return vbl_fail(err, VBL_ENOMEM, "out of memory for a batch of %d", r->n);
  }
  memcpy(m->index, r->index, bytes);
  memcpy(m->from, r->from != NULL ? r->from : r->index, bytes);
  for (int32_t b = 0; b < r->n; b++) m->row[b] = r->images && (!m->some || r->wanted[b]) ? m->pictures++ : -1;
  return VBL_OK;
}

static size_t image_bytes(const vbl_view *view) { return 3 * (size_t)view->source->image_size * (size_t)view->source->image_size; }

vbl_status vbl_making_start(const vbl_view *view, vbl_making *m, vbl_error *err) {
  size_t B = (size_t)m->B;
  m->tokens = malloc(B * (size_t)view->source->max_tokens * sizeof *m->tokens);
  m->lengths = calloc(B, sizeof *m->lengths);
  m->bad = calloc(B, sizeof *m->bad);
  if (m->with_images) m->images = malloc((size_t)m->pictures * image_bytes(view) + 1);
  if (m->tokens != NULL && m->lengths != NULL && m->bad != NULL && (m->images != NULL || !m->with_images)) return VBL_OK;
  return vbl_fail(err, VBL_ENOMEM, "out of memory for a batch of %d images of %d x %d", m->pictures, view->source->image_size,
                  view->source->image_size);
}

// The image of item b, from its sample or the next good one; *shown is whose it is.
static vbl_status make_image(const vbl_view *view, vbl_making *m, int32_t b, int32_t *shown, vbl_error *err) {
  const vbl_source *s = view->source;
  uint8_t *chw = m->images + (size_t)m->row[b] * image_bytes(view);
  for (int32_t tried = 0; tried < view->n; tried++) {
    vbl_error why;
    *shown = (int32_t)(((int64_t)m->index[b] + tried) % view->n);
    if (tried > 0 && *shown == m->from[b]) continue;
    int32_t sample = view->sample[*shown];
    vbl_status status = s->image(s->self, sample, chw, &why);
    if (status == VBL_OK) return VBL_OK;
    if (status == VBL_ENOMEM || status == VBL_EINTERRUPT) return vbl_fail(err, status, "%s", why.message);
    VBL_TRY(vbl_bytes_add(&m->bad[b], &sample, sizeof sample, err));
    VBL_TRY(vbl_bytes_add(&m->bad[b], why.message, strlen(why.message) + 1, err));
  }
  return vbl_fail(err, VBL_EIO, "none of the %d images of the split can be decoded", view->n);
}

vbl_status vbl_making_item(const vbl_view *view, vbl_making *m, int32_t b, vbl_error *err) {
  const vbl_source *s = view->source;
  int32_t shown = m->index[b], from = m->from[b];
  vbl_token_list tokens = {0};
  if (m->row[b] >= 0) VBL_TRY(make_image(view, m, b, &shown, err));
  int32_t sample = view->sample[from == m->index[b] ? shown : from];
  m->index[b] = shown;
  int32_t n = s->captions(s->self, sample);
  int32_t caption = m->caption > 0 ? (m->caption - 1) % n : vbl_caption_choice(m->seed, m->epoch, sample, n);
  vbl_status status = s->tokens(s->self, sample, caption, &tokens, err);
  if (status == VBL_OK) {
    memcpy(m->tokens + (size_t)b * (size_t)s->max_tokens, tokens.id, (size_t)tokens.size * sizeof *tokens.id);
    m->lengths[b] = tokens.size;
  }
  vbl_token_list_free(&tokens);
  return status;
}

vbl_status vbl_making_finish(const vbl_view *view, vbl_making *m, vbl_bad_images *bad, vbl_batch *out, vbl_error *err) {
  int32_t T = 1, pad = vbl_vocabulary_special(view->source->vocabulary, VBL_PAD);
  bool replaced = false;
  for (int32_t b = 0; b < m->B; b++) {
    if (!m->some) VBL_TRY(count_bad(view->source, &m->bad[b], bad, err));
    replaced = replaced || (m->some && m->bad[b].size > 0);
    if (m->lengths[b] > T) T = m->lengths[b];
  }
  // In place: rows only move forward, to a smaller stride.
  for (int32_t b = 0; b < m->B; b++) {
    int32_t *row = m->tokens + (size_t)b * (size_t)T;
    memmove(row, m->tokens + (size_t)b * (size_t)view->source->max_tokens, (size_t)m->lengths[b] * sizeof *row);
    for (int32_t t = m->lengths[b]; t < T; t++) row[t] = pad;
  }
  *out = (vbl_batch){m->B, T, view->source->image_size, m->tokens, m->lengths, m->pictures, m->images, m->index, replaced};
  m->tokens = m->lengths = m->index = NULL;
  m->images = NULL;
  return VBL_OK;
}

void vbl_making_free(vbl_making *m) {
  for (int32_t b = 0; m->bad != NULL && b < m->B; b++) vbl_bytes_free(&m->bad[b]);
  free(m->bad);
  free(m->index);
  free(m->from);
  free(m->row);
  free(m->tokens);
  free(m->lengths);
  free(m->images);
  *m = (vbl_making){0};
}

// All threads make items. Of those that fail the first of the batch counts, whichever came first in time.
static vbl_status make_items(const vbl_view *view, vbl_making *m, vbl_error *err) {
  int32_t failed = m->B;
  vbl_status status = VBL_OK;
#pragma omp parallel for schedule(dynamic)
  for (int32_t b = 0; b < m->B; b++) {
    vbl_error why;
    int32_t first;
#pragma omp atomic read
    first = failed;
    if (b > first) continue;
    vbl_status made = vbl_interrupt_check(&why);
    if (made == VBL_OK) made = vbl_making_item(view, m, b, &why);
    if (made == VBL_OK) continue;
#pragma omp critical(vbl_batch_failed)
    if (b < failed) {
#pragma omp atomic write
      failed = b;
      status = made;
      *err = why;
    }
  }
  return status;
}

vbl_status vbl_batch_fill(const vbl_view *view, const vbl_request *request, vbl_bad_images *bad, vbl_batch *out, vbl_error *err) {
  vbl_making m;
  *out = (vbl_batch){0};
  VBL_TRY(vbl_making_new(view, request, &m, err));
  vbl_status status = vbl_making_start(view, &m, err);
  if (status == VBL_OK) status = make_items(view, &m, err);
  if (status == VBL_OK) status = vbl_making_finish(view, &m, bad, out, err);
  vbl_making_free(&m);
  return status;
}
