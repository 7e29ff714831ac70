// defines: vbl_prepared_cross
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/lapack.h"
#include "core/measure/parallel.h"
#include "core/measure/prepared.h"
#include "kernels/kernels.h"

enum { CHUNK = 4096, ROWS = 512, HIGH = 256, WIDE = 128 };  // rows centred at once; rows of a product; its stripe of the result
static const double F32_PAYS = 2e8;                         // multiplications

typedef struct chunk {
  const vbl_prepared *x, *y;
  bool same;
  double *c;       // (dx, dy)
  double *a, *b;   // (CHUNK, d) centred rows, f64 data
  float *fa, *fb;  // the same, f32 data
} chunk;

// Into out, or single where that is not NULL, which f32 data has.
static void centred_rows(const vbl_prepared *p, int64_t first, int64_t rows, double *out, float *single) {
  const int64_t d = p->d;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < rows; i++) {
    if (single == NULL) {
      for (int64_t j = 0; j < d; j++) out[i * d + j] = vbl_prepared_element(p, first + i, j) - p->mean[j];
      continue;
    }
    const float *row = p->single + (first + i) * d;
#pragma omp simd
    for (int64_t j = 0; j < d; j++) single[i * d + j] = (float)((double)row[j] - p->mean[j]);
  }
}

// C += A'B in the stripe of h rows from i and w columns from j. block: (HIGH, WIDE).
static void add_single(const chunk *t, int64_t rows, int64_t i, int64_t h, int64_t j, int64_t w, float *block) {
  int64_t dx = t->x->d, dy = t->y->d;
  const float *b = t->same ? t->fa : t->fb;
  for (int64_t r = 0; r < rows; r += ROWS) {
    int64_t k = rows - r < ROWS ? rows - r : ROWS;
    vbl_cpu_backend()->gemm(true, false, h, w, k, 1, t->fa + r * dx + i, dx, b + r * dy + j, dy, 0, block, WIDE, NULL);
    for (int64_t q = 0; q < h; q++)
      for (int64_t s = 0; s < w; s++) t->c[(i + q) * dy + j + s] += (double)block[q * WIDE + s];
  }
}

// Stripe q of C; of X'X those that reach the diagonal or lie above it.
static void add_stripe(const chunk *t, int64_t rows, int64_t q, float *block) {
  int64_t dx = t->x->d, dy = t->y->d, across = (dy + WIDE - 1) / WIDE, i = q / across * HIGH, j = q % across * WIDE;
  int64_t h = dx - i < HIGH ? dx - i : HIGH, w = dy - j < WIDE ? dy - j : WIDE;
  if (t->same && j + w <= i) return;
  if (t->fa != NULL)
    add_single(t, rows, i, h, j, w, block);
  else
    vbl_gemm(true, false, h, w, rows, 1, t->a + i, dx, (t->same ? t->a : t->b) + j, dy, 1, t->c + i * dy + j, dy);
}

// By stripes that do not depend on the number of threads: each is one thread's, so that none waits for another's product.
static vbl_status add_chunk(const chunk *t, int64_t rows, vbl_error *err) {
  int64_t count = (t->x->d + HIGH - 1) / HIGH * ((t->y->d + WIDE - 1) / WIDE);
  vbl_status shared = VBL_OK;
#pragma omp parallel
  {
    vbl_error mine;
    float *block = malloc(sizeof *block * HIGH * WIDE);
    if (block == NULL) vbl_shared_fail(&shared, vbl_fail(&mine, VBL_ENOMEM, "cross-covariance: out of memory"), &mine, err);
#pragma omp for schedule(dynamic)
    for (int64_t q = 0; q < count; q++)
      if (block != NULL) add_stripe(t, rows, q, block);
    free(block);
  }
  return shared;
}

// Sum of squares of c; where only the upper stripes are there, elements off the diagonal count twice.
static double sum_of_squares(const chunk *t) {
  int64_t dx = t->x->d, dy = t->y->d;
  if (!t->same) return vbl_dot(t->c, t->c, dx * dy);
  double diagonal = 0, upper = 0;
  for (int64_t i = 0; i < dx; i++) {
    const double *row = t->c + i * dy;
    diagonal += row[i] * row[i];
    upper += vbl_dot(row + i + 1, row + i + 1, dy - i - 1);
  }
  return diagonal + 2 * upper;
}

static vbl_status allocate(chunk *t, bool single, int64_t rows, vbl_error *err) {
  int64_t dx = t->x->d, dy = t->y->d;
  t->c = calloc((size_t)(dx * dy), sizeof *t->c);
  if (single) {
    t->fa = malloc(sizeof *t->fa * (size_t)(rows * dx));
    t->fb = t->same ? NULL : malloc(sizeof *t->fb * (size_t)(rows * dy));
  } else {
    t->a = malloc(sizeof *t->a * (size_t)(rows * dx));
    t->b = t->same ? NULL : malloc(sizeof *t->b * (size_t)(rows * dy));
  }
  bool ok = t->c != NULL && (t->fa != NULL || t->a != NULL) && (t->same || t->fb != NULL || t->b != NULL);
  return ok ? VBL_OK : vbl_fail(err, VBL_ENOMEM, "cross-covariance of %lld x %lld: out of memory", (long long)dx, (long long)dy);
}

static vbl_status run(const chunk *t, vbl_error *err) {
  for (int64_t first = 0; first < t->x->n; first += CHUNK) {
    int64_t rows = t->x->n - first < CHUNK ? t->x->n - first : CHUNK;
    VBL_TRY(vbl_interrupt_check(err));
    centred_rows(t->x, first, rows, t->a, t->fa);
    if (!t->same) centred_rows(t->y, first, rows, t->b, t->fb);
    VBL_TRY(add_chunk(t, rows, err));
  }
  return VBL_OK;
}

vbl_status vbl_prepared_cross(const vbl_prepared *x, const vbl_prepared *y, double *out, vbl_error *err) {
  chunk t = {.x = x, .y = y, .same = x == y};
  bool single = x->single != NULL && y->single != NULL && (double)x->n * (double)x->d * (double)y->d > F32_PAYS;
  if (!single) VBL_TRY(vbl_lapack_open(NULL, err));
  vbl_status status = allocate(&t, single, x->n < CHUNK ? x->n : CHUNK, err);
  if (status == VBL_OK) status = run(&t, err);
  if (status == VBL_OK) *out = sum_of_squares(&t);
  free(t.c);
  free(t.a);
  free(t.b);
  free(t.fa);
  free(t.fb);
  return status;
}
