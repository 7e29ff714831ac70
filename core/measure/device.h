// Features that stay on a device: what core/measure asks of its kernels (kernels/measure.h). Only lengths, hashes, lists, products of
// the widths' size and scalars come to the host. Devices are asked by the interpreter's thread alone, never inside a parallel loop.
// Inside core/measure only, but for vbl_prepare_device.
// defines: vbl_device_rows, vbl_prepare_device, vbl_device_pair, vbl_device_{free,together,pull,squared,grams,cross,svd,svds,coordinates,nuclear_norms,cosines,candidates}
#pragma once
#include "core/measure/candidates.h"

struct vbl_backend;

typedef struct vbl_device_rows {
  const struct vbl_backend *b;
  vbl_tensor *rows;  // f32 (n, d), contiguous; a reference
  double *mean;      // (d), the device's, as are the next
  double *norm;      // (n)
  uint64_t *hash;    // (n, 2), the host's: equal for equal rows
  vbl_svd *svd;      // NULL until asked for; its u is NULL, the device's is
  double *u;         // (n, columns)
} vbl_device_rows;

// vbl_prepare for t (n, d) of f32 or bf16 on a device that has kernels for measures. The tensor is kept, not copied, where it is f32
// without gaps: it must not change while the prepared matrix lives.
vbl_status vbl_prepare_device(const vbl_tensor *t, const char *name, vbl_prepared **out, vbl_error *err);
void vbl_device_free(vbl_device_rows *rows);  // NULL is allowed

// Whether both lie on a device.
bool vbl_device_pair(const vbl_prepared *x, const vbl_prepared *y);
// Pulls the one that lies on a device where the other does not.
vbl_status vbl_device_together(vbl_prepared *x, vbl_prepared *y, vbl_error *err);
// Copies the rows to the host (p->single), for what is measured there; nothing where they are there already.
vbl_status vbl_device_pull(vbl_prepared *p, vbl_error *err);

// |Xc'Yc|_F^2 of a pair through C (dx, dy), or (n, n) where a width is not below n. Products and sums in f64: of terms x y the error
// is at most (K + 2) 2^-53 sum |x y|, K the number of terms.
vbl_status vbl_device_squared(const vbl_prepared *x, const vbl_prepared *y, double *out, vbl_error *err);
// vbl_gram_products of `count` matrices that all lie on a device.
vbl_status vbl_device_grams(vbl_prepared *const *matrices, int64_t count, double *out, vbl_error *err);
// c (dx, dy) = Xc'Yc with X's row i beside Y's row order[i]; order NULL: i.
vbl_status vbl_device_cross(const vbl_prepared *x, const vbl_prepared *y, const int64_t *order, double *c, vbl_error *err);
// The left singular vectors with (s_i / s_1)^2 > 1e-6, as many as *out has columns; s has all d values, rank counts squares above rounding.
// *out is NULL where they are not to be had from Xc'Xc (n <= d); x->total > 0.
vbl_status vbl_device_svd(vbl_prepared *x, const vbl_svd **out, vbl_error *err);
// The same for all of a list that can have it, side by side on the cores.
vbl_status vbl_device_svds(vbl_prepared *const *matrices, int64_t count, vbl_error *err);
// c (mx, my) = Ux[:, :mx]' Uy[:, :my], of columns that are there.
vbl_status vbl_device_coordinates(const vbl_prepared *x, const vbl_prepared *y, int64_t mx, int64_t my, double *c, vbl_error *err);
// A pair whose product C is Xc'Yc (mx = my = 0), or Ux[:, :mx]' Uy[:, :my].
typedef struct vbl_device_pair_of {
  const vbl_prepared *x, *y;
  int64_t mx, my;
} vbl_device_pair_of;
// sums[i] = the sum of the singular values of the i-th pair's C, to VBL_NUCLEAR_EXACT, or NaN where the device cannot give it so: what it
// multiplies in f64 is slow, it has no memory for one pair, or many values are so small that an SVD has to tell them from 0.
vbl_status vbl_device_nuclear_norms(const vbl_device_pair_of *pairs, int64_t count, double *sums, vbl_error *err);
// keys (n, k): cosines of each row of p, none of them zero, with the rows of its list, which may be another matrix's of as many rows.
vbl_status vbl_device_cosines(const vbl_prepared *p, const vbl_knn *list, double *keys, vbl_error *err);
// vbl_candidates_find on the device, with exact keys. *found is false, and nothing is held, where the device cannot tell: rows far longer
// than the others, or more rows within a window than piles have room for.
vbl_status vbl_device_candidates(const vbl_prepared *p, vbl_knn_metric metric, int64_t k, vbl_candidates *out, bool *found,
                                 vbl_error *err);
