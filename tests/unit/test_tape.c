// The tape: what is recorded, where gradients go, what is freed and when.
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/ops/ops.h"
#include "kernels/kernels.h"
#include "tests/check.h"

static vbl_error err;

static vbl_tensor *vector(vbl_dtype dtype, int64_t n, const double *values, bool requires_grad) {
  vbl_tensor *t;
  CHECK_OK(vbl_tensor_new(vbl_cpu_backend(), dtype, 1, &n, &t, &err), err);
  for (int64_t i = 0; i < n; i++) vbl_tensor_set(t, &i, values[i]);
  t->requires_grad = requires_grad;
  return t;
}

static double at(const vbl_tensor *t, int64_t i) { return vbl_tensor_get(t, &i); }

static vbl_tensor *apply(const vbl_op *op, vbl_tensor *a, vbl_tensor *b, const vbl_attrs *attrs) {
  vbl_tensor *in[2] = {a, b}, *out[VBL_MAX_OUTPUTS] = {0};
  CHECK_OK(vbl_apply(op, in, b == NULL ? 1 : 2, attrs, out, &err), err);
  return out[0];
}

static vbl_tensor *sum(vbl_tensor *x) { return apply(&vbl_op_sum, x, NULL, &(vbl_attrs){.n = {-1}}); }

static vbl_tensor *scaled(vbl_tensor *x, double alpha) { return apply(&vbl_op_affine, x, NULL, &(vbl_attrs){.alpha = alpha}); }

// A leaf used twice gets both gradients; a second backward adds; a cleared flag makes the next one write.
static void test_accumulation(void) {
  vbl_tensor *x = vector(VBL_F32, 3, (double[]){1, 2, 3}, true);
  for (int round = 0; round < 3; round++) {
    vbl_tensor *y = apply(&vbl_op_mul, x, x, NULL), *z = apply(&vbl_op_add, y, x, NULL), *loss = sum(z);
    if (round == 2) x->has_grad = false;
    CHECK_OK(vbl_backward(loss, NULL, false, &err), err);
    const double times = round == 1 ? 2 : 1;
    for (int64_t i = 0; i < 3; i++) CHECK_NEAR(at(x->grad, i), times * (2.0 * (double)(i + 1) + 1), 1e-6);
    CHECK(x->has_grad);
    vbl_tensor_release(y);
    vbl_tensor_release(z);
    vbl_tensor_release(loss);
  }
  vbl_tensor_release(x);
}

// y + y: one tensor is the gradient of both inputs, and must not be added to itself in place twice.
static void test_shared_gradient(void) {
  vbl_tensor *x = vector(VBL_F32, 2, (double[]){1, 2}, true), *y = scaled(x, 3), *z = apply(&vbl_op_add, y, y, NULL);
  vbl_tensor *w = apply(&vbl_op_add, z, y, NULL), *seed = vector(VBL_F32, 2, (double[]){1, 10}, false);
  CHECK_OK(vbl_backward(w, seed, false, &err), err);
  CHECK_NEAR(at(x->grad, 0), 9, 0);
  CHECK_NEAR(at(x->grad, 1), 90, 0);
  CHECK_NEAR(at(seed, 1), 10, 0);
  vbl_tensor *all[] = {x, y, z, w, seed};
  for (int i = 0; i < 5; i++) vbl_tensor_release(all[i]);
}

// A leaf's .grad may be a view of a block that somebody else made.
static void test_block_gradient(void) {
  vbl_tensor *x = vector(VBL_F32, 2, (double[]){1, 2}, true), *block = vector(VBL_F32, 4, (double[]){7, 7, 7, 7}, false);
  CHECK_OK(vbl_tensor_narrow(block, 0, 1, 2, &x->grad, &err), err);
  vbl_tensor *y = scaled(x, 5), *loss = sum(y);
  CHECK_OK(vbl_backward(loss, NULL, false, &err), err);
  for (int64_t i = 0; i < 4; i++) CHECK_NEAR(at(block, i), i == 1 || i == 2 ? 5 : 7, 0);
  vbl_tensor *all[] = {x, y, loss, block};
  for (int i = 0; i < 4; i++) vbl_tensor_release(all[i]);
}

static void test_freed_graph(void) {
  vbl_tensor *x = vector(VBL_F32, 1, (double[]){2}, true), *y = apply(&vbl_op_square, x, NULL, NULL);
  CHECK_OK(vbl_backward(y, NULL, true, &err), err);
  CHECK_OK(vbl_backward(y, NULL, false, &err), err);
  CHECK_NEAR(at(x->grad, 0), 8, 0);
  CHECK(vbl_backward(y, NULL, false, &err) == VBL_EINVAL);
  CHECK(strstr(err.message, "freed by an earlier backward") != NULL);
  CHECK_NEAR(at(x->grad, 0), 8, 0);
  vbl_tensor_release(y);
  vbl_tensor_release(x);
}

static void test_nothing_to_do(void) {
  vbl_tensor *x = vector(VBL_F32, 2, (double[]){1, 2}, false), *y = scaled(x, 2);
  CHECK(!y->requires_grad && y->node == NULL);
  CHECK(vbl_backward(y, NULL, false, &err) == VBL_EINVAL);
  x->requires_grad = true;
  const bool old = vbl_set_recording(false);
  vbl_tensor *z = scaled(x, 2);
  vbl_set_recording(old);
  CHECK(z->node == NULL);
  vbl_tensor *w = scaled(x, 2);
  CHECK(vbl_backward(w, NULL, false, &err) == VBL_EINVAL);  // two elements, no seed
  CHECK(strstr(err.message, "[2]") != NULL);
  CHECK(x->grad == NULL);
  vbl_tensor *all[] = {x, y, z, w};
  for (int i = 0; i < 4; i++) vbl_tensor_release(all[i]);
}

// bf16 leaves have f32 gradients; integers have none.
static void test_dtypes(void) {
  vbl_tensor *x = vector(VBL_BF16, 2, (double[]){1, 2}, true), *y = scaled(x, 3), *loss = sum(y);
  CHECK(y->dtype == VBL_F32);
  CHECK_OK(vbl_backward(loss, NULL, false, &err), err);
  CHECK(x->grad->dtype == VBL_F32);
  CHECK_NEAR(at(x->grad, 1), 3, 0);
  vbl_tensor *i = apply(&vbl_op_cast, y, NULL, &(vbl_attrs){.n = {VBL_I32}});
  CHECK(i->node == NULL && !i->requires_grad);
  vbl_tensor *wide = vector(VBL_F64, 2, (double[]){1, 2}, false), *in[2] = {x, wide}, *out[VBL_MAX_OUTPUTS];
  CHECK(vbl_apply(&vbl_op_add, in, 2, NULL, out, &err) == VBL_EINVAL);
  CHECK(strncmp(err.message, "add: ", 5) == 0 && strstr(err.message, "f64") != NULL);
  vbl_tensor *all[] = {x, y, loss, i, wide};
  for (int k = 0; k < 5; k++) vbl_tensor_release(all[k]);
}

// A chain of 200,000 ops: its end must not recurse, with and without a backward; and memory comes back.
static void test_deep_graph(void) {
  const size_t before = vbl_memory().live;
  for (int round = 0; round < 2; round++) {
    vbl_tensor *x = vector(VBL_F32, 1, (double[]){1}, true), *y = vbl_tensor_retain(x);
    for (int i = 0; i < 200000; i++) {
      vbl_tensor *next = scaled(y, 1);
      vbl_tensor_release(y);
      y = next;
    }
    if (round == 1) {
      CHECK_OK(vbl_backward(y, NULL, false, &err), err);
      CHECK_NEAR(at(x->grad, 0), 1, 0);
    }
    vbl_tensor_release(y);
    vbl_tensor_release(x);
  }
  CHECK(vbl_memory().live == before);
}

// What an op does not save is free as soon as its result is dropped, although the graph lives on.
static void test_small_graph(void) {
  const int64_t n = 1 << 16;
  vbl_tensor *x;
  CHECK_OK(vbl_tensor_zeros(vbl_cpu_backend(), VBL_F32, 1, &n, &x, &err), err);
  x->requires_grad = true;
  const size_t before = vbl_memory().live;
  vbl_tensor *y = scaled(x, 2), *z = scaled(y, 2);
  vbl_tensor_release(y);
  CHECK(vbl_memory().live - before < (size_t)n * 4 * 2);
  vbl_tensor_release(z);
  vbl_tensor_release(x);
}

static vbl_status fail_run(void *context, vbl_tensor *const *og, int outputs, vbl_tensor **ig, int inputs, vbl_error *e) {
  (void)context, (void)og, (void)outputs, (void)ig, (void)inputs;
  return vbl_fail(e, VBL_EIO, "no luck");
}

static vbl_status triple_run(void *context, vbl_tensor *const *og, int outputs, vbl_tensor **ig, int inputs, vbl_error *e) {
  (void)outputs, (void)inputs;
  ++*(int *)context;
  VBL_TRY(vbl_tensor_like(og[0], &ig[0], e));
  vbl_cpu_backend()->scale_add(3, vbl_tensor_data(og[0]), 0, vbl_tensor_data(ig[0]), vbl_tensor_numel(og[0]), NULL);
  return VBL_OK;
}

static void count_destroy(void *context) { *(int *)context += 100; }

static void test_custom(void) {
  int calls = 0, ignored = 0;
  vbl_tensor *x = vector(VBL_F32, 1, (double[]){2}, true), *h = scaled(x, 2), *y = vector(VBL_F32, 1, (double[]){12}, false);
  CHECK_OK(vbl_record_custom("triple", &h, 1, &y, 1, (vbl_custom){triple_run, count_destroy, &calls}, &err), err);
  CHECK_OK(vbl_backward(y, NULL, false, &err), err);
  CHECK(calls == 101);
  CHECK_NEAR(at(x->grad, 0), 6, 0);
  vbl_tensor *plain = vector(VBL_F32, 1, (double[]){1}, false), *out = vector(VBL_F32, 1, (double[]){1}, false);
  CHECK_OK(vbl_record_custom("unused", &plain, 1, &out, 1, (vbl_custom){fail_run, count_destroy, &ignored}, &err), err);
  CHECK(ignored == 100 && out->node == NULL);

  // A failure in the middle leaves a message with the node's name and no gradients behind in the graph.
  vbl_tensor *g = scaled(x, 2), *bad = vector(VBL_F32, 1, (double[]){1}, false);
  CHECK_OK(vbl_record_custom("broken", &g, 1, &bad, 1, (vbl_custom){fail_run, NULL, NULL}, &err), err);
  vbl_tensor *top = apply(&vbl_op_add, bad, g, NULL);
  CHECK(vbl_backward(top, NULL, true, &err) == VBL_EIO);
  CHECK_STR(err.message, "backward of broken: no luck");
  x->has_grad = false;
  CHECK_OK(vbl_backward(g, NULL, false, &err), err);
  CHECK_NEAR(at(x->grad, 0), 2, 0);
  vbl_tensor *all[] = {x, h, y, plain, out, g, bad, top};
  for (int i = 0; i < 8; i++) vbl_tensor_release(all[i]);
}

static void test_interrupt(void) {
  vbl_tensor *x = vector(VBL_F32, 1, (double[]){2}, true), *y = scaled(x, 2), *out[VBL_MAX_OUTPUTS];
  vbl_interrupt_request(2);
  CHECK(vbl_apply(&vbl_op_neg, &x, 1, NULL, out, &err) == VBL_EINTERRUPT);
  CHECK(vbl_backward(y, NULL, true, &err) == VBL_EINTERRUPT);
  vbl_interrupt_clear();
  CHECK_OK(vbl_backward(y, NULL, false, &err), err);
  CHECK_NEAR(at(x->grad, 0), 2, 0);
  vbl_tensor_release(y);
  vbl_tensor_release(x);
}

static void test_many_roots(void) {
  vbl_tensor *x = vector(VBL_F32, 1, (double[]){2}, true), *y = apply(&vbl_op_square, x, NULL, NULL), *z = scaled(y, 3);
  vbl_tensor *seed = vector(VBL_F32, 1, (double[]){10}, false), *roots[2] = {y, z}, *seeds[2] = {seed, NULL};
  CHECK_OK(vbl_backward_many(roots, seeds, 2, false, &err), err);
  CHECK_NEAR(at(x->grad, 0), 4 * (10 + 3), 0);
  vbl_tensor *all[] = {x, y, z, seed};
  for (int i = 0; i < 4; i++) vbl_tensor_release(all[i]);
}

int main(void) {
  const size_t before = vbl_memory().live;
  test_accumulation();
  test_shared_gradient();
  test_block_gradient();
  test_freed_graph();
  test_nothing_to_do();
  test_dtypes();
  test_deep_graph();
  test_small_graph();
  test_custom();
  test_interrupt();
  test_many_roots();
  CHECK(vbl_memory().live == before);
  return check_done();
}
