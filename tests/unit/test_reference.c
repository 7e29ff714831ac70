// The oracle itself: every backward of the reference backend against central differences of its forward, and what differences
// cannot show (conversions, integer arithmetic, dropout's mask, masked labels, aliasing, empty segments, the optimizers' first
// steps).
//
// Tolerance of the differences: with step h = 1e-5 the truncation is h^2 |f'''| / 6 < 1e-9 for third derivatives up to 60, and
// rounding is |loss| 2^-52 / h < 1e-8 for losses up to 400; so 1e-7 fails only on a wrong formula.
#include <stdlib.h>

#include "kernels/kernels.h"
#include "tests/check.h"

enum { N = 5, D = 8, MAX = 4096 };
static const vbl_backend *ref;
static double x[MAX], y[MAX], w[MAX], dx[MAX], a[MAX], b[MAX], da[MAX], db[MAX], extra[MAX], kept1[MAX], kept2[MAX];
static const double tolerance = 1e-7, h = 1e-5;

// Numbers in (low, high) from a counter.
static void draw(double *out, int64_t n, uint32_t seed, double low, double high) {
  vbl_philox_key key = {seed, VBL_STREAM_USER};
  for (int64_t i = 0; i < n; i++) out[i] = low + (high - low) * vbl_philox_uniform(key, (uint32_t)i, 0, 0, 0);
}

static double weighted(const double *values, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; i++) total += w[i] * values[i];
  return total;
}

// |analytic[i] - d loss / d at[i]| over all i; loss reads `at` anew at each call.
static double worst_difference(double (*loss)(void), double *at, const double *analytic, int64_t n) {
  double worst = 0;
  for (int64_t i = 0; i < n; i++) {
    double was = at[i];
    at[i] = was + h;
    double up = loss();
    at[i] = was - h;
    double down = loss();
    at[i] = was;
    worst = fmax(worst, fabs((up - down) / (2 * h) - analytic[i]));
  }
  return worst;
}

static vbl_unary function;
static double unary_loss(void) {
  ref->unary(function, x, y, N * D, NULL);
  return weighted(y, N * D);
}

static void test_unary(void) {
  draw(w, N * D, 1, -1, 1);
  for (function = VBL_NEG; function <= VBL_COS; function++) {
    draw(x, N * D, 2, 0.3, 2);  // where every function is defined and smooth
    for (int64_t i = 0; i < N * D; i++) {
      if (i % 2 && function != VBL_LOG && function != VBL_SQRT) x[i] = -x[i];
    }
    unary_loss();
    ref->unary_backward(function, x, y, w, dx, N * D, NULL);
    CHECK_NEAR(worst_difference(unary_loss, x, dx, N * D), 0, 1e-6);  // reciprocal: third derivative 6 / 0.3^4 = 741
  }
}

static double norm_loss(void) {
  ref->layer_norm(x, a, b, 1e-5, y, kept1, kept2, N, D, NULL);
  return weighted(y, N * D);
}

static void test_norm(void) {
  draw(w, N * D, 3, -1, 1), draw(x, N * D, 4, -2, 2), draw(a, D, 5, 0.5, 1.5), draw(b, D, 6, -1, 1), draw(extra, N * D, 7, -1, 1);
  norm_loss();
  ref->layer_norm_backward(x, kept1, kept2, a, w, NULL, dx, da, db, false, N, D, NULL);
  CHECK_NEAR(worst_difference(norm_loss, x, dx, N * D), 0, tolerance);
  CHECK_NEAR(worst_difference(norm_loss, a, da, D), 0, tolerance);
  CHECK_NEAR(worst_difference(norm_loss, b, db, D), 0, tolerance);
  norm_loss();
  memcpy(y, w, sizeof y);
  ref->layer_norm_backward(x, kept1, kept2, a, y, extra, y, da, db, true, N, D, NULL);  // in place, added to
  for (int64_t i = 0; i < N * D; i++) CHECK_NEAR(y[i], dx[i] + extra[i], 1e-14);
  double column = 0;
  for (int64_t row = 0; row < N; row++) column += 2 * w[row * D];
  CHECK_NEAR(db[0], column, 1e-14);
}

static double linear_loss(void) {
  memcpy(extra, x, sizeof extra);
  ref->bias_gelu(extra, b, y, N, D, NULL);
  return weighted(y, N * D);
}

static void test_linear(void) {
  draw(w, N * D, 8, -1, 1), draw(x, N * D, 9, -2, 2), draw(b, D, 10, -1, 1);
  linear_loss();
  ref->gelu_backward_bias(extra, w, dx, db, false, N, D, NULL);
  CHECK_NEAR(worst_difference(linear_loss, x, dx, N * D), 0, tolerance);
  CHECK_NEAR(worst_difference(linear_loss, b, db, D), 0, tolerance);
  // [1 2; 3 4] [5 6; 7 8] = [19 22; 43 50], and its transposed forms, in a wider C.
  const double A[] = {1, 2, 3, 4}, At[] = {1, 3, 2, 4}, B[] = {5, 6, 7, 8}, Bt[] = {5, 7, 6, 8};
  for (int form = 0; form < 4; form++) {
    double C[] = {NAN, NAN, -1, NAN, NAN, -1};
    ref->gemm(form & 1, form & 2, 2, 2, 2, 1, form & 1 ? At : A, 2, form & 2 ? Bt : B, 2, 0, C, 3, NULL);
    CHECK(C[0] == 19 && C[1] == 22 && C[2] == -1 && C[3] == 43 && C[4] == 50 && C[5] == -1);
    ref->gemm(form & 1, form & 2, 2, 2, 2, 2, form & 1 ? At : A, 2, form & 2 ? Bt : B, 2, -1, C, 3, NULL);
    CHECK(C[0] == 19 && C[4] == 50);
  }
}

static bool use_log;
static double softmax_loss(void) {
  ref->softmax(x, y, use_log, N, D, NULL);
  return weighted(y, N * D);
}
static const int32_t labels[N] = {3, -100, 0, 7, 3};
static double cross_entropy_loss(void) {
  ref->cross_entropy(x, labels, -100, y, kept1, N, D, NULL);
  return weighted(y, N);
}
static double normalize_loss(void) {
  ref->normalize_rows(x, 1e-2, y, kept1, N, D, NULL);
  return weighted(y, N * D);
}

static void test_loss(void) {
  draw(w, N * D, 11, -1, 1), draw(x, N * D, 12, -2, 2);
  for (int i = 0; i < 2; i++) {
    use_log = i;
    softmax_loss();
    ref->softmax_backward(y, w, dx, use_log, N, D, NULL);
    CHECK_NEAR(worst_difference(softmax_loss, x, dx, N * D), 0, tolerance);
  }
  cross_entropy_loss();
  CHECK(y[1] == 0);
  ref->cross_entropy_backward(x, labels, -100, kept1, w, 1, dx, N, D, NULL);
  CHECK_NEAR(worst_difference(cross_entropy_loss, x, dx, N * D), 0, tolerance);
  for (int64_t col = 0; col < D; col++) x[col] *= 1e-3;  // a row shorter than eps
  normalize_loss();
  ref->normalize_rows_backward(y, kept1, 1e-2, w, dx, N, D, NULL);
  CHECK_NEAR(worst_difference(normalize_loss, x, dx, N * D), 0, tolerance);
}

// Three samples: 3, 0 and 2 queries against 2, 3 and 0 keys; two heads of 4; leading dims 9, 10, 11; dropout on.
enum { B = 3, H = 2, HEAD = 4 };
static const int32_t q_seg[B][2] = {{0, 3}, {3, 0}, {3, 2}}, k_seg[B][2] = {{0, 2}, {2, 3}, {5, 0}}, samples[B] = {4, 5, 6};
static vbl_dropout drop = {0.3, {1, VBL_STREAM_DROPOUT}, 7, samples};
static double attention_loss(void) {
  ref->attention(x, 9, a, 10, b, 11, q_seg, k_seg, B, H, HEAD, 0.7, &drop, y, D, kept1, NULL);
  return weighted(y, N * D);
}

static void test_attention(void) {
  draw(w, N * D, 13, -1, 1), draw(x, N * 9, 14, -1, 1), draw(a, N * 10, 15, -1, 1), draw(b, N * 11, 16, -1, 1);
  memset(dx, 0, sizeof dx), memset(da, 0, sizeof da), memset(db, 0, sizeof db);
  attention_loss();
  CHECK(y[3 * D] == 0 && isinf(kept1[3 * H]) && kept1[3 * H] < 0);  // no keys: zeros, lse -inf
  ref->attention_backward(x, 9, a, 10, b, 11, q_seg, k_seg, B, H, HEAD, 0.7, &drop, y, D, kept1, w, D, kept2, dx, 9, da, 10, db, 11,
                          NULL);
  CHECK_NEAR(worst_difference(attention_loss, x, dx, N * 9), 0, tolerance);
  CHECK_NEAR(worst_difference(attention_loss, a, da, N * 10), 0, tolerance);
  CHECK_NEAR(worst_difference(attention_loss, b, db, N * 11), 0, tolerance);
  // One key: whatever the scores, the output is its value.
  const int32_t one[1][2] = {{0, 1}}, none[1][2] = {{1, 1}};
  ref->attention(x, 9, a, 10, b, 11, one, none, 1, H, HEAD, 0.7, NULL, y, D, kept1, NULL);
  for (int64_t col = 0; col < D; col++) CHECK_NEAR(y[col], b[11 + col], 1e-15);
}

static void test_dropout(void) {
  enum { ROWS = 64, WIDE = 50 };
  int32_t rows[ROWS][2];
  for (int32_t row = 0; row < ROWS; row++) rows[row][0] = row / 8, rows[row][1] = row % 8;
  vbl_dropout site = {0.25, {3, VBL_STREAM_DROPOUT + 2}, 11, rows[0]};
  ref->fill(VBL_F64, x, ROWS * WIDE, 3, NULL);
  ref->dropout_add(x, NULL, &site, y, ROWS, WIDE, NULL);
  int kept = 0;
  for (int64_t i = 0; i < ROWS * WIDE; i++) {
    const int32_t *place = rows[i / WIDE], column = (int32_t)(i % WIDE);
    vbl_u32x4 u = vbl_philox(site.rng, (uint32_t)column / 4, (uint32_t)place[1], (uint32_t)place[0], site.step);
    CHECK(y[i] == (vbl_u32_to_unit(u.v[column % 4]) >= 0.25f ? 3 / 0.75 : 0));
    kept += y[i] != 0;
  }
  CHECK_NEAR(kept, 0.75 * ROWS * WIDE, 6 * sqrt(0.25 * 0.75 * ROWS * WIDE));  // six standard deviations
  // An element's fate depends on its sample and position, not on the row it lies in.
  vbl_dropout shifted = site;
  shifted.rows = rows[5];
  ref->dropout_add(x, x, &shifted, extra, ROWS - 5, WIDE, NULL);
  for (int64_t i = 0; i < (ROWS - 5) * WIDE; i++) CHECK(extra[i] == 3 + y[i + 5 * WIDE]);
}

static double converted(vbl_dtype to, double value) {
  union {
    float f;
    double d;
    uint16_t half;
    int32_t i;
    uint8_t u;
  } cell;
  double back;
  const int64_t stride = 1;
  ref->copy(VBL_F64, &value, &stride, to, &cell, &stride, 0, NULL, NULL);
  ref->copy(to, &cell, &stride, VBL_F64, &back, &stride, 0, NULL, NULL);
  return back;
}

static void test_copy(void) {
  CHECK(converted(VBL_BF16, 1 + 0x1p-8) == 1);               // a tie goes to the even neighbour, down
  CHECK(converted(VBL_BF16, 1 + 3 * 0x1p-8) == 1 + 0x1p-6);  // and up
  CHECK(converted(VBL_BF16, 1 + 0x1p-8 + 0x1p-20) == 1 + 0x1p-7);
  CHECK(isnan(converted(VBL_BF16, NAN)) && isinf(converted(VBL_BF16, INFINITY)) && isinf(converted(VBL_BF16, 3.4e38)));
  CHECK(converted(VBL_I32, -2.9) == -2 && converted(VBL_I32, 1e10) == INT32_MAX && converted(VBL_I32, -1e10) == INT32_MIN);
  CHECK(converted(VBL_I32, NAN) == 0 && converted(VBL_U8, NAN) == 0 && converted(VBL_U8, -1) == 0);
  CHECK(converted(VBL_U8, 255.9) == 255 && converted(VBL_U8, 300) == 255 && converted(VBL_U8, 7.9) == 7);
  // A transposed view into one with holes.
  const double matrix[] = {1, 2, 3, 4, 5, 6};
  float out[9] = {0, 0, -1, 0, 0, -1, 0, 0, -1};
  const int64_t from[] = {1, 3}, to[] = {3, 1}, shape[] = {3, 2};
  ref->copy(VBL_F64, matrix, from, VBL_F32, out, to, 2, shape, NULL);
  CHECK(out[0] == 1 && out[1] == 4 && out[2] == -1 && out[3] == 2 && out[4] == 5 && out[6] == 3 && out[7] == 6 && out[8] == -1);
  // Broadcasting [3,1] with [2], and integers that wrap.
  const int32_t p[] = {INT32_MAX, 2, -7}, q[] = {1, 3};
  int32_t r[6];
  const int64_t p_stride[] = {1, 0}, q_stride[] = {0, 1};
  ref->binary(VBL_ADD, VBL_I32, p, p_stride, q, q_stride, r, 2, shape, NULL);
  CHECK(r[0] == INT32_MIN && r[2] == 3 && r[5] == -4);
  ref->binary(VBL_DIV, VBL_I32, p, p_stride, q, q_stride, r, 2, shape, NULL);
  CHECK(r[1] == 715827882 && r[3] == 0 && r[5] == -2);
  ref->binary(VBL_POW, VBL_I32, p, p_stride, q, q_stride, r, 2, shape, NULL);
  CHECK(r[3] == 8 && r[5] == -343);
}

static void test_rows(void) {
  const int32_t index[] = {2, -1, 2};
  for (int64_t i = 0; i < 6; i++) x[i] = (double)i + 1;
  ref->gather_rows(x, index, y, 3, 2, NULL);
  CHECK(y[0] == 5 && y[1] == 6 && y[2] == 0 && y[3] == 0 && y[4] == 5);
  ref->fill(VBL_F64, y, 6, 1, NULL);
  ref->scatter_add_rows(x, index, y, 3, 2, 3, NULL);
  CHECK(y[0] == 1 && y[3] == 1 && y[4] == 1 + 1 + 5 && y[5] == 1 + 2 + 6);
  const double line[] = {2, NAN, 7, NAN};
  int32_t where;
  ref->reduce(VBL_MAX, line, y, &where, 1, 4, 1, NULL);
  CHECK(isnan(y[0]) && where == 1);
  const double grid[] = {1, 9, 4, 9, 4, 2};  // [3,2] reduced over its first dim
  ref->reduce(VBL_MAX, grid, y, NULL, 1, 3, 2, NULL);
  CHECK(y[0] == 4 && y[1] == 9);
  ref->reduce(VBL_MEAN, grid, y, NULL, 1, 3, 2, NULL);
  CHECK_NEAR(y[0], 3, 1e-15);
  CHECK(ref->count_nonfinite(line, 4, NULL) == 2 && ref->sum_squares(grid, 6, NULL) == 199);
}

static void test_patches(void) {
  uint8_t image[3 * 4 * 6];  // two rows of three patches of 2 x 2
  for (int i = 0; i < 72; i++) image[i] = (uint8_t)i;
  const double mean[] = {0.5, 0, 0}, std[] = {0.5, 1, 1};
  const uint8_t mask[6] = {0, 1, 0, 0, 0, 0};
  ref->patchify(VBL_U8, image, mean, std, mask, y, 1, 4, 6, 2, NULL);
  CHECK_NEAR(y[4 * 12 + 3], ((3 * 6 + 3) / 255.0 - 0.5) / 0.5, 1e-15);  // patch (1,1), channel 0, pixel (1,1)
  CHECK_NEAR(y[2 * 12 + 9], (48 + 5) / 255.0, 1e-15);                   // patch (0,2), channel 2, pixel (0,1)
  CHECK(y[12] == 0 && y[23] == 0 && y[24] != 0);
}

// The first step of AdamW moves by lr in the gradient's direction, whatever its size, after the decay.
static void test_optimizers(void) {
  double weight[] = {2, -1}, first[] = {0, 0}, second[] = {0, 0};
  const double gradient[] = {50, -0.25};
  ref->adamw(weight, gradient, first, second, 2, 0.1, 0.9, 0.98, 0, 0.5, 0.01, 1, NULL);
  CHECK_NEAR(weight[0], 2 * 0.95 - 0.1, 1e-14);
  CHECK_NEAR(weight[1], -0.95 + 0.1, 1e-14);
  CHECK_NEAR(first[0], 0.1 * 0.5, 1e-16);
  CHECK_NEAR(second[0], 0.02 * 0.25, 1e-16);
  double buffer[] = {NAN};
  double value[] = {1};
  ref->sgd(value, gradient, buffer, 1, 0.1, 0.5, 0, 0.02, true, NULL);  // the buffer starts as the gradient, 1
  CHECK_NEAR(value[0], 0.9, 1e-15);
  ref->sgd(value, gradient, buffer, 1, 0.1, 0.5, 0, 0.02, false, NULL);  // 0.5 + 1
  CHECK_NEAR(value[0], 0.75, 1e-15);
}

int main(void) {
  ref = vbl_reference_backend();
  test_unary();
  test_norm();
  test_linear();
  test_loss();
  test_attention();
  test_dropout();
  test_copy();
  test_rows();
  test_patches();
  test_optimizers();
  return check_done();
}
