// An f32 matrix product, block by block, finds for every row all those whose key can be among its k best within the product's
// rounding error (by Higham's bound, so none is missed: where many rows are near, more are kept). Products are symmetric: each block
// serves its rows and its columns, and one copy of the rows, in panels, is both factors. A thread takes a block from its product to both sets of piles by itself, so that no thread waits
// for another one's product; a lock for each block of rows keeps their piles. In which order keys come changes no pile's final
// content: that is a matter of the k-th best key of all and the window.
// Memory: an f32 copy of the rows and n (2 k + 32) candidates; nothing is n x n.
// defines: vbl_candidates_find, vbl_candidates_free, vbl_pile_grow
#include "core/measure/candidates.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/interrupt.h"
#include "core/measure/apart.h"
#include "core/measure/parallel.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/loops.h"

enum { BLOCK = 256, MAXIMA = 32, FEW = 96, SLACK = 16 };

typedef struct search {
  const vbl_prepared *p;
  vbl_knn_metric metric;
  int64_t n, d, k, blocks, panels;
  vbl_apart apart;    // rows that take no part
  float *rows;        // (panels, d, VBL_PANEL): unit rows; rows / longest row; centred rows / longest centred row; those apart 0
  float *norm2;       // (n) euclidean: squared lengths of those
  float *floor;       // (n) the k-th best key seen less the window, which is twice the bound on |key of the product - exact key|
  vbl_candidates *c;  // piles: all keys seen that are at least floor[row]
  omp_lock_t *lock;   // (blocks) of the piles and floors of a block of rows
} search;

static size_t row_bytes(const search *s) { return sizeof *s->rows * (size_t)(s->panels * VBL_PANEL * s->d); }

static size_t place_bytes(const vbl_candidates *c) { return sizeof *c->places * (size_t)(c->n * c->room); }

static bool make_piles(const search *s, vbl_candidates *c) {
  *c = (vbl_candidates){.n = s->n, .room = 2 * s->k + 32};
  c->window = malloc(sizeof *c->window * (size_t)c->n);
  c->piles = malloc(sizeof *c->piles * (size_t)c->n);
  c->places = c->room <= INT32_MAX ? vbl_cpu_alloc(place_bytes(c)) : NULL;
  if (c->window == NULL || c->piles == NULL || c->places == NULL) {
    free(c->piles);
    c->piles = NULL;  // vbl_candidates_free reads no pile that is not set
    return false;
  }
  for (int64_t i = 0; i < c->n; i++) c->piles[i] = (vbl_pile){c->places + i * c->room, 0, (int32_t)c->room};
  return true;
}

static vbl_status make_search(search *s, vbl_error *err) {
  size_t n = (size_t)s->n;
  bool piles = make_piles(s, s->c);
  s->rows = vbl_cpu_alloc(row_bytes(s));
  s->norm2 = malloc(sizeof *s->norm2 * n);
  s->floor = malloc(sizeof *s->floor * n);
  s->lock = malloc(sizeof *s->lock * (size_t)s->blocks);
  for (int64_t b = 0; s->lock != NULL && b < s->blocks; b++) omp_init_lock(&s->lock[b]);
  if (!piles || s->rows == NULL || s->norm2 == NULL || s->floor == NULL || s->lock == NULL)
    return vbl_fail(err, VBL_ENOMEM, "neighbour lists of %lld rows: out of memory", (long long)s->n);
  return VBL_OK;
}

static void free_search(search *s) {
  for (int64_t b = 0; s->lock != NULL && b < s->blocks; b++) omp_destroy_lock(&s->lock[b]);
  vbl_cpu_free(s->rows, row_bytes(s));
  free(s->norm2);
  free(s->floor);
  free(s->lock);
}

// The window of a row of this length among rows of at most unit length: twice the rounding error that its keys can have. With u = 2^-24,
// converting costs 2u, the product as many u as a term of it is rounded (Higham, Accuracy and Stability, eq. 3.5 and section 4.2); each
// times |r_i| |r_j| <= |r_i|; the corrections of the Euclidean key (`centred`) a few u more. 1e-36 covers what underflows.
static float key_window(double length, int64_t roundings, bool centred) {
  const double u = 0x1p-24;
  double error = 1.05 * (double)(roundings + 8) * u * length + 1e-36;
  if (centred) error = 2 * error + 16 * u;
  return (float)(2 * error * 1.01);
}

// Row i scaled to at most unit length, in f32. A term of its products is rounded once for its own, in its chunk and where chunks are
// added. v: scratch (d), for f64 data.
static void fill_row(search *s, int64_t i, float *out, double *v) {
  const vbl_prepared *p = s->p;
  const bool centre = s->metric == VBL_KNN_EUCLIDEAN;
  const double by = s->metric == VBL_KNN_COSINE ? p->norm[i] : s->apart.scale;
  const bool apart = s->apart.count > 0 && s->apart.row[i];
  const double length = apart ? 0 : (centre ? sqrt(p->centred_norm2[i]) : p->norm[i]) / by;
  if (apart) {
    for (int64_t j = 0; j < s->d; j++) out[j] = 0;
  } else if (p->single != NULL && by > 1e-150) {  // 1 / by is finite
    vbl_cpu_loops()->scale(out, p->single + i * s->d, centre ? p->mean : NULL, 1 / by, s->d);
  } else {
    const double *row = vbl_prepared_row(p, i, v);
    for (int64_t j = 0; j < s->d; j++) out[j] = (float)((row[j] - (centre ? p->mean[j] : 0)) / by);
  }
  const int64_t roundings = (s->d < VBL_CHUNK ? s->d : VBL_CHUNK) + (s->d + VBL_CHUNK - 1) / VBL_CHUNK;
  s->norm2[i] = (float)(length * length);
  s->c->window[i] = key_window(length, roundings, centre);
  s->floor[i] = -INFINITY;
}

// The rows of panel p. rows, v: scratch (VBL_PANEL, d), (d).
static void fill_panel(search *s, int64_t p, float *rows, double *v) {
  const int64_t first = p * VBL_PANEL, count = s->n - first < VBL_PANEL ? s->n - first : VBL_PANEL;
  for (int64_t r = 0; r < count; r++) fill_row(s, first + r, rows + r * s->d, v);
  vbl_cpu_loops()->transpose(s->rows + first * s->d, VBL_PANEL, VBL_PANEL, rows, s->d, count, s->d);
}

static vbl_status fill_rows(search *s, vbl_error *err) {
  vbl_status shared = VBL_OK;
#pragma omp parallel
  {
    const size_t bytes = sizeof(float) * (size_t)(VBL_PANEL * s->d);
    float *rows = vbl_cpu_alloc(bytes);
    double *v = malloc(sizeof *v * (size_t)s->d);
    vbl_error mine;
    const bool ready = rows != NULL && v != NULL;
    if (!ready) vbl_shared_fail(&shared, vbl_fail(&mine, VBL_ENOMEM, "neighbour lists: out of memory"), &mine, err);
#pragma omp for schedule(static)
    for (int64_t p = 0; p < s->panels; p++)
      if (ready) fill_panel(s, p, rows, v);
    vbl_cpu_free(rows, bytes);
    free(v);
  }
  return shared;
}

// The k-th largest of v[0 .. count), by quickselect; v is reordered.
static float kth_largest(float *v, int64_t count, int64_t k) {
  int64_t lo = 0, hi = count - 1;
  while (lo < hi) {
    float pivot = v[lo + (hi - lo) / 2];
    int64_t i = lo, j = hi;
    while (i <= j) {
      while (v[i] > pivot) i++;  // NOLINT(clang-analyzer-core.UndefinedBinaryOperatorResult): stops at the pivot at the latest
      while (v[j] < pivot) j--;  // NOLINT(clang-analyzer-core.UndefinedBinaryOperatorResult): likewise
      if (i > j) break;
      float t = v[i];
      v[i++] = v[j];
      v[j--] = t;
    }
    if (k - 1 <= j)
      hi = j;
    else if (k - 1 >= i)
      lo = i;
    else
      break;
  }
  return v[k - 1];
}

// Raises the row's floor to what its candidates allow and drops those below. False without memory.
static bool sift(search *s, int64_t i) {
  vbl_pile *p = &s->c->piles[i];
  if (p->count < s->k || p->count < 1) return true;
  float few[FEW], *scratch = p->count <= FEW ? few : malloc(sizeof *scratch * (size_t)p->count);
  if (scratch == NULL) return false;
  for (int32_t q = 0; q < p->count; q++) scratch[q] = p->at[q].key;
  float kth = p->count <= FEW ? vbl_cpu_loops()->kth_largest(scratch, p->count, s->k) : kth_largest(scratch, p->count, s->k);
  float floor_key = kth - s->c->window[i];
  if (scratch != few) free(scratch);
  int32_t kept = 0;
  for (int32_t q = 0; q < p->count; q++) {  // without a branch, which nothing foretells
    const vbl_candidate x = p->at[q];
    p->at[kept] = x;
    kept += x.key >= floor_key;
  }
  p->count = kept;
  s->floor[i] = floor_key;
  return true;
}

bool vbl_pile_grow(const vbl_candidates *c, vbl_pile *pile, int64_t capacity) {
  const bool first = pile->capacity == c->room;
  vbl_candidate *at = capacity > INT32_MAX ? NULL : realloc(first ? NULL : pile->at, sizeof *at * (size_t)capacity);
  if (at == NULL) return false;
  if (first) memcpy(at, pile->at, sizeof *at * (size_t)pile->count);
  pile->at = at;
  pile->capacity = (int32_t)capacity;
  return true;
}

// A full pile is sifted; one that stays nearly full (many rows as near as the k-th) grows.
static bool make_room(search *s, int64_t i) {
  vbl_pile *p = &s->c->piles[i];
  if (!sift(s, i)) return false;
  return p->count < p->capacity - p->capacity / 4 || vbl_pile_grow(s->c, p, 2 * (int64_t)p->capacity);
}

static bool push(search *s, int64_t i, float key, int64_t j) {
  vbl_pile *p = &s->c->piles[i];
  if (i == j || key < s->floor[i] || key == -INFINITY) return true;
  if (p->count == p->capacity && !make_room(s, i)) return false;
  if (key >= s->floor[i]) p->at[p->count++] = (vbl_candidate){key, (int32_t)j};
  return true;
}

// A row that has no key yet starts from what a whole block shows: of the largest keys of MAXIMA parts the k-th is at most the k-th
// of all. Without it the first keys, good or not, would be piled up and sifted.
static void first_floor(search *s, int64_t i, const float *v) {
  float most[MAXIMA];
  for (int q = 0; q < MAXIMA; q++) most[q] = v[q];
  for (int64_t c = MAXIMA; c < BLOCK; c += MAXIMA)
#pragma omp simd
    for (int q = 0; q < MAXIMA; q++) most[q] = v[c + q] > most[q] ? v[c + q] : most[q];
  s->floor[i] = vbl_cpu_loops()->kth_largest(most, MAXIMA, s->k) - s->c->window[i];
}

// Row i against the columns from j; v: the block's row, -inf where it is row i itself.
static bool scan_row(search *s, int64_t i, const float *v, int64_t j, int64_t columns) {
  int32_t found[BLOCK + SLACK];
  bool ok = true;
  if (s->floor[i] == -INFINITY && columns == BLOCK && s->k <= MAXIMA) first_floor(s, i, v);
  int64_t count = vbl_cpu_loops()->at_least(v, s->floor + i, false, columns, found);
  for (int64_t q = 0; q < count; q++) ok &= push(s, i, v[found[q]], j + found[q]);
  return ok;
}

// The same keys for the columns' own piles: column j + c meets row i.
static bool scan_columns(search *s, int64_t i, const float *v, int64_t j, int64_t columns) {
  int32_t found[BLOCK + SLACK];
  bool ok = true;
  int64_t count = vbl_cpu_loops()->at_least(v, s->floor + j, true, columns, found);
  for (int64_t q = 0; q < count; q++) ok &= push(s, j + found[q], v[found[q]], i);
  return ok;
}

static int64_t block_rows(const search *s, int64_t block) { return s->n - block * BLOCK < BLOCK ? s->n - block * BLOCK : BLOCK; }

// Keys of `rows` rows from i against `columns` rows from j, into v of row length BLOCK; a block on the diagonal is computed on and above
// it, panel by panel, and copied below. -inf where a row meets itself.
static void multiply(const search *s, int64_t i, int64_t rows, int64_t j, int64_t columns, float *v) {
  const int64_t d = s->d, panels = (columns + VBL_PANEL - 1) / VBL_PANEL;
  for (int64_t p = 0; p * VBL_PANEL < rows; p++) {
    const int64_t first = i == j ? p : 0, after = (p + 1) * VBL_PANEL;
    float *out = v + p * VBL_PANEL * BLOCK;
    vbl_cpu_loops()->panel_products(s->rows + (i + p * VBL_PANEL) * d, s->rows + (j + first * VBL_PANEL) * d, panels - first, d,
                                    out + first * VBL_PANEL, BLOCK);
    if (i == j && after < columns)
      vbl_cpu_loops()->transpose(v + after * BLOCK + p * VBL_PANEL, BLOCK, VBL_PANEL, out + after, BLOCK, VBL_PANEL,
                                 columns - after);
  }
  for (int64_t r = 0; s->metric == VBL_KNN_EUCLIDEAN && r < rows; r++)
    for (int64_t c = 0; c < columns; c++) v[r * BLOCK + c] = 2 * v[r * BLOCK + c] - s->norm2[i + r] - s->norm2[j + c];
  for (int64_t r = 0; i == j && r < rows; r++) v[r * BLOCK + r] = -INFINITY;
}

// -inf where a row apart is met: no pile takes it.
static void leave_out(const search *s, int64_t i, int64_t rows, int64_t j, int64_t columns, float *v) {
  for (int64_t r = 0; s->apart.count > 0 && r < rows; r++)
    for (int64_t c = 0; c < columns; c++)
      if (s->apart.row[i + r] || s->apart.row[j + c]) v[r * BLOCK + c] = -INFINITY;
}

// Keys of the rows of block bi against those of block bj >= bi, to the piles of both. v: (BLOCK, BLOCK).
static bool run_block(search *s, int64_t bi, int64_t bj, float *v) {
  int64_t i = bi * BLOCK, j = bj * BLOCK, rows = block_rows(s, bi), columns = block_rows(s, bj);
  bool ok = true;
  multiply(s, i, rows, j, columns, v);
  leave_out(s, i, rows, j, columns, v);
  omp_set_lock(&s->lock[bi]);
  for (int64_t r = 0; r < rows; r++) ok &= scan_row(s, i + r, v + r * BLOCK, j, columns);
  omp_unset_lock(&s->lock[bi]);
  if (bi == bj) return ok;
  omp_set_lock(&s->lock[bj]);
  for (int64_t r = 0; r < rows; r++) ok &= scan_columns(s, i + r, v + r * BLOCK, j, columns);
  omp_unset_lock(&s->lock[bj]);
  return ok;
}

// Pair q of blocks, diagonal by diagonal: neighbours in time then seldom want the same lock.
static vbl_status run_pair(search *s, int64_t q, float *v, vbl_error *err) {
  int64_t apart, block;
  VBL_TRY(vbl_interrupt_check(err));
  vbl_pair(q, s->blocks, &apart, &block);
  if (v == NULL || !run_block(s, block, block + apart, v))
    return vbl_fail(err, VBL_ENOMEM, "neighbour lists of %lld rows: out of memory", (long long)s->n);
  return VBL_OK;
}

static vbl_status run_blocks(search *s, vbl_error *err) {
  int64_t pairs = s->blocks * (s->blocks + 1) / 2;
  vbl_status shared = VBL_OK;
#pragma omp parallel
  {
    float *v = vbl_cpu_alloc(sizeof *v * BLOCK * BLOCK);
    vbl_error mine;
#pragma omp for schedule(dynamic)
    for (int64_t q = 0; q < pairs; q++)
      if (!vbl_shared_failed(&shared)) vbl_shared_fail(&shared, run_pair(s, q, v, &mine), &mine, err);
    vbl_cpu_free(v, sizeof *v * BLOCK * BLOCK);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < s->n; i++)
      if (!vbl_shared_failed(&shared) && !sift(s, i))
        vbl_shared_fail(&shared, vbl_fail(&mine, VBL_ENOMEM, "neighbour lists: out of memory"), &mine, err);
  }
  return shared;
}

vbl_status vbl_candidates_find(const vbl_prepared *p, vbl_knn_metric metric, int64_t k, vbl_candidates *out, vbl_error *err) {
  search s = {.p = p, .metric = metric, .n = p->n, .d = p->d, .k = k, .c = out};
  s.blocks = (p->n + BLOCK - 1) / BLOCK;
  s.panels = (p->n + VBL_PANEL - 1) / VBL_PANEL;
  vbl_status status = make_search(&s, err);
  if (status == VBL_OK) status = vbl_apart_find(p, metric, &s.apart, err);
  if (status == VBL_OK) status = fill_rows(&s, err);
  if (status == VBL_OK) status = run_blocks(&s, err);
  if (status == VBL_OK) status = vbl_apart_add(&s.apart, out, err);
  vbl_apart_free(&s.apart);
  free_search(&s);
  return status;
}

void vbl_candidates_free(vbl_candidates *c) {
  for (int64_t i = 0; c->piles != NULL && i < c->n; i++)
    if (c->piles[i].capacity != c->room) free(c->piles[i].at);
  vbl_cpu_free(c->places, place_bytes(c));
  free(c->piles);
  free(c->window);
  if (c->exact != NULL) vbl_scratch_free(c->n * c->room, c->exact);
  *c = (vbl_candidates){0};
}
