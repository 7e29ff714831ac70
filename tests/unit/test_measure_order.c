// Selection and ordering against plain sorting: medians of even and odd counts, ranks in a matrix's upper triangle, stable order with
// ties, both signs and both zeros.
#include "core/measure/stats.h"
#include "tests/unit/measure_data.h"

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void medians(void) {
  double *g = gaussian(101, 1, 5), sorted[101], v[101];
  for (int count = 1; count <= 101; count++) {
    for (int i = 0; i < count; i++) sorted[i] = v[i] = count % 3 == 0 ? floor(2 * g[i]) : g[i];
    qsort(sorted, (size_t)count, sizeof *sorted, ascending);
    double expected = count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
    CHECK_REPORT_(vbl_median(v, count) == expected, "median of %d values", count);
  }
  free(g);
}

static void upper_ranks(void) {
  enum { N = 60, PAIRS = N * (N - 1) / 2 };
  double *k = gaussian(N, N, 6), sorted[PAIRS], a = 0, b = 0;
  vbl_error err = {0};
  for (int far = 0; far < 2; far++) {  // with one value far from all others, these share a bin
    int count = 0;
    if (far == 1) k[1] = 1e300;
    for (int i = 0; i < N; i++)
      for (int j = i + 1; j < N; j++) sorted[count++] = k[i * N + j];
    qsort(sorted, PAIRS, sizeof *sorted, ascending);
    for (int r = 0; r + 1 < PAIRS; r += 7) {
      CHECK_OK(vbl_upper_ranked(k, N, r, r + 1, &a, &b, &err), err);
      CHECK_REPORT_(a == sorted[r] && b == sorted[r + 1], "ranks %d and %d: got %g and %g", r, r + 1, a, b);
    }
    CHECK_OK(vbl_upper_ranked(k, N, 0, PAIRS - 1, &a, &b, &err), err);
    CHECK(a == sorted[0] && b == sorted[PAIRS - 1]);
  }
  free(k);
}

static void orders(void) {
  enum { N = 5000 };
  double *g = gaussian(N, 1, 7);
  int64_t *order = malloc(sizeof *order * N), wrong = 0;
  vbl_error err = {0};
  for (int i = 0; i < N; i++)
    g[i] = i % 4 == 0 ? (i % 8 == 0 ? 0.0 : -0.0) : i % 4 == 1 ? floor(g[i]) : g[i] * pow(10, i % 600 - 300);
  CHECK_OK(vbl_order(g, N, order, &err), err);
  for (int i = 1; i < N; i++) {
    double before = g[order[i - 1]], here = g[order[i]];
    wrong += before > here || (before == here && order[i - 1] > order[i]);
  }
  CHECK(wrong == 0);
  free(g);
  free(order);
}

int main(void) {
  medians();
  upper_ranks();
  orders();
  return check_done();
}
