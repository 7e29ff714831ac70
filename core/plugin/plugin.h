// Measures and ops of plug-ins (include/vbl.h) as measures of core/measure and ops of the tape: their definitions are checked once, what
// they answer each time.
// defines: vbl_plugin_measure, vbl_plugin_measure_make, vbl_plugin_compute, vbl_plugin_op, vbl_plugin_op_make,
//          vbl_plugin_check_{name,list,options}, vbl_plugin_failed
#pragma once
#include "core/measure/traits.h"
#include "core/tape/tape.h"

typedef struct vbl_plugin_measure {
  const vbl_measure_def *def;
  vbl_measure_traits traits;
} vbl_plugin_measure;

typedef struct vbl_plugin_op {
  vbl_op op;  // first: a call's op is its plug-in
  const vbl_op_def *def;
  int inputs;
} vbl_plugin_op;

// VBL_EINVAL for a definition that cannot be used: made for another vbl.h, a field that is missing or out of range.
vbl_status vbl_plugin_measure_make(const vbl_measure_def *def, vbl_plugin_measure *out, vbl_error *err);
vbl_status vbl_plugin_op_make(const vbl_op_def *def, vbl_plugin_op *out, vbl_error *err);

// Every plug-in's measure: o->plugin is which, o->plugin_options are its options' values in the definition's order. OK with a value that
// is not finite, and a status that vbl.h has not, are errors.
vbl_measure_fn vbl_plugin_compute;

// The op reads its options from attrs.v. Its inputs are of one dtype, f32 or f64, in the processor's memory. An element of y or of a
// gradient that is NaN where no input is, as those are that the plug-in did not write, is an error; so is an impossible shape.

// A definition's ABI, name (of Lua's letters) and help; its list of options (NULL: none); values for that list, each in its range.
vbl_status vbl_plugin_check_name(int abi, const char *name, const char *help, vbl_error *err);
vbl_status vbl_plugin_check_list(const char *name, const vbl_option_def *options, vbl_error *err);
vbl_status vbl_plugin_check_options(const char *name, const vbl_option_def *options, const double *values, vbl_error *err);
// What a plug-in's function left in `error` when it failed.
vbl_status vbl_plugin_failed(char error[VBL_PLUGIN_MESSAGE], vbl_error *err);
