// Arguments: what a dtype holds, dims, sizes, dtypes and devices from Lua.
// defines: vbl_fits_dtype, vbl_lua_check_dim, vbl_lua_check_shape, vbl_lua_check_dtype,
// vbl_lua_check_device, vbl_lua_push_host
#include <math.h>

#include "bindings/tensor.h"

bool vbl_fits_dtype(vbl_dtype dtype, double value) {
  if (vbl_is_real(dtype)) return true;
  if (value != floor(value)) return false;  // also NaN
  return dtype == VBL_U8 ? value >= 0 && value <= 255 : value >= INT32_MIN && value <= INT32_MAX;
}

vbl_dtype vbl_lua_check_dtype(lua_State *L, const char *name) {
  static const char *const names[] = {"f32", "f64", "bf16", "i32", "u8", NULL};
  vbl_dtype dtype = VBL_F32;
  if (vbl_dtype_parse(name, &dtype)) return dtype;
  const char *near = vbl_lua_nearest(name, names);
  vbl_lua_error(L, "no dtype '%s' (%s%s%sknown: f32, f64, bf16, i32, u8)", name, near ? "did you mean '" : "", near ? near : "",
                near ? "'? " : "");
  return dtype;
}

const vbl_backend *vbl_lua_check_device(lua_State *L, const char *name) {
  const vbl_backend *backend = NULL;
  vbl_error err;
  if (vbl_backend_open(name, &backend, &err) != VBL_OK)
    vbl_lua_error(L, "device '%s': %s; use cpu (vbl doctor says what is missing)", name, err.message);
  return backend;
}

vbl_tensor *vbl_lua_push_host(lua_State *L, const vbl_tensor *t) {
  vbl_tensor *host = NULL, *flat = NULL;
  VBL_LUA_TRY(L, vbl_tensor_to_backend(t, vbl_lua_backend(t->dtype), &host, &err));
  vbl_lua_push_tensor(L, host);
  VBL_LUA_TRY(L, vbl_tensor_contiguous(host, &flat, &err));
  vbl_lua_push_tensor(L, flat);
  lua_remove(L, -2);
  return flat;
}

int vbl_lua_check_dim(lua_State *L, int arg, int ndim) {
  lua_Integer dim = luaL_checkinteger(L, arg);
  if (dim == 0 || dim > ndim || dim < -ndim)
    vbl_lua_error(L, "dim %I is out of range for a tensor of %d dims (dims count from 1, negative ones from the end)",
                  (LUAI_UACINT)dim, ndim);
  return (int)(dim > 0 ? dim - 1 : dim + ndim);
}

static int64_t check_size(lua_State *L, int index, int dim, bool minus_one) {
  int ok = 0;
  lua_Integer size = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &ok) : 0;
  if (!ok) vbl_lua_error(L, "size of dim %d: expected an integer, got %s", dim + 1, luaL_tolstring(L, index, NULL));
  if (size < (minus_one ? -1 : 0)) vbl_lua_error(L, "size of dim %d: expected 0 or more, got %I", dim + 1, (LUAI_UACINT)size);
  return size;
}

int vbl_lua_check_shape(lua_State *L, int arg, bool minus_one, int64_t shape[VBL_MAX_DIMS], int *next) {
  bool table = lua_istable(L, arg);
  lua_Integer n = 0;
  if (table) {
    n = luaL_len(L, arg);
    if (n == 0 && (lua_pushnil(L), lua_next(L, arg))) {  // an option table where sizes may stand: no sizes
      lua_pop(L, 2);
      *next = arg;
      return 0;
    }
  } else {
    while (lua_type(L, arg + (int)n) == LUA_TNUMBER) n++;
  }
  if (n > VBL_MAX_DIMS) vbl_lua_error(L, "%I dims are too many: a tensor has at most %d", (LUAI_UACINT)n, VBL_MAX_DIMS);
  for (int d = 0; d < n; d++) {
    if (table) lua_rawgeti(L, arg, d + 1);
    shape[d] = check_size(L, table ? -1 : arg + d, d, minus_one);
    if (table) lua_pop(L, 1);
  }
  *next = table ? arg + 1 : arg + (int)n;
  return (int)n;
}
