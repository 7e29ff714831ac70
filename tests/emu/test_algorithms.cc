// Every algorithm that the library offers for a product, not the one alone that is chosen by its time: of matrices of ones each element is K, the number of
// summands, exactly. Splits of a K that they do not divide are reported to lose the last ones for some sizes (cuBLAS 12 and 13, H100), which a
// gradient's tolerance may not tell from rounding.
#include <stdio.h>

#include <initializer_list>
#include <vector>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/product.h"

extern "C" const vbl_backend *vbl_cuda_open(int device, char *message, size_t size);

using namespace vbl_product;

static const vbl_backend *gpu;
static int failures, checks;

static void *ones(vbl_dtype T, int64_t n) {
  void *p = gpu->alloc((size_t)n * 4);
  gpu->fill(T, p, n, 1, nullptr);
  return p;
}

// C = 1 + op(A) op(B) where `sum`, else op(A) op(B).
static void check(const shape &s, const operands &o, const algorithm &a) {
  const int64_t n = s.M * s.N;
  std::vector<float> got((size_t)n);
  const float wanted = (float)(s.K + (s.sum ? 1 : 0));
  int64_t wrong = 0;
  gpu->fill(VBL_F32, o.C, n, s.sum ? 1 : 1e9, nullptr);
  const char *failure = vbl_lt::run(s, o, a, vbl_cuda::stream_of_branch(0));
  gpu->to_host(got.data(), o.C, (size_t)n * 4, nullptr);
  for (float v : got) wrong += v != wanted;
  checks++;
  if (wrong == 0 && failure == nullptr) return;
  failures++;
  fprintf(stderr, "%c%c %s %lld x %lld x %lld%s, algorithm %016llx %016llx: %s, %lld of %lld are not %g, the first is %g\n",
          s.ta ? 't' : 'n', s.tb ? 't' : 'n',
          s.operands == BF16   ? "bf16"
          : s.operands == TF32 ? "tf32"
                               : "f32",
          (long long)s.M, (long long)s.N, (long long)s.K, s.sum ? " +sum" : "", (unsigned long long)a.words[0],
          (unsigned long long)a.words[1], failure != nullptr ? failure : "ran", (long long)wrong, (long long)n, wanted, got[0]);
}

static void check_all(precision operands_of, bool ta, bool tb, bool sum, int64_t M, int64_t N, int64_t K) {
  const vbl_dtype T = operands_of == BF16 ? VBL_BF16 : VBL_F32;
  const shape s = {ta, tb, operands_of, F32, sum, false, M, N, K, ta ? M : K, tb ? K : N, N, 16};  // widths are multiples of 8
  const operands o = {ones(T, M * K), ones(T, K * N), ones(VBL_F32, M * N), nullptr, 1, sum ? 1.0f : 0.0f};
  algorithm offers[vbl_lt::MOST];
  const int n = vbl_lt::candidates(s, offers);
  for (int i = 0; i < n; i++) check(s, o, offers[i]);
  for (const void *p : {o.A, o.B, (const void *)o.C}) gpu->free((void *)p, 0);
}

int main() {
  static char message[256];
  gpu = vbl_cuda_open(0, message, sizeof message);
#ifdef VBL_TEST_GPU
  if (gpu == nullptr) return printf("SKIPPED: %s\n", message), 77;
  const int64_t widths[][2] = {{768, 768}, {3072, 768}, {768, 2304}, {1024, 768}};
  const int64_t rows[] = {137, 671, 2688, 2737, 9457};
#else
  if (gpu == nullptr) return fprintf(stderr, "%s\n", message), 1;
  const int64_t widths[][2] = {{8, 8}, {24, 8}};
  const int64_t rows[] = {9, 70};
#endif
  for (const auto &w : widths)
    for (int64_t K : rows)
      for (bool sum : {false, true}) {
        check_all(BF16, true, false, sum, w[0], w[1], K);  // a weight's gradient: the rows of a batch are summed
        check_all(F32, true, false, sum, w[0], w[1], K);
        check_all(TF32, true, false, sum, w[0], w[1], K);
      }
  vbl_error err;
  if (gpu->sync(nullptr, &err) != VBL_OK) failures++, fprintf(stderr, "%s\n", err.message);
  printf("algorithms of products on %s: %d, %d wrong\n", gpu->isa, checks, failures);
  return failures > 0;
}
