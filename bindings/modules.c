// Where `require` finds things. Order: package.preload (C modules), vbl's Lua modules (VBL_LUA, else embedded), beside the
// script, then Lua's own path and cpath, unchanged.
// defines: vbl_open_modules, vbl_has_module, vbl_module_source, vbl_script_folder
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindings/embedded.h"
#include "bindings/program.h"

static const luaL_Reg c_modules[] = {{"vbl.tensor.c", vbl_open_tensor},
                                     {"vbl.functional.c", vbl_open_functional},
                                     {"vbl.optim.c", vbl_open_optim},
                                     {"vbl.measure.c", vbl_open_measure},
                                     {"vbl.metrics.c", vbl_open_metrics},
                                     {"vbl.store.c", vbl_open_store},
                                     {"vbl.data.c", vbl_open_data},
                                     {"vbl.system.c", vbl_open_system},
                                     {"vbl.edit.c", vbl_open_edit},
                                     {"vbl.dist.c", vbl_open_dist},
                                     {NULL, NULL}};

static const vbl_embedded_module *find_embedded(const char *name) {
  for (const vbl_embedded_module *m = vbl_embedded; m->name != NULL; m++)
    if (strcmp(m->name, name) == 0) return m;
  return NULL;
}

static bool no_environment;  // -E

// The file of module `name` below VBL_LUA, or false. vbl.nn is vbl/nn.lua or vbl/nn/init.lua.
static bool find_override(const char *name, char *path, size_t size) {
  const char *folder = no_environment ? NULL : getenv("VBL_LUA");
  if (folder == NULL || *folder == '\0' || strchr(name, '/') != NULL) return false;
  char slashes[256];
  if (strlen(name) >= sizeof slashes) return false;
  strcpy(slashes, name);
  for (char *c = slashes; *c != '\0'; c++)
    if (*c == '.') *c = '/';
  for (int i = 0; i < 2; i++) {
    int n = snprintf(path, size, "%s/%s%s.lua", folder, slashes, i == 0 ? "" : "/init");
    if (n > 0 && (size_t)n < size && access(path, R_OK) == 0) return true;
  }
  return false;
}

bool vbl_has_module(const char *name) {
  char path[4096];
  return find_override(name, path, sizeof path) || find_embedded(name) != NULL;
}

int vbl_module_source(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const vbl_embedded_module *m = find_embedded(name);
  if (m == NULL) return 0;
  lua_pushlstring(L, m->text, m->size);
  return 1;
}

static int search_own(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  char path[4096];
  if (find_override(name, path, sizeof path)) {
    if (luaL_loadfile(L, path) != LUA_OK) return lua_error(L);
    lua_pushstring(L, path);
    return 2;
  }
  const vbl_embedded_module *m = find_embedded(name);
  if (m == NULL) {
    lua_pushfstring(L, "no module '%s' inside vbl", name);
    return 1;
  }
  lua_pushfstring(L, "=%s", name);
  if (luaL_loadbufferx(L, m->text, m->size, lua_tostring(L, -1), "t") != LUA_OK) return lua_error(L);
  lua_pushliteral(L, ":embedded:");
  return 2;
}

static int search_beside_script(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (lua_getfield(L, LUA_REGISTRYINDEX, "vbl.script_path") != LUA_TSTRING) return 0;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchpath");
  lua_pushstring(L, name);
  lua_pushvalue(L, 2);
  lua_call(L, 2, 2);
  if (lua_isnil(L, -2)) return 1;  // the message that lists the files tried
  lua_pop(L, 1);
  const char *path = lua_tostring(L, -1);
  if (luaL_loadfile(L, path) != LUA_OK) return lua_error(L);
  lua_insert(L, -2);
  return 2;
}

static void push_path_beside(lua_State *L, const char *script) {
  const char *slash = strrchr(script, '/');
  lua_pushlstring(L, slash == NULL ? "." : script, slash == NULL ? 1 : (size_t)(slash - script));
  const char *folder = lua_tostring(L, -1);
  lua_pushfstring(L, "%s/?.lua;%s/?/init.lua", folder, folder);
  lua_remove(L, -2);
}

void vbl_script_folder(lua_State *L, const char *script) {
  push_path_beside(L, script);
  char target[PATH_MAX];
  if (realpath(script, target) != NULL) {  // a link to a script: also what lies beside that
    lua_pushliteral(L, ";");
    push_path_beside(L, target);
    lua_concat(L, 3);
  }
  lua_setfield(L, LUA_REGISTRYINDEX, "vbl.script_path");
}

static void insert_searcher(lua_State *L, lua_CFunction searcher, int position) {
  lua_getglobal(L, "table");
  lua_getfield(L, -1, "insert");
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  lua_remove(L, -2);
  lua_pushinteger(L, position);
  lua_pushcfunction(L, searcher);
  lua_call(L, 3, 0);
  lua_pop(L, 1);
}

void vbl_open_modules(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
  no_environment = lua_toboolean(L, -1);
  lua_pop(L, 1);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  luaL_setfuncs(L, c_modules, 0);
  lua_pop(L, 1);
  insert_searcher(L, search_own, 2);
  insert_searcher(L, search_beside_script, 3);
}
