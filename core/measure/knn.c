// k nearest neighbours in two passes. The first finds for every row the candidates that f32 products cannot exclude (candidates.h).
// Here those whose products differ by more than rounding explains are ordered by them, and among the others keys in f64 in one fixed
// order of summation decide. So equal rows have equal keys, and the lists depend neither on block size, threads nor the library's
// kernels.
// defines: vbl_knn_make, vbl_knn_free, vbl_prepared_knn
#include "core/measure/knn.h"

#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/candidates.h"
#include "core/measure/device.h"
#include "core/measure/parallel.h"

enum { TILE = 1024 };

typedef struct neighbour {
  double key;
  int32_t index, place;  // place: in its pile
} neighbour;

// The key of rows i and j where vbl_prepared_dots cannot give it: euclidean, and cosine of very long or short rows. a: row i, from
// vbl_prepared_row; b: scratch (d).
static double slow_key(const vbl_prepared *p, vbl_knn_metric metric, int64_t i, const double *a, int64_t j, double *b) {
  const double *row = vbl_prepared_row(p, j, b);
  double dot = 0;
  if (metric == VBL_KNN_EUCLIDEAN) return -vbl_distance2(a, row, p->d);
  for (int64_t q = 0; q < p->d; q++) dot += a[q] / p->norm[i] * (row[q] / p->norm[j]);
  return dot;
}

enum { TOGETHER = 64 };

// Sets the keys of found[0 .. count), count <= TOGETHER, in f64; larger for nearer rows.
static void exact_keys(const vbl_prepared *p, vbl_knn_metric metric, int64_t i, const double *a, int64_t count, double *b,
                       neighbour *found) {
  int32_t rows[TOGETHER] = {0};
  double dot[TOGETHER];
  for (int64_t q = 0; q < count; q++) rows[q] = found[q].index;
  if (metric != VBL_KNN_EUCLIDEAN) vbl_prepared_dots(p, a, rows, count, dot);
  for (int64_t q = 0; q < count; q++) {
    const double scale = metric == VBL_KNN_COSINE ? p->norm[i] * p->norm[rows[q]] : 1;
    const bool slow = metric == VBL_KNN_EUCLIDEAN || !(scale > 1e-250 && scale < 1e250);
    found[q].key = slow ? slow_key(p, metric, i, a, rows[q], b) : dot[q] / scale;
  }
}

static int nearer_first(const void *a, const void *b) {
  const neighbour *x = a, *y = b;
  if (x->key != y->key) return x->key > y->key ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

static int by_index(const void *a, const void *b) {
  const neighbour *x = a, *y = b;
  return x->index < y->index ? -1 : x->index > y->index;
}

// Few are sorted by insertion, which qsort's calls would take longer for.
static void sort(neighbour *v, int64_t count, int (*compare)(const void *, const void *)) {
  if (count > TOGETHER) {
    qsort(v, (size_t)count, sizeof *v, compare);
    return;
  }
  for (int64_t i = 1; i < count; i++) {
    const neighbour x = v[i];
    int64_t j = i;
    for (; j > 0 && compare(&x, &v[j - 1]) < 0; j--) v[j] = v[j - 1];
    v[j] = x;
  }
}

// The same where a device has made them; exact: those of row i's pile.
static void read_keys(const double *exact, int64_t count, neighbour *found) {
  for (int64_t q = 0; q < count; q++) found[q].key = exact[found[q].place];
}

// Decides among found[0 .. count), whose products do not: sorted, keys become levels, the first one `level` or below, equal ones equal.
// Returns the last one's level.
static double decide_run(const vbl_prepared *p, const double *exact, vbl_knn_metric metric, int64_t i, double *a, double *b,
                         neighbour *found, int64_t count, double level) {
  const double *row = count > 1 && exact == NULL ? vbl_prepared_row(p, i, a) : NULL;
  if (exact != NULL) read_keys(exact, count, found);
  for (int64_t q = 0; count > 1 && exact == NULL && q < count; q += TOGETHER)
    exact_keys(p, metric, i, row, count - q < TOGETHER ? count - q : TOGETHER, b, found + q);
  if (count > 1) sort(found, count, nearer_first);
  double last = found[0].key;
  for (int64_t q = 0; q < count; q++) {
    if (found[q].key != last) level--;
    last = found[q].key;
    found[q].key = level;
  }
  return level;
}

// Row i's candidates, nearest first, into *found (the caller's to free), with levels for keys: equal ones for equally near. Returns how
// many of them are in order, the k nearest and all as near as the k-th among them; -1 without memory. a, b: scratch (d).
static int64_t decide(const vbl_prepared *p, const vbl_candidates *c, const vbl_knn *list, int64_t i, double *a, double *b,
                      neighbour **found) {
  const vbl_pile *pile = &c->piles[i];
  const double *exact = c->exact != NULL ? c->exact + i * c->room : NULL;
  int64_t end = 0;
  double level = 0;
  neighbour *v = *found = malloc(sizeof *v * (size_t)pile->count);
  if (v == NULL) return -1;
  for (int32_t q = 0; q < pile->count; q++) v[q] = (neighbour){(double)pile->at[q].key, pile->at[q].index, q};
  sort(v, pile->count, nearer_first);
  while (end < list->k) {
    const int64_t begin = end++;
    while (end < pile->count && v[end - 1].key - v[end].key <= (double)c->window[i]) end++;
    level = decide_run(p, exact, list->metric, i, a, b, v + begin, end - begin, level) - 1;
  }
  return end;
}

// Copies row i's k best into the list. Returns how many weigh (more than k when the boundary is tied); those of `found` become weights
// (in the key's place) by index.
static int64_t keep_row(vbl_knn *list, int64_t i, neighbour *found, int64_t count) {
  int64_t k = list->k, kept = k, strict = 0;
  for (int64_t r = 0; r < k; r++) {
    list->index[i * k + r] = found[r].index;
    list->tied[i * k + r] = r > 0 && found[r].key == found[r - 1].key;
  }
  while (kept < count && found[kept].key == found[k - 1].key) kept++;
  while (strict < k && found[strict].key > found[k - 1].key) strict++;
  const double tied = (double)(k - strict) / (double)(kept - strict);
  for (int64_t r = 0; r < kept; r++) found[r].key = r < strict ? 1 : tied;
  sort(found, kept, by_index);
  return kept;
}

// Appends row i's weights to the compressed rows.
static vbl_status append_weights(vbl_knn *list, int64_t i, const neighbour *found, int64_t kept, int64_t *capacity,
                                 vbl_error *err) {
  int64_t at = list->start[i];
  if (at + kept > *capacity) {
    int64_t grown = 2 * (at + kept) > list->n * list->k ? 2 * (at + kept) : list->n * list->k;
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
  list->tie_rows += kept > list->k;
  return VBL_OK;
}

// Rows first .. first + rows: decided in parallel, appended in order.
static vbl_status finish_tile(const vbl_prepared *p, const vbl_candidates *c, vbl_knn *list, int64_t first, int64_t rows,
                              int64_t *capacity, vbl_error *err) {
  neighbour *found[TILE] = {NULL};
  int64_t kept[TILE];
  vbl_status status = VBL_OK;
  const bool much = c->exact == NULL || c->n * list->k > VBL_MEASURE_GRAIN;  // keys that are there leave a row half a microsecond
#pragma omp parallel if (much)
  {
    double *a = malloc(sizeof *a * (size_t)p->d), *b = malloc(sizeof *b * (size_t)p->d);
#pragma omp for schedule(dynamic, 8)
    for (int64_t r = 0; r < rows; r++) {
      int64_t count = a != NULL && b != NULL ? decide(p, c, list, first + r, a, b, &found[r]) : -1;
      kept[r] = count > 0 ? keep_row(list, first + r, found[r], count) : -1;
    }
    free(a);
    free(b);
  }
  for (int64_t r = 0; r < rows; r++) {
    if (status == VBL_OK && kept[r] < 0) status = vbl_fail(err, VBL_ENOMEM, "neighbour lists: out of memory");
    if (status == VBL_OK) status = append_weights(list, first + r, found[r], kept[r], capacity, err);
    free(found[r]);
  }
  return status;
}

static vbl_status make_lists(const vbl_prepared *p, const vbl_candidates *c, vbl_knn *list, vbl_error *err) {
  int64_t capacity = 0;
  list->start[0] = 0;
  for (int64_t first = 0; first < p->n; first += TILE) {
    VBL_TRY(vbl_interrupt_check(err));
    VBL_TRY(finish_tile(p, c, list, first, p->n - first < TILE ? p->n - first : TILE, &capacity, err));
  }
  return VBL_OK;
}

// On the device where the rows lie there, unless it cannot tell.
static vbl_status find_candidates(vbl_prepared *p, vbl_knn_metric metric, int64_t k, vbl_candidates *c, vbl_error *err) {
  bool found = false;
  if (p->device != NULL) VBL_TRY(vbl_device_candidates(p, metric, k, c, &found, err));
  if (found) return VBL_OK;
  VBL_TRY(vbl_device_pull(p, err));
  return vbl_candidates_find(p, metric, k, c, err);
}

vbl_status vbl_knn_make(vbl_prepared *p, int64_t k, vbl_knn_metric metric, vbl_knn **out, vbl_error *err) {
  vbl_candidates c = {0};
  vbl_status status = VBL_OK;
  vbl_knn *list = calloc(1, sizeof *list);
  if (list == NULL) return vbl_fail(err, VBL_ENOMEM, "neighbour lists: out of memory");
  list->metric = metric;
  list->n = p->n;
  list->k = k;
  list->index = malloc(sizeof *list->index * (size_t)(p->n * k));
  list->tied = malloc(sizeof *list->tied * (size_t)(p->n * k));
  list->start = malloc(sizeof *list->start * (size_t)(p->n + 1));
  if (list->index == NULL || list->tied == NULL || list->start == NULL)
    status = vbl_fail(err, VBL_ENOMEM, "neighbour lists of %lld rows: out of memory", (long long)p->n);
  if (status == VBL_OK) status = find_candidates(p, metric, k, &c, err);
  if (status == VBL_OK) status = make_lists(p, &c, list, err);
  vbl_candidates_free(&c);
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
