// Steps that a device was asked for and that the host has not looked at (core/optim/update.c).
// defines: vbl_lua_open_update, vbl_update_rows
#include "bindings/optim.h"

#define UPDATE_META "update"

typedef struct update_box {
  vbl_update *u;
} update_box;

static vbl_update *check_update(lua_State *L, int arg) {
  update_box *b = luaL_checkudata(L, arg, UPDATE_META);
  if (b->u == NULL) vbl_lua_error(L, "update was released");
  return b->u;
}

static int update_release(lua_State *L) {
  update_box *b = luaL_checkudata(L, 1, UPDATE_META);
  vbl_update_free(b->u);
  b->u = NULL;
  return 0;
}

static double wait_for(lua_State *L, vbl_update *u) {
  double norm = 0;
  vbl_error err;
  if (vbl_update_wait(u, &norm, &err) != VBL_OK) vbl_lua_raise(L, &err);
  return norm;
}

static int update_wait(lua_State *L) {
  lua_pushnumber(L, wait_for(L, check_update(L, 1)));
  return 1;
}

static int method_queue(lua_State *L) {
  vbl_optimizer *o = vbl_lua_check_optimizer(L);
  double lr = luaL_checknumber(L, 2);
  if (!vbl_optimizer_queues(o)) return vbl_optimizer_method_step(L);
  update_box *b = lua_newuserdatauv(L, sizeof *b, 0);
  b->u = NULL;
  luaL_setmetatable(L, UPDATE_META);
  VBL_LUA_TRY(L, vbl_optimizer_queue(o, lr, &b->u, &err));
  return 1;
}

static vbl_optimizer *take_back(lua_State *L) {
  vbl_optimizer *o = vbl_lua_check_optimizer(L);
  const vbl_update *u = check_update(L, 2);
  luaL_argcheck(L, vbl_update_is_of(u, o), 2, "expected an update of this optimizer");
  vbl_optimizer_take_back(o, u);
  return o;
}

static int method_take_back(lua_State *L) {
  take_back(L);
  return 0;
}

static int method_refuse(lua_State *L) {
  const vbl_optimizer *o = take_back(L);
  VBL_LUA_TRY(L, vbl_leaves_not_finite(o, &err));
  return 0;
}

static int update_norms(lua_State *L) {
  vbl_update *u = check_update(L, 1);
  wait_for(L, u);
  const int count = vbl_update_leaves(u);
  double *norms = lua_newuserdatauv(L, (size_t)count * sizeof *norms, 0);
  vbl_update_norms(u, norms);
  return vbl_lua_push_numbers(L, norms, count);
}

const vbl_fn vbl_update_rows[] = {
    {"queue", method_queue, "optimizer:queue(lr) -> norm or update",
     "A step of a device that is not waited for; on the CPU, step. update:wait() gives the norm: where it is NaN or Inf, or a "
     "watched "
     "tensor (t:read_later) was, this step and those after it changed nothing, until the update is taken back. update:norms(): as "
     "optimizer:norms() at this step."},
    {"take_back", method_take_back, "optimizer:take_back(update)",
     "Forgets an update that changed nothing, and those queued after it."},
    {"refuse", method_refuse, "optimizer:refuse(update)", "The same, and raises what is wrong with the gradients as they now are."},
    {NULL, NULL, NULL, NULL}};

void vbl_lua_open_update(lua_State *L) {
  static const luaL_Reg rows[] = {
      {"wait", update_wait}, {"norms", update_norms}, {"__gc", update_release}, {"__close", update_release}, {NULL, NULL}};
  luaL_newmetatable(L, UPDATE_META);
  luaL_setfuncs(L, rows, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
