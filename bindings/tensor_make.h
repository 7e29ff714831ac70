// What the constructors share: sizes and options from Lua.
// defines: vbl_make_options, vbl_lua_make_options, vbl_lua_make, vbl_lua_made, vbl_make_tensor, vbl_lua_default_device
#pragma once
#include "bindings/tensor.h"

typedef struct vbl_make_options {
  vbl_dtype dtype;
  const vbl_backend *device;
  bool requires_grad;
} vbl_make_options;

// The option table at `arg` (nil or none: the defaults): dtype, device, requires_grad.
vbl_make_options vbl_lua_make_options(lua_State *L, int arg, vbl_dtype fallback);
// A new tensor on the host of the sizes from `arg` on, pushed; and the options after them.
vbl_tensor *vbl_lua_make(lua_State *L, int arg, vbl_dtype fallback, vbl_make_options *options);
// Ends a constructor: the tensor, at the stack's top, goes to its device and asks for a gradient as the options say. Returns 1.
int vbl_lua_made(lua_State *L, vbl_tensor *t, const vbl_make_options *options);

// Where new tensors go from now on (NULL: the CPU). Returns where they went.
const vbl_backend *vbl_lua_default_device(const vbl_backend *next);

int vbl_make_tensor(lua_State *L);  // vbl.tensor
