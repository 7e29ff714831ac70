// k nearest neighbours in two passes: a matrix product finds, tile by tile, every row whose key can be among the k best within
// the product's rounding error; those keys are then computed again in one fixed order of summation, which decides. So equal rows
// have equal keys, and the lists depend neither on the tile size nor on the library's kernels.
// defines: vbl_knn_make, vbl_knn_free, vbl_prepared_knn
#include "core/measure/knn.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/lapack.h"

enum { TILE = 128 };

typedef struct neighbour {
  double key;
  int32_t index;
} neighbour;

// Where the keys of one metric come from: rows of the product, its corrections and its error bound.
typedef struct key_source {
  const vbl_prepared *p;
  vbl_knn_metric metric;
  const double *rows;  // (n, d): unit, raw or centred
  double error;        // bound on |key of the product - key of the fixed sum|, both against the exact key
} key_source;

static vbl_status source_of(vbl_prepared *p, vbl_knn_metric metric, key_source *s, vbl_error *err) {
  *s = (key_source){.p = p, .metric = metric, .rows = p->raw};
  double largest = 1;
  if (metric == VBL_KNN_COSINE) {
    VBL_TRY(vbl_prepared_unit(p, err));
    s->rows = p->unit;
  } else if (metric == VBL_KNN_IP) {
    for (int64_t i = 0; i < p->n; i++) largest = fmax(largest, p->norm[i] * p->norm[i]);
  } else {
    s->rows = p->centred;
    for (int64_t i = 0; i < p->n; i++) largest = fmax(largest, 4 * p->centred_norm2[i]);
    // Centring itself rounds by eps |x| per element; the exact keys are differences of the raw rows.
    double mean2 = vbl_dot(p->mean, p->mean, p->d);
    largest += sqrt(largest * mean2);
  }
  // |fl(a.b) - a.b| <= d eps |a||b| (Higham, Accuracy and Stability, eq. 3.5), for each of the two sums; doubled for safety.
  s->error = 4 * (double)(p->d + 8) * DBL_EPSILON * largest;
  return VBL_OK;
}

// Keys are larger for nearer rows.
static double exact_key(const key_source *s, int64_t i, int64_t j) {
  int64_t d = s->p->d;
  if (s->metric == VBL_KNN_EUCLIDEAN) return -vbl_distance2(s->p->raw + i * d, s->p->raw + j * d, d);
  return vbl_dot(s->rows + i * d, s->rows + j * d, d);
}

static int nearer_first(const void *a, const void *b) {
  const neighbour *x = a, *y = b;
  if (x->key != y->key) return x->key > y->key ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

// The k-th largest of v[0 .. count), by quickselect; v is reordered.
static double kth_largest(double *v, int64_t count, int64_t k) {
  int64_t lo = 0, hi = count - 1;
  while (lo < hi) {
    double pivot = v[lo + (hi - lo) / 2];
    int64_t i = lo, j = hi;
    while (i <= j) {
      while (v[i] > pivot) i++;  // NOLINT(clang-analyzer-core.UndefinedBinaryOperatorResult): stops at the pivot at the latest
      while (v[j] < pivot) j--;  // NOLINT(clang-analyzer-core.UndefinedBinaryOperatorResult): likewise
      if (i > j) break;
      double t = v[i];
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

// Row i: candidates from the product's keys, decided by exact keys, into found (sorted); returns their number (>= k).
static int64_t row_candidates(const key_source *s, int64_t i, int64_t k, double *keys, double *scratch, neighbour *found) {
  const vbl_prepared *p = s->p;
  int64_t others = 0, count = 0;
  for (int64_t j = 0; j < p->n; j++) {
    if (s->metric == VBL_KNN_EUCLIDEAN) keys[j] = 2 * keys[j] - p->centred_norm2[i] - p->centred_norm2[j];
    if (j != i) scratch[others++] = keys[j];
  }
  double floor_key = kth_largest(scratch, others, k) - 2 * s->error;
  for (int64_t j = 0; j < p->n; j++)
    if (j != i && keys[j] >= floor_key) found[count++] = (neighbour){exact_key(s, i, j), (int32_t)j};
  qsort(found, (size_t)count, sizeof *found, nearer_first);
  return count;
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

typedef struct tile {
  double *keys, *scratch;  // (TILE, n) each
  neighbour *found;        // (TILE, n)
  int64_t count[TILE];
} tile;

static vbl_status run_tiles(const key_source *s, vbl_knn *list, tile *t, vbl_error *err) {
  int64_t n = s->p->n, d = s->p->d, capacity = 0;
  list->start[0] = 0;
  for (int64_t first = 0; first < n; first += TILE) {
    VBL_TRY(vbl_interrupt_check(err));
    int64_t rows = n - first < TILE ? n - first : TILE;
    vbl_gemm(false, true, rows, n, d, 1, s->rows + first * d, d, s->rows, d, 0, t->keys, n);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++)
      t->count[r] = row_candidates(s, first + r, list->k, t->keys + r * n, t->scratch + r * n, t->found + r * n);
    for (int64_t r = 0; r < rows; r++) {
      int64_t kept = 0;
      keep_row(list, first + r, t->found + r * n, t->count[r], &kept);
      VBL_TRY(append_weights(list, first + r, t->found + r * n, kept, &capacity, err));
    }
  }
  return VBL_OK;
}

vbl_status vbl_knn_make(vbl_prepared *p, int64_t k, vbl_knn_metric metric, vbl_knn **out, vbl_error *err) {
  key_source s;
  tile t = {0};
  int64_t rows = p->n < TILE ? p->n : TILE;
  VBL_TRY(vbl_lapack_open(NULL, err));
  VBL_TRY(source_of(p, metric, &s, err));
  vbl_knn *list = calloc(1, sizeof *list);
  if (list == NULL) return vbl_fail(err, VBL_ENOMEM, "neighbour lists: out of memory");
  list->metric = metric;
  list->n = p->n;
  list->k = k;
  list->index = malloc(sizeof *list->index * (size_t)(p->n * k));
  list->tied = malloc(sizeof *list->tied * (size_t)(p->n * k));
  list->start = malloc(sizeof *list->start * (size_t)(p->n + 1));
  t.keys = malloc(sizeof *t.keys * (size_t)(rows * p->n));
  t.scratch = malloc(sizeof *t.scratch * (size_t)(rows * p->n));
  t.found = malloc(sizeof *t.found * (size_t)(rows * p->n));
  vbl_status status = VBL_OK;
  if (list->index == NULL || list->tied == NULL || list->start == NULL || t.keys == NULL || t.scratch == NULL || t.found == NULL)
    status = vbl_fail(err, VBL_ENOMEM, "neighbour lists of %lld rows: out of memory", (long long)p->n);
  else
    status = run_tiles(&s, list, &t, err);
  free(t.keys);
  free(t.scratch);
  free(t.found);
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
