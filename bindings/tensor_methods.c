// Methods that tell about a tensor, convert it or change it in place.
// defines: vbl_method_rows
#include <math.h>
#include <string.h>

#include "bindings/tensor_inplace.h"
#include "kernels/ref/ref.h"

// "{2, 3}": what print makes of a shape.
static int shape_text(lua_State *L) {
  luaL_Buffer text;
  lua_Integer n = luaL_len(L, 1);
  luaL_buffinit(L, &text);
  luaL_addchar(&text, '{');
  for (lua_Integer i = 1; i <= n; i++) {
    if (i > 1) luaL_addstring(&text, ", ");
    lua_geti(L, 1, i);
    luaL_tolstring(L, -1, NULL);
    lua_remove(L, -2);
    luaL_addvalue(&text);
  }
  luaL_addchar(&text, '}');
  luaL_pushresult(&text);
  return 1;
}

static int method_shape(lua_State *L) {
  const vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  lua_createtable(L, t->ndim, 0);
  for (int d = 0; d < t->ndim; d++) {
    lua_pushinteger(L, t->shape[d]);
    lua_rawseti(L, -2, d + 1);
  }
  if (luaL_newmetatable(L, "vbl.shape")) {
    lua_pushcfunction(L, shape_text);
    lua_setfield(L, -2, "__tostring");
  }
  lua_setmetatable(L, -2);
  return 1;
}

static int method_size(lua_State *L) {
  const vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  lua_pushinteger(L, t->shape[vbl_lua_check_dim(L, 2, t->ndim)]);
  return 1;
}

static int method_ndim(lua_State *L) {
  lua_pushinteger(L, vbl_lua_check_tensor(L, 1)->ndim);
  return 1;
}

static int method_numel(lua_State *L) {
  lua_pushinteger(L, vbl_tensor_numel(vbl_lua_check_tensor(L, 1)));
  return 1;
}

static int method_dtype(lua_State *L) {
  lua_pushstring(L, vbl_dtype_name(vbl_lua_check_tensor(L, 1)->dtype));
  return 1;
}

static int method_device(lua_State *L) {
  const vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  lua_pushstring(L, t->storage->backend->host ? "cpu" : t->storage->backend->name);
  return 1;
}

static int method_data_ptr(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)(intptr_t)vbl_tensor_data(vbl_lua_check_tensor(L, 1)));
  return 1;
}

static int method_is_contiguous(lua_State *L) {
  lua_pushboolean(L, vbl_tensor_is_contiguous(vbl_lua_check_tensor(L, 1)));
  return 1;
}

// A leaf stays one; gradients do not flow from one memory to the other.
static int to_device(lua_State *L, vbl_tensor *t, const vbl_backend *backend) {
  vbl_tensor *moved = NULL;
  if (t->storage->backend == backend || (t->storage->backend->host && backend->host)) return 1;
  if (t->node != NULL)
    return vbl_lua_error(
        L, "to: gradients flow through this tensor and cannot follow it to another device (move the leaves, or t:detach() it)");
  VBL_LUA_TRY(L, vbl_tensor_to_backend(t, backend, &moved, &err));
  moved->requires_grad = t->requires_grad;
  vbl_lua_push_tensor(L, moved);
  return 1;
}

static bool names_device(const char *what) {
  const vbl_backend *counting = vbl_plan_backend();
  return strncmp(what, "cpu", 3) == 0 || strncmp(what, "cuda", 4) == 0 || (counting != NULL && strcmp(what, counting->name) == 0);
}

static int method_to(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  const char *what = luaL_checkstring(L, 2);
  lua_settop(L, 1);
  if (names_device(what)) return to_device(L, t, vbl_lua_check_device(L, what));
  vbl_dtype dtype = vbl_lua_check_dtype(L, what);
  if (dtype == t->dtype) return 1;
  vbl_attrs attrs = {.n = {dtype}};
  return vbl_lua_apply(L, &vbl_op_cast, &t, 1, &attrs);
}

static int method_item(lua_State *L) {
  const vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  int64_t index[VBL_MAX_DIMS] = {0};
  if (vbl_tensor_numel(t) != 1) {
    char text[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "item: expected a tensor of one element, got %s", vbl_shape_text(t->ndim, t->shape, text));
  }
  vbl_lua_push_element(L, t, index);
  return 1;
}

static int method_totable(lua_State *L) {
  int64_t index[VBL_MAX_DIMS];
  vbl_lua_push_table(L, vbl_lua_push_host(L, vbl_lua_check_tensor(L, 1)), 0, index);
  return 1;
}

static int method_detach(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1), *out = NULL;
  vbl_handle *h = vbl_lua_new_handle(L);
  VBL_LUA_TRY(L, vbl_tensor_alias(t, &out, &err));
  vbl_lua_fill_handle(L, h, out);
  return 1;
}

static int method_clone(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1), *out = NULL;
  if (t->requires_grad && vbl_recording()) {
    vbl_attrs attrs = {.alpha = 1, .eps = -0.0};  // 1 * x + -0 is x, also for x = -0
    return vbl_lua_apply(L, &vbl_op_affine, &t, 1, &attrs);
  }
  vbl_handle *h = vbl_lua_new_handle(L);
  VBL_LUA_TRY(L, vbl_tensor_like(t, &out, &err));
  vbl_lua_fill_handle(L, h, out);
  VBL_LUA_TRY(L, vbl_tensor_copy(out, t, &err));
  return 1;
}

// Both in_place functions return t, so that calls can be chained.
static int in_place(lua_State *L, int arg) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  vbl_lua_check_inplace(L, t);
  vbl_lua_write(L, t, arg);
  lua_settop(L, 1);
  return 1;
}

static int method_copy(lua_State *L) {
  vbl_lua_check_tensor(L, 2);
  return in_place(L, 2);
}

static int method_fill(lua_State *L) {
  luaL_checknumber(L, 2);
  return in_place(L, 2);
}

static int method_zero(lua_State *L) {
  lua_settop(L, 1);
  lua_pushinteger(L, 0);
  return in_place(L, 2);
}

static int method_requires_grad(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  vbl_lua_set_requires_grad(L, t, lua_isnone(L, 2) || lua_toboolean(L, 2));
  lua_settop(L, 1);
  return 1;
}

static int method_nonfinite(lua_State *L) {
  vbl_tensor *t = vbl_lua_push_host(L, vbl_lua_check_tensor(L, 1));
  int64_t n = vbl_tensor_numel(t), count = 0;
  if (t->dtype == VBL_F32 || t->dtype == VBL_F64)
    count = t->storage->backend->count_nonfinite(vbl_tensor_data(t), n, NULL);
  else
    for (int64_t i = 0; i < n; i++) count += !isfinite(vbl_ref_load(t->dtype, vbl_tensor_data(t), i));
  lua_pushinteger(L, count);
  return 1;
}

static int method_allclose(lua_State *L) {
  static const char *const known[] = {"rtol", "atol", NULL};
  vbl_tensor *a = vbl_lua_check_tensor(L, 1), *b = vbl_lua_check_tensor(L, 2);
  vbl_lua_check_keys(L, 3, known);
  double rtol = vbl_lua_opt_number(L, 3, "rtol", 1e-5), atol = vbl_lua_opt_number(L, 3, "atol", 1e-8), worst = 0;
  if (!vbl_tensor_same_shape(a, b)) {
    char left[VBL_SHAPE_TEXT], right[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "allclose: shapes %s and %s differ", vbl_shape_text(a->ndim, a->shape, left),
                  vbl_shape_text(b->ndim, b->shape, right));
  }
  a = vbl_lua_push_host(L, a);
  b = vbl_lua_push_host(L, b);
  bool close = true;
  for (int64_t i = 0, n = vbl_tensor_numel(a); i < n; i++) {
    double x = vbl_ref_load(a->dtype, vbl_tensor_data(a), i), y = vbl_ref_load(b->dtype, vbl_tensor_data(b), i);
    double distance = x == y ? 0 : fabs(x - y);  // equal infinities
    if (!(distance <= atol + rtol * fabs(y)) || (isinf(y) && x != y)) close = false;
    if (!(distance <= worst)) worst = distance;
  }
  lua_pushboolean(L, close);
  lua_pushnumber(L, worst);
  return 2;
}

const vbl_fn vbl_method_rows[] = {
    {"shape", method_shape, "t:shape() -> table", "The sizes of all dims."},
    {"size", method_size, "t:size(dim) -> integer", "The size of one dim (from 1; negative from the end). #t is t:size(1)."},
    {"ndim", method_ndim, "t:ndim() -> integer", "The number of dims, 0 for a scalar."},
    {"numel", method_numel, "t:numel() -> integer", "The number of elements."},
    {"dtype", method_dtype, "t:dtype() -> string", "\"f32\", \"f64\", \"bf16\", \"i32\" or \"u8\"."},
    {"device", method_device, "t:device() -> string", "Where its memory is: \"cpu\"."},
    {"data_ptr", method_data_ptr, "t:data_ptr() -> integer",
     "Where the first element lies in its device's memory: views of the same elements begin there too."},
    {"is_contiguous", method_is_contiguous, "t:is_contiguous() -> boolean", "Whether the elements lie in order, without gaps."},
    {"to", method_to, "t:to(dtype or device) -> tensor",
     "t in another dtype (real to i32 and u8 truncates and saturates) or on another device; t itself where it is so already."},
    {"item", method_item, "t:item() -> number", "The one element of a tensor of one element."},
    {"totable", method_totable, "t:totable() -> table or number", "Nested tables of the elements; the number of a scalar."},
    {"detach", method_detach, "t:detach() -> tensor", "The same data without history: no gradient flows through it."},
    {"clone", method_clone, "t:clone() -> tensor", "A contiguous copy; gradients flow through it."},
    {"copy_", method_copy, "t:copy_(source) -> t",
     "Writes the elements of `source`, which broadcasts to t's shape and is converted to its dtype."},
    {"fill_", method_fill, "t:fill_(number) -> t", "Writes one number everywhere."},
    {"zero_", method_zero, "t:zero_() -> t", "Writes 0 everywhere."},
    {"requires_grad_", method_requires_grad, "t:requires_grad_([on = true]) -> t",
     "Whether backward fills t.grad. For leaves of a real dtype. Also a field: t.requires_grad."},
    {"nonfinite", method_nonfinite, "t:nonfinite() -> integer", "How many elements are NaN or infinite."},
    {"allclose", method_allclose, "t:allclose(other, [{rtol = 1e-5, atol = 1e-8}]) -> boolean, worst",
     "Whether |t - other| <= atol + rtol |other| everywhere (NaN never), and the largest distance. Shapes must be equal."},
    {NULL, NULL, NULL, NULL}};
