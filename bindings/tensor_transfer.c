// What goes between host and device while the device computes: values that are read later, inputs that are sent ahead. Scripts use the first
// through lua/vbl/later.lua.
// defines: vbl_transfer_methods
#include "bindings/tensor.h"
#include "core/tensor/branch.h"
#include "kernels/ref/ref.h"

#define READING_META "reading"

typedef struct reading {
  const vbl_backend *backend;
  vbl_reading *r;  // NULL once it was waited for
  vbl_dtype dtype;
  double value;
} reading;

static int reading_wait(lua_State *L) {
  reading *r = luaL_checkudata(L, 1, READING_META);
  vbl_reading *what = r->r;
  double element;  // holds any dtype
  vbl_error err;
  if (what != NULL) {
    r->r = NULL;
    if (r->backend->read(what, &element, &err) != VBL_OK) vbl_lua_raise(L, &err);
    r->value = vbl_ref_load(r->dtype, &element, 0);
  }
  lua_pushnumber(L, r->value);
  return 1;
}

static int reading_end(lua_State *L) {
  reading *r = luaL_checkudata(L, 1, READING_META);
  if (r->r != NULL) r->backend->read(r->r, NULL, NULL);
  r->r = NULL;
  return 0;
}

static reading *new_reading(lua_State *L) {
  static const luaL_Reg methods[] = {{"wait", reading_wait}, {"__gc", reading_end}, {NULL, NULL}};
  reading *r = lua_newuserdatauv(L, sizeof *r, 0);
  *r = (reading){0};
  if (luaL_newmetatable(L, READING_META)) {
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
  }
  lua_setmetatable(L, -2);
  return r;
}

static int method_read_later(lua_State *L) {
  const vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  const vbl_backend *backend = t->storage->backend;
  const bool watched = lua_toboolean(L, 2);
  if (vbl_tensor_numel(t) != 1) {
    char text[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "read_later: expected a tensor of one element, got %s", vbl_shape_text(t->ndim, t->shape, text));
  }
  if (watched && t->dtype != VBL_F32 && t->dtype != VBL_F64)
    vbl_lua_error(L, "read_later: a watched tensor is f32, got %s", vbl_dtype_name(t->dtype));
  if (backend->read_later == NULL) {
    vbl_lua_push_element(L, t, (const int64_t[VBL_MAX_DIMS]){0});
    return 1;
  }
  reading *r = new_reading(L);
  r->backend = backend;
  r->dtype = t->dtype;
  vbl_branches_meet();
  vbl_branch_note(&t->storage->marks, false);
  r->r = backend->read_later(vbl_tensor_data(t), vbl_dtype_size(t->dtype), watched, NULL);
  if (r->r == NULL) {
    VBL_LUA_TRY(L, backend->sync(NULL, &err));
    vbl_lua_error(L, "read_later: out of memory");
  }
  return 1;
}

static int method_send(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1), *moved = NULL;
  const vbl_backend *backend = vbl_lua_check_device(L, luaL_checkstring(L, 2));
  lua_settop(L, 1);
  if (t->storage->backend == backend || backend->host) return 1;
  if (t->node != NULL || t->requires_grad)
    vbl_lua_error(L, "send: is for inputs; gradients flow through this tensor (t:to moves leaves)");
  VBL_LUA_TRY(L, vbl_tensor_send(t, backend, &moved, &err));
  vbl_lua_push_tensor(L, moved);
  return 1;
}

const vbl_fn vbl_transfer_methods[] = {
    {"read_later", method_read_later, "t:read_later([watched]) -> number or reading",
     "The one element of a tensor, without waiting for its device: reading:wait() gives the number once it is there. On the CPU "
     "the number. "
     "watched: where it is not finite, optimizers change nothing on the device until the step is taken back."},
    {"send", method_send, "t:send(device) -> tensor",
     "As t:to(device), for the inputs of a step to come: they are copied while the device still computes the step before."},
    {NULL, NULL, NULL, NULL}};
