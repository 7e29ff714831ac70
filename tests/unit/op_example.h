// Examples for the tests of ops: a case's description becomes values, and values become tensors of any dtype and layout.
// defines: all_ops, find_op, op_input, op_example, parse_example, make_input, write_values, read_values, layout
#pragma once
#include <math.h>
#include <stdlib.h>

#include "core/base/philox.h"
#include "core/ops/ops.h"
#include "kernels/kernels.h"
#include "tests/check.h"
#include "tests/unit/op_cases.h"

enum { MAX_ELEMENTS = 1024, LAYOUTS = 5 };
enum layout { DENSE, HOLES, PADDED_ROWS, PADDED_BLOCKS, TRANSPOSED };
static const char *const layout_names[LAYOUTS] = {"dense", "with holes", "with padded rows", "with rows left out", "transposed"};

#define ROW(name) &vbl_op_##name,
static const vbl_op *const all_ops[] = {VBL_OPS(ROW) NULL};

static const vbl_op *find_op(const char *name) {
  int i = 0;
  while (strcmp(all_ops[i]->name, name) != 0) i++;
  return all_ops[i];
}

// One input of a case: what it is made of and its values, the same for every dtype and layout.
typedef struct op_input {
  char kind;        // '-': none
  vbl_dtype dtype;  // VBL_F64 stands for the run's real dtype
  int ndim;
  int64_t shape[VBL_MAX_DIMS];
  double value[MAX_ELEMENTS];
} op_input;

typedef struct op_example {
  const op_case *row;
  const vbl_op *op;
  int number, inputs;
  op_input in[VBL_MAX_INPUTS];
} op_example;

static vbl_error err;  // of every call in these tests

static int64_t numel(int ndim, const int64_t *shape) {
  int64_t n = 1;
  for (int i = 0; i < ndim; i++) n *= shape[i];
  return n;
}

static bool is_real(const op_input *in) { return in->kind != '-' && in->dtype == VBL_F64; }

// ---- inputs from their description -------------------------------------------------------------------------------------

// Reals are odd multiples of 1/64 below 4: exact in bf16, never 0.
static double element(const op_example *e, int which, int64_t i) {
  const op_input *in = &e->in[which];
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

static const char *parse_shape(const char *s, op_input *in) {
  in->ndim = 0;
  while (*s >= '0' && *s <= '9') {
    in->shape[in->ndim++] = strtol(s, (char **)&s, 10);
    if (*s == ',') s++;
  }
  return s;
}

// Lengths -> [start, length] pairs; a gap leaves one row out before each.
static void segments(op_input *in, bool gap) {
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

static void number_rows(op_input *in) {
  in->ndim = 2;
  in->shape[1] = 2;
  for (int64_t i = 0; i < in->shape[0]; i++) {
    in->value[2 * i] = (double)(i / 3 + 10);
    in->value[2 * i + 1] = (double)(i % 3);
  }
}

static const char *parse_input(op_example *e, int which, const char *s) {
  op_input *in = &e->in[which];
  *in = (op_input){.kind = *s++, .dtype = VBL_F64};
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

static void parse_example(op_example *e, const op_case *row, int number) {
  *e = (op_example){.row = row, .op = find_op(row->op), .number = number};
  for (const char *s = row->inputs; *s != '\0';) s = parse_input(e, e->inputs++, s);
}

// ---- tensors from inputs -----------------------------------------------------------------------------------------------

static void next_index(int ndim, const int64_t *shape, int64_t *index) {
  for (int d = ndim - 1; d >= 0; d--) {
    if (++index[d] < shape[d]) return;
    index[d] = 0;
  }
}

static void write_values(vbl_tensor *t, const double *value) {
  int64_t index[VBL_MAX_DIMS] = {0};
  for (int64_t i = 0; i < vbl_tensor_numel(t); i++, next_index(t->ndim, t->shape, index)) vbl_tensor_set(t, index, value[i]);
}

static inline void read_values(const vbl_tensor *t, double *value) {
  int64_t index[VBL_MAX_DIMS] = {0};
  for (int64_t i = 0; i < vbl_tensor_numel(t); i++, next_index(t->ndim, t->shape, index)) value[i] = vbl_tensor_get(t, index);
}

// A tensor of these values in this memory; outside of a layout's view its memory holds what must never be read.
static vbl_tensor *make_input(const op_input *in, const vbl_backend *memory, vbl_dtype real, enum layout layout) {
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
  CHECK_OK(vbl_tensor_new(memory, dtype, 1, &total, &all, &err), err);
  CHECK_OK(vbl_tensor_fill(all, dtype == VBL_U8 ? 255 : dtype == VBL_I32 ? INT32_MIN : (double)NAN, &err), err);
  CHECK_OK(vbl_tensor_as_strided(all, n, in->shape, stride, offset, &t, &err), err);
  vbl_tensor_release(all);
  write_values(t, in->value);
  return t;
}
