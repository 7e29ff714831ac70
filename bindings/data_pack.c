// Packing, and opening what was packed. The manifest is lua/vbl/data/packed.lua's.
// defines: vbl_lua_pack, vbl_lua_packed, vbl_lua_undecodable, vbl_lua_data_pack
#include <stdlib.h>
#include <string.h>

#include "bindings/data.h"

#define PACKER_META "packer"

typedef struct packer {
  vbl_packer *p;
} packer;

static packer *check_packer(lua_State *L) { return luaL_checkudata(L, 1, PACKER_META); }

static int packer_release(lua_State *L) {
  packer *w = check_packer(L);
  vbl_packer *taken = w->p;
  w->p = NULL;
  vbl_packer_free(taken);
  return 0;
}

static int packer_wait(lua_State *L) {
  packer *w = check_packer(L);
  bool finished;
  int64_t done, kept;
  vbl_error err;
  if (w->p == NULL) vbl_lua_error(L, "the packer was released");
  if (vbl_packer_wait(w->p, luaL_checknumber(L, 2), &finished, &done, &kept, &err) != VBL_OK) return vbl_lua_raise(L, &err);
  lua_pushboolean(L, finished);
  lua_pushinteger(L, done);
  lua_pushinteger(L, kept);
  return 3;
}

// A hash as text of 16 hexadecimal digits.
static uint64_t check_hash(lua_State *L, int arg) {
  char *end;
  const char *text = luaL_checkstring(L, arg);
  uint64_t h = strtoull(text, &end, 16);
  luaL_argcheck(L, strlen(text) == 16 && *end == 0, arg, "expected 16 hexadecimal digits");
  return h;
}

int vbl_lua_pack(lua_State *L) {
  vbl_lua_data_set *d = vbl_lua_check_data_set(L, 1);
  const char *folder = luaL_checkstring(L, 2);
  uint64_t identity = check_hash(L, 3);
  lua_Integer shard = luaL_checkinteger(L, 4), threads = luaL_checkinteger(L, 5);
  if (shard < 1 || shard > INT32_MAX) vbl_lua_error(L, "pack: shard = %I; expected at least 1", (LUAI_UACINT)shard);
  if (threads < 1 || threads > 256) vbl_lua_error(L, "pack: threads = %I; expected 1 to 256", (LUAI_UACINT)threads);
  packer *w = lua_newuserdatauv(L, sizeof *w, 1);
  w->p = NULL;
  luaL_setmetatable(L, PACKER_META);
  lua_pushvalue(L, 1);  // the source lives as long as the packer
  lua_setiuservalue(L, -2, 1);
  VBL_LUA_TRY(L, vbl_packer_new(d->source, folder, identity, (int32_t)shard, d->bad.allowed, (int)threads, &w->p, &err));
  return 1;
}

// Field `key` of the table at `arg` as a list of strings, which the table keeps; the array is the interpreter's (pushed).
static const char *const *string_list(lua_State *L, int arg, const char *key, int32_t *n) {
  lua_getfield(L, arg, key);
  if (!lua_istable(L, -1)) vbl_lua_error(L, "packed: %s: expected a list", key);
  lua_Integer length = luaL_len(L, -1);
  if (length < 0 || length > 1 << 20) vbl_lua_error(L, "packed: %s: too long a list", key);
  const char **list = lua_newuserdatauv(L, ((size_t)length + 1) * sizeof *list, 0);
  for (lua_Integer i = 0; i < length; i++) {
    // A split is a table with its name.
    if (lua_rawgeti(L, -2, i + 1) == LUA_TTABLE) lua_getfield(L, -1, "name"), lua_remove(L, -2);
    if (lua_type(L, -1) != LUA_TSTRING) vbl_lua_error(L, "packed: %s: expected names", key);
    list[i] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  *n = (int32_t)length;
  return (const char *const *)list;
}

static int32_t field(lua_State *L, int arg, const char *key) {
  int64_t v = vbl_lua_opt_integer(L, arg, key, -1);
  if (v < 0 || v > INT32_MAX) vbl_lua_error(L, "packed: %s = %I; expected 0 to 2^31 - 1", key, (LUAI_UACINT)v);
  return (int32_t)v;
}

static vbl_status fill(vbl_lua_data_set *d, const vbl_packed_options *o, int64_t allowed, vbl_error *err) {
  VBL_TRY(vbl_packed_open(o, &d->packed, err));
  d->source = &d->packed->source;
  return vbl_bad_images_init(&d->bad, d->source, allowed, err);
}

int vbl_lua_packed(lua_State *L) {
  static const char *const kinds[] = {"none", "class", "multi", "soft", NULL};
  vbl_packed_options o = {.folder = luaL_checkstring(L, 1), .identity = check_hash(L, 2)};
  luaL_checktype(L, 3, LUA_TTABLE);
  o.samples = field(L, 3, "samples");
  o.shard_samples = field(L, 3, "shard");
  o.max_tokens = field(L, 3, "max_tokens");
  o.image_size = field(L, 3, "image");
  o.label_kind = (vbl_label_kind)vbl_lua_opt_choice(L, 3, "labels", kinds, 0);
  o.class_name = string_list(L, 3, "classes", &o.classes);
  o.split_name = string_list(L, 3, "splits", &o.splits);
  o.hash = vbl_lua_opt_string(L, 3, "hash", "");
  o.notes = vbl_lua_opt_string(L, 3, "notes", "");
  o.bad_records = vbl_lua_opt_integer(L, 3, "bad_records", 0);
  o.absent = vbl_lua_opt_integer(L, 3, "absent", 0);
  o.bad_images = vbl_lua_opt_integer(L, 3, "bad_images", 0);
  o.truncated = vbl_lua_opt_integer(L, 3, "truncated", 0);
  int64_t allowed = field(L, 3, "max_bad");
  vbl_lua_data_set *d = vbl_lua_new_data_set(L);
  VBL_LUA_TRY(L, (vbl_lua_clear_data_set(d), fill(d, &o, allowed, &err)));
  return 1;
}

int vbl_lua_undecodable(lua_State *L) {
  const vbl_lua_data_set *d = vbl_lua_check_data_set(L, 1);
  lua_newtable(L);
  for (int32_t i = 0; d->packed != NULL && i < d->source->samples; i++) {
    size_t n;
    const char *why = vbl_packed_why(d->packed, i, &n);
    vbl_bytes id = {0};
    if (n == 0) continue;
    lua_createtable(L, 0, 2);
    lua_pushlstring(L, why, n);
    lua_setfield(L, -2, "why");
    VBL_LUA_TRY(L, d->source->id(d->source->self, i, &id, &err));
    lua_pushlstring(L, (const char *)id.data, id.size);
    vbl_bytes_free(&id);
    lua_setfield(L, -2, "id");
    lua_rawseti(L, -2, luaL_len(L, -2) + 1);
  }
  return 1;
}

static const vbl_fn methods[] = {
    {"wait", packer_wait, "packer:wait(seconds) -> finished, samples done, of which kept", "Waits for the end, at most that long."},
    {"release", packer_release, "packer:release()", "Stops; shards that are whole stay."},
    {NULL, NULL, NULL, NULL}};

void vbl_lua_data_pack(lua_State *L) { vbl_lua_class(L, PACKER_META, "packer:", methods, packer_release); }
