// AdamW and SGD against the equations in plain double arithmetic, packed and unpacked; clipping; leaves without a gradient; NaN.
#include "core/optim/optim.h"
#include "kernels/kernels.h"
#include "tests/check.h"

enum { LEAVES = 5, STEPS = 7 };
static const int64_t shapes[LEAVES][2] = {{7, 5}, {5, 5}, {1, 33}, {3, 1}, {64, 3}};
static const char *const names[LEAVES] = {"a.weight", "b.weight", "c.weight", "d.bias", "e.weight"};
static vbl_error err;

static double value(int leaf, int64_t i, int step) { return sin(1.3 * (leaf + 1) + 0.37 * (double)i + 2.1 * step); }

static vbl_tensor *make(int leaf, vbl_dtype dtype) {
  // The fourth leaf is one-dimensional: no decay by default.
  vbl_tensor *t = NULL;
  CHECK_OK(vbl_tensor_new(vbl_cpu_backend(), dtype, leaf == 3 ? 1 : 2, shapes[leaf], &t, &err), err);
  t->requires_grad = true;
  for (int64_t i = 0; i < vbl_tensor_numel(t); i++)
    if (dtype == VBL_F32)
      ((float *)vbl_tensor_data(t))[i] = (float)value(leaf, i, 0);
    else
      ((double *)vbl_tensor_data(t))[i] = value(leaf, i, 0);
  return t;
}

static double get(const vbl_tensor *t, int64_t i) {
  return t->dtype == VBL_F32 ? (double)((float *)vbl_tensor_data(t))[i] : ((double *)vbl_tensor_data(t))[i];
}

static void set_grad(vbl_tensor *t, int leaf, int step) {
  if (t->grad == NULL) CHECK_OK(vbl_tensor_like(t, &t->grad, &err), err);
  for (int64_t i = 0; i < vbl_tensor_numel(t); i++)
    if (t->dtype == VBL_F32)
      ((float *)vbl_tensor_data(t->grad))[i] = (float)value(leaf, 3 * i, step);
    else
      ((double *)vbl_tensor_data(t->grad))[i] = value(leaf, 3 * i, step);
  t->has_grad = true;
}

typedef struct reference {
  double w[256], m[256], v[256];
  int t;
} reference;

// torch.optim.AdamW and torch.optim.SGD for one leaf.
static void reference_step(const vbl_optimizer_options *o, reference *r, const vbl_tensor *grad, bool decay, double lr,
                           double scale) {
  r->t++;
  for (int64_t i = 0; i < vbl_tensor_numel(grad); i++) {
    double g = get(grad, i) * scale;
    if (o->kind == VBL_SGD) {
      g += decay ? o->weight_decay * r->w[i] : 0;
      r->m[i] = r->t == 1 ? g : o->momentum * r->m[i] + g;
      r->w[i] -= lr * r->m[i];
      continue;
    }
    if (decay) r->w[i] *= 1 - lr * o->weight_decay;
    r->m[i] = o->beta1 * r->m[i] + (1 - o->beta1) * g;
    r->v[i] = o->beta2 * r->v[i] + (1 - o->beta2) * g * g;
    double denominator = sqrt(r->v[i]) / sqrt(1 - pow(o->beta2, r->t)) + o->eps;
    r->w[i] -= lr / (1 - pow(o->beta1, r->t)) * r->m[i] / denominator;
  }
}

// Leaf 2 gets no gradient at odd steps: its own t must lag.
static bool has_gradient(int leaf, int step) { return leaf != 2 || step % 2 == 0; }

static void run(vbl_optimizer_options options, vbl_dtype dtype, bool pack) {
  vbl_tensor *leaves[LEAVES];
  reference refs[LEAVES] = {0};
  for (int i = 0; i < LEAVES; i++) {
    leaves[i] = make(i, dtype);
    for (int64_t j = 0; j < vbl_tensor_numel(leaves[i]); j++) refs[i].w[j] = get(leaves[i], j);
  }
  if (pack) {
    CHECK_OK(vbl_parameters_pack(leaves, LEAVES, &err), err);
    for (int i = 0; i < LEAVES; i++) CHECK(!leaves[i]->has_grad && leaves[i]->grad != NULL);
    CHECK((char *)vbl_tensor_data(leaves[1]) == (char *)vbl_tensor_data(leaves[0]) + 35 * vbl_dtype_size(dtype));
    CHECK((char *)vbl_tensor_data(leaves[1]->grad) == (char *)vbl_tensor_data(leaves[0]->grad) + 35 * vbl_dtype_size(dtype));
  }
  vbl_optimizer *o = NULL;
  CHECK_OK(vbl_optimizer_new(options, names, leaves, NULL, NULL, LEAVES, &o, &err), err);
  for (int step = 1; step <= STEPS; step++) {
    vbl_optimizer_zero_grad(o);
    double sum = 0, norm = 0, lr = 0.01 * step;
    for (int i = 0; i < LEAVES; i++) {
      if (!has_gradient(i, step)) continue;
      set_grad(leaves[i], i, step);
      for (int64_t j = 0; j < vbl_tensor_numel(leaves[i]); j++) sum += get(leaves[i]->grad, j) * get(leaves[i]->grad, j);
    }
    CHECK_OK(vbl_optimizer_step(o, lr, &norm, &err), err);
    CHECK_NEAR(norm, sqrt(sum), 1e-6 * sqrt(sum));
    double scale = options.clip > 0 ? fmin(1, options.clip / (sqrt(sum) + 1e-6)) : 1;
    for (int i = 0; i < LEAVES; i++)
      if (has_gradient(i, step)) reference_step(&options, &refs[i], leaves[i]->grad, i != 3, lr, scale);
  }
  // Rounding: each f32 step errs by a few half-ulp of w (|w| < 4) and of the update (< 0.1).
  double tolerance = dtype == VBL_F32 ? STEPS * 8 * 0x1p-24 * 4 : 1e-12;
  for (int i = 0; i < LEAVES; i++) {
    double worst = 0;
    for (int64_t j = 0; j < vbl_tensor_numel(leaves[i]); j++) worst = fmax(worst, fabs(get(leaves[i], j) - refs[i].w[j]));
    CHECK_NEAR(worst, 0, tolerance);
    CHECK(o->leaves[i].t == refs[i].t);
    vbl_tensor_release(leaves[i]);
  }
  vbl_optimizer_free(o);
}

static void nonfinite(void) {
  vbl_tensor *leaves[LEAVES];
  for (int i = 0; i < LEAVES; i++) {
    leaves[i] = make(i, VBL_F32);
    set_grad(leaves[i], i, 1);
  }
  ((float *)vbl_tensor_data(leaves[4]->grad))[11] = NAN;
  vbl_optimizer *o = NULL;
  vbl_optimizer_options options = {VBL_ADAMW, 0.9, 0.98, 1e-8, 0, 0.01, 1};
  CHECK_OK(vbl_optimizer_new(options, names, leaves, NULL, NULL, LEAVES, &o, &err), err);
  CHECK(vbl_optimizer_step(o, 0.1, NULL, &err) == VBL_ENUMERIC);
  CHECK(strstr(err.message, "e.weight") != NULL);
  for (int i = 0; i < LEAVES; i++) {
    CHECK(get(leaves[i], 0) == (double)(float)value(i, 0, 0));
    vbl_tensor_release(leaves[i]);
  }
  vbl_optimizer_free(o);
}

static int calls;
static vbl_backend counting;  // the CPU's, counting the optimizer's kernel calls

static void count_adamw(void *w, const void *g, void *m, void *v, int64_t n, double lr, double beta1, double beta2, double eps,
                        double decay, double scale, int64_t t, vbl_stream s) {
  calls++;
  vbl_cpu_backend()->adamw(w, g, m, v, n, lr, beta1, beta2, eps, decay, scale, t, s);
}

// Packed neighbours of one rule are one call: leaves 0 to 2 (decay), 3 (none), 4 (decay). A leaf that lags behind, or has no
// gradient, breaks the run.
static void one_call_per_run(void) {
  counting = *vbl_cpu_backend();
  counting.adamw = count_adamw;
  vbl_tensor *leaves[LEAVES];
  for (int i = 0; i < LEAVES; i++) {
    CHECK_OK(vbl_tensor_zeros(&counting, VBL_F32, i == 3 ? 1 : 2, shapes[i], &leaves[i], &err), err);
    leaves[i]->requires_grad = true;
  }
  CHECK_OK(vbl_parameters_pack(leaves, LEAVES, &err), err);
  vbl_optimizer *o = NULL;
  vbl_optimizer_options options = {VBL_ADAMW, 0.9, 0.98, 1e-8, 0, 0.01, 1};
  CHECK_OK(vbl_optimizer_new(options, names, leaves, NULL, NULL, LEAVES, &o, &err), err);
  static const int expected[] = {3, 4, 5, 4};
  for (int step = 0; step < 4; step++) {
    calls = 0;
    for (int i = 0; i < LEAVES; i++) set_grad(leaves[i], i, step);
    if (step == 1) leaves[1]->has_grad = false;       // 0 | 2 | 3 | 4
    if (step == 3) leaves[2]->requires_grad = false;  // 0 | 1 | 3 | 4
    CHECK_OK(vbl_optimizer_step(o, 0.1, NULL, &err), err);
    CHECK(calls == expected[step]);  // step 2: 0 | 1, which lags | 2 | 3 | 4
  }
  vbl_optimizer_free(o);
  vbl_tensor *twice[] = {leaves[0], leaves[1], leaves[0]};
  CHECK(vbl_optimizer_new(options, names, twice, NULL, NULL, 3, &o, &err) == VBL_EINVAL);
  CHECK(strstr(err.message, "a.weight and c.weight are the same tensor") != NULL);
  for (int i = 0; i < LEAVES; i++) vbl_tensor_release(leaves[i]);
}

int main(void) {
  const size_t before = vbl_memory().live;
  for (int dtype = VBL_F32; dtype <= VBL_F64; dtype++)
    for (int pack = 0; pack < 2; pack++) {
      run((vbl_optimizer_options){VBL_ADAMW, 0.9, 0.98, 1e-8, 0, 0.01, 1}, (vbl_dtype)dtype, pack);
      run((vbl_optimizer_options){VBL_ADAMW, 0.9, 0.999, 1e-6, 0, 0.1, 0}, (vbl_dtype)dtype, pack);
      run((vbl_optimizer_options){VBL_SGD, 0, 0, 0, 0.9, 0.01, 0.5}, (vbl_dtype)dtype, pack);
    }
  nonfinite();
  one_call_per_run();
  CHECK(vbl_memory().live == before);
  return check_done();
}
