// vbl.data.augment: images of a batch, each drawn and changed by itself, in parallel.
// defines: vbl_lua_augment
#include <string.h>

#include "bindings/data.h"
#include "core/data/augment.h"

static void read_range(lua_State *L, int arg, const char *key, double *low, double *high) {
  if (lua_getfield(L, arg, key) != LUA_TNIL) {
    double *to[2] = {low, high};
    luaL_argcheck(L, lua_istable(L, -1), arg, "crop, ratio and sigma are {low, high}");
    for (int i = 0; i < 2; i++) {
      lua_rawgeti(L, -1, i + 1);
      if (!lua_isnumber(L, -1)) vbl_lua_error(L, "augment: %s: expected {low, high}", key);
      *to[i] = lua_tonumber(L, -1);
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
}

static vbl_augment read_options(lua_State *L, int arg, int S) {
  static const char *const known[] = {"crop", "ratio", "flip",      "jitter", "brightness", "contrast", "saturation",
                                      "hue",  "blur",  "grayscale", "sigma",  "kernel",     NULL};
  vbl_lua_check_keys(L, arg, known);
  vbl_augment a = {.crop_low = 1, .crop_high = 1, .ratio_low = 0.75, .ratio_high = 4.0 / 3, .sigma_low = 0.1, .sigma_high = 2};
  read_range(L, arg, "crop", &a.crop_low, &a.crop_high);
  read_range(L, arg, "ratio", &a.ratio_low, &a.ratio_high);
  read_range(L, arg, "sigma", &a.sigma_low, &a.sigma_high);
  a.flip = vbl_lua_opt_number(L, arg, "flip", 0);
  a.jitter = vbl_lua_opt_number(L, arg, "jitter", 0);
  a.brightness = vbl_lua_opt_number(L, arg, "brightness", 0);
  a.contrast = vbl_lua_opt_number(L, arg, "contrast", 0);
  a.saturation = vbl_lua_opt_number(L, arg, "saturation", 0);
  a.hue = vbl_lua_opt_number(L, arg, "hue", 0);
  a.grayscale = vbl_lua_opt_number(L, arg, "grayscale", 0);
  a.blur = vbl_lua_opt_number(L, arg, "blur", 0);
  int64_t kernel = vbl_lua_opt_integer(L, arg, "kernel", (S / 10) | 1);
  a.kernel = kernel < 0 || kernel > INT32_MAX ? 0 : (int)kernel;
  VBL_LUA_TRY(L, vbl_augment_check(&a, S, &err));
  return a;
}

// images (B, 3, S, S), each with the draws of its sample. Out of memory for any: the status.
static vbl_status augment_all(const vbl_augment *a, uint32_t seed, int purpose, uint32_t epoch, const int32_t *sample, int32_t B,
                              int S, uint8_t *images, vbl_error *err) {
  vbl_status worst = VBL_OK;
  size_t bytes = 3 * (size_t)S * (size_t)S;
#pragma omp parallel for schedule(dynamic)
  for (int32_t b = 0; b < B; b++) {
    vbl_augmentation g = vbl_augment_draw(a, seed, (vbl_augment_purpose)purpose, epoch, sample[b], S);
    if (vbl_augment_apply(&g, S, images + (size_t)b * bytes, NULL) == VBL_OK) continue;
#pragma omp atomic write
    worst = VBL_ENOMEM;
  }
  return worst == VBL_OK ? VBL_OK : vbl_fail(err, worst, "out of memory while augmenting %d images", B);
}

int vbl_lua_augment(lua_State *L) {
  static const char *const purposes[] = {"ap", "mim", "mim_clean", "mim_masked", NULL};
  vbl_tensor *in = vbl_lua_check_tensor(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  uint32_t seed = vbl_lua_check_u32(L, 3, "seed"), epoch = vbl_lua_check_u32(L, 5, "epoch");
  int purpose = luaL_checkoption(L, 4, NULL, purposes);
  if (in->dtype != VBL_U8 || in->ndim != 4 || in->shape[1] != 3 || in->shape[2] != in->shape[3] || !vbl_tensor_is_contiguous(in)) {
    char shape[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "augment: images: expected contiguous u8 [B, 3, S, S], got %s %s", vbl_dtype_name(in->dtype),
                  vbl_shape_text(in->ndim, in->shape, shape));
  }
  int32_t n, *sample = vbl_lua_index_list(L, 6, INT32_MAX, &n);
  if (n != in->shape[0]) vbl_lua_error(L, "augment: %d samples for %I images", n, (LUAI_UACINT)in->shape[0]);
  vbl_augment a = read_options(L, 2, (int)in->shape[2]);
  vbl_tensor *out = vbl_lua_new_tensor(L, VBL_U8, 4, in->shape);
  memcpy(vbl_tensor_data(out), vbl_tensor_data(in), (size_t)vbl_tensor_numel(in));
  VBL_LUA_TRY(L, augment_all(&a, seed, purpose, epoch, sample, n, (int)in->shape[2], vbl_tensor_data(out), &err));
  return 1;
}
