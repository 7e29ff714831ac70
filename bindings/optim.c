// "vbl.optim.c": the optimizers of core/optim. Scripts use vbl.optim (lua/vbl/optim), which adds names and defaults.
// defines: vbl_open_optim; vbl_lua_check_optimizer, vbl_optimizer_method_step
#include "bindings/optim.h"

#define OPTIMIZER_META "optimizer"

typedef struct box {
  vbl_optimizer *o;
} box;

vbl_optimizer *vbl_lua_check_optimizer(lua_State *L) {
  box *b = luaL_checkudata(L, 1, OPTIMIZER_META);
  if (b->o == NULL) vbl_lua_error(L, "optimizer was released");
  return b->o;
}

static int release(lua_State *L) {
  box *b = luaL_checkudata(L, 1, OPTIMIZER_META);
  vbl_optimizer *o = b->o;
  b->o = NULL;
  if (o != NULL) vbl_optimizer_free(o);
  return 0;
}

// The list of tensors at `arg` in memory of the interpreter's (pushed).
static vbl_tensor **check_list(lua_State *L, int arg, int *count) {
  luaL_checktype(L, arg, LUA_TTABLE);
  int64_t n = luaL_len(L, arg);
  luaL_argcheck(L, n >= 1 && n <= 1 << 24, arg, "expected a list of tensors");
  vbl_tensor **list = lua_newuserdatauv(L, (size_t)n * sizeof *list, 0);
  for (int64_t i = 0; i < n; i++) {
    lua_rawgeti(L, arg, i + 1);
    list[i] = vbl_lua_check_tensor(L, -1);
    lua_pop(L, 1);
  }
  *count = (int)n;
  return list;
}

static int optim_pack(lua_State *L) {
  int count;
  vbl_tensor **list = check_list(L, 1, &count);
  VBL_LUA_TRY(L, vbl_parameters_pack(list, count, &err));
  return 0;
}

// The lists `averages` and `weights` of the table at 1, of one length.
static vbl_tensor **check_averages(lua_State *L, vbl_tensor ***weights, int *count) {
  int others;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_getfield(L, 1, "averages");
  lua_getfield(L, 1, "weights");
  vbl_tensor **averages = check_list(L, lua_gettop(L) - 1, count);
  *weights = check_list(L, lua_gettop(L) - 1, &others);  // behind the first list's memory
  if (*count != others) vbl_lua_error(L, "average: %d averages of %d tensors", *count, others);
  return averages;
}

static int optim_average(lua_State *L) {
  int count;
  const double decay = luaL_checknumber(L, 2);
  vbl_tensor **weights, **averages = check_averages(L, &weights, &count);
  VBL_LUA_TRY(L, vbl_parameters_average(averages, weights, count, decay, &err));
  return 0;
}

// No interrupt comes between the exchange and the note of it.
static int optim_swap(lua_State *L) {
  int count;
  vbl_tensor **weights, **averages = check_averages(L, &weights, &count);
  lua_getfield(L, 1, "swapped");
  const bool swapped = lua_toboolean(L, -1);
  VBL_LUA_TRY(L, vbl_parameters_swap(averages, weights, count, &err));
  lua_pushboolean(L, !swapped);
  lua_setfield(L, 1, "swapped");
  return 0;
}

static const char **check_names(lua_State *L, int arg, int count) {
  luaL_checktype(L, arg, LUA_TTABLE);
  const char **names = lua_newuserdatauv(L, (size_t)count * sizeof *names, 0);
  for (int i = 0; i < count; i++) {
    if (lua_rawgeti(L, arg, i + 1) != LUA_TSTRING)
      vbl_lua_error(L, "new: name %d: expected a string, got %s", i + 1, luaL_typename(L, -1));
    names[i] = lua_tostring(L, -1);  // the table keeps it
    lua_pop(L, 1);
  }
  return names;
}

static bool *check_flags(lua_State *L, int arg, int count) {
  luaL_checktype(L, arg, LUA_TTABLE);
  bool *flags = lua_newuserdatauv(L, (size_t)count * sizeof *flags, 0);
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, arg, i + 1);
    flags[i] = lua_toboolean(L, -1);
    lua_pop(L, 1);
  }
  return flags;
}

static double *check_numbers(lua_State *L, int arg, int count) {
  luaL_checktype(L, arg, LUA_TTABLE);
  double *numbers = lua_newuserdatauv(L, (size_t)count * sizeof *numbers, 0);
  for (int i = 0; i < count; i++) {
    if (lua_rawgeti(L, arg, i + 1) != LUA_TNUMBER)
      vbl_lua_error(L, "new: rate %d: expected a number, got %s", i + 1, luaL_typename(L, -1));
    numbers[i] = lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  return numbers;
}

static vbl_optimizer_options check_options(lua_State *L, int arg, vbl_optimizer_kind kind) {
  static const char *const known[] = {"beta1", "beta2", "eps", "momentum", "weight_decay", "clip", NULL};
  vbl_lua_check_keys(L, arg, known);
  return (vbl_optimizer_options){.kind = kind,
                                 .beta1 = vbl_lua_opt_number(L, arg, "beta1", 0.9),
                                 .beta2 = vbl_lua_opt_number(L, arg, "beta2", 0.999),
                                 .eps = vbl_lua_opt_number(L, arg, "eps", 1e-8),
                                 .momentum = vbl_lua_opt_number(L, arg, "momentum", 0),
                                 .weight_decay = vbl_lua_opt_number(L, arg, "weight_decay", 0),
                                 .clip = vbl_lua_opt_number(L, arg, "clip", 0)};
}

static int optim_new(lua_State *L) {
  static const char *const kinds[] = {"adamw", "sgd", NULL};
  int kind = luaL_checkoption(L, 1, NULL, kinds), count;
  luaL_checkstack(L, 8, "optimizer");
  vbl_tensor **leaves = check_list(L, 3, &count);
  const char **names = check_names(L, 2, count);
  bool *decay = check_flags(L, 4, count);
  double *rates = check_numbers(L, 5, count);
  vbl_optimizer_options options = check_options(L, 6, kind == 0 ? VBL_ADAMW : VBL_SGD);
  box *b = lua_newuserdatauv(L, sizeof *b, 0);
  b->o = NULL;
  luaL_setmetatable(L, OPTIMIZER_META);
  VBL_LUA_TRY(L, vbl_optimizer_new(options, names, leaves, decay, rates, count, &b->o, &err));
  return 1;
}

int vbl_optimizer_method_step(lua_State *L) {
  vbl_optimizer *o = vbl_lua_check_optimizer(L);
  double lr = luaL_checknumber(L, 2), norm = 0;
  VBL_LUA_TRY(L, vbl_optimizer_step(o, lr, &norm, &err));
  lua_pushnumber(L, norm);
  return 1;
}

static int method_norms(lua_State *L) {
  const vbl_optimizer *o = vbl_lua_check_optimizer(L);
  double *norms = lua_newuserdatauv(L, (size_t)o->count * sizeof *norms, 0);
  vbl_optimizer_norms(o, norms);
  return vbl_lua_push_numbers(L, norms, o->count);
}

static int method_zero_grad(lua_State *L) {
  vbl_optimizer_zero_grad(vbl_lua_check_optimizer(L));
  return 0;
}

static int method_state(lua_State *L) {
  vbl_optimizer *o = vbl_lua_check_optimizer(L);
  lua_createtable(L, 0, 3);
  vbl_lua_push_tensor(L, vbl_tensor_retain(o->m));
  lua_setfield(L, -2, "m");
  if (o->v != NULL) {
    vbl_lua_push_tensor(L, vbl_tensor_retain(o->v));
    lua_setfield(L, -2, "v");
  }
  lua_createtable(L, o->count, 0);
  for (int i = 0; i < o->count; i++) {
    lua_pushinteger(L, o->leaves[i].t);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "steps");
  return 1;
}

// state.name as a tensor of like's shape (pushed).
static vbl_tensor *check_moment(lua_State *L, const char *name, const vbl_tensor *like) {
  lua_getfield(L, 2, name);
  if (vbl_lua_test_handle(L, -1) == NULL) vbl_lua_error(L, "load_state: %s: expected a tensor, got %s", name, luaL_typename(L, -1));
  vbl_tensor *t = vbl_lua_check_tensor(L, -1);
  if (!vbl_tensor_same_shape(t, like)) {
    char got[VBL_SHAPE_TEXT], want[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "load_state: %s: expected %s, got %s (another model?)", name, vbl_shape_text(like->ndim, like->shape, want),
                  vbl_shape_text(t->ndim, t->shape, got));
  }
  return t;
}

static int method_load_state(lua_State *L) {
  vbl_optimizer *o = vbl_lua_check_optimizer(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  // All is checked before anything is changed.
  vbl_tensor *m = check_moment(L, "m", o->m), *v = o->v == NULL ? NULL : check_moment(L, "v", o->v);
  if (lua_getfield(L, 2, "steps") != LUA_TTABLE || luaL_len(L, -1) != o->count)
    vbl_lua_error(L, "load_state: steps: expected a list of %d numbers, one for each parameter", o->count);
  int steps = lua_gettop(L);
  for (int i = 0; i < o->count; i++) {
    lua_rawgeti(L, steps, i + 1);
    if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 0) vbl_lua_error(L, "load_state: steps[%d]: expected 0, 1, 2, ...", i + 1);
    lua_pop(L, 1);
  }
  VBL_LUA_TRY(L, vbl_tensor_copy(o->m, m, &err));
  if (v != NULL) VBL_LUA_TRY(L, vbl_tensor_copy(o->v, v, &err));
  for (int i = 0; i < o->count; i++) {
    lua_rawgeti(L, steps, i + 1);
    o->leaves[i].t = lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  vbl_optimizer_calm(o);
  return 0;
}

static const vbl_fn functions[] = {
    {"pack", optim_pack, "pack({leaf, ...})", "Moves the leaves' data and gradients into one block each, in their order."},
    {"average", optim_average, "average({averages =, weights =}, decay)",
     "Each average becomes decay average + (1 - decay) weight."},
    {"swap", optim_swap, "swap({averages =, weights =})", "Exchanges them, and negates the table's `swapped`."},
    {"new", optim_new, "new(\"adamw\" or \"sgd\", {name, ...}, {leaf, ...}, {decay, ...}, {lr_scale, ...}, opts) -> optimizer",
     "opts: beta1, beta2, eps, momentum, weight_decay, clip (global norm; 0 is none)."},
    {NULL, NULL, NULL, NULL}};

static const vbl_fn methods[] = {
    {"step", vbl_optimizer_method_step, "optimizer:step(lr) -> norm",
     "One step at this rate; returns the gradients' global norm before clipping. NaN or Inf in a gradient is an error, nothing "
     "changes then."},
    {"norms", method_norms, "optimizer:norms() -> {number, ...}", "The norm of each leaf's gradient; 0 where there is none."},
    {"zero_grad", method_zero_grad, "optimizer:zero_grad()", "The next backward writes the gradients instead of adding to them."},
    {"state", method_state, "optimizer:state() -> {m, v, steps}",
     "Its own tensors, not copies; steps: how often each leaf was stepped."},
    {"load_state", method_load_state, "optimizer:load_state({m, v, steps})",
     "Copies a state in. Shapes and counts must be this optimizer's."},
    {"release", release, "optimizer:release()", "Gives the moments' memory back now."},
    {NULL, NULL, NULL, NULL}};

int vbl_open_optim(lua_State *L) {
  vbl_lua_open_update(L);
  luaL_newmetatable(L, OPTIMIZER_META);
  lua_newtable(L);
  vbl_lua_register(L, "optimizer:", methods);
  vbl_lua_register(L, "optimizer:", vbl_update_rows);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, release);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, release);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
  lua_newtable(L);
  vbl_lua_register(L, "vbl.optim.c", functions);
  return 1;
}
