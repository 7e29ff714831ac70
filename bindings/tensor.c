// Tensors as userdata: their life, the pressure they put on the collector, and the module's opening.
// defines: vbl_open_tensor, vbl_handle_{link,unlink,release,methods}, vbl_lua_{new,fill,check,test}_handle, vbl_lua_{push,check,opt,test}_tensor,
// vbl_lua_apply, vbl_lua_apply_unary, vbl_lua_get_state, vbl_lua_first_threshold
#include "bindings/tensor.h"

static const char state_key;  // its address is the state's key in the registry
const size_t vbl_lua_first_threshold = (size_t)256 << 20;

vbl_lua_state *vbl_lua_get_state(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  vbl_lua_state *state = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return state;
}

void vbl_handle_unlink(vbl_handle *h) {
  if (h->scope == NULL) return;
  h->link.prev->next = h->link.next;
  h->link.next->prev = h->link.prev;
  h->scope = NULL;
}

void vbl_handle_link(vbl_handle *h, vbl_scope *scope) {
  if (scope == NULL) return;
  h->link = (vbl_link){&scope->list, scope->list.next};
  h->link.next->prev = h->link.prev->next = &h->link;
  h->scope = scope;
}

void vbl_handle_release(vbl_handle *h, const char *how) {
  vbl_handle_unlink(h);
  if (h->t == NULL) return;
  vbl_tensor *t = h->t;
  h->t = NULL;
  h->released = how;
  vbl_tensor_release(t);
}

vbl_handle *vbl_lua_new_handle(lua_State *L) {
  vbl_handle *h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = (vbl_handle){.released = "before it was made"};
  luaL_setmetatable(L, VBL_TENSOR_META);
  return h;
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

// Garbage may fill three quarters of a device's memory, and a sixteenth more than what is alive, so that the kernels' working memory fits.
static size_t device_threshold(size_t live) {
  const vbl_backend *device = vbl_plan_backend() != NULL ? vbl_plan_backend() : vbl_backend_opened();
  vbl_device_memory m = {0};
  if (device != NULL) device->memory(&m, false);
  return m.limit == 0 ? SIZE_MAX : larger(m.limit / 4 * 3, live + m.limit / 16);
}

// The collector sees a small userdata where a tensor holds megabytes: live bytes have a threshold of their own, twice what was
// alive after the last collection.
static void relieve_pressure(lua_State *L, vbl_lua_state *state) {
  if (vbl_memory().live <= state->threshold || !vbl_lua_collect(L)) return;
  const size_t live = vbl_memory().live, twice = larger(2 * live, vbl_lua_first_threshold), most = device_threshold(live);
  state->threshold = twice < most ? twice : most;
}

void vbl_lua_fill_handle(lua_State *L, vbl_handle *h, vbl_tensor *t) {
  vbl_lua_state *state = vbl_lua_get_state(L);
  h->t = t;
  vbl_handle_link(h, state->scope);
  relieve_pressure(L, state);
}

void vbl_lua_push_tensor(lua_State *L, vbl_tensor *t) {
  vbl_handle *h = vbl_lua_new_handle(L);
  vbl_lua_fill_handle(L, h, t);
}

vbl_handle *vbl_lua_test_handle(lua_State *L, int arg) { return luaL_testudata(L, arg, VBL_TENSOR_META); }

vbl_handle *vbl_lua_check_handle(lua_State *L, int arg) {
  vbl_handle *h = vbl_lua_test_handle(L, arg);
  if (h == NULL) luaL_typeerror(L, arg, "tensor");
  if (h->t == NULL) vbl_lua_error(L, "tensor was released (%s)", h->released);
  return h;
}

vbl_tensor *vbl_lua_check_tensor(lua_State *L, int arg) { return vbl_lua_check_handle(L, arg)->t; }

vbl_tensor *vbl_lua_opt_tensor(lua_State *L, int arg) { return lua_isnoneornil(L, arg) ? NULL : vbl_lua_check_tensor(L, arg); }

vbl_tensor *vbl_lua_test_tensor(lua_State *L, int arg) {
  vbl_handle *h = vbl_lua_test_handle(L, arg);
  return h == NULL ? NULL : h->t;
}

int vbl_lua_apply(lua_State *L, const vbl_op *op, vbl_tensor *const *in, int inputs, const vbl_attrs *attrs) {
  static const vbl_attrs none;
  vbl_handle *handles[VBL_MAX_OUTPUTS];
  vbl_tensor *out[VBL_MAX_OUTPUTS] = {NULL};
  luaL_checkstack(L, VBL_MAX_OUTPUTS, "tensors");
  for (int i = 0; i < op->outputs; i++) handles[i] = vbl_lua_new_handle(L);
  VBL_LUA_TRY(L, vbl_apply(op, in, inputs, attrs == NULL ? &none : attrs, out, &err));
  // All are owned before any is filled: filling may collect, and a finaliser's error must find nothing loose.
  for (int i = 0; i < op->outputs; i++) handles[i]->t = out[i];
  for (int i = 0; i < op->outputs; i++) vbl_lua_fill_handle(L, handles[i], out[i]);
  return op->outputs;
}

vbl_tensor *vbl_lua_apply_unary(lua_State *L, const vbl_op *op, vbl_tensor *x) {
  vbl_lua_apply(L, op, &x, 1, NULL);
  return vbl_lua_check_tensor(L, -op->outputs);
}

static int collect_handle(lua_State *L) {
  vbl_handle_release(lua_touserdata(L, 1), "it was collected or closed");
  return 0;
}

static int method_release(lua_State *L) {
  vbl_handle *h = luaL_checkudata(L, 1, VBL_TENSOR_META);
  vbl_handle_release(h, "by :release()");
  return 0;
}

static int method_keep(lua_State *L) {
  vbl_handle_unlink(vbl_lua_check_handle(L, 1));
  lua_settop(L, 1);
  return 1;
}

const vbl_fn vbl_handle_methods[] = {
    {"release", method_release, "t:release()",
     "Gives the tensor's memory back now, where nothing else uses it. Later use of t is an error; a second release is none."},
    {"keep", method_keep, "t:keep() -> t",
     "Takes t out of the vbl.scope that it was made in: it then lives until nothing refers to it, as outside of scopes."},
    {NULL, NULL, NULL, NULL}};

static int same_tensor(lua_State *L) {
  vbl_tensor *a = vbl_lua_test_tensor(L, 1), *b = vbl_lua_test_tensor(L, 2);
  lua_pushboolean(L, a != NULL && a == b);
  return 1;
}

static void add_metatable(lua_State *L) {
  luaL_newmetatable(L, VBL_TENSOR_META);
  static const luaL_Reg life[] = {{"__gc", collect_handle},
                                  {"__close", collect_handle},
                                  {"__eq", same_tensor},
                                  {"__tostring", vbl_tensor_tostring},
                                  {"__newindex", vbl_tensor_newindex},
                                  {NULL, NULL}};
  luaL_setfuncs(L, life, 0);
  luaL_setfuncs(L, vbl_tensor_operators, 0);
  lua_newtable(L);
  const vbl_fn *methods[] = {vbl_handle_methods, vbl_method_rows,  vbl_math_rows,
                             vbl_view_rows,      vbl_grad_methods, vbl_transfer_methods};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) vbl_lua_register(L, "tensor:", methods[i]);
  lua_pushcclosure(L, vbl_tensor_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

int vbl_open_tensor(lua_State *L) {
  vbl_lua_state *state = lua_newuserdatauv(L, sizeof *state, 0);
  *state = (vbl_lua_state){.threshold = vbl_lua_first_threshold};
  lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
  add_metatable(L);
  lua_newtable(L);
  const vbl_fn *functions[] = {vbl_make_rows,       vbl_random_rows,      vbl_algebra_rows, vbl_scope_rows, vbl_grad_rows,
                               vbl_checkpoint_rows, vbl_environment_rows, vbl_profile_rows, vbl_plan_rows};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) vbl_lua_register(L, "", functions[i]);
  lua_pushliteral(L, VBL_VERSION);
  lua_setfield(L, -2, "version");
  return 1;
}
