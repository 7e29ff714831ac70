// Laws of the measures: known values, what leaves them unchanged and what must not, matrices that leave them undefined or are
// refused, and their means over unrelated data (fixed seeds, bands of three standard errors).
#include "tests/unit/measure_data.h"

static const vbl_measure_options base = {.k = 5,
                                         .bandwidth = 1,
                                         .fraction = 1,
                                         .batch = 8,
                                         .threshold = 0.99,
                                         .p = 2,
                                         .alpha = 2,
                                         .t = 2,
                                         .folds = 4,
                                         .lambda = -1,
                                         .projections = 64,
                                         .variance = 0.95,
                                         .discard = 0.1};

typedef struct measured {
  const char *name;
  vbl_measure_fn *fn;
  vbl_measure_options o;
  double same;  // value for X = Y; NaN: not a law
  bool rotation, scale, shift, symmetric;
} measured;

static measured all[40];
static int measures;

static measured *add(const char *name, vbl_measure_fn *fn, double same, bool rotation, bool scale, bool shift, bool symmetric) {
  all[measures] = (measured){name, fn, base, same, rotation, scale, shift, symmetric};
  return &all[measures++];
}

// One row per measure of a pair: value for X = Y; whether rotating Y, scaling Y, shifting Y leaves it; whether it is symmetric.
static void list_measures(void) {
  add("cka debiased", vbl_cka, 1, true, true, true, true);
  add("cka biased", vbl_cka, 1, true, true, true, true)->o.estimator = 1;
  add("cka rbf", vbl_cka, 1, true, true, true, true)->o.kernel = 1;
  add("cka_minibatch", vbl_cka_minibatch, 1, true, true, true, true);
  add("hsic", vbl_hsic, NAN, true, false, true, true);
  add("dcor", vbl_dcor, 1, true, true, true, true);
  add("dcor corrected", vbl_dcor, 1, true, true, true, true)->o.estimator = 1;
  add("mknn", vbl_mknn, 1, true, true, false, true);
  add("mknn euclidean", vbl_mknn, 1, true, true, true, true)->o.metric = VBL_KNN_EUCLIDEAN;
  add("mknn fractional", vbl_mknn, 1, true, true, false, true)->o.ties = 1;
  add("mknn_thesis", vbl_mknn_thesis, 1, true, true, false, true);
  add("knn_jaccard", vbl_knn_jaccard, 1, true, true, false, true);
  add("rank_sim", vbl_rank_sim, 1, true, true, false, true);
  add("joint_rank_jaccard", vbl_joint_rank_jaccard, 1, true, true, false, true);
  add("lcs_knn", vbl_lcs_knn, 5, true, true, false, true);
  add("edit_knn", vbl_edit_knn, 1, true, true, false, true);
  add("second_order_cosine", vbl_second_order_cosine, 1, true, true, false, true);
  add("cknna", vbl_cknna, 1, true, true, false, false);  // its mixed term takes columns of K and rows of L
  add("cknna local", vbl_cknna, 1, true, true, false, true)->o.variant = 1;
  add("rsa euclidean", vbl_rsa, 1, true, true, true, true)->o.rdm = 2;
  add("rsa correlation", vbl_rsa, 1, false, true, false, true);
  add("gw_identity", vbl_gw_identity, 0, true, true, true, true);
  add("linear_r2", vbl_linear_r2, 1, true, true, true, false);
  add("wasserstein", vbl_wasserstein, 0, false, false, false, true);
  add("sinkhorn", vbl_sinkhorn, 0, false, false, false, true);
  add("sliced_wasserstein", vbl_sliced_wasserstein, 0, false, false, false, true);
  add("cca", vbl_cca, 1, true, true, true, true);
  add("svcca", vbl_svcca, 1, true, true, true, true)->o.threshold = 0.8;
  add("pwcca", vbl_pwcca, 1, true, true, true, false);
  add("procrustes", vbl_procrustes, 1, true, true, true, true);
  add("procrustes distance", vbl_procrustes, 0, true, false, true, true)->o.form = 1;
  add("procrustes normalised", vbl_procrustes, 0, true, true, true, true)->o.form = 2;
  add("procrustes angular", vbl_procrustes, 0, true, true, true, true)->o.form = 3;
  add("aligned_cosine", vbl_aligned_cosine, 1, true, true, true, true);
  add("cosine", vbl_cosine, 1, false, true, false, true);
  add("modality_gap", vbl_modality_gap, 0, false, true, false, true);
  add("alignment", vbl_alignment, 0, false, true, false, true);
}

enum { N = 40, D = 6 };

static double value(const measured *m, const double *x, const double *y) { return call(m->fn, x, D, y, D, N, &m->o, NULL).value; }

static void check_law(const measured *m, const char *law, double before, double after, bool holds) {
  double change = fabs(after - before);
  CHECK_REPORT_(holds ? change <= 1e-9 : change > 1e-6, "%s: %s: %.12g became %.12g, expected %s", m->name, law, before, after,
                holds ? "no change" : "a change");
}

static double *mapped(const double *x, double scale, double shift) {
  double *out = malloc(sizeof *out * N * D);
  for (int i = 0; i < N * D; i++) out[i] = scale * x[i] + shift * (1 + i % D);
  return out;
}

static double *permuted(const double *x) {
  double *out = malloc(sizeof *out * N * D);
  for (int i = 0; i < N; i++) memcpy(out + i * D, x + (i * 7 + 3) % N * D, sizeof *out * D);
  return out;
}

// Measures that do not read the pairing.
static bool cloud(const measured *m) {
  return m->fn == vbl_wasserstein || m->fn == vbl_sinkhorn || m->fn == vbl_sliced_wasserstein;
}

// Y = X + noise in a rotated frame: related, so that a law that fails shows.
static void test_invariances(void) {
  double *x = gaussian(N, D, 1), *noise = gaussian(N, D, 2), *y = malloc(sizeof *y * N * D);
  for (int i = 0; i < N * D; i++) y[i] = x[i] * (1 + i % D) + 0.7 * noise[i];
  double *rotated = rotate(y, N, D, 3), *scaled = mapped(y, 2.5, 0), *shifted = mapped(y, 1, 1.5);
  double *px = permuted(x), *py = permuted(y), *stretched = mapped(y, 1, 0), *rx = rotate(x, N, D, 3);
  for (int i = 0; i < N; i++) stretched[i * D] *= 20;
  for (int i = 0; i < measures; i++) {
    const measured *m = &all[i];
    double v = value(m, x, y);
    check_law(m, "rotation", v, value(m, x, rotated), m->rotation);
    // PWCCA's weights read the axes of X, a correlation RDM those of both; 64 drawn directions are not all of them.
    bool axes = m->fn == vbl_pwcca || (m->fn == vbl_rsa && m->o.rdm == 0) || m->fn == vbl_sliced_wasserstein;
    check_law(m, "joint rotation", v, value(m, rx, rotated), !axes);
    check_law(m, "scale", v, value(m, x, scaled), m->scale);
    check_law(m, "shift", v, value(m, x, shifted), m->shift);
    if (m->fn != vbl_cka_minibatch) check_law(m, "joint permutation", v, value(m, px, py), true);
    check_law(m, "one-sided permutation", v, value(m, x, py), m->fn == vbl_modality_gap || cloud(m));
    bool linear = m->fn == vbl_cca || m->fn == vbl_pwcca;  // any invertible map of Y; PWCCA's weights are X's
    check_law(m, "stretch", v, value(m, x, stretched), linear);
    check_law(m, "swap", v, value(m, y, x), m->symmetric);
    if (!isnan(m->same)) CHECK_NEAR(value(m, x, x), m->same, 1e-7);
  }
  free(x), free(noise), free(y), free(rotated), free(scaled), free(shifted), free(px), free(py), free(stretched), free(rx);
}

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

// Every row twice: a row's copy is its nearest neighbour, never the row itself; ties are counted; fractional ties do not depend on
// the order of the rows.
static void test_duplicates(void) {
  double *x = gaussian(N, D, 7), *y = gaussian(N, D, 8);
  for (int i = 0; i < N; i += 2) {
    memcpy(x + (i + 1) * D, x + i * D, sizeof *x * D);
    memcpy(y + (i + 1) * D, y + i * D, sizeof *y * D);
  }
  vbl_prepared *p = prepare(x, N, D, D);
  const vbl_knn *list = NULL;
  vbl_error err = {0};
  CHECK(p->duplicates == N / 2);
  CHECK_OK(vbl_prepared_knn(p, 2, VBL_KNN_COSINE, &list, &err), err);
  for (int i = 0; i < N; i++) CHECK(list->index[2 * i] == (i ^ 1) && list->index[2 * i + 1] != i);
  CHECK(list->tie_rows == N);
  for (int i = 0; i < N; i++) CHECK(list->index[2 * i + 1] % 2 == 0);  // of two equal rows the first comes first
  vbl_measure_options o = base;
  o.k = 2;
  o.ties = 1;
  double *px = permuted(x), *py = permuted(y);
  vbl_measure_result r = call(vbl_mknn, x, D, y, D, N, &o, NULL);
  CHECK_NEAR(r.value, call(vbl_mknn, px, D, py, D, N, &o, NULL).value, 1e-15);
  CHECK(r.ties == 2 * N && r.duplicates_x == N / 2 && (r.warnings & VBL_WARN_TIES_AT_K) && (r.warnings & VBL_WARN_DUPLICATE_ROWS));
  vbl_prepared_free(p);
  free(x), free(y), free(px), free(py);
}

// More rows than a tile, brute force against the lists.
static void test_lists(void) {
  enum { M = 300, K = 7 };
  double *x = gaussian(M, 3, 9);
  for (int metric = 0; metric < 3; metric++) {
    vbl_prepared *p = prepare(x, M, 3, 3);
    const vbl_knn *list = NULL;
    vbl_error err = {0};
    CHECK_OK(vbl_prepared_knn(p, K, (vbl_knn_metric)metric, &list, &err), err);
    bool same = true;
    for (int i = 0; i < M; i++) {
      double worst = -INFINITY;
      int better = 0;
      for (int pass = 0; pass < 2; pass++)
        for (int j = 0; j < M; j++) {
          double ij = vbl_dot(x + 3 * i, x + 3 * j, 3);
          double key = metric == 0 ? ij / (p->norm[i] * p->norm[j]) : metric == 1 ? ij : -vbl_distance2(x + 3 * i, x + 3 * j, 3);
          if (pass == 0 && j == list->index[i * K + K - 1]) worst = key;
          if (pass == 1 && j != i) better += key > worst + 1e-13;
        }
      same &= better == K - 1;
    }
    CHECK(same);
    vbl_prepared_free(p);
  }
  free(x);
}

static vbl_status code_of(const measured *m, const double *x, int64_t dx, const double *y, int64_t dy, int64_t n,
                          vbl_measure_result *r) {
  vbl_status code;
  *r = call(m->fn, x, dx, y, dy, n, &m->o, &code);
  return code;
}

// A refused call, or NaN with a status, or a finite value: never NaN that says OK, never a value with a status.
static void check_sane(const measured *m, const char *what, vbl_status code, const vbl_measure_result *r) {
  bool sane = code != VBL_OK || isfinite(r->value) == (r->status == VBL_MEASURE_OK);
  CHECK_REPORT_(sane, "%s on %s: value %g with status %s", m->name, what, r->value, vbl_measure_status_name(r->status));
}

static void test_degenerate(void) {
  vbl_measure_result r;
  double *g = gaussian(N, D, 11), *wide = gaussian(8, 30, 12), *constant = calloc(N * D, sizeof *constant);
  for (int i = 0; i < N * D; i++) constant[i] = 1e6 / 3 + i % D;
  for (int i = 0; i < measures; i++) {
    const measured *m = &all[i];
    for (int64_t n = 1; n <= 4; n++) {
      check_sane(m, "few rows", code_of(m, g, D, g, D, n, &r), &r);
      check_sane(m, "few rows, d = 1", code_of(m, g, 1, g, 1, n, &r), &r);
    }
    CHECK(code_of(m, constant, D, g, D, N, &r) == VBL_OK);
    check_sane(m, "constant", VBL_OK, &r);
    bool joint = m->fn == vbl_cosine || m->fn == vbl_modality_gap || m->fn == vbl_alignment || cloud(m);
    bool lists = strstr(m->name, "knn") != NULL || m->fn == vbl_cknna || m->fn == vbl_rsa || m->fn == vbl_rank_sim ||
                 m->fn == vbl_joint_rank_jaccard || m->fn == vbl_second_order_cosine;
    vbl_measure_status want = joint || m->fn == vbl_hsic ? VBL_MEASURE_OK
                              : lists                    ? VBL_MEASURE_ALL_TIED
                                                         : VBL_MEASURE_ZERO_VARIANCE;
    CHECK_REPORT_(r.status == want, "%s on a constant matrix: %s, expected %s", m->name, vbl_measure_status_name(r.status),
                  vbl_measure_status_name(want));
    check_sane(m, "d > n", code_of(m, wide, 30, wide, 30, 8, &r), &r);
    check_sane(m, "d = 1", code_of(m, g, 1, g + N, 1, N, &r), &r);
    check_sane(m, "dx != dy", code_of(m, g, D, g, D - 1, N, &r), &r);
    CHECK_REPORT_(r.status == (joint ? VBL_MEASURE_NOT_COMPARABLE : VBL_MEASURE_OK), "%s on dx != dy: %s", m->name,
                  vbl_measure_status_name(r.status));
  }
  free(g), free(wide), free(constant);
}

static void check_prepare_error(double bad, const char *part) {
  double x[12] = {0};
  vbl_prepared *p = NULL;
  vbl_error err = {0};
  x[7] = bad;
  CHECK(vbl_prepare(4, 3, x, VBL_F64, 3, 1, "X", &p, &err) == VBL_ENUMERIC && p == NULL);
  CHECK_REPORT_(strstr(err.message, part) != NULL, "message lacks '%s': %s", part, err.message);
}

static void test_errors(void) {
  double *g = gaussian(N, D, 13);
  check_prepare_error(NAN, "NaN at row 3 of 4, column 2");
  check_prepare_error(INFINITY, "Inf at row 3 of 4, column 2");
  vbl_prepared *x = prepare(g, N, D, D), *y = prepare(g, N - 1, D, D), *none = NULL;
  vbl_measure_result r;
  vbl_error err = {0};
  CHECK(vbl_prepare(0, 3, g, VBL_F64, 3, 1, "X", &none, &err) == VBL_EINVAL);
  for (int i = 0; i < measures; i++) CHECK(all[i].fn(x, y, &all[i].o, &r, &err) == VBL_EINVAL);
  vbl_measure_options o = base;
  for (int64_t k = 0; k <= N; k += N) {
    o.k = k;
    CHECK(vbl_mknn(x, x, &o, &r, &err) == VBL_EINVAL && strstr(err.message, "n - 1 = 39") != NULL);
  }
  o.k = N - 1;
  CHECK_OK(vbl_mknn(x, x, &o, &r, &err), err);
  CHECK(r.value == 1 && (r.warnings & VBL_WARN_K_IS_ALL));
  o.k = 2;
  o.ties = 1;
  CHECK(vbl_rank_sim(x, x, &o, &r, &err) == VBL_EINVAL && strstr(err.message, "fractional") != NULL);
  vbl_prepared_free(x);
  vbl_prepared_free(y);
  g[2] = g[0] = g[1] = g[3] = g[4] = g[5] = 0;
  CHECK(call(vbl_mknn, g, D, g, D, N, &base, NULL).status == VBL_MEASURE_ZERO_ROW);
  r = call(vbl_cosine, g, D, g, D, N, &base, NULL);
  CHECK(r.skipped == 1 && r.value > 0.999 && (r.warnings & VBL_WARN_ZERO_ROWS_SKIPPED));
  CHECK(call(vbl_cosine, g, D, g, D, 1, &base, NULL).status == VBL_MEASURE_ZERO_ROW);
  free(g);
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

// Mean over draws of unrelated Gaussian data against `expected` (NaN: the measure's own chance level), within three standard
// errors plus `slack` for what an asymptotic law leaves out.
static void check_null(const char *name, vbl_measure_fn *fn, const vbl_measure_options *o, int64_t n, int64_t dx, int64_t dy,
                       int draws, double expected, double slack) {
  double sum = 0, squares = 0, chance = 0;
  for (int q = 0; q < draws; q++) {
    double *x = gaussian(n, dx, 100 + 2 * (uint32_t)q), *y = gaussian(n, dy, 101 + 2 * (uint32_t)q);
    vbl_measure_result r = call(fn, x, dx, y, dy, n, o, NULL);
    sum += r.value;
    squares += r.value * r.value;
    chance += r.chance / draws;
    free(x), free(y);
  }
  double mean = sum / draws, error = sqrt(fmax(0, squares / draws - mean * mean) / (draws - 1));
  double want = isnan(expected) ? chance : expected;
  CHECK_REPORT_(fabs(mean - want) <= 3 * error + slack, "%s, n = %d, d = %d, %d: mean %.5f, expected %.5f +- %.5f", name, (int)n,
                (int)dx, (int)dy, mean, want, 3 * error + slack);
}

static void test_null_laws(void) {
  vbl_measure_options o = base, biased = base, squared = base, knn = base;
  biased.estimator = squared.of = 1;
  knn.k = 10;
  check_null("cka debiased", vbl_cka, &o, 64, 32, 16, 40, 0, 0);
  check_null("hsic debiased", vbl_hsic, &o, 64, 32, 16, 40, 0, 0);
  check_null("cka biased, d / (n + d)", vbl_cka, &biased, 128, 128, 128, 10, 0.5, 0.005);
  check_null("cka biased", vbl_cka, &biased, 32, 8, 8, 40, NAN, 0);
  check_null("cka biased, d > n", vbl_cka, &biased, 48, 96, 96, 10, NAN, 0.001);
  check_null("cca rho2", vbl_cca, &squared, 200, 20, 12, 20, 20.0 / 199, 0);
  check_null("cca rho, Wachter", vbl_cca, &o, 200, 20, 12, 20, NAN, 0.003);
  check_null("cca rho, ranks over n", vbl_cca, &o, 200, 120, 110, 4, NAN, 0.003);
  check_null("svcca", vbl_svcca, &o, 200, 20, 12, 20, NAN, 0.003);
  check_null("mknn", vbl_mknn, &knn, 144, 64, 64, 20, 10.0 / 143, 0);
  check_null("knn_jaccard", vbl_knn_jaccard, &knn, 144, 16, 16, 20, NAN, 0);
  check_null("rank_sim", vbl_rank_sim, &knn, 144, 16, 16, 20, NAN, 0);
  check_null("joint_rank_jaccard", vbl_joint_rank_jaccard, &knn, 144, 16, 16, 20, NAN, 0);
  check_null("mknn_thesis", vbl_mknn_thesis, &knn, 144, 16, 16, 20, NAN, 0);
  check_null("procrustes, 8/(3 pi) sqrt(d/n)", vbl_procrustes, &o, 2048, 16, 16, 4, 8 / (3 * M_PI) * sqrt(16 / 2048.0), 0.003);
  check_null("procrustes", vbl_procrustes, &o, 96, 24, 16, 20, NAN, 0.002);
  check_null("dcor corrected", vbl_dcor, &biased, 64, 32, 32, 20, 0, 0);
  check_null("dcor", vbl_dcor, &o, 64, 32, 32, 20, NAN, 0.005);
  vbl_measure_options r2 = base;
  r2.folds = 5;
  check_null("linear_r2", vbl_linear_r2, &o, 100, 20, 8, 20, 20.0 / 99, 0);
  check_null("rsa", vbl_rsa, &o, 48, 16, 16, 20, 0, 0);
  check_null("ridge_r2_cv, chosen lambda", vbl_ridge_r2_cv, &r2, 120, 20, 8, 10, 0, 0.06);  // at or a little below 0
  check_null("cosine", vbl_cosine, &o, 100, 8, 8, 20, NAN, 0);
}

// Y = X + E: CKA 1/2 and every canonical correlation sqrt(1/2) in the population.
static void test_population(void) {
  enum { M = 20000, W = 10 };
  double *x = gaussian(M, W, 21), *y = gaussian(M, W, 22);
  for (int i = 0; i < M * W; i++) y[i] += x[i];
  CHECK_NEAR(call(vbl_cka, x, W, y, W, M, &base, NULL).value, 0.5, 0.01);
  CHECK_NEAR(call(vbl_cca, x, W, y, W, M, &base, NULL).value, sqrt(0.5), 0.01);
  free(x), free(y);
}

int main(void) {
  list_measures();
  test_known_values();
  test_invariances();
  test_dimensions();
  test_clouds();
  test_cknna();
  test_probe();
  test_attention();
  test_duplicates();
  test_lists();
  test_degenerate();
  test_errors();
  test_dtypes();
  test_null_laws();
  test_population();
  return check_done();
}
