// A measure's result as a Lua table. Fields that do not apply are absent.
// defines: vbl_lua_push_record
#include <math.h>

#include "bindings/measure.h"

static void set_count(lua_State *L, const char *field, int64_t value) {
  if (value < 0) return;
  vbl_lua_set_integer(L, field, value);
}

static void set_warnings(lua_State *L, unsigned warnings) {
  lua_newtable(L);
  for (unsigned bit = 1; bit != 0 && bit <= warnings; bit <<= 1)
    if ((warnings & bit) != 0) {
      lua_pushstring(L, vbl_measure_warning_name(bit));
      lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
  lua_setfield(L, -2, "warnings");
}

void vbl_lua_push_record(lua_State *L, const vbl_measure_result *r) {
  lua_newtable(L);
  vbl_lua_set_number(L, "value", r->value);
  vbl_lua_set_string(L, "status", vbl_measure_status_name(r->status));
  set_count(L, "n", r->n);
  set_count(L, "dx", r->dx);
  set_count(L, "dy", r->dy);
  set_count(L, "k", r->k);
  set_count(L, "dims_x", r->dims_x);
  set_count(L, "dims_y", r->dims_y);
  set_count(L, "duplicates_x", r->duplicates_x);
  set_count(L, "duplicates_y", r->duplicates_y);
  set_count(L, "ties", r->ties);
  set_count(L, "skipped", r->skipped);
  vbl_lua_set_string(L, "preprocessing", r->preprocessing);
  vbl_lua_set_string(L, "metric", r->metric);
  if (!isnan(r->chance)) vbl_lua_set_number(L, "chance", r->chance);
  if (!isnan(r->chance)) vbl_lua_set_string(L, "chance_source", r->chance_source);
  for (int i = 0; i < r->extras; i++) vbl_lua_set_number(L, r->extra[i].name, r->extra[i].value);
  set_warnings(L, r->warnings);
}
