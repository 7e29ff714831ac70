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

static int on_error(lua_State *L) {
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
