// The vector loops of measures and images: each build against plain sums, and all builds bit for bit alike, but for panels' products, which are held
// to the bound of their rounding.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/philox.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/loops.h"
#include "tests/check.h"

extern const vbl_loops vbl_loops_avx512, vbl_loops_avx2, vbl_loops_baseline;

static const vbl_loops *loops_named(const char *isa) {
  if (vbl_cpu_backend_named(isa) == NULL) return NULL;
  if (strcmp(isa, "avx512") == 0) return &vbl_loops_avx512;
  return strcmp(isa, "avx2") == 0 ? &vbl_loops_avx2 : &vbl_loops_baseline;
}

enum { D = 77, ROWS = 9, BAND_ROWS = 40 };

typedef struct data {
  float x[ROWS * D];
  double raw[ROWS * D], a[D], band[BAND_ROWS * (VBL_BAND + 1)];
  uint32_t key[D];
} data;

// What the loops give of the same numbers, plain memory, so that two builds' can be compared whole.
typedef struct outcome {
  double dots[2][ROWS], squares[2], dot_single, sum[D], added[D], exponentials[D], determinants[VBL_SHIFTS];
  float copy[D], round[D], scale[2][D], kth[D];
  uint64_t hash;
  int32_t found[2][D + 16];
  int64_t counts[2];
} outcome;

static double uniform(uint32_t a) { return 2 * (double)vbl_u32_to_unit(vbl_philox((vbl_philox_key){1, 2}, a, 0, 0, 0).v[0]) - 1; }

static void fill(data *t) {
  for (uint32_t i = 0; i < ROWS * D; i++) t->raw[i] = (double)(t->x[i] = (float)uniform(i));
  for (uint32_t j = 0; j < D; j++) {
    t->a[j] = uniform(10000 + j) / 3;
    t->key[j] = 2654435761u * (j + 1);
  }
  for (int c = 0; c < BAND_ROWS; c++)
    for (int i = 0; i <= VBL_BAND; i++)
      t->band[c * (VBL_BAND + 1) + i] = c + i >= BAND_ROWS ? 0 : i == 0 ? 20 : uniform((uint32_t)(20000 + c * 32 + i));
}

static outcome run(const vbl_loops *l, const data *t) {
  static const int32_t rows[ROWS] = {3, 1, 4, 1, 5, 8, 2, 6, 0};
  static const double shift[VBL_SHIFTS] = {0, 1, 2, 3, 4, 5, 6, 7}, factor[VBL_SHIFTS] = {1, 1, 1, 1, 0.5, 0.5, 0.1, 0};
  outcome o;
  memset(&o, 0, sizeof o);
  l->dots(t->a, t->x, NULL, D, rows, ROWS, o.dots[0]);
  l->dots(t->a, NULL, t->raw, D, rows, ROWS, o.dots[1]);
  l->squares(t->x, t->a, D, &o.squares[0], &o.squares[1]);
  o.dot_single = l->dot_single(t->x, t->x + D, D);
  CHECK(l->copy_finite(o.copy, t->x, D));
  l->add_less(o.sum, t->x, t->a, D);
  l->add(o.added, t->x, D);
  l->round(o.round, t->a, D);
  l->scale(o.scale[0], t->x, t->a, 0.3, D);
  l->scale(o.scale[1], t->x, NULL, 0.3, D);
  for (int j = 0; j < D; j++) o.exponentials[j] = 10.0 * j;  // to 760
  l->exp_scaled(o.exponentials, -0.987, D);
  o.hash = l->hash(t->x, t->key, D);
  o.counts[0] = l->at_least(t->x, t->x + 5, false, D, o.found[0]);
  o.counts[1] = l->at_least(t->x, t->x + D, true, D, o.found[1]);
  for (int64_t k = 1; k <= D; k++) o.kth[k - 1] = l->kth_largest(t->x, D, k);
  CHECK(l->log_determinants(BAND_ROWS, t->band, factor, shift, o.determinants));
  return o;
}

static void check_sums(const data *t, const outcome *o) {
  double dot = 0, norm2 = 0, centred2 = 0, pair = 0;
  for (int j = 0; j < D; j++) {
    const double x = (double)t->x[j];
    dot += t->a[j] * (double)t->x[3 * D + j];
    norm2 += x * x;
    centred2 += (x - t->a[j]) * (x - t->a[j]);
    pair += x * (double)t->x[D + j];
    CHECK(o->sum[j] == x - t->a[j] && o->added[j] == x && o->copy[j] == t->x[j] && o->round[j] == (float)t->a[j]);
    CHECK(o->scale[0][j] == (float)((x - t->a[j]) * 0.3) && o->scale[1][j] == (float)(x * 0.3));
  }
  for (int j = 0; j < D; j++) {
    const double exact = exp(10.0 * j * -0.987);
    CHECK_NEAR(o->exponentials[j], exact, exact * 5e-16 + 1e-307);
  }
  CHECK_NEAR(o->dots[0][0], dot, 1e-13);
  CHECK(memcmp(o->dots[0], o->dots[1], sizeof o->dots[0]) == 0 && o->dots[0][1] == o->dots[0][3]);
  CHECK_NEAR(o->squares[0], norm2, 1e-13);
  CHECK_NEAR(o->squares[1], centred2, 1e-13);
  CHECK_NEAR(o->dot_single, pair, 1e-13);
}

static void check_selection(const data *t, const outcome *o) {
  int64_t counts[2] = {0};
  for (int j = 0; j < D; j++) {
    if (t->x[j] >= t->x[5]) CHECK(o->found[0][counts[0]++] == j);
    if (t->x[j] >= t->x[D + j]) CHECK(o->found[1][counts[1]++] == j);
    int above = 0;
    for (int q = 0; q < D; q++) above += t->x[q] > t->x[j];
    CHECK(o->kth[above] == t->x[j]);
  }
  CHECK(o->counts[0] == counts[0] && o->counts[1] == counts[1]);
}

// By the determinant of the full matrix, eliminated without its band.
static double log_determinant(const data *t, double factor, double shift) {
  static double m[BAND_ROWS][BAND_ROWS];
  double sum = 0;
  memset(m, 0, sizeof m);
  for (int c = 0; c < BAND_ROWS; c++)
    for (int i = 0; i <= VBL_BAND && c + i < BAND_ROWS; i++)
      m[c + i][c] = m[c][c + i] = factor * t->band[c * (VBL_BAND + 1) + i] + (i == 0 ? shift : 0);
  for (int c = 0; c < BAND_ROWS; c++) {
    sum += log(m[c][c]);
    for (int r = c + 1; r < BAND_ROWS; r++)
      for (int q = BAND_ROWS - 1; q >= c; q--) m[r][q] -= m[r][c] / m[c][c] * m[c][q];
  }
  return sum;
}

// Rows of three panels, the last one's in part; columns of more than two chunks.
enum { WIDE = 2 * VBL_CHUNK + 45, RIGHT = 2 * VBL_PANEL + 7, OUT = 4 * VBL_PANEL };

static void check_panels(const char *build, const vbl_loops *l) {
  static float x[RIGHT * WIDE], panels[3 * VBL_PANEL * WIDE], out[VBL_PANEL * OUT];
  for (int i = 0; i < RIGHT * WIDE; i++) x[i] = (float)uniform((uint32_t)(50000 + i));
  int64_t wrong = 0, beyond = 0;
  for (int p = 0; p < 3; p++) {
    const int rows = p < 2 ? VBL_PANEL : RIGHT - 2 * VBL_PANEL;
    float *panel = panels + p * VBL_PANEL * WIDE;
    l->transpose(panel, VBL_PANEL, VBL_PANEL, x + p * VBL_PANEL * WIDE, WIDE, rows, WIDE);
    for (int j = 0; j < WIDE; j++)
      for (int r = 0; r < VBL_PANEL; r++) wrong += panel[j * VBL_PANEL + r] != (r < rows ? x[(p * VBL_PANEL + r) * WIDE + j] : 0);
  }
  for (int i = 0; i < VBL_PANEL * OUT; i++) out[i] = -77;
  l->panel_products(panels + VBL_PANEL * WIDE, panels, 3, WIDE, out, OUT);
  for (int i = 0; i < VBL_PANEL; i++)
    for (int c = 0; c < OUT; c++) {
      double exact = 0, size = 0;
      for (int j = 0; c < RIGHT && j < WIDE; j++) {
        const double term = (double)x[(VBL_PANEL + i) * WIDE + j] * (double)x[c * WIDE + j];
        exact += term;
        size += fabs(term);
      }
      const double wanted = c < 3 * VBL_PANEL ? exact : -77;  // what is right of the panels stays
      beyond += !(fabs((double)out[i * OUT + c] - wanted) <= (VBL_CHUNK + 5) * 0x1p-24 * size);
    }
  CHECK_REPORT_(wrong == 0 && beyond == 0, "build %s: %lld numbers of panels, %lld products wrong", build, (long long)wrong,
                (long long)beyond);
}

static uint8_t exact8(int64_t sum) {
  const int64_t v = (sum + (1 << (VBL_PIXEL_BITS - 1))) >> VBL_PIXEL_BITS;
  return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

// Sums of 8-bit pixels, of one pixel, some, and more than are taken at once; the last of them end with the memory. Memory of its own
// size, so that a sanitizer sees what is read beyond it.
static void check_pixels(const char *build, const vbl_loops *l) {
  enum { H = 67, W = 61, COLUMNS = 40, TAPS = 55, BYTES = 3 * W };
  int start[COLUMNS], length[COLUMNS], wrong = 0, clipped = 0;
  int32_t *w = malloc(sizeof *w * COLUMNS * TAPS);
  uint8_t *in = malloc(H * BYTES), *across = malloc(H * COLUMNS * 3), *down = malloc(COLUMNS * BYTES);
  for (int i = 0; i < H * BYTES; i++) in[i] = (uint8_t)(128 + 128 * uniform((uint32_t)(60000 + i)));
  for (int x = 0; x < COLUMNS; x++) {
    length[x] = x < 5 ? x + 1 : 1 + x * TAPS / COLUMNS;
    start[x] = x % 3 == 0 ? W - length[x] : x % (W - length[x] + 1);
    for (int k = 0; k < length[x]; k++)
      w[x * TAPS + k] = (int32_t)(uniform((uint32_t)(80000 + x * TAPS + k)) * (1 << VBL_PIXEL_BITS) * 1.9 / length[x]);
  }
  l->weigh_columns(in, 0, W, H, start, length, w, TAPS, COLUMNS, across);
  for (int x = 0; x < COLUMNS; x++) {
    l->weigh_rows(in + start[x] * BYTES, BYTES, w + x * TAPS, length[x], BYTES, down + x * BYTES);
    for (int i = 0; i < BYTES; i++) {
      int64_t sum = 0;
      for (int k = 0; k < length[x]; k++) sum += (int64_t)w[x * TAPS + k] * in[(start[x] + k) * BYTES + i];
      wrong += down[x * BYTES + i] != exact8(sum);
    }
    for (int i = 0; i < 3 * H; i++) {
      int64_t sum = 0;
      for (int k = 0; k < length[x]; k++) sum += (int64_t)w[x * TAPS + k] * in[i / 3 * BYTES + 3 * (start[x] + k) + i % 3];
      const uint8_t got = across[(i / 3 * COLUMNS + x) * 3 + i % 3];
      wrong += got != exact8(sum);
      clipped += got == 0 || got == 255;
    }
  }
  CHECK_REPORT_(wrong == 0 && clipped > 100, "build %s: %d sums of pixels wrong, %d clipped", build, wrong, clipped);
  free(w), free(in), free(across), free(down);
}

// In the order of the weights, so equal in all bits to the plain sum.
static void check_weigh(const char *build, const vbl_loops *l, const data *t) {
  const float *row[ROWS];
  float out[D + 1] = {[D] = -77};
  int wrong = 0;
  for (int k = 0; k < ROWS; k++) row[k] = t->x + k * D;
  l->weigh(row, t->x + 5, ROWS, D, out);
  for (int i = 0; i < D; i++) {
    float sum = 0;
    for (int k = 0; k < ROWS; k++) sum += row[k][i] * t->x[5 + k];
    wrong += out[i] != sum;
  }
  CHECK_REPORT_(wrong == 0 && out[D] == -77, "build %s: %d weighted sums wrong", build, wrong);
}

static void check_build(const vbl_loops *l, const data *t, const outcome *o) {
  float row[D];
  memcpy(row, t->x, sizeof row);
  row[7] = NAN;
  CHECK(!l->copy_finite(row, row, D));
  row[7] = -INFINITY;
  CHECK(!l->copy_finite(row, row, D));
  row[7] = 0;
  const uint64_t zero = l->hash(row, t->key, D);
  row[7] = -0.0f;
  CHECK(l->hash(row, t->key, D) == zero && zero != o->hash);
  CHECK_NEAR(o->determinants[0], log_determinant(t, 1, 0), 1e-11);
  CHECK_NEAR(o->determinants[5], log_determinant(t, 0.5, 5), 1e-11);
  const double factor[VBL_SHIFTS] = {-1}, shift[VBL_SHIFTS] = {1, 1, 1, 1, 1, 1, 1, 1};
  double out[VBL_SHIFTS];
  CHECK(!l->log_determinants(BAND_ROWS, t->band, factor, shift, out));  // not positive definite
}

int main(void) {
  static const char *const builds[] = {"baseline", "avx2", "avx512"};
  static data t;
  fill(&t);
  const outcome plain = run(&vbl_loops_baseline, &t);
  check_sums(&t, &plain);
  check_selection(&t, &plain);
  for (int b = 0; b < 3; b++) {
    const vbl_loops *l = loops_named(builds[b]);
    if (l == NULL) continue;
    const outcome o = run(l, &t);
    CHECK_REPORT_(memcmp(&o, &plain, sizeof o) == 0, "build %s differs from the baseline", builds[b]);
    check_build(l, &t, &o);
    check_panels(builds[b], l);
    check_pixels(builds[b], l);
    check_weigh(builds[b], l, &t);
  }
  return check_done();
}
