// The kernels between bf16 tensors (kernels/mixed.h) against the reference backend in f64, on operands that bf16 holds: a result that is
// rounded to bf16 is off by 2^-8 of itself beside what f32's sums are, one that is f32 by those alone.
#ifndef VBL_TEST_CUDA
#define VBL_TEST_CUDA
#endif
#include "kernels/mixed.h"
#include "tests/unit/kernel_data.h"

static const vbl_mixed_kernels *mixed;
static const double half = 0x1.01p-8;  // relative: the rounding to bf16, with room for that of the f32 before it

// A pair with its bf16 form, between sentinels.
typedef struct both {
  pair p;
  uint16_t *block, *h;
} both;

enum { KEPT = 64 };
static uint16_t *kept[KEPT];
static int kept_count;

static void copy_all(vbl_dtype from, const void *x, vbl_dtype to, void *y, int64_t n) {
  const int64_t one = 1;
  if (n > 0) cpu->copy(from, x, &one, to, y, &one, 1, &n, NULL);
}

static both both_of(pair p) {
  both b = {.p = p, .block = shared_new((size_t)(p.n + 2 * GUARD) * sizeof(uint16_t))};
  if (kept_count == KEPT) abort();
  kept[kept_count++] = b.block;
  b.h = b.block + GUARD;
  for (int64_t i = 0; i < p.n + 2 * GUARD; i++) b.block[i] = 0x7fc1;  // a NaN
  copy_all(VBL_F32, p.f, VBL_BF16, b.h, p.n);
  copy_all(VBL_BF16, b.h, VBL_F32, p.f, p.n);
  for (int64_t i = 0; i < p.n; i++) p.d[i] = p.f[i];
  return b;
}
static both drawn(int64_t n, double low, double high) { return both_of(pair_random(n, low, high)); }
static both empty(int64_t n) { return both_of(pair_new(n)); }
static both again(both x) { return both_of(pair_copy(x.p)); }

static void *at(both x, vbl_dtype T) { return T == VBL_BF16 ? (void *)x.h : (void *)x.p.f; }

// What was written as T against the reference's.
static void check(const char *what, both x, vbl_dtype T, double absolute, double relative) {
  int broken = 0;
  if (T == VBL_BF16) copy_all(VBL_BF16, x.h, VBL_F32, x.p.f, x.p.n);
  for (int i = 0; i < GUARD; i++) broken += x.block[i] != 0x7fc1 || x.h[x.p.n + i] != 0x7fc1;
  CHECK_REPORT_(broken == 0, "%s: wrote outside its array", what);
  pair_check(what, x.p, absolute * (1 + half), relative + (T == VBL_BF16 ? half : 0));
}

static void all_free(void) {
  while (kept_count > 0) shared_free(kept[--kept_count]);
  pairs_free();
}

static const vbl_dtype types[] = {VBL_F32, VBL_BF16};
// Rows that stay in three spans of registers, in four, and in none; whole parts and not. Chunks of rows: one and more.
static const bool bools[] = {false, true};
static const int64_t widths[] = {1, 7, 64, 100, 768, 1001, 1024, 1300, 2048}, counts[] = {1, 5, 70};
#define EACH(array, v)                                                     \
  for (size_t v##_i = 0; v##_i < sizeof(array) / sizeof *(array); v##_i++) \
    for (int64_t v = (int64_t)(array)[v##_i], v##_once = 1; v##_once; v##_once = 0)

static void gemm(void) {
  static const int64_t shapes[][3] = {{3, 4, 0}, {1, 1, 1}, {7, 3, 99}, {33, 31, 32}, {16, 64, 17}, {50, 300, 8}};
  for (int k = 0; k < 6; k++)
    for (int mode = 0; mode < 32; mode++) {
      const bool ta = mode & 1, tb = mode & 2, add = mode & 4, biased = mode & 8;
      if (add && biased) continue;
      const vbl_dtype C_type = mode & 16 ? VBL_BF16 : VBL_F32, a_type = types[(k + mode) % 2], b_type = types[(k + mode / 2) % 2];
      const int64_t M = shapes[k][0], N = shapes[k][1], K = shapes[k][2], lda = (ta ? M : K) + 3, ldb = (tb ? K : N) + 8,
                    ldc = N + (k % 2 ? 2 : 8);
      const both A = both_of(pair_rows(ta ? K : M, ta ? M : K, lda, -1, 1)),
                 B = both_of(pair_rows(tb ? N : K, tb ? K : N, ldb, -1, 1));
      const both C = both_of(add ? pair_rows(M, N, ldc, -1, 1) : pair_new(M * ldc)), bias = drawn(N, -1, 1);
      mixed->gemm(ta, tb, M, N, K, a_type, at(A, a_type), lda, b_type, at(B, b_type), ldb, add, C_type, at(C, C_type), ldc,
                  biased ? at(bias, C_type) : NULL, NULL);
      ref->gemm_bf16(ta, tb, M, N, K, VBL_F64, A.p.d, lda, VBL_F64, B.p.d, ldb, add, C.p.d, ldc, biased ? bias.p.d : NULL, NULL,
                     NULL);
      check("gemm", C, C_type, (double)(K + 3) * u * ((double)K + 2), 0);
      all_free();
    }
}

static void gelu(void) {
  EACH(widths, D) EACH(counts, N) {
    const both h = drawn(N * D, -4, 4), g = empty(N * D), dg = drawn(N * D, -1, 1), dh = empty(N * D), in = again(dg),
               sum = drawn(D, -1, 1);
    const both db = drawn(D, -1, 1);
    const double sums = (chain(N) + 32) * u * (double)N * 2;
    mixed->gelu(h.h, g.h, N * D, NULL);
    ref->unary(VBL_GELU, h.p.d, g.p.d, N * D, NULL);
    check("gelu", g, VBL_BF16, 4 * (2e-7 + 2 * u), 0);
    mixed->gelu_backward(h.h, dg.h, dh.h, db.p.f, true, N, D, NULL);
    ref->gelu_backward_bias(h.p.d, dg.p.d, dh.p.d, db.p.d, true, N, D, NULL);
    check("gelu_backward", dh, VBL_BF16, 4e-7 + 16 * u, 0);
    check("gelu_backward dbias", db, VBL_F32, sums + (double)N * (4e-7 + 16 * u), 0);
    mixed->gelu_backward(h.h, in.h, in.h, NULL, false, N, D, NULL);
    ref->gelu_backward_bias(h.p.d, in.p.d, in.p.d, NULL, false, N, D, NULL);
    check("gelu_backward in place", in, VBL_BF16, 4e-7 + 16 * u, 0);
    for (int add = 0; add < 2; add++) {
      mixed->column_sum(dg.h, sum.p.f, add, N, D, NULL);
      ref->column_sum(dg.p.d, sum.p.d, add, N, D, NULL);
      check("column_sum", sum, VBL_F32, 2 * sums, 0);
    }
    all_free();
  }
}

static int32_t *dropout_rows(int64_t N) {
  int32_t *rows = shared_new((size_t)(2 * N) * sizeof *rows);
  for (int64_t i = 0; i < N; i++) rows[2 * i] = (int32_t)(i / 7 + 5), rows[2 * i + 1] = (int32_t)(i % 7);
  return rows;
}

// Errors of LayerNorm in f32 as test_kernels_layers derives them: e = (chain(D) + 16) u of the statistics.
static void norm(void) {
  EACH(widths, D) EACH(counts, N) {
    int32_t *rows = dropout_rows(N);
    const vbl_dropout site = {.p = N % 2 ? 0.3 : 0, .rng = {11, 4097}, .step = 3, .rows = rows};
    const double eps = D < 7 ? 0.1 : 1e-5, e = (chain(D) + 16) * u;
    const both r = drawn(N * D, -1, 1), gamma = drawn(D, 0.5, 1.5), beta = drawn(D, -1, 1), mean = empty(N), rstd = empty(N);
    const both x = drawn(N * D, -1, 1);
    EACH(types, X) EACH(types, Y) {
      const both sum = empty(N * D), y = empty(N * D);
      mixed->residual_norm((vbl_dtype)X, at(x, (vbl_dtype)X), r.p.f, &site, gamma.p.f, beta.p.f, eps, sum.p.f, (vbl_dtype)Y,
                           at(y, (vbl_dtype)Y), mean.p.f, rstd.p.f, N, D, NULL);
      ref->residual_norm(x.p.d, r.p.d, &site, gamma.p.d, beta.p.d, eps, sum.p.d, y.p.d, mean.p.d, rstd.p.d, N, D, NULL);
      check("residual_norm sum", sum, VBL_F32, 8 * u, 0);
      check("residual_norm", y, (vbl_dtype)Y, 32 * e, 4 * e);
    }
    const both y = empty(N * D);
    mixed->layer_norm(x.p.f, gamma.p.f, beta.p.f, eps, y.h, mean.p.f, rstd.p.f, N, D, NULL);
    ref->layer_norm(x.p.d, gamma.p.d, beta.p.d, eps, y.p.d, mean.p.d, rstd.p.d, N, D, NULL);
    check("layer_norm", y, VBL_BF16, 16 * e, 4 * e);
    check("layer_norm rstd", rstd, VBL_F32, 0, 4 * e);
    shared_free(rows);
    all_free();
  }
}

// branch = dropout(dx), from the f32 dx before it is stored; where p is 0 it is dx, rounded.
static void norm_backward(void) {
  EACH(widths, D) EACH(counts, N) EACH(types, T) {
    int32_t *rows = dropout_rows(N);
    const vbl_dropout site = {.p = N % 2 ? 0.3 : 0, .rng = {11, 4097}, .step = 3, .rows = rows};
    const double eps = D < 7 ? 0.1 : 1e-5, e = (chain(D) + 16) * u, f = 1 / (1 - site.p);
    const double sums = (chain(N) + chain(D)) * u * 16 * (double)(N + 1) + 16 * e * (double)N;
    const both x = drawn(N * D, -1, 1), gamma = drawn(D, 0.5, 1.5), y = empty(N * D), mean = empty(N), rstd = empty(N);
    ref->layer_norm(x.p.d, gamma.p.d, gamma.p.d, eps, y.p.d, mean.p.d, rstd.p.d, N, D, NULL);
    for (int64_t i = 0; i < N; i++) mean.p.f[i] = (float)mean.p.d[i], rstd.p.f[i] = (float)rstd.p.d[i];
    const both dy = drawn(N * D, -1, 1), dsum = drawn(N * D, -1, 1), dx = empty(N * D), over = again(dsum), branch = empty(N * D);
    const both dg = drawn(D, -1, 1), db = drawn(D, -1, 1);
    mixed->layer_norm_backward(x.p.f, mean.p.f, rstd.p.f, gamma.p.f, (vbl_dtype)T, at(dy, (vbl_dtype)T), dsum.p.f, dx.p.f, &site,
                               branch.h, dg.p.f, db.p.f, true, N, D, NULL);
    ref->layer_norm_backward(x.p.d, mean.p.d, rstd.p.d, gamma.p.d, dy.p.d, dsum.p.d, dx.p.d, dg.p.d, db.p.d, true, N, D, NULL);
    ref->dropout_add(dx.p.d, NULL, &site, branch.p.d, N, D, NULL);
    check("layer_norm_backward", dx, VBL_F32, 128 * e, 16 * e);
    check("layer_norm_backward's branch", branch, VBL_BF16, f * 128 * e, 20 * e);
    check("layer_norm_backward dgamma", dg, VBL_F32, sums, 0);
    check("layer_norm_backward dbeta", db, VBL_F32, sums, 0);
    mixed->layer_norm_backward(x.p.f, mean.p.f, rstd.p.f, gamma.p.f, (vbl_dtype)T, at(dy, (vbl_dtype)T), over.p.f, over.p.f, NULL,
                               NULL, NULL, NULL, false, N, D, NULL);
    ref->layer_norm_backward(x.p.d, mean.p.d, rstd.p.d, gamma.p.d, dy.p.d, over.p.d, over.p.d, NULL, NULL, false, N, D, NULL);
    check("layer_norm_backward over dsum", over, VBL_F32, 128 * e, 16 * e);
    shared_free(rows);
    all_free();
  }
}

static void sums(void) {
  EACH(widths, D) EACH(counts, N) EACH(types, X) EACH(types, Y) {
    int32_t *rows = dropout_rows(N);
    const vbl_dropout site = {.p = 0.3, .rng = {5, 4099}, .step = 9, .rows = rows};
    const both x = drawn(N * D, -1, 1), r = drawn(N * D, -1, 1), y = empty(N * D), z = empty(N * D), sum = drawn(N * D, -1, 1);
    mixed->dropout_add((vbl_dtype)X, at(x, (vbl_dtype)X), r.p.f, &site, (vbl_dtype)Y, at(y, (vbl_dtype)Y), N, D, NULL);
    ref->dropout_add(x.p.d, r.p.d, &site, y.p.d, N, D, NULL);
    check("dropout_add", y, (vbl_dtype)Y, 2 * u, 8 * u);
    mixed->dropout_add((vbl_dtype)X, at(x, (vbl_dtype)X), NULL, &site, (vbl_dtype)Y, at(z, (vbl_dtype)Y), N, D, NULL);
    ref->dropout_add(x.p.d, NULL, &site, z.p.d, N, D, NULL);
    check("dropout", z, (vbl_dtype)Y, 0, 4 * u);
    mixed->scale_add(1, (vbl_dtype)X, at(x, (vbl_dtype)X), 1, (vbl_dtype)Y, at(sum, (vbl_dtype)Y), N * D, NULL);
    ref->scale_add(1, x.p.d, 1, sum.p.d, N * D, NULL);
    check("scale_add", sum, (vbl_dtype)Y, 4 * u, 0);
    const both w = empty(N * D);
    mixed->scale_add(0.7, (vbl_dtype)X, at(x, (vbl_dtype)X), 0, (vbl_dtype)Y, at(w, (vbl_dtype)Y), N * D, NULL);
    ref->scale_add(0.7, x.p.d, 0, w.p.d, N * D, NULL);
    check("scale_add written", w, (vbl_dtype)Y, 0, 4 * u);
    shared_free(rows);
    all_free();
  }
}

// Rows around what a warp and a block take, of lengths that are and are not whole fours; labels that count and that do not.
static void cross_entropy(void) {
  EACH(widths, V) EACH(counts, N) EACH(bools, weighted) {
    const both x = drawn(N * V, -3, 3), lse = empty(N), loss = empty(N), dloss = drawn(N, -1, 1), dx = empty(N * V);
    int32_t *label = shared_new((size_t)N * sizeof *label);
    for (int64_t i = 0; i < N; i++) label[i] = i % 4 == 3 ? -1 : (int32_t)(i * 13 % V);
    ref->cross_entropy(x.p.d, label, -1, loss.p.d, lse.p.d, N, V, NULL);
    for (int64_t i = 0; i < N; i++) lse.p.f[i] = (float)lse.p.d[i];
    mixed->cross_entropy_backward(x.p.f, label, -1, lse.p.f, weighted ? dloss.p.f : NULL, 0.5, dx.h, N, V, NULL);
    ref->cross_entropy_backward(x.p.d, label, -1, lse.p.d, weighted ? dloss.p.d : NULL, 0.5, dx.p.d, N, V, NULL);
    check("cross_entropy_backward", dx, VBL_BF16, 32 * u, 16 * u);
    shared_free(label);
    all_free();
  }
}

// A column block of a wider matrix plus a dense one, as the gradient of a slice takes it.
static void binary(void) {
  const both a = drawn(6 * 20, -1, 1), b = drawn(6 * 8, -1, 1), y = empty(6 * 8);
  const int64_t shape[] = {6, 8}, wide[] = {20, 1}, dense[] = {8, 1};
  cpu->binary(VBL_ADD, VBL_BF16, a.h + 4, wide, b.h, dense, y.h, 2, shape, NULL);
  ref->binary(VBL_ADD, VBL_F64, a.p.d + 4, wide, b.p.d, dense, y.p.d, 2, shape, NULL);
  check("binary", y, VBL_BF16, 0, 0);
  all_free();
}

static void open_first(void) { mixed = cpu->mixed; }

int main(void) {
  each_backend("open", open_first);
  each_backend("gemm", gemm);
  each_backend("gelu", gelu);
  each_backend("norm", norm);
  each_backend("norm_backward", norm_backward);
  each_backend("sums", sums);
  each_backend("cross_entropy", cross_entropy);
  each_backend("binary", binary);
  return check_done();
}
