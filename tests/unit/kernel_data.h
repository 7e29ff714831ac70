// Operands of the kernel tests: each array exists in f32 for the backend under test and in f64 for the reference, inside
// sentinels, with NaN in the holes between a width and its leading dimension. Tolerances are the caller's; they are built from
// the unit roundoff u = 2^-24 and the length of the longest chain of additions.
// Memory that kernels see is of shared_new: on a GPU it is managed memory, which host and device both reach, and each launch is waited for
// (CUDA_LAUNCH_BLOCKING, set by the build), so that a test may read at once what a kernel wrote.
// defines: shared_new, shared_free; pair and what makes, compares and frees it; each_backend
#pragma once
#include <stdlib.h>

#include "core/base/threads.h"
#include "kernels/cpu/cpu.h"
#include "tests/check.h"

static const double u = 0x1p-24;
static const int64_t sizes[] = {0, 1, 3, 7, 31, 33, 64, 100, 255, 257, 768};
enum { SIZES = sizeof sizes / sizeof *sizes, GUARD = 16, PAIRS = 64 };
#define EACH_SIZE(n)                          \
  for (int n##_i = 0; n##_i < SIZES; n##_i++) \
    for (int64_t n = sizes[n##_i], n##_once = 1; n##_once; n##_once = 0)

static const vbl_backend *cpu, *ref;
static int threads;

#ifdef VBL_TEST_GPU
#include <cuda_runtime_api.h>
static void *shared_new(size_t bytes) {
  void *p = NULL;
  if (cudaMallocManaged(&p, bytes > 0 ? bytes : 1, cudaMemAttachGlobal) != cudaSuccess) {
    fprintf(stderr, "no managed memory for %zu bytes\n", bytes);
    exit(1);
  }
  memset(p, 0x5A, bytes);
  return p;
}
static void shared_free(void *p) { cudaFree(p); }
#else
static void *shared_new(size_t bytes) { return memset(malloc(bytes + 1), 0x5A, bytes); }
static void shared_free(void *p) { free(p); }
#endif

typedef struct pair {
  float *f, *f_block;
  double *d;
  int64_t n;
} pair;

// Every pair made since the last pairs_free.
static pair made[PAIRS];
static int made_count;
static uint32_t draws;

static pair pair_new(int64_t n) {
  if (made_count == PAIRS) abort();
  pair p = {.n = n};
  p.f_block = shared_new((size_t)(n + 2 * GUARD) * sizeof(float));
  p.d = malloc((size_t)(n + 1) * sizeof(double));
  p.f = p.f_block + GUARD;
  for (int64_t i = 0; i < n + 2 * GUARD; i++) p.f_block[i] = NAN;
  for (int64_t i = 0; i < n; i++) p.d[i] = NAN;
  for (int i = 0; i < GUARD; i++) p.f_block[i] = p.f[n + i] = 12345.0f;
  return made[made_count++] = p;
}

static void pair_set(pair p, int64_t i, double value) {
  p.f[i] = (float)value;
  p.d[i] = (double)p.f[i];
}

// rows of width `width` at leading dimension ld, uniform in [low, high); the holes stay NaN
static pair pair_rows(int64_t rows, int64_t width, int64_t ld, double low, double high) {
  pair p = pair_new(rows * ld);
  const uint32_t stream = draws++;
  for (int64_t i = 0; i < rows * width; i++) {
    const double x = vbl_philox_uniform((vbl_philox_key){17, stream}, (uint32_t)i, 0, 0, 0);
    pair_set(p, i / width * ld + i % width, low + x * (high - low));
  }
  return p;
}
static pair pair_random(int64_t n, double low, double high) { return pair_rows(1, n, n, low, high); }
static pair pair_copy(pair from) {
  pair p = pair_new(from.n);
  memcpy(p.f, from.f, (size_t)from.n * sizeof(float));
  memcpy(p.d, from.d, (size_t)from.n * sizeof(double));
  return p;
}

// f against d: |f - d| <= absolute + relative |d|, equal infinities, NaN where the reference has NaN (untouched holes too); and
// whole sentinels.
static void pair_check(const char *what, pair p, double absolute, double relative) {
  int64_t bad = -1, count = 0;
  for (int64_t i = 0; i < p.n; i++) {
    const double f = (double)p.f[i], d = p.d[i];
    const bool same = isnan(d) ? isnan(f) : isinf(d) || isinf(f) ? f == d : fabs(f - d) <= absolute + relative * fabs(d);
    if (!same && count++ == 0) bad = i;
  }
  CHECK_REPORT_(count == 0, "%s, %s, %d threads: %lld of %lld wrong, first [%lld] = %.9g, expected %.9g +- %g", what, cpu->isa,
                threads, (long long)count, (long long)p.n, (long long)bad, (double)p.f[bad < 0 ? 0 : bad],
                p.n ? p.d[bad < 0 ? 0 : bad] : 0.0, absolute + (bad < 0 ? 0 : relative * fabs(p.d[bad])));
  int broken = 0;
  for (int i = 0; i < GUARD; i++) broken += p.f_block[i] != 12345.0f || p.f[p.n + i] != 12345.0f;
  CHECK_REPORT_(broken == 0, "%s, %s, %d threads: wrote outside its array", what, cpu->isa, threads);
}

static void pairs_free(void) {
  while (made_count > 0) {
    made_count--;
    shared_free(made[made_count].f_block);
    free(made[made_count].d);
  }
}

// The longest chain of additions in a sum of n terms over at least 4 lanes, then over the lanes.
static inline double chain(int64_t n) { return (double)n / 4 + 8; }

#ifdef VBL_TEST_CUDA
// The same tests on the CUDA backend's kernels: emulated, or (VBL_TEST_GPU) on a GPU; where there is none they are skipped.
const vbl_backend *vbl_cuda_open(int device, char *message, size_t size);
static void each_backend(const char *name, void (*group)(void)) {
  char message[256];
  vbl_error err = {0};
  const int passed = check_passed, failed = check_failed;
  ref = vbl_reference_backend();
  cpu = vbl_cuda_open(0, message, sizeof message);
#ifdef VBL_TEST_GPU
  if (cpu == NULL) exit(check_skip(message));
#else
  if (cpu == NULL) fprintf(stderr, "%s\n", message), exit(1);
#endif
  threads = 1;
  group();
  pairs_free();
  CHECK_OK(cpu->sync(NULL, &err), err);
  printf("%s: %s: %d passed, %d failed\n", name, cpu->isa, check_passed - passed, check_failed - failed);
}
#else
// Runs `group` for every build of the backend that this machine can run, with one and with two threads; one line each.
static void each_backend(const char *name, void (*group)(void)) {
  static const char *const isas[] = {"baseline", "avx2", "avx512"};
  vbl_error err = {0};
  ref = vbl_reference_backend();
  for (int i = 0; i < 3; i++) {
    cpu = vbl_cpu_backend_named(isas[i]);
    if (!cpu) {
      printf("%s: SKIPPED %s, this machine cannot run it\n", name, isas[i]);
      continue;
    }
    const int passed = check_passed, failed = check_failed;
    for (threads = 1; threads <= 2; threads++) {
      CHECK_OK(vbl_set_threads(threads, &err), err);
      group();
      pairs_free();
    }
    printf("%s: %s: %d passed, %d failed\n", name, isas[i], check_passed - passed, check_failed - failed);
  }
}
#endif
