// Small statistics that several measures share.
// defines: vbl_median, vbl_upper_ranked, vbl_sort, vbl_order, vbl_pearson, vbl_hypergeometric, vbl_permutation
#include "core/measure/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/philox.h"

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

void vbl_sort(double *v, int64_t count) { qsort(v, (size_t)count, sizeof *v, ascending); }

// v[r] becomes what it would be sorted, with nothing larger before it and nothing smaller after it (Hoare's quickselect).
static void select_rank(double *v, int64_t count, int64_t r) {
  int64_t lo = 0, hi = count - 1;
  while (lo < hi) {
    double pivot = v[lo + (hi - lo) / 2];
    int64_t i = lo, j = hi;
    while (i <= j) {
      while (v[i] < pivot) i++;
      while (v[j] > pivot) j--;
      if (i > j) break;
      double t = v[i];
      v[i++] = v[j];
      v[j--] = t;
    }
    if (r > j && r < i) return;
    if (r <= j)
      hi = j;
    else
      lo = i;
  }
}

double vbl_median(double *v, int64_t count) {
  double below;
  select_rank(v, count, count / 2);
  if (count % 2 == 1) return v[count / 2];
  below = v[0];
  for (int64_t i = 1; i < count / 2; i++) below = v[i] > below ? v[i] : below;
  return (below + v[count / 2]) / 2;
}

// Equal steps between the least and the largest value; monotone in v.
typedef struct bins {
  double least, per_unit;
} bins;
enum { BINS = 4096 };

static int64_t bin_of(bins b, double v) {
  double at = (v - b.least) * b.per_unit;
  return at > 0 && at < BINS ? (int64_t)at : 0;
}

static bins bins_of(const double *k, int64_t n) {
  double least = INFINITY, most = -INFINITY;
#pragma omp parallel for schedule(static, 16) reduction(min : least) reduction(max : most)
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = i + 1; j < n; j++) {
      least = k[i * n + j] < least ? k[i * n + j] : least;
      most = k[i * n + j] > most ? k[i * n + j] : most;
    }
  double per_unit = (BINS - 1) / (most - least);
  return (bins){least, isfinite(per_unit) ? per_unit : 0};
}

// The values of bins first .. last into v. The bounds are bin_of's, without its rounding to a bin: few values pass.
static void gather(const double *k, int64_t n, bins b, int64_t first, int64_t last, double *v) {
  const double from = first == 0 ? -INFINITY : (double)first, to = (double)(last + 1);
  int64_t count = 0;
#pragma omp parallel for schedule(static, 16)
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = i + 1; j < n; j++) {
      int64_t at;
      const double bin = (k[i * n + j] - b.least) * b.per_unit;
      if (bin < from || bin >= to) continue;
#pragma omp atomic capture
      at = count++;
      v[at] = k[i * n + j];
    }
}

vbl_status vbl_upper_ranked(const double *k, int64_t n, int64_t low, int64_t high, double *a, double *b, vbl_error *err) {
  const bins by = bins_of(k, n);
  int64_t in[BINS] = {0}, first = 0, before = 0;
#pragma omp parallel for schedule(static, 16) reduction(+ : in)
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = i + 1; j < n; j++) in[bin_of(by, k[i * n + j])]++;
  while (before + in[first] <= low) before += in[first++];
  int64_t last = first, inside = in[first];
  while (before + inside <= high) inside += in[++last];
  double *v = malloc(sizeof *v * (size_t)inside);
  if (v == NULL) return vbl_fail(err, VBL_ENOMEM, "median distance: out of memory");
  gather(k, n, by, first, last, v);
  select_rank(v, inside, low - before);
  *a = v[low - before];
  select_rank(v, inside, high - before);
  *b = v[high - before];
  free(v);
  return VBL_OK;
}

typedef struct ranked {
  uint64_t key;
  int64_t i;
} ranked;

// Orders as the number does: negative numbers turned over, the others above them; -0 is 0.
static uint64_t sort_key(double v) {
  uint64_t bits;
  v += 0.0;
  memcpy(&bits, &v, sizeof bits);
  return bits >> 63 ? ~bits : bits | 1ull << 63;
}

// Stable, by DIGIT bits at a time from the lowest (a radix sort: 8 million distances in a tenth of qsort's time). A digit that all
// share is left out. Returns the one of the two arrays that holds the result.
static ranked *sort_ranked(ranked *from, ranked *to, int64_t count) {
  enum { DIGIT = 11, DIGITS = 6, VALUES = 1 << DIGIT };
  for (int pass = 0; pass < DIGITS; pass++) {
    int64_t at[VALUES] = {0}, sum = 0;
    for (int64_t q = 0; q < count; q++) at[from[q].key >> pass * DIGIT & (VALUES - 1)]++;
    if (at[from[0].key >> pass * DIGIT & (VALUES - 1)] == count) continue;
    for (int v = 0; v < VALUES; v++) {
      int64_t here = at[v];
      at[v] = sum;
      sum += here;
    }
    for (int64_t q = 0; q < count; q++) to[at[from[q].key >> pass * DIGIT & (VALUES - 1)]++] = from[q];
    ranked *t = from;
    from = to;
    to = t;
  }
  return from;
}

vbl_status vbl_order(const double *v, int64_t count, int64_t *order, vbl_error *err) {
  ranked *t = malloc(sizeof *t * (size_t)(count > 0 ? count : 1)), *other = malloc(sizeof *t * (size_t)(count > 0 ? count : 1));
  vbl_status status = VBL_OK;
  if (t == NULL || other == NULL) status = vbl_fail(err, VBL_ENOMEM, "sorting %lld values: out of memory", (long long)count);
  for (int64_t i = 0; status == VBL_OK && i < count; i++) t[i] = (ranked){sort_key(v[i]), i};
  const ranked *sorted = status == VBL_OK && count > 0 ? sort_ranked(t, other, count) : t;
  for (int64_t i = 0; status == VBL_OK && i < count; i++) order[i] = sorted[i].i;
  free(t);
  free(other);
  return status;
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
