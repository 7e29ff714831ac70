// Small statistics that several measures share.
// defines: vbl_median, vbl_sort, vbl_order, vbl_pearson, vbl_hypergeometric, vbl_permutation
#include "core/measure/stats.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/philox.h"

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

void vbl_sort(double *v, int64_t count) { qsort(v, (size_t)count, sizeof *v, ascending); }

double vbl_median(double *v, int64_t count) {
  vbl_sort(v, count);
  return count % 2 == 1 ? v[count / 2] : (v[count / 2 - 1] + v[count / 2]) / 2;
}

typedef struct ranked {
  double v;
  int64_t i;
} ranked;

static int by_value(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->v != y->v) return x->v < y->v ? -1 : 1;
  return x->i < y->i ? -1 : x->i > y->i;
}

vbl_status vbl_order(const double *v, int64_t count, int64_t *order, vbl_error *err) {
  ranked *t = malloc(sizeof *t * (size_t)(count > 0 ? count : 1));
  if (t == NULL) return vbl_fail(err, VBL_ENOMEM, "sorting %lld values: out of memory", (long long)count);
  for (int64_t i = 0; i < count; i++) t[i] = (ranked){v[i], i};
  qsort(t, (size_t)count, sizeof *t, by_value);
  for (int64_t i = 0; i < count; i++) order[i] = t[i].i;
  free(t);
  return VBL_OK;
}

double vbl_pearson(const double *a, const double *b, int64_t count) {
  double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
  for (int64_t i = 0; i < count; i++) {
    ma += a[i] / (double)count;
    mb += b[i] / (double)count;
  }
  for (int64_t i = 0; i < count; i++) {
    double u = a[i] - ma, v = b[i] - mb;
    aa += u * u;
    bb += v * v;
    ab += u * v;
  }
  return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : (double)NAN;
}

static double log_choose(int64_t n, int64_t k) {
  return lgamma((double)(n + 1)) - lgamma((double)(k + 1)) - lgamma((double)(n - k + 1));
}

double vbl_hypergeometric(int64_t n, int64_t k, int64_t h) {
  int64_t rest = n - 1 - k;
  if (h < 0 || h > k || k - h > rest) return 0;
  return exp(log_choose(k, h) + log_choose(rest, k - h) - log_choose(n - 1, k));
}

void vbl_permutation(int64_t n, int64_t seed, int64_t draw, int64_t *out) {
  vbl_philox_key key = {(uint32_t)seed, VBL_STREAM_MEASURE};
  for (int64_t i = 0; i < n; i++) out[i] = i;
  for (int64_t i = n - 1; i > 0; i--) {  // Fisher-Yates
    int64_t j = (int64_t)vbl_philox_below(key, (uint64_t)(i + 1), (uint32_t)draw, 0, (uint32_t)i, (uint32_t)((uint64_t)i >> 32));
    int64_t t = out[i];
    out[i] = out[j];
    out[j] = t;
  }
}
