// Loops on vectors for which the measures (core/measure) and images (core/data) need wide registers: built once per instruction set like
// the kernels, but no part of a device's backend. Without contraction to FMA, and in orders of summation that do not depend on the width of registers: each
// but panel_products gives the same bits in all builds.
// defines: vbl_loops, vbl_cpu_loops, VBL_BAND, VBL_SHIFTS, VBL_PANEL, VBL_CHUNK, VBL_PIXEL_BITS
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VBL_BAND = 16, VBL_SHIFTS = 8, VBL_PANEL = 16, VBL_CHUNK = 128, VBL_PIXEL_BITS = 22 };

typedef struct vbl_loops {
  // out[q] = <a, row rows[q]>, q < count; rows (., d) in f32, or in f64 where single is NULL. Four running sums, elements j % 4 apart,
  // then (s0 + s1) + (s2 + s3).
  void (*dots)(const double *a, const float *single, const double *raw, int64_t d, const int32_t *rows, int64_t count, double *out);
  // <row, row> and <row - mean, row - mean> in the order of dots.
  void (*squares)(const float *row, const double *mean, int64_t d, double *norm2, double *centred2);
  // sum a_j b_j in f64 by 32 running sums.
  double (*dot_single)(const float *a, const float *b, int64_t count);
  // Copies d floats; whether all are finite.
  bool (*copy_finite)(float *to, const float *from, int64_t d);
  void (*add_less)(double *sum, const float *row, const double *from, int64_t d);  // sum += row - from
  void (*add)(double *sum, const float *from, int64_t count);                      // sum += from
  void (*round)(float *out, const double *from, int64_t count);
  // out = (row - mean) scale in f64, rounded; mean NULL: 0.
  void (*scale)(float *out, const float *row, const double *mean, double scale, int64_t d);
  // v[j] = exp(v[j] factor) to 2 ulp; 0 where that is below 1e-307. v factor <= 0.
  void (*exp_scaled)(double *v, double factor, int64_t count);
  // A hash of the bits of d floats, 0 and -0 as one: sums of products of pairs, each plus its key (NH of Black et al., "UMAC", CRYPTO
  // 1999). key: (d) random numbers.
  uint64_t (*hash)(const float *row, const uint32_t *key, int64_t d);
  // The positions q < count, ascending, where key[q] >= floor[0], or floor[q] where `each`, into found (count + 16, what comes
  // after them is lost); their number.
  int64_t (*at_least)(const float *key, const float *floor, bool each, int64_t count, int32_t *found);
  // out (columns, width) = x' for x (rows, columns), of row lengths ldo and ldx; columns of out from `rows` on are 0. rows <= width.
  void (*transpose)(float *out, int64_t ldo, int64_t width, const float *x, int64_t ldx, int64_t rows, int64_t columns);
  // A panel is the transpose (d, VBL_PANEL) of VBL_PANEL rows. out[i ld + VBL_PANEL q + c] = <row i of panel `left`, row c of panel q
  // of `right`>, q < count: sums of VBL_CHUNK products, each by itself, added in order; with FMA where the build has it.
  void (*panel_products)(const float *left, const float *right, int64_t count, int64_t d, float *out, int64_t ld);
  // The k-th largest of v, 1 <= k <= count; v is not NaN. Time grows with count^2: for a few.
  float (*kth_largest)(const float *v, int64_t count, int64_t k);
  // out[q] = log det(scale[q] T + shift[q] I) for VBL_SHIFTS q; T symmetric (n, n): band[c (VBL_BAND + 1) + i] is the element i below the
  // diagonal in column c, 0 beyond the last row. All pivots of all q must lie in [1e-30, 1e30], else false.
  bool (*log_determinants)(int64_t n, const double *band, const double *scale, const double *shift, double *out);
  // Sums of 8-bit values, weighted by w / 2^VBL_PIXEL_BITS, rounded and clipped to 8 bits; |w| < 2^26 and 255 sum |w| < 2^31 - 2^21, so
  // that they are exact. weigh_rows: out[i] of rows[k stride + i], k < taps, i < bytes. weigh_columns: of in (rows, count, 3), whose
  // pixels are numbered from `first` on, out (rows, columns, 3), whose pixel x is the sum of pixels start[x] .. + length[x], by w[x taps] .. .
  void (*weigh_rows)(const uint8_t *rows, size_t stride, const int32_t *w, int taps, size_t bytes, uint8_t *out);
  void (*weigh_columns)(const uint8_t *in, int first, int count, int rows, const int *start, const int *length, const int32_t *w,
                        int taps, int columns, uint8_t *out);
  // out[i] = sum over k of w[k] row[k][i], from 0 and in the order of k, i < n. out is none of the rows.
  void (*weigh)(const float *const *row, const float *w, int taps, int n, float *out);
} vbl_loops;

const vbl_loops *vbl_cpu_loops(void);  // of the build of vbl_cpu_backend()
