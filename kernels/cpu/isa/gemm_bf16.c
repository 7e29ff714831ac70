// Products of matrices rounded to bf16, summed in f32. Two ways, chosen once per machine (vbl_cpu_bf16_native):
// - vdpbf16ps, two products and sums per lane: twice the rate of f32 FMA on AMD's Zen 4 and 5. Rounding happens while the operands are
//   packed, so no bf16 copies are needed. The blocking is that of Goto, van de Geijn 2008: B in panels of 64 columns (one panel of
//   256 x 64 stays in L1), register tiles of 6 rows by 4 vectors. Each element of C is summed by one thread in the order of k, so the
//   result is the same for every number of threads.
// - elsewhere the operands are rounded into f32 copies and multiplied by the f32 product: the same rounding, exact products too.
// A "word" is the pair (k, k + 1) of one row or column as two bf16 in 32 bits; the missing half of an odd K is zero.
// defines: vbl_cpu_gemm_bf16
#include "kernels/cpu/isa/convert.h"
#include "kernels/cpu/isa/isa.h"

// out [rows, columns] = x rounded to bf16, as f32
static void rounded(vbl_dtype T, const void *x, int64_t ld, int64_t rows, int64_t columns, float *out) {
#pragma omp parallel for schedule(static) if (rows * columns > VBL_GRAIN)
  for (int64_t i = 0; i < rows; i++) {
    float *y = out + i * columns;
    if (T == VBL_BF16) {
      const vbl_bf16 *row = (const vbl_bf16 *)x + i * ld;
#pragma omp simd
      for (int64_t j = 0; j < columns; j++) y[j] = vbl_from_bf16(row[j]);
    } else {
      const float *row = (const float *)x + i * ld;
#pragma omp simd
      for (int64_t j = 0; j < columns; j++) y[j] = vbl_from_bf16(vbl_to_bf16(row[j]));
    }
  }
}

// What follows the sums: C [m, n] += bias, gelu [m, n] (rows ldg apart) = gelu_erf(C); either may be NULL.
static void finish(float *C, int64_t ldc, int64_t m, int64_t n, const float *bias, vbl_bf16 *gelu, int64_t ldg) {
  for (int64_t i = 0; i < m; i++) {
    float *c = C + i * ldc;
    if (bias) {
#pragma omp simd
      for (int64_t j = 0; j < n; j++) c[j] += bias[j];
    }
    if (gelu) {
      vbl_bf16 *g = gelu + i * ldg;
#pragma omp simd
      for (int64_t j = 0; j < n; j++) g[j] = vbl_to_bf16(vbl_gelu(c[j]));
    }
  }
}

static void by_f32(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda,
                   vbl_dtype b_type, const void *B, int64_t ldb, bool accumulate, float *C, int64_t ldc, const float *bias,
                   vbl_bf16 *gelu) {
  const size_t bytes = (size_t)(M + N) * (size_t)K * sizeof(float);
  float *a = vbl_cpu_alloc(bytes);
  if (!a) {
    vbl_cpu_fail(VBL_ENOMEM, "no memory for the rounded operands of a product in bf16");
    return;
  }
  float *b = a + M * K;
  rounded(a_type, A, lda, ta ? K : M, ta ? M : K, a);
  rounded(b_type, B, ldb, tb ? N : K, tb ? K : N, b);
  VBL_K(gemm)(ta, tb, M, N, K, 1, a, ta ? M : K, b, tb ? K : N, accumulate ? 1 : 0, C, ldc, NULL);
  vbl_cpu_free(a, bytes);
  if (!bias && !gelu) return;
#pragma omp parallel for schedule(static) if (M * N > VBL_GRAIN)
  for (int64_t i = 0; i < M; i++) finish(C + i * ldc, ldc, 1, N, bias, gelu ? gelu + i * N : NULL, N);
}

#ifdef __AVX512F__
#include <immintrin.h>
#include <omp.h>

#define NATIVE __attribute__((target("avx512bf16")))

enum { ROWS = 6, VECTORS = 4, PANEL = 16 * VECTORS, PAIRS = 128, BLOCK = 96, GROUP = 16, A_STRIDE = PAIRS + 16, AHEAD = 8 };

// A matrix operand read along k. by_rows: element (i, k) is x[i * ld + k], else x[k * ld + i]; i < n, k < K.
typedef struct operand {
  const char *x;
  int64_t ld, n, K;
  bool by_rows, f32;
} operand;

static inline const char *element(const operand *o, int64_t i, int64_t k) {
  return o->x + (o->by_rows ? i * o->ld + k : k * o->ld + i) * (o->f32 ? 4 : 2);
}

static inline uint32_t first_bits(int64_t n) { return n >= 32 ? 0xFFFFFFFFu : n <= 0 ? 0 : (1u << n) - 1; }

// 16 words from 32 elements side by side, zeros from the n-th on
NATIVE static inline __m512i words_along(const char *x, bool f32, int64_t n) {
  const uint32_t mask = first_bits(n);
  if (!f32) return _mm512_maskz_loadu_epi16(mask, x);
  const __m512 low = _mm512_maskz_loadu_ps((__mmask16)mask, x), high = _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), x + 64);
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

// 16 words whose halves come from x and, where it is there (else NULL), y; zeros from the n-th on
NATIVE static inline __m512i words_across(const char *x, const char *y, bool f32, int64_t n) {
  static const uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                     8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __mmask16 mask = (__mmask16)first_bits(n), second = y ? mask : 0;
  __m512i both;
  if (f32) {
    both = (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(second, y), _mm512_maskz_loadu_ps(mask, x));
  } else {
    both = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_maskz_loadu_epi16(mask, x)), _mm256_maskz_loadu_epi16(second, y), 1);
  }
  return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), both);
}

// The 16 x 16 words of w, transposed: in step s, rows and columns swap bit s of their numbers.
static inline void transpose_words(__m512i w[16]) {
#pragma GCC unroll 4
  for (int s = 1; s < 16; s *= 2) {
    int32_t low[16], high[16];
    for (int j = 0; j < 16; j++) {
      low[j] = j & s ? 16 + j - s : j;
      high[j] = j & s ? 16 + j : j + s;
    }
    const __m512i l = _mm512_loadu_si512(low), h = _mm512_loadu_si512(high);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      if (i & s) continue;
      const __m512i a = w[i], b = w[i + s];
      w[i] = _mm512_permutex2var_epi32(a, l, b);
      w[i + s] = _mm512_permutex2var_epi32(a, h, b);
    }
  }
}

// out [pairs, PANEL] words: columns first .. first + PANEL of B, k from `from` on, zeros past its end
NATIVE static void pack_panel(const operand *b, int64_t first, int64_t from, int64_t pairs, uint32_t *out) {
  for (int64_t c = 0; c < PANEL; c += 16) {
    const int64_t n = b->n - first - c;
    if (b->by_rows) {
      for (int64_t p = 0; p < pairs; p += 16) {
        __m512i w[16];
        for (int64_t i = 0; i < 16; i++) {
          const int64_t k = from + 2 * p;
          w[i] = i < n ? words_along(element(b, first + c + i, k), b->f32, b->K - k) : _mm512_setzero_si512();
        }
        transpose_words(w);
        for (int64_t i = 0; i < vbl_min64(16, pairs - p); i++) _mm512_storeu_si512(out + (p + i) * PANEL + c, w[i]);
      }
    } else {
      for (int64_t p = 0; p < pairs; p++) {
        const int64_t k = from + 2 * p;
        const char *second = k + 1 < b->K ? element(b, first + c, k + 1) : NULL;
        __builtin_prefetch(element(b, first + c, k + 2 * AHEAD));
        __builtin_prefetch(element(b, first + c, k + 2 * AHEAD + 1));
        _mm512_storeu_si512(out + p * PANEL + c, words_across(element(b, first + c, k), second, b->f32, n));
      }
    }
  }
}

// Words of rows first .. first + m of A (m <= BLOCK): by_rows [m, A_STRIDE], else a group of 16 rows after the other, each
// [PAIRS, GROUP], so that a tile reads neighbouring lines. The rows of A lie far apart: the hardware does not prefetch them.
NATIVE static void pack_rows(const operand *a, int64_t first, int64_t m, int64_t from, int64_t pairs, uint32_t *out) {
  if (a->by_rows) {
    for (int64_t i = 0; i < m; i++)
      for (int64_t p = 0; p < pairs; p += 16) {
        const char *x = element(a, first + i, from + 2 * p);
        const int64_t next = a->ld * (a->f32 ? 4 : 2);
        __builtin_prefetch(x + 2 * next);
        if (a->f32) __builtin_prefetch(x + 2 * next + 64);
        _mm512_storeu_si512(out + i * A_STRIDE + p, words_along(x, a->f32, a->K - from - 2 * p));
      }
    return;
  }
  for (int64_t p = 0; p < pairs; p++) {
    const int64_t k = from + 2 * p;
    for (int64_t i = 0; i < m; i += GROUP) {
      const char *x = element(a, first + i, k), *second = k + 1 < a->K ? element(a, first + i, k + 1) : NULL;
      __builtin_prefetch(element(a, first + i, k + 2 * AHEAD));
      __builtin_prefetch(element(a, first + i, k + 2 * AHEAD + 1));
      _mm512_storeu_si512(out + i * PAIRS + p * GROUP, words_across(x, second, a->f32, m - i));
    }
  }
}

// C [m, n] (+)= the product of m rows of words (word (i, p) is a[i * ai + p * ap]) and a panel b [pairs, PANEL]
NATIVE __attribute__((always_inline)) static inline void one_tile(const int m, int64_t pairs, const uint32_t *a, int64_t ai,
                                                                  int64_t ap, const uint32_t *b, bool add, float *C, int64_t ldc,
                                                                  int64_t n) {
  __m512 acc[ROWS][VECTORS];
#pragma GCC unroll 6
  for (int i = 0; i < m; i++)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) acc[i][v] = _mm512_setzero_ps();
  for (int64_t p = 0; p < pairs; p++) {
    __m512i y[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) y[v] = _mm512_loadu_si512(b + p * PANEL + 16 * v);
#pragma GCC unroll 6
    for (int i = 0; i < m; i++) {
      const __m512i x = _mm512_set1_epi32((int)a[i * ai + p * ap]);
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; v++) acc[i][v] = _mm512_dpbf16_ps(acc[i][v], (__m512bh)x, (__m512bh)y[v]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < m; i++)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
      float *c = C + i * ldc + 16 * v;
      const __mmask16 mask = (__mmask16)first_bits(vbl_min64(16, n - 16 * v));
      const __m512 sum = add ? _mm512_add_ps(acc[i][v], _mm512_maskz_loadu_ps(mask, c)) : acc[i][v];
      _mm512_mask_storeu_ps(c, mask, sum);
    }
}

#define TILE_CASE(m)                                  \
  case m:                                             \
    one_tile(m, pairs, a, ai, ap, b, add, C, ldc, n); \
    break;
NATIVE __attribute__((noinline)) static void tile(int64_t m, int64_t pairs, const uint32_t *a, int64_t ai, int64_t ap,
                                                  const uint32_t *b, bool add, float *C, int64_t ldc, int64_t n) {
  switch (m) { TILE_CASE(1) TILE_CASE(2) TILE_CASE(3) TILE_CASE(4) TILE_CASE(5) TILE_CASE(6) }
}
#undef TILE_CASE

// A product, cut into tasks of `block` rows by `group` panels.
typedef struct product {
  operand a, b;
  bool accumulate;
  float *C;
  const float *bias;
  vbl_bf16 *gelu;
  int64_t ldc, pairs, block, group, row_blocks, panels;
  uint32_t *packed;  // B: panels of every K block, [K block][panel][pairs of the block][PANEL]
} product;

// a, b and C are given; the rest follows.
static void plan(product *g) {
  const int64_t threads = omp_get_max_threads(), share = (g->a.n + threads - 1) / threads;
  g->pairs = (g->a.K + 1) / 2;
  g->block = vbl_min64(BLOCK, (share + GROUP - 1) / GROUP * GROUP);
  g->row_blocks = (g->a.n + g->block - 1) / g->block;
  g->panels = (g->b.n + PANEL - 1) / PANEL;
  const int64_t groups = vbl_min64(g->panels, (2 * threads + g->row_blocks - 1) / g->row_blocks);
  g->group = (g->panels + groups - 1) / groups;
}

// Where K block `from` (in pairs) has its first panel.
static uint32_t *block_panels(const product *g, int64_t from) { return g->packed + from * g->panels * PANEL; }

static void pack_all(const product *g) {
  const int64_t blocks = (g->pairs + PAIRS - 1) / PAIRS;
#pragma omp for schedule(static)
  for (int64_t i = 0; i < blocks * g->panels; i++) {
    const int64_t from = i / g->panels * PAIRS, pairs = vbl_min64(PAIRS, g->pairs - from), panel = i % g->panels;
    pack_panel(&g->b, panel * PANEL, 2 * from, pairs, block_panels(g, from) + panel * pairs * PANEL);
  }
}

// Tiles of one group of at most 16 rows, split evenly (16 = 6 + 5 + 5), against one panel.
static void run_group(const product *g, const uint32_t *rows, int64_t m, int64_t pairs, const uint32_t *panel, bool add, float *C,
                      int64_t n) {
  const int64_t ai = g->a.by_rows ? A_STRIDE : 1, ap = g->a.by_rows ? 1 : GROUP, tiles = (m + ROWS - 1) / ROWS;
  for (int64_t t = 0; t < tiles; t++) {
    const int64_t i = m * t / tiles;
    tile(m * (t + 1) / tiles - i, pairs, rows + i * ai, ai, ap, panel, add, C + i * g->ldc, g->ldc, n);
  }
}

static void run_task(const product *g, int64_t task, uint32_t *rows) {
  const int64_t first = task % g->row_blocks * g->block, m = vbl_min64(g->block, g->a.n - first);
  const int64_t begin = task / g->row_blocks * g->group, end = vbl_min64(g->panels, begin + g->group);
  const int64_t stride = g->a.by_rows ? A_STRIDE : PAIRS;  // words from row to row of a group's first
  for (int64_t from = 0; from < g->pairs; from += PAIRS) {
    const int64_t pairs = vbl_min64(PAIRS, g->pairs - from);
    const bool last = from + pairs == g->pairs;
    pack_rows(&g->a, first, m, 2 * from, pairs, rows);
    for (int64_t panel = begin; panel < end; panel++)
      for (int64_t i = 0; i < m; i += GROUP) {
        const int64_t row = first + i, column = panel * PANEL, height = vbl_min64(GROUP, m - i), width = g->b.n - column;
        float *C = g->C + row * g->ldc + column;
        run_group(g, rows + i * stride, height, pairs, block_panels(g, from) + panel * pairs * PANEL, g->accumulate || from > 0, C,
                  width);
        if (last)
          finish(C, g->ldc, height, vbl_min64(PANEL, width), g->bias ? g->bias + column : NULL,
                 g->gelu ? g->gelu + row * g->b.n + column : NULL, g->b.n);
      }
  }
}

static void native(product g) {
  plan(&g);
  const size_t bytes = (size_t)(g.pairs * g.panels * PANEL) * sizeof(uint32_t);
  g.packed = vbl_cpu_alloc(bytes);
  if (!g.packed) {
    vbl_cpu_fail(VBL_ENOMEM, "no memory for the packed operand of a product in bf16");
    return;
  }
  const int64_t tasks = g.row_blocks * ((g.panels + g.group - 1) / g.group);
#pragma omp parallel if (g.a.n * g.b.n * g.a.K > 64 * VBL_GRAIN)
  {
    _Alignas(64) uint32_t rows[BLOCK * A_STRIDE];
    pack_all(&g);
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < tasks; task++) run_task(&g, task, rows);
  }
  vbl_cpu_free(g.packed, bytes);
}
#endif

void VBL_K(gemm_bf16)(bool ta, bool tb, int64_t M, int64_t N, int64_t K, vbl_dtype a_type, const void *A, int64_t lda,
                      vbl_dtype b_type, const void *B, int64_t ldb, bool accumulate, void *C, int64_t ldc, const void *bias,
                      void *gelu, vbl_stream s) {
  (void)s;
  if (M == 0 || N == 0 || K == 0) {
    if (!accumulate) VBL_K(gemm)(ta, tb, M, N, 0, 1, A, lda, B, ldb, 0, C, ldc, s);
    finish(C, ldc, M, N, bias, gelu, N);
    return;
  }
#ifdef __AVX512F__
  if (vbl_cpu_bf16_native()) {
    const operand a = {.x = A, .ld = lda, .n = M, .K = K, .by_rows = !ta, .f32 = a_type == VBL_F32};
    const operand b = {.x = B, .ld = ldb, .n = N, .K = K, .by_rows = tb, .f32 = b_type == VBL_F32};
    native((product){.a = a, .b = b, .accumulate = accumulate, .C = C, .ldc = ldc, .bias = bias, .gelu = gelu});
    return;
  }
#endif
  by_f32(ta, tb, M, N, K, a_type, A, lda, b_type, B, ldb, accumulate, C, ldc, bias, gelu);
}
