// "vbl.data.c": json_each, large JSON files element by element (yajl): memory holds one element at a time.
// defines: vbl_lua_data_json
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yajl/yajl_parse.h>

#include "bindings/data.h"
#include "core/base/interrupt.h"
#include "core/store/file.h"

#define READER_META "json reader"

enum { CHUNK = 256 << 10, MAX_DEPTH = 64, KEYS = 2, FUNCTION = 3 };  // stack places of json_each's arguments

// The file is one object, of which some members are wanted, or one array. depth counts open brackets. An element is being built
// while `building` is above 0: the values of its open containers lie on Lua's stack, `next` holds the next index of arrays (0: an
// object, whose key lies on the stack above it).
typedef struct reader {
  lua_State *L;
  FILE *file;
  yajl_handle yajl;
  unsigned char *chunk;
  int depth, building, top;
  bool in_array;      // of the wanted member's elements (or the file's, when it is an array)
  int array_depth;    // the depth within that array
  bool wanted;        // the member that the last key of the outer object named
  char key[64];       // its name
  lua_Integer count;  // elements of the array so far
  lua_Integer next[MAX_DEPTH];
  bool too_deep;
} reader;

static int reader_gc(lua_State *L) {
  reader *r = luaL_checkudata(L, 1, READER_META);
  if (r->yajl != NULL) yajl_free(r->yajl);
  if (r->file != NULL) fclose(r->file);
  free(r->chunk);
  *r = (reader){0};
  return 0;
}

// Whether a value that begins now is one to build or belongs to one.
static bool takes(const reader *r) {
  if (r->building > 0) return true;
  if (r->in_array) return r->depth == r->array_depth;
  return r->depth == 1 && r->wanted;
}

// A whole element lies on the stack's top: it goes to the function.
static void deliver(reader *r) {
  lua_State *L = r->L;
  lua_pushvalue(L, FUNCTION);
  lua_pushstring(L, r->key);
  lua_pushvalue(L, -3);
  lua_pushinteger(L, r->in_array ? ++r->count : 0);
  lua_call(L, 3, 0);
  lua_pop(L, 1);
  if (!r->in_array) r->wanted = false;
}

// A value lies on the stack's top: it goes into its container, or out.
static int place_value(reader *r) {
  lua_State *L = r->L;
  if (r->building == 0) {
    deliver(r);
    return 1;
  }
  lua_Integer *next = &r->next[r->building - 1];
  if (*next > 0)
    lua_rawseti(L, -2, (*next)++);
  else
    lua_rawset(L, -3);
  return 1;
}

static int on_null(void *self) {
  reader *r = self;
  if (!takes(r)) return 1;
  lua_pushnil(r->L);
  return place_value(r);
}

static int on_boolean(void *self, int value) {
  reader *r = self;
  if (!takes(r)) return 1;
  lua_pushboolean(r->L, value);
  return place_value(r);
}

static int on_number(void *self, const char *text, size_t n) {
  reader *r = self;
  if (!takes(r)) return 1;
  if (lua_stringtonumber(r->L, lua_pushlstring(r->L, text, n)) == 0) lua_pushnumber(r->L, 0);
  lua_remove(r->L, -2);
  return place_value(r);
}

static int on_string(void *self, const unsigned char *text, size_t n) {
  reader *r = self;
  if (!takes(r)) return 1;
  lua_pushlstring(r->L, (const char *)text, n);
  return place_value(r);
}

static int open_container(reader *r, lua_Integer first) {
  bool taken = takes(r);
  r->depth++;
  if (!taken) return 1;
  if (r->building == 0 && !r->in_array && first > 0) {  // the wanted member is an array: its elements are delivered
    r->in_array = true;
    r->array_depth = r->depth;
    r->count = 0;
    return 1;
  }
  if (r->building == MAX_DEPTH) {
    r->too_deep = true;
    return 0;
  }
  luaL_checkstack(r->L, 4, "deep JSON");
  lua_newtable(r->L);
  r->next[r->building++] = first;
  return 1;
}

static int close_container(reader *r) {
  r->depth--;
  if (r->building > 0) {
    r->building--;
    return place_value(r);
  }
  if (r->in_array && r->depth < r->array_depth) r->in_array = r->wanted = false;
  return 1;
}

static int on_start_map(void *self) { return open_container(self, 0); }
static int on_end(void *self) { return close_container(self); }

static int on_start_array(void *self) {
  reader *r = self;
  if (r->depth > 0) return open_container(r, 1);
  r->depth = r->array_depth = 1;  // the file is an array
  r->in_array = true;
  return 1;
}

static int on_key(void *self, const unsigned char *text, size_t n) {
  reader *r = self;
  if (r->building > 0) {
    lua_pushlstring(r->L, (const char *)text, n);
    return 1;
  }
  if (r->depth != 1 || r->in_array) return 1;
  snprintf(r->key, sizeof r->key, "%.*s", (int)(n < 63 ? n : 63), (const char *)text);
  r->wanted = lua_getfield(r->L, KEYS, r->key) != LUA_TNIL;
  lua_pop(r->L, 1);
  return 1;
}

static int refuse(lua_State *L, reader *r, const char *path, long long base, size_t n) {
  if (r->too_deep) return vbl_lua_error(L, "%s: deeper than %d levels", path, MAX_DEPTH);
  unsigned char *text = yajl_get_error(r->yajl, 0, r->chunk, n);
  lua_pushstring(L, text == NULL ? "no JSON" : (const char *)text);
  yajl_free_error(r->yajl, text);
  long long at = base + (long long)yajl_get_bytes_consumed(r->yajl);
  const char *why = luaL_gsub(L, lua_tostring(L, -1), "\n", "");
  return vbl_lua_error(L, "%s: byte %I: %s", path, (LUAI_UACINT)at, why);
}

static void start(lua_State *L, reader *r, const char *path) {
  static const yajl_callbacks callbacks = {on_null,      on_boolean, NULL,   NULL,           on_number, on_string,
                                           on_start_map, on_key,     on_end, on_start_array, on_end};
  r->L = L;
  int fd;
  size_t size;
  vbl_error err;
  if (vbl_file_open(path, &fd, &size, &err) != VBL_OK) vbl_lua_raise(L, &err);
  r->file = fdopen(fd, "rb");
  if (r->file == NULL) {
    close(fd);
    vbl_lua_error(L, "%s: %s", path, strerror(errno));
  }
  r->chunk = malloc(CHUNK);
  r->yajl = yajl_alloc(&callbacks, NULL, r);
  if (r->chunk == NULL || r->yajl == NULL) vbl_lua_error(L, "%s: out of memory", path);
}

static int json_each(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  luaL_checktype(L, KEYS, LUA_TTABLE);
  luaL_checktype(L, FUNCTION, LUA_TFUNCTION);
  lua_settop(L, FUNCTION);
  reader *r = lua_newuserdatauv(L, sizeof *r, 0);
  *r = (reader){0};
  luaL_setmetatable(L, READER_META);
  start(L, r, path);
  long long base = 0;
  for (size_t n; (n = fread(r->chunk, 1, CHUNK, r->file)) > 0; base += (long long)n) {
    VBL_LUA_TRY(L, vbl_interrupt_check(&err));
    if (yajl_parse(r->yajl, r->chunk, n) != yajl_status_ok) return refuse(L, r, path, base, n);
  }
  if (ferror(r->file)) vbl_lua_error(L, "%s: %s", path, strerror(errno));
  if (yajl_complete_parse(r->yajl) != yajl_status_ok)
    vbl_lua_error(L, "%s: the JSON is cut off after %I bytes", path, (LUAI_UACINT)base);
  lua_replace(L, 1);
  return reader_gc(L);
}

static const vbl_fn functions[] = {
    {"json_each", json_each, "json_each(path, {key = true, ...}, fn)",
     "Calls fn(key, value, number) for each element of the arrays that the file's object has under these keys (number 0: the "
     "member is "
     "no array), or, with the key \"\", of the array that the file is. null is nil. Memory holds one element at a time."},
    {NULL, NULL, NULL, NULL}};

void vbl_lua_data_json(lua_State *L) {
  luaL_newmetatable(L, READER_META);
  lua_pushcfunction(L, reader_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  vbl_lua_register(L, "data", functions);
}
