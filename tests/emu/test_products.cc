// The choice of a product's algorithm, on the emulated library: the fastest wins, once a kind of product; it is kept on disk and taken up
// by the next process; damage, another version's records and a captured stream.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

extern "C" {
#include "kernels/measure.h"
}
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/product.h"
#include "kernels/emu/product.h"

extern "C" const vbl_backend *vbl_cuda_open(int device, char *message, size_t size);

static int failures;

#define CHECK(condition)                                                                                                 \
  do {                                                                                                                   \
    if (condition) break;                                                                                                \
    failures++;                                                                                                          \
    fprintf(stderr, "%s:%d: %s (asked %d, timed %d, last %d)\n", __FILE__, __LINE__, #condition, vbl_emu_products.asked, \
            vbl_emu_products.timed, vbl_emu_products.last);                                                              \
  } while (0)

static const vbl_backend *gpu;

// C = 1 + A B' of ones: K + 1 everywhere, however often it was timed on the way.
static void multiply(int64_t M, int64_t N, int64_t K) {
  float *a = (float *)gpu->alloc((size_t)(M * K) * 4), *b = (float *)gpu->alloc((size_t)(N * K) * 4),
        *c = (float *)gpu->alloc((size_t)(M * N) * 4);
  gpu->fill(VBL_F32, a, M * K, 1, nullptr);
  gpu->fill(VBL_F32, b, N * K, 1, nullptr);
  gpu->fill(VBL_F32, c, M * N, 1, nullptr);
  gpu->gemm(false, true, M, N, K, 1, a, K, b, K, 1, c, N, nullptr);
  float *host = new float[(size_t)(M * N)];
  gpu->to_host(host, c, (size_t)(M * N) * 4, nullptr);
  for (int64_t i = 0; i < M * N; i++) CHECK(host[i] == (float)(K + 1));
  delete[] host;
  gpu->free(a, 0), gpu->free(b, 0), gpu->free(c, 0);
}

static void first_process() {
  multiply(5, 7, 3);
  CHECK(vbl_emu_products.timed == 3 && vbl_emu_products.last == 1);
  multiply(5, 7, 3);
  CHECK(vbl_emu_products.timed == 3 && vbl_emu_products.last == 1);
  multiply(5, 8, 3);
  CHECK(vbl_emu_products.timed == 6);
  vbl_emu_products.captured = true;
  multiply(9, 7, 3);
  CHECK(vbl_emu_products.timed == 6 && vbl_emu_products.last == 0);
  vbl_emu_products.captured = false;
  multiply(9, 7, 3);
  CHECK(vbl_emu_products.timed == 9 && vbl_emu_products.last == 1);
}

static void second_process() {
  multiply(5, 7, 3);
  multiply(9, 7, 3);
  CHECK(vbl_emu_products.timed == 0 && vbl_emu_products.asked == 0 && vbl_emu_products.last == 1);
}

// Deterministic: the library's first offer, whatever was timed before; nothing is timed or kept.
static void deterministic() {
  gpu->set_deterministic(true);
  multiply(5, 7, 3);
  multiply(5, 9, 3);
  multiply(5, 9, 3);
  CHECK(vbl_emu_products.timed == 0 && vbl_emu_products.last == 0 && vbl_emu_products.asked == 2);
  gpu->set_deterministic(false);
  multiply(5, 7, 3);
  CHECK(vbl_emu_products.timed == 0 && vbl_emu_products.last == 1);
}

// The first line torn, the second of another library, the third whole.
static void after_damage() {
  multiply(5, 7, 3);
  CHECK(vbl_emu_products.timed == 3 && vbl_emu_products.last == 1);
  multiply(5, 8, 3);
  CHECK(vbl_emu_products.timed == 6);
  multiply(9, 7, 3);
  CHECK(vbl_emu_products.timed == 6);
}

static void without_a_folder() {
  CHECK(vbl_product::cache_file()[0] == '\0');
  multiply(5, 7, 3);
  CHECK(vbl_emu_products.timed == 0 && vbl_emu_products.last == 0);
}

static void unwritable() {
  multiply(5, 7, 3);
  multiply(5, 7, 3);
  CHECK(vbl_emu_products.timed == 3 && vbl_emu_products.last == 1);
}

// Sums of small integers, exact in every order: transposed or not, bf16 or not, with strides, sums and biases, as the library makes them.
static void as_the_library(vbl_product::shape s) {
  using namespace vbl_product;
  const size_t n_a = (size_t)((s.ta ? s.K : s.M) * s.lda), n_b = (size_t)((s.tb ? s.N : s.K) * s.ldb), n_c = (size_t)(s.M * s.ldc);
  void *x[5];
  const size_t sizes[] = {n_a, n_b, n_c, n_c, (size_t)s.N};
  const int64_t one = 1;
  for (int i = 0; i < 5; i++) {
    const vbl_dtype T = (i < 2 ? s.operands : s.result) == BF16 ? VBL_BF16 : VBL_F32;
    float *f = (float *)gpu->alloc(sizes[i] * 4), *host = new float[sizes[i]];
    for (size_t k = 0; k < sizes[i]; k++) host[k] = (float)(int)((k * 7 + (size_t)(i == 3 ? 2 : i)) % 5) - 2;
    gpu->from_host(f, host, sizes[i] * 4, nullptr);
    x[i] = gpu->alloc(sizes[i] * 4);
    const int64_t n = (int64_t)sizes[i];
    gpu->copy(VBL_F32, f, &one, T, x[i], &one, 1, &n, nullptr);
    gpu->free(f, 0);
    delete[] host;
  }
  operands o = {x[0], x[1], x[2], s.bias ? x[4] : nullptr, 1, s.sum ? 1.0f : 0.0f};
  CHECK(run(s, o, vbl_cuda::queue(nullptr)) == nullptr);
  o.C = x[3];
  plain(s, o, vbl_cuda::queue(nullptr));
  const size_t bytes = n_c * (s.result == BF16 ? 2 : 4);
  char *got = new char[bytes], *want = new char[bytes];
  gpu->to_host(want, x[2], bytes, nullptr);
  gpu->to_host(got, x[3], bytes, nullptr);
  CHECK(memcmp(got, want, bytes) == 0);
  delete[] got;
  delete[] want;
  for (void *p : x) gpu->free(p, 0);
}

static void by_hand() {
  using namespace vbl_product;
  for (int form = 0; form < 32; form++) {
    const bool ta = form & 1, tb = form & 2, sum = form & 4, half = form & 8, narrow = half && form & 16;
    const int64_t M = 2, N = 9, K = 6;
    as_the_library(
        {ta, tb, half ? BF16 : F32, narrow ? BF16 : F32, sum, half && sum, M, N, K, (ta ? M : K) + 1, (tb ? K : N) + 2, N + 3, 4});
  }
}

// A library that offers nothing, and one that offers and then refuses.
static void refused() {
  vbl_emu_products.offers_none = true;
  multiply(5, 7, 3);
  CHECK(vbl_emu_products.asked == 1 && vbl_emu_products.timed == 0);
  vbl_emu_products.offers_none = false;
  vbl_emu_products.refuses = true;
  multiply(5, 8, 3);
  vbl_emu_products.refuses = false;
}

// C = 1 + A'B or 1 + A B' of ones, three times: by the library's offer, which it is asked for once for each sizes.
static void add_batches(bool outer, int64_t M, int64_t N, int64_t K, int64_t count) {
  const size_t elements[] = {(size_t)(M * K * count), (size_t)(N * K * count), (size_t)(M * N * count)};
  double *x[3], *host = new double[elements[2]];
  for (int i = 0; i < 3; i++) {
    x[i] = (double *)gpu->alloc(elements[i] * sizeof(double));
    gpu->fill(VBL_F64, x[i], (int64_t)elements[i], 1, nullptr);
  }
  for (int times = 1; times <= 3; times++) {
    gpu->measure->batch_products(outer, M, N, K, x[0], x[1], times < 3, x[2], count, nullptr);
    gpu->to_host(host, x[2], elements[2] * sizeof(double), nullptr);
    for (size_t i = 0; i < elements[2]; i++) CHECK(host[i] == (double)(times < 3 ? 1 + times * K : K));
  }
  vbl_error err;
  CHECK(gpu->sync(nullptr, &err) == VBL_OK);
  delete[] host;
  for (double *p : x) gpu->free(p, 0);
}

static void batches() {
  add_batches(false, 3, 4, 5, 2);
  CHECK(vbl_emu_products.asked == 1);
  for (bool outer : {false, true})
    for (int64_t count : {2, 3})
      add_batches(outer, 3, 4, 5, count), add_batches(outer, 4, 3, 5, count), add_batches(outer, 3, 4, 6, count);
  CHECK(vbl_emu_products.asked == 12 && vbl_emu_products.timed == 0);
  vbl_emu_products.refuses = true;
  add_batches(true, 3, 4, 5, 2);
  CHECK(vbl_emu_products.asked == 12);
  vbl_emu_products.offers_none = true;
  add_batches(false, 7, 4, 5, 2);
  vbl_emu_products.refuses = vbl_emu_products.offers_none = false;
  add_batches(false, 7, 4, 5, 2);
}

static void in_process(void (*f)()) {
  fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    char message[256];
    gpu = vbl_cuda_open(0, message, sizeof message);
    f();
    _exit(failures > 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) failures++;
}

static std::string content(const std::string &path) {
  std::string text;
  char part[4096];
  FILE *f = fopen(path.c_str(), "r");
  for (size_t n; f != nullptr && (n = fread(part, 1, sizeof part, f)) > 0;) text.append(part, n);
  if (f != nullptr) fclose(f);
  return text;
}

int main() {
  char folder[] = "/tmp/vbl-products-XXXXXX";
  if (mkdtemp(folder) == nullptr) return perror(folder), 1;
  const std::string inside = std::string(folder) + "/cache", path = inside + "/cublaslt.tsv";
  setenv("VBL_CUDA_CACHE", inside.c_str(), 1);
  in_process(by_hand);
  in_process(refused);
  in_process(batches);
  unlink(path.c_str());
  in_process(first_process);
  const std::string text = content(path);
  CHECK(text.find("emulated nt f32+sum 5x7x3 ld 3,3,7 align 4\t0000000000000001") == 0);
  in_process(second_process);
  in_process(deterministic);
  CHECK(content(path) == text);
  FILE *f = fopen(path.c_str(), "w");
  CHECK(f != nullptr);
  const size_t second = text.find('\n') + 1, third = text.find('\n', second) + 1;
  fputs((text.substr(0, 60) + "\n" + text.substr(second, third - second - 2) + "f\n" + text.substr(third)).c_str(), f);
  fclose(f);
  in_process(after_damage);
  unsetenv("VBL_CUDA_CACHE");
  in_process(without_a_folder);
  setenv("VBL_CUDA_CACHE", (path + "/no-folder").c_str(), 1);
  in_process(unwritable);
  unlink(path.c_str()), rmdir(inside.c_str()), rmdir(folder);
  printf("choice of products' algorithms: %s\n", failures == 0 ? "ok" : "FAILED");
  return failures > 0;
}
