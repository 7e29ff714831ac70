// cka_stream: linear CKA in one pass over batches (core/measure/stream.h) as a Lua object.
// defines: vbl_lua_measure_stream
#include <math.h>
#include <string.h>

#include "bindings/measure.h"
#include "core/measure/stream.h"
#include "kernels/kernels.h"

#define STREAM "vbl.cka_stream"

typedef struct stream_box {
  vbl_cka_stream *s;  // NULL: released
} stream_box;

static int stream_release(lua_State *L) {
  stream_box *box = luaL_checkudata(L, 1, STREAM);
  vbl_cka_stream_free(box->s);
  box->s = NULL;
  return 0;
}

static vbl_cka_stream *check_stream(lua_State *L, int arg) {
  stream_box *box = luaL_checkudata(L, arg, STREAM);
  if (box->s == NULL) vbl_lua_error(L, "cka_stream: it was released");
  return box->s;
}

static int stream_tostring(lua_State *L) {
  stream_box *box = luaL_checkudata(L, 1, STREAM);
  if (box->s == NULL)
    lua_pushliteral(L, "cka_stream (released)");
  else
    lua_pushfstring(L, "cka_stream of %I matrices, %I rows", (LUAI_UACINT)box->s->parts, (LUAI_UACINT)box->s->n);
  return 1;
}

static void push_stream(lua_State *L, int64_t parts, const int64_t *widths) {
  stream_box *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->s = NULL;
  luaL_setmetatable(L, STREAM);
  VBL_LUA_TRY(L, vbl_cka_stream_new(parts, widths, &box->s, &err));
}

// cka_stream(d1, d2, ...)
static int l_cka_stream(lua_State *L) {
  int parts = lua_gettop(L);
  if (parts < 2) return vbl_lua_error(L, "cka_stream: expected the widths of at least two matrices");
  int64_t *widths = lua_newuserdatauv(L, sizeof *widths * (size_t)parts, 0);
  for (int p = 0; p < parts; p++) {
    widths[p] = luaL_checkinteger(L, p + 1);
    if (widths[p] < 1 || widths[p] > INT32_MAX)
      return vbl_lua_error(L, "cka_stream: width %d: expected 1 or more, got %I", p + 1, (LUAI_UACINT)widths[p]);
  }
  push_stream(L, parts, widths);
  return 1;
}

// Whether the matrices from argument 2 on lie on a device that can take them in; NaN and Inf are the host's to name.
static bool on_device(lua_State *L, int64_t parts, vbl_tensor **rows) {
  if (!vbl_lua_measured_together(L, 2, parts)) return false;
  for (int p = 0; p < parts; p++) {
    const vbl_tensor *t = rows[p] = vbl_lua_check_tensor(L, p + 2);
    if (t->ndim != 2) return false;
    rows[p] = vbl_lua_dense_single(L, p + 2, t);
    if (t->storage->backend->count_nonfinite(vbl_tensor_data(rows[p]), vbl_tensor_numel(rows[p]), NULL) > 0) return false;
  }
  return true;
}

// s:add(X1, X2, ...)
static int stream_add(lua_State *L) {
  vbl_cka_stream *s = check_stream(L, 1);
  int64_t given = lua_gettop(L) - 1;
  if (given != s->parts)
    return vbl_lua_error(L, "cka_stream: add: expected %I matrices, got %I", (LUAI_UACINT)s->parts, (LUAI_UACINT)given);
  vbl_tensor **placed = lua_newuserdatauv(L, sizeof(vbl_tensor *) * (size_t)s->parts, 0);
  if (on_device(L, s->parts, placed)) {
    VBL_LUA_TRY(L, vbl_cka_stream_add_device(s, placed, &err));
    lua_settop(L, 1);
    return 1;
  }
  vbl_rows *rows = lua_newuserdatauv(L, sizeof *rows * (size_t)s->parts, 0);
  for (int p = 0; p < s->parts; p++) {
    vbl_tensor *t = vbl_lua_check_tensor(L, p + 2);
    if (t->ndim != 2 || (t->dtype != VBL_F32 && t->dtype != VBL_F64 && t->dtype != VBL_BF16)) {
      char shape[VBL_SHAPE_TEXT];
      vbl_lua_error(L, "cka_stream: matrix %d: expected real numbers [n, d], got %s %s", p + 1, vbl_dtype_name(t->dtype),
                    vbl_shape_text(t->ndim, t->shape, shape));
    }
    int64_t stride[VBL_MAX_DIMS];
    rows[p] = (vbl_rows){.dtype = t->dtype, .n = t->shape[0], .d = t->shape[1]};
    rows[p].data = vbl_lua_host_data(L, p + 2, t, stride);
    rows[p].row_stride = stride[0];
    rows[p].column_stride = stride[1];
  }
  VBL_LUA_TRY(L, vbl_cka_stream_add(s, rows, &err));
  lua_settop(L, 1);
  return 1;
}

static int stream_merge(lua_State *L) {
  vbl_cka_stream *s = check_stream(L, 1), *other = check_stream(L, 2);
  if (s == other) return vbl_lua_error(L, "cka_stream: merge: a stream with itself would count its rows twice");
  VBL_LUA_TRY(L, vbl_cka_stream_merge(s, other, &err));
  lua_settop(L, 1);
  return 1;
}

static vbl_tensor *push_doubles(lua_State *L, int ndim, const int64_t *shape) {
  vbl_tensor *t = NULL;
  VBL_LUA_TRY(L, vbl_tensor_new(vbl_reference_backend(), VBL_F64, ndim, shape, &t, &err));
  vbl_lua_push_tensor(L, t);
  return t;
}

// s:matrix({estimator=}) -> tensor f64 [parts, parts], statuses
static int stream_matrix(lua_State *L) {
  static const char *const known[] = {"estimator", NULL}, *const estimators[] = {"debiased", "biased", NULL};
  lua_settop(L, 2);
  vbl_cka_stream *s = check_stream(L, 1);
  vbl_lua_check_keys(L, 2, known);
  bool biased = vbl_lua_opt_choice(L, 2, "estimator", estimators, 0) == 1;
  int64_t shape[2] = {s->parts, s->parts};
  vbl_measure_status *status = lua_newuserdatauv(L, sizeof *status * (size_t)(s->parts * s->parts), 0);
  vbl_tensor *t = push_doubles(L, 2, shape);
  VBL_LUA_TRY(L, vbl_cka_stream_value(s, biased, vbl_tensor_data(t), status, &err));
  lua_createtable(L, (int)s->parts, 0);
  for (int64_t p = 0; p < s->parts; p++) {
    lua_createtable(L, (int)s->parts, 0);
    for (int64_t q = 0; q < s->parts; q++) {
      lua_pushstring(L, vbl_measure_status_name(status[p * s->parts + q]));
      lua_rawseti(L, -2, q + 1);
    }
    lua_rawseti(L, -2, p + 1);
  }
  return 2;
}

static int stream_rows(lua_State *L) {
  lua_pushinteger(L, check_stream(L, 1)->n);
  return 1;
}

// s:state() -> {widths = f64 [parts], rows = f64 [1], sums = f64 [...]}
static int stream_state(lua_State *L) {
  vbl_cka_stream *s = check_stream(L, 1);
  int64_t one = 1, numbers = vbl_cka_stream_numbers(s);
  VBL_LUA_TRY(L, vbl_cka_stream_settle(s, &err));
  lua_newtable(L);
  double *widths = vbl_tensor_data(push_doubles(L, 1, &s->parts));
  for (int64_t p = 0; p < s->parts; p++) widths[p] = (double)(s->start[p + 1] - s->start[p]);
  lua_setfield(L, -2, "widths");
  *(double *)vbl_tensor_data(push_doubles(L, 1, &one)) = (double)s->n;
  lua_setfield(L, -2, "rows");
  memcpy(vbl_tensor_data(push_doubles(L, 1, &numbers)), s->shift, sizeof(double) * (size_t)numbers);
  lua_setfield(L, -2, "sums");
  return 1;
}

static const vbl_tensor *state_field(lua_State *L, const char *field) {
  if (!lua_istable(L, 1)) vbl_lua_error(L, "cka_stream_from: expected what state() gave");
  lua_getfield(L, 1, field);
  const vbl_tensor *t = vbl_lua_test_tensor(L, -1);
  if (t == NULL || t->ndim != 1 || t->dtype != VBL_F64 || t->shape[0] < 1 || (t->shape[0] > 1 && t->stride[0] != 1))
    vbl_lua_error(L, "cka_stream_from: '%s': expected the f64 vector that state() gave", field);
  return t;
}

// cka_stream_from(state)
static int l_cka_stream_from(lua_State *L) {
  lua_settop(L, 1);
  const vbl_tensor *w = state_field(L, "widths"), *n = state_field(L, "rows"), *sums = state_field(L, "sums");
  int64_t parts = w->shape[0], *widths = lua_newuserdatauv(L, sizeof *widths * (size_t)parts, 0);
  for (int64_t p = 0; p < parts; p++) {
    double v = vbl_tensor_get(w, &p);
    if (!(v >= 1 && v <= INT32_MAX && v == floor(v))) return vbl_lua_error(L, "cka_stream_from: %f is no width", v);
    widths[p] = (int64_t)v;
  }
  push_stream(L, parts, widths);
  vbl_cka_stream *s = check_stream(L, lua_gettop(L));
  int64_t zero = 0, numbers = vbl_cka_stream_numbers(s);
  double rows = vbl_tensor_get(n, &zero);
  if (sums->shape[0] != numbers || !(rows >= 0 && rows < 9e15 && rows == floor(rows)))
    return vbl_lua_error(L, "cka_stream_from: expected %I sums for these widths and a number of rows, got %I and %f",
                         (LUAI_UACINT)numbers, (LUAI_UACINT)sums->shape[0], rows);
  memcpy(s->shift, vbl_tensor_data(sums), sizeof(double) * (size_t)numbers);
  s->n = (int64_t)rows;
  return 1;
}

static const luaL_Reg methods[] = {{"add", stream_add},   {"merge", stream_merge}, {"matrix", stream_matrix},
                                   {"rows", stream_rows}, {"state", stream_state}, {"release", stream_release},
                                   {NULL, NULL}};

static const vbl_fn functions[] = {{"cka_stream", l_cka_stream, "cka_stream(d1, d2, ...) -> stream",
                                    "Exact linear CKA in one pass over batches, for matrices of widths d1, d2, ... (X and Y, or "
                                    "all layers). s:add(X1, X2, ...) takes "
                                    "one batch of rows; s:value([{estimator=}]) -> number, record of the first two; "
                                    "s:matrix([{estimator=}]) -> tensor [parts, parts], "
                                    "statuses of all pairs; s:merge(other) takes in another stream's rows; s:save(path "
                                    ".safetensors); s:rows(). Memory: 8 (d1 + d2 + "
                                    "...)^2 bytes."},
                                   {"cka_stream_from", l_cka_stream_from, "cka_stream_from(state) -> stream",
                                    "A stream from what s:state() gave; cka_stream_load(path) reads what s:save wrote."},
                                   {NULL, NULL, NULL, NULL}};

void vbl_lua_measure_stream(lua_State *L) {
  luaL_newmetatable(L, STREAM);
  luaL_newlib(L, methods);
  lua_pushvalue(L, -1);
  lua_setfield(L, -4, "cka_stream_methods");  // Lua adds value and save
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, stream_release);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, stream_release);
  lua_setfield(L, -2, "__close");
  lua_pushcfunction(L, stream_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
  vbl_lua_register(L, "measure", functions);
}
