// What the tensor bindings share: the handle (userdata), the interpreter's state, scopes, and one way to run an op.
// A handle owns one reference of a tensor. It is made empty, filled, and emptied by one idempotent release (__gc, __close,
// :release(), a scope's end). Handles made in a scope are in its intrusive list, so a scope costs no Lua table.
// defines: vbl_handle, vbl_scope, vbl_lua_state, vbl_lua_new_handle, vbl_lua_fill_handle, vbl_lua_apply, ...
#pragma once
#include "bindings/bind.h"
#include "core/ops/ops.h"
#include "kernels/kernels.h"

typedef struct vbl_link {
  struct vbl_link *prev, *next;
} vbl_link;

struct vbl_scope;
typedef struct vbl_handle {
  vbl_link link;            // first, so that a list's link is its handle; NULLs in no scope
  struct vbl_scope *scope;  // whose list it is in
  vbl_tensor *t;            // NULL before it is filled and after its release
  const char *released;     // how it was released, for the error on later use
} vbl_handle;

typedef struct vbl_scope {
  vbl_link list;  // a ring; list itself is no handle
  struct vbl_scope *parent;
} vbl_scope;

typedef struct vbl_lua_state {
  vbl_scope *scope;     // the innermost, NULL outside of all
  size_t threshold;     // live bytes past which a collection runs; vbl_lua_first_threshold at first
  uint32_t seed;        // vbl.manual_seed
  uint64_t draws;       // random tensors drawn since then
  lua_State *backward;  // the thread that runs a backward: checkpoints call their function on it
} vbl_lua_state;

#define VBL_TENSOR_META "tensor"
vbl_lua_state *vbl_lua_get_state(lua_State *L);
extern const size_t vbl_lua_first_threshold;

vbl_handle *vbl_lua_new_handle(lua_State *L);                          // pushes an empty one
void vbl_lua_fill_handle(lua_State *L, vbl_handle *h, vbl_tensor *t);  // takes over the reference; may collect garbage
vbl_handle *vbl_lua_check_handle(lua_State *L, int arg);               // a live one, else an error
vbl_handle *vbl_lua_test_handle(lua_State *L, int arg);                // NULL when it is none; may be released
void vbl_handle_release(vbl_handle *h, const char *how);
void vbl_handle_unlink(vbl_handle *h);
void vbl_handle_link(vbl_handle *h, vbl_scope *scope);

// Runs op and pushes its outputs; returns their number. Raises on failure.
int vbl_lua_apply(lua_State *L, const vbl_op *op, vbl_tensor *const *in, int inputs, const vbl_attrs *attrs);
// y = op(x), no attributes. Returns y, which lives as long as its handle at the stack's top.
vbl_tensor *vbl_lua_apply_unary(lua_State *L, const vbl_op *op, vbl_tensor *x);

// New contiguous tensor of undefined content on the host, pushed.
vbl_tensor *vbl_lua_new_tensor(lua_State *L, vbl_dtype dtype, int ndim, const int64_t *shape);
// The same on a device.
vbl_tensor *vbl_lua_new_tensor_on(lua_State *L, const vbl_backend *device, vbl_dtype dtype, int ndim, const int64_t *shape);
const vbl_backend *vbl_lua_backend(vbl_dtype dtype);  // which host backend computes with it
// Pushes a 0-dim tensor of like's dtype and device that holds the number at `arg`; an i32 or u8 takes only integers in its range.
vbl_tensor *vbl_lua_push_scalar(lua_State *L, int arg, const vbl_tensor *like);

vbl_dtype vbl_lua_check_dtype(lua_State *L, const char *name);
const vbl_backend *vbl_lua_check_device(lua_State *L, const char *name);  // else an error that says what is missing
// The tensor at the stack's top on the host, contiguous (itself where it is so), pushed.
vbl_tensor *vbl_lua_push_host(lua_State *L, const vbl_tensor *t);
// The dim (1 .. ndim, or negative from the end) at `arg`, as 0 .. ndim-1.
int vbl_lua_check_dim(lua_State *L, int arg, int ndim);
// Sizes from `arg` on: numbers, or one table of them; minus_one allows one -1. Returns how many, *next the argument after.
int vbl_lua_check_shape(lua_State *L, int arg, bool minus_one, int64_t shape[VBL_MAX_DIMS], int *next);

// Pushes one element as a Lua number (an integer for i32 and u8), or all of a host's tensor below `index[0..depth)` as nested tables.
void vbl_lua_push_element(lua_State *L, const vbl_tensor *t, const int64_t *index);
void vbl_lua_push_table(lua_State *L, const vbl_tensor *t, int depth, int64_t *index);

bool vbl_fits_dtype(vbl_dtype dtype, double value);  // an integer dtype holds it exactly; real ones hold all

// Starts a scope, or switches recording, until the running C function returns or raises (a to-be-closed guard on its stack).
vbl_scope *vbl_lua_open_scope(lua_State *L);
void vbl_lua_set_recording(lua_State *L, bool on);
void vbl_lua_set_autocast(lua_State *L, vbl_precision p);  // likewise, vbl_set_autocast
// Moves the tensors among the stack values first .. top, also inside tables, from `scope` to its parent.
void vbl_lua_leave_scope(lua_State *L, vbl_scope *scope, int first);
// vbl.scope(fn, ...): with fn and its arguments on the stack; returns the number of results, which lie at its top.
int vbl_lua_scope_call(lua_State *L);

// Sets prefix .. "live", "peak", "held", "most_held", "limit" of a device's memory in the table at the stack's top.
void vbl_lua_set_device_memory(lua_State *L, const vbl_backend *device, const char *prefix);

// The rows of each file, registered by vbl_open_tensor.
extern const vbl_fn vbl_make_rows[], vbl_random_rows[], vbl_algebra_rows[], vbl_scope_rows[], vbl_grad_rows[],
    vbl_checkpoint_rows[], vbl_environment_rows[], vbl_profile_rows[], vbl_plan_rows[];  // functions of vbl
extern const vbl_fn vbl_handle_methods[], vbl_method_rows[], vbl_math_rows[], vbl_view_rows[], vbl_grad_methods[],
    vbl_transfer_methods[];             // methods
int vbl_tensor_index(lua_State *L);     // __index; upvalue 1: the table of methods
int vbl_tensor_newindex(lua_State *L);  // __newindex
int vbl_tensor_tostring(lua_State *L);
extern const luaL_Reg vbl_tensor_operators[];
