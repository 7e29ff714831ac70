// JSON <-> Lua. Objects are tables with string keys, arrays tables 1..n; a table without elements is an object unless it came from
// json_decode as an empty array. null is store.null, so that it survives a round trip. Integers stay integers, doubles doubles.
// defines: vbl_json_rows
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/store.h"
#include "core/store/json.h"

#define EMPTY_ARRAY_META "vbl.store.empty_array"

// ---- writing

typedef struct writer {
  lua_State *L;
  char **data;  // owned by a userdata on the stack
  size_t size, room;
  int indent;        // spaces a level; -1: one line
  int order;         // stack index of the list of keys that come first, or 0
  bool nan_strings;  // NaN and infinities as "NaN", "Infinity", "-Infinity"
} writer;

// Where a value is, for errors: key or index, and what holds it.
typedef struct place {
  const struct place *parent;
  const char *key;
  lua_Integer index;
  int depth;
} place;

static void end_text(void *p) { free(*(char **)p); }

static char *grow(writer *w, size_t n) {
  if (w->room - w->size < n) {
    size_t room = 2 * w->room + n + 256;
    char *grown = realloc(*w->data, room);
    if (!grown) luaL_error(w->L, "json_encode: not enough memory");
    *w->data = grown;
    w->room = room;
  }
  char *p = *w->data + w->size;
  w->size += n;
  return p;
}

static void put(writer *w, const char *text) { memcpy(grow(w, strlen(text)), text, strlen(text)); }

static void push_place(lua_State *L, const place *p) {
  if (!p || !p->parent) {
    lua_pushliteral(L, "value");
    return;
  }
  push_place(L, p->parent);
  if (p->key)
    lua_pushfstring(L, ".%s", p->key);
  else
    lua_pushfstring(L, "[%I]", p->index);
  lua_concat(L, 2);
}

static int refuse(writer *w, const place *p, const char *what) {
  push_place(w->L, p);
  return vbl_lua_error(w->L, "json_encode: %s: %s", lua_tostring(w->L, -1), what);
}

static void put_string(writer *w, const char *text, size_t n, const place *p) {
  size_t size = vbl_json_quoted_size(text, n);
  if (size == 0) refuse(w, p, "the string is not UTF-8");
  vbl_json_quote(text, n, grow(w, size));
}

static void put_number(writer *w, const place *p) {
  char buf[VBL_JSON_NUMBER_TEXT];
  if (lua_isinteger(w->L, -1)) {
    vbl_json_integer(lua_tointeger(w->L, -1), buf);
    put(w, buf);
    return;
  }
  double x = lua_tonumber(w->L, -1);
  if (vbl_json_number(x, buf) > 0)
    put(w, buf);
  else if (!w->nan_strings)
    refuse(w, p, "NaN and infinities have no JSON form (option nan = \"string\" writes them as strings)");
  else
    put(w, isnan(x) ? "\"NaN\"" : x > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

static void put_break(writer *w, int depth) {
  if (w->indent < 0) return;
  size_t n = (size_t)depth * (size_t)w->indent;
  char *p = grow(w, n + 1);
  *p = '\n';
  memset(p + 1, ' ', n);
}

static void put_value(writer *w, const place *p);

static void put_array(writer *w, lua_Integer n, const place *p) {
  put(w, "[");
  for (lua_Integer i = 1; i <= n; i++) {
    place child = {p, NULL, i, p->depth + 1};
    if (i > 1) put(w, w->indent < 0 ? "," : ", ");
    lua_rawgeti(w->L, -1, i);
    put_value(w, &child);
    lua_pop(w->L, 1);
  }
  put(w, "]");
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static void put_member(writer *w, const char *key, bool first, const place *p) {
  place child = {p, key, 0, p->depth + 1};
  if (!first) put(w, ",");
  put_break(w, child.depth);
  put_string(w, key, strlen(key), &child);
  put(w, w->indent < 0 ? ":" : ": ");
  lua_getfield(w->L, -1, key);
  put_value(w, &child);
  lua_pop(w->L, 1);
}

static bool in_order(writer *w, const char *key) {
  lua_Integer n = w->order ? (lua_Integer)lua_rawlen(w->L, w->order) : 0;
  bool found = false;
  for (lua_Integer i = 1; i <= n && !found; i++) {
    lua_rawgeti(w->L, w->order, i);
    found = lua_type(w->L, -1) == LUA_TSTRING && strcmp(lua_tostring(w->L, -1), key) == 0;
    lua_pop(w->L, 1);
  }
  return found;
}

// The table is at the top; count = its keys. The array of names is a userdata above it while it is read, then below by a swap.
static void put_object(writer *w, size_t count, const place *p) {
  lua_State *L = w->L;
  const char **names = lua_newuserdatauv(L, (count + 1) * sizeof *names, 0);
  size_t n = 0;
  bool first = true;
  lua_insert(L, -2);
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING) refuse(w, p, "a table with keys that are neither 1..n nor all strings");
    names[n] = lua_tostring(L, -1);
    if (strlen(names[n]) != lua_rawlen(L, -1)) refuse(w, p, "a key with a NUL inside");
    if (!in_order(w, names[n])) n++;
  }
  qsort(names, n, sizeof *names, by_text);
  put(w, "{");
  lua_Integer ordered = w->order ? (lua_Integer)lua_rawlen(L, w->order) : 0;
  for (lua_Integer i = 1; i <= ordered; i++) {
    lua_rawgeti(L, w->order, i);
    lua_pushvalue(L, -1);
    bool has = lua_rawget(L, -3) != LUA_TNIL;
    const char *key = lua_tostring(L, -2);  // stays alive in the list
    lua_pop(L, 2);
    if (!has) continue;
    put_member(w, key, first, p);
    first = false;
  }
  for (size_t i = 0; i < n; i++, first = false) put_member(w, names[i], first, p);
  if (!first) put_break(w, p->depth);
  put(w, "}");
  lua_remove(L, -2);
}

// Whether the table at the top, of `count` keys, is 1..count; without keys: whether it was read as an empty array.
static bool is_array(lua_State *L, lua_Integer count) {
  if (count == 0) {
    bool marked = luaL_getmetafield(L, -1, "vbl_array") != LUA_TNIL;
    if (marked) lua_pop(L, 1);
    return marked;
  }
  for (lua_Integer i = 1; i <= count; i++) {
    bool missing = lua_rawgeti(L, -1, i) == LUA_TNIL;
    lua_pop(L, 1);
    if (missing) return false;
  }
  return true;
}

static void put_table(writer *w, const place *p) {
  lua_Integer count = 0;
  if (p->depth >= VBL_JSON_DEPTH) refuse(w, p, "nested too deep (a table that holds itself?)");
  luaL_checkstack(w->L, 8, "json_encode");
  for (lua_pushnil(w->L); lua_next(w->L, -2); lua_pop(w->L, 1)) count++;
  if (is_array(w->L, count))
    put_array(w, count, p);
  else
    put_object(w, (size_t)count, p);
}

static void put_value(writer *w, const place *p) {
  size_t n;
  const char *text;
  switch (lua_type(w->L, -1)) {
    case LUA_TBOOLEAN:
      put(w, lua_toboolean(w->L, -1) ? "true" : "false");
      break;
    case LUA_TNUMBER:
      put_number(w, p);
      break;
    case LUA_TSTRING:
      text = lua_tolstring(w->L, -1, &n);
      put_string(w, text, n, p);
      break;
    case LUA_TTABLE:
      put_table(w, p);
      break;
    case LUA_TLIGHTUSERDATA:
      if (!lua_touserdata(w->L, -1)) {
        put(w, "null");
        break;
      }  // fall through
    default:
      refuse(w, p, lua_pushfstring(w->L, "a %s has no JSON form", luaL_typename(w->L, -1)));
  }
}

static int json_encode(lua_State *L) {
  static const char *const known[] = {"indent", "order", "nan", NULL}, *const nans[] = {"refuse", "string", NULL};
  luaL_checkany(L, 1);
  lua_settop(L, 2);
  vbl_lua_check_keys(L, 2, known);
  writer w = {.L = L, .indent = vbl_lua_opt_int(L, 2, "indent", -1), .nan_strings = vbl_lua_opt_choice(L, 2, "nan", nans, 0) == 1};
  if (lua_istable(L, 2) && lua_getfield(L, 2, "order") == LUA_TTABLE) w.order = lua_gettop(L);
  w.data = vbl_lua_own(L, sizeof *w.data, end_text);
  int text = lua_gettop(L);
  place root = {0};
  lua_pushvalue(L, 1);
  put_value(&w, &root);
  if (w.indent >= 0) put(&w, "\n");
  lua_pushlstring(L, *w.data, w.size);
  vbl_lua_disown(L, text);
  return 1;
}

// ---- reading

typedef struct reader {
  lua_State *L;
  const char *where;
  bool nan_strings;
} reader;

static void push_json(reader *r, const vbl_json *v);

static void push_object(reader *r, const vbl_json *v) {
  lua_State *L = r->L;
  lua_createtable(L, 0, v->size < 1 << 20 ? (int)v->size : 0);
  for (const vbl_json *c = v->child; c; c = c->next) {
    lua_pushstring(L, c->key);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) != LUA_TNIL) vbl_lua_error(L, "%s:%d: key \"%s\" appears twice", r->where, (int)c->line, c->key);
    lua_pop(L, 1);
    push_json(r, c);
    lua_rawset(L, -3);
  }
}

static void push_array(reader *r, const vbl_json *v) {
  lua_Integer i = 0;
  lua_createtable(r->L, v->size < 1 << 24 ? (int)v->size : 0, 0);
  for (const vbl_json *c = v->child; c; c = c->next) {
    push_json(r, c);
    lua_rawseti(r->L, -2, ++i);
  }
  if (i > 0) return;
  if (luaL_newmetatable(r->L, EMPTY_ARRAY_META)) {
    lua_pushboolean(r->L, true);
    lua_setfield(r->L, -2, "vbl_array");
  }
  lua_setmetatable(r->L, -2);
}

static void push_string(reader *r, const vbl_json *v) {
  if (r->nan_strings && strcmp(v->text, "NaN") == 0)
    lua_pushnumber(r->L, NAN);
  else if (r->nan_strings && strcmp(v->text, "Infinity") == 0)
    lua_pushnumber(r->L, HUGE_VAL);
  else if (r->nan_strings && strcmp(v->text, "-Infinity") == 0)
    lua_pushnumber(r->L, -HUGE_VAL);
  else
    lua_pushlstring(r->L, v->text, v->size);
}

static void push_json(reader *r, const vbl_json *v) {
  luaL_checkstack(r->L, 6, "json_decode");
  switch (v->type) {
    case VBL_JSON_NULL:
      lua_pushlightuserdata(r->L, NULL);
      break;
    case VBL_JSON_FALSE:
    case VBL_JSON_TRUE:
      lua_pushboolean(r->L, v->type == VBL_JSON_TRUE);
      break;
    case VBL_JSON_INTEGER:
      lua_pushinteger(r->L, v->integer);
      break;
    case VBL_JSON_DOUBLE:
      lua_pushnumber(r->L, v->number);
      break;
    case VBL_JSON_STRING:
      push_string(r, v);
      break;
    case VBL_JSON_ARRAY:
      push_array(r, v);
      break;
    case VBL_JSON_OBJECT:
      push_object(r, v);
      break;
  }
}

static void end_json(void *p) { vbl_json_free(*(vbl_json **)p); }

static int json_decode(lua_State *L) {
  static const char *const known[] = {"where", "nan", NULL}, *const nans[] = {"keep", "string", NULL};
  size_t n;
  const char *text = luaL_checklstring(L, 1, &n);
  vbl_lua_check_keys(L, 2, known);
  reader r = {L, vbl_lua_opt_string(L, 2, "where", "json"), vbl_lua_opt_choice(L, 2, "nan", nans, 0) == 1};
  vbl_json **root = vbl_lua_own(L, sizeof *root, end_json);
  int tree = lua_gettop(L);
  VBL_LUA_TRY(L, vbl_json_parse(text, n, r.where, root, &err));
  push_json(&r, *root);
  vbl_lua_disown(L, tree);
  return 1;
}

const vbl_fn vbl_json_rows[] = {
    {"json_encode", json_encode, "json_encode(value, [opts]) -> string",
     "indent: spaces a level (default: one line). order: keys that come first, the rest is sorted. nan: 'refuse' (default) or "
     "'string' (\"NaN\", "
     "\"Infinity\", \"-Infinity\"). A table without elements is {}; other tables are arrays 1..n or have string keys; else an "
     "error."},
    {"json_decode", json_decode, "json_decode(text, [opts]) -> value",
     "where: the source's name in errors. nan: 'string' turns the strings of json_encode's option back into numbers. null is "
     "store.null. A key that appears twice is an error."},
    {NULL, NULL, NULL, NULL}};
