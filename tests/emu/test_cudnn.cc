// Every family of attention that vbl's models use, put before cuDNN's own support check for each architecture that is built for, without a
// GPU: the devices are described, not there. Both directions have to find an engine in the layouts that attention_bf16.cu tries, in its
// order; heads that cuDNN cannot take have to be refused.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include <initializer_list>

#include "kernels/cuda/cudnn.h"
#include "kernels/cuda/sdpa.h"

using namespace vbl_graph;

static int failures, checks;

struct architecture {
  int sm, processors, shared, threads;
};

static const architecture architectures[] = {{80, 108, 166912, 2048}, {86, 84, 101376, 1536},   {89, 142, 101376, 1536},
                                             {90, 132, 232448, 2048}, {100, 148, 232448, 2048}, {120, 188, 101376, 1536}};

// The keys are those that cuDNN reads; values of the architecture's largest chip.
static void describe(const architecture &a, char *json, size_t size) {
  snprintf(
      json, size,
      "{\"deviceName\":\"sm_%d\",\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,"
      "\"multiProcessorCount\":%d,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":%d,"
      "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":%d,\"maxThreadsPerBlock\":1024,"
      "\"maxThreadsPerSM\":%d,\"pciDeviceId\":0,\"isTccDriver\":0,\"supportCoopLaunch\":1,\"totalGlobalMem\":48000000000,"
      "\"smClockRateKHz\":1980000,\"memClockRateKHz\":3201000,\"l2CacheSize\":62914560,\"cudaDeviceId\":0,\"deviceVer\":%d,"
      "\"driverVer\":13000}",
      a.sm, a.processors, a.shared, a.threads == 1536 ? 24 : 32, a.threads, a.sm * 10);
}

static bool taken(const sdpa &a, bool backward, const char *device) {
  static graph g;
  char why[512] = "";
  if (backward)
    sdpa_backward(a, 0.125f, &g);
  else
    sdpa_forward(a, 0.125f, &g);
  checks++;
  return vbl_cudnn::supports(g, device, why, sizeof why);
}

static void expect(bool wanted, const sdpa &a, bool backward, const char *device, int sm) {
  static const char *const layouts[] = {"even", "padded", "ragged"};
  if (taken(a, backward, device) == wanted) return;
  failures++;
  fprintf(stderr, "sm_%d: %s of %s rows, %d x %d heads of %d, %d on %d rows, p = %g, sums %s: %s\n", sm,
          backward ? "backward" : "forward", layouts[a.rows], (int)a.B, (int)a.H, (int)a.d, (int)a.S_q, (int)a.S_k, a.p,
          a.ordered ? "in order" : "atomic", wanted ? "refused" : "taken");
}

// Heads, head width, rows of queries and keys: images on themselves, text on itself, each on the other; base and its fusion, small, tiny.
static const struct family {
  int64_t H, d, S_q, S_k;
  bool even;
} families[] = {{12, 64, 197, 197, true},  {12, 64, 64, 64, false}, {8, 128, 64, 197, false}, {8, 128, 197, 64, false},
                {12, 64, 197, 197, false}, {8, 32, 65, 65, true},   {8, 32, 32, 32, false},   {4, 32, 64, 65, false},
                {8, 96, 224, 64, false},   {12, 64, 577, 577, true}};

static void check(const architecture &arch, const char *device) {
  for (const family &f : families)
    for (double p : {0.0, 0.1}) {
      const bool blackwell_drop = arch.sm == 100 && p > 0;  // no engine with sums in order there: atomic ones are used
      const sdpa a = {48, f.H, f.d, f.S_q, f.S_k, f.even ? EVEN : PADDED, p, !blackwell_drop, {}};
      expect(true, a, false, device, arch.sm);
      expect(true, a, true, device, arch.sm);
      const int64_t W = f.H * f.d;  // queries, keys and values side by side in one matrix, and so their gradients
      const sdpa in_place = {48, f.H, f.d, f.S_q, f.S_k, EVEN, p, !blackwell_drop, {3 * W, 3 * W, 3 * W, W, 3 * W, 3 * W, 3 * W}};
      if (f.even) expect(true, in_place, false, device, arch.sm), expect(true, in_place, true, device, arch.sm);
      if (f.even || arch.sm != 90) continue;
      const sdpa packed = {48, f.H, f.d, f.S_q, f.S_k, RAGGED, p, true, {}};
      expect(true, packed, false, device, arch.sm);
      expect(true, packed, true, device, arch.sm);
    }
  for (int64_t d : {61, 100}) {
    const sdpa odd = {48, 8, d, 64, 64, PADDED, 0, true, {}};
    expect(false, odd, false, device, arch.sm);
    expect(false, odd, true, device, arch.sm);
  }
}

int main() {
  char json[2048], why[512] = "";
  if (vbl_cudnn::missing() != nullptr) return printf("SKIPPED: %s\n", vbl_cudnn::missing()), 77;
  describe(architectures[3], json, sizeof json);
  static graph g;
  sdpa_forward({48, 12, 64, 197, 197, EVEN, 0, true, {}}, 0.125f, &g);
  if (dlopen("libcuda.so.1", RTLD_NOW) == nullptr) return printf("SKIPPED: no libcuda.so.1, not even the toolkit's stub\n"), 77;
  if (!vbl_cudnn::supports(g, json, why, sizeof why)) return printf("FAILED: %s\n", why), 1;
  for (const architecture &arch : architectures) {
    describe(arch, json, sizeof json);
    check(arch, json);
  }
  printf("cuDNN %d: %d graphs for %zu architectures, %d not as expected\n", vbl_cudnn::version(), checks,
         sizeof architectures / sizeof *architectures, failures);
  return failures > 0;
}
