// The CPU backend's kernels against the reference backend: elementwise, copy, reductions, rows, patches, losses, optimizers, and
// the allocator. Layers are in test_kernels_layers.c.
#include "tests/unit/kernel_data.h"

// exp is good to 1.5 ulp = 3 u; erf to 4e-7, so x Phi(x) to |x| (2e-7 + 2 u).
static void unary(void) {
  static const double low[] = {-3, -3, -20, 0.1, 0.1, -3, -9, -3, -6, -3, 0.1, -3, -3};
  for (int f = VBL_NEG; f <= VBL_COS; f++) {
    EACH_SIZE(n) {
      const pair x = pair_random(n, low[f], 6), dy = pair_random(n, -1, 1), y = pair_new(n), dx = pair_new(n);
      cpu->unary((vbl_unary)f, x.f, y.f, n, NULL);
      ref->unary((vbl_unary)f, x.d, y.d, n, NULL);
      pair_check("unary", y, f == VBL_GELU ? 6 * (2e-7 + 2 * u) : 2 * u, 8 * u);
      cpu->unary_backward((vbl_unary)f, x.f, y.f, dy.f, dx.f, n, NULL);
      ref->unary_backward((vbl_unary)f, x.d, y.d, dy.d, dx.d, n, NULL);
      pair_check("unary backward", dx, f == VBL_GELU ? 4e-7 + 8 * u : 8 * u, 16 * u);
      pairs_free();
    }
  }
}

static void special_values(void) {
  static const float in[] = {0.0f,  -0.0f,  INFINITY, -INFINITY, NAN,     88.7f,   88.73f,
                             89.0f, 200.0f, -87.5f,   -100.0f,   -103.9f, -104.5f, -1e30f};
  enum { N = sizeof in / sizeof *in };
  const int functions[] = {VBL_NEG, VBL_ABS, VBL_EXP, VBL_SIGMOID, VBL_RELU, VBL_TANH};
  for (int k = 0; k < 6; k++) {
    const pair x = pair_new(N), y = pair_new(N);
    for (int i = 0; i < N; i++) pair_set(x, i, (double)in[i]);
    cpu->unary((vbl_unary)functions[k], x.f, y.f, N, NULL);
    ref->unary((vbl_unary)functions[k], x.d, y.d, N, NULL);
    for (int i = 0; i < N; i++) y.d[i] = (double)(float)y.d[i];
    pair_check("unary of special values", y, functions[k] == VBL_SIGMOID ? 1.2e-38 : 0x1p-149, 8 * u);
  }
  const pair x = pair_new(N);
  memcpy(x.f, in, sizeof in);
  CHECK(cpu->count_nonfinite(x.f, N, NULL) == 3);
}

static void binary_case(int f, int ndim, const int64_t *shape, const int64_t *sa, const int64_t *sb, int64_t na, int64_t nb) {
  int64_t n = 1;
  for (int i = 0; i < ndim; i++) n *= shape[i];
  const pair a = pair_random(na, 0.1, 3), b = pair_random(nb, 0.1, 3), y = pair_new(n);
  for (int64_t i = 0; i < nb && i < na; i += 3) pair_set(b, i, a.d[i]);  // so that comparisons meet equal values
  cpu->binary((vbl_binary)f, VBL_F32, a.f, sa, b.f, sb, y.f, ndim, shape, NULL);
  ref->binary((vbl_binary)f, VBL_F64, a.d, sa, b.d, sb, y.d, ndim, shape, NULL);
  pair_check("binary", y, 0, 4 * u);
  int32_t *ia = shared_new((size_t)na * 4), *ib = shared_new((size_t)nb * 4), *got = shared_new((size_t)n * 4),
          *want = shared_new((size_t)n * 4);
  for (int64_t i = 0; i < na; i++) ia[i] = (int32_t)(i % 23) - 11;
  for (int64_t i = 0; i < nb; i++) ib[i] = i == 5 ? INT32_MIN : (int32_t)(i % 7) - 3;
  if (na > 0) ia[na / 2] = INT32_MIN;
  cpu->binary((vbl_binary)f, VBL_I32, ia, sa, ib, sb, got, ndim, shape, NULL);
  ref->binary((vbl_binary)f, VBL_I32, ia, sa, ib, sb, want, ndim, shape, NULL);
  CHECK(memcmp(got, want, (size_t)n * 4) == 0);
  shared_free(ia), shared_free(ib), shared_free(got), shared_free(want);
  pairs_free();
}

static void binary(void) {
  for (int f = VBL_ADD; f <= VBL_GE; f++) {
    EACH_SIZE(n) {
      binary_case(f, 1, &n, (int64_t[]){1}, (int64_t[]){1}, n, n);
      binary_case(f, 2, (int64_t[]){n, 33}, (int64_t[]){33, 1}, (int64_t[]){0, 1}, 33 * n, 33);
      binary_case(f, 2, (int64_t[]){33, n}, (int64_t[]){n, 1}, (int64_t[]){1, 0}, 33 * n, 33);
      binary_case(f, 3, (int64_t[]){3, n, 7}, (int64_t[]){7, 21, 1}, (int64_t[]){n, 1, 0}, 21 * n, 3 * n);
    }
    binary_case(f, 0, NULL, NULL, NULL, 1, 1);
    binary_case(f, 2, (int64_t[]){3, 20000}, (int64_t[]){20000, 1}, (int64_t[]){1, 0}, 60000, 3);
  }
}

static void scale_add(void) {
  EACH_SIZE(n) {
    const pair x = pair_random(n, -1, 1), y = pair_random(n, -1, 1), z = pair_new(n);
    cpu->scale_add(1.5, x.f, -0.25, y.f, n, NULL);
    ref->scale_add(1.5, x.d, -0.25, y.d, n, NULL);
    pair_check("scale_add", y, 4 * u, 0);
    cpu->scale_add(0.75, x.f, 0, z.f, n, NULL);  // z is NaN: it must not be read
    ref->scale_add(0.75, x.d, 0, z.d, n, NULL);
    pair_check("scale_add, beta 0", z, 2 * u, 0);
    pairs_free();
  }
}

// The same bytes as the reference's, for every pair of dtypes.
static void copy_case(vbl_dtype from, vbl_dtype to, int ndim, const int64_t *shape, const int64_t *ss, const int64_t *sd,
                      int64_t ns, int64_t nd) {
  const size_t bs = vbl_dtype_size(from) * (size_t)(ns + 1), bd = vbl_dtype_size(to) * (size_t)(nd + 1);
  void *src = shared_new(bs), *got = shared_new(bd), *want = shared_new(bd);
  static const double special[] = {0,    -0.0, 0.5, -0.5,     1.9,       -1.9,       254.6,      255,   256,      3e9,
                                   -3e9, 1e39, NAN, INFINITY, -INFINITY, 1.00390625, 1.01171875, 65280, 3.3895e38};
  const int64_t one = 1;
  for (int64_t i = 0; i < ns; i++) {
    const double v = i < 19 ? special[i] : vbl_philox_uniform((vbl_philox_key){3, 9}, (uint32_t)i, 0, 0, 0) * 600 - 300;
    ref->copy(VBL_F64, &v, &one, from, (char *)src + (size_t)i * vbl_dtype_size(from), &one, 1, &one, NULL);
  }
  memset(got, 0x5A, bd);
  memset(want, 0x5A, bd);
  cpu->copy(from, src, ss, to, got, sd, ndim, shape, NULL);
  ref->copy(from, src, ss, to, want, sd, ndim, shape, NULL);
  CHECK_REPORT_(memcmp(got, want, bd) == 0, "copy %s to %s, %s: differs from the reference", vbl_dtype_name(from),
                vbl_dtype_name(to), cpu->isa);
  shared_free(src), shared_free(got), shared_free(want);
}

static void copy(void) {
  for (int from = 0; from < VBL_DTYPES; from++) {
    for (int to = 0; to < VBL_DTYPES; to++) {
      EACH_SIZE(n) {
        copy_case((vbl_dtype)from, (vbl_dtype)to, 1, &n, (int64_t[]){1}, (int64_t[]){1}, n, n);
        copy_case((vbl_dtype)from, (vbl_dtype)to, 2, (int64_t[]){n, 31}, (int64_t[]){1, n}, (int64_t[]){40, 1}, 31 * n, 40 * n);
        copy_case((vbl_dtype)from, (vbl_dtype)to, 3, (int64_t[]){3, n, 5}, (int64_t[]){0, 6, 1}, (int64_t[]){5 * n, 5, 1}, 6 * n,
                  15 * n);
        // rows of eights, apart from each other, and in a block
        copy_case((vbl_dtype)from, (vbl_dtype)to, 2, (int64_t[]){n, 24}, (int64_t[]){40, 1}, (int64_t[]){24, 1}, 40 * n, 24 * n);
        copy_case((vbl_dtype)from, (vbl_dtype)to, 3, (int64_t[]){2, n, 8}, (int64_t[]){8, 16, 1}, (int64_t[]){8 * n, 8, 1}, 16 * n,
                  16 * n);
      }
    }
    enum { N = 37 };
    uint8_t bytes[N * 8], *other = shared_new(sizeof bytes);
    for (int64_t first = 0; first < 2; first++) {  // the second is not aligned
      const size_t size = vbl_dtype_size((vbl_dtype)from);
      ref->fill((vbl_dtype)from, bytes, N - 1, -3.75, NULL);
      cpu->fill((vbl_dtype)from, other + (size_t)first * size, N - 1, -3.75, NULL);
      CHECK(memcmp(bytes, other + (size_t)first * size, (N - 1) * size) == 0);
    }
    shared_free(other);
  }
}

static void reduce(void) {
  EACH_SIZE(n) {
    for (int64_t inner = 1; inner <= 300; inner = inner * 17 + 1) {
      for (int f = VBL_SUM; f <= VBL_MIN; f++) {
        if (n == 0 && f >= VBL_MAX) continue;
        const int64_t outer = 5, m = outer * inner;
        const pair x = pair_random(m * n, -1, 1), y = pair_new(m);
        if (n > 6) pair_set(x, 5, NAN);
        int32_t *got = shared_new((size_t)m * 4), *want = shared_new((size_t)m * 4);
        cpu->reduce((vbl_reduce)f, x.f, y.f, f >= VBL_MAX ? got : NULL, outer, n, inner, NULL);
        ref->reduce((vbl_reduce)f, x.d, y.d, f >= VBL_MAX ? want : NULL, outer, n, inner, NULL);
        pair_check("reduce", y, 0x1p-40, 2 * u);  // summed in double: only the result is rounded
        CHECK(memcmp(got, want, (size_t)m * 4) == 0);
        shared_free(got), shared_free(want);
        pairs_free();
      }
    }
  }
  for (int64_t n = 1; n < 300000; n = n * 7 + 1) {
    const pair x = pair_random(n, -1, 1);
    const double want = ref->sum_squares(x.d, n, NULL);
    CHECK_NEAR(cpu->sum_squares(x.f, n, NULL), want, want * (double)n * 0x1p-53);
    x.f[n / 2] = -INFINITY;
    CHECK(cpu->count_nonfinite(x.f, n, NULL) == 1);
    pairs_free();
  }
  CHECK(cpu->sum_squares(NULL, 0, NULL) == 0);
}

// Rows of a table of `rows` gathered by n indices, and others added to a copy of it. The table.
static pair moved_rows(const int32_t *index, int64_t n, int64_t D, int64_t rows) {
  const pair table = pair_random(rows * D, -1, 1), x = pair_random(n * D, -1, 1), y = pair_new(n * D), sum = pair_copy(table);
  cpu->gather_rows(table.f, index, y.f, n, D, NULL);
  ref->gather_rows(table.d, index, y.d, n, D, NULL);
  pair_check("gather_rows", y, 0, 0);
  cpu->scatter_add_rows(x.f, index, sum.f, n, D, rows, NULL);
  ref->scatter_add_rows(x.d, index, sum.d, n, D, rows, NULL);
  pair_check("scatter_add_rows", sum, (double)n * u * (1 + (double)n), 0);
  return table;
}

static void rows(void) {
  enum { TABLE = 11 };
  int32_t *index = shared_new(768 * sizeof *index), *pos = shared_new(768 * sizeof *pos);
  EACH_SIZE(D) {
    EACH_SIZE(n) {
      if (n > 257) continue;
      for (int64_t i = 0; i < n; i++) {
        index[i] = (int32_t)(i * 7 % 5 == 4 ? -1 : i * 13 % TABLE);
        pos[i] = (int32_t)(i % 3);
      }
      const pair table = moved_rows(index, n, D, TABLE);
      for (int64_t i = 0; i < n; i++) index[i] = index[i] < 0 ? 2 : index[i];
      const pair position = pair_random(3 * D, -1, 1), type = pair_random(2 * D, -1, 1), z = pair_new(n * D);
      cpu->text_embedding(index, pos, table.f, position.f, type.f, z.f, n, D, NULL);
      ref->text_embedding(index, pos, table.d, position.d, type.d, z.d, n, D, NULL);
      pair_check("text_embedding", z, 6 * u, 0);
      pairs_free();
    }
  }
  shared_free(index), shared_free(pos);
}

// Many rows whose indices are often the same: as often as [CLS] in a batch's tokens, first met near either end, or in every row; and rows that have theirs for
// themselves, but for a few.
static int32_t many_index(int kind, int i, int n) {
  if (kind == 0) return i >= 2100 && i % 3 == 0 ? 4 : i % 13 == 0 ? -1 : i % 11 < 8 ? 0 : 2;
  if (kind == 1) return 1;
  return i % 100 == 99 ? -1 : i % 100 == 98 ? i * 3 % n : i * 7 % n;
}

static void rows_many(void) {
  enum { N = 2600 };
  static const int64_t widths[] = {3, 300, 800};
  int32_t *index = shared_new(N * sizeof *index);
  for (int k = 0; k < 3; k++)
    for (int kind = 0; kind < 3; kind++) {
      const int64_t D = widths[k], rows = kind == 2 ? N : 5;
      for (int i = 0; i < N; i++) index[i] = many_index(kind, i, N);
      const pair x = pair_random(N * D, -1, 1), sum = pair_random(rows * D, -1, 1);
      cpu->scatter_add_rows(x.f, index, sum.f, N, D, rows, NULL);
      ref->scatter_add_rows(x.d, index, sum.d, N, D, rows, NULL);
      pair_check("scatter_add_rows, many", sum, (double)N * u * (1 + (double)N), 0);
      pairs_free();
    }
  shared_free(index);
}

// Few rows and wide ones, as all tokens of an image: on a device a row is shared out.
static void rows_wide(void) {
  enum { TABLE = 3, N = 7 };
  static const int64_t widths[] = {4096, 5001, 50001};
  int32_t *index = shared_new(N * sizeof *index);
  for (int k = 0; k < 3; k++) {
    const int64_t D = widths[k];
    for (int i = 0; i < N; i++) index[i] = i == 4 ? -1 : i % TABLE;
    moved_rows(index, N, D, TABLE);
    pairs_free();
  }
  shared_free(index);
}

static void patches(void) {
  const double mean[] = {0.5, 0.4, 0.3}, std[] = {0.5, 0.25, 0.2};
  static const int64_t cases[][4] = {{0, 8, 8, 4}, {1, 4, 4, 4}, {2, 12, 8, 4}, {3, 35, 21, 7}, {2, 64, 64, 8}, {5, 6, 9, 1}};
  for (int k = 0; k < 6; k++) {
    const int64_t B = cases[k][0], h = cases[k][1], w = cases[k][2], p = cases[k][3], n = B * 3 * h * w, P = h / p * (w / p);
    uint8_t *bytes = shared_new((size_t)n), *mask = shared_new((size_t)(B * P));
    for (int64_t i = 0; i < n; i++) bytes[i] = (uint8_t)(i * 37);
    for (int64_t i = 0; i < B * P; i++) mask[i] = i % 3 == 1;
    const pair x = pair_random(n, -1, 1), y = pair_new(n), z = pair_new(n);
    cpu->patchify(VBL_U8, bytes, mean, std, k % 2 ? mask : NULL, y.f, B, h, w, p, NULL);
    ref->patchify(VBL_U8, bytes, mean, std, k % 2 ? mask : NULL, y.d, B, h, w, p, NULL);
    pair_check("patchify u8", y, 16 * 0x1p-53,
               2 * u);  // v / 255 / std, up to 5, and mean / std cancel in f64, by one rounding or two
    cpu->patchify(VBL_F32, x.f, NULL, NULL, k % 2 ? NULL : mask, z.f, B, h, w, p, NULL);
    ref->patchify(VBL_F64, x.d, NULL, NULL, k % 2 ? NULL : mask, z.d, B, h, w, p, NULL);
    pair_check("patchify f32", z, 0, 0);
    const int64_t D = 3 * p * p;
    const pair cls = pair_random(D, -1, 1), pos = pair_random((P + 1) * D, -1, 1), out = pair_new(B * (P + 1) * D);
    cpu->vit_assemble(y.f, cls.f, pos.f, out.f, B, P, D, NULL);
    ref->vit_assemble(y.d, cls.d, pos.d, out.d, B, P, D, NULL);
    pair_check("vit_assemble", out, 8 * u, 2 * u);
    shared_free(bytes), shared_free(mask);
    pairs_free();
  }
}

// Scores in [-4, 4): the sum of V exponentials has relative error (3 + chain) u.
static void losses(void) {
  int32_t *label = shared_new(768 * sizeof *label);
  EACH_SIZE(V) {
    if (V == 0) continue;
    EACH_SIZE(N) {
      if (N > 100) continue;
      const double e = (chain(V) + 16) * u;
      const pair x = pair_random(N * V, -4, 4), dy = pair_random(N * V, -1, 1), dloss = pair_random(N, -1, 1);
      for (int log = 0; log < 2; log++) {
        const pair y = pair_new(N * V), dx = pair_new(N * V);
        cpu->softmax(x.f, y.f, log, N, V, NULL);
        ref->softmax(x.d, y.d, log, N, V, NULL);
        pair_check("softmax", y, log ? 2 * e + 16 * u : 0, e);
        for (int64_t i = 0; i < N * V; i++) y.d[i] = (double)y.f[i];
        cpu->softmax_backward(y.f, dy.f, dx.f, log, N, V, NULL);
        ref->softmax_backward(y.d, dy.d, dx.d, log, N, V, NULL);
        pair_check("softmax backward", dx, log ? e * (double)V : e, e);
        pair z = pair_new(N * V + 1);
        z.f++, z.d++, z.n--;  // not aligned as x is
        cpu->softmax(x.f, z.f, log, N, V, NULL);
        ref->softmax(x.d, z.d, log, N, V, NULL);
        pair_check("softmax, not aligned", z, log ? 2 * e + 16 * u : 0, e);
      }
      for (int64_t i = 0; i < N; i++) label[i] = i % 4 == 2 ? -100 : (int32_t)(i * 31 % V);
      const pair loss = pair_new(N), lse = pair_new(N), dx = pair_copy(x), dn = pair_new(N * V);
      cpu->cross_entropy(x.f, label, -100, loss.f, lse.f, N, V, NULL);
      ref->cross_entropy(x.d, label, -100, loss.d, lse.d, N, V, NULL);
      pair_check("cross_entropy loss", loss, e, 4 * u);
      pair_check("cross_entropy lse", lse, e, 4 * u);
      cpu->cross_entropy_backward(x.f, label, -100, lse.f, NULL, 0.5, dn.f, N, V, NULL);
      ref->cross_entropy_backward(x.d, label, -100, lse.d, NULL, 0.5, dn.d, N, V, NULL);
      pair_check("cross_entropy backward", dn, e + 16 * u, 0);
      cpu->cross_entropy_backward(dx.f, label, -100, lse.f, dloss.f, 2, dx.f, N, V, NULL);
      ref->cross_entropy_backward(dx.d, label, -100, lse.d, dloss.d, 2, dx.d, N, V, NULL);
      pair_check("cross_entropy backward in place", dx, 2 * e + 32 * u, 0);
      if (N > 1) memset(x.f, 0, (size_t)V * 4), memset(x.d, 0, (size_t)V * 8);  // a row below eps
      const pair y = pair_new(N * V), norm = pair_new(N), dv = pair_new(N * V);
      cpu->normalize_rows(x.f, 1e-6, y.f, norm.f, N, V, NULL);
      ref->normalize_rows(x.d, 1e-6, y.d, norm.d, N, V, NULL);
      pair_check("normalize_rows", y, 0, e);
      pair_check("normalize_rows norm", norm, 0, e);
      cpu->normalize_rows_backward(y.f, norm.f, 1e-6, dy.f, dv.f, N, V, NULL);
      ref->normalize_rows_backward(y.d, norm.d, 1e-6, dy.d, dv.d, N, V, NULL);
      // both terms are up to |dy| / norm and may cancel; V = 1 cancels wholly
      double least = INFINITY;
      for (int64_t i = N > 1; i < N; i++) least = fmin(least, norm.d[i]);
      pair_check("normalize_rows backward", dv, 4 * e * sqrt((double)V) / least, e);
      pairs_free();
    }
  }
  shared_free(label);
}

static void optimizers(void) {
  EACH_SIZE(n) {
    const pair w = pair_random(n, -1, 1), m = pair_random(n, -0.1, 0.1), v = pair_random(n, 0.01, 0.1), b = pair_new(n),
               w2 = pair_copy(w), w3 = pair_copy(w);
    for (int t = 1; t <= 3; t++) {
      const pair g = pair_random(n, -1, 1);
      cpu->adamw(w.f, g.f, m.f, v.f, n, 1e-2, 0.9, 0.999, 1e-8, 0.1, 0.5, t, NULL);
      ref->adamw(w.d, g.d, m.d, v.d, n, 1e-2, 0.9, 0.999, 1e-8, 0.1, 0.5, t, NULL);
      pair_check("adamw m", m, 16 * u, 0);
      pair_check("adamw v", v, 16 * u, 0);
      cpu->sgd(w2.f, g.f, b.f, n, 1e-2, 0.9, 0.1, 0.5, t == 1, NULL);
      ref->sgd(w2.d, g.d, b.d, n, 1e-2, 0.9, 0.1, 0.5, t == 1, NULL);
      cpu->sgd(w3.f, g.f, NULL, n, 1e-2, 0, 0.1, 0.5, t == 1, NULL);
      ref->sgd(w3.d, g.d, NULL, n, 1e-2, 0, 0.1, 0.5, t == 1, NULL);
    }
    // v >= 0.01, so v / (1 - beta2^t) > 3 and a step is below 1e-2 * 1.5 / 1.7: what counts is the rounding of w <= 1.1, thrice
    pair_check("adamw w", w, 12 * u, 0);
    pair_check("sgd w", w2, 16 * u, 0);
    pair_check("sgd buffer", b, 32 * u, 0);
    pair_check("sgd without momentum", w3, 16 * u, 0);
    pairs_free();
  }
}

#ifndef VBL_TEST_CUDA
static void allocator(void) {
  vbl_cpu_alloc_trim();
  const vbl_memory_stats before = vbl_cpu_alloc_stats();
  CHECK(before.cached == 0);
  for (size_t bytes = 0; bytes < (size_t)64 << 20; bytes = bytes * 3 / 2 + 1) {
    unsigned char *p = vbl_cpu_alloc(bytes);
    CHECK(p && (uintptr_t)p % 64 == 0);
    memset(p, 0xAB, bytes);
    const size_t live = vbl_cpu_alloc_stats().live - before.live;
    CHECK(live >= bytes && live <= bytes + bytes / 8 + 64);
    vbl_cpu_free(p, bytes);
#if !defined(__SANITIZE_ADDRESS__)
    CHECK(vbl_cpu_alloc(bytes) == p);
    vbl_cpu_free(p, bytes);
#endif
  }
  CHECK(vbl_cpu_alloc_stats().live == before.live);
  CHECK(vbl_cpu_alloc(SIZE_MAX) == NULL);
  CHECK(vbl_cpu_alloc((size_t)1 << 60) == NULL);
  CHECK(vbl_cpu_alloc_stats().live == before.live);
  CHECK(vbl_cpu_alloc_stats().cached == 0);  // the refused request gave the free lists back
  vbl_cpu_alloc_reset_peak();
  CHECK(vbl_cpu_alloc_stats().peak == before.live);
  vbl_cpu_free(NULL, 5);
}

static void failures(void) {
  vbl_error err = {0};
  cpu = vbl_cpu_backend();
  CHECK(cpu->sync(NULL, &err) == VBL_OK);
  vbl_cpu_fail(VBL_ENOMEM, "no memory for a test");
  CHECK(cpu->sync(NULL, &err) == VBL_ENOMEM && strstr(err.message, "no memory for a test"));
  CHECK(cpu->sync(NULL, &err) == VBL_OK);
  CHECK(vbl_cpu_backend_named("sse9") == NULL);
}

#endif

int main(void) {
#ifndef VBL_TEST_CUDA
  allocator();
  failures();
#endif
  each_backend("unary", unary);
  each_backend("special values", special_values);
  each_backend("binary", binary);
  each_backend("scale_add", scale_add);
  each_backend("copy, fill", copy);
  each_backend("reduce", reduce);
  each_backend("rows", rows);
  each_backend("rows_many", rows_many);
  each_backend("rows_wide", rows_wide);
  each_backend("patches", patches);
  each_backend("losses", losses);
  each_backend("optimizers", optimizers);
  return check_done();
}
