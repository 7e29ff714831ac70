// The emulation's tensor-core instructions (kernels/cuda/mma.h) against the PTX ISA's text: fragments are filled and read element by element, by
// the formulas of its section "Matrix Fragments for mma.m16n8k16 with floating point type", and every entry of a matrix is another number, so
// that one in a wrong place is seen. Then roundings.
#include <math.h>
#include <stdio.h>

#include "kernels/cuda/mma.h"

using namespace vbl_cuda;

static int failures;

#define CHECK(condition, ...)                          \
  do {                                                 \
    if (condition) break;                              \
    failures++;                                        \
    fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);    \
    fprintf(stderr, __VA_ARGS__), fputc('\n', stderr); \
  } while (0)

// Numbers of bf16's eight bits, all different: integers to 256, then halves of them.
static float a_entry(int row, int col) { return (float)(row * 16 + col - 128); }
static float b_entry(int row, int col) { return (float)(row * 8 + col + 1) / 2; }

static uint32_t bits_of(float x) { return pack(x, 0) & 0xffffu; }

// Element i of a lane's fragment, as the manual counts them.
static void a_place(int lane, int i, int *row, int *col) {
  const int group = lane >> 2, thread_in_group = lane % 4;
  *row = (0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8;
  *col = i < 4 ? thread_in_group * 2 + (i & 1) : thread_in_group * 2 + (i & 1) + 8;
}
static void b_place(int lane, int i, int *row, int *col) {
  const int group = lane >> 2, thread_in_group = lane % 4;
  *row = i < 2 ? thread_in_group * 2 + (i & 1) : thread_in_group * 2 + (i & 1) + 8;
  *col = group;
}
static void c_place(int lane, int i, int *row, int *col) {
  const int group = lane >> 2, thread_in_group = lane % 4;
  *row = i < 2 ? group : group + 8;
  *col = thread_in_group * 2 + (i & 1);
}

static __global__ void multiply(float *out) {  // out [16, 8] = A B + 1000 row + column
  const int lane = (int)threadIdx.x;
  uint32_t a[4] = {0, 0, 0, 0}, b[2] = {0, 0};
  float c[4];
  int row, col;
  for (int i = 0; i < 8; i++) a_place(lane, i, &row, &col), a[i / 2] |= bits_of(a_entry(row, col)) << i % 2 * 16;
  for (int i = 0; i < 4; i++) b_place(lane, i, &row, &col), b[i / 2] |= bits_of(b_entry(row, col)) << i % 2 * 16;
  for (int i = 0; i < 4; i++) c_place(lane, i, &row, &col), c[i] = (float)(1000 * row + col);
  mma(c, a, b);
  for (int i = 0; i < 4; i++) c_place(lane, i, &row, &col), out[row * 8 + col] = c[i];
}

// Four 8 x 8 matrices, entry e of matrix i is 64 i + e, rows in any places. out [4, 32, 2]: what a lane gets of each.
template <bool TRANSPOSED>
static __global__ void load_matrices(float *out) {
  VBL_SHARED(chunk, tile, [64]);
  const int lane = (int)threadIdx.x, place = lane * 5 % 64;
  for (int i = 0; i < 4; i++) tile[place].pair[i] = pack((float)(lane * 8 + 2 * i), (float)(lane * 8 + 2 * i + 1));
  __syncthreads();
  uint32_t r[4];
  if (TRANSPOSED)
    ldmatrix_transposed(r, &tile[place]);
  else
    ldmatrix(r, &tile[place]);
  for (int i = 0; i < 4; i++)
    for (int right = 0; right < 2; right++) out[(i * 32 + lane) * 2 + right] = half_of(r[i], right);
}

static void check_product() {
  float out[16 * 8];
  VBL_LAUNCH(multiply, 1, 32, nullptr, out);
  for (int row = 0; row < 16; row++)
    for (int col = 0; col < 8; col++) {
      double sum = 1000 * row + col;
      for (int k = 0; k < 16; k++) sum += (double)a_entry(row, k) * b_entry(k, col);
      CHECK(out[row * 8 + col] == sum, "(%d, %d) is %g, not %g", row, col, out[row * 8 + col], sum);  // integers and halves: exact
    }
}

template <bool TRANSPOSED>
static void check_load() {
  float out[4 * 32 * 2];
  VBL_LAUNCH(load_matrices<TRANSPOSED>, 1, 32, nullptr, out);
  for (int i = 0; i < 4 * 32 * 2; i++) {
    const int lane = i / 2 % 32, matrix = i / 64, line = lane / 4, along = lane % 4 * 2 + i % 2;
    const int expected = 64 * matrix + (TRANSPOSED ? along * 8 + line : line * 8 + along);
    CHECK(out[i] == (float)expected, "%s: matrix %d, lane %d, half %d is %g, not %d", TRANSPOSED ? "transposed" : "as it lies",
          matrix, lane, i % 2, out[i], expected);
  }
}

static void check_pack() {
  CHECK(pack(1, -2) == 0xc0003f80u, "pack(1, -2) is %08x: the first number is the lower half", pack(1, -2));
  CHECK(pack(1 + 0x1p-8f, 1 + 0x1.8p-7f) == 0x3f823f80u, "halves do not go to even: %08x", pack(1 + 0x1p-8f, 1 + 0x1.8p-7f));
  CHECK(pack(1 + 0x1.02p-8f, -INFINITY) == 0xff803f81u, "above a half does not go up: %08x", pack(1 + 0x1.02p-8f, -INFINITY));
  CHECK(isnan(half_of(pack(NAN, 0), 0)), "NaN is lost");
}

int main() {
  check_product();
  check_load<false>();
  check_load<true>();
  check_pack();
  CHECK(cudaGetLastError() == cudaSuccess, "a launch failed");
  printf("tensor-core instructions in the emulation: %s\n", failures == 0 ? "ok" : "FAILED");
  return failures > 0;
}
