// Neighbour lists against all keys sorted: rows that f32 cannot tell apart, duplicates, a large common offset, rows of very
// different lengths; several blocks; thread counts. And the f32 products of linear CKA against f64.

#include "core/base/threads.h"
#include "core/measure/candidates.h"
#include "core/measure/knn.h"
#include "tests/unit/measure_data.h"

enum { N = 650, D = 12, K = 7 };

typedef struct scored {
  double key;
  int32_t index;
} scored;

static int nearer(const void *a, const void *b) {
  const scored *x = a, *y = b;
  if (x->key != y->key) return x->key > y->key ? -1 : 1;
  return (x->index > y->index) - (x->index < y->index);
}

static double key_of(const vbl_prepared *p, vbl_knn_metric metric, int64_t i, int64_t j) {
  double a[D], b[D];
  const double *x = vbl_prepared_row(p, i, a), *y = vbl_prepared_row(p, j, b);
  if (metric == VBL_KNN_EUCLIDEAN) return -vbl_distance2(x, y, D);
  return metric == VBL_KNN_IP ? vbl_dot(x, y, D) : vbl_dot(x, y, D) / (p->norm[i] * p->norm[j]);
}

static void check_lists(const char *what, vbl_prepared *p, vbl_knn_metric metric) {
  vbl_knn *list = NULL;
  vbl_error err = {0};
  scored *all = malloc(sizeof *all * N);
  int64_t wrong = 0, ties = 0;
  CHECK_OK(vbl_knn_make(p, K, metric, &list, &err), err);
  for (int64_t i = 0; i < N && list != NULL; i++) {
    int64_t count = 0;
    for (int64_t j = 0; j < N; j++)
      if (j != i) all[count++] = (scored){key_of(p, metric, i, j), (int32_t)j};
    qsort(all, (size_t)count, sizeof *all, nearer);
    for (int64_t r = 0; r < K; r++) wrong += list->index[i * K + r] != all[r].index;
    ties += all[K].key == all[K - 1].key;
  }
  CHECK_REPORT_(wrong == 0, "%s, metric %d: %lld of %d neighbours are wrong", what, (int)metric, (long long)wrong, N * K);
  CHECK(list != NULL && list->tie_rows == ties);
  vbl_knn_free(list);
  free(all);
}

static void check_data(const char *what, const double *x) {
  float *single = malloc(sizeof *single * N * D);
  for (int i = 0; i < N * D; i++) single[i] = (float)x[i];
  for (int dtype = 0; dtype < 2; dtype++) {
    vbl_prepared *p = NULL;
    vbl_error err = {0};
    CHECK_OK(vbl_prepare(N, D, dtype == 0 ? (const void *)x : single, dtype == 0 ? VBL_F64 : VBL_F32, D, 1, "X", &p, &err), err);
    for (int metric = 0; metric < 3; metric++) check_lists(what, p, (vbl_knn_metric)metric);
    vbl_prepared_free(p);
  }
  free(single);
}

// Few long rows leave the candidates of the others few.
static void check_piles(const double *x) {
  for (int metric = 1; metric < 3; metric++) {
    vbl_prepared *p = prepare(x, N, D, D);
    vbl_candidates c = {0};
    int64_t sum = 0;
    CHECK(vbl_candidates_find(p, (vbl_knn_metric)metric, K, &c, NULL) == VBL_OK);
    for (int64_t i = 0; i < N; i++) sum += c.piles[i].count;
    CHECK_REPORT_(sum < 3 * N + N * (K + 3 + 2), "metric %d: %lld candidates", metric, (long long)sum);
    vbl_candidates_free(&c);
    vbl_prepared_free(p);
  }
}

static void lists(void) {
  double *g = gaussian(N, D, 3), *x = malloc(sizeof *x * N * D);
  check_data("gaussian", g);
  for (int i = 0; i < N; i++)  // 20 tight clusters: differences below f32's resolution
    for (int j = 0; j < D; j++) x[i * D + j] = g[(i % 20) * D + j] + 1e-8 * g[i * D + j];
  check_data("clusters", x);
  for (int i = 0; i < N * D; i++) x[i] = g[i / D % 300 * D + i % D];  // rows twice or three times
  check_data("duplicates", x);
  for (int i = 0; i < N * D; i++) x[i] = g[i] + 3000;
  check_data("offset", x);
  for (int i = 0; i < N; i++)
    for (int j = 0; j < D; j++) x[i * D + j] = g[i * D + j] * pow(10, i % 9 - 6);
  check_data("lengths", x);
  for (int i = 0; i < N; i++)  // three rows 10,000 times as long as the rest
    for (int j = 0; j < D; j++) x[i * D + j] = g[i * D + j] * (i % 250 == 100 ? 1e4 : 1);
  check_data("three long rows", x);
  check_piles(x);
  free(g);
  free(x);
}

static void threads(void) {
  double *g = gaussian(N, D, 8);
  int before = vbl_threads();
  vbl_knn *one = NULL, *three = NULL;
  vbl_error err = {0};
  vbl_prepared *p = prepare(g, N, D, D);
  vbl_set_threads(1, NULL);
  CHECK_OK(vbl_knn_make(p, K, VBL_KNN_COSINE, &one, &err), err);
  CHECK_OK(vbl_set_threads(3, &err), err);
  CHECK_OK(vbl_knn_make(p, K, VBL_KNN_COSINE, &three, &err), err);
  vbl_set_threads(before, NULL);
  CHECK(memcmp(one->index, three->index, sizeof *one->index * N * K) == 0);
  vbl_knn_free(one);
  vbl_knn_free(three);
  vbl_prepared_free(p);
  free(g);
}

static void single_products(void) {
  enum { M = 640, W = 600 };
  double *x = gaussian(M, W, 1), *y = gaussian(M, W, 2);
  float *fx = malloc(sizeof *fx * M * W), *fy = malloc(sizeof *fy * M * W);
  vbl_prepared *a = NULL, *b = NULL;
  vbl_measure_result r;
  vbl_error err = {0};
  for (int i = 0; i < M * W; i++) {
    fx[i] = (float)(x[i] + 50);  // a mean that f32 sums would not survive
    fy[i] = (float)(y[i] + 0.5 * x[i]);
    x[i] = fx[i];
    y[i] = fy[i];
  }
  CHECK_OK(vbl_prepare(M, W, fx, VBL_F32, W, 1, "X", &a, &err), err);
  CHECK_OK(vbl_prepare(M, W, fy, VBL_F32, W, 1, "Y", &b, &err), err);
  CHECK_OK(vbl_cka(a, b, &base, &r, &err), err);
  CHECK_NEAR(r.value, call(vbl_cka, x, W, y, W, M, &base, NULL).value, 1e-7);
  CHECK(a->raw == NULL && a->centred == NULL);  // CKA and lists work without f64 copies
  CHECK_OK(vbl_mknn(a, b, &base, &r, &err), err);
  CHECK(a->raw == NULL && a->unit == NULL);
  vbl_prepared_free(a);
  vbl_prepared_free(b);
  free(x), free(y), free(fx), free(fy);
}

int main(void) {
  lists();
  threads();
  single_products();
  return check_done();
}
