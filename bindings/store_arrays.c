// Tensors in files: safetensors, .npy, .npz, .png and .jpg (read by core/data, as the loader does).
// defines: vbl_array_rows
#include <string.h>

#include "bindings/store.h"
#include "bindings/tensor.h"
#include "core/data/image.h"
#include "core/store/image_write.h"
#include "core/store/npy.h"
#include "core/store/safetensors.h"

// The tensor at the stack's top, made contiguous on the host; its handle replaces it there and keeps the array's memory alive.
static void push_array(lua_State *L, const char *name, vbl_array *out) {
  const vbl_tensor *whole = vbl_lua_push_host(L, vbl_lua_check_tensor(L, lua_gettop(L)));
  lua_replace(L, -2);
  *out = (vbl_array){.name = name, .dtype = whole->dtype, .ndim = whole->ndim, .data = vbl_tensor_data(whole)};
  memcpy(out->shape, whole->shape, sizeof out->shape);
}

// Arguments 2 and 3, {name, ...} and {tensor, ...}, as arrays; what keeps them alive is left on the stack.
static vbl_array *check_arrays(lua_State *L, int64_t *count) {
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_Integer n = luaL_len(L, 2);
  if (n != luaL_len(L, 3)) vbl_lua_error(L, "%I names for %I tensors", n, luaL_len(L, 3));
  vbl_array *arrays = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *arrays, 0);
  lua_createtable(L, (int)n, 0);
  int keep = lua_gettop(L);
  for (lua_Integer i = 0; i < n; i++) {
    if (lua_rawgeti(L, 2, i + 1) != LUA_TSTRING)
      vbl_lua_error(L, "name %I is a %s, expected a string", i + 1, luaL_typename(L, -1));
    const char *name = lua_tostring(L, -1);
    lua_rawgeti(L, 3, i + 1);
    if (!vbl_lua_test_tensor(L, -1)) vbl_lua_error(L, "\"%s\" is a %s, expected a tensor", name, luaL_typename(L, -1));
    push_array(L, name, &arrays[i]);
    lua_rawseti(L, keep, i + 1);
    lua_pop(L, 1);
  }
  *count = n;
  return arrays;
}

// The table at `arg` (or nil) as pairs sorted by key; the pairs are left on the stack.
static vbl_pair *check_pairs(lua_State *L, int arg, int64_t *count) {
  *count = 0;
  if (lua_isnoneornil(L, arg)) return NULL;
  luaL_checktype(L, arg, LUA_TTABLE);
  int64_t n = 0;
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) n++;
  vbl_pair *pairs = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *pairs, 0);
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) vbl_lua_error(L, "metadata: keys and values are strings");
    vbl_pair pair = {lua_tostring(L, -2), lua_tostring(L, -1)};
    int64_t at = (*count)++;
    for (; at > 0 && strcmp(pairs[at - 1].key, pair.key) > 0; at--) pairs[at] = pairs[at - 1];
    pairs[at] = pair;
  }
  return pairs;
}

static int safetensors_save(lua_State *L) {
  lua_settop(L, 4);
  int64_t n, pairs;
  uint32_t crc;
  uint64_t size;
  const char *path = luaL_checkstring(L, 1);
  vbl_pair *metadata = check_pairs(L, 4, &pairs);
  vbl_array *arrays = check_arrays(L, &n);
  VBL_LUA_TRY(L, vbl_safetensors_write(path, n, arrays, pairs, metadata, &crc, &size, &err));
  lua_pushinteger(L, crc);
  lua_pushinteger(L, (lua_Integer)size);
  return 2;
}

static void end_safetensors(void *f) {
  if (((vbl_safetensors *)f)->path) vbl_safetensors_close(f);
}

static const char *const file_dtypes[VBL_FILE_DTYPES] = {"f32", "f64",  "bf16", "i32", "u8", "f16",
                                                         "i64", "bool", "i8",   "i16", "u16"};

static void push_metadata(lua_State *L, const vbl_safetensors *f) {
  lua_createtable(L, 0, (int)f->pairs);
  for (int64_t i = 0; i < f->pairs; i++) {
    vbl_lua_set_string(L, f->metadata[i].key, f->metadata[i].value);
  }
}

static int safetensors_header(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  vbl_safetensors *f = vbl_lua_own(L, sizeof *f, end_safetensors);
  int file = lua_gettop(L);
  VBL_LUA_TRY(L, vbl_safetensors_open(f, path, &err));
  lua_createtable(L, 0, (int)f->count);
  for (int64_t i = 0; i < f->count; i++) {
    const vbl_safetensors_entry *e = &f->entries[i];
    lua_createtable(L, 0, 2);
    vbl_lua_set_string(L, "dtype", file_dtypes[e->dtype]);
    lua_createtable(L, e->ndim, 0);
    for (int d = 0; d < e->ndim; d++) {
      lua_pushinteger(L, e->shape[d]);
      lua_rawseti(L, -2, d + 1);
    }
    lua_setfield(L, -2, "shape");
    lua_setfield(L, -2, e->name);
  }
  push_metadata(L, f);
  vbl_lua_disown(L, file);
  return 2;
}

// Whether the table at argument 2 (nil: all are) has the name.
static bool is_wanted(lua_State *L, const char *name) {
  if (lua_isnil(L, 2)) return true;
  bool wanted = lua_getfield(L, 2, name) != LUA_TNIL;
  lua_pop(L, 1);
  return wanted;
}

static int safetensors_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_settop(L, 2);
  if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
  vbl_safetensors *f = vbl_lua_own(L, sizeof *f, end_safetensors);
  int file = lua_gettop(L);
  VBL_LUA_TRY(L, vbl_safetensors_open(f, path, &err));
  lua_createtable(L, 0, (int)f->count);
  lua_createtable(L, (int)f->count, 0);
  for (int64_t i = 0, n = 0; i < f->count; i++) {
    const vbl_safetensors_entry *e = &f->entries[i];
    if (!is_wanted(L, e->name)) continue;
    vbl_tensor *t = vbl_lua_new_tensor(L, vbl_file_dtype_target(e->dtype), e->ndim, e->shape);
    VBL_LUA_TRY(L, vbl_safetensors_read(f, i, vbl_tensor_data(t), &err));
    lua_setfield(L, -3, e->name);
    lua_pushstring(L, e->name);
    lua_rawseti(L, -2, ++n);
  }
  push_metadata(L, f);
  vbl_lua_disown(L, file);
  return 3;
}

static void push_npy(lua_State *L, const vbl_file_bytes *b, const char *where) {
  vbl_npy a;
  VBL_LUA_TRY(L, vbl_npy_parse(b->data, b->size, where, &a, &err));
  vbl_tensor *t = vbl_lua_new_tensor(L, vbl_file_dtype_target(a.dtype), a.ndim, a.shape);
  VBL_LUA_TRY(L, vbl_npy_read(&a, vbl_tensor_data(t), where, &err));
}

static void end_npz(void *z) { vbl_npz_close(z); }

static int npy_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  vbl_file_bytes *b = vbl_lua_own(L, sizeof *b, vbl_end_file_bytes);
  VBL_LUA_TRY(L, vbl_file_read(path, b, &err));
  push_npy(L, b, path);
  vbl_lua_disown(L, -2);
  return 1;
}

static int npz_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  vbl_npz *z = vbl_lua_own(L, sizeof *z, end_npz);
  int archive = lua_gettop(L);
  VBL_LUA_TRY(L, vbl_npz_open(z, path, &err));
  lua_createtable(L, 0, (int)z->count);
  lua_createtable(L, (int)z->count, 0);
  for (int64_t i = 0; i < z->count; i++) {
    const char *where = lua_pushfstring(L, "%s: %s", path, z->entries[i].name);
    push_npy(L, &z->entries[i].bytes, where);
    lua_setfield(L, -4, z->entries[i].name);
    lua_pop(L, 1);
    lua_pushstring(L, z->entries[i].name);
    lua_rawseti(L, -2, i + 1);
  }
  vbl_lua_disown(L, archive);
  return 2;
}

static int npy_save(lua_State *L) {
  vbl_array a;
  const char *path = luaL_checkstring(L, 1);
  lua_settop(L, 2);
  push_array(L, "", &a);
  VBL_LUA_TRY(L, vbl_npy_write(path, &a, &err));
  return 0;
}

static int npz_save(lua_State *L) {
  int64_t n;
  const char *path = luaL_checkstring(L, 1);
  vbl_array *arrays = check_arrays(L, &n);
  VBL_LUA_TRY(L, vbl_npz_write(path, n, arrays, &err));
  return 0;
}

static void end_image(void *image) { vbl_image_free(image); }

static int image_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  vbl_image *image = vbl_lua_own(L, sizeof *image, end_image);
  VBL_LUA_TRY(L, vbl_image_read(path, image, &err));
  int64_t area = (int64_t)image->width * image->height, shape[3] = {3, image->height, image->width};
  uint8_t *planes = vbl_tensor_data(vbl_lua_new_tensor(L, VBL_U8, 3, shape));
  for (int64_t i = 0; i < area; i++)
    for (int64_t c = 0; c < 3; c++) planes[c * area + i] = image->rgb[3 * i + c];
  vbl_lua_disown(L, -2);
  return 1;
}

// The u8 image at stack index 2 as `a`; what: for the error.
static void check_image(lua_State *L, const char *what, vbl_array *a, int64_t shape[3]) {
  push_array(L, "", a);
  if (a->dtype != VBL_U8 || a->ndim < 2 || a->ndim > 3) {
    char text[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "%s: an image is u8 [H, W], [1, H, W] or [3, H, W], got %s %s", what, vbl_dtype_name(a->dtype),
                  vbl_shape_text(a->ndim, a->shape, text));
  }
  shape[0] = a->ndim == 3 ? a->shape[0] : 1;
  shape[1] = a->shape[a->ndim - 2];
  shape[2] = a->shape[a->ndim - 1];
}

static int image_save(lua_State *L) {
  vbl_array a;
  int64_t shape[3];
  const char *path = luaL_checkstring(L, 1);
  lua_settop(L, 2);
  check_image(L, path, &a, shape);
  VBL_LUA_TRY(L, vbl_image_write(path, a.data, shape[0], shape[1], shape[2], &err));
  return 0;
}

static void end_encoded(void *bytes) { vbl_image_bytes_free(bytes); }

static int image_encode(lua_State *L) {
  vbl_array a;
  int64_t shape[3];
  const char *format = luaL_checkstring(L, 1);
  const lua_Integer quality = luaL_optinteger(L, 3, 95);
  lua_settop(L, 2);
  check_image(L, "image_encode", &a, shape);
  if (quality < 1 || quality > 100)
    return vbl_lua_error(L, "image_encode: quality: expected 1 to 100, got %I", (LUAI_UACINT)quality);
  vbl_image_bytes *out = vbl_lua_own(L, sizeof *out, end_encoded);
  VBL_LUA_TRY(L, vbl_image_encode(format, (int)quality, a.data, shape[0], shape[1], shape[2], out, &err));
  lua_pushlstring(L, (const char *)out->data, out->size);
  vbl_lua_disown(L, -2);
  return 1;
}

const vbl_fn vbl_array_rows[] = {
    {"safetensors_save", safetensors_save, "safetensors_save(path, names, tensors[, metadata]) -> crc32, size",
     "Writes tensors[i] as names[i], in that order; metadata: string -> string."},
    {"safetensors_header", safetensors_header, "safetensors_header(path) -> {name -> {dtype, shape}}, metadata",
     "What is in the file, without its data; dtype as the file has it."},
    {"safetensors_load", safetensors_load, "safetensors_load(path[, set]) -> {name -> tensor}, names, metadata",
     "set: name -> true, of the tensors to read (nil: all). "
     "F16 becomes f32, I64, I16, U16 and I8 become i32 (out of range is an error), BOOL becomes u8. names: in the order of the "
     "data."},
    {"npy_save", npy_save, "npy_save(path, tensor)", "bf16 is written as f32."},
    {"npy_load", npy_load, "npy_load(path) -> tensor", "Little-endian; dtypes become those of tensors as in safetensors_load."},
    {"npz_save", npz_save, "npz_save(path, names, tensors)", "Not compressed."},
    {"npz_load", npz_load, "npz_load(path) -> {name -> tensor}, names", "Stored or deflated."},
    {"image_load", image_load, "image_load(path) -> tensor",
     "JPEG or PNG as u8 [3, H, W]; grey becomes RGB, transparency lies on white."},
    {"image_encode", image_encode, "image_encode(format, tensor[, quality = 95]) -> string",
     "The bytes of a PNG (\"png\") or JPEG (\"jpg\", quality 1 to 100) of a u8 [H, W], [1, H, W] or [3, H, W]."},
    {"image_save", image_save, "image_save(path, tensor)", "u8 [H, W], [1, H, W] or [3, H, W]; .png, or .jpg at quality 95."},
    {NULL, NULL, NULL, NULL}};
