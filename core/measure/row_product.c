// Products A'B of two tall matrices row tile by row tile, kept whole (cross.c keeps only the sum of squares).
// defines: vbl_centred, vbl_row_product, vbl_row_product_single
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/cross.h"
#include "core/measure/lapack.h"
#include "core/measure/prepared.h"
#include "kernels/kernels.h"

enum { ROWS = 512, STRIPE = 128 };   // rows of a tile; columns that one thread multiplies at once
static const double F32_PAYS = 2e8;  // multiplications

typedef struct tiles {
  const vbl_factor *x, *y;
  const int64_t *order;
  double *c;               // (dx, dy)
  double *a, *b;           // (ROWS, d) rows in f64
  float *fa, *fb, *block;  // the same in f32 and a tile's product (dx, dy)
} tiles;

static void row_double(const vbl_factor *f, int64_t row, double *out) {
  for (int64_t j = 0; j < f->columns; j++) {
    double v = f->single != NULL ? (double)f->single[row * f->stride + j] : f->raw[row * f->stride + j];
    out[j] = f->mean != NULL ? v - f->mean[j] : v;
  }
}

// The same rounded: of f32 data less a mean, or of f64 vectors that have none; two plain loops, which compilers vectorise.
static void row_single(const vbl_factor *f, int64_t row, float *out) {
  int64_t count = f->columns;
  if (f->single != NULL && f->mean != NULL) {
    const float *from = f->single + row * f->stride;
#pragma omp simd
    for (int64_t j = 0; j < count; j++) out[j] = (float)((double)from[j] - f->mean[j]);
  } else {
    const double *from = f->raw + row * f->stride;
#pragma omp simd
    for (int64_t j = 0; j < count; j++) out[j] = (float)from[j];
  }
}

// Rows order[first ...] without their mean, in f64 or in f32.
static void gather(const vbl_factor *f, const int64_t *order, int64_t first, int64_t rows, double *out, float *single) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < rows; i++) {
    int64_t row = order != NULL ? order[first + i] : first + i;
    if (single != NULL)
      row_single(f, row, single + i * f->columns);
    else
      row_double(f, row, out + i * f->columns);
  }
}

// The product of a tile's stripe of columns i .. i + h of A: one thread's, so that its bits depend on nothing else.
static void multiply_stripe(tiles *t, int64_t rows, int64_t i, int64_t h) {
  int64_t dx = t->x->columns, dy = t->y->columns;
  if (t->fa == NULL) {
    vbl_gemm(true, false, h, dy, rows, 1, t->a + i, dx, t->b, dy, 1, t->c + i * dy, dy);
    return;
  }
  vbl_cpu_backend()->gemm(true, false, h, dy, rows, 1, t->fa + i, dx, t->fb, dy, 0, t->block + i * dy, dy, NULL);
  for (int64_t r = i; r < i + h; r++) {
    double *c = t->c + r * dy;
    const float *block = t->block + r * dy;
#pragma omp simd
    for (int64_t j = 0; j < dy; j++) c[j] += (double)block[j];
  }
}

// C += A'B
static void add_tile(tiles *t, int64_t rows) {
  int64_t dx = t->x->columns, count = (dx + STRIPE - 1) / STRIPE;
#pragma omp parallel for schedule(dynamic)
  for (int64_t q = 0; q < count; q++) multiply_stripe(t, rows, q * STRIPE, dx - q * STRIPE < STRIPE ? dx - q * STRIPE : STRIPE);
}

static vbl_status allocate(tiles *t, bool single, int64_t rows, vbl_error *err) {
  int64_t dx = t->x->columns, dy = t->y->columns;
  if (single) {
    t->fa = malloc(sizeof *t->fa * (size_t)(rows * dx));
    t->fb = malloc(sizeof *t->fb * (size_t)(rows * dy));
    t->block = malloc(sizeof *t->block * (size_t)(dx * dy));
  } else {
    t->a = malloc(sizeof *t->a * (size_t)(rows * dx));
    t->b = malloc(sizeof *t->b * (size_t)(rows * dy));
  }
  bool ok = single ? t->fa != NULL && t->fb != NULL && t->block != NULL : t->a != NULL && t->b != NULL;
  return ok ? VBL_OK : vbl_fail(err, VBL_ENOMEM, "cross-covariance of %lld x %lld: out of memory", (long long)dx, (long long)dy);
}

static vbl_status run(tiles *t, int64_t n, vbl_error *err) {
  for (int64_t first = 0; first < n; first += ROWS) {
    int64_t rows = n - first < ROWS ? n - first : ROWS;
    VBL_TRY(vbl_interrupt_check(err));
    gather(t->x, NULL, first, rows, t->a, t->fa);
    gather(t->y, t->order, first, rows, t->b, t->fb);
    add_tile(t, rows);
  }
  return VBL_OK;
}

static vbl_status multiply(tiles *t, int64_t n, bool single, vbl_error *err) {
  VBL_TRY(vbl_lapack_open(NULL, err));
  for (int64_t i = 0; i < t->x->columns * t->y->columns; i++) t->c[i] = 0;
  vbl_status status = allocate(t, single, n < ROWS ? n : ROWS, err);
  if (status == VBL_OK) status = run(t, n, err);
  free(t->a);
  free(t->b);
  free(t->fa);
  free(t->fb);
  free(t->block);
  return status;
}

vbl_status vbl_row_product(int64_t n, const vbl_factor *a, const vbl_factor *b, const int64_t *order, bool single, double *c,
                           vbl_error *err) {
  tiles t = {.x = a, .y = b, .order = order, .c = c};
  return multiply(&t, n, single, err);
}

bool vbl_row_product_single(const vbl_prepared *x, const vbl_prepared *y, int64_t columns_x, int64_t columns_y) {
  return x->single != NULL && y->single != NULL && (double)x->n * (double)columns_x * (double)columns_y > F32_PAYS;
}

vbl_factor vbl_centred(const vbl_prepared *p) {
  return (vbl_factor){.single = p->single, .raw = p->raw, .mean = p->mean, .stride = p->d, .columns = p->d};
}
