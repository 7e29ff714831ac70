// Methods of the data set in "vbl.data.c" that say what it is like: statistics of a split, what splits have in common, its records' ids.
// defines: vbl_lua_data_set_{stats,meetings,split_lines}
#include <stdlib.h>

#include "bindings/data.h"
#include "core/data/source_check.h"

static const vbl_split *check_split(lua_State *L, int arg, const vbl_source *s) {
  const char *name = luaL_checkstring(L, arg);
  const vbl_split *split = vbl_source_split(s, name);
  if (split == NULL) vbl_lua_error(L, "no split '%s'", name);
  return split;
}

int vbl_lua_data_set_stats(lua_State *L) {
  const vbl_source *s = vbl_lua_check_data_set(L, 1)->source;
  const vbl_split *split = check_split(L, 2, s);
  vbl_split_stats stats;
  VBL_LUA_TRY(L, vbl_source_stats(s, split, &stats, &err));
  lua_newtable(L);
  vbl_lua_set_integer(L, "samples", split->n);
  vbl_lua_set_integer(L, "texts", stats.texts);
  vbl_lua_set_integer(L, "median", stats.tokens_median);
  vbl_lua_set_integer(L, "p99", stats.tokens_p99);
  vbl_lua_set_integer(L, "most", stats.tokens_most);
  vbl_lua_set_integer(L, "repeated", stats.repeated_texts);
  vbl_lua_set_integer(L, "labelled", stats.labelled);
  vbl_lua_set_integer(L, "unlabelled", stats.unlabelled);
  vbl_lua_set_number(L, "mean", stats.tokens_mean);
  if (stats.class_samples != NULL) {
    lua_newtable(L);
    for (int32_t i = 0; i < s->classes; i++) {
      lua_pushinteger(L, stats.class_samples[i]);
      lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "classes");
    free(stats.class_samples);
  }
  return 1;
}

static void set_id(lua_State *L, const vbl_source *s, const char *name, int32_t sample) {
  vbl_bytes id = {0};
  vbl_error err;
  if (s->id(s->self, sample, &id, &err) == VBL_OK) {
    lua_pushlstring(L, (const char *)id.data, id.size);
    lua_setfield(L, -2, name);
  }
  vbl_bytes_free(&id);
}

int vbl_lua_data_set_meetings(lua_State *L) {
  static const char *const signs[VBL_SIGNS] = {"id", "image", "text"};
  const vbl_source *s = vbl_lua_check_data_set(L, 1)->source;
  vbl_meetings found;
  VBL_LUA_TRY(L, vbl_source_meetings(s, lua_toboolean(L, 2), &found, &err));
  lua_newtable(L);
  for (int32_t i = 0; i < found.n; i++) {
    const vbl_meeting *m = &found.list[i];
    lua_createtable(L, 0, 6);
    vbl_lua_set_string(L, "sign", signs[m->sign]);
    vbl_lua_set_string(L, "a", m->a->name);
    vbl_lua_set_string(L, "b", m->b->name);
    vbl_lua_set_integer(L, "count", m->count);
    set_id(L, s, "id_a", m->sample_a);
    set_id(L, s, "id_b", m->sample_b);
    lua_rawseti(L, -2, i + 1);
  }
  lua_createtable(L, 0, 5);
  for (int k = 0; k < VBL_SIGNS; k++) vbl_lua_set_integer(L, signs[k], found.repeated[k]);
  vbl_lua_set_integer(L, "unreadable", found.unreadable);
  lua_pushlstring(L, (const char *)found.report.data, found.report.size);
  lua_setfield(L, -2, "report");
  vbl_meetings_free(&found);
  return 2;
}

static vbl_status add_ids(const vbl_source *s, const vbl_split *split, vbl_bytes *out, vbl_error *err) {
  for (int32_t i = 0; i < split->n; i++) {
    VBL_TRY(s->id(s->self, split->sample[i], out, err));
    VBL_TRY(vbl_bytes_add_text(out, "\t", err));
    VBL_TRY(vbl_bytes_add_text(out, split->name, err));
    VBL_TRY(vbl_bytes_add_text(out, "\n", err));
  }
  return VBL_OK;
}

int vbl_lua_data_set_split_lines(lua_State *L) {
  const vbl_source *s = vbl_lua_check_data_set(L, 1)->source;
  vbl_bytes text = {0};
  vbl_error err;
  vbl_status status = VBL_OK;
  for (int32_t k = 0; k < s->splits && status == VBL_OK; k++) status = add_ids(s, &s->split[k], &text, &err);
  if (status == VBL_OK) lua_pushlstring(L, (const char *)text.data, text.size);
  vbl_bytes_free(&text);
  return status == VBL_OK ? 1 : vbl_lua_raise(L, &err);
}
