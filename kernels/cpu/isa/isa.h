// What every file that is compiled once per instruction set shares: mangled names, the list of kernels, and how loops are
// split over threads. VBL_ISA is baseline, avx2 or avx512 (a -D of the build).
// defines: VBL_K, VBL_KERNELS, VBL_GRAIN, VBL_LANES, VBL_MAX_CHUNKS, vbl_cpu_chunks, vbl_chunk_start, vbl_min64
#pragma once
#include "kernels/cpu/cpu.h"

#define VBL_PASTE_(a, b) a##_##b
#define VBL_PASTE(a, b)  VBL_PASTE_(a, b)
#define VBL_K(name)      VBL_PASTE(vbl_cpu_##name, VBL_ISA)

// clang-format off
#define VBL_KERNELS(X)                                                                                                  \
  X(copy) X(fill) X(unary) X(unary_backward) X(binary) X(scale_add) X(reduce) X(gemm) X(gemm_bf16) X(bias_add) X(bias_gelu) \
  X(gelu_backward_bias) X(column_sum) X(layer_norm) X(residual_norm) X(layer_norm_backward) X(dropout_add) X(attention) \
  X(attention_backward) X(gather_rows) X(scatter_add_rows) X(text_embedding) X(patchify) X(vit_assemble) X(softmax)     \
  X(softmax_backward) X(cross_entropy) X(cross_entropy_backward) X(normalize_rows) X(normalize_rows_backward) X(adamw)  \
  X(sgd) X(sum_squares) X(count_nonfinite)
// clang-format on

#define VBL_DECLARE_KERNEL(name) __typeof__(*((vbl_backend *)0)->name) VBL_K(name);
VBL_KERNELS(VBL_DECLARE_KERNEL)
#undef VBL_DECLARE_KERNEL

// Of loops.h.
bool VBL_K(log_determinants)(int64_t n, const double *band, const double *scale, const double *shift, double *out);
void VBL_K(panel_products)(const float *left, const float *right, int64_t count, int64_t d, float *out, int64_t ld);
void VBL_K(weigh_rows)(const uint8_t *rows, size_t stride, const int32_t *w, int taps, size_t bytes, uint8_t *out);
void VBL_K(weigh_columns)(const uint8_t *in, int first, int count, int rows, const int *start, const int *length, const int32_t *w,
                          int taps, int columns, uint8_t *out);
void VBL_K(weigh)(const float *const *row, const float *w, int taps, int n, float *out);

// Work of fewer elements than this stays on the calling thread: waking the others costs more.
enum { VBL_GRAIN = 16384 };

// Floats in a vector register of this build.
#if defined(__AVX512F__)
enum { VBL_LANES = 16 };
#elif defined(__AVX2__)
enum { VBL_LANES = 8 };
#else
enum { VBL_LANES = 4 };
#endif

static inline int64_t vbl_min64(int64_t a, int64_t b) { return a < b ? a : b; }

// Sums over rows are taken in chunks of rows whose number depends on N alone; the chunks' partial sums are then added in
// order. So the result is the same for every number of threads, and rounding errors grow with N / 64 + 64 and not with N.
enum { VBL_MAX_CHUNKS = 64 };
static inline int64_t vbl_cpu_chunks(int64_t N) { return N < 32 ? 1 : vbl_min64((N + 31) / 32, VBL_MAX_CHUNKS); }
static inline int64_t vbl_chunk_start(int64_t N, int64_t chunks, int64_t i) { return N * i / chunks; }
