// The emulation's stand-in for cuBLASLt: products by the CPU backend. Three algorithms are offered, of which the second is "fastest"; what is
// asked of the library is counted, and a capture can be played, for the tests of the choice.
// defines: vbl_lt::{open, candidates, accepts, seconds, run, capturing, identity}, vbl_emu_products
#include "kernels/emu/product.h"

#include <stdlib.h>

extern "C" {
#include "kernels/kernels.h"
}
#include "kernels/cuda/product.h"
#include "kernels/emu/memory.h"

using namespace vbl_product;

vbl_emu_product_counts vbl_emu_products;

namespace vbl_lt {

bool open(void) { return true; }

int candidates(const shape &, algorithm *out) {
  for (uint64_t i = 0; i < 3; i++) out[i] = {{i, 0, 0, 0, 0, 0, 0, 7}};
  vbl_emu_products.asked++;
  return 3;
}

bool accepts(const shape &, const algorithm &a) { return a.words[0] < 3 && a.words[7] == 7; }

double seconds(const shape &s, const operands &o, const algorithm &a, void *stream) {
  static const double times[] = {3e-3, 1e-3, 2e-3};
  vbl_emu_products.timed++;
  return run(s, o, a, stream) == nullptr ? times[a.words[0]] : -1;
}

const char *run(const shape &s, const operands &o, const algorithm &a, void *stream) {
  vbl_emu::device_memory open;
  const vbl_backend *cpu = vbl_cpu_backend();
  vbl_emu_products.last = (int)a.words[0];
  if (s.bf16) {
    if (o.alpha != 1 || (s.sum && o.beta != 1)) return "the emulation has no scaled products of bf16";
    cpu->gemm_bf16(s.ta, s.tb, s.M, s.N, s.K, VBL_BF16, o.A, s.lda, VBL_BF16, o.B, s.ldb, s.sum, o.C, s.ldc, o.bias, nullptr,
                   stream);
  } else {
    if (s.bias) return "the emulation has no f32 product with a bias";
    cpu->gemm(s.ta, s.tb, s.M, s.N, s.K, o.alpha, o.A, s.lda, o.B, s.ldb, o.beta, o.C, s.ldc, stream);
  }
  return nullptr;
}

bool capturing(void *) { return vbl_emu_products.captured; }

// Nothing is timed or kept unless a test names the folder.
const char *identity(void) { return getenv("VBL_CUDA_CACHE") != nullptr ? "emulated" : ""; }

}  // namespace vbl_lt
