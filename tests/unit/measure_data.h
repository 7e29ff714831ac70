// Data for the tests of the measures: the fixture, seeded Gaussian matrices, rotations; and calls in one line.
// defines: fixture, base, prepare, call, gaussian, rotate
#pragma once
#include <stdlib.h>

#include "core/base/philox.h"
#include "core/measure/measure.h"
#include "tests/check.h"

// Options with k = 5 and small batches, for matrices of some tens of rows.
static const vbl_measure_options base = {.k = 5,
                                         .bandwidth = 1,
                                         .fraction = 1,
                                         .batch = 8,
                                         .threshold = 0.99,
                                         .p = 2,
                                         .alpha = 2,
                                         .t = 2,
                                         .folds = 4,
                                         .lambda = -1,
                                         .projections = 64,
                                         .variance = 0.95,
                                         .discard = 0.1};

enum { FN = 24, FX = 6, FY = 8 };

static inline void fixture(double x[FN * FX], double y[FN * FY]) {
  for (int i = 0; i < FN; i++)
    for (int j = 0; j < FX; j++) x[i * FX + j] = sin(0.7 * (i + 1) * (j + 1)) + 0.1 * (i % 3);
  for (int i = 0; i < FN; i++)
    for (int j = 0; j < FY; j++) y[i * FY + j] = cos(0.3 * (i + 1) * (j + 2)) + 0.5 * x[i * FX + j % FX];
}

// A prepared matrix of n x d numbers with row length ld; ends the test when it cannot be made.
static inline vbl_prepared *prepare(const double *data, int64_t n, int64_t d, int64_t ld) {
  vbl_prepared *p = NULL;
  vbl_error err = {0};
  if (vbl_prepare(n, d, data, VBL_F64, ld, 1, "X", &p, &err) != VBL_OK) {
    fprintf(stderr, "prepare: %s\n", err.message);
    exit(1);
  }
  return p;
}

// One measure on raw f64 matrices, with fresh preparations. The status of the call goes to *code, or has to be VBL_OK.
static inline vbl_measure_result call(vbl_measure_fn *fn, const double *x, int64_t dx, const double *y, int64_t dy, int64_t n,
                                      const vbl_measure_options *o, vbl_status *code) {
  vbl_prepared *px = prepare(x, n, dx, dx), *py = y != NULL ? prepare(y, n, dy, dy) : NULL;
  vbl_measure_result r = {0};
  vbl_error err = {0};
  vbl_status status = fn(px, py, o, &r, &err);
  if (code != NULL)
    *code = status;
  else
    CHECK_REPORT_(status == VBL_OK, "call failed: %s", err.message);
  vbl_prepared_free(px);
  vbl_prepared_free(py);
  return r;
}

// n x d standard normal numbers, a function of the seed alone (Box-Muller).
static inline double *gaussian(int64_t n, int64_t d, uint32_t seed) {
  double *v = malloc(sizeof *v * (size_t)(n * d));
  vbl_philox_key key = {seed, VBL_STREAM_USER};
  for (int64_t i = 0; i < n * d; i++) {
    double u = 1 - vbl_philox_uniform(key, (uint32_t)i, 0, 0, 0), w = vbl_philox_uniform(key, (uint32_t)i, 1, 0, 0);
    v[i] = sqrt(-2 * log(u)) * cos(2 * M_PI * w);
  }
  return v;
}

// x (n, d) times a product of Householder reflections: a full orthogonal matrix.
static inline double *rotate(const double *x, int64_t n, int64_t d, uint32_t seed) {
  double *out = malloc(sizeof *out * (size_t)(n * d)), *h = gaussian(3, d, seed);
  memcpy(out, x, sizeof *out * (size_t)(n * d));
  for (int q = 0; q < 3; q++)
    for (int64_t i = 0; i < n; i++) {
      double dot = 0, hh = 0;
      for (int64_t j = 0; j < d; j++) {
        dot += out[i * d + j] * h[q * d + j];
        hh += h[q * d + j] * h[q * d + j];
      }
      for (int64_t j = 0; j < d; j++) out[i * d + j] -= 2 * dot / hh * h[q * d + j];
    }
  free(h);
  return out;
}
