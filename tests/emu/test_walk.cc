// How kernels find an element's place in strided arrays: dims that lie as one are one, and the division by a multiplication is exact.
#include <stdio.h>

#include "kernels/cuda/cuda.h"

using namespace vbl_cuda;

static int failures;

#define CHECK(condition, ...)                                       \
  do {                                                              \
    if (condition) break;                                           \
    if (failures++ > 20) break;                                     \
    fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
    fprintf(stderr, __VA_ARGS__);                                   \
    fprintf(stderr, "\n");                                          \
  } while (0)

static uint32_t drawn(uint32_t i) { return vbl_philox({5, 7}, i, 0, 0, 0).v[0]; }

// Around the multiples of `by`, where a quotient changes.
static void check_division(uint32_t by, uint32_t times) {
  const divider d = divider_of(by);
  for (int64_t n = (int64_t)by * times - 1; n <= (int64_t)by * times + 1; n++)
    if (n >= 0 && n < (int64_t)1 << 31) CHECK(divide((uint32_t)n, d) == (uint32_t)n / by, "%lld / %u", (long long)n, by);
}

static void divisions() {
  const uint32_t last = (1u << 31) - 1;
  for (uint32_t i = 0; i < 31; i++)
    for (uint32_t k = 0; k < 400; k++)
      for (int near = -1; near <= 1; near++) {
        const uint32_t by = (1u << i) + (uint32_t)near;
        if (by == 0) continue;
        check_division(by, drawn(k) % (last / by + 1));
        check_division(by, last / by);
      }
  for (uint32_t k = 0; k < 200000; k++) {
    const uint32_t by = drawn(2 * k) >> 1 >> drawn(2 * k + 1) % 31;
    if (by > 0) check_division(by, drawn(3 * k) % (last / by + 1));
  }
}

// The places of every element, by the strides as they are given.
static void check_walk(int ndim, const int64_t *shape, const int64_t *a, const int64_t *b, int dims) {
  int64_t n, index[VBL_MAX_DIMS] = {0};
  walk w = walk_of(ndim, shape, a, b, &n);
  CHECK(w.ndim == dims, "%d dims, expected %d", w.ndim, dims);
  for (int small = 1; small >= 0; small--) {
    w.small = small;
    for (int64_t i = 0; i < n; i++) {
      int64_t at_a, at_b, want_a = 0, want_b = 0, rest = i;
      for (int k = ndim - 1; k >= 0; k--) {
        index[k] = rest % shape[k];
        rest /= shape[k];
        want_a += index[k] * a[k], want_b += index[k] * b[k];
      }
      locate(w, i, &at_a, &at_b);
      CHECK(at_a == want_a && at_b == want_b, "element %lld", (long long)i);
    }
  }
}

static void walks() {
  const int64_t one[] = {3, 4, 5}, dense[] = {20, 5, 1}, turned[] = {1, 3, 12}, rows[] = {0, 5, 1}, apart[] = {40, 10, 1},
                wide[] = {3, 1, 5}, column[] = {20, 1, 1}, back[] = {-20, -5, -1}, nothing[] = {0, 4};
  check_walk(3, one, dense, dense, 1);
  check_walk(3, one, dense, turned, 3);
  check_walk(3, one, dense, rows, 2);
  check_walk(3, one, apart, apart, 2);
  check_walk(3, one, apart, dense, 2);
  check_walk(3, wide, column, column, 2);
  check_walk(3, one, back, back, 1);
  check_walk(0, one, dense, dense, 0);
  int64_t n;
  walk_of(2, nothing, dense, dense, &n);
  CHECK(n == 0, "%lld elements of none", (long long)n);
}

int main() {
  divisions();
  walks();
  return failures > 0;
}
