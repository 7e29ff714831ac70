// Changes in place.
// defines: vbl_lua_check_inplace, vbl_lua_write, vbl_lua_set_requires_grad
#pragma once
#include "bindings/tensor.h"

// Raises where a graph may depend on t's values: results with history and leaves that require a gradient, while recording.
void vbl_lua_check_inplace(lua_State *L, const vbl_tensor *t);
// Writes the number or tensor (broadcast to t's shape, converted to its dtype) at `arg` into t.
void vbl_lua_write(lua_State *L, vbl_tensor *t, int arg);
void vbl_lua_set_requires_grad(lua_State *L, vbl_tensor *t, bool on);
