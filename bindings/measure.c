// "vbl.measure.c": the measures of core/measure on tensors [n, d] of f32, f64 or bf16, strided or not, or on prepared matrices:
// prepare(X) keeps the centred copy, SVD and neighbour lists that several measures of one X share.
// defines: vbl_open_measure, vbl_lua_matrix, vbl_lua_placed_matrix, vbl_lua_measured_together, vbl_lua_dense_single, vbl_lua_host_data, vbl_lua_integers, vbl_lua_measure_options, vbl_lua_push_measure
#include "bindings/measure.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bindings/tensor.h"
#include "core/measure/device.h"
#include "core/measure/lapack.h"
#include "core/plugin/plugin.h"

#define PREPARED "vbl.prepared"
enum { MAX_OPTIONS = 8 };

typedef struct prepared_box {
  vbl_prepared *p;  // NULL: released
} prepared_box;

static void release(prepared_box *box) {
  vbl_prepared_free(box->p);
  box->p = NULL;
}

static int prepared_release(lua_State *L) {
  release(luaL_checkudata(L, 1, PREPARED));
  return 0;
}

static int prepared_shape(lua_State *L) {
  prepared_box *box = luaL_checkudata(L, 1, PREPARED);
  if (box->p == NULL) return vbl_lua_error(L, "prepared matrix: it was released");
  lua_pushinteger(L, box->p->n);
  lua_pushinteger(L, box->p->d);
  return 2;
}

// components(k): U S of the centred matrix's SVD, each column's largest entry positive, so that the picture does not flip.
static int prepared_components(lua_State *L) {
  prepared_box *box = luaL_checkudata(L, 1, PREPARED);
  int64_t k = luaL_checkinteger(L, 2);
  vbl_prepared *p = box->p;
  if (p == NULL) return vbl_lua_error(L, "prepared matrix: it was released");
  if (p->total > 0) VBL_LUA_TRY(L, vbl_prepared_svd(p, &err));
  int64_t rank = p->total > 0 ? p->svd->rank : 0;
  if (k < 1 || k > rank)
    return vbl_lua_error(L, "components: k = %I: expected 1 to the matrix's rank, %I", (LUAI_UACINT)k, (LUAI_UACINT)rank);
  vbl_tensor *t = vbl_lua_new_tensor(L, VBL_F64, 2, (int64_t[]){p->n, k});
  double *out = vbl_tensor_data(t);
  lua_createtable(L, (int)k, 0);
  for (int64_t j = 0; j < k; j++) {
    double most = 0;
    for (int64_t i = 0; i < p->n; i++) {
      double u = p->svd->u[i * p->svd->columns + j];
      if (fabs(u) > fabs(most)) most = u;
    }
    for (int64_t i = 0; i < p->n; i++) out[i * k + j] = p->svd->u[i * p->svd->columns + j] * copysign(p->svd->s[j], most);
    lua_pushnumber(L, p->svd->s[j] * p->svd->s[j] / p->total);
    lua_rawseti(L, -2, j + 1);
  }
  return 2;
}

static const char *place_of(const vbl_prepared *p) {
  static char text[48];
  if (p->device == NULL) return "";
  snprintf(text, sizeof text, " on %.32s", p->device->b->name);
  return text;
}

static int prepared_tostring(lua_State *L) {
  prepared_box *box = luaL_checkudata(L, 1, PREPARED);
  if (box->p == NULL)
    lua_pushliteral(L, "prepared matrix (released)");
  else
    lua_pushfstring(L, "prepared matrix [%I, %I]%s%s", (LUAI_UACINT)box->p->n, (LUAI_UACINT)box->p->d, place_of(box->p),
                    box->p->device != NULL && box->p->single != NULL ? ", copied to the host" : "");
  return 1;
}

const void *vbl_lua_host_data(lua_State *L, int arg, const vbl_tensor *t, int64_t stride[VBL_MAX_DIMS]) {
  memcpy(stride, t->stride, sizeof t->stride);
  if (t->storage == NULL || t->storage->backend->host) return vbl_tensor_data(t);
  vbl_tensor *dense = NULL;
  VBL_LUA_TRY(L, vbl_tensor_contiguous(t, &dense, &err));
  vbl_lua_push_tensor(L, dense);
  size_t bytes = (size_t)vbl_tensor_numel(t) * vbl_dtype_size(t->dtype);
  void *host = lua_newuserdatauv(L, bytes, 0);
  lua_replace(L, arg);
  t->storage->backend->to_host(host, vbl_tensor_data(dense), bytes, NULL);
  VBL_LUA_TRY(L, dense->storage->backend->sync(NULL, &err));
  memcpy(stride, dense->stride, sizeof dense->stride);
  lua_pop(L, 1);
  return host;
}

static bool measured_there(const vbl_tensor *t) {
  return t->storage != NULL && t->storage->backend->measure != NULL && (t->dtype == VBL_F32 || t->dtype == VBL_BF16);
}

bool vbl_lua_measured_together(lua_State *L, int first, int64_t count) {
  const vbl_storage *one = NULL;
  for (int64_t i = 0; i < count; i++) {
    const vbl_tensor *t = vbl_lua_check_tensor(L, first + (int)i);
    if (!measured_there(t) || (one != NULL && one->backend != t->storage->backend)) return false;
    one = t->storage;
  }
  return true;
}

vbl_tensor *vbl_lua_dense_single(lua_State *L, int arg, const vbl_tensor *t) {
  vbl_tensor *dense = NULL, *single = NULL;
  VBL_LUA_TRY(L, vbl_tensor_contiguous(t, &dense, &err));
  vbl_lua_push_tensor(L, dense);
  VBL_LUA_TRY(L, vbl_tensor_to_dtype(dense, VBL_F32, &single, &err));
  vbl_lua_push_tensor(L, single);
  lua_replace(L, arg);
  lua_pop(L, 1);
  return single;
}

// Pushes a prepared matrix made from the tensor at `arg`.
static vbl_prepared *push_prepared(lua_State *L, int arg, const char *name) {
  vbl_tensor *t = vbl_lua_check_tensor(L, arg);
  if (t->ndim != 2) {
    char shape[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "%s: expected a matrix [n, d], got %s (pool or select tokens first)", name,
                  vbl_shape_text(t->ndim, t->shape, shape));
  }
  int64_t n = t->shape[0], d = t->shape[1], stride[VBL_MAX_DIMS];
  vbl_dtype dtype = t->dtype;
  prepared_box *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->p = NULL;
  luaL_setmetatable(L, PREPARED);
  if (measured_there(t)) {
    VBL_LUA_TRY(L, vbl_prepare_device(t, name, &box->p, &err));
    return box->p;
  }
  const void *data = vbl_lua_host_data(L, arg, t, stride);
  VBL_LUA_TRY(L, vbl_prepare(n, d, data, dtype, stride[0], stride[1], name, &box->p, &err));
  return box->p;
}

vbl_prepared *vbl_lua_placed_matrix(lua_State *L, int arg, const char *name) {
  prepared_box *box = luaL_testudata(L, arg, PREPARED);
  if (box != NULL && box->p == NULL) vbl_lua_error(L, "%s: the prepared matrix was released", name);
  if (box != NULL) return box->p;
  vbl_prepared *p = push_prepared(L, arg, name);
  lua_replace(L, arg);
  return p;
}

vbl_prepared *vbl_lua_matrix(lua_State *L, int arg, const char *name) {
  vbl_prepared *p = vbl_lua_placed_matrix(L, arg, name);
  VBL_LUA_TRY(L, vbl_device_pull(p, &err));
  return p;
}

static int l_prepare(lua_State *L) {
  lua_settop(L, 2);
  push_prepared(L, 1, luaL_optstring(L, 2, "X"));
  return 1;
}

const int64_t *vbl_lua_integers(lua_State *L, int arg, const char *field, int64_t count) {
  if (lua_isnoneornil(L, arg) || lua_getfield(L, arg, field) == LUA_TNIL) return NULL;
  int at = lua_gettop(L);
  vbl_tensor *t = vbl_lua_test_tensor(L, at);
  int64_t found = t != NULL ? vbl_tensor_numel(t) : lua_istable(L, at) ? (int64_t)lua_rawlen(L, at) : -1;
  if (found != count || (t != NULL && t->ndim != 1))
    vbl_lua_error(L, "option '%s': expected %I integers (a tensor or a table), got %s of %I", field, (LUAI_UACINT)count,
                  luaL_typename(L, at), (LUAI_UACINT)found);
  int64_t *out = lua_newuserdatauv(L, sizeof *out * (size_t)(count > 0 ? count : 1), 0);
  for (int64_t i = 0; i < count; i++) {
    int ok = 1;
    if (t == NULL) {
      lua_rawgeti(L, at, i + 1);
      out[i] = lua_tointegerx(L, -1, &ok);
      lua_pop(L, 1);
    } else {
      double v = vbl_tensor_get(t, &i);
      ok = v == floor(v) && fabs(v) < 9e15;
      out[i] = ok ? (int64_t)v : 0;
    }
    if (!ok) vbl_lua_error(L, "option '%s': element %I is not an integer", field, (LUAI_UACINT)i + 1);
  }
  return out;
}

// "median", "median_full" or sigma.
static void read_bandwidth(lua_State *L, int arg, vbl_measure_options *o) {
  static const char *const rules[] = {"median", "median_full", NULL};
  int type = lua_getfield(L, arg, "bandwidth");
  if (type == LUA_TNUMBER) {
    o->bandwidth_rule = 2;
    o->bandwidth = lua_tonumber(L, -1);
  }
  lua_pop(L, 1);
  if (type != LUA_TNUMBER) o->bandwidth_rule = vbl_lua_opt_choice(L, arg, "bandwidth", rules, 0);
}

// [m, d] unit directions; they stay on the stack as a prepared matrix.
static void read_directions(lua_State *L, int arg, vbl_measure_options *o) {
  if (lua_getfield(L, arg, "directions") == LUA_TNIL) return;
  vbl_prepared *p = vbl_lua_matrix(L, lua_gettop(L), "directions");
  VBL_LUA_TRY(L, vbl_prepared_rows(p, &err));
  o->directions = p->raw;
  o->projections = p->n;
  o->directions_d = p->d;
}

static void read_option(lua_State *L, int arg, const vbl_measure_option *option, const vbl_prepared *x, vbl_measure_options *o) {
  void *at = (char *)o + option->offset;
  const char *key = option->key;
  switch (option->kind) {
    case OPTION_NUMBER:
      *(double *)at = vbl_lua_opt_number(L, arg, key, *(double *)at);
      break;
    case OPTION_INTEGER:
      *(int64_t *)at = vbl_lua_opt_integer(L, arg, key, *(int64_t *)at);
      break;
    case OPTION_CHOICE:
      *(int *)at = vbl_lua_opt_choice(L, arg, key, option->choices, *(int *)at);
      break;
    case OPTION_NOT:
      *(int *)at = !vbl_lua_opt_bool(L, arg, key, !*(int *)at);
      break;
    case OPTION_BANDWIDTH:
      read_bandwidth(L, arg, o);
      break;
    case OPTION_ROW_LABELS:
      *(const int64_t **)at = vbl_lua_integers(L, arg, key, x->n);
      break;
    case OPTION_DIRECTIONS:
      read_directions(L, arg, o);
      break;
  }
}

vbl_measure_options vbl_lua_measure_options(lua_State *L, int arg, const vbl_measure_row *row, const vbl_prepared *x) {
  const vbl_measure_option *options = row->options;
  vbl_measure_options o = row->fn == vbl_plugin_compute ? vbl_lua_plugin_defaults(row) : vbl_measure_defaults;
  const char *known[MAX_OPTIONS + 1];
  int count = 0;
  for (; options[count].key != NULL; count++) known[count] = options[count].key;
  known[count] = NULL;
  vbl_lua_check_keys(L, arg, known);
  if (lua_isnoneornil(L, arg)) return o;
  luaL_checkstack(L, 4 * count, "options");
  for (int i = 0; i < count; i++) read_option(L, arg, &options[i], x, &o);
  return o;
}

// Every measure of a row, which is the upvalue.
static int run(lua_State *L) {
  const vbl_measure_row *row = lua_touserdata(L, lua_upvalueindex(1));
  int arg = row->matrices + 1;
  if (lua_gettop(L) > arg) return vbl_lua_error(L, "%s: expected %s", row->name, row->signature);
  lua_settop(L, arg);
  bool own[2];  // prepared by this call alone
  for (int i = 0; i < row->matrices; i++) own[i] = luaL_testudata(L, i + 1, PREPARED) == NULL;
  vbl_prepared *x = vbl_lua_placed_matrix(L, 1, "X"), *y = row->matrices == 2 ? vbl_lua_placed_matrix(L, 2, "Y") : NULL;
  vbl_measure_options o = vbl_lua_measure_options(L, arg, row, x);
  vbl_measure_result r;
  VBL_LUA_TRY(L, row->fn(x, y, &o, &r, &err));
  lua_pushnumber(L, r.value);
  vbl_lua_push_record(L, &r);
  // The collector sees a pointer, not the copies behind it: they end here, not some calls later.
  for (int i = 0; i < row->matrices; i++)
    if (own[i]) release(luaL_checkudata(L, i + 1, PREPARED));
  return 2;
}

void vbl_lua_push_measure(lua_State *L, const vbl_measure_row *row) {
  lua_pushlightuserdata(L, (void *)row);
  lua_pushcclosure(L, run, 1);
}

static int l_lapack(lua_State *L) {
  const char *core = NULL;
  VBL_LUA_TRY(L, vbl_lapack_open(&core, &err));
  lua_pushstring(L, core);
  return 1;
}

static const luaL_Reg methods[] = {
    {"release", prepared_release}, {"shape", prepared_shape}, {"components", prepared_components}, {NULL, NULL}};

static void make_prepared_type(lua_State *L) {
  luaL_newmetatable(L, PREPARED);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, prepared_release);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, prepared_release);
  lua_setfield(L, -2, "__close");
  lua_pushcfunction(L, prepared_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
}

static int l_is_prepared(lua_State *L) {
  lua_pushboolean(L, luaL_testudata(L, 1, PREPARED) != NULL);
  return 1;
}

static const vbl_fn functions[] = {
    {"prepare", l_prepare, "prepare(X, [name]) -> prepared",
     "X [n,d] copied and centred in f64; every measure takes it in X's place and keeps in it what "
     "measures share (Gram matrix, SVD, "
     "neighbour lists). NaN or Inf is an error that names row and column. p:components(k) -> the first k principal "
     "components [n,k] f64 and their shares of the variance. p:release() frees it."},
    {"is_prepared", l_is_prepared, "is_prepared(value) -> boolean", "Whether value is what prepare() gave."},
    {"lapack", l_lapack, "lapack() -> string",
     "Opens OpenBLAS and says which instruction-set kernels it chose (\"Haswell\", \"SkylakeX\")."},
    {NULL, NULL, NULL, NULL}};

int vbl_open_measure(lua_State *L) {
  make_prepared_type(L);
  lua_newtable(L);
  for (const vbl_measure_row *row = vbl_measure_rows; row->name != NULL; row++) {
    vbl_lua_push_measure(L, row);
    lua_setfield(L, -2, row->name);
    vbl_lua_document(L, "measure", row->name, row->signature, row->help);
  }
  vbl_lua_register(L, "measure", functions);
  vbl_lua_measure_tokens(L);
  vbl_lua_measure_parts(L);
  vbl_lua_measure_draws(L);
  vbl_lua_measure_stream(L);
  vbl_lua_measure_plugins(L);
  return 1;
}
