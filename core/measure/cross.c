// Products A'B of two tall matrices that share their rows, and the sum of squares of X'Y, centred.
// defines: vbl_prepared_cross, vbl_row_product, vbl_row_product_single, vbl_product_single, vbl_debiased_sum, vbl_even_rows, vbl_note_cancels, vbl_centred
#include "core/measure/cross.h"

#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/device.h"
#include "core/measure/lapack.h"
#include "core/measure/parallel.h"
#include "core/measure/prepared.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/loops.h"

enum { CHUNK = 4096, ROWS = 512, HIGH = 256, WIDE = 128 };  // rows centred at once; rows of a product; its stripe of the result
static const double F32_PAYS = 2e8;                         // multiplications

typedef struct chunk {
  const vbl_factor *x, *y;
  const int64_t *order;  // of Y's rows; NULL: their own
  bool same;
  double *c;       // (dx, dy)
  double *a, *b;   // (CHUNK, d) rows less their mean, f64 data
  float *fa, *fb;  // the same, f32 data
} chunk;

static void row_double(const vbl_factor *f, int64_t row, double *out) {
  for (int64_t j = 0; j < f->columns; j++) {
    double v = f->single != NULL ? (double)f->single[row * f->stride + j] : f->raw[row * f->stride + j];
    out[j] = f->mean != NULL ? v - f->mean[j] : v;
  }
}

// The same rounded: of f32 data less a mean, or of f64 vectors that have none.
static void row_single(const vbl_factor *f, int64_t row, float *out) {
  if (f->single != NULL && f->mean != NULL)
    vbl_cpu_loops()->scale(out, f->single + row * f->stride, f->mean, 1, f->columns);
  else
    vbl_cpu_loops()->round(out, f->raw + row * f->stride, f->columns);
}

// Rows order[first ...] into out, or into single where that is not NULL.
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

// C += A'B in the stripe of h rows from i and w columns from j. block: (HIGH, WIDE).
static void add_single(const chunk *t, int64_t rows, int64_t i, int64_t h, int64_t j, int64_t w, float *block) {
  int64_t dx = t->x->columns, dy = t->y->columns;
  const float *b = t->same ? t->fa : t->fb;
  for (int64_t r = 0; r < rows; r += ROWS) {
    int64_t k = rows - r < ROWS ? rows - r : ROWS;
    vbl_cpu_backend()->gemm(true, false, h, w, k, 1, t->fa + r * dx + i, dx, b + r * dy + j, dy, 0, block, WIDE, NULL);
    for (int64_t q = 0; q < h; q++) vbl_cpu_loops()->add(t->c + (i + q) * dy + j, block + q * WIDE, w);
  }
}

// Stripe q of C; of X'X those that reach the diagonal or lie above it.
static void add_stripe(const chunk *t, int64_t rows, int64_t q, float *block) {
  int64_t dx = t->x->columns, dy = t->y->columns, across = (dy + WIDE - 1) / WIDE, i = q / across * HIGH, j = q % across * WIDE;
  int64_t h = dx - i < HIGH ? dx - i : HIGH, w = dy - j < WIDE ? dy - j : WIDE;
  if (t->same && j + w <= i) return;
  if (t->fa != NULL)
    add_single(t, rows, i, h, j, w, block);
  else
    vbl_gemm(true, false, h, w, rows, 1, t->a + i, dx, (t->same ? t->a : t->b) + j, dy, 1, t->c + i * dy + j, dy);
}

// By stripes that do not depend on the number of threads: each is one thread's, so that none waits for another's product.
static vbl_status add_chunk(const chunk *t, int64_t rows, vbl_error *err) {
  int64_t count = (t->x->columns + HIGH - 1) / HIGH * ((t->y->columns + WIDE - 1) / WIDE);
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
  int64_t dx = t->x->columns, dy = t->y->columns;
  if (!t->same) return vbl_dot(t->c, t->c, dx * dy);
  double diagonal = 0, upper = 0;
  for (int64_t i = 0; i < dx; i++) {
    const double *row = t->c + i * dy;
    diagonal += row[i] * row[i];
    upper += vbl_dot(row + i + 1, row + i + 1, dy - i - 1);
  }
  return diagonal + 2 * upper;
}

static size_t row_bytes(const vbl_factor *f, bool single, int64_t rows) {
  return (single ? sizeof(float) : sizeof(double)) * (size_t)(rows * f->columns);
}

static vbl_status allocate(chunk *t, bool single, int64_t rows, vbl_error *err) {
  void *a = vbl_cpu_alloc(row_bytes(t->x, single, rows)), *b = t->same ? NULL : vbl_cpu_alloc(row_bytes(t->y, single, rows));
  t->a = single ? NULL : a;
  t->b = single ? NULL : b;
  t->fa = single ? a : NULL;
  t->fb = single ? b : NULL;
  if (a != NULL && (t->same || b != NULL)) return VBL_OK;
  return vbl_fail(err, VBL_ENOMEM, "cross-covariance of %lld x %lld: out of memory", (long long)t->x->columns,
                  (long long)t->y->columns);
}

static void release(const chunk *t, bool single, int64_t rows) {
  vbl_cpu_free(single ? (void *)t->fa : t->a, row_bytes(t->x, single, rows));
  if (!t->same) vbl_cpu_free(single ? (void *)t->fb : t->b, row_bytes(t->y, single, rows));
}

static vbl_status run(const chunk *t, int64_t n, vbl_error *err) {
  for (int64_t first = 0; first < n; first += CHUNK) {
    int64_t rows = n - first < CHUNK ? n - first : CHUNK;
    VBL_TRY(vbl_interrupt_check(err));
    gather(t->x, NULL, first, rows, t->a, t->fa);
    if (!t->same) gather(t->y, t->order, first, rows, t->b, t->fb);
    VBL_TRY(add_chunk(t, rows, err));
  }
  return VBL_OK;
}

// t->c, which the caller owns, is overwritten; where X is Y, only the stripes that reach the diagonal or lie above it.
static vbl_status multiply(chunk *t, int64_t n, bool single, vbl_error *err) {
  if (!single) VBL_TRY(vbl_lapack_open(NULL, err));
  for (int64_t i = 0; i < t->x->columns * t->y->columns; i++) t->c[i] = 0;
  vbl_status status = allocate(t, single, n < CHUNK ? n : CHUNK, err);
  if (status == VBL_OK) status = run(t, n, err);
  release(t, single, n < CHUNK ? n : CHUNK);
  return status;
}

vbl_status vbl_row_product(int64_t n, const vbl_factor *a, const vbl_factor *b, const int64_t *order, bool single, double *c,
                           vbl_error *err) {
  chunk t = {.x = a, .y = b, .order = order, .c = c};
  return multiply(&t, n, single, err);
}

bool vbl_row_product_single(const vbl_prepared *x, const vbl_prepared *y, int64_t columns_x, int64_t columns_y) {
  return x->single != NULL && y->single != NULL && (double)x->n * (double)columns_x * (double)columns_y > F32_PAYS;
}

bool vbl_product_single(const vbl_prepared *x, const vbl_prepared *y) {
  return x->cancels != VBL_CANCELS_YES && y->cancels != VBL_CANCELS_YES && vbl_row_product_single(x, y, x->d, y->d);
}

double vbl_debiased_sum(const vbl_prepared *x, const vbl_prepared *y, double s) {
  double n = (double)x->n, ab = vbl_dot(x->centred_norm2, y->centred_norm2, x->n);
  return s - n / (n - 2) * ab + x->total * y->total / ((n - 1) * (n - 2));
}

bool vbl_even_rows(const vbl_prepared *p) {
  double n = (double)p->n, aa = vbl_dot(p->centred_norm2, p->centred_norm2, p->n);
  return (VBL_KEPT - 1) * (p->total * p->total / (double)p->d) >= VBL_KEPT * aa * n / (n - 2);
}

void vbl_note_cancels(vbl_prepared *p, double self) {
  if (p->cancels != VBL_CANCELS_UNKNOWN) return;
  double exact = p->n <= p->d ? vbl_dot(p->centred_norm2, p->centred_norm2, p->n) : 0;
  bool lost = p->n > 3 && self - exact > VBL_KEPT * vbl_debiased_sum(p, p, self);
  p->cancels = lost ? VBL_CANCELS_YES : VBL_CANCELS_NO;
}

vbl_factor vbl_centred(const vbl_prepared *p) {
  return (vbl_factor){.single = p->single, .raw = p->raw, .mean = p->mean, .stride = p->d, .columns = p->d};
}

vbl_status vbl_prepared_cross(const vbl_prepared *x, const vbl_prepared *y, double *out, vbl_error *err) {
  if (vbl_device_pair(x, y)) return vbl_device_squared(x, y, out, err);
  const vbl_factor a = vbl_centred(x), b = vbl_centred(y);
  chunk t = {.x = &a, .y = &b, .same = x == y};
  VBL_TRY(vbl_scratch(x->d * y->d, "cross-covariance", &t.c, err));
  vbl_status status = multiply(&t, x->n, vbl_product_single(x, y), err);
  if (status == VBL_OK) *out = sum_of_squares(&t);
  vbl_scratch_free(x->d * y->d, t.c);
  return status;
}
