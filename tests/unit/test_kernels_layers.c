// The CPU backend's layers against the reference backend: gemm in f32 and bf16, linear's epilogues, LayerNorm, dropout, attention; and that
// results repeat, also with another number of threads.
#include "tests/unit/kernel_data.h"

static int64_t largest(int64_t a, int64_t b) { return a > b ? a : b; }

// |error| <= (K + 2) u sum |a b|, with |a b| < 1.
static void gemm(void) {
  static const int64_t shapes[][3] = {{0, 3, 4},      {3, 0, 4},    {3, 4, 0},       {1, 1, 1},      {1, 7, 33},
                                      {31, 1, 64},    {7, 3, 100},  {33, 31, 7},     {64, 100, 255}, {100, 257, 33},
                                      {257, 64, 768}, {14, 300, 1}, {103, 271, 600}, {6, 16, 64}};
  for (int k = 0; k < 14; k++) {
    for (int mode = 0; mode < 8; mode++) {
      const bool ta = mode & 1, tb = mode & 2;
      const double beta = mode & 4 ? 0.5 : 0, alpha = 1.25;
      const int64_t M = shapes[k][0], N = shapes[k][1], K = shapes[k][2], lda = (ta ? M : K) + 3, ldb = (tb ? K : N) + 5,
                    ldc = N + 2;
      const pair A = pair_rows(ta ? K : M, ta ? M : K, lda, -1, 1), B = pair_rows(tb ? N : K, tb ? K : N, ldb, -1, 1);
      const pair C = beta != 0 ? pair_rows(M, N, ldc, -1, 1) : pair_new(M * ldc);  // beta 0: NaN, must not be read
      cpu->gemm(ta, tb, M, N, K, alpha, A.f, lda, B.f, ldb, beta, C.f, ldc, NULL);
      ref->gemm(ta, tb, M, N, K, alpha, A.d, lda, B.d, ldb, beta, C.d, ldc, NULL);
      pair_check("gemm", C, (double)(K + 2) * u * (1.25 * (double)K + 1), 0);
      pairs_free();
    }
  }
}

// The same operands as bf16, with their leading dimension.
static void *in_bf16(pair p) {
  uint16_t *y = shared_new((size_t)p.n * sizeof *y);
  const int64_t one = 1;
  cpu->copy(VBL_F32, p.f, &one, VBL_BF16, y, &one, 1, &p.n, NULL);
  return y;
}

// Products are exact; |error| <= (K + 2) u sum |a b|, with |a b| <= 1. Forms: transposed or not, written or added to; with them
// alternate f32 and bf16 operands.
static void gemm_bf16(void) {
  static const int64_t shapes[][3] = {{0, 3, 4},  {3, 0, 4},    {3, 4, 0},    {1, 1, 1},    {1, 7, 33},      {31, 1, 64},
                                      {7, 3, 99}, {33, 31, 32}, {16, 64, 17}, {50, 300, 7}, {100, 257, 255}, {103, 71, 600}};
  for (int k = 0; k < 12; k++) {
    for (int mode = 0; mode < 8; mode++) {
      const bool ta = mode & 1, tb = mode & 2, add = mode & 4, a16 = (k + mode) & 1, b16 = (k + mode / 2) & 1;
      const int64_t M = shapes[k][0], N = shapes[k][1], K = shapes[k][2], lda = (ta ? M : K) + 3, ldb = (tb ? K : N) + 5,
                    ldc = N + 2;
      const pair A = pair_rows(ta ? K : M, ta ? M : K, lda, -1, 1), B = pair_rows(tb ? N : K, tb ? K : N, ldb, -1, 1);
      const pair C = add ? pair_rows(M, N, ldc, -1, 1) : pair_new(M * ldc);  // not added to: NaN, must not be read
      const pair bias = pair_random(N, -1, 1), gelu = pair_new(M * N);
      const bool wide = (k + mode / 4) & 1;  // with bias and GELU
      uint16_t *g = shared_new((size_t)(M * N) * sizeof *g);
      void *a = in_bf16(A), *b = in_bf16(B);
      cpu->gemm_bf16(ta, tb, M, N, K, a16 ? VBL_BF16 : VBL_F32, a16 ? a : A.f, lda, b16 ? VBL_BF16 : VBL_F32, b16 ? b : B.f, ldb,
                     add, C.f, ldc, wide ? bias.f : NULL, wide ? g : NULL, NULL);
      ref->gemm_bf16(ta, tb, M, N, K, VBL_F64, A.d, lda, VBL_F64, B.d, ldb, add, C.d, ldc, wide ? bias.d : NULL,
                     wide ? gelu.d : NULL, NULL);
      const double sum = (double)(K + 3) * u * ((double)K + 2);
      pair_check("gemm_bf16", C, sum, 0);
      // A bf16 has 8 bits: rounding is off by at most 2^-8 of it. GELU's slope is below 1.13.
      const int64_t one = 1, n = wide ? M * N : 0;
      cpu->copy(VBL_BF16, g, &one, VBL_F32, gelu.f, &one, 1, &n, NULL);
      pair_check("gemm_bf16's GELU", gelu, 1.13 * sum + 16 * u, 0x1.01p-8);
      shared_free(g), shared_free(a), shared_free(b);
      pairs_free();
    }
  }
}

static void linear(void) {
  EACH_SIZE(D) {
    EACH_SIZE(N) {
      if (N > 257) continue;
      const double sums = (chain(N) + 32) * u * (double)N * 2;
      const pair y = pair_random(N * D, -4, 4), bias = pair_random(D, -1, 1), h = pair_copy(y), h2 = pair_copy(y),
                 g = pair_new(N * D), g2 = pair_new(N * D);
      cpu->bias_add(y.f, bias.f, N, D, NULL);
      ref->bias_add(y.d, bias.d, N, D, NULL);
      pair_check("bias_add", y, 6 * u, 0);
      cpu->bias_add(y.f, NULL, N, D, NULL);
      pair_check("bias_add without bias", y, 6 * u, 0);
      cpu->bias_gelu(h.f, bias.f, g.f, N, D, NULL);
      ref->bias_gelu(h.d, bias.d, g.d, N, D, NULL);
      pair_check("bias_gelu h", h, 6 * u, 0);
      pair_check("bias_gelu g", g, 5 * (2e-7 + 2 * u) + 8 * u, 0);
      cpu->bias_gelu(h2.f, NULL, g2.f, N, D, NULL);
      ref->bias_gelu(h2.d, NULL, g2.d, N, D, NULL);
      pair_check("bias_gelu without bias", g2, 5 * (2e-7 + 2 * u), 0);
      const pair dg = pair_random(N * D, -1, 1), dh = pair_new(N * D), db = pair_random(D, -1, 1), in_place = pair_copy(dg),
                 sum = pair_new(D), more = pair_random(D, -1, 1);
      cpu->gelu_backward_bias(h.f, dg.f, dh.f, db.f, true, N, D, NULL);
      ref->gelu_backward_bias(h.d, dg.d, dh.d, db.d, true, N, D, NULL);
      pair_check("gelu_backward_bias", dh, 4e-7 + 16 * u, 0);
      pair_check("gelu_backward_bias dbias", db, sums + (double)N * (4e-7 + 16 * u) + 2 * u, 0);
      cpu->gelu_backward_bias(h.f, in_place.f, in_place.f, NULL, false, N, D, NULL);
      ref->gelu_backward_bias(h.d, in_place.d, in_place.d, NULL, false, N, D, NULL);
      pair_check("gelu_backward_bias in place", in_place, 4e-7 + 16 * u, 0);
      cpu->column_sum(dg.f, sum.f, false, N, D, NULL);
      ref->column_sum(dg.d, sum.d, false, N, D, NULL);
      pair_check("column_sum", sum, sums, 0);
      cpu->column_sum(dg.f, more.f, true, N, D, NULL);
      ref->column_sum(dg.d, more.d, true, N, D, NULL);
      pair_check("column_sum, added", more, sums + 2 * u, 0);
      pairs_free();
    }
  }
}

static int32_t *dropout_rows(int64_t N) {
  int32_t *rows = shared_new((size_t)(2 * N) * sizeof *rows);
  for (int64_t i = 0; i < N; i++) {
    rows[2 * i] = (int32_t)(i / 7 + 5);
    rows[2 * i + 1] = (int32_t)(i % 7);
  }
  return rows;
}

// Values in [-1, 1): the variance is near 1/3, rstd below 3 but for the shortest rows, so LayerNorm is taken from D = 3 on, and
// D = 1 (variance 0, y = beta) apart. mean and variance have relative error (chain + 2) u.
static void norm(void) {
  EACH_SIZE(D) {
    if (D == 0) continue;
    EACH_SIZE(N) {
      if (N > 257) continue;
      int32_t *rows = dropout_rows(N);
      const pair x = pair_random(N * D, -1, 1), r = pair_random(N * D, -1, 1), gamma = pair_random(D, 0.5, 1.5),
                 beta = pair_random(D, -1, 1);
      const pair y = pair_new(N * D), mean = pair_new(N), rstd = pair_new(N);
      const double eps = D < 7 ? 0.1 : 1e-5, e = (chain(D) + 16) * u;  // a large eps keeps 3 alike numbers well conditioned
      cpu->layer_norm(x.f, gamma.f, beta.f, eps, y.f, mean.f, rstd.f, N, D, NULL);
      ref->layer_norm(x.d, gamma.d, beta.d, eps, y.d, mean.d, rstd.d, N, D, NULL);
      pair_check("layer_norm mean", mean, e, 0);
      pair_check("layer_norm rstd", rstd, 0, 4 * e);
      pair_check("layer_norm", y, 16 * e, 4 * e);
      for (int drop = 0; drop < 2; drop++) {
        const vbl_dropout site = {.p = drop ? 0.3 : 0, .rng = {11, 4097}, .step = 3, .rows = drop ? rows : NULL};
        const pair sum = pair_new(N * D), in = pair_copy(x), z = pair_new(N * D), m = pair_new(N), s = pair_new(N);
        cpu->residual_norm(x.f, r.f, drop ? &site : NULL, gamma.f, beta.f, eps, sum.f, z.f, m.f, s.f, N, D, NULL);
        ref->residual_norm(x.d, r.d, &site, gamma.d, beta.d, eps, sum.d, z.d, m.d, s.d, N, D, NULL);
        pair_check("residual_norm sum", sum, 8 * u, 0);
        pair_check("residual_norm", z, 32 * e, 4 * e);
        cpu->residual_norm(in.f, r.f, &site, gamma.f, beta.f, eps, in.f, z.f, m.f, s.f, N, D, NULL);
        ref->residual_norm(in.d, r.d, &site, gamma.d, beta.d, eps, in.d, z.d, m.d, s.d, N, D, NULL);
        pair_check("residual_norm, sum over x", in, 8 * u, 0);
      }
      const pair dy = pair_random(N * D, -1, 1), dsum = pair_random(N * D, -1, 1), dx = pair_new(N * D), over = pair_copy(dy),
                 over2 = pair_copy(dsum);
      const pair dg = pair_random(D, -1, 1), db = pair_random(D, -1, 1), dg0 = pair_new(D), db0 = pair_new(D);
      const double sums = (chain(N) + chain(D)) * u * 16 * (double)(N + 1) + 16 * e * (double)N;
      cpu->layer_norm_backward(x.f, mean.f, rstd.f, gamma.f, dy.f, dsum.f, dx.f, dg.f, db.f, true, N, D, NULL);
      ref->layer_norm_backward(x.d, mean.d, rstd.d, gamma.d, dy.d, dsum.d, dx.d, dg.d, db.d, true, N, D, NULL);
      pair_check("layer_norm_backward", dx, 128 * e, 16 * e);
      pair_check("layer_norm_backward dgamma", dg, sums, 0);
      pair_check("layer_norm_backward dbeta", db, sums, 0);
      cpu->layer_norm_backward(x.f, mean.f, rstd.f, gamma.f, over.f, NULL, over.f, dg0.f, db0.f, false, N, D, NULL);
      ref->layer_norm_backward(x.d, mean.d, rstd.d, gamma.d, over.d, NULL, over.d, dg0.d, db0.d, false, N, D, NULL);
      pair_check("layer_norm_backward over dy", over, 128 * e, 16 * e);
      pair_check("layer_norm_backward dgamma written", dg0, sums, 0);
      cpu->layer_norm_backward(x.f, mean.f, rstd.f, gamma.f, dy.f, over2.f, over2.f, NULL, NULL, false, N, D, NULL);
      ref->layer_norm_backward(x.d, mean.d, rstd.d, gamma.d, dy.d, over2.d, over2.d, NULL, NULL, false, N, D, NULL);
      pair_check("layer_norm_backward over dsum", over2, 128 * e, 16 * e);
      shared_free(rows);
      pairs_free();
    }
  }
}

static void dropout(void) {
  EACH_SIZE(D) {
    EACH_SIZE(N) {
      if (N > 100) continue;
      int32_t *rows = dropout_rows(N);
      for (double p = 0; p < 1; p += 0.3) {
        const vbl_dropout site = {.p = p, .rng = {5, 4099}, .step = 9, .rows = p > 0 ? rows : NULL};
        const pair x = pair_random(N * D, -1, 1), r = pair_random(N * D, -1, 1), y = pair_new(N * D), z = pair_new(N * D),
                   in = pair_copy(x);
        cpu->dropout_add(x.f, r.f, &site, y.f, N, D, NULL);
        ref->dropout_add(x.d, r.d, &site, y.d, N, D, NULL);
        pair_check("dropout_add", y, 2 * u, 8 * u);
        cpu->dropout_add(x.f, NULL, &site, z.f, N, D, NULL);
        ref->dropout_add(x.d, NULL, &site, z.d, N, D, NULL);
        pair_check("dropout", z, 0, 4 * u);
        cpu->dropout_add(in.f, NULL, &site, in.f, N, D, NULL);
        ref->dropout_add(in.d, NULL, &site, in.d, N, D, NULL);
        pair_check("dropout in place", in, 0, 4 * u);
        pairs_free();
      }
      shared_free(rows);
    }
  }
}

typedef struct attention_case {
  int64_t d, H;
  int queries[3], keys[3];  // lengths per sample
  double p;
} attention_case;

// Inputs in [-1, 1) have variance 1/3, so |<q, k>| is below 2 sqrt(d) (six deviations) and sum |q k| near d / 4 (below d / 2).
// With e_s = d u (d / 2) scale the error of a score, P has relative error e_p = 2 e_s + (keys + 16) u; O then e_p + keys u. dP and
// delta are below 2 sqrt(d) f (f = 1 / (1 - p)), with errors d u d / 2 f; a row of dS sums at most their sum, a column at
// most `weight`, the largest sum of a column of P: P is at most e^(2 max |score|) / keys.
static void attention_run(const attention_case *c, int64_t gap) {
  enum { B = 3 };
  int32_t(*q_seg)[2] = shared_new(B * sizeof *q_seg), (*k_seg)[2] = shared_new(B * sizeof *k_seg),
  *sample = shared_new(B * sizeof *sample);
  sample[0] = 7, sample[1] = 0, sample[2] = 19;
  int64_t Nq = 2, Nk = 1, longest = 1, most = 1;  // rows outside every segment come first
  for (int b = 0; b < B; b++) {
    q_seg[b][0] = (int32_t)Nq, q_seg[b][1] = c->queries[b];
    k_seg[b][0] = (int32_t)Nk, k_seg[b][1] = c->keys[b];
    Nq += c->queries[b] + gap, Nk += c->keys[b];
    longest = largest(longest, c->keys[b]), most = largest(most, c->queries[b]);
  }
  const int64_t D = c->H * c->d, ldq = D + 3, ldk = 2 * D + 1, ldo = D + 5;
  const double scale = 1 / sqrt((double)c->d), n = (double)c->d, f = 1 / (1 - c->p);
  const vbl_dropout drop = {.p = c->p, .rng = {2, 4100}, .step = 8, .rows = sample};
  const pair q = pair_rows(Nq, D, ldq, -1, 1), k = pair_rows(Nk, D, ldk, -1, 1), v = pair_rows(Nk, D, ldk, -1, 1),
             dout = pair_rows(Nq, D, ldo, -1, 1);
  const pair o = pair_new(Nq * ldo), lse = pair_new(Nq * c->H);
  cpu->attention(q.f, ldq, k.f, ldk, v.f, ldk, q_seg, k_seg, B, c->H, c->d, scale, &drop, o.f, ldo, lse.f, NULL);
  ref->attention(q.d, ldq, k.d, ldk, v.d, ldk, q_seg, k_seg, B, c->H, c->d, scale, &drop, o.d, ldo, lse.d, NULL);
  const double es = (n + 4) * u * n / 2 * scale, ep = 2 * es + ((double)longest + 16) * u;
  pair_check("attention", o, f * (ep + ((double)longest + 4) * u), 0);
  pair_check("attention lse", lse, ep, 4 * u);
  const pair delta = pair_new(Nq * c->H), dq = pair_new(Nq * ldq), dk = pair_new(Nk * ldk), dv = pair_new(Nk * ldk);
  cpu->attention_backward(q.f, ldq, k.f, ldk, v.f, ldk, q_seg, k_seg, B, c->H, c->d, scale, &drop, o.f, ldo, lse.f, dout.f, ldo,
                          delta.f, dq.f, ldq, dk.f, ldk, dv.f, ldk, NULL);
  ref->attention_backward(q.d, ldq, k.d, ldk, v.d, ldk, q_seg, k_seg, B, c->H, c->d, scale, &drop, o.d, ldo, lse.d, dout.d, ldo,
                          delta.d, dq.d, ldq, dk.d, ldk, dv.d, ldk, NULL);
  const double ds = 2 * f * scale * (2 * sqrt(n) * (ep + ((double)(longest + most) + 8) * u) + (n + 4) * u * n / 2);
  const double weight = (double)most * fmin(1, exp(4) / (double)longest);
  pair_check("attention dq", dq, ds, 0);
  pair_check("attention dk", dk, ds * fmax(1, weight), 0);
  pair_check("attention dv", dv, f * (ep + ((double)most + 8) * u) * fmax(1, weight), 0);
  shared_free(q_seg), shared_free(k_seg), shared_free(sample);
  pairs_free();
}

static void attention(void) {
  static const attention_case cases[] = {
      {32, 4, {14, 1, 9}, {14, 1, 9}, 0},       {64, 2, {14, 20, 3}, {65, 65, 65}, 0.1},    {64, 2, {65, 65, 65}, {14, 20, 3}, 0.1},
      {64, 3, {197, 64, 0}, {197, 33, 7}, 0},   {128, 2, {31, 33, 100}, {7, 64, 255}, 0.5}, {1, 3, {5, 16, 17}, {3, 8, 9}, 0},
      {20, 2, {33, 7, 1}, {1, 31, 100}, 0.25},  {33, 1, {16, 48, 130}, {16, 0, 5}, 0},      {7, 5, {0, 0, 3}, {4, 0, 1}, 0.9},
      {100, 1, {257, 8, 15}, {257, 12, 15}, 0}, {8, 1, {768, 1, 1}, {768, 1, 1}, 0.1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) attention_run(&cases[i], (int64_t)i % 2);
  float *o = shared_new(4 * sizeof *o), lse[1];
  o[0] = 1, o[3] = 4;
  cpu->attention(NULL, 4, NULL, 4, NULL, 4, NULL, NULL, 0, 1, 4, 1, NULL, o, 4, lse, NULL);
  CHECK(o[0] == 1 && o[3] == 4);
  shared_free(o);
}

// Everything that sums over rows, run into `out`.
enum { REPEAT_ROWS = 257, REPEAT_D = 132, REPEAT_OUT = 8 * REPEAT_D };
static void sums_into(float *out, const float *x, const float *y, const int32_t *index) {
  float *mean = shared_new(REPEAT_ROWS * sizeof *mean), *rstd = shared_new(REPEAT_ROWS * sizeof *rstd),
        *z = shared_new(REPEAT_ROWS * REPEAT_D * sizeof *z);
  const int64_t N = REPEAT_ROWS, D = REPEAT_D;
  cpu->layer_norm(x, y, y + D, 1e-5, z, mean, rstd, N, D, NULL);
  cpu->layer_norm_backward(x, mean, rstd, y, y, NULL, z, out, out + D, false, N, D, NULL);
  cpu->column_sum(x, out + 2 * D, false, N, D, NULL);
  cpu->gelu_backward_bias(x, y, z, out + 3 * D, false, N, D, NULL);
  memset(out + 4 * D, 0, 3 * (size_t)D * sizeof(float));
  cpu->scatter_add_rows(x, index, out + 4 * D, N, D, 3, NULL);
  memset(out + 7 * D, 0, (size_t)D * sizeof(float));
  out[7 * D] = (float)cpu->sum_squares(x, N * D, NULL);
  shared_free(mean), shared_free(rstd), shared_free(z);
}

static void repeats(void) {
  static float first[REPEAT_OUT];
  float *again = shared_new(REPEAT_OUT * sizeof *again);
  int32_t *index = shared_new(REPEAT_ROWS * sizeof *index);
  for (int i = 0; i < REPEAT_ROWS; i++) index[i] = i * 5 % 3;
  draws = 1000;  // the same operands for every number of threads
  const pair x = pair_random(REPEAT_ROWS * REPEAT_D, -1, 1), y = pair_random(REPEAT_ROWS * REPEAT_D, -1, 1);
  if (threads == 1) {
    sums_into(again, x.f, y.f, index);
    memcpy(first, again, sizeof first);
  }
  for (int i = 0; i < 3; i++) {
    sums_into(again, x.f, y.f, index);
    CHECK(memcmp(first, again, sizeof first) == 0);
  }
  shared_free(again), shared_free(index);
}

int main(void) {
  each_backend("gemm", gemm);
  each_backend("gemm_bf16", gemm_bf16);
  each_backend("linear", linear);
  each_backend("norm", norm);
  each_backend("dropout", dropout);
  each_backend("attention", attention);
  each_backend("repeats", repeats);
  return check_done();
}
