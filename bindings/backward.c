// Backward from Lua.
// defines: vbl_grad_rows, vbl_grad_methods
#include "bindings/tensor.h"

// A seed may be a leaf's own .grad, which the walk writes while it still reads the seed: copies are taken, of one element on the host alone, where they
// cost nothing.
static void own_seeds(lua_State *L, vbl_tensor **seeds, int count) {
  luaL_checkstack(L, count + 4, "seeds");
  for (int i = 0; i < count; i++) {
    if (seeds[i] == NULL || (vbl_tensor_numel(seeds[i]) == 1 && !seeds[i]->storage->backend->host)) continue;
    vbl_tensor *own = NULL;
    vbl_handle *h = vbl_lua_new_handle(L);
    VBL_LUA_TRY(L, vbl_tensor_new(seeds[i]->storage->backend, seeds[i]->dtype, seeds[i]->ndim, seeds[i]->shape, &own, &err));
    vbl_lua_fill_handle(L, h, own);
    VBL_LUA_TRY(L, vbl_tensor_copy(own, seeds[i], &err));
    seeds[i] = own;
  }
}

static void run_backward(lua_State *L, vbl_tensor *const *roots, vbl_tensor **seeds, int count, bool keep_graph) {
  own_seeds(L, seeds, count);
  vbl_lua_state *state = vbl_lua_get_state(L);
  lua_State *outer = state->backward;
  vbl_error err;
  state->backward = L;
  vbl_status status = vbl_backward_many(roots, seeds, count, keep_graph, &err);
  state->backward = outer;
  if (status != VBL_OK) vbl_lua_raise(L, &err);
}

static bool keep_graph_option(lua_State *L, int arg) {
  static const char *const known[] = {"keep_graph", NULL};
  vbl_lua_check_keys(L, arg, known);
  return vbl_lua_opt_bool(L, arg, "keep_graph", false);
}

static int method_backward(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1), *seed = vbl_lua_opt_tensor(L, 2);
  run_backward(L, &t, &seed, 1, keep_graph_option(L, 3));
  return 0;
}

// Reads the list at `arg` (nil: none) into n tensors; the list keeps them alive.
static void read_list(lua_State *L, int arg, vbl_tensor **list, int n) {
  for (int i = 0; i < n; i++) {
    list[i] = NULL;
    if (lua_isnoneornil(L, arg)) continue;
    lua_rawgeti(L, arg, i + 1);
    list[i] = vbl_lua_opt_tensor(L, -1);
    lua_pop(L, 1);
  }
}

static int backward_many(lua_State *L) {
  lua_settop(L, 3);  // an argument that was left out must not become what is pushed next
  luaL_checktype(L, 1, LUA_TTABLE);
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
  bool keep_graph = keep_graph_option(L, 3);
  int64_t n = luaL_len(L, 1);
  luaL_argcheck(L, n >= 1 && n <= 1 << 16, 1, "expected a list of 1 to 65536 tensors");
  vbl_tensor **lists = lua_newuserdatauv(L, 2 * (size_t)n * sizeof *lists, 0);
  read_list(L, 1, lists, (int)n);
  read_list(L, 2, lists + n, (int)n);
  for (int64_t i = 0; i < n; i++)
    if (lists[i] == NULL) vbl_lua_error(L, "backward: root %I is nil, expected a tensor", (LUAI_UACINT)(i + 1));
  run_backward(L, lists, lists + n, (int)n, keep_graph);
  return 0;
}

const vbl_fn vbl_grad_methods[] = {{"backward", method_backward, "t:backward([seed, [{keep_graph = false}]])",
                                    "Adds the gradients of sum(seed * t) to the .grad of the leaves that require one. No seed: "
                                    "ones, t must have one element. Frees the "
                                    "graph unless keep_graph; a second backward through a freed graph is an error. "
                                    "t.grad is the buffer that the next backward adds to: t.grad:clone() keeps a value."},
                                   {NULL, NULL, NULL, NULL}};

const vbl_fn vbl_grad_rows[] = {
    {"backward", backward_many, "backward({root, ...}, [{seed or nil, ...}], [{keep_graph = false}])",
     "t:backward from several roots at once, in one walk: gradients of the sum over i of sum(seed[i] * root[i])."},
    {NULL, NULL, NULL, NULL}};
