// Random tensors: stream VBL_STREAM_USER of Philox. Every call draws with the next draw number, so element i of the n-th random
// tensor after vbl.manual_seed is one number, whatever the threads and devices. Counter: (block of 4 as two words, draw as two).
// defines: vbl_random_rows
#include <math.h>

#include "bindings/tensor_make.h"
#include "core/base/philox.h"
#include "kernels/ref/ref.h"

typedef struct drawing {
  vbl_philox_key key;
  uint64_t draw;
} drawing;

static drawing next_draw(lua_State *L) {
  vbl_lua_state *state = vbl_lua_get_state(L);
  return (drawing){{state->seed, VBL_STREAM_USER}, state->draws++};
}

static vbl_u32x4 block_of(const drawing *d, uint64_t block) {
  return vbl_philox(d->key, (uint32_t)block, (uint32_t)(block >> 32), (uint32_t)d->draw, (uint32_t)(d->draw >> 32));
}

// 64 random bits for element i: two to a block.
static uint64_t bits64(const drawing *d, uint64_t i) {
  vbl_u32x4 r = block_of(d, i / 2);
  return ((uint64_t)r.v[i % 2 * 2] << 32) | r.v[i % 2 * 2 + 1];
}

static void check_real(lua_State *L, const vbl_tensor *t, const char *name) {
  if (!vbl_is_real(t->dtype))
    vbl_lua_error(L, "%s: expected a real dtype, got %s (vbl.randint draws integers)", name, vbl_dtype_name(t->dtype));
}

// Refuses a dtype that rounds any integer from low to high: of real ones one beyond 2^(bits of the significand).
static void check_whole(lua_State *L, const char *name, vbl_dtype dtype, int64_t low, int64_t high) {
  const int64_t most = dtype == VBL_BF16 ? 1 << 8 : dtype == VBL_F32 ? 1 << 24 : INT64_MAX;
  if (vbl_fits_dtype(dtype, (double)low) && vbl_fits_dtype(dtype, (double)high) && low >= -most && high <= most) return;
  vbl_lua_error(L, "%s: %s cannot hold each of %I .. %I; draw them as i32", name, vbl_dtype_name(dtype), (LUAI_UACINT)low,
                (LUAI_UACINT)high);
}

// In [0, 1) after rounding too: bf16 has multiples of 2^-8, as PyTorch draws them.
static double unit(vbl_dtype dtype, uint32_t bits) {
  return dtype == VBL_BF16 ? (double)(bits >> 24) * 0x1p-8 : (double)vbl_u32_to_unit(bits);
}

static int make_rand(lua_State *L) {
  vbl_make_options options;
  vbl_tensor *t = vbl_lua_make(L, 1, VBL_F32, &options);
  check_real(L, t, "rand");
  drawing d = next_draw(L);
  int64_t n = vbl_tensor_numel(t);
  vbl_u32x4 r = {{0}};
  for (int64_t i = 0; i < n; i++) {
    if (i % 4 == 0) r = block_of(&d, (uint64_t)i / 4);
    vbl_ref_store(t->dtype, vbl_tensor_data(t), i, unit(t->dtype, r.v[i % 4]));
  }
  return vbl_lua_made(L, t, &options);
}

// Box and Muller (1958): a block of four uniforms gives four normals. u is in (0, 1), where the logarithm is finite.
static void normals(vbl_u32x4 r, double z[4]) {
  for (int i = 0; i < 4; i += 2) {
    double u = ((double)r.v[i] + 0.5) * 0x1p-32, angle = 2 * 3.14159265358979323846 * 0x1p-32 * (double)r.v[i + 1];
    double radius = sqrt(-2 * log(u));
    z[i] = radius * cos(angle);
    z[i + 1] = radius * sin(angle);
  }
}

static int make_randn(lua_State *L) {
  vbl_make_options options;
  vbl_tensor *t = vbl_lua_make(L, 1, VBL_F32, &options);
  check_real(L, t, "randn");
  drawing d = next_draw(L);
  int64_t n = vbl_tensor_numel(t);
  double z[4] = {0};
  for (int64_t i = 0; i < n; i++) {
    if (i % 4 == 0) normals(block_of(&d, (uint64_t)i / 4), z);
    vbl_ref_store(t->dtype, vbl_tensor_data(t), i, z[i % 4]);
  }
  return vbl_lua_made(L, t, &options);
}

// Uniform in [0, n), n >= 1, by multiply-shift (Lemire 2019 without the rejection step).
static uint64_t below(uint64_t bits, uint64_t n) { return (uint64_t)(((unsigned __int128)bits * n) >> 64); }

static int make_randint(lua_State *L) {
  int64_t low = luaL_checkinteger(L, 1), high = luaL_checkinteger(L, 2);
  luaL_argcheck(L, low < high && low >= INT32_MIN && high <= (int64_t)INT32_MAX + 1, 2,
                "expected low < high, both in the range of i32");
  vbl_make_options options;
  vbl_tensor *t = vbl_lua_make(L, 3, VBL_I32, &options);
  check_whole(L, "randint", t->dtype, low, high - 1);
  drawing d = next_draw(L);
  int64_t n = vbl_tensor_numel(t);
  for (int64_t i = 0; i < n; i++)
    vbl_ref_store(t->dtype, vbl_tensor_data(t), i, (double)(low + (int64_t)below(bits64(&d, (uint64_t)i), (uint64_t)(high - low))));
  return vbl_lua_made(L, t, &options);
}

// Fisher and Yates's shuffle, from the end.
static int make_randperm(lua_State *L) {
  int64_t n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 0 && n <= INT32_MAX, 1, "expected 0 .. 2^31 - 1");
  vbl_make_options options = vbl_lua_make_options(L, 2, VBL_I32);
  check_whole(L, "randperm", options.dtype, 0, n > 0 ? n - 1 : 0);
  vbl_tensor *t = vbl_lua_new_tensor(L, options.dtype, 1, &n);
  drawing d = next_draw(L);
  void *data = vbl_tensor_data(t);
  for (int64_t i = 0; i < n; i++) vbl_ref_store(t->dtype, data, i, (double)i);
  for (int64_t i = n - 1; i > 0; i--) {
    int64_t j = (int64_t)below(bits64(&d, (uint64_t)i), (uint64_t)i + 1);
    double a = vbl_ref_load(t->dtype, data, i), b = vbl_ref_load(t->dtype, data, j);
    vbl_ref_store(t->dtype, data, i, b);
    vbl_ref_store(t->dtype, data, j, a);
  }
  return vbl_lua_made(L, t, &options);
}

static int manual_seed(lua_State *L) {
  lua_Integer seed = luaL_checkinteger(L, 1), draws = luaL_optinteger(L, 2, 0);
  luaL_argcheck(L, seed >= 0 && seed <= UINT32_MAX, 1, "expected 0 .. 2^32 - 1");
  luaL_argcheck(L, draws >= 0, 2, "expected 0 or more");
  vbl_lua_state *state = vbl_lua_get_state(L);
  state->seed = (uint32_t)seed;
  state->draws = (uint64_t)draws;
  return 0;
}

static int random_state(lua_State *L) {
  const vbl_lua_state *state = vbl_lua_get_state(L);
  lua_pushinteger(L, state->seed);
  lua_pushinteger(L, (lua_Integer)state->draws);
  return 2;
}

#define SIZES "d1, d2, ..., [opts]"
#define DRAW  "The n-th random tensor since vbl.manual_seed is always the same. opts as in vbl.zeros. "

const vbl_fn vbl_random_rows[] = {
    {"rand", make_rand, "rand(" SIZES ") -> tensor", "Uniform numbers in [0, 1), multiples of 2^-24, in bf16 of 2^-8. " DRAW},
    {"randn", make_randn, "randn(" SIZES ") -> tensor", "Standard normal numbers. " DRAW},
    {"randint", make_randint, "randint(low, high, " SIZES ") -> tensor",
     "Uniform integers, low <= v < high; i32 by default. The dtype has to hold each of them: bf16 those up to 256, f32 up to "
     "2^24. " DRAW},
    {"randperm", make_randperm, "randperm(n, [opts]) -> tensor [n]",
     "A random order of 0 .. n-1; i32 by default. The dtype as of vbl.randint. " DRAW},
    {"manual_seed", manual_seed, "manual_seed(seed, [draws = 0])",
     "Restarts the random tensors of vbl at this seed (0 .. 2^32 - 1; 0 at the start), after `draws` of them."},
    {"random_state", random_state, "random_state() -> seed, draws", "What vbl.manual_seed needs to go on from here."},
    {NULL, NULL, NULL, NULL}};
