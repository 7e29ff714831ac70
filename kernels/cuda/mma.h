// The tensor cores' instructions as device functions: PTX under nvcc (sm_80 and up), and what the PTX ISA says of them, lane by lane, in the
// emulation. All 32 lanes of a warp call them together. With g = lane / 4 and t = lane % 4, a warp's matrices lie so (PTX ISA 9.7.14.5.8,
// m16n8k16; a register holds two bf16 of one row, the left one in its lower half):
//   A 16 x 16: a[0] row g, columns 2t and 2t + 1; a[1] row g + 8; a[2], a[3] the same rows, columns 8 further right
//   B 16 x 8:  b[0] rows 2t and 2t + 1 of column g; b[1] 8 rows further down
//   C 16 x 8:  c[0], c[1] row g, columns 2t and 2t + 1; c[2], c[3] row g + 8
// defines: vbl_cuda::{mma, ldmatrix, ldmatrix_transposed}
#pragma once
#include "kernels/cuda/numbers.h"

#ifdef __CUDACC__
namespace vbl_cuda {

// C += A B, products exact, sums in f32 (in the hardware's order).
static __device__ inline void mma(float *c, const uint32_t *a, const uint32_t *b) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8 x 8 matrices from shared memory (a chunk is a row of one): lane l brings the address of row l % 8 of matrix l / 8. Register i gets of matrix i the columns
// 2t and 2t + 1 of row g; transposed: the rows 2t and 2t + 1 of column g.
static __device__ inline void ldmatrix(uint32_t *r, const chunk *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"((uint32_t)__cvta_generic_to_shared(row))
               : "memory");
}
static __device__ inline void ldmatrix_transposed(uint32_t *r, const chunk *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"((uint32_t)__cvta_generic_to_shared(row))
               : "memory");
}

}  // namespace vbl_cuda

#else
namespace vbl_cuda {

// The left (0) or right (1) one of a register's two numbers.
static inline float half_of(uint32_t pair, int right) { return __uint_as_float(right ? pair & 0xffff0000u : pair << 16); }

// Each lane sees the registers of the lanes whose rows of A and columns of B it needs: A's in two meetings, 8 columns each, then B's.
static inline void mma(float *c, const uint32_t *a, const uint32_t *b, VBL_EMU_HERE) {
  const vbl_emu::place here = {"mma", file, line};
  const int g = vbl_emu::current->lane / 4, t = vbl_emu::current->lane % 4;
  float A[2][16], B[16][2];  // rows g and g + 8 of A, columns 2t and 2t + 1 of B
  for (int right = 0; right < 2; right++) {
    const uint64_t *all = vbl_emu::meet(here, ~0u, (uint64_t)a[2 * right + 1] << 32 | a[2 * right], false);
    for (int k = 0; k < 8; k++)
      for (int r = 0; r < 2; r++) A[r][8 * right + k] = half_of((uint32_t)(all[4 * g + k / 2] >> 32 * r), k % 2);
  }
  const uint64_t *all = vbl_emu::meet(here, ~0u, (uint64_t)b[1] << 32 | b[0], false);
  for (int k = 0; k < 16; k++)
    for (int n = 0; n < 2; n++) B[k][n] = half_of((uint32_t)(all[4 * (2 * t + n) + k % 8 / 2] >> k / 8 * 32), k % 2);
  for (int r = 0; r < 2; r++)
    for (int n = 0; n < 2; n++)
      for (int k = 0; k < 16; k++) c[2 * r + n] += A[r][k] * B[k][n];
}

// The rows' addresses of all lanes, as a meeting of the warp; it orders no memory.
static inline const uint64_t *rows_of(const vbl_emu::place &here, const chunk *row) {
  if ((uintptr_t)row % 16 != 0) vbl_emu::fail(here, "is given a row that is not 16-byte aligned");
  return vbl_emu::meet(here, ~0u, (uintptr_t)row, false);
}
static inline void ldmatrix(uint32_t *r, const chunk *row, VBL_EMU_HERE) {
  const uint64_t *rows = rows_of({"ldmatrix", file, line}, row);
  const int g = vbl_emu::current->lane / 4, t = vbl_emu::current->lane % 4;
  for (int i = 0; i < 4; i++) r[i] = ((const chunk *)rows[8 * i + g])->pair[t];
}
static inline void ldmatrix_transposed(uint32_t *r, const chunk *row, VBL_EMU_HERE) {
  const uint64_t *rows = rows_of({"ldmatrix.trans", file, line}, row);
  const int g = vbl_emu::current->lane / 4, t = vbl_emu::current->lane % 4;
  for (int i = 0; i < 4; i++) {
    const uint32_t upper = ((const chunk *)rows[8 * i + 2 * t])->pair[g / 2] >> g % 2 * 16;
    const uint32_t lower = ((const chunk *)rows[8 * i + 2 * t + 1])->pair[g / 2] >> g % 2 * 16;
    r[i] = (upper & 0xffffu) | lower << 16;
  }
}

}  // namespace vbl_cuda
#endif
