// The product of a shape that the library takes by none of its algorithms: a thread an element. Right for every shape, slow, and told of.
// defines: vbl_product::plain
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/numbers.h"
#include "kernels/cuda/product.h"

using namespace vbl_cuda;

namespace vbl_product {

// Of f32 whose products are to be in TF32 the operands are kept whole: nearer to the true product than asked for.
template <class T, class R>
static __global__ void plain_kernel(shape s, operands o) {
  const T *A = (const T *)o.A, *B = (const T *)o.B;
  const int64_t a_row = s.ta ? 1 : s.lda, a_step = s.ta ? s.lda : 1, b_row = s.tb ? s.ldb : 1, b_step = s.tb ? 1 : s.ldb;
  for (int64_t i = blockIdx.y; i < s.M; i += gridDim.y)
    for (int64_t j = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; j < s.N; j += (int64_t)gridDim.x * blockDim.x) {
      float sum = 0;
      for (int64_t k = 0; k < s.K; k++) sum += (float)load(A[i * a_row + k * a_step]) * (float)load(B[j * b_row + k * b_step]);
      R *c = (R *)o.C + i * s.ldc + j;
      const float before = s.sum ? o.beta * (float)load(*c) : 0, bias = s.bias ? (float)load(((const R *)o.bias)[j]) : 0;
      store(c, o.alpha * sum + before + bias);
    }
}

void plain(const shape &s, const operands &o, void *stream) {
  const dim3 grid(blocks_for(s.N), (unsigned)(s.M < 65535 ? s.M : 65535));
  if (s.operands != BF16)
    VBL_LAUNCH((plain_kernel<float, float>), grid, THREADS, stream, s, o);
  else if (s.result == BF16)
    VBL_LAUNCH((plain_kernel<bf16, bf16>), grid, THREADS, stream, s, o);
  else
    VBL_LAUNCH((plain_kernel<bf16, float>), grid, THREADS, stream, s, o);
}

}  // namespace vbl_product
