// Transposes of small matrices, four rows and columns at a time.
// defines: vbl_transpose4, vbl_transpose
#pragma once
#include "kernels/cpu/isa/isa.h"

typedef float vbl_vec4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t vbl_index4 __attribute__((vector_size(16)));

// y [4, ldy] = factor x', x [4, ldx] of width 4
static inline void vbl_transpose4(const float *x, int64_t ldx, float factor, float *y, int64_t ldy) {
  const vbl_vec4 a = *(const vbl_vec4 *)x, b = *(const vbl_vec4 *)(x + ldx);
  const vbl_vec4 c = *(const vbl_vec4 *)(x + 2 * ldx), d = *(const vbl_vec4 *)(x + 3 * ldx);
  const vbl_index4 low = {0, 4, 1, 5}, high = {2, 6, 3, 7}, first = {0, 1, 4, 5}, second = {2, 3, 6, 7};
  const vbl_vec4 ab0 = __builtin_shuffle(a, b, low), ab1 = __builtin_shuffle(a, b, high);
  const vbl_vec4 cd0 = __builtin_shuffle(c, d, low), cd1 = __builtin_shuffle(c, d, high);
  *(vbl_vec4 *)y = factor * __builtin_shuffle(ab0, cd0, first);
  *(vbl_vec4 *)(y + ldy) = factor * __builtin_shuffle(ab0, cd0, second);
  *(vbl_vec4 *)(y + 2 * ldy) = factor * __builtin_shuffle(ab1, cd1, first);
  *(vbl_vec4 *)(y + 3 * ldy) = factor * __builtin_shuffle(ab1, cd1, second);
}

// y [columns, ldy] = factor x', x [rows, ldx] of width `columns`; y's columns rows .. width become zeros.
static inline void vbl_transpose(const float *x, int64_t ldx, int64_t rows, int64_t columns, float factor, float *y, int64_t ldy,
                                 int64_t width) {
  const int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
  for (int64_t i = 0; i < whole_rows; i += 4) {
    for (int64_t j = 0; j < whole_columns; j += 4) vbl_transpose4(x + i * ldx + j, ldx, factor, y + j * ldy + i, ldy);
  }
  for (int64_t j = 0; j < columns; j++) {
    for (int64_t i = j < whole_columns ? whole_rows : 0; i < width; i++) y[j * ldy + i] = i < rows ? factor * x[i * ldx + j] : 0.0f;
  }
}
