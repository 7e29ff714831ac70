// t[...] and t.field: methods, grad, requires_grad, elements and slices.
//   t[i]            a 1-dim tensor: a Lua number; else t:select(1, i)
//   t[{i, j}]       all dims given as numbers: a Lua number; fewer: a view of the rest
//   t[{{a, b}, {}}] a table {a, b} is the range a .. b (both in), {} the whole dim, {a} one index whose dim stays
// Indices count from 1, negative ones from the end. Views are differentiable; numbers are not (t:select is).
// Assignment writes a number, or a tensor that broadcasts, into such a view.
// defines: vbl_tensor_index, vbl_tensor_newindex
#include <string.h>

#include "bindings/tensor_inplace.h"
#include "bindings/tensor_view.h"

// One step of an index: `number` drops its dim.
typedef struct step {
  bool number;
  int64_t start, length;
} step;

static int64_t range_end(lua_State *L, int table, int position, int dim, int64_t size) {
  int ok;
  lua_rawgeti(L, table, position);
  int64_t i = lua_tointegerx(L, -1, &ok);
  if (!ok) vbl_lua_error(L, "range of dim %d: expected {first, last} as integers", dim + 1);
  lua_pop(L, 1);
  return vbl_lua_check_index(L, i, dim, size);
}

static step read_range(lua_State *L, int table, int dim, int64_t size) {
  int64_t n = luaL_len(L, table);
  if (n == 0) return (step){.length = size};
  if (n > 2) vbl_lua_error(L, "range of dim %d: expected {first, last}, {index} or {}", dim + 1);
  int64_t first = range_end(L, table, 1, dim, size), last = n == 1 ? first : range_end(L, table, 2, dim, size);
  if (last < first)
    vbl_lua_error(L, "range of dim %d: last index %I is before first %I", dim + 1, (LUAI_UACINT)(last + 1),
                  (LUAI_UACINT)(first + 1));
  return (step){.start = first, .length = last - first + 1};
}

static step read_step(lua_State *L, int at, int dim, int64_t size) {
  if (lua_istable(L, at)) return read_range(L, lua_absindex(L, at), dim, size);
  int ok = 0;
  int64_t i = lua_type(L, at) == LUA_TNUMBER ? lua_tointegerx(L, at, &ok) : 0;
  if (!ok)
    vbl_lua_error(L, "index of dim %d: expected an integer or a range {first, last}, got %s", dim + 1, luaL_tolstring(L, at, NULL));
  return (step){true, vbl_lua_check_index(L, i, dim, size), 1};
}

// Reads the index at `at` (a number or a table) into one step for each of its dims; returns their number.
static int read_index(lua_State *L, int at, const vbl_tensor *t, step steps[VBL_MAX_DIMS]) {
  if (t->ndim == 0) vbl_lua_error(L, "a scalar tensor has no index (t:item() is its number)");
  if (!lua_istable(L, at)) {
    steps[0] = read_step(L, at, 0, t->shape[0]);
    return 1;
  }
  int64_t n = luaL_len(L, at);
  if (n < 1 || n > t->ndim) vbl_lua_error(L, "expected 1 to %d indices, got %I", t->ndim, (LUAI_UACINT)n);
  for (int d = 0; d < n; d++) {
    lua_rawgeti(L, at, d + 1);
    steps[d] = read_step(L, -1, d, t->shape[d]);
    lua_pop(L, 1);
  }
  return (int)n;
}

static bool is_element(const vbl_tensor *t, const step *steps, int n) {
  for (int d = 0; d < n; d++)
    if (!steps[d].number) return false;
  return n == t->ndim;
}

// Pushes the view that the steps describe (views on the way lie below it).
static vbl_tensor *push_view(lua_State *L, vbl_tensor *t, const step *steps, int n) {
  int64_t shape[VBL_MAX_DIMS];
  int kept = 0;
  luaL_checkstack(L, 2 * VBL_MAX_DIMS, "views");
  for (int d = 0; d < n; d++)
    if (steps[d].length != t->shape[d]) t = vbl_lua_slice(L, t, d, steps[d].start, steps[d].length);
  for (int d = 0; d < t->ndim; d++)
    if (d >= n || !steps[d].number) shape[kept++] = t->shape[d];
  return vbl_lua_reshape(L, t, kept, shape);
}

static void push_at(lua_State *L, const vbl_tensor *t, const step *steps) {
  int64_t index[VBL_MAX_DIMS];
  for (int d = 0; d < t->ndim; d++) index[d] = steps[d].start;
  vbl_lua_push_element(L, t, index);
}

static int push_field(lua_State *L, const char *name) {
  if (strcmp(name, "grad") == 0) {
    vbl_tensor *t = vbl_lua_check_tensor(L, 1);
    if (t->grad == NULL || !t->has_grad)
      lua_pushnil(L);
    else
      vbl_lua_push_tensor(L, vbl_tensor_retain(t->grad));
    return 1;
  }
  if (strcmp(name, "requires_grad") == 0) {
    lua_pushboolean(L, vbl_lua_check_tensor(L, 1)->requires_grad);
    return 1;
  }
  const char *names[128] = {"grad", "requires_grad"};
  int n = 2;
  for (lua_pushnil(L); n < 127 && lua_next(L, lua_upvalueindex(1)); lua_pop(L, 1)) names[n++] = lua_tostring(L, -2);
  const char *near = vbl_lua_nearest(name, names);
  return vbl_lua_error(L, "a tensor has no field or method '%s'%s%s%s", name, near ? " (did you mean '" : "", near ? near : "",
                       near ? "'?)" : "");
}

int vbl_tensor_index(lua_State *L) {
  luaL_checkudata(L, 1, VBL_TENSOR_META);
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    return push_field(L, lua_tostring(L, 2));
  }
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  step steps[VBL_MAX_DIMS];
  int n = read_index(L, 2, t, steps);
  if (is_element(t, steps, n))
    push_at(L, t, steps);
  else
    push_view(L, t, steps, n);
  return 1;
}

// t.grad = g: a copy of g into the leaf's gradient, as if a backward had written it.
static void set_grad(lua_State *L, vbl_tensor *t) {
  vbl_tensor *grad = vbl_lua_check_tensor(L, 3);
  if (t->node != NULL || !t->requires_grad) vbl_lua_error(L, "grad: the tensor is not a leaf that requires a gradient");
  if (!vbl_tensor_same_shape(t, grad)) {
    char want[VBL_SHAPE_TEXT], got[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "grad: expected %s, got %s", vbl_shape_text(t->ndim, t->shape, want),
                  vbl_shape_text(grad->ndim, grad->shape, got));
  }
  if (t->grad == NULL) {
    vbl_dtype T = t->dtype == VBL_F64 ? VBL_F64 : VBL_F32;
    VBL_LUA_TRY(L, vbl_tensor_new(t->storage->backend, T, t->ndim, t->shape, &t->grad, &err));
  }
  VBL_LUA_TRY(L, vbl_tensor_copy(t->grad, grad, &err));
  t->has_grad = true;
}

static int set_field(lua_State *L, const char *name) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  if (strcmp(name, "requires_grad") == 0) {
    luaL_checktype(L, 3, LUA_TBOOLEAN);
    vbl_lua_set_requires_grad(L, t, lua_toboolean(L, 3));
    return 0;
  }
  if (strcmp(name, "grad") == 0 && lua_isnil(L, 3)) {
    t->has_grad = false;
    return 0;
  }
  if (strcmp(name, "grad") == 0) {
    set_grad(L, t);
    return 0;
  }
  return vbl_lua_error(L, "a tensor's fields to set are requires_grad (true, false) and grad (nil or a tensor), not '%s'", name);
}

int vbl_tensor_newindex(lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING) return set_field(L, lua_tostring(L, 2));
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  vbl_lua_check_inplace(L, t);
  step steps[VBL_MAX_DIMS];
  int n = read_index(L, 2, t, steps);
  vbl_lua_set_recording(L, false);
  vbl_tensor *view = push_view(L, t, steps, n);
  vbl_lua_write(L, view, 3);
  return 0;
}
