// defines: vbl_prepared_cross
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/lapack.h"
#include "core/measure/prepared.h"
#include "kernels/kernels.h"

enum { ROWS = 512, STRIPE = 256 };   // rows of a tile; columns that one thread multiplies at once
static const double F32_PAYS = 2e8;  // multiplications

typedef struct tiles {
  const vbl_prepared *x, *y;
  bool same;
  double *c;               // (dx, dy)
  double *a, *b;           // (ROWS, d) centred rows, f64 data
  float *fa, *fb, *block;  // the same and a tile's product (dx, dy), f32 data
} tiles;

static void centred_rows(const vbl_prepared *p, int64_t first, int64_t rows, double *out, float *single) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < p->d; j++) {
      double v = vbl_prepared_element(p, first + i, j) - p->mean[j];
      if (out != NULL)
        out[i * p->d + j] = v;
      else
        single[i * p->d + j] = (float)v;
    }
}

// C += A'B by column stripes that do not depend on the number of threads; of X'X the upper stripes.
static void add_double(tiles *t, int64_t rows) {
  int64_t dx = t->x->d, dy = t->y->d, across = (dy + STRIPE - 1) / STRIPE, count = (dx + STRIPE - 1) / STRIPE * across;
#pragma omp parallel for schedule(dynamic)
  for (int64_t q = 0; q < count; q++) {
    int64_t i = q / across * STRIPE, j = q % across * STRIPE, h = dx - i < STRIPE ? dx - i : STRIPE,
            w = dy - j < STRIPE ? dy - j : STRIPE;
    if (!t->same || j >= i)
      vbl_gemm(true, false, h, w, rows, 1, t->a + i, dx, (t->same ? t->a : t->b) + j, dy, 1, t->c + i * dy + j, dy);
  }
}

static void add_single(tiles *t, int64_t rows) {
  int64_t dx = t->x->d, dy = t->y->d;
  for (int64_t i = 0; i < dx; i += STRIPE) {
    int64_t h = dx - i < STRIPE ? dx - i : STRIPE, from = t->same ? i : 0;
    vbl_cpu_backend()->gemm(true, false, h, dy - from, rows, 1, t->fa + i, dx, (t->same ? t->fa : t->fb) + from, dy, 0,
                            t->block + i * dy + from, dy, NULL);
  }
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < dx; i++)
    for (int64_t j = t->same ? i / STRIPE * STRIPE : 0; j < dy; j++) t->c[i * dy + j] += (double)t->block[i * dy + j];
}

// Sum of squares of c; where only the upper stripes are there, elements off the diagonal count twice.
static double sum_of_squares(const tiles *t) {
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

static vbl_status allocate(tiles *t, bool single, int64_t rows, vbl_error *err) {
  int64_t dx = t->x->d, dy = t->y->d;
  t->c = calloc((size_t)(dx * dy), sizeof *t->c);
  if (single) {
    t->fa = malloc(sizeof *t->fa * (size_t)(rows * dx));
    t->fb = malloc(sizeof *t->fb * (size_t)(rows * dy));
    t->block = malloc(sizeof *t->block * (size_t)(dx * dy));
  } else {
    t->a = malloc(sizeof *t->a * (size_t)(rows * dx));
    t->b = malloc(sizeof *t->b * (size_t)(rows * dy));
  }
  bool ok = t->c != NULL && (single ? t->fa != NULL && t->fb != NULL && t->block != NULL : t->a != NULL && t->b != NULL);
  return ok ? VBL_OK : vbl_fail(err, VBL_ENOMEM, "cross-covariance of %lld x %lld: out of memory", (long long)dx, (long long)dy);
}

static vbl_status run(tiles *t, bool single, vbl_error *err) {
  for (int64_t first = 0; first < t->x->n; first += ROWS) {
    int64_t rows = t->x->n - first < ROWS ? t->x->n - first : ROWS;
    VBL_TRY(vbl_interrupt_check(err));
    centred_rows(t->x, first, rows, t->a, t->fa);
    if (!t->same) centred_rows(t->y, first, rows, t->b, t->fb);
    if (single)
      add_single(t, rows);
    else
      add_double(t, rows);
  }
  return VBL_OK;
}

vbl_status vbl_prepared_cross(const vbl_prepared *x, const vbl_prepared *y, double *out, vbl_error *err) {
  tiles t = {.x = x, .y = y, .same = x == y};
  bool single = x->single != NULL && y->single != NULL && (double)x->n * (double)x->d * (double)y->d > F32_PAYS;
  VBL_TRY(vbl_lapack_open(NULL, err));
  vbl_status status = allocate(&t, single, x->n < ROWS ? x->n : ROWS, err);
  if (status == VBL_OK) status = run(&t, single, err);
  if (status == VBL_OK) *out = sum_of_squares(&t);
  free(t.c);
  free(t.a);
  free(t.b);
  free(t.fa);
  free(t.fb);
  free(t.block);
  return status;
}
