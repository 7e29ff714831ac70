#include "core/metrics/resample.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/interrupt.h"
#include "core/base/philox.h"

typedef struct job {
  const vbl_weighted *const *sets;
  int64_t count, draws;
  uint32_t seed;
  double *values;
} job;

// weight: (2n) of a thread; n: samples of a set.
typedef void draw_fn(const job *j, int64_t n, int64_t draw, int32_t *weight, vbl_counts *scratch);

// Four samples a Philox block. By multiply-shift: each is drawn with 1/n up to n / 2^32.
static void draw_with_replacement(uint32_t seed, int64_t draw, int64_t n, int32_t *weight) {
  memset(weight, 0, sizeof *weight * (size_t)n);
  for (int64_t i = 0; i < n; i += 4) {
    vbl_u32x4 r = vbl_philox((vbl_philox_key){seed, VBL_STREAM_SAMPLES}, (uint32_t)(i / 4), 0, (uint32_t)draw, 0);
    for (int64_t k = 0; k < 4 && i + k < n; k++) weight[(uint64_t)r.v[k] * (uint64_t)n >> 32]++;
  }
}

static void bootstrap_draw(const job *j, int64_t n, int64_t draw, int32_t *weight, vbl_counts *scratch) {
  draw_with_replacement(j->seed, draw, n, weight);
  for (int64_t s = 0; s < j->count; s++) j->values[s * j->draws + draw] = vbl_weighted_value(j->sets[s], weight, scratch);
}

// weight (n): 1 for the first model's prediction, of which half go to the second's place; the other half of weight is its complement.
static void draw_exchange(uint32_t seed, int64_t draw, int64_t n, int32_t *weight) {
  vbl_u32x4 r = {{0}};
  for (int64_t i = 0; i < n / 2; i++) {
    if (i % 128 == 0) r = vbl_philox((vbl_philox_key){seed, VBL_STREAM_SAMPLES}, (uint32_t)(i / 128), 1, (uint32_t)draw, 0);
    int32_t stays = (int32_t)(r.v[i % 128 / 32] >> (i % 32) & 1);
    weight[i] = stays;
    weight[n / 2 + i] = 1 - stays;
  }
}

static void exchange_draw(const job *j, int64_t n, int64_t draw, int32_t *weight, vbl_counts *scratch) {
  double sum = 0;
  draw_exchange(j->seed, draw, n, weight);
  for (int64_t s = 0; s < j->count; s++) sum += vbl_weighted_value(j->sets[s], weight, scratch);
  for (int64_t i = 0; i < n / 2; i++) {
    int32_t first = weight[i];
    weight[i] = weight[n / 2 + i];
    weight[n / 2 + i] = first;
  }
  for (int64_t s = 0; s < j->count; s++) sum -= vbl_weighted_value(j->sets[s], weight, scratch);
  j->values[draw] = sum / (double)j->count;
}

static vbl_status run(const job *j, draw_fn *fn, vbl_error *err) {
  int64_t n = j->sets[0]->n, classes = 1;
  vbl_status status = VBL_OK;
  for (int64_t s = 0; s < j->count; s++) classes = j->sets[s]->classes > classes ? j->sets[s]->classes : classes;
#pragma omp parallel
  {
    int32_t *weight = malloc(sizeof *weight * (size_t)n);
    vbl_counts *scratch = malloc(sizeof *scratch * (size_t)classes);
    vbl_status mine = weight != NULL && scratch != NULL ? VBL_OK : VBL_ENOMEM;
#pragma omp for schedule(static)
    for (int64_t b = 0; b < j->draws; b++) {
      if (mine == VBL_OK && vbl_interrupt_check(NULL) != VBL_OK) mine = VBL_EINTERRUPT;
      if (mine == VBL_OK) fn(j, n, b, weight, scratch);
    }
    if (mine != VBL_OK) {
#pragma omp atomic write
      status = mine;
    }
    free(weight);
    free(scratch);
  }
  if (status == VBL_ENOMEM) return vbl_fail(err, VBL_ENOMEM, "resampling %lld samples: out of memory", (long long)n);
  return status == VBL_OK ? VBL_OK : vbl_fail(err, VBL_EINTERRUPT, "interrupted");
}

vbl_status vbl_bootstrap_scores(const vbl_weighted *const *sets, int64_t count, int64_t draws, uint32_t seed, double *values,
                                vbl_error *err) {
  return run(&(job){sets, count, draws, seed, values}, bootstrap_draw, err);
}

vbl_status vbl_exchange_scores(const vbl_weighted *const *sets, int64_t count, int64_t draws, uint32_t seed, double *values,
                               vbl_error *err) {
  return run(&(job){sets, count, draws, seed, values}, exchange_draw, err);
}
