// The emulation's stand-in for cuBLASLt: products by the CPU backend. Three algorithms are offered, of which the second is "fastest"; what is
// asked of the library is counted, and a capture can be played, for the tests of the choice.
// defines: vbl_lt::{open, candidates, accepts, seconds, offers, run, capturing, identity}, vbl_emu_products
#include "kernels/emu/product.h"

#include <stdlib.h>
#include <string.h>

#include <vector>

extern "C" {
#include "kernels/kernels.h"
}
#include "kernels/cuda/numbers.h"
#include "kernels/cuda/product.h"
#include "kernels/emu/memory.h"

using namespace vbl_product;
using vbl_cuda::bf16, vbl_cuda::load, vbl_cuda::store;

vbl_emu_product_counts vbl_emu_products;

namespace vbl_lt {

const char *const REFUSED = "refused";

bool open(void) { return true; }

int candidates(const shape &, algorithm *out) {
  for (uint64_t i = 0; i < 3; i++) out[i] = {{i, 0, 0, 0, 0, 0, 0, 7}};
  vbl_emu_products.asked++;
  return vbl_emu_products.offers_none ? 0 : 3;
}

bool accepts(const shape &, const algorithm &a) { return a.words[0] < 3 && a.words[7] == 7; }

double seconds(const shape &s, const operands &o, const algorithm &a, void *stream) {
  static const double times[] = {3e-3, 1e-3, 2e-3};
  vbl_emu_products.timed++;
  return run(s, o, a, stream) == nullptr ? times[a.words[0]] : -1;
}

// A matrix of f32 as it is, or a copy rounded to TF32: 10 bits behind the point, to nearest, ties away from 0.
struct operand {
  operand(const void *x, int64_t ld, int64_t rows, int64_t columns, bool rounded) : data((const float *)x) {
    if (!rounded) return;
    copy.resize((size_t)((rows - 1) * ld + columns));
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++) copy[(size_t)(i * ld + j)] = tf32(data[i * ld + j]);
    data = copy.data();
  }
  static float tf32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits >> 23 & 255) != 255) bits = (bits + 0x1000u) & ~0x1fffu;
    memcpy(&x, &bits, sizeof bits);
    return x;
  }
  const float *data;
  std::vector<float> copy;
};

// C and the bias where the sums are taken: themselves, or f32 copies of what is bf16, which end as C.
struct result {
  result(const shape &s, const operands &o)
      : sums((float *)o.C), bias((const float *)o.bias), to((bf16 *)o.C), M(s.M), N(s.N), ldc(s.ldc) {
    if (s.result != BF16) return;
    c.resize((size_t)((M - 1) * ldc + N));
    for (int64_t i = 0; i < M && s.sum; i++)
      for (int64_t j = 0; j < N; j++) c[(size_t)(i * ldc + j)] = (float)load(to[i * ldc + j]);
    for (int64_t j = 0; j < N && s.bias; j++) b.push_back((float)load(((const bf16 *)o.bias)[j]));
    sums = c.data();
    if (s.bias) bias = b.data();
  }
  ~result() {
    for (int64_t i = 0; i < M && !c.empty(); i++)
      for (int64_t j = 0; j < N; j++) store(to + i * ldc + j, c[(size_t)(i * ldc + j)]);
  }
  float *sums;
  const float *bias;

 private:
  bf16 *to;
  int64_t M, N, ldc;
  std::vector<float> c, b;
};

static void multiply(const shape &s, const operands &o) {
  if (vbl_emu::idle()) return;
  vbl_emu::device_memory open;
  const vbl_backend *cpu = vbl_cpu_backend();
  if (s.operands == BF16) {
    const result c(s, o);
    cpu->gemm_bf16(s.ta, s.tb, s.M, s.N, s.K, VBL_BF16, o.A, s.lda, VBL_BF16, o.B, s.ldb, s.sum, c.sums, s.ldc, c.bias, nullptr,
                   nullptr);
    return;
  }
  const bool rounded = s.operands == TF32;
  const operand left(o.A, s.lda, s.ta ? s.K : s.M, s.ta ? s.M : s.K, rounded),
      right(o.B, s.ldb, s.tb ? s.N : s.K, s.tb ? s.K : s.N, rounded);
  cpu->gemm(s.ta, s.tb, s.M, s.N, s.K, o.alpha, left.data, s.lda, right.data, s.ldb, o.beta, o.C, s.ldc, nullptr);
}

const char *run(const shape &s, const operands &o, const algorithm &a, void *stream) {
  vbl_emu_products.last = (int)a.words[0];
  if (vbl_emu_products.refuses) return REFUSED;
  if (s.operands == BF16 && (o.alpha != 1 || (s.sum && o.beta != 1))) return "the emulation has no scaled products of bf16";
  if (s.operands != BF16 && s.bias) return "the emulation has no f32 product with a bias";
  vbl_emu::perform(stream, vbl_emu::PRODUCT, {{o.A, false}, {o.B, false}, {o.bias, false}, {o.C, true}},
                   [=](int, int64_t) { multiply(s, o); });
  return nullptr;
}

static void multiply(const batch &b) {
  if (vbl_emu::idle()) return;
  vbl_emu::device_memory open;
  for (int64_t q = 0; q < b.count; q++) {
    const double *A = b.A + q * b.M * b.K, *B = b.B + q * b.N * b.K;
    double *C = b.C + q * b.M * b.N;
    for (int64_t i = 0; i < b.M; i++)
      for (int64_t j = 0; j < b.N; j++) {
        double sum = b.accumulate ? C[i * b.N + j] : 0;
        for (int64_t k = 0; k < b.K; k++) sum += b.outer ? A[i * b.K + k] * B[j * b.K + k] : A[k * b.M + i] * B[k * b.N + j];
        C[i * b.N + j] = sum;
      }
  }
}

// Its record names the sizes, so that it is of use for no others.
static algorithm record_of(const batch &b) {
  return {{b.outer, (uint64_t)b.M, (uint64_t)b.N, (uint64_t)b.K, (uint64_t)b.count, 0, 0, 7}};
}

bool offers(const batch &b, algorithm *out) {
  vbl_emu_products.asked++;
  *out = record_of(b);
  return !vbl_emu_products.offers_none;
}

const char *run(const batch &b, const algorithm &a, void *stream) {
  const algorithm own = record_of(b);
  if (vbl_emu_products.refuses) return REFUSED;
  if (memcmp(a.words, own.words, sizeof own.words) != 0) return "the emulation was given another batch's algorithm";
  vbl_emu::perform(stream, vbl_emu::PRODUCT, {{b.A, false}, {b.B, false}, {b.C, true}}, [=](int, int64_t) { multiply(b); });
  return nullptr;
}

bool capturing(void *stream) { return vbl_emu_products.captured || vbl_emu::is_captured(stream); }

// Nothing is timed or kept unless a test names the folder.
const char *identity(void) { return getenv("VBL_CUDA_CACHE") != nullptr ? "emulated" : ""; }

}  // namespace vbl_lt
