// What the files of "vbl.data.c" share: the userdata of a data set, and argument checks.
// defines: vbl_lua_data_set, vbl_lua_{check,new,clear}_data_set, vbl_lua_fill_records, vbl_lua_records_options,
//          vbl_lua_check_u32, vbl_lua_index_list
#pragma once
#include "bindings/tensor.h"
#include "core/data/batch.h"
#include "core/data/packed.h"
#include "core/data/records.h"
#include "core/data/scenes.h"

#define VBL_DATA_SET_META "data set"

// One of the three kinds; `source` is what the rest uses. Made empty, then filled.
typedef struct vbl_lua_data_set {
  vbl_source *source;
  vbl_records *records;  // of files
  vbl_packed *packed;    // of shards
  vbl_scenes scenes;     // the built-in set:
  vbl_source scenes_source;
  vbl_vocabulary *scenes_vocabulary;
  int32_t *scenes_samples;
  vbl_split scenes_split[2];  // train, test
  vbl_bad_images bad;
} vbl_lua_data_set;

vbl_lua_data_set *vbl_lua_check_data_set(lua_State *L, int arg);
vbl_lua_data_set *vbl_lua_new_data_set(lua_State *L);  // pushed, empty
void vbl_lua_clear_data_set(vbl_lua_data_set *d);
// Makes the data set of finished records, which it owns from here on.
vbl_status vbl_lua_fill_records(vbl_lua_data_set *d, vbl_records *records, vbl_error *err);
vbl_records_options vbl_lua_records_options(lua_State *L, int arg);   // its strings belong to the table
uint32_t vbl_lua_check_u32(lua_State *L, int arg, const char *what);  // 0 .. 2^32-1
// The list of numbers 1 .. n at `arg` as numbers from 0, in memory of the interpreter's (pushed). *count of them, at least one.
int32_t *vbl_lua_index_list(lua_State *L, int arg, int32_t n, int32_t *count);

// Methods over a vocabulary (bindings/tokenizer.c); their arguments begin at 2.
int vbl_lua_encode(lua_State *L, const vbl_vocabulary *v, int32_t positions);
int vbl_lua_decode(lua_State *L, const vbl_vocabulary *v);
int vbl_lua_token(lua_State *L, const vbl_vocabulary *v);
int vbl_lua_token_id(lua_State *L, const vbl_vocabulary *v);
int vbl_lua_rules(lua_State *L, const vbl_vocabulary *v);
// "bert" or "fast" in the field of a table; absent: as the file says.
vbl_tokenizer_kind vbl_lua_tokenizer_kind(lua_State *L, int arg, const char *field);
void vbl_lua_tokenizer(lua_State *L);  // the metatable; its function goes into the table at the stack's top

// Rows of the module, whose table is on the stack's top: builders and archives; streamed JSON.
void vbl_lua_data_records(lua_State *L);
void vbl_lua_data_json(lua_State *L);
void vbl_lua_data_view(lua_State *L);            // the metatables and rows of data_view.c
int vbl_lua_data_set_view(lua_State *L);         // set:view(name) -> view
int vbl_lua_data_set_splits(lua_State *L);       // set:splits() -> {{name=, size=}, ...}
int vbl_lua_data_set_stats(lua_State *L);        // set:stats(split) -> table (data_check.c)
int vbl_lua_data_set_meetings(lua_State *L);     // set:meetings(images) -> list, repeated (data_check.c)
int vbl_lua_data_set_split_lines(lua_State *L);  // set:split_lines() -> text (data_check.c)
int vbl_lua_data_set_labels(lua_State *L);       // set:labels() -> kind, classes
int vbl_lua_augment(lua_State *L);               // data_augment.c
void vbl_lua_data_pack(lua_State *L);            // the metatables of data_pack.c ...
void vbl_lua_data_fetch(lua_State *L);           // ... and data_fetch.c
int vbl_lua_pack(lua_State *L);                  // pack(set, folder, identity, shard, threads) -> packer
int vbl_lua_packed(lua_State *L);                // packed(folder, identity, manifest) -> set
int vbl_lua_undecodable(lua_State *L);           // set:undecodable() -> {{id=, why=}, ...}
int vbl_lua_fetch(lua_State *L);                 // fetch(columns, tsv, out, options) -> download
