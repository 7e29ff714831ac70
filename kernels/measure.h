// What measures ask of a device: its own kernels for features that stay there. Part of the backend's table (kernels.h), with its
// conventions: row-major, sizes may be 0, `s` the stream. The CPU has none of these: core/measure fuses them with its own loops.
// Features are f32; what is summed is summed in f64, and a product of two f32 numbers is exact in f64. Sums are in an order that
// depends on sizes alone, and the same for every row: equal rows have equal bits.
// defines: vbl_measure_kernels, vbl_row_facts, vbl_near, vbl_near_row, vbl_nearest, vbl_features, vbl_token_rows, VBL_SUM_PARTS
#pragma once
#include "kernels/kernels.h"

enum { VBL_SUM_PARTS = 32 };  // that a device leaves a sum in; who asked for it adds them in their order

// Of one row x about m: |x|^2, |x - m|^2, and two hashes of its numbers (0 and -0 are alike): rows of equal hashes are taken as equal.
typedef struct vbl_row_facts {
  double norm2, centred2;
  uint64_t hash[2];
} vbl_row_facts;

typedef struct vbl_near {
  float key;  // larger is nearer
  int32_t index;
} vbl_near;

// Of a row c = by x - about whose products decide what is near: |c|^2, |r - c|^2 for its rounded copy r, and <by x, about>.
typedef struct vbl_near_row {
  double length2, moved2, along;
} vbl_near_row;

// The search for each row's k nearest: piles of what can be among them. A row's floor is the k-th best key that its pile has seen less
// its window; keys below are dropped. All pointers are the device's.
typedef struct vbl_nearest {
  int64_t n, k, room;  // 1 <= k <= n - 1, k + 64 <= room
  float times;         // row a's key of row b: times <a, b> + plus[b]
  const float *plus;   // (n)
  const float *window;
  float *floor;    // (n), -inf at first
  int32_t *count;  // (n), 0 at first; room + 1 once more rows than that were within the window
  vbl_near *at;    // (n, room)
} vbl_nearest;

// An operand of products: rows of features less their mean, or f64.
typedef struct vbl_features {
  const void *x;         // f32, or f64 where `wide`
  const double *mean;    // (columns); NULL: 0
  const int32_t *order;  // x's row order[i] is row i; NULL: i
  int64_t ld;
  bool wide;
} vbl_features;

// Tokens of samples, (.., tokens, d) f32, and their lengths (.., tokens): 0 for a token that is left out.
typedef struct vbl_token_rows {
  const void *x;
  const double *norm;
  int64_t tokens;
} vbl_token_rows;

typedef struct vbl_measure_kernels {
  int64_t block;  // rows and columns of a block of similarities, and
  int64_t tile;   // of kernels, that fill the device
  int64_t batch;  // bytes of a batch of matrices that fill it
  // sums (P, d) (+)= sum over i of w[i, p] (x[i, j] - from[j]); x f32 (n, d), from (d), w (n, P); w NULL: ones, P = 1. Where nothing
  // is accumulated, sums may be from.
  void (*row_sums)(const void *x, const double *from, const double *w, int64_t n, int64_t d, int64_t P, bool accumulate,
                   double *sums, vbl_stream s);
  // facts (n) of the rows of x f32 (n, d) about mean (d)
  void (*row_facts)(const void *x, const double *mean, int64_t n, int64_t d, vbl_row_facts *facts, vbl_stream s);
  // y f32 (n, ld) = by[i] x - about, computed in f64, zeros from column d on; tf32: to 10 bits behind the point, which products in TF32
  // leave as they are. by (n), about (d), rows (n).
  void (*near_rows)(const void *x, const double *by, const double *about, int64_t n, int64_t d, bool tf32, void *y, int64_t ld,
                    vbl_near_row *rows, vbl_stream s);
  // C f64 (M, N) (+)= A'B for A (K, M), B (K, N), or A B' for A (M, K), B (N, K) where `outer`.
  void (*product)(bool outer, int64_t M, int64_t N, int64_t K, const vbl_features *A, const vbl_features *B, bool accumulate,
                  double *C, int64_t ldc, vbl_stream s);
  // sums (count, count, VBL_SUM_PARTS) += weight <t_a, t_b> for a <= b; t (count, elements) f64. The others are left alone.
  void (*pair_sums)(const double *t, int64_t count, int64_t elements, double weight, double *sums, vbl_stream s);
  // The keys of rows i .. i + rows against rows j .. j + columns from their products v (rows, ld), to the piles of the former; to those
  // of the latter where `transposed`. A row does not meet itself.
  void (*nearest_block)(const vbl_nearest *search, const void *v, int64_t ld, int64_t i, int64_t rows, int64_t j, int64_t columns,
                        bool transposed, vbl_stream s);
  // Drops what lies below the floor of all.
  void (*nearest_sift)(const vbl_nearest *search, vbl_stream s);
  // The keys in the piles become those of nearest_keys, times `by`, in f32.
  void (*nearest_refine)(const vbl_nearest *search, int metric, const void *x, const double *norm, int64_t d, double by,
                         vbl_stream s);
  // near, exact (n, most): the candidates of each row, of which none has more than `most`, and their keys in f64 from x f32 (n, d): cosine <a, b> /
  // (norm_a norm_b), inner product, or -|a - b|^2 (metric 0, 1, 2: vbl_knn_metric). Places past a row's count are not written.
  void (*nearest_keys)(const vbl_nearest *search, int64_t most, int metric, const void *x, const double *norm, int64_t d,
                       vbl_near *near, double *exact, vbl_stream s);
  // keys (n, k) f64, as nearest_keys', of the rows index (n, k) of each row.
  void (*list_keys)(const int32_t *index, int64_t n, int64_t k, int metric, const void *x, const double *norm, int64_t d,
                    double *keys, vbl_stream s);
  // best_a (count, tokens of a): the largest cosine of each token of a's sample sample[2 q] with any of b's sample sample[2 q + 1]; best_b
  // (count, tokens of b) the other way round; f64. -inf where nothing is left.
  void (*best_cosines)(const vbl_token_rows *a, const vbl_token_rows *b, const int32_t *sample, int64_t count, int64_t d,
                       double *best_a, double *best_b, vbl_stream s);
  // Batches of f64 matrices, one after another without gaps, for which the rest asks only where `doubles_pay`: the device multiplies them
  // at a quarter of its f32 rate or more.
  bool (*doubles_pay)(void);
  // C_q (M, N) (+)= A_q'B_q for A_q (K, M), B_q (K, N), or A_q B_q' for A_q (M, K), B_q (N, K) where `outer`; q < count.
  void (*batch_products)(bool outer, int64_t M, int64_t N, int64_t K, const double *A, const double *B, bool accumulate, double *C,
                         int64_t count, vbl_stream s);
  // y f64 (rows, width) = the first `columns` columns of f's rows first .. first + rows, zeros beyond; columns <= width
  void (*widen)(const vbl_features *f, int64_t first, int64_t rows, int64_t columns, int64_t width, double *y, vbl_stream s);
  // sums (count, VBL_SUM_PARTS): <a_q, b_q>; a, b (count, elements)
  void (*batch_dots)(const double *a, const double *b, int64_t elements, int64_t count, double *sums, vbl_stream s);
  // y_q = by[q] x_q; x, y (count, elements)
  void (*batch_scale)(const double *x, const double *by, int64_t elements, int64_t count, double *y, vbl_stream s);
  // Q_q = p[0] / z I + p[1] / z^3 G_q + p[2] / z^5 Q_q with z = size[q] (NULL: 1); G, Q (count, n, n)
  void (*batch_quintic)(const double *G, const double p[3], const double *size, int64_t n, int64_t count, double *Q, vbl_stream s);
} vbl_measure_kernels;
