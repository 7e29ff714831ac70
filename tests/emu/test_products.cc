// The choice of a product's algorithm, on the emulated library: the fastest wins, once a kind of product; it is kept on disk and taken up
// by the next process; damage, another version's records and a captured stream.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

extern "C" {
#include "kernels/kernels.h"
}
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
