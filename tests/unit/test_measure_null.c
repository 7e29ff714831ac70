// Means of the measures over unrelated data, and their population values: fixed seeds, bands of three standard errors.
#include "tests/unit/measure_data.h"

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
  test_null_laws();
  test_population();
  return check_done();
}
