// What ranks add up and gather by their devices, with one rank: that the library which does it is found, and called as it wants to be. Several ranks:
// tests/ranks.
#include <stdlib.h>

#include "kernels/kernels.h"
#include "tests/check.h"

enum { N = 100003 };

static const vbl_backend *gpu;
static vbl_error err;

static size_t wrong(const void *device, const void *expected, size_t bytes) {
  char *found = malloc(bytes);
  size_t n = 0;
  gpu->to_host(found, device, bytes, NULL);
  for (size_t i = 0; i < bytes; i++) n += found[i] != ((const char *)expected)[i];
  free(found);
  return n;
}

static void check_both(vbl_dtype T, const void *host, size_t bytes) {
  void *x = gpu->alloc(bytes), *y = gpu->alloc(bytes);
  gpu->from_host(x, host, bytes, NULL);
  gpu->sum_ranks(T, x, N, NULL);
  CHECK(wrong(x, host, bytes) == 0);
  const int64_t all = (int64_t)bytes;
  gpu->fill(T, y, N, 0, NULL);
  gpu->gather_ranks(x, y, &all, NULL);
  CHECK(wrong(y, host, bytes) == 0);
  gpu->free(x, bytes);
  gpu->free(y, bytes);
}

// What is recorded goes to the device before the sum does.
static void check_recorded(void) {
  float three[N];
  for (int i = 0; i < N; i++) three[i] = 3;
  void *x = gpu->alloc(sizeof three);
  for (int i = 0; i < 2; i++) {
    CHECK(gpu->capture(true) == NULL);
    gpu->fill(VBL_F32, x, N, 3, NULL);
    gpu->sum_ranks(VBL_F32, x, N, NULL);
    const char *why = gpu->capture(false);
    CHECK_STR(why != NULL ? why : "a graph", "a sum over ranks");
    CHECK(wrong(x, three, sizeof three) == 0);
  }
  gpu->free(x, sizeof three);
}

int main(void) {
  const char *name = getenv("VBL_TEST_DEVICE");
  char id[VBL_RANKS_ID];
  static float single[N];
  static double wide[N];
  if (name == NULL) return check_skip("VBL_TEST_DEVICE names no device");
  if (vbl_backend_open(name, &gpu, &err) != VBL_OK || gpu->ranks_id(id, &err) != VBL_OK) return check_skip(err.message);
  CHECK_OK(gpu->join_ranks(id, 0, 1, &err), err);
  for (int i = 0; i < N; i++) single[i] = (float)(wide[i] = 1 / (double)(i + 1));
  check_both(VBL_F32, single, sizeof single);
  check_both(VBL_F64, wide, sizeof wide);
  check_recorded();
  CHECK_OK(gpu->sync(NULL, &err), err);
  return check_done();
}
