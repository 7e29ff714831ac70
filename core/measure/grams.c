// defines: vbl_gram_products
#include "core/measure/grams.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/cross.h"
#include "core/measure/device.h"
#include "core/measure/lapack.h"
#include "core/measure/parallel.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/loops.h"

enum { TILE = 256, GROUPS = 512 };

// The tiles on and above the diagonal in groups, whose number depends on n alone; each group has sums of its own.
typedef struct grams {
  vbl_prepared *const *m;
  int64_t n, count, pairs, tiles, wide;
  bool single;
} grams;

typedef struct work {
  void *left, *right;  // rows less their mean: (TILE, wide), f32 or f64
  void *product;       // (count, TILE * TILE)
} work;

static size_t bytes_of(const grams *g, int64_t numbers) { return (g->single ? sizeof(float) : sizeof(double)) * (size_t)numbers; }

static bool make_work(const grams *g, work *w) {
  w->left = vbl_cpu_alloc(bytes_of(g, TILE * g->wide));
  w->right = vbl_cpu_alloc(bytes_of(g, TILE * g->wide));
  w->product = vbl_cpu_alloc(bytes_of(g, g->count * TILE * TILE));
  return w->left != NULL && w->right != NULL && w->product != NULL;
}

static void free_work(const grams *g, const work *w) {
  vbl_cpu_free(w->left, bytes_of(g, TILE * g->wide));
  vbl_cpu_free(w->right, bytes_of(g, TILE * g->wide));
  vbl_cpu_free(w->product, bytes_of(g, g->count * TILE * TILE));
}

static void centred_rows(const grams *g, const vbl_prepared *p, int64_t first, int64_t rows, void *out) {
  for (int64_t i = 0; i < rows; i++) {
    if (g->single) {
      vbl_cpu_loops()->scale((float *)out + i * p->d, p->single + (first + i) * p->d, p->mean, 1, p->d);
    } else {
      double *to = (double *)out + i * p->d;
      const double *row = vbl_prepared_row(p, first + i, to);
      for (int64_t j = 0; j < p->d; j++) to[j] = row[j] - p->mean[j];
    }
  }
}

// The tile of rows i and columns j of matrix a's kernel, (rows, columns), its diagonal 0.
static void kernel_tile(const grams *g, const work *w, int64_t a, int64_t i, int64_t rows, int64_t j, int64_t columns) {
  const vbl_prepared *p = g->m[a];
  const void *right = i == j ? w->left : w->right;
  float *single = (float *)w->product + a * TILE * TILE;
  double *raw = (double *)w->product + a * TILE * TILE;
  centred_rows(g, p, i, rows, w->left);
  if (i != j) centred_rows(g, p, j, columns, w->right);
  if (g->single)
    vbl_cpu_backend()->gemm(false, true, rows, columns, p->d, 1, w->left, p->d, right, p->d, 0, single, columns, NULL);
  else
    vbl_gemm(false, true, rows, columns, p->d, 1, w->left, p->d, right, p->d, 0, raw, columns);
  for (int64_t r = 0; i == j && r < rows; r++) {
    if (g->single)
      single[r * columns + r] = 0;
    else
      raw[r * columns + r] = 0;
  }
}

static double tile_product(const grams *g, const work *w, int64_t a, int64_t b, int64_t elements) {
  int64_t x = a * TILE * TILE, y = b * TILE * TILE;
  if (!g->single) return vbl_dot((double *)w->product + x, (double *)w->product + y, elements);
  return vbl_cpu_loops()->dot_single((float *)w->product + x, (float *)w->product + y, elements);
}

static void add_tile(const grams *g, const work *w, int64_t q, double *sum) {
  int64_t line, place;
  vbl_pair(q, (g->n + TILE - 1) / TILE, &line, &place);
  int64_t i = line * TILE, j = (line + place) * TILE;
  int64_t rows = g->n - i < TILE ? g->n - i : TILE, columns = g->n - j < TILE ? g->n - j : TILE;
  for (int64_t a = 0; a < g->count; a++) kernel_tile(g, w, a, i, rows, j, columns);
  for (int64_t a = 0; a < g->count; a++)
    for (int64_t b = a; b < g->count; b++) *sum++ += (i == j ? 1 : 2) * tile_product(g, w, a, b, rows * columns);
}

// sums: (groups, pairs), zero.
static vbl_status run(const grams *g, int64_t groups, double *sums, vbl_error *err) {
  vbl_status shared = VBL_OK;
#pragma omp parallel
  {
    work w;
    vbl_error mine;
    if (!make_work(g, &w)) vbl_shared_fail(&shared, vbl_fail(&mine, VBL_ENOMEM, "products of kernels: out of memory"), &mine, err);
#pragma omp for schedule(dynamic)
    for (int64_t q = 0; q < groups; q++) {
      if (!vbl_shared_failed(&shared)) vbl_shared_fail(&shared, vbl_interrupt_check(&mine), &mine, err);
      for (int64_t t = g->tiles * q / groups; t < g->tiles * (q + 1) / groups && !vbl_shared_failed(&shared); t++)
        add_tile(g, &w, t, sums + q * g->pairs);
    }
    free_work(g, &w);
  }
  return shared;
}

// Adds the groups in order, and the diagonals.
static void collect(const grams *g, int64_t groups, const double *sums, double *out) {
  int64_t pair = 0;
  for (int64_t a = 0; a < g->count; a++)
    for (int64_t b = a; b < g->count; b++, pair++) {
      double sum = vbl_dot(g->m[a]->centred_norm2, g->m[b]->centred_norm2, g->n);
      for (int64_t q = 0; q < groups; q++) sum += sums[q * g->pairs + pair];
      out[a * g->count + b] = out[b * g->count + a] = sum;
    }
}

// Whether any of the matrices cancels, from their own products.
static bool cancels(vbl_prepared *const *m, int64_t count, const double *out) {
  bool any = false;
  for (int64_t a = 0; a < count; a++) {
    vbl_note_cancels(m[a], out[a * count + a]);
    any = any || m[a]->cancels == VBL_CANCELS_YES;
  }
  return any;
}

static void keep_selves(vbl_prepared *const *m, int64_t count, const double *out) {
  for (int64_t a = 0; a < count; a++)
    if (m[a]->n <= m[a]->d && isnan(m[a]->self)) m[a]->self = out[a * count + a];
}

static vbl_status host_grams(grams *g, double *out, vbl_error *err) {
  int64_t groups = g->tiles < GROUPS ? g->tiles : GROUPS;
  if (!g->single) VBL_TRY(vbl_lapack_open(NULL, err));
  double *sums = calloc((size_t)(groups * g->pairs), sizeof *sums);
  if (sums == NULL) return vbl_fail(err, VBL_ENOMEM, "products of kernels: out of memory");
  vbl_status status = run(g, groups, sums, err);
  if (status == VBL_OK) collect(g, groups, sums, out);
  free(sums);
  return status;
}

vbl_status vbl_gram_products(vbl_prepared *const *matrices, int64_t count, double *out, vbl_error *err) {
  bool device = true;
  for (int64_t a = 0; a < count; a++) device = device && matrices[a]->device != NULL;
  grams g = {.m = matrices, .n = matrices[0]->n, .count = count, .pairs = count * (count + 1) / 2, .single = true};
  int64_t across = (g.n + TILE - 1) / TILE;
  g.tiles = across * (across + 1) / 2;
  for (int64_t a = 0; a < count; a++) {
    g.single = g.single && vbl_product_single(matrices[a], matrices[a]);
    g.wide = matrices[a]->d > g.wide ? matrices[a]->d : g.wide;
  }
  VBL_TRY(device ? vbl_device_grams(matrices, count, out, err) : host_grams(&g, out, err));
  if (cancels(matrices, count, out) && !device && g.single) {
    g.single = false;
    VBL_TRY(host_grams(&g, out, err));
  }
  keep_selves(matrices, count, out);
  return VBL_OK;
}
