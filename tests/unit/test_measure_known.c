// Values of the measures in closed form, and from numbers of f32, bf16 and other strides.
#include "tests/unit/measure_data.h"

enum { N = 40, D = 6 };

static void test_known_values(void) {
  vbl_measure_options o = base;
  const double x[] = {1, 0, -1, 0, 0, 1, 0, -1}, y[] = {1, -1, 0, 0};
  CHECK_NEAR(call(vbl_hsic, x, 2, y, 1, 4, &o, NULL).value, 1 / 3.0, 1e-12);
  CHECK_NEAR(call(vbl_hsic, x, 2, x, 2, 4, &o, NULL).value, 2 / 3.0, 1e-12);
  CHECK_NEAR(call(vbl_hsic, y, 1, y, 1, 4, &o, NULL).value, 1 / 6.0, 1e-12);
  const double a[] = {0, 1, 2, 3, 4}, b[] = {0, 1, 4, 9, 16};
  CHECK_NEAR(call(vbl_hsic, a, 1, b, 1, 5, &o, NULL).value, 78.1666666667, 1e-9);
  CHECK_NEAR(call(vbl_cka, a, 1, b, 1, 5, &o, NULL).value, 0.962360805803, 1e-9);
  o.estimator = 1;
  CHECK_NEAR(call(vbl_cka, x, 2, y, 1, 4, &o, NULL).value, sqrt(0.5), 1e-12);
  CHECK_NEAR(call(vbl_cka, a, 1, b, 1, 5, &o, NULL).value, 0.919540229885, 1e-9);
  o.kernel = 1;  // a wide RBF kernel is the linear one
  o.fraction = 1e3;
  vbl_measure_result wide = call(vbl_cka, a, 1, b, 1, 5, &o, NULL);
  CHECK_NEAR(wide.value, 0.919540229885, 1e-5);
  CHECK((wide.warnings & VBL_WARN_KERNEL_DEGENERATE) != 0);
  vbl_measure_options one = base;
  one.k = 1;
  one.metric = VBL_KNN_EUCLIDEAN;
  const double p[] = {0, 1, 3, 7, 15}, q[] = {0, 8, 12, 14, 15};
  CHECK_NEAR(call(vbl_mknn_thesis, p, 1, q, 1, 5, &one, NULL).value, 2, 1e-12);
  CHECK_NEAR(call(vbl_mknn, p, 1, q, 1, 5, &one, NULL).value, 0.4, 1e-12);
  double *g = gaussian(144, 3, 5);
  one.k = 10;
  CHECK_NEAR(call(vbl_mknn, g, 3, g, 3, 144, &one, NULL).chance, 10.0 / 143, 1e-12);
  CHECK_NEAR(call(vbl_knn_jaccard, g, 3, g, 3, 144, &one, NULL).chance, 0.0380, 5e-5);
  free(g);
}

// Rows of the measures' own closed forms.
static void test_dimensions(void) {
  // Columns with singular values 4, 3, 2, 1: orthonormal, centred columns (a Hadamard matrix without its constant column) times
  // them.
  const int hadamard[8][4] = {{1, 1, 1, 1},  {-1, 1, -1, 1},  {1, -1, -1, 1},  {-1, -1, 1, 1},
                              {1, 1, 1, -1}, {-1, 1, -1, -1}, {1, -1, -1, -1}, {-1, -1, 1, -1}};
  double x[32];
  vbl_measure_options o = base;
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 4; j++) x[4 * i + j] = 5 + (4 - j) * hadamard[i][j] / sqrt(8);
  CHECK_NEAR(call(vbl_effective_rank, x, 4, NULL, 0, 8, &o, NULL).value, 3.596115466624, 1e-9);
  o.of = 1;
  CHECK_NEAR(call(vbl_effective_rank, x, 4, NULL, 0, 8, &o, NULL).value, 2.940197556312, 1e-9);
  CHECK_NEAR(call(vbl_participation_ratio, x, 4, NULL, 0, 8, &o, NULL).value, 2.542372881356, 1e-9);
  CHECK_NEAR(call(vbl_stable_rank, x, 4, NULL, 0, 8, &o, NULL).value, 1.875, 1e-9);
  // Uniform cubes: mean and standard deviation of one estimate over 12 draws of 3000 rows, computed independently.
  const double mean[] = {1.986, 4.722}, deviation[] = {0.048, 0.137};
  enum { CUBE = 3000, DRAWS = 5 };
  for (int c = 0; c < 2; c++) {
    double sum = 0;
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
      int d = c == 0 ? 2 : 5;
      vbl_philox_key key = {draw, VBL_STREAM_USER};
      double *cube = malloc(sizeof *cube * (size_t)(CUBE * d));
      for (int i = 0; i < CUBE * d; i++) cube[i] = vbl_philox_uniform(key, (uint32_t)i, (uint32_t)d, 0, 0);
      memcpy(cube + d, cube, sizeof *cube * (size_t)d);  // one row twice
      vbl_measure_result r = call(vbl_twonn, cube, d, NULL, 0, CUBE, &o, NULL);
      sum += r.value;
      CHECK(r.skipped == 1);
      free(cube);
    }
    CHECK_NEAR(sum / DRAWS, mean[c], 3 * deviation[c] * sqrt(1.0 / DRAWS + 1.0 / 12));
  }
}

static void test_clouds(void) {
  enum { M = 200, W = 5 };
  double *x = gaussian(M, W, 33), *y = malloc(sizeof *y * M * W), *u = gaussian(M, 32, 34);
  vbl_measure_options o = base;
  for (int i = 0; i < M * W; i++) y[i] = x[i] + (i % W == 0 ? 3 : 0);
  CHECK_NEAR(call(vbl_wasserstein, x, W, y, W, M, &o, NULL).value, 3, 1e-9);
  // theta_1^2 has mean 1/d and variance 2 (d - 1) / (d^2 (d + 2)) on the sphere
  o.projections = 4096;
  double spread = 9 * sqrt(2.0 * (W - 1) / (W * W * (W + 2)) / 4096);
  double sw2 = call(vbl_sliced_wasserstein, x, W, y, W, M, &o, NULL).value;
  CHECK_NEAR(sw2 * sw2, 9.0 / W, 3 * spread);
  // -2t + log 0F1(; d/2; t^2) for d = 32, t = 2; 200 rows
  CHECK_NEAR(call(vbl_uniformity, u, 32, NULL, 0, M, &o, NULL).value, -3.7518, 0.02);
  double cosine = call(vbl_cosine, x, W, y, W, M, &o, NULL).value;
  CHECK_NEAR(call(vbl_alignment, x, W, y, W, M, &o, NULL).value, 2 - 2 * cosine, 1e-12);
  double same[M * W];
  for (int i = 0; i < M * W; i++) same[i] = 1;
  vbl_measure_result r = call(vbl_retrieval, same, W, same, W, M, &o, NULL);
  CHECK(r.value == 0 && r.extra[5].value == 1);  // all tied: nobody is first, unless ties count as won
  CHECK_NEAR(r.extra[3].value, (M + 1) / 2.0, 0);
  free(x), free(y), free(u);
}

// k = n - 1: CKNNA is debiased CKA of the unit rows.
static void test_cknna(void) {
  double *x = gaussian(N, D, 35), *y = gaussian(N, D, 36);
  vbl_prepared *p = prepare(x, N, D, D), *q = prepare(y, N, D, D);
  vbl_measure_options o = base;
  vbl_error err = {0};
  for (int i = 0; i < N * D; i++) y[i] += x[i];
  CHECK_OK(vbl_prepared_unit(p, &err), err);
  CHECK_OK(vbl_prepared_unit(q, &err), err);
  o.k = N - 1;
  double cka = call(vbl_cka, p->unit, D, q->unit, D, N, &o, NULL).value;
  CHECK_NEAR(call(vbl_cknna, p->unit, D, q->unit, D, N, &o, NULL).value, cka, 1e-9);
  vbl_prepared_free(p), vbl_prepared_free(q);
  free(x), free(y);
}

// AUROC of two Gaussians delta apart is Phi(delta / sqrt 2); shuffled labels 1/2.
static void test_probe(void) {
  enum { M = 6000 };
  double *x = gaussian(M, 3, 37);
  int64_t labels[M], three[M];
  for (int i = 0; i < M; i++) {
    labels[i] = i % 2;
    three[i] = i % 3;
    x[3 * i] += labels[i];
  }
  vbl_prepared *p = prepare(x, M, 3, 3);
  vbl_probe_options o = {.labels = labels, .metric = VBL_PROBE_AUROC};
  vbl_measure_result r;
  vbl_error err = {0};
  double error = sqrt(0.25 / (M * 0.2 / 2) / 3);  // sd of an AUROC is at most sqrt((m + n + 1) / (12 m n))
  CHECK_OK(vbl_linear_probe(p, &o, &r, &err), err);
  CHECK_NEAR(r.value, 0.760250, 3 * error * 1.5);
  o.labels = three;
  o.metric = VBL_PROBE_ACCURACY;
  o.c = 1;
  CHECK_OK(vbl_linear_probe(p, &o, &r, &err), err);
  CHECK(r.status == VBL_MEASURE_OK);
  CHECK_NEAR(r.value, 1 / 3.0, 3 * sqrt(2 / 9.0 / (M * 0.2)));
  for (int i = 0; i < M; i++) labels[i] = 0;
  o.labels = labels;
  CHECK_OK(vbl_linear_probe(p, &o, &r, &err), err);
  CHECK(r.status == VBL_MEASURE_ONE_CLASS && isnan(r.value));
  labels[3] = -1;
  CHECK(vbl_linear_probe(p, &o, &r, &err) == VBL_EINVAL && strstr(err.message, "row 4") != NULL);
  vbl_prepared_free(p);
  free(x);
}

static void test_attention(void) {
  const double p[4][4] = {{0.5, 0.25, 0.25, 0}, {0.25, 0.25, 0.25, 0.25}, {0, 1, 0, 0}, {1, 0, 0, 0}};
  const int64_t one = 1, three = 3;
  const double want[] = {1.039720771 / log(4), 1, 0, 0};
  double head;
  vbl_measure_result r;
  vbl_error err = {0};
  for (int i = 0; i < 4; i++) {
    vbl_attention a = {.p = p[i], .b = 1, .heads = 1, .queries = 1, .keys = 4};
    CHECK_OK(vbl_attention_entropy(&a, &head, &r, &err), err);
    CHECK_NEAR(r.value, want[i], 1e-9);
  }
  vbl_attention a = {.p = p[0], .b = 1, .heads = 1, .queries = 1, .keys = 4, .lengths = &three};
  CHECK_OK(vbl_attention_entropy(&a, &head, &r, &err), err);
  CHECK_NEAR(r.value, 1.039720771 / log(3), 1e-9);
  a.lengths = &one;
  CHECK_OK(vbl_attention_entropy(&a, &head, &r, &err), err);
  CHECK(r.status == VBL_MEASURE_NOTHING_VALID && isnan(r.value));
  a.p = p[1];
  a.lengths = &three;
  CHECK(vbl_attention_entropy(&a, &head, &r, &err) == VBL_EINVAL);  // a quarter of the mass on padding
}

// f32 with a mean of 1000 standard deviations, and bf16: the sums are f64 on centred data.
static void test_dtypes(void) {
  enum { M = 64, W = 8 };
  double *g = gaussian(M, W, 15);
  float shifted[M * W];
  uint16_t half[M * W];
  double kept[M * W];
  for (int i = 0; i < M * W; i++) {
    shifted[i] = (float)(g[i] + 1000);
    uint32_t bits;
    float f = (float)g[i];
    memcpy(&bits, &f, 4);
    half[i] = (uint16_t)(bits >> 16);
    bits &= 0xffff0000u;
    memcpy(&f, &bits, 4);
    kept[i] = f;
  }
  vbl_prepared *x = prepare(g, M, W, W), *s = NULL, *h = NULL, *k = prepare(kept, M, W, W);
  vbl_measure_result r, exact;
  vbl_error err = {0};
  CHECK_OK(vbl_prepare(M, W, shifted, VBL_F32, W, 1, "X", &s, &err), err);
  CHECK_OK(vbl_prepare(M, W, half, VBL_BF16, W, 1, "X", &h, &err), err);
  CHECK_OK(vbl_cka(x, s, &base, &r, &err), err);
  CHECK_NEAR(r.value, 1, 1e-8);  // rounding to f32 at 1000: 3e-5 of a standard deviation, squared
  CHECK_OK(vbl_cka(x, h, &base, &r, &err), err);
  CHECK_OK(vbl_cka(x, k, &base, &exact, &err), err);
  CHECK(r.value == exact.value);
  vbl_prepared *t = NULL;  // strided: the transpose of a (W, M) matrix
  double *transposed = malloc(sizeof *transposed * M * W);
  for (int i = 0; i < M; i++)
    for (int j = 0; j < W; j++) transposed[j * M + i] = g[i * W + j];
  CHECK_OK(vbl_prepare(M, W, transposed, VBL_F64, 1, M, "X", &t, &err), err);
  CHECK_OK(vbl_cka(x, t, &base, &r, &err), err);
  CHECK_NEAR(r.value, 1, 1e-12);
  vbl_prepared_free(x), vbl_prepared_free(s), vbl_prepared_free(h), vbl_prepared_free(k), vbl_prepared_free(t);
  free(g), free(transposed);
}

int main(void) {
  test_known_values();
  test_dimensions();
  test_clouds();
  test_cknna();
  test_probe();
  test_attention();
  test_dtypes();
  return check_done();
}
