// How a tensor prints: dtype, shape, device, mean and deviation, then its elements, or a corner of them where there are many.
// defines: vbl_tensor_tostring
#include <math.h>
#include <stdio.h>

#include "bindings/tensor.h"
#include "kernels/ref/ref.h"

enum { FULL = 64, CORNER_ROWS = 6, CORNER_COLUMNS = 8 };

enum { NUMBER = 32 };

// The element as text, its length.
static int number_text(const vbl_tensor *t, const int64_t *index, char number[NUMBER]) {
  double value = vbl_tensor_get(t, index);
  if (vbl_is_real(t->dtype) && !isfinite(value))
    return snprintf(number, NUMBER, "%s", isnan(value) ? "NaN" : value < 0 ? "-Inf" : "Inf");
  return snprintf(number, NUMBER, vbl_is_real(t->dtype) ? "%.5g" : "%.0f", value);
}

static void add_number(luaL_Buffer *text, const vbl_tensor *t, const int64_t *index, int width) {
  char number[NUMBER];
  for (int n = number_text(t, index, number); n < width; n++) luaL_addchar(text, ' ');
  luaL_addstring(text, number);
}

// How many of dim `depth` are shown: all, or the corner's.
static int64_t shown(const vbl_tensor *t, int depth, bool full) {
  int64_t limit = depth == t->ndim - 1 ? CORNER_COLUMNS : depth == t->ndim - 2 ? CORNER_ROWS : 1;
  return full || t->shape[depth] < limit ? t->shape[depth] : limit;
}

// The longest of the numbers that are shown.
static int widest(const vbl_tensor *t, int depth, int64_t *index, bool full) {
  char number[NUMBER];
  if (depth == t->ndim) return number_text(t, index, number);
  int most = 0;
  for (index[depth] = 0; index[depth] < shown(t, depth, full); index[depth]++) {
    int width = widest(t, depth + 1, index, full);
    if (width > most) most = width;
  }
  return most;
}

// Elements from dim `depth` on as nested braces, numbers under each other.
static void add_level(luaL_Buffer *text, const vbl_tensor *t, int depth, int64_t *index, bool full, int width) {
  if (depth == t->ndim) {
    add_number(text, t, index, width);
    return;
  }
  bool last = depth == t->ndim - 1;
  luaL_addchar(text, '{');
  for (index[depth] = 0; index[depth] < t->shape[depth]; index[depth]++) {
    if (index[depth] > 0) luaL_addstring(text, last ? ", " : ",\n");
    if (index[depth] > 0 && !last)
      for (int d = 0; d <= depth; d++) luaL_addchar(text, ' ');
    if (index[depth] == shown(t, depth, full)) {
      luaL_addstring(text, "...");
      break;
    }
    add_level(text, t, depth + 1, index, full, width);
  }
  luaL_addchar(text, '}');
}

// "mean 0.01 std 0.98" over the finite elements (biased deviation, two passes), and how many are not.
static void add_statistics(luaL_Buffer *text, const vbl_tensor *flat) {
  double sum = 0, squares = 0;
  int64_t n = vbl_tensor_numel(flat), finite = 0, nan = 0;
  const void *data = vbl_tensor_data(flat);
  for (int64_t i = 0; i < n; i++) {
    double x = vbl_ref_load(flat->dtype, data, i);
    if (isfinite(x)) {
      sum += x;
      finite++;
    } else if (isnan(x)) {
      nan++;
    }
  }
  double mean = finite > 0 ? sum / (double)finite : 0;
  for (int64_t i = 0; i < n; i++) {
    double x = vbl_ref_load(flat->dtype, data, i);
    if (isfinite(x)) squares += (x - mean) * (x - mean);
  }
  char line[128];
  if (finite > 0) {
    snprintf(line, sizeof line, " mean %.4g std %.4g", mean, sqrt(squares / (double)finite));
    luaL_addstring(text, line);
  }
  if (finite == n) return;
  snprintf(line, sizeof line, " (%lld NaN, %lld Inf)", (long long)nan, (long long)(n - finite - nan));
  luaL_addstring(text, line);
}

static void add_head(luaL_Buffer *text, const vbl_tensor *t) {
  luaL_addstring(text, vbl_dtype_name(t->dtype));
  luaL_addchar(text, '[');
  for (int d = 0; d < t->ndim; d++) {
    char size[24];
    snprintf(size, sizeof size, d == 0 ? "%lld" : ",%lld", (long long)t->shape[d]);
    luaL_addstring(text, size);
  }
  luaL_addstring(text, t->storage->backend->host ? "] cpu" : "] ");
  if (!t->storage->backend->host) luaL_addstring(text, t->storage->backend->name);
}

int vbl_tensor_tostring(lua_State *L) {
  const vbl_handle *h = luaL_checkudata(L, 1, VBL_TENSOR_META);
  if (h->t == NULL) {
    lua_pushfstring(L, "tensor (released %s)", h->released);
    return 1;
  }
  int64_t index[VBL_MAX_DIMS] = {0};
  const vbl_tensor *flat = vbl_lua_push_host(L, h->t);  // below the buffer, which wants the top
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  if (flat->ndim > 0) {
    int64_t n = vbl_tensor_numel(flat);
    add_head(&text, h->t);
    add_statistics(&text, flat);
    if (h->t->requires_grad) luaL_addstring(&text, " requires_grad");
    luaL_addstring(&text, n > 0 ? "\n" : " {}");
    if (n > 0) add_level(&text, flat, 0, index, n <= FULL, flat->ndim > 1 ? widest(flat, 0, index, n <= FULL) : 0);
  } else {
    add_number(&text, flat, index, 0);
  }
  luaL_pushresult(&text);
  return 1;
}
