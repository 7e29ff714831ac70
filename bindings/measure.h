// What the files of the measures' binding share.
// defines: vbl_measure_row, vbl_measure_rows, vbl_lua_push_measure, vbl_lua_plugin_*, vbl_lua_matrix, vbl_lua_placed_matrix, vbl_lua_measured_together, vbl_lua_dense_single, vbl_lua_host_data, vbl_lua_integers, vbl_lua_push_record,
// vbl_lua_doubles, vbl_lua_measure_options, vbl_lua_measure_tokens, vbl_lua_measure_parts, vbl_lua_measure_draws,
// vbl_lua_measure_stream
#pragma once
#include "bindings/bind.h"
#include "core/measure/measure.h"

// An option of a measure: where it goes in vbl_measure_options, whose defaults are vbl_measure_defaults.
typedef enum vbl_option_kind {
  OPTION_NUMBER,      // double
  OPTION_INTEGER,     // int64_t
  OPTION_CHOICE,      // int, one of `choices`
  OPTION_NOT,         // int, 1 when the Lua value is false
  OPTION_BANDWIDTH,   // "median", "median_full" or a number
  OPTION_ROW_LABELS,  // (n) integers, a tensor or a table
  OPTION_DIRECTIONS,  // [m, d] tensor; sets `projections` too
} vbl_option_kind;

typedef struct vbl_measure_option {
  const char *key;
  vbl_option_kind kind;
  size_t offset;
  const char *const *choices;
} vbl_measure_option;

typedef struct vbl_measure_row {
  const char *name;
  vbl_measure_fn *fn;
  int matrices;                       // 1: f(X, opts), 2: f(X, Y, opts)
  const vbl_measure_option *options;  // ends with a NULL key
  const char *signature, *help;
} vbl_measure_row;

extern const vbl_measure_row vbl_measure_rows[];  // ends with a NULL name
// Pushes the function of a row that lives as long as the program.
void vbl_lua_push_measure(lua_State *L, const vbl_measure_row *row);
// plugin.c: the row of a plug-in's measure, or NULL; its default options; sets plugins in the table at the stack's top.
const vbl_measure_row *vbl_lua_plugin_row(const char *name);
vbl_measure_options vbl_lua_plugin_defaults(const vbl_measure_row *row);
void vbl_lua_measure_plugins(lua_State *L);

// Argument `arg` prepared: what vbl.measure.c.prepare gave, or a tensor [n, d], which is replaced on the stack by its preparation.
vbl_prepared *vbl_lua_matrix(lua_State *L, int arg, const char *name);
// The same without its rows on the host, where they came on a device and nothing has asked for them.
vbl_prepared *vbl_lua_placed_matrix(lua_State *L, int arg, const char *name);
// Whether the `count` tensors from argument `first` on are f32 or bf16 on one device that has kernels for measures.
bool vbl_lua_measured_together(lua_State *L, int first, int64_t count);
// The tensor t at `arg` as f32 without gaps where it lies; it replaces t on the stack.
vbl_tensor *vbl_lua_dense_single(lua_State *L, int arg, const vbl_tensor *t);
// Element data of a tensor on the host; a device's is copied into a userdata that replaces the tensor at `arg`.
const void *vbl_lua_host_data(lua_State *L, int arg, const vbl_tensor *t, int64_t stride[VBL_MAX_DIMS]);
// The elements of the tensor t at `arg` as contiguous doubles in memory that Lua owns; replaces the tensor on the stack.
const double *vbl_lua_doubles(lua_State *L, int arg, const vbl_tensor *t);
// Field `field` of the options at `arg` as `count` integers (tensor or table of them), in memory that Lua owns and that stays on
// the stack; NULL when absent.
const int64_t *vbl_lua_integers(lua_State *L, int arg, const char *field, int64_t count);
// Pushes the record of a result.
void vbl_lua_push_record(lua_State *L, const vbl_measure_result *r);
// Sets max_sim and what else reads tokens in the table at the stack's top.
void vbl_lua_measure_tokens(lua_State *L);
// The same for singular_values, canonical_correlations and neighbours.
void vbl_lua_measure_parts(lua_State *L);
// The options of row at `arg` (nil or none: the defaults), of which labels have x's rows; what they point to stays on the stack.
vbl_measure_options vbl_lua_measure_options(lua_State *L, int arg, const vbl_measure_row *row, const vbl_prepared *x);
// Sets what runs a measure on rearranged rows or on lists of matrices in the table at the stack's top.
void vbl_lua_measure_draws(lua_State *L);
// Sets cka_stream in the table at the stack's top.
void vbl_lua_measure_stream(lua_State *L);
