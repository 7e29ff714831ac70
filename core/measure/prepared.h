// A matrix made ready for measures: its f64 rows, centred copy, norms and counts, and, filled on first use and then shared by
// all measures, unit rows, SVD and neighbour lists.
// defines: vbl_prepared, vbl_svd, vbl_knn, vbl_prepare, vbl_check_matrix, vbl_count_duplicates, vbl_prepared_free, vbl_prepared_{rows,row,dots,element,unit,cross,self,svd,knn}
#pragma once
#include "core/base/status.h"
#include "core/tensor/tensor.h"

typedef enum vbl_knn_metric { VBL_KNN_COSINE, VBL_KNN_IP, VBL_KNN_EUCLIDEAN } vbl_knn_metric;

// The k nearest rows of each row, itself left out by index; ordered by key, then by index.
typedef struct vbl_knn {
  vbl_knn_metric metric;
  int64_t n, k;
  int32_t *index;    // (n, k)
  bool *tied;        // (n, k): the key equals that of the entry before
  int64_t tie_rows;  // rows whose k-th and (k+1)-th keys are equal
  // Fractional ties, in compressed rows: entries start[i] .. start[i + 1] of candidate and weight, candidates ascending. A row
  // strictly nearer than the k-th key weighs 1, the t rows at the k-th key (k - strict) / t each; a row's weights sum to k.
  int64_t *start;  // (n + 1)
  int32_t *candidate;
  double *weight;
  struct vbl_knn *next;
} vbl_knn;

// Thin SVD of the centred matrix, cut at its numerical rank: sigma >= sigma_1 max(n, d) eps.
typedef struct vbl_svd {
  int64_t rank, columns;  // columns = min(n, d) is u's row length
  double *u;              // (n, columns), the first `rank` columns count
  double *s;              // (columns), descending
} vbl_svd;

// Whether what a debiased HSIC takes from |Xc'Xc|_F^2 leaves fewer digits than a product in f32 has to give: one long row is enough, whose
// |x_i|^4 drops out. Known once `self` is. Products of such a matrix are in f64.
typedef enum vbl_cancels { VBL_CANCELS_UNKNOWN, VBL_CANCELS_NO, VBL_CANCELS_YES } vbl_cancels;

typedef struct vbl_prepared {
  int64_t n, d;
  float *single;          // (n, d) the data as they came, f32 or bf16 (which f32 holds); NULL for f64 data, and on a device
  double *raw;            // (n, d); for f32 data NULL until asked for, as is
  double *centred;        // (n, d); constant columns are exactly 0
  double *mean;           // (d)
  double *norm;           // (n), |x_i| of the raw rows
  double *centred_norm2;  // (n), |x_i - mean|^2
  double total;           // sum of centred_norm2: 0 means constant
  int64_t duplicates;     // rows equal to an earlier row,
  bool *repeat;           // (n) and which they are
  int64_t zero_rows, first_zero_row;
  double *unit;  // (n, d) raw rows / norm, zero rows stay 0;  NULL until asked for, as are the last two
  double self;   // |Xc'Xc|_F^2, NaN until asked for
  vbl_cancels cancels;
  vbl_svd *svd;
  vbl_knn *knn;
  struct vbl_device_rows
      *device;  // the data where they came on a device (device.h); `single` is then NULL until a measure pulls them
} vbl_prepared;

// data: (n, d) of dtype f32, f64 or bf16 with element strides. Errors: n or d < 1, NaN or Inf (first row and column, from 1).
// `name` ("X", "text of layer1") starts the messages.
vbl_status vbl_prepare(int64_t n, int64_t d, const void *data, vbl_dtype dtype, int64_t row_stride, int64_t column_stride,
                       const char *name, vbl_prepared **out, vbl_error *err);
void vbl_prepared_free(vbl_prepared *p);  // NULL is allowed
// What vbl_prepare asks of a shape and type, and its count of equal rows.
vbl_status vbl_check_matrix(int64_t n, int64_t d, vbl_dtype dtype, const char *name, vbl_error *err);
vbl_status vbl_count_duplicates(vbl_prepared *p, vbl_error *err);

// raw and centred, 16 n d bytes. Measures that can do without read rows one by one.
vbl_status vbl_prepared_rows(vbl_prepared *p, vbl_error *err);
// Row i in f64: where it lies, or converted into buffer (d).
const double *vbl_prepared_row(const vbl_prepared *p, int64_t i, double *buffer);
// out[q] = <a, row rows[q]>, q < count, each summed as vbl_dot does; a: (d).
void vbl_prepared_dots(const vbl_prepared *p, const double *a, const int32_t *rows, int64_t count, double *out);
static inline double vbl_prepared_element(const vbl_prepared *p, int64_t i, int64_t j) {
  return p->single != NULL ? (double)p->single[i * p->d + j] : p->raw[i * p->d + j];
}
vbl_status vbl_prepared_unit(vbl_prepared *p, vbl_error *err);
// |Xc'Yc|_F^2 of x and y of the same n through the (dx, dy) product, row tiles at a time. Where both came as f32 and there is much to
// multiply (n dx dy > 2e8), and neither is known to cancel, the centred rows are rounded to f32 and multiplied in f32 by tiles of 512
// rows, whose products are added in f64: relative error about 1e-8, below that of the data's own rounding.
vbl_status vbl_prepared_cross(const vbl_prepared *x, const vbl_prepared *y, double *out, vbl_error *err);
vbl_status vbl_prepared_self(vbl_prepared *p, vbl_error *err);
vbl_status vbl_prepared_svd(vbl_prepared *p, vbl_error *err);
// The list for (k, metric), made on first use; it belongs to p. 1 <= k <= n - 1; cosine needs rows that are not zero.
vbl_status vbl_prepared_knn(vbl_prepared *p, int64_t k, vbl_knn_metric metric, const vbl_knn **out, vbl_error *err);

// first[i]: the smallest index of a row equal to row i, i itself where none comes before it; (n).
vbl_status vbl_first_equal(const vbl_prepared *p, int64_t *first, vbl_error *err);

// sum a_i b_i over d elements in a fixed order, so that equal rows give equal bits wherever they lie.
double vbl_dot(const double *a, const double *b, int64_t d);
// sum (a_i - b_i)^2, in a fixed order.
double vbl_distance2(const double *a, const double *b, int64_t d);
// count doubles (> 0 bytes are taken even for 0), or VBL_ENOMEM naming what for.
vbl_status vbl_doubles(int64_t count, const char *what, double **out, vbl_error *err);
// The same from memory that freed scratch has left, for what a table takes and gives back pair after pair: the system clears what it
// gives, which takes as long as a pass of the work itself. vbl_scratch_free takes the same count; NULL is allowed.
vbl_status vbl_scratch(int64_t count, const char *what, double **out, vbl_error *err);
void vbl_scratch_free(int64_t count, double *p);
// One element of f32, f64 or bf16 data as double.
double vbl_element(const void *data, vbl_dtype dtype, int64_t i);
