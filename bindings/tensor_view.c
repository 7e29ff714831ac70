// Views of tensors, differentiable: reshape, permute, narrow, select, ... Data is shared, not copied, unless said.
// defines: vbl_view_rows, vbl_lua_slice, vbl_lua_reshape, vbl_lua_check_index
#include "bindings/tensor_view.h"

#include <string.h>

// The attributes that carry a list: n[0] = its length, then its numbers.
static vbl_attrs list_attrs(int count, const int64_t *list) {
  vbl_attrs attrs = {.n = {count}};
  memcpy(attrs.n + 1, list, (size_t)count * sizeof *list);
  return attrs;
}

vbl_tensor *vbl_lua_slice(lua_State *L, vbl_tensor *t, int dim, int64_t start, int64_t length) {
  vbl_attrs attrs = {.n = {dim, start, length}};
  vbl_lua_apply(L, &vbl_op_slice, &t, 1, &attrs);
  return vbl_lua_check_tensor(L, -1);
}

vbl_tensor *vbl_lua_reshape(lua_State *L, vbl_tensor *t, int ndim, const int64_t *shape) {
  vbl_attrs attrs = list_attrs(ndim, shape);
  vbl_lua_apply(L, &vbl_op_reshape, &t, 1, &attrs);
  return vbl_lua_check_tensor(L, -1);
}

// Pushes t with its dims in this order.
static int permuted(lua_State *L, vbl_tensor *t, const int64_t *order) {
  vbl_attrs attrs = list_attrs(t->ndim, order);
  vbl_lua_apply(L, &vbl_op_permute, &t, 1, &attrs);
  return 1;
}

int64_t vbl_lua_check_index(lua_State *L, int64_t i, int dim, int64_t size) {
  if (i == 0 || i > size || i < -size)
    vbl_lua_error(L, "index %I is out of range for dim %d of size %I (indices count from 1, negative ones from the end)",
                  (LUAI_UACINT)i, dim + 1, (LUAI_UACINT)size);
  return i > 0 ? i - 1 : i + size;
}

// The sizes from argument 2 on, with a -1 replaced by what t's elements leave for it.
static int check_new_shape(lua_State *L, const vbl_tensor *t, int64_t shape[VBL_MAX_DIMS]) {
  int next, open = -1, ndim = vbl_lua_check_shape(L, 2, true, shape, &next);
  int64_t known = 1, numel = vbl_tensor_numel(t);  // known: -1 where there are too many to count
  for (int d = 0; d < ndim; d++) {
    if (shape[d] >= 0) {
      if (known >= 0 && __builtin_mul_overflow(known, shape[d], &known)) known = -1;
    } else {
      if (open >= 0) vbl_lua_error(L, "only one size may be -1");
      open = d;
    }
  }
  if (open >= 0 && known > 0 && numel % known == 0) shape[open] = numel / known;
  if (open < 0 ? known != numel : shape[open] < 0) {
    char from[VBL_SHAPE_TEXT], to[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "cannot reshape %s of %I elements to %s", vbl_shape_text(t->ndim, t->shape, from), (LUAI_UACINT)numel,
                  vbl_shape_text(ndim, shape, to));
  }
  return ndim;
}

static int method_reshape(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  int64_t shape[VBL_MAX_DIMS];
  int ndim = check_new_shape(L, t, shape);
  vbl_lua_reshape(L, t, ndim, shape);
  return 1;
}

static int method_view(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  int64_t shape[VBL_MAX_DIMS];
  int ndim = check_new_shape(L, t, shape);
  vbl_tensor *view = NULL;
  VBL_LUA_TRY(L, vbl_tensor_reshape_view(t, ndim, shape, &view, &err));
  vbl_tensor_release(view);
  vbl_lua_reshape(L, t, ndim, shape);
  return 1;
}

static int method_permute(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  int64_t order[VBL_MAX_DIMS];
  unsigned seen = 0;
  luaL_argcheck(L, lua_gettop(L) - 1 == t->ndim, 2, "expected every dim once");
  for (int d = 0; d < t->ndim; d++) {
    order[d] = vbl_lua_check_dim(L, 2 + d, t->ndim);
    luaL_argcheck(L, (seen >> order[d] & 1) == 0, 2 + d, "expected every dim once");
    seen |= 1u << order[d];
  }
  return permuted(L, t, order);
}

static int swapped(lua_State *L, vbl_tensor *t, int a, int b) {
  int64_t order[VBL_MAX_DIMS];
  for (int d = 0; d < t->ndim; d++) order[d] = d == a ? b : d == b ? a : d;
  return permuted(L, t, order);
}

static int method_transpose(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  return swapped(L, t, vbl_lua_check_dim(L, 2, t->ndim), vbl_lua_check_dim(L, 3, t->ndim));
}

static int method_t(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  if (t->ndim != 2) vbl_lua_error(L, "t: expected 2 dims, got %d (use transpose)", t->ndim);
  return swapped(L, t, 0, 1);
}

static int method_narrow(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  int dim = vbl_lua_check_dim(L, 2, t->ndim);
  int64_t start = luaL_checkinteger(L, 3), length = luaL_checkinteger(L, 4), size = t->shape[dim];
  if (start < 0) start += size + 1;
  if (start < 1 || length < 0 || start - 1 > size - length)
    vbl_lua_error(L, "narrow: %I elements from index %I do not lie in dim %d of size %I", (LUAI_UACINT)length, (LUAI_UACINT)start,
                  dim + 1, (LUAI_UACINT)size);
  vbl_lua_slice(L, t, dim, start - 1, length);
  return 1;
}

static int method_select(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  int dim = vbl_lua_check_dim(L, 2, t->ndim), n = 0;
  int64_t index = vbl_lua_check_index(L, luaL_checkinteger(L, 3), dim, t->shape[dim]), shape[VBL_MAX_DIMS];
  for (int d = 0; d < t->ndim; d++)
    if (d != dim) shape[n++] = t->shape[d];
  vbl_lua_reshape(L, vbl_lua_slice(L, t, dim, index, 1), n, shape);
  return 1;
}

static int method_unsqueeze(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  if (t->ndim == VBL_MAX_DIMS) vbl_lua_error(L, "unsqueeze: the tensor has the most dims already (%d)", VBL_MAX_DIMS);
  int dim = vbl_lua_check_dim(L, 2, t->ndim + 1);
  int64_t shape[VBL_MAX_DIMS];
  for (int d = 0; d <= t->ndim; d++) shape[d] = d < dim ? t->shape[d] : d == dim ? 1 : t->shape[d - 1];
  vbl_lua_reshape(L, t, t->ndim + 1, shape);
  return 1;
}

static int method_squeeze(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  int only = lua_isnoneornil(L, 2) ? -1 : vbl_lua_check_dim(L, 2, t->ndim), n = 0;
  int64_t shape[VBL_MAX_DIMS];
  for (int d = 0; d < t->ndim; d++)
    if (t->shape[d] != 1 || (only >= 0 && d != only)) shape[n++] = t->shape[d];
  vbl_lua_reshape(L, t, n, shape);
  return 1;
}

static int method_expand(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  int64_t shape[VBL_MAX_DIMS];
  int next, ndim = vbl_lua_check_shape(L, 2, true, shape, &next);
  for (int d = 0; d < ndim; d++) {
    int own = d - (ndim - t->ndim);
    if (shape[d] < 0 && own < 0) vbl_lua_error(L, "expand: size of new dim %d cannot be -1", d + 1);
    if (shape[d] < 0) shape[d] = t->shape[own];
  }
  vbl_attrs attrs = list_attrs(ndim, shape);
  vbl_lua_apply(L, &vbl_op_expand, &t, 1, &attrs);
  return 1;
}

static int method_contiguous(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  lua_settop(L, 1);
  if (!vbl_tensor_is_contiguous(t)) vbl_lua_apply_unary(L, &vbl_op_contiguous, t);
  return 1;
}

const vbl_fn vbl_view_rows[] = {
    {"reshape", method_reshape, "t:reshape(d1, d2, ...) -> tensor",
     "The same elements in another shape; one size may be -1. Shares data where the strides allow it, else copies."},
    {"view", method_view, "t:view(d1, d2, ...) -> tensor", "As reshape, but an error where the data cannot be shared."},
    {"permute", method_permute, "t:permute(dim1, dim2, ...) -> tensor", "Dims in another order: each of 1 .. t:ndim() once."},
    {"transpose", method_transpose, "t:transpose(dim1, dim2) -> tensor", "Two dims exchanged."},
    {"t", method_t, "t:t() -> tensor", "A matrix transposed."},
    {"narrow", method_narrow, "t:narrow(dim, start, length) -> tensor",
     "`length` elements of a dim from index `start` (from 1) on."},
    {"select", method_select, "t:select(dim, index) -> tensor",
     "One index of a dim, which is dropped. t[i] is t:select(1, i), except that a 1-dim tensor gives a Lua number."},
    {"unsqueeze", method_unsqueeze, "t:unsqueeze(dim) -> tensor", "A new dim of size 1 that becomes dim `dim`."},
    {"squeeze", method_squeeze, "t:squeeze([dim]) -> tensor", "Without its dims of size 1, or without that one."},
    {"expand", method_expand, "t:expand(d1, d2, ...) -> tensor",
     "Dims of size 1 repeated without a copy, new dims before the first; -1 keeps a size."},
    {"contiguous", method_contiguous, "t:contiguous() -> tensor",
     "t itself where its elements lie in order, else a copy where they do."},
    {NULL, NULL, NULL, NULL}};
