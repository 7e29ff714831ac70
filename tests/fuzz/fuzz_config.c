// Config overrides (lua/vbl/config): the input's lines are the words of a command line (a carriage return stands for a line's end within a
// word); a first byte of '!' asks for an operand too. What is checked of the result is said in config.lua. The parser is Lua, which libFuzzer
// cannot see into: a hook counts the lines that run as its extra counters (config.lua gives each file lines of its own). More than a second's instructions, or 64 MB, are a failure.
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "tests/fuzz/fuzz.h"

enum { COUNTERS = 8192, STEPS = 1000, MOST_STEPS = 20000, MOST_BYTES = 64 << 20 };

__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t counters[COUNTERS];
static int64_t steps;
static size_t held;

static void fail(const char *what, const char *more) {
  fprintf(stderr, "config: %s%s\n", what, more != NULL ? more : "");
  abort();
}

static void hook(lua_State *L, lua_Debug *frame) {
  (void)L;
  if (frame->event == LUA_HOOKCOUNT) {
    if (++steps > MOST_STEPS) fail("the words take too long", NULL);
    return;
  }
  counters[frame->currentline % COUNTERS]++;
}

static void *limited(void *unused, void *old, size_t before, size_t after) {
  (void)unused;
  if (old == NULL) before = 0;
  if (held - before + after > MOST_BYTES) fail("the words take more than 64 MB", NULL);
  void *p = after == 0 ? NULL : realloc(old, after);
  if (after == 0) free(old);
  held += after - before;
  return p;
}

static lua_State *make_state(void) {
  lua_State *L = lua_newstate(limited, NULL);
  if (L == NULL) fail("no memory", NULL);
  luaL_openlibs(L);
  lua_getglobal(L, "package");
  lua_pushliteral(L, VBL_SOURCE "/lua/?.lua;" VBL_SOURCE "/lua/?/init.lua");
  lua_setfield(L, -2, "path");
  lua_pop(L, 1);
  if (luaL_dofile(L, VBL_SOURCE "/tests/fuzz/config.lua") != LUA_OK) fail("", lua_tostring(L, -1));
  lua_sethook(L, hook, LUA_MASKLINE | LUA_MASKCOUNT, STEPS);
  return L;
}

static void push_words(lua_State *L, const char *text, const char *end) {
  char word[8192];
  lua_newtable(L);
  for (lua_Integer i = 1; text < end; i++) {
    const char *stop = memchr(text, '\n', (size_t)(end - text));
    if (stop == NULL) stop = end;
    size_t n = (size_t)(stop - text) < sizeof word ? (size_t)(stop - text) : sizeof word - 1;
    for (size_t j = 0; j < n; j++) word[j] = text[j];
    for (size_t j = 0; j < n; j++)
      if (word[j] == '\r') word[j] = '\n';
    word[n] = '\0';
    lua_pushstring(L, word);  // as argv has it: up to a zero byte
    lua_rawseti(L, -2, i);
    text = stop + 1;
  }
}

int FUZZ_ENTRY(const uint8_t *data, size_t size) {
  static lua_State *L;
  if (L == NULL) L = make_state();
  int operand = size > 0 && data[0] == '!';
  steps = 0;
  lua_pushvalue(L, 1);
  push_words(L, (const char *)data + operand, (const char *)data + size);
  lua_pushboolean(L, operand);
  if (lua_pcall(L, 2, 1, 0) != LUA_OK || !lua_isnil(L, -1)) fail("", lua_tostring(L, -1));
  lua_settop(L, 1);
  if (held > MOST_BYTES / 16) lua_gc(L, LUA_GCCOLLECT, 0);
  return 0;
}
