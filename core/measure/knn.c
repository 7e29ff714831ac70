// k nearest neighbours in two passes. The first finds for every row the candidates that f32 products cannot exclude (candidates.h);
// here their keys are computed in f64 in one fixed order of summation, which decides. So equal rows have equal keys, and the lists
// depend neither on block size, threads nor the library's kernels.
// defines: vbl_knn_make, vbl_knn_free, vbl_prepared_knn
#include "core/measure/knn.h"

#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/candidates.h"

enum { TILE = 1024 };

typedef struct neighbour {
  double key;
  int32_t index;
} neighbour;

// Keys are larger for nearer rows. a: row i in f64, from vbl_prepared_row; b: scratch (d).
static double exact_key(const vbl_prepared *p, vbl_knn_metric metric, int64_t i, const double *a, int64_t j, double *b) {
  if (metric == VBL_KNN_EUCLIDEAN) return -vbl_distance2(a, vbl_prepared_row(p, j, b), p->d);
  if (metric == VBL_KNN_IP) return vbl_prepared_dot(p, j, a);
  double scale = p->norm[i] * p->norm[j], dot = 0;
  if (scale > 1e-250 && scale < 1e250) return vbl_prepared_dot(p, j, a) / scale;
  const double *row = vbl_prepared_row(p, j, b);
  for (int64_t q = 0; q < p->d; q++) dot += a[q] / p->norm[i] * (row[q] / p->norm[j]);
  return dot;
}

static int nearer_first(const void *a, const void *b) {
  const neighbour *x = a, *y = b;
  if (x->key != y->key) return x->key > y->key ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

// Row i's candidates decided by exact keys, sorted, into *found (the caller's to free); their number, or -1 without memory.
static int64_t decide(const vbl_prepared *p, vbl_knn_metric metric, const vbl_pile *pile, int64_t i, double *a, double *b,
                      neighbour **found) {
  *found = malloc(sizeof **found * (size_t)pile->count);
  if (*found == NULL) return -1;
  const double *row = vbl_prepared_row(p, i, a);
  for (int32_t q = 0; q < pile->count; q++)
    (*found)[q] = (neighbour){exact_key(p, metric, i, row, pile->at[q].index, b), pile->at[q].index};
  qsort(*found, (size_t)pile->count, sizeof **found, nearer_first);
  return pile->count;
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
static vbl_status finish_tile(const vbl_prepared *p, const vbl_candidates *c, vbl_knn *list, int64_t first, int64_t rows,
                              int64_t *capacity, vbl_error *err) {
  neighbour *found[TILE] = {NULL};
  int64_t count[TILE];
  vbl_status status = VBL_OK;
#pragma omp parallel
  {
    double *a = malloc(sizeof *a * (size_t)p->d), *b = malloc(sizeof *b * (size_t)p->d);
#pragma omp for schedule(dynamic, 8)
    for (int64_t r = 0; r < rows; r++)
      count[r] = a != NULL && b != NULL ? decide(p, list->metric, &c->piles[first + r], first + r, a, b, &found[r]) : -1;
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

static vbl_status make_lists(const vbl_prepared *p, const vbl_candidates *c, vbl_knn *list, vbl_error *err) {
  int64_t capacity = 0;
  list->start[0] = 0;
  for (int64_t first = 0; first < p->n; first += TILE) {
    VBL_TRY(vbl_interrupt_check(err));
    VBL_TRY(finish_tile(p, c, list, first, p->n - first < TILE ? p->n - first : TILE, &capacity, err));
  }
  return VBL_OK;
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
  if (status == VBL_OK) status = vbl_candidates_find(p, metric, k, &c, err);
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
