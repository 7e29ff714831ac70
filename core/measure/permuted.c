// defines: vbl_permuted_new, vbl_permuted_set
#include "core/measure/permuted.h"

#include <stdlib.h>
#include <string.h>

static vbl_status copy_list(const vbl_knn *from, vbl_knn **out, vbl_error *err) {
  vbl_knn *list = calloc(1, sizeof *list);
  if (list == NULL) return vbl_fail(err, VBL_ENOMEM, "permuted neighbour lists: out of memory");
  *out = list;
  *list = (vbl_knn){.metric = from->metric, .n = from->n, .k = from->k, .tie_rows = from->tie_rows};
  size_t entries = (size_t)from->start[from->n];
  list->index = malloc(sizeof *list->index * (size_t)(from->n * from->k));
  list->tied = malloc(sizeof *list->tied * (size_t)(from->n * from->k));
  list->start = malloc(sizeof *list->start * (size_t)(from->n + 1));
  list->candidate = malloc(sizeof *list->candidate * entries);
  list->weight = malloc(sizeof *list->weight * entries);
  if (list->index == NULL || list->tied == NULL || list->start == NULL || list->candidate == NULL || list->weight == NULL)
    return vbl_fail(err, VBL_ENOMEM, "permuted neighbour lists: out of memory");
  return VBL_OK;
}

static vbl_status copy_svd(const vbl_prepared *p, vbl_prepared *q, vbl_error *err) {
  q->svd = calloc(1, sizeof *q->svd);
  if (q->svd == NULL) return vbl_fail(err, VBL_ENOMEM, "permuted matrix: out of memory");
  q->svd->rank = p->svd->rank;
  q->svd->columns = p->svd->columns;
  VBL_TRY(vbl_doubles(p->n * p->svd->columns, "permuted matrix", &q->svd->u, err));
  VBL_TRY(vbl_doubles(p->svd->columns, "permuted matrix", &q->svd->s, err));
  memcpy(q->svd->s, p->svd->s, sizeof(double) * (size_t)p->svd->columns);
  return VBL_OK;
}

static vbl_status copy_parts(const vbl_prepared *p, unsigned parts, vbl_prepared *q, vbl_error *err) {
  VBL_TRY(vbl_doubles(p->n, "permuted matrix", &q->norm, err));
  VBL_TRY(vbl_doubles(p->n, "permuted matrix", &q->centred_norm2, err));
  VBL_TRY(vbl_doubles(p->d, "permuted matrix", &q->mean, err));
  memcpy(q->mean, p->mean, sizeof(double) * (size_t)p->d);
  q->repeat = calloc((size_t)p->n, sizeof *q->repeat);
  if (q->repeat == NULL) return vbl_fail(err, VBL_ENOMEM, "permuted matrix: out of memory");
  if ((parts & VBL_PART_ROWS) != 0) VBL_TRY(vbl_doubles(p->n * p->d, "permuted matrix", &q->raw, err));
  if ((parts & VBL_PART_ROWS) != 0) VBL_TRY(vbl_doubles(p->n * p->d, "permuted matrix", &q->centred, err));
  if ((parts & VBL_PART_UNIT) != 0 && p->unit != NULL) VBL_TRY(vbl_doubles(p->n * p->d, "permuted matrix", &q->unit, err));
  if ((parts & VBL_PART_SVD) != 0 && p->svd != NULL) VBL_TRY(copy_svd(p, q, err));
  if ((parts & VBL_PART_KNN) == 0) return VBL_OK;
  vbl_knn **end = &q->knn;
  for (const vbl_knn *list = p->knn; list != NULL; list = list->next) {
    VBL_TRY(copy_list(list, end, err));
    end = &(*end)->next;
  }
  return VBL_OK;
}

vbl_status vbl_permuted_new(const vbl_prepared *p, unsigned parts, vbl_prepared **out, vbl_error *err) {
  vbl_prepared *q = calloc(1, sizeof *q);
  *out = q;
  if (q == NULL) return vbl_fail(err, VBL_ENOMEM, "permuted matrix: out of memory");
  q->n = p->n;
  q->d = p->d;
  q->total = p->total;
  q->self = p->self;
  q->duplicates = p->duplicates;
  q->zero_rows = p->zero_rows;
  vbl_status status = copy_parts(p, parts, q, err);
  if (status == VBL_OK) return VBL_OK;
  vbl_prepared_free(q);
  *out = NULL;
  return status;
}

static void gather(const double *from, const int32_t *order, int64_t n, int64_t d, double *to) {
  if (from == NULL || to == NULL) return;
  for (int64_t i = 0; i < n; i++) memcpy(to + i * d, from + order[i] * d, sizeof(double) * (size_t)d);
}

// By insertion: rows have few candidates. w (NULL is allowed) goes with v.
static void sort_indices(int32_t *v, double *w, int64_t count) {
  for (int64_t i = 1; i < count; i++)
    for (int64_t j = i; j > 0 && v[j - 1] > v[j]; j--) {
      int32_t x = v[j];
      v[j] = v[j - 1];
      v[j - 1] = x;
      if (w == NULL) continue;
      double y = w[j];
      w[j] = w[j - 1];
      w[j - 1] = y;
    }
}

// Entries of equal key stand in the order of their (new) indices.
static void order_ties(int32_t *index, const bool *tied, int64_t k) {
  for (int64_t r = 0, end; r < k; r = end) {
    for (end = r + 1; end < k && tied[end]; end++) continue;
    if (end > r + 1) sort_indices(index + r, NULL, end - r);
  }
}

// Row i of the list: row `from` with new labels.
static void relabel_row(const vbl_knn *list, int64_t from, const int32_t *inverse, int64_t i, vbl_knn *out) {
  int64_t k = list->k, begin = list->start[from], count = list->start[from + 1] - begin, at = out->start[i];
  int32_t *index = out->index + i * k;
  for (int64_t r = 0; r < k; r++) index[r] = inverse[list->index[from * k + r]];
  for (int64_t r = 0; r < count; r++) {
    out->candidate[at + r] = inverse[list->candidate[begin + r]];
    out->weight[at + r] = list->weight[begin + r];
  }
  sort_indices(out->candidate + at, out->weight + at, count);
  out->start[i + 1] = at + count;
  memcpy(out->tied + i * k, list->tied + from * k, sizeof *out->tied * (size_t)k);
  order_ties(index, out->tied + i * k, k);
  if (count == k) return;
  // More candidates than places: the strictly nearer ones keep theirs, the tied ones follow by index.
  int64_t strict = 0;
  for (int64_t r = 0; r < count; r++) strict += list->weight[begin + r] == 1;
  for (int64_t r = 0, place = strict; r < count && place < k; r++)
    if (out->weight[at + r] < 1) index[place++] = out->candidate[at + r];
}

void vbl_permuted_set(const vbl_prepared *p, const int32_t *order, int32_t *inverse, vbl_prepared *out) {
  int64_t n = p->n;
  for (int64_t i = 0; i < n; i++) inverse[order[i]] = (int32_t)i;
  gather(p->norm, order, n, 1, out->norm);
  gather(p->centred_norm2, order, n, 1, out->centred_norm2);
  gather(p->raw, order, n, p->d, out->raw);
  gather(p->centred, order, n, p->d, out->centred);
  gather(p->unit, order, n, p->d, out->unit);
  if (out->svd != NULL) gather(p->svd->u, order, n, p->svd->columns, out->svd->u);
  for (int64_t i = 0; i < n; i++) out->repeat[i] = p->repeat[order[i]];
  vbl_knn *to = out->knn;
  for (const vbl_knn *list = p->knn; to != NULL; list = list->next, to = to->next) {
    to->start[0] = 0;
    for (int64_t i = 0; i < n; i++) relabel_row(list, order[i], inverse, i, to);
  }
}
