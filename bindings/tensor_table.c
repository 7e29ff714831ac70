// Nested Lua tables to tensors and back.
// defines: vbl_make_tensor, vbl_lua_push_element, vbl_lua_push_table
#include "bindings/tensor_make.h"
#include "kernels/ref/ref.h"

typedef struct reading {
  vbl_tensor *t;
  int64_t path[VBL_MAX_DIMS];  // where the reading stands, from 1
  int64_t at;                  // next element
} reading;

// Pushes "[2][1]" for the first `depth` steps of the path.
static const char *push_path(lua_State *L, const reading *r, int depth) {
  lua_pushliteral(L, "values");
  for (int d = 0; d < depth; d++) {
    lua_pushfstring(L, "[%I]", (LUAI_UACINT)r->path[d]);
    lua_concat(L, 2);
  }
  return lua_tostring(L, -1);
}

// The shape is that of the first elements; read_level checks the rest against it.
static int first_shape(lua_State *L, int64_t shape[VBL_MAX_DIMS]) {
  int ndim = 0, top = lua_gettop(L);
  lua_pushvalue(L, 1);
  while (lua_istable(L, -1)) {
    if (ndim == VBL_MAX_DIMS) vbl_lua_error(L, "tables are nested deeper than the %d dims of a tensor", VBL_MAX_DIMS);
    shape[ndim++] = luaL_len(L, -1);
    if (shape[ndim - 1] == 0) break;
    luaL_checkstack(L, 2, "nested tables");
    lua_rawgeti(L, -1, 1);
  }
  lua_settop(L, top);
  return ndim;
}

static void read_number(lua_State *L, reading *r, int depth) {
  vbl_dtype dtype = r->t->dtype;
  if (lua_type(L, -1) != LUA_TNUMBER)
    vbl_lua_error(L, "tensor: %s: expected a number, got a %s", push_path(L, r, depth), luaL_typename(L, -1));
  double value = lua_tonumber(L, -1);
  if (!vbl_fits_dtype(dtype, value)) {
    const char *text = luaL_tolstring(L, -1, NULL);
    vbl_lua_error(L, "tensor: %s: %s is no %s", push_path(L, r, depth), text, vbl_dtype_name(dtype));
  }
  vbl_ref_store(dtype, vbl_tensor_data(r->t), r->at++, value);
}

// Reads the value at the stack's top, at `depth`.
static void read_level(lua_State *L, reading *r, int depth) {
  if (depth == r->t->ndim) {
    read_number(L, r, depth);
    return;
  }
  if (!lua_istable(L, -1)) {
    const char *type = luaL_typename(L, -1);
    vbl_lua_error(L, "tensor: %s: expected a table of %I, got a %s", push_path(L, r, depth), (LUAI_UACINT)r->t->shape[depth], type);
  }
  int64_t n = luaL_len(L, -1);
  if (n != r->t->shape[depth])
    vbl_lua_error(L, "tensor: ragged: %s has %I elements, the first table of its level has %I", push_path(L, r, depth),
                  (LUAI_UACINT)n, (LUAI_UACINT)r->t->shape[depth]);
  luaL_checkstack(L, 2, "nested tables");
  for (int64_t i = 1; i <= n; i++) {
    r->path[depth] = i;
    lua_rawgeti(L, -1, i);
    read_level(L, r, depth + 1);
    lua_pop(L, 1);
  }
}

int vbl_make_tensor(lua_State *L) {
  if (!lua_istable(L, 1) && lua_type(L, 1) != LUA_TNUMBER) luaL_typeerror(L, 1, "number or table of numbers");
  lua_settop(L, 2);
  vbl_make_options options = vbl_lua_make_options(L, 2, VBL_F32);
  int64_t shape[VBL_MAX_DIMS];
  int ndim = first_shape(L, shape);
  reading r = {.t = vbl_lua_new_tensor(L, options.dtype, ndim, shape)};
  lua_pushvalue(L, 1);
  read_level(L, &r, 0);
  lua_pop(L, 1);
  return vbl_lua_made(L, r.t, &options);
}

static void push_number(lua_State *L, vbl_dtype dtype, double value) {
  if (vbl_is_real(dtype))
    lua_pushnumber(L, value);
  else
    lua_pushinteger(L, (lua_Integer)value);
}

void vbl_lua_push_element(lua_State *L, const vbl_tensor *t, const int64_t *index) {
  double value = vbl_tensor_get(t, index);
  // What failed on a device since the last check would otherwise be read as a number.
  if (!t->storage->backend->host) VBL_LUA_TRY(L, t->storage->backend->sync(NULL, &err));
  push_number(L, t->dtype, value);
}

enum { AT_ONCE = 256 };

// Along the last dim many elements are converted by one call: a call each takes ten times as long.
static void push_row(lua_State *L, const vbl_tensor *t, int64_t *index) {
  const int last = t->ndim - 1;
  double values[AT_ONCE];
  for (int64_t first = 0; first < t->shape[last]; first += AT_ONCE) {
    const int64_t n = t->shape[last] - first < AT_ONCE ? t->shape[last] - first : AT_ONCE;
    index[last] = first;
    vbl_tensor_get_row(t, index, n, values);
    for (int64_t i = 0; i < n; i++) {
      push_number(L, t->dtype, values[i]);
      lua_rawseti(L, -2, first + i + 1);
    }
  }
}

void vbl_lua_push_table(lua_State *L, const vbl_tensor *t, int depth, int64_t *index) {
  if (depth == t->ndim) {
    vbl_lua_push_element(L, t, index);
    return;
  }
  luaL_checkstack(L, 2, "nested tables");
  lua_createtable(L, t->shape[depth] < INT32_MAX ? (int)t->shape[depth] : 0, 0);
  if (depth == t->ndim - 1) {
    push_row(L, t, index);
    return;
  }
  for (index[depth] = 0; index[depth] < t->shape[depth]; index[depth]++) {
    vbl_lua_push_table(L, t, depth + 1, index);
    lua_rawseti(L, -2, index[depth] + 1);
  }
}
