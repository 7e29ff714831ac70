// Copies between any two dtypes and any strides, and fill.
// defines: vbl_cuda_copy, vbl_cuda_fill
#include "kernels/cuda/backend.h"
#include "kernels/cuda/numbers.h"

using namespace vbl_cuda;

template <class T>
static __device__ void move(T from, T *to) {
  *to = from;
}
template <class A, class B>
static __device__ void move(A from, B *to) {
  store(to, load(from));
}

template <class A, class B>
static __global__ void copy_kernel(const A *src, B *dst, walk w, int64_t n) {
  VBL_EACH(i, n) {
    int64_t from, to;
    locate(w, i, &from, &to);
    move(src[from], dst + to);
  }
}

template <class A, class B>
static void copy_to(const void *src, void *dst, const walk &w, int64_t n, vbl_stream s) {
  VBL_LAUNCH((copy_kernel<A, B>), blocks_for(n), THREADS, s, (const A *)src, (B *)dst, w, n);
}

template <class A>
static void copy_from(const void *src, vbl_dtype to, void *dst, const walk &w, int64_t n, vbl_stream s) {
  switch (to) {
    case VBL_F32:
      return copy_to<A, float>(src, dst, w, n, s);
    case VBL_F64:
      return copy_to<A, double>(src, dst, w, n, s);
    case VBL_BF16:
      return copy_to<A, bf16>(src, dst, w, n, s);
    case VBL_I32:
      return copy_to<A, int32_t>(src, dst, w, n, s);
    case VBL_U8:
      return copy_to<A, uint8_t>(src, dst, w, n, s);
    case VBL_DTYPES:
      break;
  }
}

void vbl_cuda_copy(vbl_dtype from, const void *src, const int64_t *src_stride, vbl_dtype to, void *dst, const int64_t *dst_stride,
                   int ndim, const int64_t *shape, vbl_stream s) {
  int64_t n;
  const walk w = walk_of(ndim, shape, src_stride, dst_stride, &n);
  if (n == 0) return;
  switch (from) {
    case VBL_F32:
      return copy_from<float>(src, to, dst, w, n, s);
    case VBL_F64:
      return copy_from<double>(src, to, dst, w, n, s);
    case VBL_BF16:
      return copy_from<bf16>(src, to, dst, w, n, s);
    case VBL_I32:
      return copy_from<int32_t>(src, to, dst, w, n, s);
    case VBL_U8:
      return copy_from<uint8_t>(src, to, dst, w, n, s);
    case VBL_DTYPES:
      break;
  }
}

template <class T>
static __global__ void fill_kernel(T *x, int64_t n, double value) {
  VBL_EACH(i, n) store(x + i, value);
}

void vbl_cuda_fill(vbl_dtype T, void *x, int64_t n, double value, vbl_stream s) {
  if (n == 0) return;
  switch (T) {
    case VBL_F32:
      return VBL_LAUNCH(fill_kernel<float>, blocks_for(n), THREADS, s, (float *)x, n, value);
    case VBL_F64:
      return VBL_LAUNCH(fill_kernel<double>, blocks_for(n), THREADS, s, (double *)x, n, value);
    case VBL_BF16:
      return VBL_LAUNCH(fill_kernel<bf16>, blocks_for(n), THREADS, s, (bf16 *)x, n, value);
    case VBL_I32:
      return VBL_LAUNCH(fill_kernel<int32_t>, blocks_for(n), THREADS, s, (int32_t *)x, n, value);
    case VBL_U8:
      return VBL_LAUNCH(fill_kernel<uint8_t>, blocks_for(n), THREADS, s, (uint8_t *)x, n, value);
    case VBL_DTYPES:
      break;
  }
}
