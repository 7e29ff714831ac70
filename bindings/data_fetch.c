// Downloads: the userdata that `vbl data fetch` steps.
// defines: vbl_lua_fetch, vbl_lua_data_fetch
#include "bindings/data.h"
#include "core/fetch/fetch.h"

#define FETCH_META "download"

static vbl_fetch **check_fetch(lua_State *L) { return luaL_checkudata(L, 1, FETCH_META); }

static int fetch_release(lua_State *L) {
  vbl_fetch **f = check_fetch(L), *taken = *f;
  *f = NULL;
  vbl_fetch_free(taken);
  return 0;
}

static int fetch_step(lua_State *L) {
  vbl_fetch **f = check_fetch(L);
  bool finished;
  vbl_fetch_progress p;
  vbl_error err;
  if (*f == NULL) vbl_lua_error(L, "the download was released");
  if (vbl_fetch_step(*f, luaL_checknumber(L, 2), &finished, &p, &err) != VBL_OK) return vbl_lua_raise(L, &err);
  lua_pushboolean(L, finished);
  lua_createtable(L, 0, 5);
  vbl_lua_set_integer(L, "rows", p.rows);
  vbl_lua_set_integer(L, "done", p.done);
  vbl_lua_set_integer(L, "good", p.good);
  vbl_lua_set_integer(L, "active", p.active);
  vbl_lua_set_integer(L, "bytes", p.bytes);
  return 2;
}

int vbl_lua_fetch(lua_State *L) {
  static const char *const known[] = {"form",      "resize",  "image", "shard", "parallel", "per_host",  "threads", "retries",
                                      "redirects", "connect", "total", "stall", "backoff",  "max_bytes", "ca",      NULL};
  static const char *const columns[] = {"cc3m", "cc12m", NULL}, *const forms[] = {"webdataset", "files", NULL},
                           *const sizes[] = {"no", "keep_ratio", "center_crop", "border", "squash", NULL};
  vbl_fetch_options o = {.columns = (vbl_fetch_columns)luaL_checkoption(L, 1, NULL, columns)};
  const char *tsv = luaL_checkstring(L, 2), *out = luaL_checkstring(L, 3);
  vbl_lua_check_keys(L, 4, known);
  o.form = (vbl_fetch_form)vbl_lua_opt_choice(L, 4, "form", forms, 0);
  o.resize = (vbl_fetch_resize)vbl_lua_opt_choice(L, 4, "resize", sizes, VBL_FETCH_KEEP_RATIO);
  o.image = vbl_lua_opt_int(L, 4, "image", 256);
  o.shard = vbl_lua_opt_int(L, 4, "shard", 10000);
  o.parallel = vbl_lua_opt_int(L, 4, "parallel", 64);
  o.per_host = vbl_lua_opt_int(L, 4, "per_host", 4);
  o.threads = vbl_lua_opt_int(L, 4, "threads", 2);
  o.retries = vbl_lua_opt_int(L, 4, "retries", 2);
  o.redirects = vbl_lua_opt_int(L, 4, "redirects", 5);
  o.connect = vbl_lua_opt_number(L, 4, "connect", 10);
  o.total = vbl_lua_opt_number(L, 4, "total", 60);
  o.stall = vbl_lua_opt_number(L, 4, "stall", 10);
  o.backoff = vbl_lua_opt_number(L, 4, "backoff", 1);
  o.max_bytes = vbl_lua_opt_integer(L, 4, "max_bytes", 20 << 20);
  o.ca = vbl_lua_opt_string(L, 4, "ca", NULL);
  vbl_fetch **f = lua_newuserdatauv(L, sizeof *f, 0);
  *f = NULL;
  luaL_setmetatable(L, FETCH_META);
  VBL_LUA_TRY(L, vbl_fetch_new(tsv, out, &o, f, &err));
  return 1;
}

static const vbl_fn methods[] = {
    {"step", fetch_step, "download:step(seconds) -> finished, {rows, done, good, active, bytes}", "Works for about that long."},
    {"release", fetch_release, "download:release()", "Ends the transfers; what is done stays for the next run."},
    {NULL, NULL, NULL, NULL}};

void vbl_lua_data_fetch(lua_State *L) { vbl_lua_class(L, FETCH_META, "download:", methods, fetch_release); }
