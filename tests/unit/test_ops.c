// Every op, on every case of op_cases.h, in f32 (the CPU's kernels) against f64 (the reference backend), with strided inputs
// whose holes are NaN, with bf16 inputs, against finite differences, and for how it delivers gradients.
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

#include "core/base/philox.h"
#include "kernels/kernels.h"
#include "tests/check.h"
#include "tests/unit/op_cases.h"

enum { MAX_ELEMENTS = 1024, LAYOUTS = 5 };
enum layout { DENSE, HOLES, PADDED_ROWS, PADDED_BLOCKS, TRANSPOSED };
static const char *const layout_names[LAYOUTS] = {"dense", "with holes", "with padded rows", "with rows left out", "transposed"};

// One input of a case: what it is made of and its values, the same for every dtype and layout.
typedef struct input {
  char kind;        // '-': none
  vbl_dtype dtype;  // VBL_F64 stands for the run's real dtype
  int ndim;
  int64_t shape[VBL_MAX_DIMS];
  double value[MAX_ELEMENTS];
} input;

typedef struct example {
  const op_case *row;
  const vbl_op *op;
  int number, inputs;
  input in[VBL_MAX_INPUTS];
} example;

static vbl_error err;

static int64_t numel(int ndim, const int64_t *shape) {
  int64_t n = 1;
  for (int i = 0; i < ndim; i++) n *= shape[i];
  return n;
}

static bool is_real(const input *in) { return in->kind != '-' && in->dtype == VBL_F64; }

// ---- inputs from their description -------------------------------------------------------------------------------------

// Reals are odd multiples of 1/64 below 4: exact in bf16, never 0.
static double element(const example *e, int which, int64_t i) {
  const input *in = &e->in[which];
  const vbl_philox_key key = {11, (uint32_t)e->number};
  const double u = vbl_philox_uniform(key, (uint32_t)i, (uint32_t)which, 0, 0);
  switch (in->kind) {
    case 'r':
      return (2 * floor(u * 128) - 127) / 64;
    case 'p':
      return (2 * floor(u * 64) + 33) / 64;
    case 't':
      return (2 * floor(u * 32) + 1) / 64;
    // 37 is coprime to 127: i -> 37 i + 5 which mod 127 never repeats; the second input lies between the first's values.
    case 'd':
      return ((double)(2 * ((37 * i + 50 * which) % 127)) - 127 + (which == 0 ? 0 : 0.5)) / 32;
    case 'b':
      return floor(u * 256);
    case 'k':
      return u < 0.5;
    default:
      return 0;
  }
}

static const char *parse_shape(const char *s, input *in) {
  in->ndim = 0;
  while (*s >= '0' && *s <= '9') {
    in->shape[in->ndim++] = strtol(s, (char **)&s, 10);
    if (*s == ',') s++;
  }
  return s;
}

// Lengths -> [start, length] pairs; a gap leaves one row out before each.
static void segments(input *in, bool gap) {
  const int64_t B = in->ndim;
  int64_t at = 0;
  for (int64_t b = 0; b < B; b++) {
    at += gap;
    in->value[2 * b] = (double)at;
    in->value[2 * b + 1] = (double)in->shape[b];
    at += in->shape[b];
  }
  in->ndim = 2;
  in->shape[0] = B;
  in->shape[1] = 2;
}

static void number_rows(input *in) {
  in->ndim = 2;
  in->shape[1] = 2;
  for (int64_t i = 0; i < in->shape[0]; i++) {
    in->value[2 * i] = (double)(i / 3 + 10);
    in->value[2 * i + 1] = (double)(i % 3);
  }
}

static const char *parse_input(example *e, int which, const char *s) {
  input *in = &e->in[which];
  *in = (input){.kind = *s++, .dtype = VBL_F64};
  const vbl_philox_key key = {12, (uint32_t)e->number};
  if (strchr("ij", in->kind) != NULL) {
    const int64_t low = in->kind == 'j' ? -1 : 0, high = strtol(s, (char **)&s, 10);
    s = parse_shape(s + 1, in);
    for (int64_t i = 0; i < numel(in->ndim, in->shape); i++)
      in->value[i] = (double)(low + (int64_t)vbl_philox_below(key, (uint64_t)(high - low), (uint32_t)i, (uint32_t)which, 0, 0));
  } else {
    s = parse_shape(s, in);
    if (in->kind == 's' || in->kind == 'g')
      segments(in, in->kind == 'g');
    else if (in->kind == 'n')
      number_rows(in);
    else
      for (int64_t i = 0; i < numel(in->ndim, in->shape); i++)
        in->value[i] = in->kind == 'm' ? (double)(i + 5) : element(e, which, i);
  }
  if (strchr("ijsgnm", in->kind) != NULL) in->dtype = VBL_I32;
  if (strchr("bk", in->kind) != NULL) in->dtype = VBL_U8;
  return *s == ' ' ? s + 1 : s;
}

static void parse(example *e, const op_case *row, int number) {
  *e = (example){.row = row, .op = vbl_op_find(row->op), .number = number};
  for (const char *s = row->inputs; *s != '\0';) s = parse_input(e, e->inputs++, s);
}

// ---- tensors from inputs -----------------------------------------------------------------------------------------------

static void next_index(int ndim, const int64_t *shape, int64_t *index) {
  for (int d = ndim - 1; d >= 0; d--) {
    if (++index[d] < shape[d]) return;
    index[d] = 0;
  }
}

static void write(vbl_tensor *t, const double *value) {
  int64_t index[VBL_MAX_DIMS] = {0};
  for (int64_t i = 0; i < vbl_tensor_numel(t); i++, next_index(t->ndim, t->shape, index)) vbl_tensor_set(t, index, value[i]);
}

static void read(const vbl_tensor *t, double *value) {
  int64_t index[VBL_MAX_DIMS] = {0};
  for (int64_t i = 0; i < vbl_tensor_numel(t); i++, next_index(t->ndim, t->shape, index)) value[i] = vbl_tensor_get(t, index);
}

// A tensor of these values; outside of a layout's view its memory holds what must never be read.
static vbl_tensor *make(const input *in, vbl_dtype real, enum layout layout) {
  const vbl_dtype dtype = in->dtype == VBL_F64 ? real : in->dtype;
  int64_t big[VBL_MAX_DIMS] = {0}, stride[VBL_MAX_DIMS], offset = 0, step = 1;
  const int n = in->ndim;
  for (int k = n - 1; k >= 0; k--) {
    const int d = layout == TRANSPOSED ? n - 1 - k : k;
    const bool padded = (layout == PADDED_ROWS && d == n - 1) || (layout == PADDED_BLOCKS && d == n - 2);
    big[d] = layout == HOLES ? 2 * in->shape[d] + 1 : in->shape[d] + (padded ? 3 : 0);
    stride[d] = step * (layout == HOLES ? 2 : 1);
    offset += layout == HOLES ? step : 0;
    step *= big[d];
  }
  if (n == 0 && layout == HOLES) offset = 1;
  vbl_tensor *all, *t;
  const int64_t total = step + offset;
  CHECK_OK(vbl_tensor_new(vbl_cpu_backend(), dtype, 1, &total, &all, &err), err);
  CHECK_OK(vbl_tensor_fill(all, dtype == VBL_U8 ? 255 : dtype == VBL_I32 ? INT32_MIN : (double)NAN, &err), err);
  CHECK_OK(vbl_tensor_as_strided(all, n, in->shape, stride, offset, &t, &err), err);
  vbl_tensor_release(all);
  write(t, in->value);
  return t;
}

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
  CHECK_OK(vbl_tensor_new(vbl_cpu_backend(), out->dtype == VBL_F64 ? VBL_F64 : VBL_F32, out->ndim, out->shape, &seed, &err), err);
  write(seed, value);
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

static void collect(const example *e, vbl_tensor *const *in, vbl_tensor *const *out, result *r) {
  r->outputs = e->op->outputs;
  for (int o = 0; o < r->outputs; o++) {
    r->count[o] = vbl_tensor_numel(out[o]);
    r->dtype[o] = out[o]->dtype;
    read(out[o], r->out[o]);
  }
  for (int i = 0; i < e->inputs; i++) {
    r->has_grad[i] = in[i] != NULL && in[i]->has_grad;
    if (!r->has_grad[i]) continue;
    r->grad_count[i] = vbl_tensor_numel(in[i]->grad);
    read(in[i]->grad, r->grad[i]);
  }
}

static void run(const example *e, setting s, result *r) {
  vbl_tensor *in[VBL_MAX_INPUTS] = {0}, *out[VBL_MAX_OUTPUTS] = {0};
  memset(r, 0, sizeof *r);
  for (int i = 0; i < e->inputs; i++) {
    if (e->in[i].kind == '-') continue;
    in[i] = make(&e->in[i], s.real, s.layout);
    in[i]->requires_grad = is_real(&e->in[i]) && (s.wanted & 1u << i);
  }
  r->status = vbl_apply(e->op, in, e->inputs, &e->row->attrs, out, &err);
  CHECK_REPORT_(r->status == VBL_OK, "case %d %s(%s): %s", e->number, e->row->op, e->row->inputs, err.message);
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
static void agree(const example *e, const result *r, const result *want, double times, double tolerance, double grad_tolerance,
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
static double rounding(const example *e, const result *exact, bool backward) {
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

static unsigned real_inputs(const example *e) {
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

static void test_layouts_and_dtypes(const example *e, const result *exact) {
  static result r, f32;
  const double tolerance = rounding(e, exact, false), grad_tolerance = rounding(e, exact, true);
  const bool converts = strcmp(e->row->op, "cast") == 0;
  run(e, (setting){VBL_F32, DENSE, ALL, ALL, 1}, &f32);
  agree(e, &f32, exact, 1, tolerance, grad_tolerance, "f32");
  for (int o = 0; o < f32.outputs && !converts; o++)
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
static void test_delivery(const example *e, const result *exact) {
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
static void test_finite_differences(example *e, const result *exact) {
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
static void test_overwrite(const example *e, const result *exact, int odd) {
  vbl_tensor *in[VBL_MAX_INPUTS] = {0}, *out[VBL_MAX_OUTPUTS];
  for (int i = 0; i < e->inputs; i++) {
    if (e->in[i].kind == '-') continue;
    in[i] = make(&e->in[i], VBL_F64, DENSE);
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
  static example e;
  static result exact;
  parse(&e, row, number);
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

// ---- the table as a whole, and errors ----------------------------------------------------------------------------------

static void test_every_op_has_a_case(void) {
  const size_t rows = sizeof op_cases / sizeof *op_cases;
  for (int i = 0; vbl_op_table[i] != NULL; i++) {
    const vbl_op *op = vbl_op_table[i];
    int cases = 0;
    for (size_t k = 0; k < rows; k++) cases += strcmp(op_cases[k].op, op->name) == 0;
    CHECK_REPORT_(cases > 0, "op %s has no case", op->name);
    CHECK_REPORT_((op->backward != NULL) == has_gradient(op->name), "op %s: backward and the list of exceptions disagree",
                  op->name);
  }
}

static void expect_error(const char *op, const char *inputs, vbl_attrs attrs, const char *message) {
  static example e;
  const op_case row = {op, inputs, attrs};
  vbl_tensor *in[VBL_MAX_INPUTS] = {0}, *out[VBL_MAX_OUTPUTS] = {0};
  parse(&e, &row, 1);
  for (int i = 0; i < e.inputs; i++)
    if (e.in[i].kind != '-') in[i] = make(&e.in[i], VBL_F32, DENSE);
  const vbl_status status = vbl_apply(e.op, in, e.inputs, &attrs, out, &err);
  CHECK(status == VBL_EINVAL);
  CHECK_STR(status == VBL_OK ? "no error" : err.message, message);
  for (int i = 0; i < e.inputs; i++) vbl_tensor_release(in[i]);
}

static void test_errors(void) {
  expect_error("linear", "r2,5 r8,7", (vbl_attrs){0}, "linear: expected x [.., 7], got [2, 5]");
  expect_error("linear", "r3,4 r5,4 r4", (vbl_attrs){0}, "linear: expected bias [5], got [4]");
  expect_error("linear", "r3,4", (vbl_attrs){0}, "linear: expected 2 to 3 tensors, got 1");
  expect_error("linear", "- r3,4", (vbl_attrs){0}, "linear: expected a tensor as input 1, got none");
  expect_error("add", "r3,4 r3,5", (vbl_attrs){0}, "add: expected shapes that broadcast, got [3, 4] and [3, 5]");
  expect_error("exp", "i5:3", (vbl_attrs){0}, "exp: expected a real tensor (f32, f64, bf16), got i32; convert it first");
  expect_error("dropout_add", "r3,4", (vbl_attrs){.p = 0.5},
               "dropout_add: dropout needs rows: they number what is dropped, so that it does not depend on the batch");
  expect_error("dropout_add", "r3,4 - n2", (vbl_attrs){.p = 0.5}, "dropout_add: expected rows [3, 2], got [2, 2]");
  expect_error("dropout_add", "r3,4 - n3", (vbl_attrs){.p = 1}, "dropout_add: expected a dropout probability in [0, 1), got 1");
  expect_error("attention", "r5,6 r5,6 r5,6 s3,2 s3,3", (vbl_attrs){.n = {2}},
               "attention: a segment of k (start, length) leaves the 5 rows");
  expect_error("attention", "r5,6 r5,6 r5,6 s3,2 s3,2", (vbl_attrs){.n = {4}},
               "attention: expected a number of heads that divides the width 6, got 4");
  expect_error("info_nce", "r4,5 r3,5", (vbl_attrs){.alpha = 1},
               "info_nce: expected at least 4 keys (key i is query i's positive), got 3");
  expect_error("info_nce", "r4,5 r4,5", (vbl_attrs){0}, "info_nce: expected a temperature above 0, got 0");
  expect_error("reshape", "r3,4", (vbl_attrs){.n = {2, 5, -1}},
               "reshape: cannot reshape [3, 4] to [5, -1]: the numbers of elements differ");
  expect_error("slice", "r3,4", (vbl_attrs){.n = {1, 2, 3}}, "slice: a slice of length 3 from 2 leaves dim 1 of size 4");
  expect_error("max", "r0", (vbl_attrs){.n = {-1}}, "max: there is no max of no elements");
  expect_error("matmul", "r3,4 r3,4", (vbl_attrs){0},
               "matmul: expected a [.., M, K] and b [.., K, N] with equal batch dims or one of two dims, got [3, 4] and [3, 4]");
}

// An index out of range is named with its row and the range it should have been in.
static void test_index_errors(void) {
  static example e;
  static const struct {
    const char *op, *inputs, *message;
    int which;
    double value;
    vbl_attrs attrs;
  } rows[] = {
      {"embedding", "r7,4 i7:6", "embedding: id 7 at row 5 is outside [0, 7)", 1, 7, {.n = {0}}},
      {"embedding", "r7,4 i7:6", "embedding: id -1 at row 5 is outside [0, 7)", 1, -1, {.n = {0}}},
      {"gather_rows", "r7,4 i7:6", "gather_rows: index -2 at row 5 is outside [-1, 7)", 1, -2, {.n = {0}}},
      {"scatter_rows", "r6,4 i3:6", "scatter_rows: index 3 at row 5 is outside [-1, 3)", 1, 3, {.n = {3}}},
      {"text_embedding", "i9:6 i5:6 r9,4 r5,4 r2,4", "text_embedding: position 5 at row 5 is outside [0, 5)", 1, 5, {.n = {0}}},
      {"cross_entropy",
       "r6,4 i4:6",
       "cross_entropy: label 4 at row 5 is outside [0, 4) and not the ignored -100",
       1,
       4,
       {.n = {-100}}},
  };
  for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
    const op_case row = {rows[k].op, rows[k].inputs, rows[k].attrs};
    vbl_tensor *in[VBL_MAX_INPUTS] = {0}, *out[VBL_MAX_OUTPUTS];
    parse(&e, &row, 1);
    e.in[rows[k].which].value[5] = rows[k].value;
    for (int i = 0; i < e.inputs; i++) in[i] = make(&e.in[i], VBL_F32, DENSE);
    CHECK(vbl_apply(e.op, in, e.inputs, &row.attrs, out, &err) == VBL_EINVAL);
    CHECK_STR(err.message, rows[k].message);
    for (int i = 0; i < e.inputs; i++) vbl_tensor_release(in[i]);
  }
}

// Rows with a stride of 0 (expand) are no leading dim: GEMM must see a copy.
static void test_repeated_rows(void) {
  static example e;
  const op_case row = {"matmul", "r1,4 r4,4", {.p = 0}};
  parse(&e, &row, 1);
  vbl_tensor *x = make(&e.in[0], VBL_F64, DENSE), *w = make(&e.in[1], VBL_F64, DENSE), *wide[1], *dense[1];
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
    read(got[0], got_value);
    read(want[0], want_value);
    CHECK(distance(got_value, want_value, 1, 16) == 0);
    vbl_tensor_release(got[0]);
    vbl_tensor_release(want[0]);
  }
  vbl_tensor *all[] = {x, w, wide[0], dense[0]};
  for (int i = 0; i < 4; i++) vbl_tensor_release(all[i]);
}

int main(void) {
  const size_t before = vbl_memory().live;
  test_every_op_has_a_case();
  for (size_t k = 0; k < sizeof op_cases / sizeof *op_cases; k++) test_case(&op_cases[k], (int)k);
  test_repeated_rows();
  test_errors();
  test_index_errors();
  CHECK(vbl_memory().live == before);
  return check_done();
}
