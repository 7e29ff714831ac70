// Differentiable views, for methods and indexing. Dims and indices from 0. Each pushes its result.
// defines: vbl_lua_slice, vbl_lua_reshape, vbl_lua_check_index
#pragma once
#include "bindings/tensor.h"

vbl_tensor *vbl_lua_slice(lua_State *L, vbl_tensor *t, int dim, int64_t start, int64_t length);
vbl_tensor *vbl_lua_reshape(lua_State *L, vbl_tensor *t, int ndim, const int64_t *shape);  // strides must allow it
// Index i (1 .. size, or negative from the end) as 0 .. size-1, else an error.
int64_t vbl_lua_check_index(lua_State *L, int64_t i, int dim, int64_t size);
