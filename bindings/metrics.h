// What the bindings of core/metrics share: arguments as plain arrays in memory that Lua owns and that stays on the stack.
// defines: vbl_values, vbl_lua_values, vbl_lua_same_shape, vbl_lua_flags, vbl_lua_classes, vbl_resample_rows, vbl_lua_weighted_class
#pragma once
#include "bindings/bind.h"
#include "core/metrics/metrics.h"

// What an argument holds, as doubles.
typedef struct vbl_values {
  const char *what;
  const double *v;
  int64_t n, classes;  // classes 0: one dim
} vbl_values;

// Argument `arg` (a tensor, or a table of numbers), [n] or, with `matrix`, [n, classes]; finite, n >= 1.
vbl_values vbl_lua_values(lua_State *L, int arg, const char *what, bool matrix);
void vbl_lua_same_shape(lua_State *L, const vbl_values *a, const vbl_values *b);
const uint8_t *vbl_lua_flags(lua_State *L, const vbl_values *x);  // all 0 or 1
// Class numbers from 0; *classes grows to hold them.
const int64_t *vbl_lua_classes(lua_State *L, const vbl_values *x, int64_t *classes);

extern const vbl_fn vbl_resample_rows[];    // bindings/metrics_resample.c
void vbl_lua_weighted_class(lua_State *L);  // bindings/metrics_resample.c
