// Nuclear norms of many pairs at once on a device, against SVDs in f64 of the same products.
#include <stdlib.h>
#include <string.h>

#include "core/measure/device.h"
#include "core/measure/lapack.h"
#include "core/measure/nuclear.h"
#include "core/measure/polar.h"
#include "kernels/measure.h"
#include "tests/unit/measure_data.h"

const vbl_backend *vbl_cuda_open(int device, char *message, size_t size);

static const vbl_backend *device;

static vbl_prepared *prepared(int64_t n, int64_t d, const float *values) {
  const int64_t shape[] = {n, d};
  vbl_tensor *t = NULL;
  vbl_prepared *p = NULL;
  vbl_error err;
  CHECK_OK(vbl_tensor_new(device, VBL_F32, 2, shape, &t, &err), err);
  device->from_host(vbl_tensor_data(t), values, sizeof *values * (size_t)(n * d), NULL);
  CHECK_OK(vbl_prepare_device(t, "X", &p, &err), err);
  vbl_tensor_release(t);
  return p;
}

// Column j of Gaussian numbers times decay^j, columns from `rank` on copies of the first; decay 0: equal rows.
static vbl_prepared *layer(int64_t n, int64_t d, uint64_t seed, double decay, int64_t rank) {
  double *a = gaussian(n, d, seed);
  float *single = malloc(sizeof *single * (size_t)(n * d));
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < d; j++) {
      const int64_t from = j < rank ? j : j % rank;
      single[i * d + j] = decay == 0 ? 3 : (float)(a[i * d + from] * pow(decay, (double)from));
    }
  vbl_prepared *p = prepared(n, d, single);
  free(a);
  free(single);
  return p;
}

static double exact_norm(int64_t m, int64_t n, double *c) {
  double *s = malloc(sizeof *s * (size_t)(m < n ? m : n)), sum = 0;
  vbl_error err;
  CHECK_OK(vbl_svd_values(m, n, c, s, &err), err);
  for (int64_t i = 0; i < (m < n ? m : n); i++) sum += s[i];
  free(s);
  return sum;
}

static double expected(const vbl_device_pair_of *p) {
  const int64_t m = p->mx > 0 ? p->mx : p->x->d, n = p->my > 0 ? p->my : p->y->d;
  double *c = malloc(sizeof *c * (size_t)(m * n));
  vbl_error err;
  CHECK_OK(p->mx > 0 ? vbl_device_coordinates(p->x, p->y, m, n, c, &err) : vbl_device_cross(p->x, p->y, NULL, c, &err), err);
  const double sum = exact_norm(m, n, c);
  free(c);
  return sum;
}

// What the bound allows, and where all values are converged n eps of |A|_F <= the sum, a hundred times.
static void check_pairs(const vbl_device_pair_of *pairs, int64_t count, const double *tolerance) {
  double *sums = malloc(sizeof *sums * (size_t)count);
  vbl_error err;
  CHECK_OK(vbl_device_nuclear_norms(pairs, count, sums, &err), err);
  for (int64_t i = 0; i < count; i++) {
    const double exact = expected(&pairs[i]);
    CHECK_REPORT_(fabs(sums[i] - exact) <= tolerance[i] * exact, "pair %lld: %.15g, exactly %.15g", (long long)i, sums[i], exact);
  }
  free(sums);
}

enum { N = 90, LAYERS = 8 };

static void test_pairs(void) {
  const struct {
    int64_t d;
    double decay;
    int64_t rank;
  } kinds[LAYERS] = {{20, 1, 20}, {33, 1, 33}, {1, 1, 1}, {33, 1, 11}, {20, 0.2, 20}, {25, 0, 25}, {20, 0.7, 7}, {1, 0, 1}};
  const double full = 100 * 33 * 0x1p-53 + VBL_POLAR_OFF * VBL_POLAR_OFF * 4;
  vbl_prepared *layers[LAYERS];
  vbl_device_pair_of pairs[LAYERS * LAYERS];
  double tolerance[LAYERS * LAYERS];
  for (int i = 0; i < LAYERS; i++) layers[i] = layer(N, kinds[i].d, 1 + (uint64_t)i, kinds[i].decay, kinds[i].rank);
  for (int i = 0; i < LAYERS * LAYERS; i++) {
    const int x = i / LAYERS, y = i % LAYERS;
    pairs[i] = (vbl_device_pair_of){layers[x], layers[y], 0, 0};
    tolerance[i] = x < 3 && y < 3 ? full : VBL_NUCLEAR_EXACT;
  }
  check_pairs(pairs, LAYERS * LAYERS, tolerance);
  const vbl_svd *svd = NULL;
  for (int i = 0; i < 3; i++) CHECK(vbl_device_svd(layers[i], &svd, NULL) == VBL_OK && svd != NULL);
  const vbl_device_pair_of vectors[] = {
      {layers[0], layers[1], 20, 33}, {layers[0], layers[1], 7, 3}, {layers[1], layers[2], 12, 1}, {layers[0], layers[0], 20, 20}};
  const double vector_tolerance[] = {full, full, full, full};
  check_pairs(vectors, 4, vector_tolerance);
  for (int i = 0; i < LAYERS; i++) vbl_prepared_free(layers[i]);
}

static bool never(void) { return false; }

// NaN: products that are not finite, and devices that are slow in f64.
static void test_undecided(void) {
  vbl_prepared *x = layer(N, 6, 1, 1, 6), *y = layer(N, 5, 2, 1, 5);
  const vbl_device_pair_of pair = {x, y, 0, 0};
  vbl_measure_kernels slow = *device->measure;
  vbl_backend other = *device;
  const double huge = INFINITY;
  double sum = 0;
  slow.doubles_pay = never;
  other.measure = &slow;
  x->device->b = &other;
  CHECK(vbl_device_nuclear_norms(&pair, 1, &sum, NULL) == VBL_OK && isnan(sum));
  x->device->b = device;
  device->from_host(x->device->mean, &huge, sizeof huge, NULL);
  CHECK(vbl_device_nuclear_norms(&pair, 1, &sum, NULL) == VBL_OK && isnan(sum));
  vbl_prepared_free(x);
  vbl_prepared_free(y);
}

// The composition is within its bound wherever it is asked, and below it never negative.
static void test_polar(void) {
  const double least[] = {1e-13, 1.2e-12, 5e-7, 1e-4, 0.1, 0.5};
  enum { POINTS = 20000 };
  for (size_t i = 0; i < sizeof least / sizeof *least; i++) {
    vbl_quintic p[VBL_POLAR_MOST];
    const int steps = vbl_polar(least[i], p);
    double off = 0, low = 0;
    for (int k = 0; k < 2 * POINTS; k++) {
      double x = k < POINTS ? least[i] * k / POINTS : pow(least[i], (double)(2 * POINTS - 1 - k) / (POINTS - 1));
      for (int q = 0; q < steps; q++) x *= p[q].a + x * x * (p[q].b + x * x * p[q].c);
      off = fmax(off, k < POINTS ? x - 1 : fabs(x - 1));
      low = fmin(low, x);
    }
    CHECK(off <= VBL_POLAR_OFF && low >= 0 && steps < VBL_POLAR_MOST);
  }
}

int main(void) {
  char message[512];
  device = vbl_cuda_open(0, message, sizeof message);
  if (device == NULL) return check_skip(message);
  test_polar();
  test_pairs();
  test_undecided();
  return check_done();
}
