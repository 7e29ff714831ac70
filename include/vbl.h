// vbl.h: what a plug-in for vbl includes. A plug-in is a Lua C module: a shared library whose luaopen_NAME registers measures and ops of its
// own; `require "NAME"` loads it (LUA_CPATH says from where). Afterwards they stand beside the built-in ones: vbl.measure.NAME with chance
// levels, reports, layer maps and self-test, vbl.nn.functional.NAME on the tape, both with ?help and completion.
//
// A definition and everything that it points to must live as long as the program (make it static const). Every function returns 0, or another
// number after writing one sentence into `error`; the script then fails with it. Functions are called with the data that vbl has checked
// and must not change what is const. Make everything but luaopen_NAME static: the program's own symbols come first.
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lua_State;

// Of the structs and functions below. A plug-in made for another number is refused by name, not run.
enum { VBL_ABI = 1 };

enum {
  VBL_PLUGIN_MESSAGE = 256,  // bytes of `error`
  VBL_PLUGIN_OPTIONS = 6,    // most options of a measure or an op
  VBL_PLUGIN_INPUTS = 6,     // most inputs of an op
  VBL_PLUGIN_DIMS = 6,       // most dims of an array
};

// An option: a number that the script may give in the table of options, low <= value <= high (INFINITY and -INFINITY: no bound).
typedef struct vbl_option_def {
  const char *name;  // NULL ends a list
  double fallback, low, high;
} vbl_option_def;

// ---- Measures: how far the rows of X [n, dx] and Y [n, dy] agree, row i of the one being paired with row i of the other.

// Why a value is undefined. A measure never gives a stand-in number: NaN and one of these instead.
typedef enum vbl_measure_status {
  VBL_MEASURE_OK = 0,
  VBL_MEASURE_ZERO_VARIANCE,   // constant after centring
  VBL_MEASURE_ZERO_ROW,        // a direction is needed and a row (or every row) is zero
  VBL_MEASURE_ALL_TIED,        // every distance is the same
  VBL_MEASURE_RANK_SATURATED,  // rank of X or Y >= n - 1: every correlation is 1 whatever the data
  VBL_MEASURE_NOT_CONVERGED,
  VBL_MEASURE_NOT_COMPARABLE,  // X and Y have different widths and the measure needs one space
  VBL_MEASURE_BANDWIDTH_ZERO,  // median distance 0: more than half of the pairs are duplicates
  VBL_MEASURE_NEGATIVE_HSIC,   // the root of a negative self-similarity
  VBL_MEASURE_NO_RECIPROCAL,   // mknn_thesis: no mutual neighbours within X or within Y
  VBL_MEASURE_NOTHING_VALID,   // every row, token or query was skipped
  VBL_MEASURE_ONE_CLASS,       // labels of a single class
  VBL_MEASURE_OVERFLOW,        // f64 overflow: scale the data
  VBL_MEASURE_STATUSES
} vbl_measure_status;

typedef struct vbl_plugin_matrix {
  int64_t n, d;
  const double *data;  // (n, d), row after row; finite
} vbl_plugin_matrix;

// Given empty: NaN, OK, NaN, -1.
typedef struct vbl_measure_answer {
  double value;  // finite where status is OK
  vbl_measure_status status;
  double chance;    // expected when the rows of Y are shuffled; NaN: a report takes the mean of its permutations
  int64_t skipped;  // rows left out; -1: does not apply
} vbl_measure_answer;

enum {
  VBL_MEASURE_SYMMETRIC = 1,  // f(X, Y) = f(Y, X)
  VBL_MEASURE_DISTANCE = 2,   // smaller is nearer
  VBL_MEASURE_ONE_SPACE = 4,  // needs dx = dy: other pairs are NOT_COMPARABLE without a call
  VBL_MEASURE_ROTATES = 8,    // a rotation of one side leaves it unchanged
};

typedef struct vbl_measure_def {
  int abi;                        // VBL_ABI
  const char *name;               // a Lua name: vbl.measure.NAME
  const char *help;               // formula, range, what the options mean, source
  const vbl_option_def *options;  // NULL: none
  unsigned flags;
  int64_t least_rows;  // n below it is an error
  // For the self-test. best: the value of X with itself; NAN: no law. known: the value (to 1e-9) with default options on X [24, 6],
  // x_ij = sin(0.7 (i + 1)(j + 1)) + 0.1 (i mod 3), and Y [24, 8], y_ij = cos(0.3 (i + 1)(j + 2)) + 0.5 x_i,(j mod 6), i and j from 0
  // (ONE_SPACE: Y's first 6 columns), computed by other means; NAN: not asked. Asked of all: independent X and Y lie within their own
  // permutations; zeros in Y's place give a status.
  double best, known;
  // options: a value for each of the list, in its order. Called by several threads at once, each with an answer of its own.
  int (*compute)(const vbl_plugin_matrix *x, const vbl_plugin_matrix *y, const double *options, vbl_measure_answer *answer,
                 char error[VBL_PLUGIN_MESSAGE]);
} vbl_measure_def;

// ---- Ops: one tensor from some, with gradients. Integers and bf16 come as f32; the op computes in f32 or, where every input is f64, in
// f64, on the processor.

typedef struct vbl_plugin_array {
  int f64;  // data is double, else float
  int ndim;
  int64_t shape[VBL_PLUGIN_DIMS];
  void *data;  // contiguous
} vbl_plugin_array;

typedef struct vbl_op_def {
  int abi;                        // VBL_ABI
  const char *name;               // a Lua name: vbl.nn.functional.NAME
  const char *help;               // formula, shapes, what the options mean
  const char *const *inputs;      // their names, NULL ends the list
  const vbl_option_def *options;  // NULL: none
  // Checks the inputs' shapes and sets y->ndim and y->shape, which are the first input's before. NULL: all inputs have the shape of y.
  int (*shape)(const vbl_plugin_array *in, const double *options, vbl_plugin_array *y, char error[VBL_PLUGIN_MESSAGE]);
  // Writes every element of y.
  int (*forward)(const vbl_plugin_array *in, const double *options, const vbl_plugin_array *y, char error[VBL_PLUGIN_MESSAGE]);
  // dy: the gradient of y. Writes (does not add) every element of dx[i], the gradient of input i, where dx[i].data is not NULL.
  // backward NULL: the op has no gradient.
  int (*backward)(const vbl_plugin_array *in, const vbl_plugin_array *y, const vbl_plugin_array *dy, const double *options,
                  const vbl_plugin_array *dx, char error[VBL_PLUGIN_MESSAGE]);
} vbl_op_def;

// Called in luaopen_NAME. A wrong definition (another ABI, a field missing, a name that is taken) raises a Lua error that says which.
void vbl_register_measure(struct lua_State *L, const vbl_measure_def *def);
void vbl_register_op(struct lua_State *L, const vbl_op_def *def);

#ifdef __cplusplus
}
#endif
