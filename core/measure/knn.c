// k nearest neighbours in two passes. An f32 matrix product, block by block, finds for every row all those whose key can be among its
// k best within the product's rounding error (by Higham's bound, so none is missed: where many rows are near, more are kept); their
// keys are then computed in f64 in one fixed order of summation, which decides. So equal rows have equal keys, and the lists depend
// neither on block size, threads nor the library's kernels. Products are symmetric: each block serves its rows and its columns.
// Memory: an f32 copy of the rows and n (2 k + 32) candidates; nothing is n x n.
// defines: vbl_knn_make, vbl_knn_free, vbl_prepared_knn
#include "core/measure/knn.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "kernels/kernels.h"

enum { BLOCK = 512, TILE = 256, LANES = 4 };

typedef struct seen {  // a key of the product
  float key;
  int32_t index;
} seen;

// A row's candidates so far: all keys seen that are at least floor[row].
typedef struct pile {
  seen *at;
  int32_t count, capacity;
} pile;

typedef struct search {
  const vbl_prepared *p;
  vbl_knn_metric metric;
  int64_t n, d, k;
  float *rows;    // (n, d) unit rows; rows / longest row; centred rows / longest centred row
  float *norm2;   // (n) euclidean: squared lengths of those
  float *window;  // (n) twice the bound on |key of the product - exact key|
  float *floor;   // (n) the k-th best key seen less the window
  pile *piles;    // (n)
  float *block;   // (BLOCK, BLOCK)
  bool failed;    // a pile could not grow
} search;

typedef struct neighbour {
  double key;
  int32_t index;
} neighbour;

static vbl_status make_search(const vbl_prepared *p, vbl_knn_metric metric, int64_t k, search *s, vbl_error *err) {
  *s = (search){.p = p, .metric = metric, .n = p->n, .d = p->d, .k = k};
  size_t n = (size_t)p->n;
  s->rows = malloc(sizeof *s->rows * n * (size_t)p->d);
  s->norm2 = malloc(sizeof *s->norm2 * n);
  s->window = malloc(sizeof *s->window * n);
  s->floor = malloc(sizeof *s->floor * n);
  s->piles = calloc(n, sizeof *s->piles);
  s->block = malloc(sizeof *s->block * BLOCK * BLOCK);
  if (s->rows == NULL || s->norm2 == NULL || s->window == NULL || s->floor == NULL || s->piles == NULL || s->block == NULL)
    return vbl_fail(err, VBL_ENOMEM, "neighbour lists of %lld rows: out of memory", (long long)p->n);
  return VBL_OK;
}

static void free_search(search *s) {
  for (int64_t i = 0; s->piles != NULL && i < s->n; i++) free(s->piles[i].at);
  free(s->rows);
  free(s->norm2);
  free(s->window);
  free(s->floor);
  free(s->piles);
  free(s->block);
}

static double longest(const vbl_prepared *p, vbl_knn_metric metric) {
  double largest = 0;
  for (int64_t i = 0; i < p->n; i++) largest = fmax(largest, metric == VBL_KNN_IP ? p->norm[i] : sqrt(p->centred_norm2[i]));
  return largest > 0 ? largest : 1;
}

// Rows scaled to at most unit length, in f32, and the rounding that each row's keys can have: with u = 2^-24, converting costs 2u, the
// product (d + 2) u (Higham, Accuracy and Stability, eq. 3.5), each times |r_i| |r_j| <= |r_i|; the corrections of the Euclidean
// key a few u more. 1e-36 covers what underflows.
static void fill_rows(search *s) {
  const vbl_prepared *p = s->p;
  const double u = 0x1p-24, scale = s->metric == VBL_KNN_COSINE ? 1 : longest(p, s->metric);
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < s->n; i++) {
    float *row = s->rows + i * s->d;
    double by = s->metric == VBL_KNN_COSINE ? p->norm[i] : scale, length2 = 0;
    for (int64_t j = 0; j < s->d; j++) {
      double v = vbl_prepared_element(p, i, j) - (s->metric == VBL_KNN_EUCLIDEAN ? p->mean[j] : 0);
      row[j] = (float)(v / by);
      length2 += (v / by) * (v / by);
    }
    s->norm2[i] = (float)length2;
    double error = 1.05 * (double)(s->d + 8) * u * sqrt(length2) + 1e-36;
    if (s->metric == VBL_KNN_EUCLIDEAN) error = 2 * error + 16 * u;
    s->window[i] = (float)(2 * error * 1.01);
    s->floor[i] = -INFINITY;
  }
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

// Raises the row's floor to what its candidates allow and drops those below. scratch: one float a seen.
static void sift(search *s, int64_t i, float *scratch) {
  pile *p = &s->piles[i];
  if (p->count < s->k) return;
  for (int32_t q = 0; q < p->count; q++) scratch[q] = p->at[q].key;
  float floor_key = kth_largest(scratch, p->count, s->k) - s->window[i];
  int32_t kept = 0;
  for (int32_t q = 0; q < p->count; q++)
    if (p->at[q].key >= floor_key) p->at[kept++] = p->at[q];
  p->count = kept;
  s->floor[i] = floor_key;
}

// A full pile is sifted; one that stays nearly full (many rows as near as the k-th) grows.
static bool make_room(search *s, int64_t i) {
  pile *p = &s->piles[i];
  if (p->capacity > 0) {
    float *scratch = malloc(sizeof *scratch * (size_t)p->capacity);
    if (scratch == NULL) return false;
    sift(s, i, scratch);
    free(scratch);
    if (p->count < p->capacity - p->capacity / 4) return true;
  }
  int64_t grown = p->capacity == 0 ? 2 * s->k + 32 : 2 * (int64_t)p->capacity;
  seen *at = grown > INT32_MAX ? NULL : realloc(p->at, sizeof *at * (size_t)grown);
  if (at == NULL) return false;
  p->at = at;
  p->capacity = (int32_t)grown;
  return true;
}

static void push(search *s, int64_t i, float key, int64_t j) {
  pile *p = &s->piles[i];
  if (i == j || key < s->floor[i]) return;
  if (p->count == p->capacity && !make_room(s, i)) {
#pragma omp atomic write
    s->failed = true;
    return;
  }
  if (key >= s->floor[i]) p->at[p->count++] = (seen){key, (int32_t)j};
}

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t mask __attribute__((vector_size(4 * LANES)));

static bool any(mask m) { return ((m[0] | m[1]) | (m[2] | m[3])) != 0; }

// Rows i .. of the block against columns j ..; v: the block's row.
static void scan_row(search *s, int64_t i, const float *v, int64_t j, int64_t columns) {
  int64_t c = 0;
  for (; c + LANES <= columns; c += LANES) {
    float f = s->floor[i];
    if (!any(*(const lanes *)(v + c) >= (lanes){f, f, f, f})) continue;
    for (int64_t q = c; q < c + LANES; q++) push(s, i, v[q], j + q);
  }
  for (; c < columns; c++) push(s, i, v[c], j + c);
}

// The same keys for the columns' own lists: column j + c meets row i. first .. end: this thread's columns.
static void scan_columns(search *s, int64_t i, const float *v, int64_t j, int64_t first, int64_t end) {
  int64_t c = first;
  for (; c + LANES <= end; c += LANES) {
    if (!any(*(const lanes *)(v + c) >= *(const lanes *)(s->floor + j + c))) continue;
    for (int64_t q = c; q < c + LANES; q++) push(s, j + q, v[q], i);
  }
  for (; c < end; c++) push(s, j + c, v[c], i);
}

static int64_t block_rows(const search *s, int64_t first) { return s->n - first < BLOCK ? s->n - first : BLOCK; }

// Keys of rows i .. against rows j .. (j >= i), to the lists of both.
static void run_block(search *s, int64_t i, int64_t j) {
  int64_t rows = block_rows(s, i), columns = block_rows(s, j), d = s->d;
  enum { STRIPE = 64 };
  vbl_cpu_backend()->gemm(false, true, rows, columns, d, 1, s->rows + i * d, d, s->rows + j * d, d, 0, s->block, BLOCK, NULL);
#pragma omp parallel
  {
#pragma omp for schedule(dynamic, 16)
    for (int64_t r = 0; r < rows; r++) {
      float *v = s->block + r * BLOCK;
      for (int64_t c = 0; s->metric == VBL_KNN_EUCLIDEAN && c < columns; c++) v[c] = 2 * v[c] - s->norm2[i + r] - s->norm2[j + c];
      scan_row(s, i + r, v, j, columns);
    }
#pragma omp for schedule(dynamic)
    for (int64_t c = 0; c < (j > i ? columns : 0); c += STRIPE)
      for (int64_t r = 0; r < rows; r++)
        scan_columns(s, i + r, s->block + r * BLOCK, j, c, c + STRIPE < columns ? c + STRIPE : columns);
  }
}

static vbl_status run_blocks(search *s, vbl_error *err) {
  for (int64_t i = 0; i < s->n; i += BLOCK)
    for (int64_t j = i; j < s->n; j += BLOCK) {
      VBL_TRY(vbl_interrupt_check(err));
      run_block(s, i, j);
      if (s->failed) return vbl_fail(err, VBL_ENOMEM, "neighbour lists of %lld rows: out of memory", (long long)s->n);
    }
  return VBL_OK;
}

// Keys are larger for nearer rows. a: row i in f64, from vbl_prepared_row; b: scratch (d).
static double exact_key(const search *s, int64_t i, const double *a, int64_t j, double *b) {
  const vbl_prepared *p = s->p;
  const double *row = vbl_prepared_row(p, j, b);
  if (s->metric == VBL_KNN_EUCLIDEAN) return -vbl_distance2(a, row, s->d);
  if (s->metric == VBL_KNN_IP) return vbl_dot(a, row, s->d);
  double scale = p->norm[i] * p->norm[j], dot = 0;
  if (scale > 1e-250 && scale < 1e250) return vbl_dot(a, row, s->d) / scale;
  for (int64_t q = 0; q < s->d; q++) dot += a[q] / p->norm[i] * (row[q] / p->norm[j]);
  return dot;
}

static int nearer_first(const void *a, const void *b) {
  const neighbour *x = a, *y = b;
  if (x->key != y->key) return x->key > y->key ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

// Row i's candidates decided by exact keys, sorted, into *found (the caller's to free); their number, or -1 without memory.
static int64_t decide(search *s, int64_t i, double *a, double *b, neighbour **found) {
  pile *p = &s->piles[i];
  float *scratch = malloc(sizeof *scratch * (size_t)p->count);
  *found = malloc(sizeof **found * (size_t)p->count);
  if (scratch == NULL || *found == NULL) {
    free(scratch);
    return -1;
  }
  sift(s, i, scratch);
  const double *row = vbl_prepared_row(s->p, i, a);
  for (int32_t q = 0; q < p->count; q++) (*found)[q] = (neighbour){exact_key(s, i, row, p->at[q].index, b), p->at[q].index};
  qsort(*found, (size_t)p->count, sizeof **found, nearer_first);
  free(scratch);
  return p->count;
}

// Copies row i's k best into the list; *kept = how many weigh (more than k when the boundary is tied).
static void keep_row(vbl_knn *list, int64_t i, const neighbour *found, int64_t count, int64_t *kept) {
  int64_t k = list->k, end = k;
  for (int64_t r = 0; r < k; r++) {
    list->index[i * k + r] = found[r].index;
    list->tied[i * k + r] = r > 0 && found[r].key == found[r - 1].key;
  }
  while (end < count && found[end].key == found[k - 1].key) end++;
  *kept = end;
}

static int by_index(const void *a, const void *b) {
  const neighbour *x = a, *y = b;
  return x->index < y->index ? -1 : x->index > y->index;
}

// Appends row i's weights (key field reused for the weight) to the compressed rows.
static vbl_status append_weights(vbl_knn *list, int64_t i, neighbour *found, int64_t kept, int64_t *capacity, vbl_error *err) {
  int64_t k = list->k, at = list->start[i], strict = 0;
  while (strict < k && found[strict].key > found[k - 1].key) strict++;
  double tied = (double)(k - strict) / (double)(kept - strict);
  for (int64_t r = 0; r < kept; r++) found[r].key = r < strict ? 1 : tied;
  qsort(found, (size_t)kept, sizeof *found, by_index);
  if (at + kept > *capacity) {
    int64_t grown = 2 * (at + kept);
    int32_t *candidate = realloc(list->candidate, sizeof *candidate * (size_t)grown);
    if (candidate != NULL) list->candidate = candidate;
    double *weight = realloc(list->weight, sizeof *weight * (size_t)grown);
    if (weight != NULL) list->weight = weight;
    if (candidate == NULL || weight == NULL) return vbl_fail(err, VBL_ENOMEM, "neighbour lists: out of memory");
    *capacity = grown;
  }
  for (int64_t r = 0; r < kept; r++) {
    list->candidate[at + r] = found[r].index;
    list->weight[at + r] = found[r].key;
  }
  list->start[i + 1] = at + kept;
  list->tie_rows += kept > k;
  return VBL_OK;
}

// Rows first .. first + rows: decided in parallel, appended in order.
static vbl_status finish_tile(search *s, vbl_knn *list, int64_t first, int64_t rows, int64_t *capacity, vbl_error *err) {
  neighbour *found[TILE] = {NULL};
  int64_t count[TILE];
  vbl_status status = VBL_OK;
#pragma omp parallel
  {
    double *a = malloc(sizeof *a * (size_t)s->d), *b = malloc(sizeof *b * (size_t)s->d);
#pragma omp for schedule(dynamic, 8)
    for (int64_t r = 0; r < rows; r++) count[r] = a != NULL && b != NULL ? decide(s, first + r, a, b, &found[r]) : -1;
    free(a);
    free(b);
  }
  for (int64_t r = 0; r < rows; r++) {
    int64_t kept = 0;
    if (status == VBL_OK && count[r] < 0) status = vbl_fail(err, VBL_ENOMEM, "neighbour lists: out of memory");
    if (status == VBL_OK) {
      keep_row(list, first + r, found[r], count[r], &kept);
      status = append_weights(list, first + r, found[r], kept, capacity, err);
    }
    free(found[r]);
  }
  return status;
}

static vbl_status make_lists(search *s, vbl_knn *list, vbl_error *err) {
  int64_t capacity = 0;
  fill_rows(s);
  VBL_TRY(run_blocks(s, err));
  list->start[0] = 0;
  for (int64_t first = 0; first < s->n; first += TILE) {
    VBL_TRY(vbl_interrupt_check(err));
    VBL_TRY(finish_tile(s, list, first, s->n - first < TILE ? s->n - first : TILE, &capacity, err));
  }
  return VBL_OK;
}

vbl_status vbl_knn_make(vbl_prepared *p, int64_t k, vbl_knn_metric metric, vbl_knn **out, vbl_error *err) {
  search s = {0};
  vbl_knn *list = calloc(1, sizeof *list);
  if (list == NULL) return vbl_fail(err, VBL_ENOMEM, "neighbour lists: out of memory");
  list->metric = metric;
  list->n = p->n;
  list->k = k;
  list->index = malloc(sizeof *list->index * (size_t)(p->n * k));
  list->tied = malloc(sizeof *list->tied * (size_t)(p->n * k));
  list->start = malloc(sizeof *list->start * (size_t)(p->n + 1));
  vbl_status status = make_search(p, metric, k, &s, err);
  if (status == VBL_OK && (list->index == NULL || list->tied == NULL || list->start == NULL))
    status = vbl_fail(err, VBL_ENOMEM, "neighbour lists of %lld rows: out of memory", (long long)p->n);
  if (status == VBL_OK) status = make_lists(&s, list, err);
  free_search(&s);
  if (status == VBL_OK)
    *out = list;
  else
    vbl_knn_free(list);
  return status;
}

void vbl_knn_free(vbl_knn *list) {
  while (list != NULL) {
    vbl_knn *next = list->next;
    free(list->index);
    free(list->tied);
    free(list->start);
    free(list->candidate);
    free(list->weight);
    free(list);
    list = next;
  }
}

vbl_status vbl_prepared_knn(vbl_prepared *p, int64_t k, vbl_knn_metric metric, const vbl_knn **out, vbl_error *err) {
  for (vbl_knn *list = p->knn; list != NULL; list = list->next)
    if (list->k == k && list->metric == metric) {
      *out = list;
      return VBL_OK;
    }
  if (k < 1 || k > p->n - 1)
    return vbl_fail(err, VBL_EINVAL, "k = %lld: expected 1 to n - 1 = %lld neighbours", (long long)k, (long long)p->n - 1);
  vbl_knn *made = NULL;
  VBL_TRY(vbl_knn_make(p, k, metric, &made, err));
  made->next = p->knn;
  p->knn = made;
  *out = made;
  return VBL_OK;
}
