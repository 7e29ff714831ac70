// The CUDA backend's kernels for measures, one per entry of vbl_measure_kernels with its contract (kernels/measure.h).
// defines: vbl_cuda_measure_kernels and the functions that it holds
#pragma once
#include "kernels/cuda/backend.h"

extern "C" {
#include "kernels/measure.h"
}

void vbl_cuda_row_sums(const void *x, const double *from, const double *w, int64_t n, int64_t d, int64_t P, bool accumulate,
                       double *sums, vbl_stream s);
void vbl_cuda_row_facts(const void *x, const double *mean, int64_t n, int64_t d, vbl_row_facts *facts, vbl_stream s);
void vbl_cuda_near_rows(const void *x, const double *by, const double *about, int64_t n, int64_t d, bool tf32, void *y, int64_t ld,
                        vbl_near_row *rows, vbl_stream s);
void vbl_cuda_product(bool outer, int64_t M, int64_t N, int64_t K, const vbl_features *A, const vbl_features *B, bool accumulate,
                      double *C, int64_t ldc, vbl_stream s);
void vbl_cuda_pair_sums(const double *t, int64_t count, int64_t elements, double weight, double *sums, vbl_stream s);
void vbl_cuda_nearest_block(const vbl_nearest *search, const void *v, int64_t ld, int64_t i, int64_t rows, int64_t j,
                            int64_t columns, bool transposed, vbl_stream s);
void vbl_cuda_nearest_sift(const vbl_nearest *search, vbl_stream s);
void vbl_cuda_nearest_refine(const vbl_nearest *search, int metric, const void *x, const double *norm, int64_t d, double by,
                             vbl_stream s);
void vbl_cuda_nearest_keys(const vbl_nearest *search, int64_t most, int metric, const void *x, const double *norm, int64_t d,
                           vbl_near *near, double *exact, vbl_stream s);
void vbl_cuda_list_keys(const int32_t *index, int64_t n, int64_t k, int metric, const void *x, const double *norm, int64_t d,
                        double *keys, vbl_stream s);
void vbl_cuda_best_cosines(const vbl_token_rows *a, const vbl_token_rows *b, const int32_t *sample, int64_t count, int64_t d,
                           double *best_a, double *best_b, vbl_stream s);
bool vbl_cuda_doubles_pay(void);
void vbl_cuda_batch_products(bool outer, int64_t M, int64_t N, int64_t K, const double *A, const double *B, bool accumulate,
                             double *C, int64_t count, vbl_stream s);
void vbl_cuda_widen(const vbl_features *f, int64_t first, int64_t rows, int64_t columns, int64_t width, double *y, vbl_stream s);
void vbl_cuda_batch_dots(const double *a, const double *b, int64_t elements, int64_t count, double *sums, vbl_stream s);
void vbl_cuda_batch_scale(const double *x, const double *by, int64_t elements, int64_t count, double *y, vbl_stream s);
void vbl_cuda_batch_quintic(const double *G, const double p[3], const double *size, int64_t n, int64_t count, double *Q,
                            vbl_stream s);

extern const vbl_measure_kernels vbl_cuda_measure_kernels;
