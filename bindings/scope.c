// vbl.scope, vbl.no_grad, vbl.enable_grad, vbl.autocast, vbl.side_by_side, vbl.cuda_graph: a state that lasts until a function returns or raises. Each is a to-be-closed guard on
// the running C function's stack, so an error keeps its traceback and passes through unchanged.
// defines: vbl_scope_rows, vbl_lua_open_scope, vbl_lua_leave_scope, vbl_lua_scope_call, vbl_lua_set_recording, vbl_lua_set_autocast
#include <string.h>

#include "bindings/tensor.h"
#include "core/tensor/branch.h"
#include "kernels/kernels.h"

#define SCOPE_META     "vbl.scope"
#define RECORDING_META "vbl.recording"
#define AUTOCAST_META  "vbl.autocast"
#define BRANCH_META    "vbl.branch"
#define CAPTURE_META   "vbl.capture"

static int close_scope(lua_State *L) {
  vbl_scope *scope = lua_touserdata(L, 1);
  vbl_lua_state *state = vbl_lua_get_state(L);
  state->scope = scope->parent;
  while (scope->list.next != &scope->list)
    vbl_handle_release((vbl_handle *)scope->list.next, "at the end of its scope; return it or call :keep()");
  return 0;
}

static int close_recording(lua_State *L) {
  vbl_set_recording(*(const bool *)lua_touserdata(L, 1));
  return 0;
}

static int close_autocast(lua_State *L) {
  vbl_set_autocast(*(const vbl_precision *)lua_touserdata(L, 1));
  return 0;
}

static int close_branches(lua_State *L) {
  (void)vbl_branch(*(const int *)lua_touserdata(L, 1));
  vbl_branches_join();
  return 0;
}

// Gives the userdata at the top its metatable, with __close, and makes it to be closed.
static void guard(lua_State *L, const char *meta, lua_CFunction close) {
  if (luaL_newmetatable(L, meta)) {
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__close");
  }
  lua_setmetatable(L, -2);
}

vbl_scope *vbl_lua_open_scope(lua_State *L) {
  luaL_checkstack(L, 4, "scope");
  vbl_scope *scope = lua_newuserdatauv(L, sizeof *scope, 0);
  vbl_lua_state *state = vbl_lua_get_state(L);
  *scope = (vbl_scope){{&scope->list, &scope->list}, state->scope};
  guard(L, SCOPE_META, close_scope);
  lua_toclose(L, -1);
  state->scope = scope;
  return scope;
}

void vbl_lua_set_recording(lua_State *L, bool on) {
  luaL_checkstack(L, 4, "recording");
  bool *old = lua_newuserdatauv(L, sizeof *old, 0);
  *old = vbl_recording();
  guard(L, RECORDING_META, close_recording);
  lua_toclose(L, -1);
  vbl_set_recording(on);
}

void vbl_lua_set_autocast(lua_State *L, vbl_precision p) {
  luaL_checkstack(L, 4, "autocast");
  vbl_precision *old = lua_newuserdatauv(L, sizeof *old, 0);
  *old = vbl_autocast();
  guard(L, AUTOCAST_META, close_autocast);
  lua_toclose(L, -1);
  vbl_set_autocast(p);
}

// Moves the tensors in the value at the top from `scope` to its parent; `seen` is the index of a table of tables walked.
static void leave(lua_State *L, vbl_scope *scope, int seen) {
  vbl_handle *h = vbl_lua_test_handle(L, -1);
  if (h != NULL) {
    if (h->scope != scope) return;
    vbl_handle_unlink(h);
    vbl_handle_link(h, scope->parent);
  }
  if (!lua_istable(L, -1)) return;
  lua_pushvalue(L, -1);
  if (lua_rawget(L, seen) != LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  lua_pushboolean(L, true);
  lua_rawset(L, seen);
  luaL_checkstack(L, 6, "nested tables");
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) leave(L, scope, seen);
}

void vbl_lua_leave_scope(lua_State *L, vbl_scope *scope, int first) {
  int last = lua_gettop(L);
  lua_newtable(L);
  for (int i = first; i <= last; i++) {
    lua_pushvalue(L, i);
    leave(L, scope, last + 1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

// With the stack fn, arguments, guard: calls fn(arguments...); its results lie above the guard. Returns their number.
static int call_below_guard(lua_State *L) {
  int guard_at = lua_gettop(L);
  luaL_checkstack(L, guard_at, "arguments");
  for (int i = 1; i < guard_at; i++) lua_pushvalue(L, i);
  lua_call(L, guard_at - 2, LUA_MULTRET);
  return lua_gettop(L) - guard_at;
}

int vbl_lua_scope_call(lua_State *L) {
  luaL_checkany(L, 1);
  vbl_scope *scope = vbl_lua_open_scope(L);
  int guard_at = lua_gettop(L), results = call_below_guard(L);
  vbl_lua_leave_scope(L, scope, guard_at + 1);
  return results;
}

static int with_recording(lua_State *L, bool on) {
  luaL_checkany(L, 1);
  vbl_lua_set_recording(L, on);
  return call_below_guard(L);
}

static int no_grad(lua_State *L) { return with_recording(L, false); }
static int enable_grad(lua_State *L) { return with_recording(L, true); }

static int autocast(lua_State *L) {
  static const char *const names[] = {"f32", "bf16", "tf32"};  // as vbl_precision
  const char *name = luaL_checkstring(L, 1);
  int p = 0;
  while (p < 3 && strcmp(name, names[p]) != 0) p++;
  luaL_argcheck(L, p < 3, 1, lua_pushfstring(L, "expected 'f32', 'bf16' or 'tf32', got '%s'", name));
  luaL_checkany(L, 2);
  lua_remove(L, 1);
  vbl_lua_set_autocast(L, (vbl_precision)p);
  return call_below_guard(L);
}

// Within another's functions there is nothing left to be put beside: all goes to the branch that they are in.
static int side_by_side(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  int *before = lua_newuserdatauv(L, sizeof *before, 0);
  *before = vbl_branch_now();
  guard(L, BRANCH_META, close_branches);
  lua_toclose(L, -1);
  const bool alone = vbl_branches_apart();
  if (!alone) vbl_branch(1), vbl_branch(0);  // from here on they are apart
  lua_pushvalue(L, 1);
  lua_call(L, 0, 1);
  if (!alone) vbl_branch(1);
  lua_pushvalue(L, 2);
  lua_call(L, 0, 1);
  return 2;
}

static const char *capture(bool on) {
  const vbl_backend *device = vbl_backend_opened();
  if (vbl_plan_backend() != NULL || device == NULL || device->capture == NULL) return "no GPU is in use";
  return device->capture(on);
}

static int close_capture(lua_State *L) {
  if (*(const bool *)lua_touserdata(L, 1)) (void)capture(false);
  return 0;
}

// Within another nothing begins or ends.
static int cuda_graph(lua_State *L) {
  luaL_checkany(L, 1);
  bool *open = lua_newuserdatauv(L, sizeof *open, 0);
  *open = false;
  guard(L, CAPTURE_META, close_capture);
  lua_toclose(L, -1);
  const char *why = capture(true);
  *open = why == NULL;
  const int guard_at = lua_gettop(L), results = call_below_guard(L);
  if (*open) *open = false, why = capture(false);
  lua_pushstring(L, why);  // nil for NULL
  lua_insert(L, guard_at + 1);
  return results + 1;
}

static int is_recording(lua_State *L) {
  lua_pushboolean(L, vbl_recording());
  return 1;
}

const vbl_fn vbl_scope_rows[] = {
    {"scope", vbl_lua_scope_call, "scope(fn, ...) -> results of fn",
     "Calls fn(...) and then frees every tensor made in it that is neither returned (also inside tables) nor kept (t:keep()); also "
     "when "
     "fn raises. What a graph or a .grad needs lives on. Scopes nest; what leaves one belongs to the one around it."},
    {"no_grad", no_grad, "no_grad(fn, ...) -> results of fn", "Calls fn(...) without recording for backward."},
    {"enable_grad", enable_grad, "enable_grad(fn, ...) -> results of fn",
     "Calls fn(...) recording for backward, also inside no_grad."},
    {"autocast", autocast, "autocast(precision, fn, ...) -> results of fn",
     "Calls fn(...) with mixed precision: 'bf16' rounds the operands of the products in linear and linear_group (inputs, weights, "
     "and in "
     "backward the gradients) to bf16 and sums in f32; weights, their gradients and everything else stay f32. 'tf32' rounds them "
     "to "
     "TF32 (10 bits), on a GPU only. 'f32' rounds nothing."},
    {"side_by_side", side_by_side, "side_by_side(f, g) -> result of f, result of g",
     "Calls f() and then g(). On a GPU what g computes may run beside what f computes, and so in the backward pass: worth it where "
     "both are much "
     "work of few rows. Results are those of one after the other, bit for bit. f and g compute with ops and read values; "
     "optimizers and measures come "
     "after them."},
    {"cuda_graph", cuda_graph, "cuda_graph(fn, ...) -> nil or why not, results of fn",
     "Calls fn(...) and gives what it asks of a GPU to it in one call, as one CUDA graph, when fn has returned. What no graph can "
     "hold (the host waits for a "
     "number, memory is asked for, sizes are new) ends the graph there, and the rest is queued as ever: results are the same. Then "
     "the first result says "
     "what it was."},
    {"is_grad_enabled", is_recording, "is_grad_enabled() -> boolean", "Whether ops are recorded for backward."},
    {NULL, NULL, NULL, NULL}};
