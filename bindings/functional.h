// One row per op: which tensors it takes and how its attributes are called in Lua.
// defines: vbl_functional, vbl_functional_input, vbl_functional_attr, vbl_functional_rows, vbl_lua_set_op
#pragma once
#include "bindings/tensor.h"

typedef enum vbl_input_kind {
  VBL_IN_TENSOR,    // positional
  VBL_IN_OPTIONAL,  // positional; nil, or left out before the option table
  VBL_IN_LIST,      // positional: a list of tensors, each an input of its own
  VBL_IN_OPTION,    // a field of the option table; comes after the positional ones
} vbl_input_kind;

typedef struct vbl_functional_input {
  const char *name;  // NULL ends the list
  vbl_input_kind kind;
} vbl_functional_input;

// Where an attribute goes in vbl_attrs.
typedef enum vbl_attr_kind {
  VBL_AT_ALPHA,
  VBL_AT_ALPHA_OR_INPUT,  // a number; a tensor of this name is an input instead
  VBL_AT_EPS,
  VBL_AT_P,
  VBL_AT_SEED,
  VBL_AT_SITE,  // rng.stream = VBL_STREAM_DROPOUT + site
  VBL_AT_STEP,
  VBL_AT_INTEGER,  // n[slot]
  VBL_AT_BOOL,     // n[slot]
  VBL_AT_DIM,      // n[slot]: a dim of the first input, from 1
  VBL_AT_INDEX,    // n[slot]: an index from 1
  VBL_AT_SIZES,    // n[0] = count, n[1..]
  VBL_AT_ORDER,    // the same, dims from 1
  VBL_AT_DTYPE,    // n[slot]
  VBL_AT_COLORS,   // v[slot..slot+2]: {r, g, b}
  VBL_AT_NUMBER,   // v[slot]
  VBL_AT_TENSOR,   // an input (VBL_IN_OPTION); listed to be a known option
} vbl_attr_kind;

enum { VBL_REQUIRED = -987654321 };  // as fallback: the option must be given

typedef struct vbl_functional_attr {
  const char *name;  // NULL ends the list
  vbl_attr_kind kind;
  int slot;
  double fallback;
} vbl_functional_attr;

enum { VBL_FUNCTIONAL_INPUTS = 7, VBL_FUNCTIONAL_ATTRS = 13 };  // one more than the longest list: its end
typedef struct vbl_functional {
  const char *name;
  const vbl_op *op;
  vbl_functional_input inputs[VBL_FUNCTIONAL_INPUTS];
  vbl_functional_attr attrs[VBL_FUNCTIONAL_ATTRS];
  const char *signature, *help;
} vbl_functional;

extern const vbl_functional vbl_functional_rows[];  // ends with a NULL name
// Sets the function of a row that lives as long as the program in the table at the stack's top, and documents it.
void vbl_lua_set_op(lua_State *L, const vbl_functional *row);
