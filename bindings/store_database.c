// Part of "vbl.store.c": an SQLite database, for what can be derived anew from plain files.
// defines: vbl_database_rows, vbl_lua_database_class
#include <sqlite3.h>

#include "bindings/store.h"

#define DATABASE_META "vbl.store.database"

enum { PATIENCE = 5000 };  // ms to wait for another process's lock

typedef struct database {
  sqlite3 *db;  // NULL when closed
} database;

static int database_close(lua_State *L) {
  database *d = luaL_checkudata(L, 1, DATABASE_META);
  sqlite3_close_v2(d->db);
  d->db = NULL;
  return 0;
}

static int failed(lua_State *L, sqlite3 *db) {
  const char *path = sqlite3_db_filename(db, NULL);
  return vbl_lua_error(L, "%s: %s", path ? path : "database", sqlite3_errmsg(db));
}

static int database_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  database *d = lua_newuserdatauv(L, sizeof *d, 0);
  d->db = NULL;
  luaL_setmetatable(L, DATABASE_META);
  int code = sqlite3_open_v2(path, &d->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
  if (code != SQLITE_OK) return vbl_lua_error(L, "%s: %s", path, d->db ? sqlite3_errmsg(d->db) : sqlite3_errstr(code));
  sqlite3_busy_timeout(d->db, PATIENCE);
  return 1;
}

static void end_statement(void *p) { sqlite3_finalize(*(sqlite3_stmt **)p); }

static void bind(lua_State *L, sqlite3_stmt *s, int first, int top) {
  for (int arg = first; arg <= top; arg++) {
    int place = arg - first + 1;
    size_t n;
    if (lua_isinteger(L, arg)) {
      sqlite3_bind_int64(s, place, lua_tointeger(L, arg));
    } else if (lua_type(L, arg) == LUA_TNUMBER) {
      sqlite3_bind_double(s, place, lua_tonumber(L, arg));
    } else {
      const char *text = luaL_checklstring(L, arg, &n);
      sqlite3_bind_text64(s, place, text, n, SQLITE_TRANSIENT, SQLITE_UTF8);
    }
  }
}

static void push_row(lua_State *L, sqlite3_stmt *s) {
  int n = sqlite3_column_count(s);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    switch (sqlite3_column_type(s, i)) {
      case SQLITE_INTEGER:
        lua_pushinteger(L, sqlite3_column_int64(s, i));
        break;
      case SQLITE_FLOAT:
        lua_pushnumber(L, sqlite3_column_double(s, i));
        break;
      case SQLITE_NULL:
        lua_pushboolean(L, 0);
        break;
      default:
        lua_pushlstring(L, (const char *)sqlite3_column_text(s, i), (size_t)sqlite3_column_bytes(s, i));
    }
    lua_rawseti(L, -2, i + 1);
  }
}

static int database_run(lua_State *L) {
  database *d = luaL_checkudata(L, 1, DATABASE_META);
  size_t n;
  int code, top = lua_gettop(L);
  lua_Integer rows = 0;
  const char *sql = luaL_checklstring(L, 2, &n);
  if (d->db == NULL) return luaL_error(L, "the database was closed");
  sqlite3_stmt **s = vbl_lua_own(L, sizeof(sqlite3_stmt *), end_statement);
  if (sqlite3_prepare_v2(d->db, sql, (int)n, s, NULL) != SQLITE_OK) return failed(L, d->db);
  bind(L, *s, 3, top);
  lua_newtable(L);
  while ((code = sqlite3_step(*s)) == SQLITE_ROW) {
    push_row(L, *s);
    lua_rawseti(L, -2, ++rows);
  }
  if (code != SQLITE_DONE) return failed(L, d->db);
  vbl_lua_disown(L, -2);
  return 1;
}

static const vbl_fn methods[] = {
    {"run", database_run, "run(sql, ...) -> rows", "One statement with the values of its ?; rows as arrays, NULL as false."},
    {"close", database_close, "close()", "Ends it; again is fine."},
    {NULL, NULL, NULL, NULL}};

const vbl_fn vbl_database_rows[] = {
    {"database", database_open, "database(path) -> database",
     "Opens or makes an SQLite file: database:run(sql, ...), :close(). Waits 5 s for another process's lock."},
    {NULL, NULL, NULL, NULL}};

void vbl_lua_database_class(lua_State *L) { vbl_lua_class(L, DATABASE_META, NULL, methods, database_close); }
