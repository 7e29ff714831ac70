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
// Without the way through f64.
static __device__ void move(float from, bf16 *to) { store(to, from); }
static __device__ void move(bf16 from, float *to) { *to = __uint_as_float((uint32_t)from.bits << 16); }

template <class A, class B>
static __global__ void copy_kernel(const A *src, B *dst, walk w, int64_t n) {
  VBL_EACH(i, n) {
    int64_t from, to;
    locate(w, i, &from, &to);
    move(src[from], dst + to);
  }
}

enum { PART = 8 };

// PART numbers side by side, in accesses of 16 bytes where they are that many.
template <class T>
struct alignas(PART * sizeof(T) < 16 ? PART * sizeof(T) : 16) part {
  T v[PART];
};

// The same where each step of the walk is a part. The last one may be less: there are n numbers.
template <class A, class B>
static __global__ void parts_kernel(const A *src, B *dst, walk w, int64_t n) {
  VBL_EACH(i, (n + PART - 1) / PART) {
    int64_t from, to;
    locate(w, i, &from, &to);
    const int64_t left = n - i * PART;
    if (left >= PART) {
      const part<A> x = *(const part<A> *)(src + from);
      part<B> y;
      for (int k = 0; k < PART; k++) move(x.v[k], y.v + k);
      *(part<B> *)(dst + to) = y;
    } else {
      for (int k = 0; k < left; k++) move(src[from + k], dst + to + k);
    }
  }
}

template <class T>
static bool aligned(const T *p) {
  return (uintptr_t)p % alignof(part<T>) == 0;
}

// Turns a walk over n numbers into one over parts; false: they do not lie so.
static bool in_parts(walk *w, int64_t n) {
  const int last = w->ndim - 1;
  if (last < 0 || w->a[last] != 1 || w->b[last] != 1 || (last > 0 && w->shape[last] % PART != 0)) return false;
  for (int dim = 0; dim < last; dim++)
    if (w->a[dim] % PART != 0 || w->b[dim] % PART != 0) return false;
  w->shape[last] = (w->shape[last] + PART - 1) / PART;
  w->a[last] = w->b[last] = PART;
  walk_measure(w, &n);
  return true;
}

template <class A, class B>
static void copy_to(const void *src, void *dst, const walk &w, int64_t n, vbl_stream s) {
  walk parts = w;
  const A *from = (const A *)src;
  B *to = (B *)dst;
  if (aligned(from) && aligned(to) && in_parts(&parts, n))
    VBL_LAUNCH((parts_kernel<A, B>), blocks_for(n, THREADS * PART), THREADS, s, from, to, parts, n);
  else
    VBL_LAUNCH((copy_kernel<A, B>), blocks_for(n), THREADS, s, from, to, w, n);
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
static __global__ void fill_kernel(T *x, int64_t n, double value, bool aligned) {
  part<T> p;
  for (int k = 0; k < PART; k++) store(p.v + k, value);
  VBL_EACH(i, (n + PART - 1) / PART) {
    const int64_t left = n - i * PART;
    if (aligned && left >= PART)
      *(part<T> *)(x + i * PART) = p;
    else
      for (int k = 0; k < PART && k < left; k++) x[i * PART + k] = p.v[k];
  }
}

template <class T>
static void fill(void *x, int64_t n, double value, vbl_stream s) {
  VBL_LAUNCH(fill_kernel<T>, blocks_for(n, THREADS * PART), THREADS, s, (T *)x, n, value, aligned((const T *)x));
}

void vbl_cuda_fill(vbl_dtype T, void *x, int64_t n, double value, vbl_stream s) {
  if (n == 0) return;
  switch (T) {
    case VBL_F32:
      return fill<float>(x, n, value, s);
    case VBL_F64:
      return fill<double>(x, n, value, s);
    case VBL_BF16:
      return fill<bf16>(x, n, value, s);
    case VBL_I32:
      return fill<int32_t>(x, n, value, s);
    case VBL_U8:
      return fill<uint8_t>(x, n, value, s);
    case VBL_DTYPES:
      break;
  }
}
