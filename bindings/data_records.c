// "vbl.data.c", what readers in Lua fill a data set with: a builder of records, and archives and large JSON files read piece by piece.
// defines: vbl_lua_data_records
#include <stdio.h>
#include <string.h>

#include "bindings/data.h"
#include "core/data/hdf5_images.h"
#include "core/data/tar.h"
#include "core/data/url_rows.h"

#define BUILDER_META "records"
#define TAR_META     "tar archive"

typedef struct builder {
  vbl_records *r;
  char where[512];  // the file that rows come from
} builder;

static builder *check_builder(lua_State *L) {
  builder *b = luaL_checkudata(L, 1, BUILDER_META);
  if (b->r == NULL) vbl_lua_error(L, "the records are finished");
  return b;
}

static int builder_gc(lua_State *L) {
  builder *b = luaL_checkudata(L, 1, BUILDER_META);
  vbl_records_free(b->r);
  b->r = NULL;
  return 0;
}

static int new_builder(lua_State *L) {
  const char *folder = luaL_checkstring(L, 1);
  vbl_records_options o = vbl_lua_records_options(L, 2);
  builder *b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (builder){0};
  luaL_setmetatable(L, BUILDER_META);
  VBL_LUA_TRY(L, vbl_records_new(folder, &o, &b->r, &err));
  return 1;
}

static int builder_file(lua_State *L) {
  snprintf(check_builder(L)->where, sizeof(builder){0}.where, "%s", luaL_checkstring(L, 2));
  return 0;
}

static int builder_unit(lua_State *L) {
  static const char *const units[] = {"records", "lines", "captions", "questions", "samples", "movies", NULL};
  check_builder(L)->r->unit = units[luaL_checkoption(L, 2, NULL, units)];
  return 0;
}

static int builder_classes(lua_State *L) {
  static const char *const kinds[] = {"class", "multi", "soft", NULL};
  static const vbl_label_kind kind[] = {VBL_LABEL_CLASS, VBL_LABEL_MULTI, VBL_LABEL_SOFT};
  builder *b = check_builder(L);
  int k = luaL_checkoption(L, 2, NULL, kinds);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_Integer n = luaL_len(L, 3);
  if (n < 1 || n > 10000000) vbl_lua_error(L, "classes: %I names; expected 1 to 10^7", (LUAI_UACINT)n);
  const char **names = lua_newuserdatauv(L, (size_t)n * sizeof *names, 0);
  for (lua_Integer i = 1; i <= n; i++) {
    if (lua_rawgeti(L, 3, i) != LUA_TSTRING) vbl_lua_error(L, "classes: name %I is no string", (LUAI_UACINT)i);
    names[i - 1] = lua_tostring(L, -1);  // the table holds it
    lua_pop(L, 1);
  }
  VBL_LUA_TRY(L, vbl_records_classes(b->r, kind[k], names, (int32_t)n, &err));
  return 0;
}

static int builder_archive(lua_State *L) {
  builder *b = check_builder(L);
  int32_t number;
  VBL_LUA_TRY(L, vbl_records_archive(b->r, luaL_checkstring(L, 2), &number, &err));
  lua_pushinteger(L, number);
  return 1;
}

static int builder_archive_of(lua_State *L) {
  int32_t number = vbl_records_archive_of(check_builder(L)->r, luaL_checkstring(L, 2));
  if (number < 0) return 0;
  lua_pushinteger(L, number);
  return 1;
}

static void place(const builder *b, lua_State *L, int arg, char where[640]) {
  if (lua_isinteger(L, arg))
    snprintf(where, 640, "%s:%lld", b->where, (long long)lua_tointeger(L, arg));
  else if (b->where[0] == 0)
    snprintf(where, 640, "%s", luaL_checkstring(L, arg));
  else
    snprintf(where, 640, "%s: %s", b->where, luaL_checkstring(L, arg));
}

enum { SMALL_LABEL = 64 };

typedef struct label_room {
  int32_t index[SMALL_LABEL];
  float weight[SMALL_LABEL];
} label_room;

// A number, a list of numbers, or for soft labels {class, weight, class, weight, ...}; made rising, without doubles.
static vbl_label read_label(lua_State *L, int arg, bool soft, label_room *room) {
  vbl_label label = {-1, room->index, soft ? room->weight : NULL};
  if (lua_isnoneornil(L, arg)) return label;
  label.n = 0;
  if (!lua_istable(L, arg)) {
    room->index[0] = vbl_lua_check_int(L, arg);
    label.n = 1;
    return label;
  }
  lua_Integer n = luaL_len(L, arg), step = soft ? 2 : 1;
  if (n < 0 || n > SMALL_LABEL * step) vbl_lua_error(L, "a label of %I classes; at most %d", (LUAI_UACINT)(n / step), SMALL_LABEL);
  for (lua_Integer i = 1; i <= n; i += step) {
    lua_rawgeti(L, arg, i);
    lua_rawgeti(L, arg, i + 1);
    int32_t index = vbl_lua_check_int(L, -2), at = label.n;
    float weight = soft ? (float)luaL_checknumber(L, -1) : 1;
    lua_pop(L, 2);
    while (at > 0 && room->index[at - 1] > index) at--;
    if (at > 0 && room->index[at - 1] == index) continue;
    memmove(room->index + at + 1, room->index + at, (size_t)(label.n - at) * sizeof *room->index);
    memmove(room->weight + at + 1, room->weight + at, (size_t)(label.n - at) * sizeof *room->weight);
    room->index[at] = index;
    room->weight[at] = weight;
    label.n++;
  }
  return label;
}

// where, id, split or nil, image, text, label or nil, archive or nil, offset, bytes
static int add(lua_State *L, bool append) {
  builder *b = check_builder(L);
  char where[640];
  label_room room;
  size_t bytes;
  place(b, L, 2, where);
  vbl_record record = {.id = luaL_checkstring(L, 3),
                       .split = luaL_optstring(L, 4, NULL),
                       .image = luaL_checkstring(L, 5),
                       .archive = lua_isnoneornil(L, 8) ? -1 : vbl_lua_check_int(L, 8),
                       .offset = luaL_optinteger(L, 9, 0),
                       .bytes = luaL_optinteger(L, 10, 0),
                       .label = read_label(L, 7, b->r->source.label_kind == VBL_LABEL_SOFT, &room),
                       .append = append};
  const char *text = luaL_checklstring(L, 6, &bytes);
  VBL_LUA_TRY(L, vbl_records_add(b->r, where, &record, text, bytes, &err));
  return 0;
}

static int builder_add(lua_State *L) { return add(L, false); }
static int builder_append(lua_State *L) { return add(L, true); }

static int builder_skip(lua_State *L) {
  builder *b = check_builder(L);
  char where[640];
  place(b, L, 2, where);
  VBL_LUA_TRY(L, vbl_records_skip(b->r, where, luaL_checkstring(L, 3), &err));
  return 0;
}

static int builder_absent(lua_State *L) {
  builder *b = check_builder(L);
  char where[640];
  place(b, L, 2, where);
  VBL_LUA_TRY(L, vbl_records_absent(b->r, where, luaL_checkstring(L, 3), &err));
  return 0;
}

// path, split, images, url_first
static int builder_urls(lua_State *L) {
  builder *b = check_builder(L);
  vbl_url_rows rows = {luaL_checkstring(L, 2), luaL_checkstring(L, 3), luaL_checkstring(L, 4), lua_toboolean(L, 5)};
  VBL_LUA_TRY(L, vbl_records_add_urls(b->r, &rows, &err));
  return 0;
}

static int builder_note(lua_State *L) {
  builder *b = check_builder(L);
  VBL_LUA_TRY(L, vbl_records_note(b->r, &err, "%s", luaL_checkstring(L, 2)));
  return 0;
}

// Out of memory is final here: half of the steps may have been done.
static int builder_finish(lua_State *L) {
  builder *b = check_builder(L);
  const char *name = luaL_checkstring(L, 2);
  vbl_error err;
  if (vbl_records_finish(b->r, name, &err) != VBL_OK) return vbl_lua_raise(L, &err);
  vbl_lua_data_set *d = vbl_lua_new_data_set(L);
  vbl_records *r = b->r;
  b->r = NULL;
  if (vbl_lua_fill_records(d, r, &err) != VBL_OK) return vbl_lua_raise(L, &err);
  return 1;
}

// --- archives ---

static vbl_tar *check_tar(lua_State *L) {
  vbl_tar **t = luaL_checkudata(L, 1, TAR_META);
  if (*t == NULL) vbl_lua_error(L, "the archive was closed");
  return *t;
}

static int tar_gc(lua_State *L) {
  vbl_tar **t = luaL_checkudata(L, 1, TAR_META);
  vbl_tar_free(*t);
  *t = NULL;
  return 0;
}

static int open_tar(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  vbl_tar **t = lua_newuserdatauv(L, sizeof *t, 0);
  *t = NULL;
  luaL_setmetatable(L, TAR_META);
  VBL_LUA_TRY(L, vbl_tar_open(path, t, &err));
  return 1;
}

static int tar_next(lua_State *L) {
  vbl_tar_member member;
  VBL_LUA_TRY(L, vbl_tar_next(check_tar(L), &member, &err));
  if (member.name == NULL) return 0;
  lua_pushstring(L, member.name);
  lua_pushinteger(L, member.offset);
  lua_pushinteger(L, member.bytes);
  return 3;
}

static int tar_read(lua_State *L) {
  vbl_tar *t = check_tar(L);
  vbl_bytes bytes = {0};
  vbl_error err;
  vbl_status status = vbl_tar_read(t, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3), &bytes, &err);
  if (status == VBL_OK) lua_pushlstring(L, (const char *)bytes.data, bytes.size);
  vbl_bytes_free(&bytes);
  return status == VBL_OK ? 1 : vbl_lua_raise(L, &err);
}

static int tar_damage(lua_State *L) {
  vbl_tar *t = check_tar(L);
  lua_pushinteger(L, t->damaged);
  lua_pushlstring(L, (const char *)t->report.data, t->report.size);
  lua_pushboolean(L, t->ended);
  return 3;
}

static int hdf5_ids(lua_State *L) {
  vbl_bytes ids = {0};
  vbl_error err;
  int64_t n = 0;
  if (vbl_hdf5_ids(luaL_checkstring(L, 1), &ids, &n, &err) != VBL_OK) {
    vbl_bytes_free(&ids);
    return vbl_lua_raise(L, &err);
  }
  lua_createtable(L, (int)n, 0);
  const char *at = (const char *)ids.data;
  for (int64_t i = 1; i <= n; i++, at += strlen(at) + 1) {
    lua_pushstring(L, at);
    lua_rawseti(L, -2, i);
  }
  vbl_bytes_free(&ids);
  return 1;
}

static const vbl_fn builder_methods[] = {
    {"file", builder_file, "records:file(path)", "What begins the messages about the rows that follow."},
    {"unit", builder_unit, "records:unit(word)", "What messages call a record."},
    {"classes", builder_classes, "records:classes(kind, {name, ...})",
     "\"class\", \"multi\" or \"soft\"; before the first record."},
    {"archive", builder_archive, "records:archive(path) -> number", "A file that images lie in."},
    {"archive_of", builder_archive_of, "records:archive_of(id) -> number or nil",
     "The archive that the record of this id lies in."},
    {"add", builder_add, "records:add(where, id, split, image, text[, label[, archive, offset, bytes]])",
     "A record; an id that its split has already is a bad one. where: line number, or words. label: a class, a list of them, or "
     "{class, weight, ...}."},
    {"append", builder_append, "records:append(where, id, split, image, text[, label[, archive, offset, bytes]])",
     "A record, or a further text of the record of that id."},
    {"urls", builder_urls, "records:urls(path, split, images, url_first)",
     "The rows of a TSV of captions and URLs, each with the image of the folder `images` that was stored for its URL."},
    {"skip", builder_skip, "records:skip(where, reason)", "Counts and notes a bad record."},
    {"absent", builder_absent, "records:absent(where, reason)", "Counts and notes one that need not be there."},
    {"note", builder_note, "records:note(text)", "A line of the report."},
    {"finish", builder_finish, "records:finish(name) -> set", "Checks the images, divides, tokenises."},
    {NULL, NULL, NULL, NULL}};

static const vbl_fn tar_methods[] = {{"next", tar_next, "tar:next() -> name, offset, bytes", "The next regular file, or nothing."},
                                     {"read", tar_read, "tar:read(offset, bytes) -> string", "A piece of the archive."},
                                     {"damage", tar_damage, "tar:damage() -> count, text, ended",
                                      "What was damaged so far, a line each; whether the archive's end was seen."},
                                     {"close", tar_gc, "tar:close()", "Ends it."},
                                     {NULL, NULL, NULL, NULL}};

static const vbl_fn functions[] = {
    {"records", new_builder, "records(folder, opts) -> records",
     "A builder of a data set. opts: image, crop, max_tokens, max_bad, vocabulary, vocabulary_limit, split, test_fraction."},
    {"hdf5_ids", hdf5_ids, "hdf5_ids(path) -> {id, ...}", "\"imdb_ids\" of an HDF5 file, in the order of the rows."},
    {"tar", open_tar, "tar(path) -> tar archive", "An archive, member by member; damaged ones are skipped and noted."},
    {NULL, NULL, NULL, NULL}};

void vbl_lua_data_records(lua_State *L) {
  vbl_lua_class(L, BUILDER_META, "records:", builder_methods, builder_gc);
  vbl_lua_class(L, TAR_META, "tar archive:", tar_methods, tar_gc);
  vbl_lua_register(L, "data", functions);
}
