// defines: vbl_apart_find, vbl_apart_add, vbl_apart_free
#include "core/measure/apart.h"

#include <math.h>
#include <stdlib.h>

enum { MOST = 64, SHARE = 16, TIMES = 16 };

static int longer_first(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x < y) - (x > y);
}

static double length_of(const vbl_prepared *p, vbl_knn_metric metric, int64_t i) {
  return metric == VBL_KNN_IP ? p->norm[i] : sqrt(p->centred_norm2[i]);
}

static vbl_status mark(const vbl_prepared *p, vbl_knn_metric metric, vbl_apart *out, vbl_error *err) {
  out->row = calloc((size_t)p->n, sizeof *out->row);
  if (out->row == NULL) return vbl_fail(err, VBL_ENOMEM, "neighbour lists: out of memory");
  for (int64_t i = 0; i < p->n; i++) out->row[i] = length_of(p, metric, i) > out->scale;
  return VBL_OK;
}

vbl_status vbl_apart_find(const vbl_prepared *p, vbl_knn_metric metric, vbl_apart *out, vbl_error *err) {
  int64_t most = p->n / SHARE < MOST ? p->n / SHARE : MOST;
  double *length = NULL;
  *out = (vbl_apart){.scale = 1};
  if (metric == VBL_KNN_COSINE) return VBL_OK;
  VBL_TRY(vbl_doubles(p->n, "neighbour lists", &length, err));
  for (int64_t i = 0; i < p->n; i++) length[i] = length_of(p, metric, i);
  qsort(length, (size_t)p->n, sizeof *length, longer_first);
  for (int64_t i = 1; i <= most; i++)
    if (length[i - 1] > TIMES * length[i] && length[i] > 0) out->count = i;
  if (length[out->count] > 0) out->scale = length[out->count];
  free(length);
  return out->count > 0 ? mark(p, metric, out, err) : VBL_OK;
}

static bool append(const vbl_candidates *c, vbl_pile *pile, int64_t j) {
  if (pile->count == pile->capacity && !vbl_pile_grow(c, pile, 2 * (int64_t)pile->capacity + MOST)) return false;
  pile->at[pile->count++] = (vbl_candidate){0, (int32_t)j};
  return true;
}

vbl_status vbl_apart_add(const vbl_apart *a, vbl_candidates *c, vbl_error *err) {
  bool ok = true;
  for (int64_t j = 0; a->count > 0 && j < c->n; j++)
    for (int64_t i = 0; a->row[j] && i < c->n; i++) {
      if (i != j) ok &= append(c, &c->piles[i], j);
      if (i != j && !a->row[i]) ok &= append(c, &c->piles[j], i);
    }
  for (int64_t i = 0; a->count > 0 && i < c->n; i++) c->window[i] = INFINITY;
  return ok ? VBL_OK : vbl_fail(err, VBL_ENOMEM, "neighbour lists of %lld rows: out of memory", (long long)c->n);
}

void vbl_apart_free(vbl_apart *a) {
  free(a->row);
  a->row = NULL;
}
