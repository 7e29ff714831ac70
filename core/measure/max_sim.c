// Best-match cosine between the tokens of a pair: text (b, t, d) against patches (b, p, d), each sample by itself.
// Zero tokens have no direction and are left out, as are tokens past a length; a sample left without tokens is skipped and counted.
// defines: vbl_max_sim
#include <math.h>
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/lapack.h"
#include "core/measure/result.h"
#include "core/measure/tokens.h"

// Scratch of one thread: unit tokens of one sample and their cosines.
typedef struct workspace {
  double *text, *vision, *cosine;  // (t, d), (p, d), (t, p)
} workspace;

// Unit rows of sample b's valid tokens into out; their number, or -1 when a number is NaN or Inf.
static int64_t unit_tokens(const vbl_tokens *x, int64_t b, bool skip_cls, double *out) {
  int64_t length = x->lengths != NULL ? x->lengths[b] : x->t, rows = 0;
  for (int64_t t = skip_cls ? 1 : 0; t < length; t++) {
    double *row = out + rows * x->d;
    int64_t at = b * x->stride_b + t * x->stride_t;
    for (int64_t j = 0; j < x->d; j++) row[j] = vbl_element(x->data, x->dtype, at + j * x->stride_d);
    double norm = sqrt(vbl_dot(row, row, x->d));
    if (!isfinite(norm)) return -1;
    if (norm == 0) continue;
    for (int64_t j = 0; j < x->d; j++) row[j] /= norm;
    rows++;
  }
  return rows;
}

static void add_sample(const double *cosine, int64_t t, int64_t p, vbl_token_totals *sum) {
  double tp = 0, pt = 0;
  for (int64_t i = 0; i < t; i++) {
    double best = -INFINITY;
    for (int64_t j = 0; j < p; j++) best = fmax(best, cosine[i * p + j]);
    tp += best;
  }
  for (int64_t j = 0; j < p; j++) {
    double best = -INFINITY;
    for (int64_t i = 0; i < t; i++) best = fmax(best, cosine[i * p + j]);
    pt += best;
  }
  sum->tp += tp / (double)t;
  sum->pt += pt / (double)p;
  sum->samples++;
}

static void one_sample(const vbl_tokens *text, int64_t bt, const vbl_tokens *vision, int64_t bv, bool skip_cls, const workspace *w,
                       vbl_token_totals *sum) {
  int64_t t = unit_tokens(text, bt, skip_cls, w->text), p = unit_tokens(vision, bv, skip_cls, w->vision);
  if (t < 0 && sum->bad_text < 0) sum->bad_text = bt;
  if (p < 0 && sum->bad_vision < 0) sum->bad_vision = bv;
  if (t <= 0 || p <= 0) return;
  vbl_gemm(false, true, t, p, text->d, 1, w->text, text->d, w->vision, text->d, 0, w->cosine, p);
  add_sample(w->cosine, t, p, sum);
}

static bool workspace_make(const vbl_tokens *text, const vbl_tokens *vision, workspace *w) {
  w->text = malloc(sizeof(double) * (size_t)(text->t * text->d));
  w->vision = malloc(sizeof(double) * (size_t)(vision->t * vision->d));
  w->cosine = malloc(sizeof(double) * (size_t)(text->t * vision->t));
  return w->text != NULL && w->vision != NULL && w->cosine != NULL;
}

// Blocks of samples in parallel, each with its own totals, added in order: the sum does not depend on the number of threads.
enum { BLOCK = 16 };

static vbl_status host_totals(const vbl_tokens *text, const vbl_tokens *vision, bool skip_cls, const vbl_token_pairs *pairs,
                              vbl_token_totals *sum, vbl_error *err) {
  const int64_t step = pairs->step, shift = pairs->shift, count = pairs->count;
  int64_t blocks = (count + BLOCK - 1) / BLOCK;
  bool failed = false;
  vbl_token_totals *parts = malloc(sizeof *parts * (size_t)blocks);
  if (parts == NULL) return vbl_fail(err, VBL_ENOMEM, "max_sim: out of memory");
  for (int64_t q = 0; q < blocks; q++) parts[q] = (vbl_token_totals){.bad_text = -1, .bad_vision = -1};
#pragma omp parallel reduction(|| : failed)
  {
    workspace w = {0};
    failed = !workspace_make(text, vision, &w);
#pragma omp for schedule(dynamic)
    for (int64_t q = 0; q < blocks; q++)
      for (int64_t i = q * BLOCK; !failed && !vbl_interrupt_pending() && i < count && i < (q + 1) * BLOCK; i++)
        one_sample(text, i * step, vision, (i * step + shift) % vision->b, skip_cls, &w, &parts[q]);
    free(w.text);
    free(w.vision);
    free(w.cosine);
  }
  *sum = (vbl_token_totals){.bad_text = -1, .bad_vision = -1};
  for (int64_t q = 0; q < blocks; q++) {
    sum->tp += parts[q].tp;
    sum->pt += parts[q].pt;
    sum->samples += parts[q].samples;
    if (sum->bad_text < 0) sum->bad_text = parts[q].bad_text;
    if (sum->bad_vision < 0) sum->bad_vision = parts[q].bad_vision;
  }
  free(parts);
  if (failed) return vbl_fail(err, VBL_ENOMEM, "max_sim: out of memory");
  return vbl_interrupt_check(err);
}

static vbl_status run(const vbl_tokens *text, const vbl_tokens *vision, bool skip_cls, int64_t step, int64_t shift, int64_t count,
                      vbl_token_totals *sum, vbl_error *err) {
  const vbl_token_pairs pairs = {step, shift, count};
  if (text->device != NULL)
    VBL_TRY(vbl_device_tokens(text, vision, skip_cls, &pairs, sum, err));
  else
    VBL_TRY(host_totals(text, vision, skip_cls, &pairs, sum, err));
  int64_t bad = sum->bad_text >= 0 ? sum->bad_text : sum->bad_vision;
  if (bad >= 0)
    return vbl_fail(err, VBL_ENUMERIC, "max_sim: NaN or Inf in the %s tokens of sample %lld",
                    sum->bad_text >= 0 ? "text" : "vision", (long long)bad + 1);
  return VBL_OK;
}

static vbl_status check_tokens(const vbl_tokens *x, const char *name, vbl_error *err) {
  if (x->b < 1 || x->t < 1 || x->d < 1)
    return vbl_fail(err, VBL_EINVAL, "max_sim: %s: expected [samples, tokens, width], got [%lld, %lld, %lld]", name,
                    (long long)x->b, (long long)x->t, (long long)x->d);
  for (int64_t b = 0; x->lengths != NULL && b < x->b; b++)
    if (x->lengths[b] < 0 || x->lengths[b] > x->t)
      return vbl_fail(err, VBL_EINVAL, "max_sim: %s length %lld of sample %lld: expected 0 to %lld tokens", name,
                      (long long)x->lengths[b], (long long)b + 1, (long long)x->t);
  return VBL_OK;
}

static vbl_status start(const vbl_tokens *text, const vbl_tokens *vision, bool skip_cls, vbl_measure_result *r, vbl_error *err) {
  vbl_prepared x = {.n = text->b, .d = text->d}, y = {.n = vision->b, .d = vision->d};
  VBL_TRY(vbl_begin_pair("max_sim", &x, &y, 1, r, err));
  r->duplicates_x = r->duplicates_y = -1;
  r->preprocessing = skip_cls ? "valid tokens without CLS, unit length" : "valid tokens, unit length";
  r->metric = "cosine";
  return VBL_OK;
}

static vbl_status finish(vbl_measure_result *r, double sum, const vbl_token_totals *all, double shifted,
                         const vbl_token_totals *chance) {
  r->skipped = r->n - all->samples;
  if (r->skipped > 0) r->warnings |= VBL_WARN_ROWS_SKIPPED;
  if (all->samples == 0) return vbl_undefined(r, VBL_MEASURE_NOTHING_VALID);
  if (chance->samples > 0) {
    r->chance = shifted / (double)chance->samples;
    r->chance_source = "text of sample b against the patches of sample b + B/2";
  }
  return vbl_value(r, sum / (double)all->samples);
}

vbl_status vbl_max_sim(const vbl_tokens *text, const vbl_tokens *vision, bool skip_cls, vbl_measure_result *tp,
                       vbl_measure_result *pt, vbl_error *err) {
  enum { CHANCE_SAMPLES = 128 };
  vbl_token_totals all, chance = {0};
  VBL_TRY(check_tokens(text, "text", err));
  VBL_TRY(check_tokens(vision, "vision", err));
  VBL_TRY(start(text, vision, skip_cls, tp, err));
  VBL_TRY(start(text, vision, skip_cls, pt, err));
  if (!vbl_same_space(tp) || !vbl_same_space(pt)) return vbl_undefined(pt, VBL_MEASURE_NOT_COMPARABLE);
  VBL_TRY(vbl_lapack_open(NULL, err));
  VBL_TRY(run(text, vision, skip_cls, 1, 0, text->b, &all, err));
  if (text->b > 1) {
    int64_t step = (text->b + CHANCE_SAMPLES - 1) / CHANCE_SAMPLES;
    VBL_TRY(run(text, vision, skip_cls, step, text->b / 2, (text->b + step - 1) / step, &chance, err));
  }
  VBL_TRY(finish(tp, all.tp, &all, chance.tp, &chance));
  return finish(pt, all.pt, &all, chance.pt, &chance);
}
