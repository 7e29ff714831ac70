// "vbl.dist.c": the ranks of core/comm. Scripts use vbl.dist (lua/vbl/dist.lua), which has the sentences.
// defines: vbl_open_dist
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindings/tensor.h"
#include "core/base/interrupt.h"
#include "core/comm/comm.h"

static int dist_launched(lua_State *L) {
  int rank;
  lua_pushinteger(L, vbl_comm_launched(&rank));
  lua_pushinteger(L, rank);
  return 2;
}

static int dist_describe(lua_State *L) {
  char text[512];
  VBL_LUA_ONCE(L, vbl_comm_describe(text, sizeof text, &err));
  lua_pushstring(L, text);
  return 1;
}

static int dist_start(lua_State *L) {
  VBL_LUA_ONCE(L, vbl_comm_start(&err));
  return 0;
}

static int dist_rank(lua_State *L) {
  lua_pushinteger(L, vbl_comm_rank());
  return 1;
}

static int dist_size(lua_State *L) {
  lua_pushinteger(L, vbl_comm_size());
  return 1;
}

static int dist_local(lua_State *L) {
  lua_pushinteger(L, vbl_comm_local_rank());
  lua_pushinteger(L, vbl_comm_local_size());
  return 2;
}

static int dist_alone(lua_State *L) {
  luaL_checktype(L, 1, LUA_TBOOLEAN);
  vbl_comm_alone(lua_toboolean(L, 1));
  return 0;
}

// The numbers of the table at 1, in memory that Lua holds.
static double *read_numbers(lua_State *L, lua_Integer *n) {
  luaL_checktype(L, 1, LUA_TTABLE);
  *n = luaL_len(L, 1);
  double *numbers = lua_newuserdatauv(L, (size_t)(*n + 1) * sizeof *numbers, 0);
  for (lua_Integer i = 0; i < *n; i++) {
    lua_rawgeti(L, 1, i + 1);
    if (!lua_isnumber(L, -1)) vbl_lua_error(L, "ranks: item %d: expected a number, got %s", (int)i + 1, luaL_typename(L, -1));
    numbers[i] = lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  return numbers;
}

static int push_numbers(lua_State *L, const double *numbers, lua_Integer n) {
  lua_createtable(L, (int)n, 0);
  for (lua_Integer i = 0; i < n; i++) {
    lua_pushnumber(L, numbers[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int dist_sum(lua_State *L) {
  lua_Integer n;
  double *numbers = read_numbers(L, &n);
  VBL_LUA_ONCE(L, vbl_comm_sum(VBL_F64, numbers, n, &err));
  return push_numbers(L, numbers, n);
}

static int dist_max(lua_State *L) {
  lua_Integer n;
  double *numbers = read_numbers(L, &n);
  VBL_LUA_ONCE(L, vbl_comm_max(numbers, n, &err));
  return push_numbers(L, numbers, n);
}

// One that Lua frees, whatever is raised.
typedef struct block {
  void *data;
} block;

static int free_block(lua_State *L) {
  block *b = lua_touserdata(L, 1);
  free(b->data);
  b->data = NULL;
  return 0;
}

static block *new_block(lua_State *L) {
  block *b = lua_newuserdatauv(L, sizeof *b, 0);
  b->data = NULL;
  if (luaL_newmetatable(L, "vbl.dist.block")) {
    lua_pushcfunction(L, free_block);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return b;
}

// Each rank's string, in a list.
static int dist_gather_strings(lua_State *L) {
  size_t length;
  const char *mine = luaL_checklstring(L, 1, &length);
  const int size = vbl_comm_size();
  int64_t *counts = lua_newuserdatauv(L, (size_t)size * sizeof *counts, 0);
  block *all = new_block(L);
  VBL_LUA_ONCE(L, vbl_comm_gather(mine, (int64_t)length, &all->data, counts, &err));
  lua_createtable(L, size, 0);
  const char *at = all->data;
  for (int i = 0; i < size; at += counts[i++]) {
    lua_pushlstring(L, at, (size_t)counts[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int dist_gather_rows(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1), *all = NULL;
  if (t->ndim < 1) vbl_lua_error(L, "ranks: expected a tensor of rows, got a scalar");
  vbl_error err;
  vbl_status status = vbl_comm_gather_rows(t, &all, &err);
  if (status == VBL_ENOMEM) {  // on all ranks
    double freed = vbl_lua_collect(L);
    vbl_error of_exchange;
    if (vbl_comm_max(&freed, 1, &of_exchange) != VBL_OK) vbl_lua_raise(L, &of_exchange);
    if (freed > 0) status = vbl_comm_gather_rows(t, &all, &err);
  }
  if (status != VBL_OK) vbl_lua_raise(L, &err);
  vbl_lua_push_tensor(L, all);
  return 1;
}

static int dist_broadcast(lua_State *L) {
  size_t length = 0;
  const char *mine = luaL_optlstring(L, 1, "", &length);
  int64_t bytes = (int64_t)length;
  block *b = new_block(L);
  void *data = (void *)mine;
  VBL_LUA_ONCE(L, vbl_comm_broadcast(&data, &bytes, &err));
  if (data != mine) b->data = data;
  lua_pushlstring(L, data, (size_t)bytes);
  return 1;
}

static int dist_sum_gradients(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  const lua_Integer n = luaL_len(L, 1);
  vbl_tensor **leaves = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof(vbl_tensor *), 0);
  for (lua_Integer i = 0; i < n; i++) {
    lua_rawgeti(L, 1, i + 1);
    leaves[i] = vbl_lua_check_tensor(L, -1);  // lives as long as the table
    lua_pop(L, 1);
  }
  VBL_LUA_ONCE(L, vbl_comm_sum_gradients(leaves, (int)n, &err));
  return 0;
}

static int dist_by_host(lua_State *L) {
  lua_pushstring(L, vbl_comm_by_host());
  return 1;
}

static int dist_interrupt(lua_State *L) {
  vbl_interrupt_request((int)luaL_checkinteger(L, 1));
  return 0;
}

static int dist_quiet(lua_State *L) {
  (void)L;
  fflush(stdout);
  if (freopen("/dev/null", "w", stdout) == NULL) return luaL_fileresult(L, 0, "/dev/null");
  return 0;
}

static const vbl_fn functions[] = {
    {"launched", dist_launched, "launched() -> size, rank",
     "How many processes a launcher says that it started as one run, and which one this is."},
    {"describe", dist_describe, "describe() -> string", "The MPI that is here; an error where there is none."},
    {"start", dist_start, "start()", "Joins the other ranks; once."},
    {"rank", dist_rank, "rank() -> integer", "From 0."},
    {"size", dist_size, "size() -> integer", "1 without a launcher."},
    {"here", dist_local, "here() -> rank, size", "Among the ranks of this machine, from 0; how many they are."},
    {"alone", dist_alone, "alone(on)", "While on, this rank is one by itself."},
    {"sum", dist_sum, "sum({number, ...}) -> {number, ...}", "Over the ranks."},
    {"max", dist_max, "max({number, ...}) -> {number, ...}", "Over the ranks."},
    {"gather_strings", dist_gather_strings, "gather_strings(string) -> {string, ...}", "Of each rank, in order."},
    {"gather_rows", dist_gather_rows, "gather_rows(tensor) -> tensor",
     "The ranks' rows, in order, without history, on the same device."},
    {"broadcast", dist_broadcast, "broadcast([string]) -> string", "Rank 0's."},
    {"sum_gradients", dist_sum_gradients, "sum_gradients({leaf, ...})", "Each leaf's .grad becomes its sum over the ranks."},
    {"by_host", dist_by_host, "by_host() -> string or nil", "Why what devices exchange goes through the hosts' memory."},
    {"interrupt", dist_interrupt, "interrupt(signal)", "Notes a signal that another rank got."},
    {"quiet", dist_quiet, "quiet()", "From now on what is printed goes nowhere."},
    {NULL, NULL, NULL, NULL}};

int vbl_open_dist(lua_State *L) {
  lua_newtable(L);
  vbl_lua_register(L, "vbl.dist.c", functions);
  return 1;
}
