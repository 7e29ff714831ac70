// What the bindings of core/store share.
// defines: vbl_end_file_bytes, vbl_lua_database_class, vbl_json_rows, vbl_array_rows, vbl_copy_rows, vbl_database_rows
#pragma once
#include "bindings/bind.h"

void vbl_end_file_bytes(void *bytes);       // for vbl_lua_own: frees a vbl_file_bytes (bindings/store.c)
void vbl_lua_database_class(lua_State *L);  // bindings/store_database.c

extern const vbl_fn vbl_json_rows[];      // bindings/store_json.c
extern const vbl_fn vbl_array_rows[];     // bindings/store_arrays.c: safetensors, npy, npz, images
extern const vbl_fn vbl_copy_rows[];      // bindings/store_copy.c
extern const vbl_fn vbl_database_rows[];  // bindings/store_database.c: SQLite
