// What every binding file shares: tensors as userdata, errors raised once and last, options read with a check, and the one
// table per module that is its API (argument checks, `?help`, completion and the LuaLS stubs read the same rows).
// defines: vbl_fn, vbl_lua_register, vbl_lua_document, vbl_lua_class, vbl_lua_{own,disown}, vbl_lua_push_numbers, vbl_lua_set_*,
//          vbl_lua_*tensor*, vbl_lua_raise, vbl_lua_error, vbl_lua_collect, VBL_LUA_TRY, VBL_LUA_ONCE, vbl_lua_check_{int,keys},
//          vbl_lua_nearest, vbl_lua_opt_*
#pragma once
#include <lauxlib.h>
#include <lua.h>

#include "core/tensor/tensor.h"

// A row: name; C function; signature in the words of the field ("zeros(d1, d2, ..., [opts]) -> tensor"); help: what it does,
// shapes, dtypes, ranges, defaults, errors.
typedef struct vbl_fn {
  const char *name;
  lua_CFunction fn;
  const char *signature;
  const char *help;
} vbl_fn;

// Sets each row as a field of the table at the stack's top and documents it, unless `module` is NULL. The array ends with a NULL name.
void vbl_lua_register(lua_State *L, const char *module, const vbl_fn *rows);
// Registry table of help: [full name] = {signature=, help=}. Full names: "vbl.zeros" (module ""), "tensor:sum" (module
// "tensor:", methods), else "module.name". Lua code adds rows of its own with vbl.document(full_name, signature, help).
#define VBL_LUA_HELP "vbl.help"
void vbl_lua_document(lua_State *L, const char *module, const char *name, const char *signature, const char *help);
// A class of userdata: its methods, which are documented under `module` ("records:"; NULL: nowhere), and `end` for __gc and __close,
// which may be called again on what it ended.
void vbl_lua_class(lua_State *L, const char *meta, const char *module, const vbl_fn *methods, lua_CFunction end);

// Raises err as a Lua error with the script's line before it: the first frame that is no C function and no module of vbl's own
// (chunk name "=vbl..."), else the first Lua frame. Free what you hold first.
int vbl_lua_raise(lua_State *L, const vbl_error *err);
// The same with a message of lua_pushfstring's formats.
int vbl_lua_error(lua_State *L, const char *format, ...);
// Calls a core function that fills `err` (declared by the macro; write &err in the call). Out of memory: collects all garbage
// and tries once more. Raises when it fails, so whatever the caller holds must belong to a Lua object.
#define VBL_LUA_TRY(L, call)                                                     \
  do {                                                                           \
    vbl_error err;                                                               \
    vbl_status vbl_lua_try_ = (call);                                            \
    if (vbl_lua_try_ == VBL_ENOMEM && vbl_lua_collect(L)) vbl_lua_try_ = (call); \
    if (vbl_lua_try_ != VBL_OK) vbl_lua_raise(L, &err);                          \
  } while (0)
// The same for a call that may have done half of it when it fails: it is not tried again.
#define VBL_LUA_ONCE(L, call)                     \
  do {                                            \
    vbl_error err;                                \
    if ((call) != VBL_OK) vbl_lua_raise(L, &err); \
  } while (0)
bool vbl_lua_collect(lua_State *L);  // a full collection; false when it frees nothing (called by a finaliser)

// Argument `arg` as an int; an integer beyond int's range becomes its nearest end, which the range checks behind it refuse.
int vbl_lua_check_int(lua_State *L, int arg);

// The choice (NULL-terminated list) nearest to a misspelt word, or NULL when none is near.
const char *vbl_lua_nearest(const char *word, const char *const *choices);

// Argument `arg` as a tensor; errors: not a tensor, released.
vbl_tensor *vbl_lua_check_tensor(lua_State *L, int arg);
vbl_tensor *vbl_lua_opt_tensor(lua_State *L, int arg);   // NULL for nil or none
vbl_tensor *vbl_lua_test_tensor(lua_State *L, int arg);  // NULL when it is no (live) tensor
// Pushes a new userdata that takes over the caller's reference; registered in the current scope. Never fails but for memory.
void vbl_lua_push_tensor(lua_State *L, vbl_tensor *t);

// Fields of an option table at `arg` (nil or none: the default). Wrong type: an error that names function and field.
double vbl_lua_opt_number(lua_State *L, int arg, const char *field, double fallback);
int64_t vbl_lua_opt_integer(lua_State *L, int arg, const char *field, int64_t fallback);
int vbl_lua_opt_int(lua_State *L, int arg, const char *field, int fallback);  // see vbl_lua_check_int
bool vbl_lua_opt_bool(lua_State *L, int arg, const char *field, bool fallback);
const char *vbl_lua_opt_string(lua_State *L, int arg, const char *field,
                               const char *fallback);  // stays on no stack: valid while the table is
// One of `choices` (NULL-terminated), as its index; else an error that lists them and names the nearest.
int vbl_lua_opt_choice(lua_State *L, int arg, const char *field, const char *const *choices, int fallback);
// Error for a key of the table that is not among `known` (NULL-terminated), naming the nearest.
void vbl_lua_check_keys(lua_State *L, int arg, const char *const *known);

// Pushes zeroed memory of `size` bytes that `end` empties, once, when it is collected, closed or freed by the caller with
// vbl_lua_disown: so an error raised by Lua between making and ending a resource leaks nothing. `end` must accept zeroed memory.
void *vbl_lua_own(lua_State *L, size_t size, void (*end)(void *));
void vbl_lua_disown(lua_State *L, int index);  // ends it now

int vbl_lua_push_numbers(lua_State *L, const double *numbers, int64_t count);  // a list of them; returns 1
// A field of the table at the stack's top.
void vbl_lua_set_integer(lua_State *L, const char *field, int64_t value);
void vbl_lua_set_number(lua_State *L, const char *field, double value);
void vbl_lua_set_bool(lua_State *L, const char *field, bool value);
void vbl_lua_set_string(lua_State *L, const char *field, const char *value);  // NULL: leaves it absent

// The modules in C; each leaves its table on the stack (lua_CFunction for luaL_requiref). The first is vbl itself.
int vbl_open_tensor(lua_State *L);      // bindings/tensor*.c:  vbl.zeros ..., tensor methods, scope, no_grad, backward
int vbl_open_functional(lua_State *L);  // bindings/functional.c: "vbl.functional.c": the ops of core/ops
int vbl_open_optim(lua_State *L);       // bindings/optim.c:    "vbl.optim.c"
int vbl_open_measure(lua_State *L);     // bindings/measure.c:  "vbl.measure.c"
int vbl_open_metrics(lua_State *L);     // bindings/metrics.c:  "vbl.metrics.c": AUROC, F1, accuracy
int vbl_open_store(lua_State *L);       // bindings/store.c:    "vbl.store.c": files, json, safetensors, npy, png, atomic writes
int vbl_open_data(lua_State *L);        // bindings/data.c:     "vbl.data.c": tokenizer, images, scenes, loader
int vbl_open_system(lua_State *L);      // bindings/system.c:   "vbl.system.c": time, threads, memory, signals, terminal, processes
int vbl_open_dist(lua_State *L);        // bindings/dist.c:     "vbl.dist.c": the ranks of one run
