// defines: vbl_loops_<isa>
#include "kernels/cpu/loops.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/isa/transpose.h"
#include "kernels/cpu/isa/vecmath.h"

typedef double four __attribute__((vector_size(32), aligned(8), may_alias));
typedef float four_single __attribute__((vector_size(16), aligned(4), may_alias));
typedef float eight_single __attribute__((vector_size(32), aligned(4), may_alias));
typedef double eight __attribute__((vector_size(64)));

// Through pointers: how vectors are passed by value differs between builds.
static inline void read_single(four *to, const float *from) { *to = __builtin_convertvector(*(const four_single *)from, four); }
static inline void read_double(four *to, const double *from) { *to = *(const four *)from; }
static inline double total(const four *s) { return ((*s)[0] + (*s)[1]) + ((*s)[2] + (*s)[3]); }

// Four rows at a time: a sum by itself waits for its last term.
#define DOTS(NAME, TYPE, READ)                                                                                   \
  static void NAME(const double *a, const TYPE *x, int64_t d, const int32_t *rows, int64_t count, double *out) { \
    enum { TOGETHER = 4 };                                                                                       \
    for (int64_t q = 0; q < count; q += TOGETHER) {                                                              \
      four s[TOGETHER] = {{0}}, b;                                                                               \
      const TYPE *row[TOGETHER];                                                                                 \
      int64_t j = 0;                                                                                             \
      for (int r = 0; r < TOGETHER; r++) row[r] = x + rows[q + r < count ? q + r : q] * d;                       \
      for (; j + 4 <= d; j += 4)                                                                                 \
        for (int r = 0; r < TOGETHER; r++) {                                                                     \
          READ(&b, row[r] + j);                                                                                  \
          s[r] += *(const four *)(a + j) * b;                                                                    \
        }                                                                                                        \
      for (; j < d; j++)                                                                                         \
        for (int r = 0; r < TOGETHER; r++) s[r][0] += a[j] * (double)row[r][j];                                  \
      for (int r = 0; r < TOGETHER && q + r < count; r++) out[q + r] = total(&s[r]);                             \
    }                                                                                                            \
  }
DOTS(dots_single, float, read_single)
DOTS(dots_double, double, read_double)

static void dots(const double *a, const float *single, const double *raw, int64_t d, const int32_t *rows, int64_t count,
                 double *out) {
  if (single)
    dots_single(a, single, d, rows, count, out);
  else
    dots_double(a, raw, d, rows, count, out);
}

static void squares(const float *row, const double *mean, int64_t d, double *norm2, double *centred2) {
  four plain = {0}, centred = {0};
  int64_t j = 0;
  for (; j + 4 <= d; j += 4) {
    four x;
    read_single(&x, row + j);
    const four c = x - *(const four *)(mean + j);
    plain += x * x;
    centred += c * c;
  }
  for (; j < d; j++) {
    const double x = (double)row[j], c = x - mean[j];
    plain[0] += x * x;
    centred[0] += c * c;
  }
  *norm2 = total(&plain);
  *centred2 = total(&centred);
}

static double dot_single(const float *a, const float *b, int64_t count) {
  enum { SUMS = 4, STEP = 8 * SUMS };
  eight s[SUMS] = {{0}};
  double rest = 0;
  int64_t j = 0;
  for (; j + STEP <= count; j += STEP)
    for (int q = 0; q < SUMS; q++)
      s[q] += __builtin_convertvector(*(const eight_single *)(a + j + 8 * q), eight) *
              __builtin_convertvector(*(const eight_single *)(b + j + 8 * q), eight);
  for (; j < count; j++) rest += (double)a[j] * (double)b[j];
  const eight all = (s[0] + s[1]) + (s[2] + s[3]);
  for (int q = 0; q < 8; q++) rest += all[q];
  return rest;
}

static bool copy_finite(float *to, const float *from, int64_t d) {
  uint32_t largest = 0;  // exponent: of all ones in Inf and NaN
#pragma omp simd reduction(max : largest)
  for (int64_t j = 0; j < d; j++) {
    const uint32_t exponent = vbl_float_bits(from[j]) & 0x7F800000u;
    largest = exponent > largest ? exponent : largest;
    to[j] = from[j];
  }
  return largest != 0x7F800000u;
}

static void add_less(double *sum, const float *row, const double *from, int64_t d) {
#pragma omp simd
  for (int64_t j = 0; j < d; j++) sum[j] += (double)row[j] - from[j];
}

static void add(double *sum, const float *from, int64_t count) {
#pragma omp simd
  for (int64_t j = 0; j < count; j++) sum[j] += (double)from[j];
}

static void round_(float *out, const double *from, int64_t count) {
#pragma omp simd
  for (int64_t j = 0; j < count; j++) out[j] = (float)from[j];
}

static void scale(float *out, const float *row, const double *mean, double by, int64_t d) {
  if (mean) {
#pragma omp simd
    for (int64_t j = 0; j < d; j++) out[j] = (float)(((double)row[j] - mean[j]) * by);
  } else {
#pragma omp simd
    for (int64_t j = 0; j < d; j++) out[j] = (float)((double)row[j] * by);
  }
}

// x = k ln 2 + r, |r| <= ln 2 / 2; exp(r) by its series to r^13 / 13!, whose rest is below 1e-17.
static void exp_scaled(double *v, double factor, int64_t count) {
  static const double series[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
                                  1.0 / 5040,       1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      0.5};
  const double magic = 0x1.8p52;  // adding it leaves the nearest integer in the low bits
#pragma omp simd
  for (int64_t j = 0; j < count; j++) {
    const double x = v[j] * factor, c = x < -707 ? -707 : x;
    const double shifted = c * 0x1.71547652b82fep+0 + magic, k = shifted - magic;
    const double r = (c - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;  // the first has 32 bits: k times it is exact
    double p = series[0];
    for (int q = 1; q < 12; q++) p = p * r + series[q];
    p = p * r * r + r + 1;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    v[j] = x < -707 ? 0 : p * power;
  }
}

static uint64_t hash(const float *row, const uint32_t *key, int64_t d) {
  const int64_t half = d / 2;
  uint64_t sum = d % 2 ? vbl_float_bits(row[d - 1] + 0.0f) + (uint64_t)key[d - 1] : 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < half; j++) {
    const uint32_t x = vbl_float_bits(row[j] + 0.0f) + key[j], y = vbl_float_bits(row[half + j] + 0.0f) + key[half + j];
    sum += (uint64_t)x * y;
  }
  return sum;
}

// Bit q: key[q] >= floor[0], or floor[q] where `each`, of VBL_LANES.
static inline uint32_t reached(const float *key, const float *floor, bool each) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(_mm512_loadu_ps(key), each ? _mm512_loadu_ps(floor) : _mm512_set1_ps(*floor), _CMP_GE_OQ);
#elif defined(__AVX2__)
  const __m256 f = each ? _mm256_loadu_ps(floor) : _mm256_set1_ps(*floor);
  return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(key), f, _CMP_GE_OQ));
#else
  return (uint32_t)_mm_movemask_ps(_mm_cmpge_ps(_mm_loadu_ps(key), each ? _mm_loadu_ps(floor) : _mm_set1_ps(*floor)));
#endif
}

static inline int64_t at_least_of(const float *key, const float *floor, bool each, int64_t count, int32_t *found) {
  int64_t n = 0, q = 0;
#if defined(__AVX512F__)
  enum { TOGETHER = 4 };  // whether any is found is foreseen better of more, and those found are written without asking
  const __m512i ascending = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  for (; q + TOGETHER * VBL_LANES <= count; q += TOGETHER * VBL_LANES) {
    uint32_t bits[TOGETHER];
    for (int r = 0; r < TOGETHER; r++) bits[r] = reached(key + q + r * VBL_LANES, each ? floor + q + r * VBL_LANES : floor, each);
    if (!(bits[0] | bits[1] | bits[2] | bits[3])) continue;
    for (int r = 0; r < TOGETHER; r++) {
      const __m512i place = _mm512_add_epi32(ascending, _mm512_set1_epi32((int32_t)q + r * VBL_LANES));
      _mm512_storeu_si512(found + n, _mm512_maskz_compress_epi32((__mmask16)bits[r], place));
      n += __builtin_popcount(bits[r]);
    }
  }
#endif
  for (; q + VBL_LANES <= count; q += VBL_LANES)
    for (uint32_t bits = reached(key + q, each ? floor + q : floor, each); bits; bits &= bits - 1)
      found[n++] = (int32_t)q + __builtin_ctz(bits);
  for (; q < count; q++)
    if (key[q] >= floor[each ? q : 0]) found[n++] = (int32_t)q;
  return n;
}

static int64_t at_least(const float *key, const float *floor, bool each, int64_t count, int32_t *found) {
  return each ? at_least_of(key, floor, true, count, found) : at_least_of(key, floor, false, count, found);
}

typedef float lanes __attribute__((vector_size(4 * VBL_LANES), may_alias));
typedef int32_t words __attribute__((vector_size(4 * VBL_LANES), may_alias));

// It is the least of those that fewer than k exceed; VBL_LANES of them at a time.
static float kth_largest(const float *v, int64_t count, int64_t k) {
  float some[VBL_LANES], result = INFINITY;
  lanes least = INFINITY - (lanes){0}, own;
  for (int64_t i = 0; i < count; i += VBL_LANES) {
    words above = {0};
    for (int q = 0; i + VBL_LANES > count && q < VBL_LANES; q++) some[q] = v[i + q < count ? i + q : i];
    memcpy(&own, i + VBL_LANES > count ? some : v + i, sizeof own);
    for (int64_t j = 0; j < count; j++) above -= v[j] > own;
    const words better = (above < (int32_t)k) & (own < least);
    least = (lanes)((better & (words)own) | (~better & (words)least));
  }
  memcpy(some, &least, sizeof some);
  for (int q = 0; q < VBL_LANES; q++) result = some[q] < result ? some[q] : result;
  return result;
}

#if defined(__AVX512F__)
// Whole registers, so that every line is written at once. Round by round rows i and i + step change places by the lanes' bit `step`.
static void transpose16(const words index[8], const float *x, int64_t ldx, float *y, int64_t ldy) {
  lanes row[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) memcpy(&row[i], x + i * ldx, sizeof row[i]);
#pragma GCC unroll 4
  for (int round = 0; round < 4; round++)
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
      if (!(i >> round & 1)) {
        const lanes a = row[i], b = row[i + (1 << round)];
        row[i] = __builtin_shuffle(a, b, index[2 * round]);
        row[i + (1 << round)] = __builtin_shuffle(a, b, index[2 * round + 1]);
      }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) memcpy(y + i * ldy, &row[i], sizeof row[i]);
}

// Of 16 rows; the columns done.
static int64_t transpose_wide(float *out, int64_t ldo, const float *x, int64_t ldx, int64_t columns) {
  words index[8];
  for (int round = 0; round < 4; round++)
    for (int q = 0; q < 16; q++) {
      const int step = 1 << round;
      index[2 * round][q] = q & step ? 16 + q - step : q;
      index[2 * round + 1][q] = q & step ? 16 + q : q + step;
    }
  int64_t j = 0;
  for (; j + 16 <= columns; j += 16) transpose16(index, x + j, ldx, out + j * ldo, ldo);
  return j;
}
#endif

static void transpose(float *out, int64_t ldo, int64_t width, const float *x, int64_t ldx, int64_t rows, int64_t columns) {
  int64_t j = 0;
#if defined(__AVX512F__)
  if (rows == 16 && width == 16) j = transpose_wide(out, ldo, x, ldx, columns);
#endif
  vbl_transpose(x + j, ldx, rows, columns - j, 1, out + j * ldo, ldo, width);
}

extern const vbl_loops VBL_PASTE(vbl_loops, VBL_ISA);
const vbl_loops VBL_PASTE(vbl_loops, VBL_ISA) = {.dots = dots,
                                                 .squares = squares,
                                                 .dot_single = dot_single,
                                                 .copy_finite = copy_finite,
                                                 .add_less = add_less,
                                                 .add = add,
                                                 .round = round_,
                                                 .scale = scale,
                                                 .exp_scaled = exp_scaled,
                                                 .hash = hash,
                                                 .at_least = at_least,
                                                 .transpose = transpose,
                                                 .panel_products = VBL_K(panel_products),
                                                 .kth_largest = kth_largest,
                                                 .log_determinants = VBL_K(log_determinants),
                                                 .weigh_rows = VBL_K(weigh_rows),
                                                 .weigh_columns = VBL_K(weigh_columns),
                                                 .weigh = VBL_K(weigh)};
