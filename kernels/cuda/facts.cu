// defines: vbl_cuda::{find_facts, usable}, vbl_cuda_describe, vbl_cuda_doubles_pay
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/cudnn.h"
#include "kernels/cuda/facts.h"
#include "kernels/cuda/measure.h"
#include "kernels/cuda/product.h"

namespace vbl_cuda {

enum { OLDEST = 80 };                       // sm_80: what the build has code for
enum : size_t { LEAST = (size_t)1 << 30 };  // cuBLASLt, cuDNN, their code and the smallest model
static facts last;                          // of the device that was opened

#ifdef __CUDACC__

void find_facts(int device, facts *f) {
  *f = {};
  cudaDeviceProp p;
  cudaDriverGetVersion(&f->driver);
  cudaRuntimeGetVersion(&f->runtime);
  if (f->driver == 0) return;
  cudaError_t e = cudaGetDeviceCount(&f->count);
  f->driver_too_old = e == cudaErrorInsufficientDriver;
  if (e == cudaSuccess && device >= 0 && device < f->count) {
    e = cudaGetDeviceProperties(&p, device);
    if (e == cudaSuccess) {
      snprintf(f->gpu, sizeof f->gpu, "%s", p.name);
      f->major = p.major, f->minor = p.minor;
      e = cudaSetDevice(device);
    }
    if (e == cudaSuccess) e = cudaMemGetInfo(&f->free, &f->total);
    if (e == cudaSuccess) e = cudaDeviceGetAttribute(&f->doubles, cudaDevAttrSingleToDoublePrecisionPerfRatio, device);
  }
  if (e != cudaSuccess) snprintf(f->error, sizeof f->error, "%s", cudaGetErrorString(e));
  (void)cudaGetLastError();  // it has been said
  last = *f;
}

#else

void find_facts(int, facts *f) {
  *f = {13000, 13000, false, 1, "", "emulated", 9, 0, (size_t)4 << 30, (size_t)4 << 30, 2};
  last = *f;
}

#endif

#define SAY(...) return snprintf(message, size, __VA_ARGS__), false

bool usable(const facts &f, int device, char *message, size_t size) {
  if (f.driver == 0) SAY("no NVIDIA driver is installed (nvidia-smi shows it)");
  if (f.driver_too_old)
    SAY("the NVIDIA driver is for CUDA %d.%d and this vbl needs %d.%d: install a newer driver", f.driver / 1000,
        f.driver % 100 / 10, f.runtime / 1000, f.runtime % 100 / 10);
  if (f.count == 0)
    SAY("no NVIDIA GPU is visible (%s; CUDA_VISIBLE_DEVICES?)", f.error[0] != '\0' ? f.error : "the driver counts none");
  if (device < 0 || device >= f.count)
    SAY("cuda:%d: there %s %d device%s, from 0", device, f.count == 1 ? "is" : "are", f.count, f.count == 1 ? "" : "s");
  if (f.major * 10 + f.minor < OLDEST && f.gpu[0] != '\0')
    SAY("cuda:%d: %s has compute capability %d.%d; 8.0 (Ampere) or newer is needed", device, f.gpu, f.major, f.minor);
  if (f.error[0] != '\0') SAY("cuda:%d: %s", device, f.error);
  if (f.free < LEAST)
    SAY("cuda:%d: %zu of its %zu MiB are free and vbl needs at least %zu: end what holds the rest (nvidia-smi lists it)", device,
        f.free >> 20, f.total >> 20, LEAST >> 20);
  return true;
}

}  // namespace vbl_cuda

using namespace vbl_cuda;

bool vbl_cuda_doubles_pay(void) { return last.doubles > 0 && last.doubles <= 4; }

// A product and a row of softmax, against what they have to be.
static bool computes(void) {
  enum { N = 64 };
  float host[N];
  float *a = (float *)vbl_cuda_alloc(N * N * sizeof(float)), *c = (float *)vbl_cuda_alloc(N * N * sizeof(float));
  vbl_error err;
  bool right = a != nullptr && c != nullptr;
  if (right) {
    vbl_cuda_fill(VBL_F32, a, N * N, 0.5, nullptr);
    vbl_cuda_gemm(false, true, N, N, N, 1, a, N, a, N, 0, c, N, nullptr);
    vbl_cuda_to_host(host, c, sizeof host, nullptr);
    for (float v : host) right = right && v == N / 4;
    vbl_cuda_softmax(c, a, false, N, N, nullptr);
    vbl_cuda_to_host(host, a, sizeof host, nullptr);
    for (float v : host) right = right && v > 0.99f / N && v < 1.01f / N;
    right = vbl_cuda_sync(nullptr, &err) == VBL_OK && right;
  }
  vbl_cuda_free(a, 0);
  vbl_cuda_free(c, 0);
  return right;
}

void vbl_cuda_describe(char *text, size_t size) {
  const facts &f = last;
  size_t used = 0;
  const auto say = [&](const char *state, const char *what, const char *sentence) {
    const int n = snprintf(text + used, size - used, "%s\t%s\t%s\n", state, what, sentence);
    if (n > 0 && used + (size_t)n < size) used += (size_t)n;
  };
  char line[1024];
  snprintf(line, sizeof line, "%s, sm_%d%d, driver for CUDA %d.%d, runtime %d.%d", f.gpu, f.major, f.minor, f.driver / 1000,
           f.driver % 100 / 10, f.runtime / 1000, f.runtime % 100 / 10);
  say("ok", "GPU", line);
  snprintf(line, sizeof line, "%.1f GiB, %.1f free when it was opened", (double)f.total / 0x1p30, (double)f.free / 0x1p30);
  say("ok", "GPU memory", line);
  const int v = vbl_cudnn::version();
  const char *missing = vbl_cudnn::missing();
  char why[512] = "";
  const bool fused = missing == nullptr && fused_attention(why, sizeof why);
  if (fused)
    snprintf(line, sizeof line, "%d.%d.%d", v / 10000, v / 100 % 100, v % 100);
  else if (missing != nullptr)
    snprintf(line, sizeof line, "%s; attention in bf16 runs on vbl's own, slower kernels", missing);
  else
    snprintf(line, sizeof line, "%d.%d.%d takes no attention here (%s); it runs on vbl's own, slower kernels", v / 10000,
             v / 100 % 100, v % 100, why);
  say(fused ? "ok" : "warn", "cuDNN", line);
  const char *path = vbl_product::cache_file();
  char folder[1024];
  snprintf(folder, sizeof folder, "%s", path);
  char *slash = strrchr(folder, '/');
  if (slash != nullptr) *slash = '\0';
  const bool kept = path[0] != '\0' && (access(path, W_OK) == 0 || access(folder, W_OK) == 0 || access(folder, F_OK) != 0);
  snprintf(line, sizeof line,
           path[0] == '\0' ? "algorithms are not timed, the library's first offer is taken%s"
           : kept          ? "algorithms that won are kept in %s"
                           : "%s cannot be written: every process times algorithms again",
           path);
  say(path[0] == '\0' || kept ? "ok" : "warn", "cuBLASLt", line);
  const bool right = computes();
  say(right ? "ok" : "missing", "self-check",
      right ? "a product and a softmax are right"
            : "a product or a softmax came out wrong: the device, or its driver, does not work");
}
