// One protected call for scripts, commands and the prompt, and the traceback that a researcher can use: the error, then
// Lua frames only, script and vbl modules, innermost first. Who interrupts knows why: of that only the script's line is told.
// defines: vbl_call
#include <string.h>

#include "bindings/program.h"
#include "core/base/interrupt.h"

enum { FRAMES = 12 };

static void add_frame(lua_State *L, luaL_Buffer *text, lua_Debug *frame) {
  lua_pushfstring(L, "\n  %s:%d: in ", frame->short_src, frame->currentline);
  luaL_addvalue(text);
  if (strcmp(frame->what, "main") == 0)
    luaL_addstring(text, "the main chunk");
  else if (frame->name != NULL) {
    lua_pushfstring(L, "%s '%s'", *frame->namewhat != '\0' ? frame->namewhat : "function", frame->name);
    luaL_addvalue(text);
  } else {
    lua_pushfstring(L, "the function of line %d", frame->linedefined);
    luaL_addvalue(text);
  }
}

static bool is_interrupt(lua_State *L) {
  static const char word[] = "interrupted";
  size_t n;
  const char *text = lua_tolstring(L, 1, &n);
  return vbl_interrupt_pending() != 0 && n >= sizeof word - 1 && strcmp(text + n - (sizeof word - 1), word) == 0;
}

// The innermost line that stands in a file, where there is one.
static int on_interrupt(lua_State *L) {
  lua_Debug frame;
  for (int level = 1; lua_getstack(L, level, &frame); level++) {
    lua_getinfo(L, "Sl", &frame);
    if (frame.source[0] == '@') return lua_pushfstring(L, "interrupted at %s:%d", frame.short_src, frame.currentline), 1;
  }
  return 1;
}

// Pairs of a frame's names and values into the table at the stack's top; a later variable of a name hides an earlier one.
static void add_locals(lua_State *L, lua_Debug *frame) {
  const char *name;
  lua_getinfo(L, "f", frame);
  for (int i = 1; (name = lua_getupvalue(L, -1, i)) != NULL; i++) {
    if (strcmp(name, "_ENV") == 0)
      lua_pop(L, 1);
    else
      lua_setfield(L, -3, name);
  }
  lua_pop(L, 1);
  for (int i = 1; (name = lua_getlocal(L, frame, i)) != NULL; i++) {
    if (*name == '(')
      lua_pop(L, 1);
    else
      lua_setfield(L, -2, name);
  }
}

// For the prompt that follows (main.c asks for it: "vbl.keep_locals"): registry "vbl.error_locals" = {where = "script.lua:12", locals =
// {name = value}} of the innermost frame that is none of vbl's own. They keep their tensors alive.
static void keep_locals(lua_State *L) {
  lua_Debug frame;
  lua_getfield(L, LUA_REGISTRYINDEX, "vbl.keep_locals");
  bool wanted = lua_toboolean(L, -1);
  lua_pop(L, 1);
  for (int level = 1; wanted && lua_checkstack(L, 8) && lua_getstack(L, level, &frame); level++) {
    lua_getinfo(L, "Sl", &frame);
    if (strcmp(frame.what, "C") == 0 || strncmp(frame.source, "=vbl", 4) == 0) continue;
    lua_createtable(L, 0, 2);
    if (strcmp(frame.source, "=prompt") == 0)
      lua_pushliteral(L, "prompt");
    else
      lua_pushfstring(L, "%s:%d", frame.short_src, frame.currentline);
    lua_setfield(L, -2, "where");
    lua_newtable(L);
    add_locals(L, &frame);
    lua_setfield(L, -2, "locals");
    lua_setfield(L, LUA_REGISTRYINDEX, "vbl.error_locals");
    return;
  }
}

static bool out_of_memory(lua_State *L) {
  const char *text = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
  return text != NULL && strstr(text, "out of memory") != NULL;
}

static int on_error(lua_State *L) {
  if (!out_of_memory(L)) keep_locals(L);  // what they hold is to make room
  if (lua_type(L, 1) != LUA_TSTRING) {
    if (luaL_getmetafield(L, 1, "__tostring") == LUA_TNIL)
      lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    else
      luaL_tolstring(L, 1, NULL);
    return 1;
  }
  if (is_interrupt(L)) return on_interrupt(L);
  luaL_Buffer text;
  lua_Debug frame;
  luaL_buffinit(L, &text);
  lua_pushvalue(L, 1);
  luaL_addvalue(&text);
  int shown = 0;
  for (int level = 1; lua_getstack(L, level, &frame) && shown < FRAMES; level++) {
    lua_getinfo(L, "Snl", &frame);
    if (strcmp(frame.what, "C") == 0) continue;
    if (strcmp(frame.source, "=vbl.repl") == 0) break;  // the prompt's own frames say nothing
    add_frame(L, &text, &frame);
    shown++;
  }
  luaL_pushresult(&text);
  return 1;
}

int vbl_call(lua_State *L, int arguments, int results) {
  int base = lua_gettop(L) - arguments;
  lua_pushcfunction(L, on_error);
  lua_insert(L, base);
  int status = lua_pcall(L, arguments, results, base);
  lua_remove(L, base);
  return status;
}
