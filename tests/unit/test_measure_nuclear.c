// Sums of singular values by determinants, and products in f32, against SVDs in f64 of the same numbers.

#include "core/base/threads.h"
#include "core/measure/cross.h"
#include "core/measure/grams.h"
#include "core/measure/kernel.h"
#include "core/measure/lapack.h"
#include "core/measure/nuclear.h"
#include "core/measure/traits.h"
#include "tests/unit/measure_data.h"

static double exact_norm(int64_t m, int64_t n, const double *a) {
  int64_t r = m < n ? m : n;
  double *copy = malloc(sizeof *copy * (size_t)(m * n)), *s = malloc(sizeof *s * (size_t)r), sum = 0;
  memcpy(copy, a, sizeof *copy * (size_t)(m * n));
  CHECK(vbl_svd_values(m, n, copy, s, NULL) == VBL_OK);
  for (int64_t i = 0; i < r; i++) sum += s[i];
  free(copy);
  free(s);
  return sum;
}

// Column j of a Gaussian matrix times decay^j; `tolerance` < 1e-9 cannot be wrong by more, INFINITY shows the traces themselves.
static void check_norm(int64_t m, int64_t n, double decay, double tolerance, double allowed) {
  double *a = gaussian(m, n, 3), sum = 0;
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) a[i * n + j] *= pow(decay, (double)j);
  double exact = exact_norm(m, n, a);
  CHECK(vbl_nuclear_norm(m, n, a, tolerance, &sum, NULL) == VBL_OK);
  CHECK_REPORT_(fabs(sum - exact) <= allowed * exact, "%lld x %lld, decay %g: %.15g, exactly %.15g", (long long)m, (long long)n,
                decay, sum, exact);
  free(a);
}

static void test_norms(void) {
  check_norm(40, 30, 1, VBL_NUCLEAR_EXACT, 1e-13);  // by SVD
  check_norm(130, 400, 1, INFINITY, 2e-12);         // by determinants, well conditioned
  check_norm(400, 200, 1, INFINITY, 2e-12);
  check_norm(200, 200, 1, VBL_NUCLEAR_EXACT, 1e-9);
  check_norm(300, 200, 0.9, VBL_NUCLEAR_EXACT, 1e-9);  // s falls to 1e-9 s_1: beyond what squares hold
  check_norm(300, 200, 0, VBL_NUCLEAR_EXACT, 1e-9);    // rank 1
  // Rough: r values off by at most sqrt(30 eps |T|) each, |T|_inf <= 2 |T|_2, so 1.2e-7 s_1.
  check_norm(300, 200, 0.9, INFINITY, 200 * 1.2e-7);
}

// f32 numbers of two related sets, their f64 twins.
enum { N = 1024, D = 450 };
typedef struct data {
  vbl_prepared *x, *y, *x64, *y64;
} data;

static vbl_prepared *prepared(const double *values, vbl_dtype dtype) {
  float *single = malloc(sizeof *single * N * D);
  double *twin = malloc(sizeof *twin * N * D);
  vbl_prepared *p = NULL;
  for (int64_t i = 0; i < N * D; i++) twin[i] = (double)(single[i] = (float)values[i]);
  CHECK(vbl_prepare(N, D, dtype == VBL_F32 ? (void *)single : (void *)twin, dtype, D, 1, "X", &p, NULL) == VBL_OK);
  free(single);
  free(twin);
  return p;
}

static data make_data(void) {
  double *x = gaussian(N, D, 1), *y = gaussian(N, D, 2);
  for (int64_t i = 0; i < N * D; i++) {
    x[i] *= exp(-3.0 * (double)(i % D) / D);
    y[i] = y[i] * 0.5 + x[i] + 3;
  }
  data s = {prepared(x, VBL_F32), prepared(y, VBL_F32), prepared(x, VBL_F64), prepared(y, VBL_F64)};
  free(x);
  free(y);
  return s;
}

static void free_data(data *s) {
  vbl_prepared_free(s->x);
  vbl_prepared_free(s->y);
  vbl_prepared_free(s->x64);
  vbl_prepared_free(s->y64);
}

static vbl_measure_result value(vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, int threads) {
  vbl_measure_options o = base;
  vbl_measure_result r;
  int before = vbl_threads();
  vbl_set_threads(threads, NULL);
  CHECK(fn(x, y, &o, &r, NULL) == VBL_OK);
  vbl_set_threads(before, NULL);
  return r;
}

static void test_single(void) {
  data s = make_data();
  double *c = malloc(sizeof *c * D * D);
  CHECK(vbl_prepared_rows(s.x64, NULL) == VBL_OK && vbl_prepared_rows(s.y64, NULL) == VBL_OK);
  vbl_gemm(true, false, D, D, N, 1, s.x64->centred, D, s.y64->centred, D, 0, c, D);
  double exact = exact_norm(D, D, c) / sqrt(s.x64->total * s.y64->total);
  free(c);
  vbl_measure_result one = value(vbl_procrustes, s.x, s.y, 1), three = value(vbl_procrustes, s.x, s.y, 3);
  CHECK(strstr(one.preprocessing, "f32") != NULL);
  CHECK_NEAR(one.value, exact, 1e-6);
  CHECK(one.value == three.value && one.chance == three.chance);
  vbl_measure_result twin = value(vbl_procrustes, s.x64, s.y64, 2);
  CHECK(strstr(twin.preprocessing, "f32") == NULL);
  CHECK_NEAR(twin.value, exact, 1e-9);
  CHECK_NEAR(twin.chance, one.chance, 1e-6);
  one = value(vbl_svcca, s.x, s.y, 1);
  three = value(vbl_svcca, s.x, s.y, 3);
  twin = value(vbl_svcca, s.x64, s.y64, 2);
  CHECK_NEAR(one.value, twin.value, 1e-6);
  CHECK(one.value == three.value && one.dims_x == twin.dims_x);
  CHECK(value(vbl_procrustes, s.x, s.x, 2).value == 1 && value(vbl_svcca, s.y, s.y, 2).value == 1);
  free_data(&s);
}

static void gram_products(vbl_prepared *x, vbl_prepared *y, int threads, double products[4]) {
  vbl_prepared *both[] = {x, y};
  int before = vbl_threads();
  vbl_set_threads(threads, NULL);
  CHECK(vbl_gram_products(both, 2, products, NULL) == VBL_OK);
  vbl_set_threads(before, NULL);
}

// <K, L> by tiles of the kernels is |X'Y|^2, in f64 and in f32.
static void test_grams(void) {
  data s = make_data();
  double exact[4], one[4], three[4], cross = 0, self = 0;
  gram_products(s.x64, s.y64, 2, exact);
  CHECK(vbl_prepared_cross(s.x64, s.y64, &cross, NULL) == VBL_OK && vbl_prepared_cross(s.y64, s.y64, &self, NULL) == VBL_OK);
  CHECK_NEAR(exact[1] / cross, 1, 1e-12);
  CHECK_NEAR(exact[3] / self, 1, 1e-12);
  CHECK(exact[1] == exact[2]);
  gram_products(s.x, s.y, 1, one);
  gram_products(s.x, s.y, 3, three);
  CHECK(memcmp(one, three, sizeof one) == 0);
  for (int i = 0; i < 4; i++) CHECK_NEAR(one[i] / exact[i], 1, 1e-7);
  CHECK(one[1] != exact[1]);  // it was f32
  free_data(&s);
}

// n (n-3) HSIC1 by its definition, from U-centred kernels, which hold no square of a row's length.
static double by_kernels(const vbl_prepared *x, const vbl_prepared *y) {
  double *k[2];
  for (int side = 0; side < 2; side++) {
    const double *rows = side == 0 ? x->centred : y->centred;
    k[side] = malloc(sizeof **k * N * N);
    vbl_gemm(false, true, N, N, D, 1, rows, D, rows, D, 0, k[side], N);
    CHECK(vbl_u_centre(k[side], N, NULL) == VBL_OK);
  }
  double sum = vbl_dot(k[0], k[1], (int64_t)N * N);
  free(k[0]);
  free(k[1]);
  return sum;
}

// Related or unrelated, row 700 of both `factor` times as long.
static data with_long_row(double factor, bool related) {
  double *x = gaussian(N, D, 1), *y = gaussian(N, D, 2);
  for (int64_t i = 0; i < N * D; i++) {
    if (related) y[i] = y[i] * 0.5 + x[i];
    if (i / D == 700) x[i] *= factor, y[i] *= factor;
  }
  data s = {prepared(x, VBL_F32), prepared(y, VBL_F32), prepared(x, VBL_F64), prepared(y, VBL_F64)};
  free(x);
  free(y);
  CHECK(vbl_prepared_rows(s.x64, NULL) == VBL_OK && vbl_prepared_rows(s.y64, NULL) == VBL_OK);
  return s;
}

// Its |x|^4 is nearly all of |X'X|^2 and no part of the debiased sums. Those are good to 1e-7 of sqrt(HSIC HSIC) where f32 is kept (8 times the
// 1e-8 of a product); in f64 to the rounding of the products, a few eps, times what dropped out.
static void check_long_row(double factor, bool related) {
  data s = with_long_row(factor, related);
  const double xx = by_kernels(s.x64, s.x64), yy = by_kernels(s.y64, s.y64), xy = by_kernels(s.x64, s.y64), scale = sqrt(xx * yy);
  double products[4];
  gram_products(s.x, s.y, 1, products);
  const double allowed = 1e-7 + 16 * 0x1p-52 * sqrt(products[0] * products[3]) / scale, pairs = (double)N * (N - 3);
  CHECK_NEAR(vbl_debiased_sum(s.x, s.y, products[1]) / scale, xy / scale, allowed);
  vbl_prepared_free(s.x);
  vbl_prepared_free(s.y);
  data t = with_long_row(factor, related);
  vbl_measure_result hsic = value(vbl_hsic, t.x, t.y, 1), cka = value(vbl_cka, t.x, t.y, 1),
                     procrustes = value(vbl_procrustes, t.x, t.y, 1);
  CHECK_NEAR(hsic.value * pairs / scale, xy / scale, allowed);
  CHECK(cka.status == VBL_MEASURE_OK);
  CHECK_NEAR(cka.value, xy / scale, 2 * allowed);
  CHECK(t.x->cancels == (factor > 10 ? VBL_CANCELS_YES : VBL_CANCELS_NO));
  CHECK_NEAR(procrustes.value, value(vbl_procrustes, s.x64, s.y64, 1).value, 1e-6);
  CHECK((strstr(procrustes.preprocessing, "f32") == NULL) == (factor > 10));
  vbl_prepared_free(s.x64);
  vbl_prepared_free(s.y64);
  free_data(&t);
}

static void test_long_rows(void) {
  check_long_row(1, true);
  check_long_row(1, false);
  check_long_row(5, true);
  check_long_row(100, true);
  check_long_row(1e4, true);
  check_long_row(1e4, false);
}

// Ten dims through leading eigenvectors, and from an SVD that is there already.
static void test_leading(void) {
  data s = make_data();
  vbl_measure_options o = base;
  vbl_measure_result alone, cached;
  o.dims = 10;
  CHECK(vbl_svcca(s.x64, s.y64, &o, &alone, NULL) == VBL_OK && s.x64->svd == NULL);
  CHECK(vbl_prepared_svd(s.x64, NULL) == VBL_OK && vbl_prepared_svd(s.y64, NULL) == VBL_OK);
  CHECK(vbl_svcca(s.x64, s.y64, &o, &cached, NULL) == VBL_OK);
  CHECK_NEAR(alone.value, cached.value, 1e-9);
  CHECK(alone.warnings == cached.warnings && alone.dims_x == 10 && cached.dims_x == 10 && alone.chance == cached.chance);
  free_data(&s);
}

int main(void) {
  test_norms();
  test_single();
  test_grams();
  test_long_rows();
  test_leading();
  return check_done();
}
