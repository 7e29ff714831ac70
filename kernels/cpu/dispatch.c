// Which of the CPU backend's three builds runs, and how kernels report that scratch memory was refused.
// defines: vbl_cpu_backend, vbl_cpu_backend_named, vbl_cpu_loops, vbl_cpu_bf16_native, vbl_cpu_fail, vbl_cpu_sync
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/loops.h"

extern const vbl_backend vbl_cpu_avx512, vbl_cpu_avx2, vbl_cpu_baseline;
extern const vbl_loops vbl_loops_avx512, vbl_loops_avx2, vbl_loops_baseline;

// The feature sets are those of the flags in CMakeLists.txt: x86-64-v4 and x86-64-v3.
static bool runs(const vbl_backend *b) {
  if (b == &vbl_cpu_avx512) return __builtin_cpu_supports("x86-64-v4");
  if (b == &vbl_cpu_avx2) return __builtin_cpu_supports("x86-64-v3");
  return true;
}

static const vbl_backend *const best_first[] = {&vbl_cpu_avx512, &vbl_cpu_avx2, &vbl_cpu_baseline};
enum { BUILDS = 3 };

const vbl_backend *vbl_cpu_backend_named(const char *isa) {
  for (int i = 0; i < BUILDS; i++) {
    if (strcmp(best_first[i]->isa, isa) == 0) return runs(best_first[i]) ? best_first[i] : NULL;
  }
  return NULL;
}

static const vbl_backend *chosen;

// VBL_ISA names the highest allowed build; an unknown name caps nothing.
static void choose(void) {
  const char *cap = getenv("VBL_ISA");
  int first = 0;
  for (int i = 0; cap && i < BUILDS; i++) {
    if (strcmp(best_first[i]->isa, cap) == 0) first = i;
  }
  while (!runs(best_first[first])) first++;
  chosen = best_first[first];
}

const vbl_backend *vbl_cpu_backend(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, choose);
  return chosen;
}

const vbl_loops *vbl_cpu_loops(void) {
  if (vbl_cpu_backend() == &vbl_cpu_avx512) return &vbl_loops_avx512;
  return vbl_cpu_backend() == &vbl_cpu_avx2 ? &vbl_loops_avx2 : &vbl_loops_baseline;
}

static bool bf16_native;

// AMD's processors with AVX512_BF16 (Zen 4 on) run it at the full rate; Intel's without AMX at half the rate of f32 FMA (measured on
// Emerald Rapids: 86 against 176 GFLOP/s a core).
static void choose_bf16(void) {
  const char *wish = getenv("VBL_BF16");
  const bool has = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("x86-64-v4");
  bf16_native = has && __builtin_cpu_is("amd");
  if (wish && strcmp(wish, "fma") == 0) bf16_native = false;
  if (wish && strcmp(wish, "native") == 0) bf16_native = has;
  if (vbl_cpu_backend() != &vbl_cpu_avx512) bf16_native = false;
}

bool vbl_cpu_bf16_native(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, choose_bf16);
  return bf16_native;
}

static _Atomic(const char *) failure;  // what failed, or NULL
static atomic_int failure_code;

void vbl_cpu_fail(vbl_status code, const char *what) {
  atomic_store(&failure_code, (int)code);
  atomic_store(&failure, what);
}

vbl_status vbl_cpu_sync(vbl_stream s, vbl_error *err) {
  (void)s;
  const char *what = atomic_exchange(&failure, NULL);
  if (!what) return VBL_OK;
  return vbl_fail(err, (vbl_status)atomic_load(&failure_code),
                  "cpu: %s; its result is undefined (a smaller batch needs less memory)", what);
}
