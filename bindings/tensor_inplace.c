// Changes in place: fill_, zero_, copy_, assignment, requires_grad.
// defines: vbl_lua_check_inplace, vbl_lua_write, vbl_lua_set_requires_grad
#include "bindings/tensor_inplace.h"

void vbl_lua_check_inplace(lua_State *L, const vbl_tensor *t) {
  if (!vbl_recording() || (t->node == NULL && !t->requires_grad)) return;
  vbl_lua_error(L, t->node == NULL
                       ? "a tensor that requires a gradient changes in place only inside vbl.no_grad(fn)"
                       : "a result that gradients flow through cannot change in place (use t:detach() or a new tensor)");
}

// Pushes src seen in t's shape (strides 0 where it is repeated).
static vbl_tensor *broadcast(lua_State *L, const vbl_tensor *src, const vbl_tensor *t) {
  int64_t stride[VBL_MAX_DIMS] = {0};
  int shift = t->ndim - src->ndim;
  bool fits = shift >= 0;
  for (int d = 0; fits && d < src->ndim; d++) {
    if (src->shape[d] == t->shape[d + shift])
      stride[d + shift] = src->stride[d];
    else
      fits = src->shape[d] == 1;
  }
  if (!fits) {
    char from[VBL_SHAPE_TEXT], to[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "cannot write %s into %s", vbl_shape_text(src->ndim, src->shape, from), vbl_shape_text(t->ndim, t->shape, to));
  }
  vbl_handle *h = vbl_lua_new_handle(L);
  vbl_tensor *view = NULL;
  VBL_LUA_TRY(L, vbl_tensor_as_strided(src, t->ndim, t->shape, stride, src->offset, &view, &err));
  vbl_lua_fill_handle(L, h, view);
  return view;
}

// Elements that lie in one place would keep whichever of their values came last.
static void check_apart(lua_State *L, const vbl_tensor *t) {
  for (int d = 0; d < t->ndim; d++)
    if (t->stride[d] == 0 && t->shape[d] > 1)
      vbl_lua_error(
          L, "cannot write a tensor into an expanded one, whose elements along dim %d are one in memory (t:clone() has its own)",
          d + 1);
}

void vbl_lua_write(lua_State *L, vbl_tensor *t, int arg) {
  const int top = lua_gettop(L);
  if (vbl_lua_test_handle(L, arg) != NULL) {
    vbl_tensor *src = vbl_lua_check_tensor(L, arg);
    check_apart(L, t);
    vbl_tensor *near = NULL;
    VBL_LUA_TRY(L, vbl_tensor_to_backend(src, t->storage->backend, &near, &err));
    vbl_lua_push_tensor(L, near);
    src = near;
    if (!vbl_tensor_same_shape(src, t)) src = broadcast(L, src, t);
    VBL_LUA_TRY(L, vbl_tensor_copy(t, src, &err));
    lua_settop(L, top);
    return;
  }
  if (lua_type(L, arg) != LUA_TNUMBER) luaL_typeerror(L, arg, "number or tensor");
  double value = lua_tonumber(L, arg);
  if (!vbl_fits_dtype(t->dtype, value)) vbl_lua_error(L, "%s is no %s", luaL_tolstring(L, arg, NULL), vbl_dtype_name(t->dtype));
  VBL_LUA_TRY(L, vbl_tensor_fill(t, value, &err));
}

void vbl_lua_set_requires_grad(lua_State *L, vbl_tensor *t, bool on) {
  if (t->node != NULL)
    vbl_lua_error(L, "requires_grad is set on leaves; this tensor is the result of an op (t:detach() gives a leaf)");
  if (on && !vbl_is_real(t->dtype))
    vbl_lua_error(L, "only f32, f64 and bf16 tensors can require a gradient, not %s", vbl_dtype_name(t->dtype));
  t->requires_grad = on;
}
