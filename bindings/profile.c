// vbl.profile: where a function's time goes (core/tape/profile.h) as a table that prints itself.
// defines: vbl_profile_rows
#include "core/tape/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/bind.h"

#define PROFILE_META "vbl.profile"
#define GUARD_META   "vbl.profiling"

static int stop(lua_State *L) {
  (void)L;
  vbl_profile_stop();
  return 0;
}

// Profiling ends when the C function that calls this does, whether it returns or raises.
static void start_guarded(lua_State *L) {
  lua_newuserdatauv(L, 0, 0);
  if (luaL_newmetatable(L, GUARD_META)) {
    lua_pushcfunction(L, stop);
    lua_setfield(L, -2, "__close");
  }
  lua_setmetatable(L, -2);
  vbl_profile_start();
  lua_toclose(L, -1);
}

static int by_time(const void *a, const void *b) {
  const vbl_profile_row *x = a, *y = b;
  double tx = x->forward + x->backward, ty = y->forward + y->backward;
  return tx < ty ? 1 : tx > ty ? -1 : strcmp(x->name, y->name);
}

static void push_row(lua_State *L, const vbl_profile_row *row, double total) {
  lua_createtable(L, 0, 7);
  vbl_lua_set_string(L, "name", row->name);
  vbl_lua_set_integer(L, "calls", row->calls);
  vbl_lua_set_number(L, "forward", row->forward);
  vbl_lua_set_number(L, "backward", row->backward);
  vbl_lua_set_number(L, "seconds", row->forward + row->backward);
  vbl_lua_set_number(L, "share", total > 0 ? (row->forward + row->backward) / total : 0);
  vbl_lua_set_number(L, "flops", row->flops);
}

static double number_field(lua_State *L, const char *name) {
  lua_getfield(L, -1, name);
  double value = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return value;
}

// Writes row i of the table at 1 as a line.
static void format_row(lua_State *L, int i, char *line, size_t size) {
  char calls[32] = "", rate[32] = "";
  lua_rawgeti(L, 1, i);
  lua_getfield(L, -1, "name");
  const char *name = lua_tostring(L, -1);  // the row keeps it
  lua_pop(L, 1);
  double forward = number_field(L, "forward"), backward = number_field(L, "backward"), flops = number_field(L, "flops");
  double n = number_field(L, "calls"), share = number_field(L, "share");
  lua_pop(L, 1);
  if (n > 0) snprintf(calls, sizeof calls, "%.0f", n);
  if (flops > 0) snprintf(rate, sizeof rate, "  %.0f GFLOP/s", flops / (forward + backward) * 1e-9);
  snprintf(line, size, "\n%-20s %8s %12.2f %12.2f %7.1f %%%s", name, calls, forward * 1e3, backward * 1e3, share * 100, rate);
}

static int profile_tostring(lua_State *L) {
  char line[256];
  luaL_Buffer text;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  snprintf(line, sizeof line, "%-20s %8s %12s %12s %9s", "op", "calls", "forward ms", "backward ms", "share");
  int count = (int)luaL_len(L, 1);
  double total = number_field(L, "seconds");
  lua_getfield(L, 1, "clock");
  const char *clock = lua_tostring(L, -1);  // the table keeps it
  luaL_buffinit(L, &text);
  luaL_addstring(&text, line);
  for (int i = 1; i <= count; i++) {
    format_row(L, i, line, sizeof line);
    luaL_addstring(&text, line);
  }
  snprintf(line, sizeof line, "\n%-20s %8s %12.2f ms%s%s", "total", "", total * 1e3, strcmp(clock, "cpu") == 0 ? "" : " of ",
           strcmp(clock, "cpu") == 0 ? "" : clock);
  luaL_addstring(&text, line);
  luaL_pushresult(&text);
  return 1;
}

// The rows and "rest", what no row covers: longest first at 1, 2, ..., and by name in the field `rows`.
static void push_profile(lua_State *L, double total) {
  int count;
  const vbl_profile_row *rows = vbl_profile_read(&count);
  vbl_profile_row *sorted = lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *sorted, 0);
  double covered = 0;
  for (int i = 0; i < count; i++) {
    sorted[i] = rows[i];
    covered += rows[i].forward + rows[i].backward;
  }
  sorted[count] = (vbl_profile_row){.name = "rest", .forward = total > covered ? total - covered : 0};
  qsort(sorted, (size_t)count + 1, sizeof *sorted, by_time);
  lua_createtable(L, count + 1, 3);
  vbl_lua_set_number(L, "seconds", total);
  vbl_lua_set_string(L, "clock", vbl_profile_clock());
  lua_createtable(L, 0, count + 1);
  for (int i = 0; i <= count; i++) {
    push_row(L, &sorted[i], total);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -4, i + 1);
    lua_setfield(L, -2, sorted[i].name);
  }
  lua_setfield(L, -2, "rows");
  if (luaL_newmetatable(L, PROFILE_META)) {
    lua_pushcfunction(L, profile_tostring);
    lua_setfield(L, -2, "__tostring");
  }
  lua_setmetatable(L, -2);
  lua_remove(L, -2);
}

static int profile(lua_State *L) {
  luaL_checkany(L, 1);
  if (vbl_profiling) vbl_lua_error(L, "profile: is running already; profiles do not nest");
  start_guarded(L);
  int guard = lua_gettop(L);
  luaL_checkstack(L, guard + 8, "arguments");
  for (int i = 1; i < guard; i++) lua_pushvalue(L, i);
  lua_call(L, guard - 2, LUA_MULTRET);
  double total = vbl_profile_stop();
  luaL_checkstack(L, 8, "profile");
  push_profile(L, total);
  lua_insert(L, guard + 1);
  return lua_gettop(L) - guard;
}

const vbl_fn vbl_profile_rows[] = {
    {"profile", profile, "profile(fn, ...) -> profile, results of fn",
     "Calls fn(...) and tells where its time went; tostring(profile), and the prompt, show a table: op, calls (forward and "
     "backward), "
     "forward and backward ms, share.\nprofile.seconds: of the whole call; profile.clock: whose, \"cpu\" or \"cuda:0\". "
     "profile[1], [2], ...: rows {name, calls, forward, "
     "backward, "
     "seconds, share, flops}, the longest first; profile.rows[name]: the same by name. A row's seconds are its own: all matrix "
     "products are in \"gemm\" (2MNK FLOPs each), not in the op that asked for them; \"rest\" is what no row covers. "
     "Where a device is open the times are those of its work, all of it in one branch (vbl.side_by_side does nothing meanwhile); "
     "an op that only the host does counts as ever. "
     "A first call also pays for memory that later ones reuse, so call fn once before. Profiles do not nest."},
    {NULL, NULL, NULL, NULL}};
