// The deterministic fixture: every measure against values computed independently in numpy and scipy (f64), to 1e-9.
#include "tests/unit/measure_data.h"

static double X[FN * FX], Y[FN * FY], Y6[FN * FX];

static vbl_measure_options k5(void) {
  vbl_measure_options o = vbl_measure_defaults;
  o.k = 5;
  return o;
}

#define XY(fn, o)  call(fn, X, FX, Y, FY, FN, &(o), NULL)
#define XY6(fn, o) call(fn, X, FX, Y6, FX, FN, &(o), NULL)
#define ONE(fn, o) call(fn, X, FX, NULL, 0, FN, &(o), NULL)

static double extra(const vbl_measure_result *r, const char *name) {
  for (int i = 0; i < r->extras; i++)
    if (strcmp(r->extra[i].name, name) == 0) return r->extra[i].value;
  return (double)NAN;
}

static void test_data(void) {
  double sx = 0, sy = 0;
  for (int i = 0; i < FN * FX; i++) sx += X[i];
  for (int i = 0; i < FN * FY; i++) sy += Y[i];
  CHECK_NEAR(X[0], 0.644217687238, 1e-9);
  CHECK_NEAR(X[FN * FX - 1], 0.465801355789, 1e-9);
  CHECK_NEAR(Y[FN * FY - 1], 0.121906406523, 1e-9);
  CHECK_NEAR(sx, 17.352287570492, 1e-9);
  CHECK_NEAR(sy, 9.430399916069, 1e-9);
}

static void test_kernels(void) {
  vbl_measure_options o = k5();
  CHECK_NEAR(XY(vbl_hsic, o).value, 1.061993988353, 1e-9);
  CHECK_NEAR(call(vbl_hsic, X, FX, X, FX, FN, &o, NULL).value, 2.505660246431, 1e-9);
  CHECK_NEAR(call(vbl_hsic, Y, FY, Y, FY, FN, &o, NULL).value, 3.356447392482, 1e-9);
  CHECK_NEAR(XY(vbl_cka, o).value, 0.366202280616, 1e-9);
  o.estimator = 1;
  CHECK_NEAR(XY(vbl_hsic, o).value, 1.842516473875, 1e-9);
  CHECK_NEAR(XY(vbl_cka, o).value, 0.498263944708, 1e-9);
  o.kernel = 1;
  CHECK_NEAR(XY(vbl_cka, o).value, 0.533024110110, 1e-9);
  o.bandwidth_rule = 1;
  CHECK_NEAR(XY(vbl_cka, o).value, 0.533620269422, 1e-9);
  o.bandwidth_rule = 0;
  o.fraction = 0.5;
  CHECK_NEAR(XY(vbl_cka, o).value, 0.566550165359, 1e-9);
  o.fraction = 1;
  o.estimator = 0;
  CHECK_NEAR(XY(vbl_cka, o).value, 0.349028344505, 1e-9);
  o.batch = 8;
  CHECK_NEAR(XY(vbl_cka_minibatch, o).value, 0.115215827326, 1e-9);
  CHECK_NEAR(XY(vbl_dcor, o).value, 0.769885378639, 1e-9);
  o.estimator = 1;
  CHECK_NEAR(XY(vbl_dcor, o).value, 0.346901152740, 1e-9);
}

static void check_list(const double *data, int64_t d, int64_t row, const int32_t want[5]) {
  vbl_prepared *p = prepare(data, FN, d, d);
  const vbl_knn *list = NULL;
  vbl_error err = {0};
  CHECK_OK(vbl_prepared_knn(p, 5, VBL_KNN_COSINE, &list, &err), err);
  for (int r = 0; r < 5; r++) CHECK(list != NULL && list->index[row * 5 + r] == want[r]);
  vbl_prepared_free(p);
}

static void test_neighbours(void) {
  vbl_measure_options o = k5();
  check_list(X, FX, 0, (int32_t[]){9, 18, 6, 15, 8});
  check_list(X, FX, 23, (int32_t[]){14, 5, 17, 8, 1});
  check_list(Y, FY, 0, (int32_t[]){21, 19, 9, 18, 12});
  check_list(Y, FY, 23, (int32_t[]){17, 2, 5, 14, 16});
  CHECK_NEAR(XY(vbl_mknn, o).value, 0.375, 1e-9);
  CHECK_NEAR(XY(vbl_mknn_thesis, o).value, 0.480839155754, 1e-9);
  CHECK_NEAR(XY(vbl_knn_jaccard, o).value, 0.246197089947, 1e-9);
  CHECK_NEAR(XY(vbl_rank_sim, o).value, 0.294550905884, 1e-9);
  CHECK_NEAR(XY(vbl_joint_rank_jaccard, o).value, 0.080067987128, 1e-9);
  CHECK_NEAR(XY(vbl_cycle_knn, o).value, 1.0, 1e-9);
  CHECK_NEAR(call(vbl_cycle_knn, Y, FY, X, FX, FN, &o, NULL).value, 0.958333333333, 1e-9);
  vbl_measure_result r = XY(vbl_lcs_knn, o);
  CHECK_NEAR(r.value, 1.583333333333, 1e-9);
  CHECK_NEAR(extra(&r, "per_k"), 1.583333333333 / 5, 1e-9);
  CHECK_NEAR(XY(vbl_edit_knn, o).value, 0.1, 1e-9);
  CHECK_NEAR(XY(vbl_second_order_cosine, o).value, 0.768041136214, 1e-9);
  o.ties = 1;  // no ties in the fixture: fractional and index agree
  CHECK_NEAR(XY(vbl_mknn, o).value, 0.375, 1e-9);
  CHECK_NEAR(XY(vbl_knn_jaccard, o).value, 0.246197089947, 1e-9);
}

static void test_linear_maps(void) {
  vbl_measure_options o = k5();
  CHECK_NEAR(XY(vbl_cca, o).value, 0.680431742695, 1e-9);
  o.of = 1;
  CHECK_NEAR(XY(vbl_cca, o).value, 0.562694539154, 1e-9);
  CHECK_NEAR(XY(vbl_pwcca, o).value, 0.756689748721, 1e-9);
  o.side = 1;
  CHECK_NEAR(XY(vbl_pwcca, o).value, 0.719477859402, 1e-9);
  vbl_measure_result r = XY(vbl_svcca, o);
  CHECK_NEAR(r.value, 0.798709025059, 1e-9);
  CHECK(r.dims_x == 5 && r.dims_y == 8);
  o.threshold = 0.9;
  r = XY(vbl_svcca, o);
  CHECK_NEAR(r.value, 0.780618490750, 1e-9);
  CHECK(r.dims_x == 4 && r.dims_y == 7);
  CHECK_NEAR(XY(vbl_procrustes, o).value, 0.647929642720, 1e-9);
  o.form = 1;
  CHECK_NEAR(XY(vbl_procrustes, o).value, 8.799321752221, 1e-9);
  CHECK_NEAR(call(vbl_procrustes, Y, FY, X, FX, FN, &o, NULL).value, 8.799321752221, 1e-9);
  o.form = 2;
  CHECK_NEAR(XY(vbl_procrustes, o).value, 0.839130928139, 1e-9);
  o.form = 3;
  CHECK_NEAR(XY(vbl_procrustes, o).value, 0.865933116675, 1e-9);
  CHECK_NEAR(XY(vbl_aligned_cosine, o).value, 0.638617618437, 1e-9);
  CHECK_NEAR(call(vbl_aligned_cosine, Y, FY, X, FX, FN, &o, NULL).value, 0.638617618437, 1e-9);
}

static void test_joint(void) {
  vbl_measure_options o = k5();
  CHECK_NEAR(XY6(vbl_cosine, o).value, 0.556719500374, 1e-9);
  CHECK_NEAR(XY6(vbl_modality_gap, o).value, 0.184386341355, 1e-9);
  CHECK_NEAR(XY6(vbl_alignment, o).value, 0.886560999253, 1e-9);
  CHECK_NEAR(ONE(vbl_uniformity, o).value, -2.321424481542, 1e-9);
  vbl_measure_result r = XY6(vbl_retrieval, o);
  CHECK_NEAR(r.value, 0.208333333333, 1e-9);
  const char *const names[] = {"r1_yx", "r5", "r5_yx", "r10", "r10_yx", "median_rank", "mrr"};
  const double values[] = {0.166666666667, 0.875, 0.833333333333, 1, 1, 3.5, 0.415443121693};
  for (int i = 0; i < 7; i++) CHECK_NEAR(extra(&r, names[i]), values[i], 1e-9);
}

static void test_cknna(void) {
  vbl_measure_options o = k5();
  CHECK_NEAR(XY(vbl_cknna, o).value, 0.404589534601, 1e-9);
  o.eps = 1e-6;
  CHECK_NEAR(XY(vbl_cknna, o).value, 0.404582648491, 1e-9);
  o.eps = 0;
  o.variant = 1;
  CHECK_NEAR(XY(vbl_cknna, o).value, 0.367843244573, 1e-9);
}

static void test_spectrum(void) {
  const double s[] = {5.156701959, 4.8079221217, 3.6274655565, 3.3032885191, 1.1327229917, 0.5104446083};
  vbl_measure_options o = k5();
  vbl_prepared *p = prepare(X, FN, FX, FX);
  vbl_error err = {0};
  CHECK_OK(vbl_prepared_svd(p, &err), err);
  for (int i = 0; i < FX; i++) CHECK_NEAR(p->svd->s[i], s[i], 1e-9);
  vbl_prepared_free(p);
  CHECK_NEAR(ONE(vbl_effective_rank, o).value, 4.963924938566, 1e-9);
  o.of = 1;
  CHECK_NEAR(ONE(vbl_effective_rank, o).value, 4.070404673005, 1e-9);
  CHECK_NEAR(ONE(vbl_participation_ratio, o).value, 3.695036960606, 1e-9);
  CHECK_NEAR(ONE(vbl_stable_rank, o).value, 2.832533478520, 1e-9);
  CHECK_NEAR(ONE(vbl_pca_dims, o).value, 4, 0);
  CHECK_NEAR(ONE(vbl_twonn, o).value, 0.925849459561, 1e-9);
  o.fit = 1;
  CHECK_NEAR(ONE(vbl_twonn, o).value, 0.829390712595, 1e-9);
}

static void test_rsa(void) {
  const double values[4][2] = {{0.291709307801, 0.353406369557},
                               {0.319137569384, 0.369718935864},
                               {0.302521938899, 0.343986681537},
                               {0.302521938899, 0.347350080922}};
  vbl_measure_options o = k5();
  for (o.rdm = 0; o.rdm < 4; o.rdm++)
    for (o.compare = 0; o.compare < 2; o.compare++) CHECK_NEAR(XY(vbl_rsa, o).value, values[o.rdm][o.compare], 1e-9);
  o.rdm = 0;
  o.compare = 2;
  CHECK_NEAR(XY(vbl_rsa, o).value, 0.196310935441, 1e-9);
}

static void test_regression(void) {
  int64_t fold[FN];
  for (int i = 0; i < FN; i++) fold[i] = i % 4;
  vbl_measure_options o = k5();
  CHECK_NEAR(XY(vbl_linear_r2, o).value, 0.534461077071, 1e-9);
  CHECK_NEAR(call(vbl_linear_r2, Y, FY, X, FX, FN, &o, NULL).value, 0.621192481191, 1e-9);
  o.folds = 4;
  o.assignment = fold;
  o.lambda = 1;
  CHECK_NEAR(XY(vbl_ridge_r2_cv, o).value, 0.200020350684, 1e-9);
}

static void test_transport(void) {
  double axes[FX * FX] = {0};
  for (int i = 0; i < FX; i++) axes[i * FX + i] = 1;
  vbl_measure_options o = k5();
  CHECK_NEAR(XY6(vbl_wasserstein, o).value, 1.548334530789, 1e-9);
  o.p = 1;
  CHECK_NEAR(XY6(vbl_wasserstein, o).value, 1.490136863445, 1e-9);
  o.eps = 0.5;
  vbl_measure_result r = XY6(vbl_sinkhorn, o);
  // The x-x and y-y problems at their fixed points; plain alternation still lacks 7e-9 after 20000 steps.
  CHECK_NEAR(r.value, 2.105478832963, 1e-9);
  CHECK_NEAR(extra(&r, "cost"), 2.552870611850, 1e-9);
  CHECK_NEAR(extra(&r, "dual"), 3.418814881109, 1e-9);
  o.directions = axes;
  o.projections = o.directions_d = FX;
  CHECK_NEAR(XY6(vbl_sliced_wasserstein, o).value, 0.276631190904, 1e-9);
  o.raw_distances = 1;
  CHECK_NEAR(XY(vbl_gw_identity, o).value, 1.474651896803, 1e-9);
}

static void test_max_sim(void) {
  double t[2][5][4], v[2][7][4];
  for (int b = 0; b < 2; b++)
    for (int j = 0; j < 4; j++) {
      for (int i = 0; i < 5; i++) t[b][i][j] = sin(1.1 * (b + 1) + 0.5 * (i + 1) * (j + 1));
      for (int p = 0; p < 7; p++) v[b][p][j] = cos(0.9 * (b + 1) - 0.4 * (p + 1) * (j + 1));
    }
  vbl_tokens text = {t, VBL_F64, 2, 5, 4, 20, 4, 1, NULL, NULL}, vision = {v, VBL_F64, 2, 7, 4, 28, 4, 1, NULL, NULL};
  vbl_measure_result tp, pt;
  vbl_error err = {0};
  CHECK_OK(vbl_max_sim(&text, &vision, true, &tp, &pt, &err), err);
  CHECK_NEAR(tp.value, 0.647960628459, 1e-9);
  CHECK_NEAR(pt.value, 0.593476110213, 1e-9);
  const int64_t lengths[2] = {4, 3};
  text.lengths = lengths;
  CHECK_OK(vbl_max_sim(&text, &vision, true, &tp, &pt, &err), err);
  CHECK_NEAR(tp.value, 0.663751989704, 1e-9);
  CHECK_NEAR(pt.value, 0.395730621454, 1e-9);
}

int main(void) {
  fixture(X, Y);
  for (int i = 0; i < FN; i++)
    for (int j = 0; j < FX; j++) Y6[i * FX + j] = Y[i * FY + j];
  test_data();
  test_kernels();
  test_neighbours();
  test_linear_maps();
  test_joint();
  test_cknna();
  test_spectrum();
  test_rsa();
  test_regression();
  test_transport();
  test_max_sim();
  return check_done();
}
