// Activation checkpointing (Chen, Xu, Zhang, Guestrin 2016, arXiv 1604.06174): a function's intermediates are not kept for backward
// but computed again there.
// defines: vbl_checkpoint_rows
#include <stdlib.h>

#include "bindings/tensor.h"
#include "core/base/interrupt.h"

// What a checkpoint remembers: its function, and its inputs without history.
typedef struct checkpoint {
  lua_State *main;
  int function;  // registry reference
  int inputs;
  vbl_tensor *in[VBL_MAX_INPUTS];
  bool requires_grad[VBL_MAX_INPUTS];
  uint32_t version[VBL_MAX_INPUTS];  // of the inputs' storages before the first run: the second has to find the same
  uint32_t seed;                     // of vbl.rand and its like when the function ran first
  uint64_t draws;
  vbl_precision autocast;
} checkpoint;

static void destroy_checkpoint(void *context) {
  checkpoint *c = context;
  luaL_unref(c->main, LUA_REGISTRYINDEX, c->function);
  for (int i = 0; i < c->inputs; i++) vbl_tensor_release(c->in[i]);
  free(c);
}

// One re-run, passed to a protected call.
typedef struct rerun {
  checkpoint *c;
  vbl_tensor *const *out_grads;
  int outputs;
  vbl_tensor **in_grads;
} rerun;

// Runs the function again while recording, on leaves that stand for the inputs; its backward fills the gradients of parameters
// directly and those of the inputs through the leaves. In a scope: what it makes is freed at its end.
static int rerun_protected(lua_State *L) {
  rerun *r = lua_touserdata(L, 1);
  checkpoint *c = r->c;
  vbl_tensor *leaves[VBL_MAX_INPUTS] = {NULL}, *roots[VBL_MAX_OUTPUTS], *seeds[VBL_MAX_OUTPUTS];
  luaL_checkstack(L, 2 * VBL_MAX_INPUTS + 8, "checkpoint");
  for (int i = 0; i < c->inputs; i++)
    if (c->in[i]->storage->version != c->version[i])
      vbl_lua_error(L, "input %d was changed in place since the first run; its gradient would be another's (change a clone)",
                    i + 1);
  vbl_lua_open_scope(L);
  vbl_lua_set_recording(L, true);
  vbl_lua_set_autocast(L, c->autocast);
  int base = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, c->function);
  for (int i = 0; i < c->inputs; i++) {
    vbl_handle *h = vbl_lua_new_handle(L);
    VBL_LUA_TRY(L, vbl_tensor_alias(c->in[i], &leaves[i], &err));
    vbl_lua_fill_handle(L, h, leaves[i]);
    leaves[i]->requires_grad = c->requires_grad[i];
    lua_pushvalue(L, -1);
    lua_insert(L, base + 1);  // kept below the call
  }
  lua_call(L, c->inputs, r->outputs);
  int count = 0;
  for (int i = 0; i < r->outputs; i++) {
    if (r->out_grads[i] == NULL) continue;
    roots[count] = vbl_lua_check_tensor(L, -r->outputs + i);
    seeds[count++] = r->out_grads[i];
  }
  if (count > 0)
    VBL_LUA_ONCE(L, vbl_backward_many(roots, seeds, count, false, &err));  // a second walk would find half of the graph freed
  for (int i = 0; i < c->inputs; i++)
    if (leaves[i]->grad != NULL && leaves[i]->has_grad) r->in_grads[i] = vbl_tensor_retain(leaves[i]->grad);
  return 0;
}

static vbl_status run_checkpoint(void *context, vbl_tensor *const *out_grads, int outputs, vbl_tensor **in_grads, int inputs,
                                 vbl_error *err) {
  checkpoint *c = context;
  rerun r = {c, out_grads, outputs, in_grads};
  vbl_lua_state *state = vbl_lua_get_state(c->main);
  lua_State *L = state->backward == NULL ? c->main : state->backward;
  uint32_t seed = state->seed;
  uint64_t draws = state->draws;
  (void)inputs;
  if (!lua_checkstack(L, 4)) return vbl_fail(err, VBL_ENOMEM, "checkpoint: no room on Lua's stack");
  state->seed = c->seed;
  state->draws = c->draws;
  lua_pushcfunction(L, rerun_protected);
  lua_pushlightuserdata(L, &r);
  int failed = lua_pcall(L, 1, 0, 0);
  state->seed = seed;
  state->draws = draws;
  if (failed == LUA_OK) return VBL_OK;
  if (vbl_interrupt_check(err) != VBL_OK) {
    lua_pop(L, 1);
    return VBL_EINTERRUPT;
  }
  const char *message = lua_tostring(L, -1);
  vbl_fail(err, failed == LUA_ERRMEM ? VBL_ENOMEM : VBL_EINVAL, "in a checkpoint's second run: %s",
           message == NULL ? "an error that is no string" : message);
  lua_pop(L, 1);
  return err == NULL ? VBL_EINVAL : err->code;
}

// fn(inputs...) without recording, in a scope; its results as fresh tensors without history.
static int first_run(lua_State *L) {
  int arguments = lua_gettop(L);
  luaL_checkstack(L, 2 * arguments + 16, "checkpoint");
  vbl_scope *scope = vbl_lua_open_scope(L);
  vbl_lua_set_recording(L, false);
  int base = lua_gettop(L);
  for (int i = 1; i <= arguments; i++) lua_pushvalue(L, i);
  lua_call(L, arguments - 1, LUA_MULTRET);
  int results = lua_gettop(L) - base;
  if (results < 1 || results > VBL_MAX_OUTPUTS)
    vbl_lua_error(L, "checkpoint: expected 1 to %d results of the function, got %d", VBL_MAX_OUTPUTS, results);
  for (int i = 1; i <= results; i++) {
    vbl_tensor *alias = NULL;
    if (vbl_lua_test_tensor(L, base + i) == NULL)
      vbl_lua_error(L, "checkpoint: result %d of the function: expected a tensor, got %s", i, luaL_typename(L, base + i));
    vbl_handle *h = vbl_lua_new_handle(L);
    VBL_LUA_TRY(L, vbl_tensor_alias(vbl_lua_test_tensor(L, base + i), &alias, &err));
    vbl_lua_fill_handle(L, h, alias);
  }
  vbl_lua_leave_scope(L, scope, base + results + 1);
  return results;
}

// Whether a backward may come: then the inputs' count is checked too.
static bool wanted(lua_State *L, int inputs) {
  bool any = false;
  for (int i = 1; i <= inputs; i++) any |= vbl_lua_check_tensor(L, i + 1)->requires_grad;
  if (!any || !vbl_recording()) return false;
  if (inputs > VBL_MAX_INPUTS) vbl_lua_error(L, "checkpoint: at most %d tensors, got %d", VBL_MAX_INPUTS, inputs);
  return true;
}

static checkpoint *new_checkpoint(lua_State *L, int inputs, const uint32_t *version, const vbl_lua_state *before) {
  lua_pushvalue(L, 1);
  int function = luaL_ref(L, LUA_REGISTRYINDEX);
  checkpoint *c = calloc(1, sizeof *c);
  if (c == NULL) {
    luaL_unref(L, LUA_REGISTRYINDEX, function);
    vbl_lua_error(L, "checkpoint: out of memory");
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  *c = (checkpoint){
      .main = lua_tothread(L, -1), .function = function, .seed = before->seed, .draws = before->draws, .autocast = vbl_autocast()};
  lua_pop(L, 1);
  for (int i = 0; i < inputs; i++) {
    vbl_tensor *t = vbl_lua_check_tensor(L, i + 2);
    vbl_error err;
    if (vbl_tensor_alias(t, &c->in[i], &err) != VBL_OK) {
      destroy_checkpoint(c);
      vbl_lua_raise(L, &err);
    }
    c->requires_grad[i] = t->requires_grad;
    c->version[i] = version[i];
    c->inputs = i + 1;
  }
  return c;
}

static int checkpoint_call(lua_State *L) {
  luaL_checkany(L, 1);
  int inputs = lua_gettop(L) - 1;
  if (!wanted(L, inputs)) return vbl_lua_scope_call(L);  // nothing of it is kept here either
  const vbl_lua_state before = *vbl_lua_get_state(L);
  uint32_t version[VBL_MAX_INPUTS];
  for (int i = 0; i < inputs; i++) version[i] = vbl_lua_check_tensor(L, i + 2)->storage->version;
  luaL_checkstack(L, inputs + 8, "checkpoint");
  lua_pushcfunction(L, first_run);
  for (int i = 1; i <= inputs + 1; i++) lua_pushvalue(L, i);
  lua_call(L, inputs + 1, LUA_MULTRET);
  int results = lua_gettop(L) - inputs - 1;
  vbl_tensor *in[VBL_MAX_INPUTS], *out[VBL_MAX_OUTPUTS];
  for (int i = 0; i < inputs; i++) in[i] = vbl_lua_check_tensor(L, i + 2);
  for (int i = 0; i < results; i++) out[i] = vbl_lua_check_tensor(L, i - results);
  checkpoint *c = new_checkpoint(L, inputs, version, &before);
  vbl_error err;
  if (vbl_record_custom("checkpoint", in, inputs, out, results, (vbl_custom){run_checkpoint, destroy_checkpoint, c}, &err) !=
      VBL_OK)
    vbl_lua_raise(L, &err);
  return results;
}

const vbl_fn vbl_checkpoint_rows[] = {{"checkpoint", checkpoint_call, "checkpoint(fn, t1, t2, ...) -> tensors",
                                       "fn(t1, ...), at most 12 tensors in and 3 out, without keeping its intermediates: backward "
                                       "runs fn again. fn must give the same results "
                                       "both times: dropout does, as its masks are keyed, and so do vbl.rand and its like. Where "
                                       "no t requires a gradient, fn just runs."},
                                      {NULL, NULL, NULL, NULL}};
