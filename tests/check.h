// The whole test framework in C: checks that count, print file:line with what was found, and never stop the run.
// Use: `int main(void) { ...; return check_done(); }`. A test that cannot run says why and returns check_skip("...").
// defines: CHECK, CHECK_NEAR, CHECK_STR, CHECK_OK, check_done, check_skip
#pragma once
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/status.h"

static int check_passed, check_failed;

#define CHECK_REPORT_(ok, ...)                        \
  do {                                                \
    if (ok) {                                         \
      check_passed++;                                 \
    } else {                                          \
      check_failed++;                                 \
      fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
      fprintf(stderr, __VA_ARGS__);                   \
      fputc('\n', stderr);                            \
    }                                                 \
  } while (0)

#define CHECK(cond) CHECK_REPORT_((cond), "failed: %s", #cond)

// |a - b| <= tolerance; NaN fails.
#define CHECK_NEAR(a, b, tolerance)                                                                                     \
  do {                                                                                                                  \
    double check_a_ = (double)(a), check_b_ = (double)(b);                                                              \
    CHECK_REPORT_(fabs(check_a_ - check_b_) <= (tolerance), "%s = %.12g, expected %.12g +- %g", #a, check_a_, check_b_, \
                  (double)(tolerance));                                                                                 \
  } while (0)

#define CHECK_STR(a, b) CHECK_REPORT_(strcmp((a), (b)) == 0, "%s = \"%s\", expected \"%s\"", #a, (a), (b))

// A core call that has to succeed; `err` is the vbl_error that it fills.
#define CHECK_OK(call, err) CHECK_REPORT_((call) == VBL_OK, "%s: %s", #call, (err).message)

static inline int check_done(void) {
  printf("%d passed, %d failed\n", check_passed, check_failed);
  return check_failed == 0 && check_passed > 0 ? 0 : 1;
}

static inline int check_skip(const char *why) {
  printf("SKIPPED: %s\n", why);
  return 77;
}
