// Batches of f64 matrices for measures (kernels/measure.h): what iterations on many matrices at once are made of.
// defines: vbl_cuda_batch_{products,dots,scale,quintic}, vbl_cuda_widen
#include "kernels/cuda/measure.h"
#include "kernels/cuda/product.h"

using namespace vbl_cuda;

void vbl_cuda_batch_products(bool outer, int64_t M, int64_t N, int64_t K, const double *A, const double *B, bool accumulate,
                             double *C, int64_t count, vbl_stream s) {
  if (M * N * K * count == 0) return;
  const char *failure = vbl_product::run(vbl_product::batch{outer, accumulate, M, N, K, count, A, B, C}, queue(s));
  if (failure != vbl_lt::REFUSED) {
    if (failure != nullptr) note_failure(VBL_EDEVICE, failure);
    return;
  }
  for (int64_t q = 0; q < count; q++) {
    const vbl_features a = {A + q * M * K, nullptr, nullptr, outer ? K : M, true},
                       b = {B + q * N * K, nullptr, nullptr, outer ? K : N, true};
    vbl_cuda_product(outer, M, N, K, &a, &b, accumulate, C + q * M * N, N, s);
  }
}

// A block a row.
static __global__ void widen_kernel(vbl_features f, int64_t first, int64_t rows, int64_t columns, int64_t width, double *y) {
  for (int64_t i = blockIdx.x; i < rows; i += gridDim.x) {
    const int64_t row = f.order != nullptr ? (int64_t)f.order[first + i] : first + i;
    for (int64_t j = threadIdx.x; j < width; j += THREADS) {
      double v = 0;
      if (j < columns) v = f.wide ? ((const double *)f.x)[row * f.ld + j] : (double)((const float *)f.x)[row * f.ld + j];
      if (j < columns && f.mean != nullptr) v -= f.mean[j];
      y[i * width + j] = v;
    }
  }
}

void vbl_cuda_widen(const vbl_features *f, int64_t first, int64_t rows, int64_t columns, int64_t width, double *y, vbl_stream s) {
  if (rows * width == 0) return;
  VBL_LAUNCH(widen_kernel, blocks_for(rows, 1), THREADS, s, *f, first, rows, columns, width, y);
}

// A block one part of one matrix.
static __global__ void dots_kernel(const double *a, const double *b, int64_t elements, int64_t count, double *sums) {
  for (int64_t q = blockIdx.x; q < count * VBL_SUM_PARTS; q += gridDim.x) {
    const int64_t part = q % VBL_SUM_PARTS, from = q / VBL_SUM_PARTS * elements, end = from + elements * (part + 1) / VBL_SUM_PARTS;
    double sum = 0;
    for (int64_t e = from + elements * part / VBL_SUM_PARTS + threadIdx.x; e < end; e += THREADS) sum += a[e] * b[e];
    sum = group_sum<THREADS>(sum);
    if (threadIdx.x == 0) sums[q] = sum;
  }
}

void vbl_cuda_batch_dots(const double *a, const double *b, int64_t elements, int64_t count, double *sums, vbl_stream s) {
  if (count == 0) return;
  VBL_LAUNCH(dots_kernel, blocks_for(count * VBL_SUM_PARTS, 1), THREADS, s, a, b, elements, count, sums);
}

// The same blocks.
static __global__ void scale_kernel(const double *x, const double *by, int64_t elements, int64_t count, double *y) {
  for (int64_t q = blockIdx.x; q < count * VBL_SUM_PARTS; q += gridDim.x) {
    const int64_t part = q % VBL_SUM_PARTS, from = q / VBL_SUM_PARTS * elements, end = from + elements * (part + 1) / VBL_SUM_PARTS;
    const double factor = by[q / VBL_SUM_PARTS];
    for (int64_t e = from + elements * part / VBL_SUM_PARTS + threadIdx.x; e < end; e += THREADS) y[e] = factor * x[e];
  }
}

void vbl_cuda_batch_scale(const double *x, const double *by, int64_t elements, int64_t count, double *y, vbl_stream s) {
  if (elements * count == 0) return;
  VBL_LAUNCH(scale_kernel, blocks_for(count * VBL_SUM_PARTS, 1), THREADS, s, x, by, elements, count, y);
}

// A block a row.
static __global__ void quintic_kernel(const double *G, double a, double b, double c, const double *size, int64_t n, int64_t count,
                                      double *Q) {
  for (int64_t row = blockIdx.x; row < n * count; row += gridDim.x) {
    const double z = size != nullptr ? size[row / n] : 1, z3 = z * z * z;
    const double first = a / z, second = b / z3, third = c / (z3 * z * z);
    for (int64_t j = threadIdx.x; j < n; j += THREADS) {
      const double sum = second * G[row * n + j] + third * Q[row * n + j];
      Q[row * n + j] = j == row % n ? first + sum : sum;
    }
  }
}

void vbl_cuda_batch_quintic(const double *G, const double p[3], const double *size, int64_t n, int64_t count, double *Q,
                            vbl_stream s) {
  if (n * count == 0) return;
  VBL_LAUNCH(quintic_kernel, blocks_for(n * count, 1), THREADS, s, G, p[0], p[1], p[2], size, n, count, Q);
}
