// What the constructors share: sizes and options from Lua.
// defines: vbl_make_options, vbl_lua_make_options, vbl_lua_make, vbl_make_tensor
#pragma once
#include "bindings/tensor.h"

typedef struct vbl_make_options {
  vbl_dtype dtype;
  bool requires_grad;
} vbl_make_options;

// The option table at `arg` (nil or none: the defaults): dtype, device, requires_grad.
vbl_make_options vbl_lua_make_options(lua_State *L, int arg, vbl_dtype fallback);
// A new tensor of the sizes from `arg` on, and the options after them; pushed.
vbl_tensor *vbl_lua_make(lua_State *L, int arg, vbl_dtype fallback);

int vbl_make_tensor(lua_State *L);  // vbl.tensor
