// The profiler: nothing while off; calls, phases and FLOPs by name; rows' seconds are their own and add up to the outermost span.
#include <time.h>

#include "core/ops/ops.h"
#include "core/tape/profile.h"
#include "kernels/kernels.h"
#include "tests/check.h"

static vbl_error err;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void spin(double seconds) {
  for (double end = now() + seconds; now() < end;) continue;
}

static const vbl_profile_row *row(const char *name) {
  int count;
  const vbl_profile_row *rows = vbl_profile_read(&count);
  for (int i = 0; i < count; i++)
    if (strcmp(rows[i].name, name) == 0) return &rows[i];
  return NULL;
}

static vbl_tensor *ones(int64_t rows, int64_t columns) {
  vbl_tensor *t;
  CHECK_OK(vbl_tensor_new(vbl_cpu_backend(), VBL_F32, 2, (int64_t[]){rows, columns}, &t, &err), err);
  CHECK_OK(vbl_tensor_fill(t, 1, &err), err);
  t->requires_grad = true;
  return t;
}

// Forward and backward of sum(x w'), x [4,3], w [5,3].
static void linear_step(void) {
  vbl_tensor *x = ones(4, 3), *w = ones(5, 3), *y[VBL_MAX_OUTPUTS] = {0}, *loss[VBL_MAX_OUTPUTS] = {0};
  CHECK_OK(vbl_apply(&vbl_op_linear, (vbl_tensor *[]){x, w}, 2, NULL, y, &err), err);
  CHECK_OK(vbl_apply(&vbl_op_sum, y, 1, &(vbl_attrs){.n = {-1}}, loss, &err), err);
  CHECK_OK(vbl_backward(loss[0], NULL, false, &err), err);
  vbl_tensor *all[] = {x, w, y[0], loss[0]};
  for (int i = 0; i < 4; i++) vbl_tensor_release(all[i]);
}

static void test_ops(void) {
  int count;
  vbl_profile_start();
  linear_step();
  linear_step();
  vbl_profile_stop();
  linear_step();  // not counted
  const vbl_profile_row *linear = row("linear"), *gemm = row("gemm"), *sum = row("sum");
  CHECK(linear != NULL && gemm != NULL && sum != NULL);
  if (linear == NULL || gemm == NULL || sum == NULL) return;
  vbl_profile_read(&count);
  CHECK(count == 3);
  CHECK(linear->calls == 4);
  CHECK(sum->calls == 4);
  CHECK(gemm->calls == 6);
  CHECK_NEAR(gemm->flops, 2 * 3 * 2.0 * 4 * 5 * 3, 0);
  CHECK_NEAR(linear->flops, 0, 0);
  CHECK(linear->forward > 0 && linear->backward > 0 && gemm->forward > 0 && gemm->backward > 0);
}

// A failing op ends its span too: what comes after it is nobody's child.
static void test_failure(void) {
  vbl_tensor *x = ones(4, 3), *w = ones(5, 2), *y[VBL_MAX_OUTPUTS] = {0};
  vbl_span outer, after;
  vbl_profile_start();
  vbl_span_begin(&outer, "outer", VBL_PHASE_BACKWARD);
  CHECK(vbl_apply(&vbl_op_linear, (vbl_tensor *[]){x, w}, 2, NULL, y, &err) == VBL_EINVAL);
  vbl_span_begin(&after, "after", VBL_PHASE_OUTER);
  CHECK(after.outer == &outer);
  vbl_span_end(&after, 0);
  vbl_span_end(&outer, 0);
  vbl_profile_stop();
  CHECK(row("linear") != NULL && row("linear")->calls == 1);
  CHECK(row("after") != NULL && row("after")->backward > 0 && row("after")->forward == 0);
  vbl_tensor_release(x);
  vbl_tensor_release(w);
}

// outer holds 4 ms of its own and 8 ms in two inner spans: the rows' sum is the outer span's length, whatever the machine's load.
static void test_own_time(void) {
  vbl_span outer, inner;
  vbl_profile_start();
  double started = now();
  vbl_span_begin(&outer, "outer", VBL_PHASE_FORWARD);
  spin(0.004);
  for (int i = 0; i < 2; i++) {
    vbl_span_begin(&inner, "inner", VBL_PHASE_OUTER);
    spin(0.004);
    vbl_span_end(&inner, 7);
  }
  vbl_span_end(&outer, 0);
  double length = now() - started;
  vbl_profile_stop();
  const vbl_profile_row *o = row("outer"), *i = row("inner");
  CHECK(o != NULL && i != NULL);
  if (o == NULL || i == NULL) return;
  CHECK(o->calls == 1 && i->calls == 2);
  CHECK_NEAR(i->flops, 14, 0);
  CHECK(o->forward >= 0.004 && i->forward >= 0.008 && i->backward == 0);
  CHECK(o->forward + i->forward <= length);
}

static void test_off_and_full(void) {
  static char names[VBL_PROFILE_ROWS + 20][16];
  vbl_span span;
  int count;
  vbl_profile_start();
  vbl_profile_stop();
  vbl_span_begin(&span, "off", VBL_PHASE_FORWARD);
  vbl_span_end(&span, 1);
  vbl_profile_read(&count);
  CHECK(count == 0);
  vbl_profile_start();
  for (int i = 0; i < VBL_PROFILE_ROWS + 20; i++) {
    snprintf(names[i], sizeof names[i], "n%d", i);
    vbl_span_begin(&span, names[i], VBL_PHASE_FORWARD);
    vbl_span_end(&span, 0);
  }
  vbl_profile_stop();
  vbl_profile_read(&count);
  CHECK(count == VBL_PROFILE_ROWS);
  CHECK(row("n0")->calls == 1);
  CHECK(row("other") != NULL && row("other")->calls == 21);
}

int main(void) {
  test_ops();
  test_failure();
  test_own_time();
  test_off_and_full();
  return check_done();
}
