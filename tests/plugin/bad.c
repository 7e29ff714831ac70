// Plug-ins that are wrong, one for each luaopen_bad_NAME (require "bad.NAME"), and measures and ops that answer wrongly.
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "include/vbl.h"

enum { NAN_VALUE, INFINITE_VALUE, UNKNOWN_STATUS, FAILS, FAILS_WITHOUT_A_WORD, ONE_SIDED };

static int answer(const vbl_plugin_matrix *x, const vbl_plugin_matrix *y, const double *options, vbl_measure_answer *a,
                  char error[VBL_PLUGIN_MESSAGE]) {
  switch ((int)options[0]) {
    case INFINITE_VALUE:
      a->value = INFINITY;
      break;
    case UNKNOWN_STATUS:
      a->status = (vbl_measure_status)99;
      break;
    case FAILS:
      return snprintf(error, VBL_PLUGIN_MESSAGE, "X has %lld columns, which is too few", (long long)x->d);
    case FAILS_WITHOUT_A_WORD:
      return 1;
    case ONE_SIDED:
      a->value = y->data[0];
      break;
  }
  return 0;
}

static const vbl_option_def how[] = {{"how", 0, 0, 5}, {0}};
static const vbl_option_def backwards[] = {{"how", 7, 0, 5}, {0}};
static const vbl_measure_def good = {
    .abi = VBL_ABI, .name = "wrong", .help = "Wrong.", .options = how, .least_rows = 2, .best = 1, .known = 3, .compute = answer};

static int first_dims(const vbl_plugin_array *in, const double *options, vbl_plugin_array *y, char error[VBL_PLUGIN_MESSAGE]) {
  (void)in;
  if (options[0] == 1) y->ndim = 9;
  if (options[0] == 2) y->shape[0] = -4;
  if (options[0] == 3) return snprintf(error, VBL_PLUGIN_MESSAGE, "the shape does not please");
  return 0;
}

static void copy(const vbl_plugin_array *from, const vbl_plugin_array *to, int64_t skip) {
  int64_t n = 1;
  for (int i = 0; i < to->ndim; i++) n *= to->shape[i];
  size_t size = to->f64 ? sizeof(double) : sizeof(float);
  if (n > skip) memcpy((char *)to->data + size * (size_t)skip, (char *)from->data + size * (size_t)skip, size * (size_t)(n - skip));
}

// how = 4: leaves the first element out.
static int forward(const vbl_plugin_array *in, const double *options, const vbl_plugin_array *y, char error[VBL_PLUGIN_MESSAGE]) {
  (void)error;
  copy(in, y, options[0] == 4);
  return 0;
}

// how = 5: the same for the gradient; otherwise twice too large, which only differences can tell.
static int backward(const vbl_plugin_array *in, const vbl_plugin_array *y, const vbl_plugin_array *dy, const double *options,
                    const vbl_plugin_array *dx, char error[VBL_PLUGIN_MESSAGE]) {
  (void)in, (void)y, (void)error;
  copy(dy, &dx[0], options[0] == 5);
  for (int64_t i = 0; dx[0].f64 && i < dx[0].shape[0]; i++) ((double *)dx[0].data)[i] *= 2;
  return 0;
}

static const char *const one_input[] = {"x", NULL}, *const no_input[] = {NULL};
static const vbl_op_def good_op = {.abi = VBL_ABI,
                                   .name = "wrong_op",
                                   .help = "Wrong.",
                                   .inputs = one_input,
                                   .options = how,
                                   .shape = first_dims,
                                   .forward = forward,
                                   .backward = backward};

#define MEASURE(module, field, wrong)      \
  int luaopen_bad_##module(lua_State *L);  \
  int luaopen_bad_##module(lua_State *L) { \
    static vbl_measure_def def;            \
    def = good;                            \
    def.field = wrong;                     \
    vbl_register_measure(L, &def);         \
    return 0;                              \
  }
#define OPERATION(module, field, wrong)    \
  int luaopen_bad_##module(lua_State *L);  \
  int luaopen_bad_##module(lua_State *L) { \
    static vbl_op_def def;                 \
    def = good_op;                         \
    def.field = wrong;                     \
    vbl_register_op(L, &def);              \
    return 0;                              \
  }

MEASURE(abi, abi, VBL_ABI + 1)
MEASURE(name, name, NULL)
MEASURE(letters, name, "two words")
MEASURE(help, help, NULL)
MEASURE(compute, compute, NULL)
MEASURE(flags, flags, 1u << 9)
MEASURE(rows, least_rows, 0)
MEASURE(options, options, backwards)
MEASURE(taken, name, "cka")
MEASURE(function, name, "report")
MEASURE(answers, abi, VBL_ABI)
OPERATION(op_abi, abi, VBL_ABI - 1)
OPERATION(op_inputs, inputs, no_input)
OPERATION(op_forward, forward, NULL)
OPERATION(op_taken, name, "linear")
OPERATION(op_flat, backward, NULL)
OPERATION(op_answers, name, "wrong_op2")
