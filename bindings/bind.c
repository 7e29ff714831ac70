// Errors, options and the registration of functions, for every binding file.
// defines: vbl_lua_register, vbl_lua_document, vbl_lua_class, vbl_lua_{own,disown}, vbl_lua_push_numbers, vbl_lua_set_*, vbl_lua_raise,
// vbl_lua_error, vbl_lua_collect, vbl_lua_check_{int,keys}, vbl_lua_nearest, vbl_lua_opt_*
#include "bindings/bind.h"

#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#define OWNED_META "vbl.owned"

void vbl_lua_document(lua_State *L, const char *module, const char *name, const char *signature, const char *help) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, VBL_LUA_HELP);
  size_t length = strlen(module);
  if (length == 0)
    lua_pushfstring(L, "vbl.%s", name);
  else
    lua_pushfstring(L, module[length - 1] == ':' ? "%s%s" : "%s.%s", module, name);
  lua_createtable(L, 0, 2);
  vbl_lua_set_string(L, "signature", signature);
  vbl_lua_set_string(L, "help", help);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

void vbl_lua_register(lua_State *L, const char *module, const vbl_fn *rows) {
  for (; rows->name != NULL; rows++) {
    lua_pushcfunction(L, rows->fn);
    lua_setfield(L, -2, rows->name);
    if (module != NULL) vbl_lua_document(L, module, rows->name, rows->signature, rows->help);
  }
}

void vbl_lua_class(lua_State *L, const char *meta, const char *module, const vbl_fn *methods, lua_CFunction end) {
  luaL_newmetatable(L, meta);
  lua_newtable(L);
  vbl_lua_register(L, module, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, end);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, end);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
}

typedef struct owned {
  void (*end)(void *);
  _Alignas(16) char memory[];
} owned;

void vbl_lua_disown(lua_State *L, int index) {
  owned *o = lua_touserdata(L, index);
  if (o->end) o->end(o->memory);
  o->end = NULL;
}

static int end_owned(lua_State *L) {
  vbl_lua_disown(L, 1);
  return 0;
}

void *vbl_lua_own(lua_State *L, size_t size, void (*end)(void *)) {
  owned *o = lua_newuserdatauv(L, sizeof *o + size, 0);
  memset(o, 0, sizeof *o + size);
  if (luaL_newmetatable(L, OWNED_META)) {
    lua_pushcfunction(L, end_owned);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  o->end = end;
  return o->memory;
}

int vbl_lua_push_numbers(lua_State *L, const double *numbers, int64_t count) {
  lua_createtable(L, count < INT_MAX ? (int)count : 0, 0);
  for (int64_t i = 0; i < count; i++) {
    lua_pushnumber(L, numbers[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

void vbl_lua_set_integer(lua_State *L, const char *field, int64_t value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, field);
}

void vbl_lua_set_number(lua_State *L, const char *field, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, field);
}

void vbl_lua_set_bool(lua_State *L, const char *field, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, field);
}

void vbl_lua_set_string(lua_State *L, const char *field, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, field);
}

// Pushes "script.lua:12: ", or "" where no Lua function is running.
static void push_where(lua_State *L) {
  lua_Debug frame, first = {.currentline = -1};
  for (int level = 0; lua_getstack(L, level, &frame); level++) {
    lua_getinfo(L, "Sl", &frame);
    if (frame.currentline <= 0) continue;
    if (strncmp(frame.source, "=vbl", 4) != 0) {
      lua_pushfstring(L, "%s:%d: ", frame.short_src, frame.currentline);
      return;
    }
    if (first.currentline < 0) first = frame;
  }
  if (first.currentline < 0)
    lua_pushliteral(L, "");
  else
    lua_pushfstring(L, "%s:%d: ", first.short_src, first.currentline);
}

int vbl_lua_raise(lua_State *L, const vbl_error *err) {
  push_where(L);
  lua_pushstring(L, err->message);
  lua_concat(L, 2);
  return lua_error(L);
}

int vbl_lua_error(lua_State *L, const char *format, ...) {
  push_where(L);
  va_list args;
  va_start(args, format);
  lua_pushvfstring(L, format, args);
  va_end(args);
  lua_concat(L, 2);
  return lua_error(L);
}

bool vbl_lua_collect(lua_State *L) {
  // Twice: the first finds dead objects and runs their finalisers, the second frees what only they kept.
  return lua_gc(L, LUA_GCCOLLECT) == 0 && lua_gc(L, LUA_GCCOLLECT) == 0;
}

// Levenshtein distance, case ignored; a word of more than 64 letters counts as far away.
static size_t edit_distance(const char *a, const char *b) {
  enum { MAX = 64 };
  size_t row[MAX + 1], na = strlen(a), nb = strlen(b);
  if (na > MAX || nb > MAX) return MAX;
  for (size_t j = 0; j <= nb; j++) row[j] = j;
  for (size_t i = 1; i <= na; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= nb; j++) {
      size_t change = diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
      diagonal = row[j];
      size_t insert = row[j - 1] + 1, erase = row[j] + 1;
      row[j] = change < insert ? change : insert;
      if (erase < row[j]) row[j] = erase;
    }
  }
  return row[nb];
}

const char *vbl_lua_nearest(const char *word, const char *const *choices) {
  const char *best = NULL;
  size_t limit = strlen(word) / 3 + 1, distance = limit + 1;
  for (; *choices != NULL; choices++) {
    size_t d = edit_distance(word, *choices);
    if (d < distance && d < strlen(*choices)) {
      distance = d;
      best = *choices;
    }
  }
  return best;
}

// The running C function's name as its caller wrote it.
static const char *function_name(lua_State *L) {
  lua_Debug frame;
  if (!lua_getstack(L, 0, &frame)) return "?";
  lua_getinfo(L, "n", &frame);
  return frame.name == NULL ? "?" : frame.name;
}

static int option_error(lua_State *L, const char *field, const char *expected) {
  return vbl_lua_error(L, "%s: option '%s': expected %s, got %s", function_name(L), field, expected, luaL_tolstring(L, -1, NULL));
}

// Pushes the field and returns true, or pushes nothing and returns false when the option is absent.
static bool get_option(lua_State *L, int arg, const char *field) {
  if (lua_isnoneornil(L, arg)) return false;
  luaL_checktype(L, arg, LUA_TTABLE);
  if (lua_getfield(L, arg, field) != LUA_TNIL) return true;
  lua_pop(L, 1);
  return false;
}

double vbl_lua_opt_number(lua_State *L, int arg, const char *field, double fallback) {
  if (!get_option(L, arg, field)) return fallback;
  if (lua_type(L, -1) != LUA_TNUMBER) option_error(L, field, "a number");
  double value = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return value;
}

int64_t vbl_lua_opt_integer(lua_State *L, int arg, const char *field, int64_t fallback) {
  if (!get_option(L, arg, field)) return fallback;
  int ok = 0;
  int64_t value = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &ok) : 0;
  if (!ok) option_error(L, field, "an integer");
  lua_pop(L, 1);
  return value;
}

static int to_int(lua_Integer v) { return v < INT_MIN ? INT_MIN : v > INT_MAX ? INT_MAX : (int)v; }

int vbl_lua_check_int(lua_State *L, int arg) { return to_int(luaL_checkinteger(L, arg)); }

int vbl_lua_opt_int(lua_State *L, int arg, const char *field, int fallback) {
  return to_int(vbl_lua_opt_integer(L, arg, field, fallback));
}

bool vbl_lua_opt_bool(lua_State *L, int arg, const char *field, bool fallback) {
  if (!get_option(L, arg, field)) return fallback;
  if (!lua_isboolean(L, -1)) option_error(L, field, "true or false");
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

const char *vbl_lua_opt_string(lua_State *L, int arg, const char *field, const char *fallback) {
  if (!get_option(L, arg, field)) return fallback;
  if (lua_type(L, -1) != LUA_TSTRING) option_error(L, field, "a string");
  const char *value = lua_tostring(L, -1);
  lua_pop(L, 1);
  return value;
}

static void add_list(luaL_Buffer *text, const char *const *words) {
  for (int i = 0; words[i] != NULL; i++) {
    if (i > 0) luaL_addstring(text, ", ");
    luaL_addstring(text, words[i]);
  }
}

// Raises "<what> 'word' (did you mean 'x'? known: a, b, c)".
static int unknown_word(lua_State *L, const char *what, const char *word, const char *const *known) {
  const char *near = vbl_lua_nearest(word, known);
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  if (near != NULL) {
    lua_pushfstring(L, "did you mean '%s'? ", near);
    luaL_addvalue(&text);
  }
  luaL_addstring(&text, known[0] == NULL ? "none is known" : "known: ");
  add_list(&text, known);
  luaL_pushresult(&text);
  return vbl_lua_error(L, "%s: %s '%s' (%s)", function_name(L), what, word, lua_tostring(L, -1));
}

int vbl_lua_opt_choice(lua_State *L, int arg, const char *field, const char *const *choices, int fallback) {
  const char *value = vbl_lua_opt_string(L, arg, field, NULL);
  if (value == NULL) return fallback;
  for (int i = 0; choices[i] != NULL; i++)
    if (strcmp(value, choices[i]) == 0) return i;
  lua_pushfstring(L, "option '%s' has no choice", field);
  return unknown_word(L, lua_tostring(L, -1), value, choices);
}

void vbl_lua_check_keys(lua_State *L, int arg, const char *const *known) {
  if (lua_isnoneornil(L, arg)) return;
  luaL_checktype(L, arg, LUA_TTABLE);
  arg = lua_absindex(L, arg);
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      vbl_lua_error(L, "%s: options are named fields {name = value}, got key [%s]", function_name(L), luaL_tolstring(L, -2, NULL));
    const char *key = lua_tostring(L, -2);
    int i = 0;
    while (known[i] != NULL && strcmp(known[i], key) != 0) i++;
    if (known[i] == NULL) unknown_word(L, "no option", key, known);
  }
}
