// Every op, on every case of op_cases.h, in f32 (the CPU's kernels, or those of the device that VBL_TEST_DEVICE names) against f64 (the
// reference backend), with strided inputs whose holes are NaN, with bf16 inputs, against finite differences, and for how it delivers
// gradients.
#include "tests/unit/op_example.h"

static const vbl_backend *device;  // NULL: the CPU

// f64 is computed on the host.
static const vbl_backend *memory_for(vbl_dtype real) { return device != NULL && real != VBL_F64 ? device : vbl_cpu_backend(); }

// ---- one run of an op --------------------------------------------------------------------------------------------------

typedef struct result {
  vbl_status status;
  int outputs;
  int64_t count[VBL_MAX_OUTPUTS], grad_count[VBL_MAX_INPUTS];
  vbl_dtype dtype[VBL_MAX_OUTPUTS];
  double out[VBL_MAX_OUTPUTS][MAX_ELEMENTS], grad[VBL_MAX_INPUTS][MAX_ELEMENTS];
  bool has_grad[VBL_MAX_INPUTS];
} result;

static double seed_value(int64_t output, int64_t i) {
  return (2 * floor(vbl_philox_uniform((vbl_philox_key){13, 0}, (uint32_t)i, (uint32_t)output, 0, 0) * 128) - 127) / 64;
}

static vbl_tensor *seed_of(const vbl_tensor *out, int number) {
  double value[MAX_ELEMENTS];
  vbl_tensor *seed;
  for (int64_t i = 0; i < vbl_tensor_numel(out); i++) value[i] = seed_value(number, i);
  CHECK_OK(vbl_tensor_new(out->storage->backend, out->dtype == VBL_F64 ? VBL_F64 : VBL_F32, out->ndim, out->shape, &seed, &err),
           err);
  write_values(seed, value);
  return seed;
}

// Backward from the outputs in `seeded` (bits) that have a history.
static void run_backward(vbl_tensor *const *out, int outputs, unsigned seeded, bool keep) {
  vbl_tensor *roots[VBL_MAX_OUTPUTS], *seeds[VBL_MAX_OUTPUTS];
  int count = 0;
  for (int o = 0; o < outputs; o++) {
    if (!(seeded & 1u << o) || out[o]->node == NULL) continue;
    roots[count] = out[o];
    seeds[count++] = seed_of(out[o], o);
  }
  if (count > 0) CHECK_OK(vbl_backward_many(roots, seeds, count, keep, &err), err);
  while (count > 0) vbl_tensor_release(seeds[--count]);
}

typedef struct setting {
  vbl_dtype real;
  enum layout layout;
  unsigned wanted;  // inputs that require a gradient (bits)
  unsigned seeded;  // outputs that get one
  int backwards;    // how many times backward runs
} setting;

static void collect(const op_example *e, vbl_tensor *const *in, vbl_tensor *const *out, result *r) {
  r->outputs = e->op->outputs;
  for (int o = 0; o < r->outputs; o++) {
    r->count[o] = vbl_tensor_numel(out[o]);
    r->dtype[o] = out[o]->dtype;
    read_values(out[o], r->out[o]);
  }
  for (int i = 0; i < e->inputs; i++) {
    r->has_grad[i] = in[i] != NULL && in[i]->has_grad;
    if (!r->has_grad[i]) continue;
    r->grad_count[i] = vbl_tensor_numel(in[i]->grad);
    read_values(in[i]->grad, r->grad[i]);
  }
}

static void run(const op_example *e, setting s, result *r) {
  vbl_tensor *in[VBL_MAX_INPUTS] = {0}, *out[VBL_MAX_OUTPUTS] = {0};
  memset(r, 0, sizeof *r);
  for (int i = 0; i < e->inputs; i++) {
    if (e->in[i].kind == '-') continue;
    in[i] = make_input(&e->in[i], memory_for(s.real), s.real, s.layout);
    in[i]->requires_grad = is_real(&e->in[i]) && (s.wanted & 1u << i);
  }
  r->status = vbl_apply(e->op, in, e->inputs, &e->row->attrs, out, &err);
  // What the host has to know it is told, the number of labels that count; and there is no f64 on a device.
  const bool told = device != NULL && r->status == VBL_EINVAL &&
                    (strstr(err.message, "on a device need a divisor") != NULL ||
                     strstr(err.message, "cast: cuda:0 does not compute in f64") != NULL);
  CHECK_REPORT_(r->status == VBL_OK || told, "case %d %s(%s): %s", e->number, e->row->op, e->row->inputs, err.message);
  if (r->status == VBL_OK) {
    for (int k = 0; k < s.backwards; k++) run_backward(out, e->op->outputs, s.seeded, k + 1 < s.backwards);
    collect(e, in, out, r);
  }
  for (int i = 0; i < e->inputs; i++) vbl_tensor_release(in[i]);
  for (int o = 0; o < e->op->outputs; o++) vbl_tensor_release(out[o]);
}

// ---- comparisons -------------------------------------------------------------------------------------------------------

// Largest |a - b|; NaN agrees with NaN only. times: b is multiplied by it.
static double distance(const double *a, const double *b, double times, int64_t n) {
  double worst = 0;
  for (int64_t i = 0; i < n; i++) {
    if (isnan(a[i]) && isnan(b[i])) continue;
    const double d = a[i] == times * b[i] ? 0 : fabs(a[i] - times * b[i]);
    if (!(d <= worst)) worst = isnan(d) ? (double)INFINITY : d;
  }
  return worst;
}

static double largest(const double *a, int64_t n) {
  double m = 0;
  for (int64_t i = 0; i < n; i++) m = fmax(m, fabs(a[i]));
  return m;
}

// Everything in r agrees with `want` (gradients: with `times` it) to the tolerances given.
static void agree(const op_example *e, const result *r, const result *want, double times, double tolerance, double grad_tolerance,
                  const char *what) {
  if (r->status != VBL_OK || want->status != VBL_OK) return;
  for (int o = 0; o < r->outputs; o++) {
    const double d = distance(r->out[o], want->out[o], 1, r->count[o]);
    CHECK_REPORT_(r->count[o] == want->count[o] && d <= tolerance, "case %d %s(%s) %s: output %d is off by %g (tolerance %g)",
                  e->number, e->row->op, e->row->inputs, what, o + 1, d, tolerance);
  }
  for (int i = 0; i < e->inputs; i++) {
    const double d = distance(r->grad[i], want->grad[i], times, r->grad_count[i]);
    CHECK_REPORT_(r->has_grad[i] == want->has_grad[i] && r->grad_count[i] == want->grad_count[i] && d <= grad_tolerance,
                  "case %d %s(%s) %s: gradient of input %d is off by %g (tolerance %g)%s", e->number, e->row->op, e->row->inputs,
                  what, i + 1, d, grad_tolerance, r->has_grad[i] == want->has_grad[i] ? "" : ", or missing");
  }
}

// Rounding of f32 against f64: a sum of n terms of size m is off by at most n 2^-24 m (Higham 2002, section 4.2); n is bounded
// by the number of elements, m by the largest value in sight; the 16 covers the functions themselves, and a backward is some
// such steps after each other.
static double rounding(const op_example *e, const result *exact, bool backward) {
  double n = 16, m = 1;
  for (int i = 0; i < e->inputs; i++) {
    if (!is_real(&e->in[i])) continue;
    const int64_t count = numel(e->in[i].ndim, e->in[i].shape);
    n = fmax(n, (double)count);
    m = fmax(m, largest(e->in[i].value, count));
    if (backward) m = fmax(m, largest(exact->grad[i], exact->grad_count[i]));
  }
  for (int o = 0; o < exact->outputs; o++) m = fmax(m, largest(exact->out[o], exact->count[o]));
  return n * 0x1p-24 * m * (backward ? 8 : 2);
}

static unsigned real_inputs(const op_example *e) {
  unsigned bits = 0;
  for (int i = 0; i < e->inputs; i++) bits |= is_real(&e->in[i]) ? 1u << i : 0;
  return bits;
}

static bool has_gradient(const char *op) {
  for (size_t i = 0; i < sizeof without_gradient / sizeof *without_gradient; i++)
    if (strcmp(without_gradient[i].op, op) == 0) return false;
  return true;
}

// ---- what is tested of a case ------------------------------------------------------------------------------------------

enum { ALL = ~0 };

static void test_layouts_and_dtypes(const op_example *e, const result *exact) {
  static result r, f32;
  const double tolerance = rounding(e, exact, false), grad_tolerance = rounding(e, exact, true);
  const bool converts = strcmp(e->row->op, "cast") == 0;
  run(e, (setting){VBL_F32, DENSE, ALL, ALL, 1}, &f32);
  agree(e, &f32, exact, 1, tolerance, grad_tolerance, "f32");
  for (int o = 0; o < f32.outputs && !converts && f32.status == VBL_OK; o++)
    CHECK(f32.dtype[o] == (exact->dtype[o] == VBL_F64 ? VBL_F32 : exact->dtype[o]) || real_inputs(e) == 0);
  for (int layout = HOLES; layout < LAYOUTS; layout++) {
    run(e, (setting){VBL_F64, (enum layout)layout, ALL, ALL, 1}, &r);
    agree(e, &r, exact, 1, 0, 0, layout_names[layout]);
    run(e, (setting){VBL_F32, (enum layout)layout, ALL, ALL, 1}, &r);
    agree(e, &r, exact, 1, tolerance, grad_tolerance, layout_names[layout]);
  }
  run(e, (setting){VBL_BF16, DENSE, ALL, ALL, 1}, &r);
  agree(e, &r, exact, 1, tolerance, grad_tolerance, "bf16");
}

// Gradients do not depend on which others are wanted, add up over backwards, and are linear in the outputs' gradients.
static void test_delivery(const op_example *e, const result *exact) {
  static result r, part;
  static double sum[VBL_MAX_INPUTS][MAX_ELEMENTS];
  const unsigned reals = real_inputs(e);
  for (int i = 0; i < e->inputs; i++) {
    if (!(reals & 1u << i)) continue;
    run(e, (setting){VBL_F64, DENSE, 1u << i, ALL, 1}, &r);
    const double d = distance(r.grad[i], exact->grad[i], 1, exact->grad_count[i]);
    CHECK_REPORT_(r.has_grad[i] == exact->has_grad[i] && d <= 1e-13 * (1 + largest(exact->grad[i], exact->grad_count[i])),
                  "case %d %s(%s): input %d alone gets another gradient (%g)", e->number, e->row->op, e->row->inputs, i + 1, d);
  }
  run(e, (setting){VBL_F64, DENSE, ALL, ALL, 2}, &r);
  agree(e, &r, exact, 2, 0, 1e-12 * (1 + largest(exact->grad[0], exact->grad_count[0])), "two backwards");
  if (e->op->outputs < 2) return;
  memset(sum, 0, sizeof sum);
  for (int o = 0; o < e->op->outputs; o++) {
    run(e, (setting){VBL_F64, DENSE, ALL, 1u << o, 1}, &part);
    for (int i = 0; i < e->inputs; i++)
      for (int64_t k = 0; k < part.grad_count[i] && part.has_grad[i]; k++) sum[i][k] += part.grad[i][k];
  }
  for (int i = 0; i < e->inputs; i++) {
    const double d = distance(sum[i], exact->grad[i], 1, exact->grad_count[i]);
    CHECK_REPORT_(d <= 1e-12 * (1 + largest(exact->grad[i], exact->grad_count[i])),
                  "case %d %s(%s): outputs one by one give another gradient of input %d (%g)", e->number, e->row->op,
                  e->row->inputs, i + 1, d);
  }
}

static double weighted_sum(const result *r) {
  double sum = 0;
  for (int o = 0; o < r->outputs; o++)
    for (int64_t k = 0; k < r->count[o] && r->dtype[o] == VBL_F64; k++) sum += seed_value(o, k) * r->out[o][k];
  return sum;
}

// Central differences: the error is h^2/6 of a third derivative and 2^-53 |sum| / h of rounding, both about 1e-10 at h = 1e-5;
// third derivatives here stay below 10^4.
static void test_finite_differences(op_example *e, const result *exact) {
  static result up, down;
  const double h = 1e-5, tolerance = 1e-6;
  for (int i = 0; i < e->inputs; i++) {
    if (!is_real(&e->in[i]) || !exact->has_grad[i]) continue;
    for (int64_t k = 0; k < exact->grad_count[i]; k++) {
      const double x = e->in[i].value[k];
      e->in[i].value[k] = x + h;
      run(e, (setting){VBL_F64, DENSE, 0, 0, 0}, &up);
      e->in[i].value[k] = x - h;
      run(e, (setting){VBL_F64, DENSE, 0, 0, 0}, &down);
      e->in[i].value[k] = x;
      const double slope = (weighted_sum(&up) - weighted_sum(&down)) / (2 * h), got = exact->grad[i][k];
      CHECK_REPORT_(fabs(slope - got) <= tolerance * fmax(1, fabs(slope)),
                    "case %d %s(%s): d/d input %d [%d] is %g, differences say %g", e->number, e->row->op, e->row->inputs, i + 1,
                    (int)k, got, slope);
    }
  }
}

// A gradient that holds no value is written, not added to: what it held must not matter, NaN included. One that holds zeros
// gets the same numbers added. Every other input starts with zeros, `odd` says which.
static void test_overwrite(const op_example *e, const result *exact, int odd) {
  vbl_tensor *in[VBL_MAX_INPUTS] = {0}, *out[VBL_MAX_OUTPUTS];
  for (int i = 0; i < e->inputs; i++) {
    if (e->in[i].kind == '-') continue;
    in[i] = make_input(&e->in[i], vbl_cpu_backend(), VBL_F64, DENSE);
    in[i]->requires_grad = is_real(&e->in[i]);
    if (!in[i]->requires_grad) continue;
    in[i]->has_grad = i % 2 == odd && exact->has_grad[i];
    CHECK_OK(vbl_tensor_like(in[i], &in[i]->grad, &err), err);
    CHECK_OK(vbl_tensor_fill(in[i]->grad, in[i]->has_grad ? 0 : (double)NAN, &err), err);
  }
  static result r;
  memset(&r, 0, sizeof r);
  CHECK_OK(vbl_apply(e->op, in, e->inputs, &e->row->attrs, out, &err), err);
  run_backward(out, e->op->outputs, ALL, false);
  collect(e, in, out, &r);
  agree(e, &r, exact, 1, 0, 0, odd ? "over NaN and 0" : "over 0 and NaN");
  for (int i = 0; i < e->inputs; i++) vbl_tensor_release(in[i]);
  for (int o = 0; o < e->op->outputs; o++) vbl_tensor_release(out[o]);
}

static void test_case(const op_case *row, int number) {
  static op_example e;
  static result exact;
  parse_example(&e, row, number);
  CHECK_REPORT_(e.op != NULL, "case %d: there is no op '%s'", number, row->op);
  if (e.op == NULL) return;
  run(&e, (setting){VBL_F64, DENSE, ALL, ALL, 1}, &exact);
  if (exact.status != VBL_OK) return;
  test_layouts_and_dtypes(&e, &exact);
  if (!has_gradient(row->op)) {
    for (int i = 0; i < e.inputs; i++) CHECK(!exact.has_grad[i]);
    return;
  }
  const bool real_result = exact.dtype[0] == VBL_F64;
  for (int i = 0; i < e.inputs && real_result; i++)
    CHECK_REPORT_(exact.has_grad[i] == is_real(&e.in[i]), "case %d %s(%s): input %d has %s gradient", number, row->op, row->inputs,
                  i + 1, exact.has_grad[i] ? "a" : "no");
  test_delivery(&e, &exact);
  test_finite_differences(&e, &exact);
  for (int odd = 0; odd < 2; odd++) test_overwrite(&e, &exact, odd);
}

// ---- the table as a whole ----------------------------------------------------------------------------------

static void test_every_op_has_a_case(void) {
  const size_t rows = sizeof op_cases / sizeof *op_cases;
  for (int i = 0; all_ops[i] != NULL; i++) {
    const vbl_op *op = all_ops[i];
    int cases = 0;
    for (size_t k = 0; k < rows; k++) cases += strcmp(op_cases[k].op, op->name) == 0;
    CHECK_REPORT_(cases > 0, "op %s has no case", op->name);
    CHECK_REPORT_((op->backward != NULL) == has_gradient(op->name), "op %s: backward and the list of exceptions disagree",
                  op->name);
  }
}

// Rows with a stride of 0 (expand) are no leading dim: GEMM must see a copy.
static void test_repeated_rows(void) {
  static op_example e;
  const op_case row = {"matmul", "r1,4 r4,4", {.p = 0}};
  parse_example(&e, &row, 1);
  vbl_tensor *x = make_input(&e.in[0], vbl_cpu_backend(), VBL_F64, DENSE),
             *w = make_input(&e.in[1], vbl_cpu_backend(), VBL_F64, DENSE), *wide[1], *dense[1];
  const vbl_attrs to = {.n = {2, 4, 4}};
  CHECK_OK(vbl_apply(&vbl_op_expand, &x, 1, &to, wide, &err), err);
  CHECK_OK(vbl_apply(&vbl_op_contiguous, wide, 1, NULL, dense, &err), err);
  const vbl_op *const ops[] = {&vbl_op_matmul, &vbl_op_linear};
  for (int k = 0; k < 4; k++) {
    vbl_tensor *a[2] = {wide[0], w}, *b[2] = {dense[0], w}, *got[1], *want[1];
    if (k >= 2) a[1] = wide[0], a[0] = w, b[1] = dense[0], b[0] = w;
    double got_value[16], want_value[16];
    CHECK_OK(vbl_apply(ops[k % 2], a, 2, NULL, got, &err), err);
    CHECK_OK(vbl_apply(ops[k % 2], b, 2, NULL, want, &err), err);
    read_values(got[0], got_value);
    read_values(want[0], want_value);
    CHECK(distance(got_value, want_value, 1, 16) == 0);
    vbl_tensor_release(got[0]);
    vbl_tensor_release(want[0]);
  }
  vbl_tensor *all[] = {x, w, wide[0], dense[0]};
  for (int i = 0; i < 4; i++) vbl_tensor_release(all[i]);
}

int main(void) {
  const char *name = getenv("VBL_TEST_DEVICE");
  if (name != NULL && vbl_backend_open(name, &device, &err) != VBL_OK) return check_skip(err.message);
  const size_t before = vbl_memory().live;
  test_every_op_has_a_case();
  for (size_t k = 0; k < sizeof op_cases / sizeof *op_cases; k++) test_case(&op_cases[k], (int)k);
  test_repeated_rows();
  CHECK(vbl_memory().live == before);
  return check_done();
}
