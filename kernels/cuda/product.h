// Matrix products by the algorithm that is fastest for their sizes. The first product of a kind is timed with each algorithm that the
// library offers, and what won is kept on disk by sizes (nearly), types, epilogue, device and version, so that a machine tunes once.
// defines: vbl_product::{shape, operands, algorithm, batch, run, plain, cache_file}; vbl_lt::{open, candidates, accepts, seconds, offers, run, capturing, identity}
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace vbl_product {

enum precision { F32, BF16, TF32 };  // TF32: f32 in memory, rounded by the library as it multiplies

// Row-major C[M,N] = alpha op(A) op(B) + beta C, then + bias [N] where there is one. Sums are f32; C and bias too, or bf16.
struct shape {
  bool ta, tb;
  precision operands, result;
  bool sum /* beta is not 0 */, bias;
  int64_t M, N, K, lda, ldb, ldc;
  int alignment;  // of all pointers and rows, in bytes, at most 16
};

struct operands {
  const void *A, *B;
  void *C;
  const void *bias;
  float alpha, beta;
};

struct algorithm {
  uint64_t words[8];  // the library's own record
};

// NULL, or what failed. A shape that the library refuses is multiplied by a kernel of vbl's own, which is slow: the first is told on stderr. While the stream is captured nothing is timed: the library's first offer is taken, and not remembered. Deterministic
// (vbl_cuda_set_deterministic): the first offer always, which depends on the shape alone.
const char *run(const shape &s, const operands &o, void *stream);

void plain(const shape &s, const operands &o, void *stream);  // that kernel

// f64 matrices one after another without gaps: C_q (M, N) (+)= A_q'B_q, or A_q B_q' where `outer`.
struct batch {
  bool outer, accumulate;
  int64_t M, N, K, count;
  const double *A, *B;
  double *C;
};

// NULL, or what failed, or vbl_lt::REFUSED: the library does not take these sizes. By its first offer for them, which it is asked for once.
const char *run(const batch &b, void *stream);

// Where choices are kept; "" where nowhere: VBL_CUDA_CACHE names a folder ("" for none), else it is $XDG_CACHE_HOME/vbl or ~/.cache/vbl.
const char *cache_file(void);

}  // namespace vbl_product

// The library: cuBLASLt (cublaslt.cu), or the emulation's stand-in (kernels/emu/product.cc).
namespace vbl_lt {

enum { MOST = 16 };

bool open(void);                                                           // false: it cannot be started
int candidates(const vbl_product::shape &s, vbl_product::algorithm *out);  // at most MOST, the most promising first
bool accepts(const vbl_product::shape &s, const vbl_product::algorithm &a);
double seconds(const vbl_product::shape &s, const vbl_product::operands &o, const vbl_product::algorithm &a,
               void *stream);  // negative: failed
const char *run(const vbl_product::shape &s, const vbl_product::operands &o, const vbl_product::algorithm &a, void *stream);
bool offers(const vbl_product::batch &b,
            vbl_product::algorithm *out);  // its first offer; false: it has none. It looks at sizes alone
const char *run(const vbl_product::batch &b, const vbl_product::algorithm &a, void *stream);
extern const char *const REFUSED;  // what run gives where the library does not take this shape after all
bool capturing(void *stream);
const char *identity(void);  // device and version, no tabs; "" where choices are not worth keeping

}  // namespace vbl_lt
