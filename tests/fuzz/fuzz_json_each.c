// json_each (bindings/data_json.c): the input is a large JSON file that is read element by element into Lua. What it hands out has
// the depth that it promises. The rows and errors of bindings/bind.c stand here in short, for that file needs tensors.
#include <lualib.h>
#include <stdarg.h>

#include "bindings/data.h"
#include "core/base/interrupt.h"
#include "tests/fuzz/fuzz.h"

enum { DEEPEST = 64 };

void vbl_lua_register(lua_State *L, const char *module, const vbl_fn *rows) {
  (void)module;
  for (; rows->name != NULL; rows++) {
    lua_pushcfunction(L, rows->fn);
    lua_setfield(L, -2, rows->name);
  }
}

int vbl_lua_error(lua_State *L, const char *format, ...) {
  va_list args;
  va_start(args, format);
  lua_pushvfstring(L, format, args);
  va_end(args);
  return lua_error(L);
}

int vbl_lua_raise(lua_State *L, const vbl_error *err) { return vbl_lua_error(L, "%s", err->message); }
bool vbl_lua_collect(lua_State *L) { return lua_gc(L, LUA_GCCOLLECT, 0), false; }

static void walk(lua_State *L, int depth) {
  if (!lua_istable(L, -1)) return;
  if (depth >= DEEPEST) abort();
  luaL_checkstack(L, 4, NULL);
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) walk(L, depth + 1);
}

static int each(lua_State *L) {
  if (lua_gettop(L) != 3 || lua_type(L, 1) != LUA_TSTRING || !lua_isinteger(L, 3)) abort();
  lua_settop(L, 2);
  walk(L, 0);
  return 0;
}

static lua_State *make_state(void) {
  lua_State *L = luaL_newstate();
  if (L == NULL) abort();
  lua_newtable(L);
  vbl_lua_data_json(L);
  return L;
}

int FUZZ_ENTRY(const uint8_t *data, size_t size) {
  static lua_State *L;
  if (L == NULL) L = make_state();
  fuzz_file f = fuzz_file_make(data, size);
  lua_getfield(L, 1, "json_each");
  lua_pushstring(L, f.path);
  lua_newtable(L);
  for (const char *const *key = (const char *const[]){"annotations", "images", "a", "", NULL}; *key != NULL; key++) {
    lua_pushboolean(L, true);
    lua_setfield(L, -2, *key);
  }
  lua_pushcfunction(L, each);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK && lua_type(L, -1) != LUA_TSTRING) abort();
  lua_settop(L, 1);
  lua_gc(L, LUA_GCCOLLECT, 0);  // what a reader left behind is freed here
  fuzz_file_end(&f);
  return 0;
}
