// What the bindings of core/store share.
// defines: vbl_lua_own, vbl_lua_disown, vbl_lua_database_class, vbl_json_rows, vbl_array_rows, vbl_copy_rows, vbl_database_rows
#pragma once
#include "bindings/bind.h"

// Pushes zeroed memory of `size` bytes that `end` empties, once, when it is collected, closed or freed by the caller with
// vbl_lua_disown: so an error raised by Lua between making and ending a resource leaks nothing. `end` must accept zeroed memory.
void *vbl_lua_own(lua_State *L, size_t size, void (*end)(void *));
void vbl_lua_disown(lua_State *L, int index);  // ends it now

void vbl_lua_database_class(lua_State *L);  // bindings/store_database.c

extern const vbl_fn vbl_json_rows[];      // bindings/store_json.c
extern const vbl_fn vbl_array_rows[];     // bindings/store_arrays.c: safetensors, npy, npz, images
extern const vbl_fn vbl_copy_rows[];      // bindings/store_copy.c
extern const vbl_fn vbl_database_rows[];  // bindings/store_database.c: SQLite
