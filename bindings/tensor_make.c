// Constructors: from tables and numbers, constant fills, sequences.
// defines: vbl_make_rows, vbl_lua_default_device, vbl_lua_new_tensor, vbl_lua_new_tensor_on, vbl_lua_backend, vbl_lua_push_scalar, vbl_lua_make, vbl_lua_made, vbl_lua_make_options
#include "bindings/tensor_make.h"

#include <math.h>

#include "kernels/ref/ref.h"

const vbl_backend *vbl_lua_backend(vbl_dtype dtype) {
  // f64 is computed with by the reference backend, which shares the host's memory.
  return dtype == VBL_F64 ? vbl_reference_backend() : vbl_cpu_backend();
}

vbl_tensor *vbl_lua_new_tensor_on(lua_State *L, const vbl_backend *device, vbl_dtype dtype, int ndim, const int64_t *shape) {
  vbl_handle *h = vbl_lua_new_handle(L);
  vbl_tensor *t = NULL;
  VBL_LUA_TRY(L, vbl_tensor_new(device, dtype, ndim, shape, &t, &err));
  vbl_lua_fill_handle(L, h, t);
  return t;
}

vbl_tensor *vbl_lua_new_tensor(lua_State *L, vbl_dtype dtype, int ndim, const int64_t *shape) {
  return vbl_lua_new_tensor_on(L, vbl_lua_backend(dtype), dtype, ndim, shape);
}

vbl_tensor *vbl_lua_push_scalar(lua_State *L, int arg, const vbl_tensor *like) {
  const vbl_dtype dtype =
      like->dtype == VBL_BF16 ? VBL_F32 : like->dtype;  // the result is f32: the number need not be rounded first
  double value = luaL_checknumber(L, arg);
  if (!vbl_fits_dtype(dtype, value))
    vbl_lua_error(L, "%s is no %s (convert the tensor with :to(\"f32\") first)", luaL_tolstring(L, arg, NULL),
                  vbl_dtype_name(dtype));
  vbl_tensor *t = NULL;
  VBL_LUA_TRY(L, vbl_tensor_new(like->storage->backend, dtype, 0, NULL, &t, &err));
  vbl_lua_push_tensor(L, t);
  VBL_LUA_TRY(L, vbl_tensor_fill(t, value, &err));
  return t;
}

static const vbl_backend *default_device;  // NULL: the CPU

const vbl_backend *vbl_lua_default_device(const vbl_backend *next) {
  const vbl_backend *old = default_device;
  default_device = next;
  return old;
}

static int set_device(lua_State *L) {
  const vbl_backend *backend = vbl_lua_check_device(L, luaL_checkstring(L, 1));
  default_device = backend->host ? NULL : backend;
  return 0;
}

vbl_make_options vbl_lua_make_options(lua_State *L, int arg, vbl_dtype fallback) {
  static const char *const known[] = {"dtype", "device", "requires_grad", NULL};
  vbl_lua_check_keys(L, arg, known);
  const char *dtype = vbl_lua_opt_string(L, arg, "dtype", NULL);
  const char *device = vbl_lua_opt_string(L, arg, "device", NULL);
  vbl_make_options options = {dtype == NULL ? fallback : vbl_lua_check_dtype(L, dtype), NULL,
                              vbl_lua_opt_bool(L, arg, "requires_grad", false)};
  // f64 is the CPU's unless a device is asked for, which then says that it has none.
  options.device = device != NULL                                       ? vbl_lua_check_device(L, device)
                   : default_device == NULL || options.dtype == VBL_F64 ? vbl_lua_backend(options.dtype)
                                                                        : default_device;
  if (options.requires_grad && !vbl_is_real(options.dtype))
    vbl_lua_error(L, "only f32, f64 and bf16 tensors can require a gradient, not %s", vbl_dtype_name(options.dtype));
  return options;
}

static int sizes_and_options(lua_State *L, int arg, vbl_dtype fallback, int64_t *shape, vbl_make_options *options) {
  int next;
  int ndim = vbl_lua_check_shape(L, arg, false, shape, &next);
  *options = vbl_lua_make_options(L, next, fallback);
  if (!lua_isnone(L, next + 1) || (!lua_isnoneornil(L, next) && !lua_istable(L, next)))
    vbl_lua_error(L, "expected sizes, then an option table, got %s as argument %d", luaL_typename(L, next), next);
  return ndim;
}

vbl_tensor *vbl_lua_make(lua_State *L, int arg, vbl_dtype fallback, vbl_make_options *options) {
  int64_t shape[VBL_MAX_DIMS];
  int ndim = sizes_and_options(L, arg, fallback, shape, options);
  return vbl_lua_new_tensor(L, options->dtype, ndim, shape);
}

// On the device that is asked for: nothing of it passes through the host.
static vbl_tensor *make_there(lua_State *L, int arg, vbl_make_options *options) {
  int64_t shape[VBL_MAX_DIMS];
  int ndim = sizes_and_options(L, arg, VBL_F32, shape, options);
  return vbl_lua_new_tensor_on(L, options->device, options->dtype, ndim, shape);
}

int vbl_lua_made(lua_State *L, vbl_tensor *t, const vbl_make_options *options) {
  vbl_tensor *moved = NULL;
  VBL_LUA_TRY(L, vbl_tensor_to_backend(t, options->device, &moved, &err));
  moved->requires_grad = options->requires_grad;
  if (moved == t)
    vbl_tensor_release(moved);  // the handle has one already
  else
    vbl_lua_push_tensor(L, moved);
  return 1;
}

static int filled(lua_State *L, int arg, double value) {
  vbl_make_options options;
  vbl_tensor *t = make_there(L, arg, &options);
  if (!vbl_fits_dtype(t->dtype, value)) vbl_lua_error(L, "%f is no %s", (LUAI_UACNUMBER)value, vbl_dtype_name(t->dtype));
  VBL_LUA_TRY(L, vbl_tensor_fill(t, value, &err));
  return vbl_lua_made(L, t, &options);
}

static int make_zeros(lua_State *L) { return filled(L, 1, 0); }
static int make_ones(lua_State *L) { return filled(L, 1, 1); }

static int make_empty(lua_State *L) {
  vbl_make_options options;
  vbl_tensor *t = make_there(L, 1, &options);
  return vbl_lua_made(L, t, &options);
}

static int make_full(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  double value = luaL_checknumber(L, 2);
  lua_remove(L, 2);
  return filled(L, 1, value);
}

static int make_eye(lua_State *L) {
  int64_t n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 0, 1, "expected 0 or more");
  vbl_make_options options = vbl_lua_make_options(L, 2, VBL_F32);
  vbl_tensor *t = vbl_lua_new_tensor(L, options.dtype, 2, (int64_t[]){n, n});
  VBL_LUA_TRY(L, vbl_tensor_fill(t, 0, &err));
  for (int64_t i = 0; i < n; i++) vbl_ref_store(t->dtype, vbl_tensor_data(t), i * (n + 1), 1);
  return vbl_lua_made(L, t, &options);
}

// n numbers start + i * step, the last one `last` unless it is NaN, checked against the dtype.
static int sequence(lua_State *L, int options_at, double start, double step, int64_t n, double last) {
  vbl_make_options options = vbl_lua_make_options(L, options_at, VBL_F32);
  vbl_tensor *t = vbl_lua_new_tensor(L, options.dtype, 1, &n);
  for (int64_t i = 0; i < n; i++) {
    double value = i == n - 1 && !isnan(last) ? last : start + (double)i * step;
    if (!vbl_fits_dtype(t->dtype, value))
      vbl_lua_error(L, "element %I is %f, no %s", (LUAI_UACINT)(i + 1), value, vbl_dtype_name(t->dtype));
    vbl_ref_store(t->dtype, vbl_tensor_data(t), i, value);
  }
  return vbl_lua_made(L, t, &options);
}

static int make_arange(lua_State *L) {
  int numbers = 0;
  while (numbers < 3 && lua_type(L, numbers + 1) == LUA_TNUMBER) numbers++;
  double first = luaL_checknumber(L, 1);
  double start = numbers > 1 ? first : 0, stop = numbers > 1 ? lua_tonumber(L, 2) : first;
  double step = numbers > 2 ? lua_tonumber(L, 3) : 1, count = ceil((stop - start) / step);
  if (!isfinite(count)) vbl_lua_error(L, "arange: expected finite numbers and a step that is not 0");
  return sequence(L, numbers + 1, start, step, count > 0 ? (int64_t)count : 0, NAN);
}

static int make_linspace(lua_State *L) {
  double start = luaL_checknumber(L, 1), stop = luaL_checknumber(L, 2);
  int64_t n = luaL_checkinteger(L, 3);
  luaL_argcheck(L, n >= 1, 3, "expected 1 or more");
  return sequence(L, 4, start, n > 1 ? (stop - start) / (double)(n - 1) : 0, n, n > 1 ? stop : start);
}

#define SIZES "d1, d2, ..., [opts]"
#define OPTIONS                                                                                                             \
  "opts: dtype (\"f32\", \"f64\", \"bf16\", \"i32\", \"u8\"; default f32), device (that of vbl.set_device), requires_grad " \
  "(false). "
#define SIZES_HELP "Sizes are numbers or one table of them, none gives a scalar; at most 6 dims. "

const vbl_fn vbl_make_rows[] = {
    {"tensor", vbl_make_tensor, "tensor(values, [opts]) -> tensor",
     "A tensor from a number (a scalar) or nested tables of numbers, all of one length at each level. " OPTIONS
     "Errors: ragged tables and values that are no number (with their path), values that an integer dtype cannot hold."},
    {"zeros", make_zeros, "zeros(" SIZES ") -> tensor", "A tensor of zeros. " SIZES_HELP OPTIONS},
    {"ones", make_ones, "ones(" SIZES ") -> tensor", "A tensor of ones. " SIZES_HELP OPTIONS},
    {"empty", make_empty, "empty(" SIZES ") -> tensor", "A tensor of undefined content. " SIZES_HELP OPTIONS},
    {"full", make_full, "full({d1, d2, ...}, value, [opts]) -> tensor", "A tensor that holds `value` everywhere. " OPTIONS},
    {"eye", make_eye, "eye(n, [opts]) -> tensor [n, n]", "The identity matrix. " OPTIONS},
    {"arange", make_arange, "arange([start = 0,] stop, [step = 1], [opts]) -> tensor [n]",
     "start, start + step, ... below stop (above it where step < 0); stop itself is not in. " OPTIONS},
    {"linspace", make_linspace, "linspace(start, stop, n, [opts]) -> tensor [n]",
     "n >= 1 numbers at equal distances, both ends in. " OPTIONS},
    {"set_device", set_device, "set_device(name)",
     "Where new tensors lie unless they say `device`: \"cpu\", \"cuda\" or \"cuda:N\"; f64 stays on the CPU. Errors: what is "
     "missing."},
    {NULL, NULL, NULL, NULL}};
