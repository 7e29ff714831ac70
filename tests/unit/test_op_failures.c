// How ops fail: messages that say what was expected and found, and every allocation refused once.
#include "tests/unit/op_example.h"

static void expect_error(const char *op, const char *inputs, vbl_attrs attrs, const char *message) {
  static op_example e;
  const op_case row = {op, inputs, attrs};
  vbl_tensor *in[VBL_MAX_INPUTS] = {0}, *out[VBL_MAX_OUTPUTS] = {0};
  parse_example(&e, &row, 1);
  for (int i = 0; i < e.inputs; i++)
    if (e.in[i].kind != '-') in[i] = make_input(&e.in[i], vbl_cpu_backend(), VBL_F32, DENSE);
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
  expect_error("self_attention", "r5,16 s3,2 s3,2", (vbl_attrs){.n = {4}}, "self_attention: expected qkv [N, 3 W], got [5, 16]");
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
  static op_example e;
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
    parse_example(&e, &row, 1);
    e.in[rows[k].which].value[5] = rows[k].value;
    for (int i = 0; i < e.inputs; i++) in[i] = make_input(&e.in[i], vbl_cpu_backend(), VBL_F32, DENSE);
    CHECK(vbl_apply(e.op, in, e.inputs, &row.attrs, out, &err) == VBL_EINVAL);
    CHECK_STR(err.message, rows[k].message);
    for (int i = 0; i < e.inputs; i++) vbl_tensor_release(in[i]);
  }
}

// ---- refused memory ----------------------------------------------------------------------------------------------------

static vbl_backend scarce;  // the CPU's, but its allocator refuses one request
static int until_refusal;   // requests that are still granted; negative: all are

static void *scarce_alloc(size_t bytes) {
  if (until_refusal == 0) return NULL;
  if (until_refusal > 0) until_refusal--;
  return vbl_cpu_backend()->alloc(bytes);
}

static vbl_status forward_and_backward(const op_example *e, vbl_tensor *const *in, vbl_tensor *const *seeds) {
  vbl_tensor *out[VBL_MAX_OUTPUTS] = {0}, *roots[VBL_MAX_OUTPUTS];
  VBL_TRY(vbl_apply(e->op, in, e->inputs, &e->row->attrs, out, &err));
  int count = 0;
  for (int o = 0; o < e->op->outputs; o++)
    if (out[o]->node != NULL) roots[count++] = out[o];
  vbl_status status = count > 0 ? vbl_backward_many(roots, seeds, count, false, &err) : VBL_OK;
  for (int o = 0; o < e->op->outputs; o++) vbl_tensor_release(out[o]);
  return status;
}

// The shapes of the outputs that have a history, as seeds of ones.
static void make_seeds(const op_example *e, vbl_tensor *const *in, vbl_tensor **seeds) {
  vbl_tensor *out[VBL_MAX_OUTPUTS] = {0};
  CHECK_OK(vbl_apply(e->op, in, e->inputs, &e->row->attrs, out, &err), err);
  int count = 0;
  for (int o = 0; o < e->op->outputs; o++) {
    if (out[o]->node != NULL) {
      CHECK_OK(vbl_tensor_new(&scarce, VBL_F32, out[o]->ndim, out[o]->shape, &seeds[count], &err), err);
      CHECK_OK(vbl_tensor_fill(seeds[count++], 1, &err), err);
    }
    vbl_tensor_release(out[o]);
  }
}

// The k-th allocation of forward and backward fails, for k = 0, 1, ... until none does: an error each time, nothing leaks, and
// the inputs are good for the next try.
static void test_refusals(const op_case *row, int number) {
  static op_example e;
  vbl_tensor *in[VBL_MAX_INPUTS] = {0}, *seeds[VBL_MAX_OUTPUTS] = {0};
  parse_example(&e, row, number);
  until_refusal = -1;
  for (int i = 0; i < e.inputs; i++) {
    if (e.in[i].kind == '-') continue;
    in[i] = make_input(&e.in[i], &scarce, VBL_F32, HOLES);
    in[i]->requires_grad = is_real(&e.in[i]);
  }
  make_seeds(&e, in, seeds);
  vbl_status status = VBL_ENOMEM;
  for (int k = 0; status != VBL_OK && k < 200; k++) {
    for (int i = 0; i < e.inputs; i++) {
      if (in[i] == NULL) continue;
      vbl_tensor_release(in[i]->grad);
      in[i]->grad = NULL;
      in[i]->has_grad = false;
    }
    const size_t before = vbl_memory().live;
    until_refusal = k;
    status = forward_and_backward(&e, in, seeds);
    until_refusal = -1;
    if (status == VBL_OK) break;
    CHECK(status == VBL_ENOMEM && strstr(err.message, "out of memory") != NULL);
    for (int i = 0; i < e.inputs; i++) {
      if (in[i] == NULL) continue;
      vbl_tensor_release(in[i]->grad);
      in[i]->grad = NULL;
    }
    CHECK_REPORT_(vbl_memory().live == before, "case %d %s(%s): memory leaks when allocation %d fails", number, row->op,
                  row->inputs, k);
  }
  CHECK(status == VBL_OK);
  for (int i = 0; i < e.inputs; i++) vbl_tensor_release(in[i]);
  for (int o = 0; o < VBL_MAX_OUTPUTS; o++) vbl_tensor_release(seeds[o]);
}

int main(void) {
  const size_t before = vbl_memory().live;
  scarce = *vbl_cpu_backend();
  scarce.alloc = scarce_alloc;
  test_errors();
  test_index_errors();
  for (size_t k = 0; k < sizeof op_cases / sizeof *op_cases; k++) test_refusals(&op_cases[k], (int)k);
  CHECK(vbl_memory().live == before);
  return check_done();
}
