// "vbl.functional.c": every op of core/ops under its name, from one table of rows (functional_rows.c). A call is
// F.op(tensor, ..., {attribute = value}); inputs that are options (rows, weight, ...) are given in the table too.
// defines: vbl_open_functional, vbl_lua_set_op
#include "bindings/functional.h"

typedef struct request {
  const vbl_functional *row;
  int options;  // stack index where the option table may be
  int inputs;
  vbl_tensor *in[VBL_MAX_INPUTS];
  vbl_attrs attrs;
} request;

static vbl_tensor *input_tensor(lua_State *L, const vbl_functional *row, const char *name, int at) {
  if (vbl_lua_test_handle(L, at) == NULL)
    vbl_lua_error(L, "%s: %s: expected a tensor, got %s", row->name, name, lua_isnone(L, at) ? "no value" : luaL_typename(L, at));
  return vbl_lua_check_tensor(L, at);
}

static void add_input(lua_State *L, request *r, vbl_tensor *t) {
  if (r->inputs == VBL_MAX_INPUTS) vbl_lua_error(L, "%s: at most %d tensors", r->row->name, VBL_MAX_INPUTS);
  r->in[r->inputs++] = t;
}

static void add_list(lua_State *L, request *r, const char *name, int at) {
  if (!lua_istable(L, at)) vbl_lua_error(L, "%s: %s: expected a list of tensors, got %s", r->row->name, name, luaL_typename(L, at));
  int64_t n = luaL_len(L, at);
  for (int64_t i = 1; i <= n; i++) {
    lua_rawgeti(L, at, i);
    add_input(L, r, input_tensor(L, r->row, name, -1));
    lua_pop(L, 1);  // the list keeps it
  }
}

static void add_option(lua_State *L, request *r, const char *name) {
  vbl_tensor *t = NULL;
  if (lua_istable(L, r->options)) {
    lua_getfield(L, r->options, name);
    // A number for temperature is an attribute.
    if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TNUMBER) t = input_tensor(L, r->row, name, -1);
    lua_pop(L, 1);  // the option table keeps it
  }
  add_input(L, r, t);
}

static void read_inputs(lua_State *L, request *r) {
  r->options = 1;
  for (const vbl_functional_input *input = r->row->inputs; input->name != NULL; input++) {
    bool absent = input->kind == VBL_IN_OPTIONAL && (lua_isnoneornil(L, r->options) || lua_istable(L, r->options));
    if (input->kind == VBL_IN_OPTION)
      add_option(L, r, input->name);
    else if (input->kind == VBL_IN_LIST)
      add_list(L, r, input->name, r->options++);
    else if (!absent)
      add_input(L, r, input_tensor(L, r->row, input->name, r->options++));
    else {
      add_input(L, r, NULL);
      if (!lua_istable(L, r->options)) r->options++;
    }
  }
  while (r->inputs > 0 && r->in[r->inputs - 1] == NULL) r->inputs--;
}

static int bad_value(lua_State *L, const request *r, const char *name, const char *expected) {
  return vbl_lua_error(L, "%s: %s: expected %s, got %s", r->row->name, name, expected, luaL_tolstring(L, -1, NULL));
}

static int64_t integer_at_top(lua_State *L, const request *r, const char *name) {
  int ok = 0;
  int64_t value = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &ok) : 0;
  if (!ok) bad_value(L, r, name, "an integer");
  return value;
}

static double number_at_top(lua_State *L, const request *r, const char *name) {
  if (lua_type(L, -1) != LUA_TNUMBER) bad_value(L, r, name, "a number");
  return lua_tonumber(L, -1);
}

static void read_sizes(lua_State *L, request *r, const vbl_functional_attr *attr) {
  if (!lua_istable(L, -1)) bad_value(L, r, attr->name, "a list of integers");
  int64_t n = luaL_len(L, -1);
  if (n < 0 || n > VBL_MAX_DIMS) bad_value(L, r, attr->name, "at most 6 integers");
  r->attrs.n[0] = n;
  for (int64_t i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    integer_at_top(L, r, attr->name);
    r->attrs.n[i] = attr->kind == VBL_AT_ORDER ? vbl_lua_check_dim(L, -1, r->in[0]->ndim) : lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
}

static void read_colors(lua_State *L, request *r, const vbl_functional_attr *attr) {
  if (!lua_istable(L, -1) || luaL_len(L, -1) != 3) bad_value(L, r, attr->name, "{r, g, b}");
  for (int i = 0; i < 3; i++) {
    lua_rawgeti(L, -1, i + 1);
    r->attrs.v[attr->slot + i] = number_at_top(L, r, attr->name);
    lua_pop(L, 1);
  }
}

static uint32_t u32_at_top(lua_State *L, const request *r, const char *name) {
  int64_t value = integer_at_top(L, r, name);
  if (value < 0 || value > UINT32_MAX) bad_value(L, r, name, "0 .. 2^32 - 1");
  return (uint32_t)value;
}

// The value at the top goes where the row says.
static void set_attr(lua_State *L, request *r, const vbl_functional_attr *attr) {
  vbl_attrs *a = &r->attrs;
  const char *name = attr->name;
  switch (attr->kind) {
    case VBL_AT_ALPHA_OR_INPUT:
      if (vbl_lua_test_handle(L, -1) == NULL) a->alpha = number_at_top(L, r, name);
      break;
    case VBL_AT_ALPHA:
      a->alpha = number_at_top(L, r, name);
      break;
    case VBL_AT_EPS:
      a->eps = number_at_top(L, r, name);
      break;
    case VBL_AT_P:
      a->p = number_at_top(L, r, name);
      break;
    case VBL_AT_SEED:
      a->rng.seed = u32_at_top(L, r, name);
      break;
    case VBL_AT_SITE:
      a->rng.stream = VBL_STREAM_DROPOUT + u32_at_top(L, r, name);
      break;
    case VBL_AT_STEP:
      a->step = u32_at_top(L, r, name);
      break;
    case VBL_AT_INTEGER:
      a->n[attr->slot] = integer_at_top(L, r, name);
      break;
    case VBL_AT_BOOL:
      if (!lua_isboolean(L, -1)) bad_value(L, r, name, "true or false");
      a->n[attr->slot] = lua_toboolean(L, -1);
      break;
    case VBL_AT_DIM:
      integer_at_top(L, r, name);
      a->n[attr->slot] = vbl_lua_check_dim(L, -1, r->in[0]->ndim);
      break;
    case VBL_AT_INDEX: {
      int64_t from_one = integer_at_top(L, r, name);
      a->n[attr->slot] = from_one < 1 ? -1 : from_one - 1;  // -1: the op refuses it
      break;
    }
    case VBL_AT_SIZES:
    case VBL_AT_ORDER:
      read_sizes(L, r, attr);
      break;
    case VBL_AT_DTYPE:
      if (lua_type(L, -1) != LUA_TSTRING) bad_value(L, r, name, "a dtype's name");
      a->n[attr->slot] = vbl_lua_check_dtype(L, lua_tostring(L, -1));
      break;
    case VBL_AT_NUMBER:
      a->v[attr->slot] = number_at_top(L, r, name);
      break;
    case VBL_AT_COLORS:
      read_colors(L, r, attr);
      break;
    case VBL_AT_TENSOR:
      break;
  }
}

static void set_fallback(lua_State *L, request *r, const vbl_functional_attr *attr) {
  if (attr->fallback == VBL_REQUIRED)
    vbl_lua_error(L, "%s: option '%s' is missing\n  %s", r->row->name, attr->name, r->row->signature);
  switch (attr->kind) {
    case VBL_AT_ALPHA:
    case VBL_AT_ALPHA_OR_INPUT:
      r->attrs.alpha = attr->fallback;
      break;
    case VBL_AT_EPS:
      r->attrs.eps = attr->fallback;
      break;
    case VBL_AT_SITE:
      r->attrs.rng.stream = VBL_STREAM_DROPOUT;
      break;
    case VBL_AT_NUMBER:
      r->attrs.v[attr->slot] = attr->fallback;
      break;
    case VBL_AT_INTEGER:
    case VBL_AT_DIM:
      r->attrs.n[attr->slot] = (int64_t)attr->fallback;
      break;
    default:
      break;
  }
}

static void read_attrs(lua_State *L, request *r) {
  const char *known[VBL_FUNCTIONAL_ATTRS + 1] = {NULL};
  if (!lua_isnone(L, r->options + 1) || (!lua_isnoneornil(L, r->options) && !lua_istable(L, r->options)))
    vbl_lua_error(L, "%s: expected the option table as argument %d, got %s\n  %s", r->row->name, r->options,
                  luaL_typename(L, r->options), r->row->signature);
  for (int i = 0; r->row->attrs[i].name != NULL; i++) known[i] = r->row->attrs[i].name;
  vbl_lua_check_keys(L, r->options, known);
  for (const vbl_functional_attr *attr = r->row->attrs; attr->name != NULL; attr++) {
    if (lua_istable(L, r->options) && lua_getfield(L, r->options, attr->name) != LUA_TNIL)
      set_attr(L, r, attr);
    else
      set_fallback(L, r, attr);
    if (lua_istable(L, r->options)) lua_pop(L, 1);
  }
}

static int call_op(lua_State *L) {
  request r = {.row = lua_touserdata(L, lua_upvalueindex(1))};
  read_inputs(L, &r);
  // The number of a group's members is what was given.
  if (r.row->op == &vbl_op_linear_group) r.attrs.n[0] = luaL_len(L, 2);
  read_attrs(L, &r);
  return vbl_lua_apply(L, r.row->op, r.in, r.inputs, &r.attrs);
}

void vbl_lua_set_op(lua_State *L, const vbl_functional *row) {
  lua_pushlightuserdata(L, (void *)row);
  lua_pushcclosure(L, call_op, 1);
  lua_setfield(L, -2, row->name);
  vbl_lua_document(L, "vbl.nn.functional", row->name, row->signature, row->help);
}

int vbl_open_functional(lua_State *L) {
  lua_newtable(L);
  for (const vbl_functional *row = vbl_functional_rows; row->name != NULL; row++) vbl_lua_set_op(L, row);
  return 1;
}
