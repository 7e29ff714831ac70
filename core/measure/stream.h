// Linear CKA in one pass over rows that never lie in memory together: exact, not an average over batches. The rows of several
// matrices (parts: X and Y, or all layers) come in batches; what is kept is sums about a provisional mean (the first batch's), in
// f64: n, sum z, sum z z' of the parts side by side, and, for each part p, sum |z_p|^2, sum |z_p|^2 |z_q|^2 and sum |z_p|^2 z. From
// these |Xc'Yc|_F^2 and sum_i |xc_i|^2 |yc_i|^2 follow, hence HSIC0 and HSIC1 (hsic.c). States of disjoint rows add up: merge.
// Memory: 8 D^2 bytes, D the sum of the widths; a row costs D^2 multiplications.
// defines: vbl_cka_stream, vbl_rows, vbl_cka_stream_{new,free,numbers,check,add,add_device,settle,merge,value}, vbl_stream_device_free
#pragma once
#include "core/measure/measure.h"

typedef struct vbl_cka_stream {
  int64_t parts, width;  // width: D
  int64_t *start;        // (parts + 1) first column of each part
  int64_t n;
  // One block of vbl_cka_stream_numbers() doubles from `shift` on, so that a state is saved and loaded as one array.
  double *shift;                     // (D) the provisional mean that all sums are about
  double *sum;                       // (D)
  double *products;                  // (D, D), of which the upper triangle counts
  double *norms;                     // (parts) sum |z_p|^2
  double *squares;                   // (parts, parts) sum |z_p|^2 |z_q|^2
  double *weighted;                  // (parts, D) sum |z_p|^2 z
  struct vbl_stream_device *device;  // products of batches that came on a device; NULL where none did (device_stream.c)
} vbl_cka_stream;

typedef struct vbl_rows {
  const void *data;
  vbl_dtype dtype;  // VBL_F32, VBL_F64 or VBL_BF16
  int64_t n, d, row_stride, column_stride;
} vbl_rows;

vbl_status vbl_cka_stream_new(int64_t parts, const int64_t *widths, vbl_cka_stream **out, vbl_error *err);
void vbl_cka_stream_free(vbl_cka_stream *s);  // NULL is allowed
int64_t vbl_cka_stream_numbers(const vbl_cka_stream *s);
// One batch: rows[p] of part p, all of the same n. NaN or Inf: an error that names part, row and column, and s is left as it was.
vbl_status vbl_cka_stream_add(vbl_cka_stream *s, const vbl_rows *rows, vbl_error *err);
// The same for rows[p] f32 (n, d of part p), contiguous, all on one device, and of finite numbers.
vbl_status vbl_cka_stream_add_device(vbl_cka_stream *s, vbl_tensor *const *rows, vbl_error *err);
// Brings what a device has summed into the block. value and merge do so themselves.
vbl_status vbl_cka_stream_settle(vbl_cka_stream *s, vbl_error *err);
void vbl_stream_device_free(struct vbl_stream_device *device);  // NULL is allowed
// Whether (n, d) is a batch of part p whose other parts have `rows` rows.
vbl_status vbl_cka_stream_check(const vbl_cka_stream *s, int64_t p, int64_t n, int64_t d, int64_t rows, vbl_error *err);
// s takes in the rows that `other` has seen; both were made with the same widths.
vbl_status vbl_cka_stream_merge(vbl_cka_stream *s, vbl_cka_stream *other, vbl_error *err);
// CKA of every pair of parts into value and status (parts, parts). Errors: fewer than 4 rows (2 if biased).
vbl_status vbl_cka_stream_value(vbl_cka_stream *s, bool biased, double *value, vbl_measure_status *status, vbl_error *err);
