// What the optimizer's bindings share.
// defines: vbl_lua_check_optimizer, vbl_optimizer_method_step, vbl_lua_open_update, vbl_update_rows
#pragma once
#include "bindings/tensor.h"
#include "core/optim/leaf.h"

vbl_optimizer *vbl_lua_check_optimizer(lua_State *L);  // argument 1
int vbl_optimizer_method_step(lua_State *L);           // optimizer:step(lr)
void vbl_lua_open_update(lua_State *L);
extern const vbl_fn vbl_update_rows[];  // methods of the optimizer
