// Laws of the measures: what leaves them unchanged and what must not; duplicates and ties; matrices that leave them undefined or
// are refused.
#include "tests/unit/measure_data.h"

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

int main(void) {
  list_measures();
  test_invariances();
  test_duplicates();
  test_lists();
  test_degenerate();
  test_errors();
  return check_done();
}
