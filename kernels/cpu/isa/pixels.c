// Weighted sums of pixels: of 8 bits in the fixed point of vbl_loops, and of floats.
// defines: vbl_cpu_{weigh_rows,weigh_columns,weigh}_<isa>
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/isa/isa.h"
#include "kernels/cpu/loops.h"

typedef float vec __attribute__((vector_size(4 * VBL_LANES), aligned(4), may_alias));

enum { HALF = 1 << (VBL_PIXEL_BITS - 1) };

static uint8_t clip8(int32_t sum) {
  const int32_t v = sum >> VBL_PIXEL_BITS;
  return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

void VBL_K(weigh_rows)(const uint8_t *rows, size_t stride, const int32_t *w, int taps, size_t bytes, uint8_t *restrict out) {
  enum { PART = 1024 };
  int32_t sum[PART];
  for (size_t from = 0; from < bytes; from += PART) {
    const size_t n = bytes - from < PART ? bytes - from : PART;
    for (size_t i = 0; i < n; i++) sum[i] = HALF;
    for (int k = 0; k < taps; k++) {
      const uint8_t *row = rows + (size_t)k * stride + from;
      const int32_t by = w[k];
      for (size_t i = 0; i < n; i++) sum[i] += row[i] * by;
    }
    for (size_t i = 0; i < n; i++) out[from + i] = clip8(sum[i]);
  }
}

static void weigh_pixel(const uint8_t *in, const int32_t *w, int taps, uint8_t *out) {
  int32_t r = HALF, g = HALF, b = HALF;
  for (int k = 0; k < taps; k++, in += 3) {
    r += in[0] * w[k];
    g += in[1] * w[k];
    b += in[2] * w[k];
  }
  out[0] = clip8(r);
  out[1] = clip8(g);
  out[2] = clip8(b);
}

#if defined(__AVX2__)
// Four pixels at a time: products of pairs in 16 bits, of a weight's upper part and of its lower LOW bits, exact in 32.
enum { LOW = 11, GROUPS = 12, GROUP_BYTES = 16 };

typedef struct split {
  int n;  // groups of four
  __m256i high[GROUPS], low[GROUPS];
} split;

// Weights of a group: (w0 w1) three times, nothing; (w2 w3) three times, nothing.
static void split_weights(const int32_t *w, int taps, split *s) {
  int16_t high[GROUPS][16] = {{0}}, low[GROUPS][16] = {{0}};
  for (int k = 0; k < taps; k++)
    for (int c = 0; c < 3; c++) {
      const int at = k % 4 / 2 * 8 + 2 * c + k % 2;
      high[k / 4][at] = (int16_t)(w[k] >> LOW);
      low[k / 4][at] = (int16_t)(w[k] & ((1 << LOW) - 1));
    }
  s->n = (taps + 3) / 4;
  memcpy(s->high, high, sizeof high);
  memcpy(s->low, low, sizeof low);
}

static void weigh_split(const uint8_t *in, const split *s, uint8_t *out) {
  const __m256i order = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,  //
                                         6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  __m256i high = _mm256_setzero_si256(), low = high;
  for (int g = 0; g < s->n; g++) {
    const __m256i pixels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(in + 12 * g))), order);
    high = _mm256_add_epi32(high, _mm256_madd_epi16(pixels, s->high[g]));
    low = _mm256_add_epi32(low, _mm256_madd_epi16(pixels, s->low[g]));
  }
  const __m256i both = _mm256_add_epi32(_mm256_slli_epi32(high, LOW), low);
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
  sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(HALF)), VBL_PIXEL_BITS);
  sum = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
  const uint32_t rgb = (uint32_t)_mm_cvtsi128_si32(sum);
  memcpy(out, &rgb, 3);
}

// Rows whose bytes from in on end at `end`: how many of them can be read a group at a time.
static int whole_groups(const uint8_t *in, size_t stride, int rows, int groups, const uint8_t *end) {
  const size_t reach = 12 * (size_t)(groups - 1) + GROUP_BYTES;
  int n = rows;
  while (n > 0 && (size_t)(end - in) < (size_t)(n - 1) * stride + reach) n--;
  return n;
}

static int weigh_fast(const uint8_t *in, size_t stride, int rows, const int32_t *w, int taps, const uint8_t *end, uint8_t *out,
                      size_t out_stride) {
  split s;
  if (taps > 4 * GROUPS) return 0;
  const int n = whole_groups(in, stride, rows, (taps + 3) / 4, end);
  split_weights(w, taps, &s);
  for (int y = 0; y < n; y++) weigh_split(in + (size_t)y * stride, &s, out + (size_t)y * out_stride);
  return n;
}
#else
static int weigh_fast(const uint8_t *in, size_t stride, int rows, const int32_t *w, int taps, const uint8_t *end, uint8_t *out,
                      size_t out_stride) {
  (void)in, (void)stride, (void)rows, (void)w, (void)taps, (void)end, (void)out, (void)out_stride;
  return 0;
}
#endif

// Some rows at a time, so that what is made ready of a column's weights serves several and the rows stay in the cache.
void VBL_K(weigh_columns)(const uint8_t *in, int first, int count, int rows, const int *start, const int *length, const int32_t *w,
                          int taps, int columns, uint8_t *out) {
  enum { TOGETHER = 64 };
  const size_t stride = 3 * (size_t)count, out_stride = 3 * (size_t)columns;
  const uint8_t *end = in + (size_t)rows * stride;
  for (int y = 0; y < rows; y += TOGETHER, in += TOGETHER * stride, out += TOGETHER * out_stride)
    for (int x = 0; x < columns; x++) {
      const int n = rows - y < TOGETHER ? rows - y : TOGETHER;
      const uint8_t *from = in + 3 * (size_t)(start[x] - first);
      uint8_t *to = out + 3 * (size_t)x;
      const int32_t *by = w + (size_t)x * (size_t)taps;
      for (int i = weigh_fast(from, stride, n, by, length[x], end, to, out_stride); i < n; i++)
        weigh_pixel(from + (size_t)i * stride, by, length[x], to + (size_t)i * out_stride);
    }
}

void VBL_K(weigh)(const float *const *row, const float *w, int taps, int n, float *out) {
  enum { VECTORS = 6 };  // whose sums stay in registers over all taps
  int i = 0;
  for (; i + VECTORS * VBL_LANES <= n; i += VECTORS * VBL_LANES) {
    vec s[VECTORS] = {{0}};
    for (int k = 0; k < taps; k++)
      for (int v = 0; v < VECTORS; v++) s[v] += *(const vec *)(row[k] + i + v * VBL_LANES) * w[k];
    for (int v = 0; v < VECTORS; v++) *(vec *)(out + i + v * VBL_LANES) = s[v];
  }
  for (; i + VBL_LANES <= n; i += VBL_LANES) {
    vec s = {0};
    for (int k = 0; k < taps; k++) s += *(const vec *)(row[k] + i) * w[k];
    *(vec *)(out + i) = s;
  }
  for (; i < n; i++) {
    out[i] = 0;
    for (int k = 0; k < taps; k++) out[i] += row[k][i] * w[k];
  }
}
