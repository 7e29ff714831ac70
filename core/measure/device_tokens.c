// defines: vbl_device_tokens
#include <math.h>
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/device_memory.h"
#include "core/measure/tokens.h"

enum { TOGETHER = 64 };  // samples of one call

// One side's tokens; norms of 0 are those left out: past the length, CLS, without a direction.
typedef struct side {
  const vbl_tokens *x;
  double *norm, *device_norm;  // (b, t)
  int64_t *valid;              // (b) tokens that count, -1: NaN or Inf among them
  double *best, *device_best;  // (TOGETHER, t)
} side;

static void free_side(const side *s, const vbl_backend *b) {
  free(s->norm);
  free(s->valid);
  free(s->best);
  b->free(s->device_norm, 0);
  b->free(s->device_best, 0);
}

static vbl_status take_side(side *s, const vbl_backend *b, vbl_error *err) {
  const size_t tokens = (size_t)(s->x->b * s->x->t), best = sizeof(double) * TOGETHER * (size_t)s->x->t;
  s->norm = malloc(sizeof *s->norm * tokens);
  s->valid = calloc((size_t)s->x->b, sizeof *s->valid);
  s->best = malloc(best);
  if (s->norm == NULL || s->valid == NULL || s->best == NULL) return vbl_fail(err, VBL_ENOMEM, "max_sim: out of memory");
  VBL_TRY(vbl_device_take(b, sizeof *s->norm * tokens, "max_sim", (void **)&s->device_norm, err));
  return vbl_device_take(b, best, "max_sim", (void **)&s->device_best, err);
}

static void note_token(side *s, bool skip_cls, int64_t sample, int64_t t, double norm2) {
  const int64_t length = s->x->lengths != NULL ? s->x->lengths[sample] : s->x->t;
  const bool counts = t >= (skip_cls ? 1 : 0) && t < length;
  double *norm = &s->norm[sample * s->x->t + t];
  *norm = counts && isfinite(norm2) ? sqrt(norm2) : 0;
  if (counts && !isfinite(norm2)) s->valid[sample] = -1;
  if (*norm > 0 && s->valid[sample] >= 0) s->valid[sample]++;
}

// Lengths of all tokens, from the device and, with 0 for those left out, back.
static vbl_status measure_side(side *s, const vbl_backend *b, bool skip_cls, vbl_error *err) {
  const int64_t n = s->x->b * s->x->t, d = s->x->d;
  double *zero = calloc((size_t)d, sizeof *zero), *mean = NULL;
  vbl_row_facts *facts = malloc(sizeof *facts * (size_t)n), *device = NULL;
  vbl_status status = zero == NULL || facts == NULL ? vbl_fail(err, VBL_ENOMEM, "max_sim: out of memory") : VBL_OK;
  if (status == VBL_OK) status = vbl_device_take(b, sizeof *zero * (size_t)d, "max_sim", (void **)&mean, err);
  if (status == VBL_OK) status = vbl_device_take(b, sizeof *facts * (size_t)n, "max_sim", (void **)&device, err);
  if (status == VBL_OK) {
    b->from_host(mean, zero, sizeof *zero * (size_t)d, NULL);
    b->measure->row_facts(vbl_tensor_data(s->x->device), mean, n, d, device, NULL);
    b->to_host(facts, device, sizeof *facts * (size_t)n, NULL);
    status = b->sync(NULL, err);
  }
  for (int64_t i = 0; status == VBL_OK && i < n; i++) note_token(s, skip_cls, i / s->x->t, i % s->x->t, facts[i].norm2);
  if (status == VBL_OK) b->from_host(s->device_norm, s->norm, sizeof *s->norm * (size_t)n, NULL);
  b->free(mean, 0);
  b->free(device, 0);
  free(zero);
  free(facts);
  return status;
}

// Mean over the tokens of `sample` that count of their best, which are at place q.
static double mean_best(const side *s, int64_t sample, int64_t q) {
  double sum = 0;
  for (int64_t t = 0; t < s->x->t; t++)
    if (s->norm[sample * s->x->t + t] > 0) sum += s->best[q * s->x->t + t];
  return sum / (double)s->valid[sample];
}

static void add_sample(const side *text, const side *vision, int64_t bt, int64_t bv, int64_t q, vbl_token_totals *sum) {
  if (text->valid[bt] < 0 && sum->bad_text < 0) sum->bad_text = bt;
  if (vision->valid[bv] < 0 && sum->bad_vision < 0) sum->bad_vision = bv;
  if (text->valid[bt] <= 0 || vision->valid[bv] <= 0) return;
  sum->tp += mean_best(text, bt, q);
  sum->pt += mean_best(vision, bv, q);
  sum->samples++;
}

// Pairs first .. first + count. device: room for their samples.
static vbl_status run(const side *text, const side *vision, const vbl_backend *b, const vbl_token_pairs *pairs, int64_t first,
                      int64_t count, int32_t *device, vbl_token_totals *sum, vbl_error *err) {
  int32_t sample[2 * TOGETHER];
  for (int64_t q = 0; q < count; q++) {
    sample[2 * q] = (int32_t)((first + q) * pairs->step);
    sample[2 * q + 1] = (int32_t)(((first + q) * pairs->step + pairs->shift) % vision->x->b);
  }
  const vbl_token_rows left = {vbl_tensor_data(text->x->device), text->device_norm, text->x->t};
  const vbl_token_rows right = {vbl_tensor_data(vision->x->device), vision->device_norm, vision->x->t};
  b->from_host(device, sample, sizeof sample[0] * 2 * (size_t)count, NULL);
  b->measure->best_cosines(&left, &right, device, count, text->x->d, text->device_best, vision->device_best, NULL);
  b->to_host(text->best, text->device_best, sizeof *text->best * (size_t)(count * text->x->t), NULL);
  b->to_host(vision->best, vision->device_best, sizeof *vision->best * (size_t)(count * vision->x->t), NULL);
  VBL_TRY(b->sync(NULL, err));
  for (int64_t q = 0; q < count; q++) add_sample(text, vision, sample[2 * q], sample[2 * q + 1], q, sum);
  return vbl_interrupt_check(err);
}

vbl_status vbl_device_tokens(const vbl_tokens *text, const vbl_tokens *vision, bool skip_cls, const vbl_token_pairs *pairs,
                             vbl_token_totals *sum, vbl_error *err) {
  const vbl_backend *b = text->device->storage->backend;
  side left = {.x = text}, right = {.x = vision};
  int32_t *sample = NULL;
  *sum = (vbl_token_totals){.bad_text = -1, .bad_vision = -1};
  vbl_status status = take_side(&left, b, err);
  if (status == VBL_OK) status = take_side(&right, b, err);
  if (status == VBL_OK) status = vbl_device_take(b, sizeof *sample * 2 * TOGETHER, "max_sim", (void **)&sample, err);
  if (status == VBL_OK) status = measure_side(&left, b, skip_cls, err);
  if (status == VBL_OK) status = measure_side(&right, b, skip_cls, err);
  for (int64_t first = 0; status == VBL_OK && first < pairs->count; first += TOGETHER)
    status =
        run(&left, &right, b, pairs, first, pairs->count - first < TOGETHER ? pairs->count - first : TOGETHER, sample, sum, err);
  b->free(sample, 0);
  free_side(&left, b);
  free_side(&right, b);
  return status;
}
