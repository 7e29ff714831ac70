// Part of "vbl.metrics.c": scores of weighted samples, and their bootstrap and exchange (core/metrics/resample.h).
// defines: vbl_resample_rows, vbl_lua_weighted_class
#include "bindings/metrics.h"
#include "bindings/store.h"
#include "core/metrics/resample.h"

#define WEIGHTED_META "vbl.metrics.weighted"

static const char *const kinds[] = {"mean", "median", "auroc", "average_precision", "f1_micro", "f1_macro", "f1_weighted", NULL};

static int weighted_gc(lua_State *L) {
  vbl_weighted_free(luaL_checkudata(L, 1, WEIGHTED_META));
  return 0;
}

static vbl_weighted *push_weighted(lua_State *L) {
  vbl_weighted *w = lua_newuserdatauv(L, sizeof *w, 0);
  *w = (vbl_weighted){0};
  luaL_setmetatable(L, WEIGHTED_META);
  return w;
}

static int of_values(lua_State *L, vbl_weighted_kind kind) {
  vbl_values x = vbl_lua_values(L, 2, "values", false);
  vbl_weighted *w = push_weighted(L);
  VBL_LUA_TRY(L, kind == VBL_W_MEAN ? vbl_weighted_mean(x.v, x.n, w, &err) : vbl_weighted_median(x.v, x.n, w, &err));
  return 1;
}

static int of_scores(lua_State *L, vbl_weighted_kind kind) {
  vbl_values score = vbl_lua_values(L, 2, "scores", true), label = vbl_lua_values(L, 3, "labels", true);
  vbl_lua_same_shape(L, &score, &label);
  const uint8_t *positive = vbl_lua_flags(L, &label);
  vbl_weighted *w = push_weighted(L);
  int64_t classes = score.classes > 0 ? score.classes : 1;
  VBL_LUA_TRY(L, vbl_weighted_ranked(kind, score.v, positive, score.n, classes, w, &err));
  return 1;
}

static int of_decisions(lua_State *L, vbl_weighted_kind kind) {
  vbl_values predicted = vbl_lua_values(L, 2, "predicted", true), truth = vbl_lua_values(L, 3, "truth", true);
  vbl_lua_same_shape(L, &predicted, &truth);
  int64_t classes = truth.classes > 0 ? truth.classes : luaL_optinteger(L, 4, 0);
  if (truth.classes > 0) {
    const uint8_t *p = vbl_lua_flags(L, &predicted), *t = vbl_lua_flags(L, &truth);
    vbl_weighted *w = push_weighted(L);
    VBL_LUA_TRY(L, vbl_weighted_labels(kind, p, t, truth.n, classes, w, &err));
    return 1;
  }
  const int64_t *p = vbl_lua_classes(L, &predicted, &classes), *t = vbl_lua_classes(L, &truth, &classes);
  vbl_weighted *w = push_weighted(L);
  VBL_LUA_TRY(L, vbl_weighted_classes(kind, p, t, truth.n, classes, w, &err));
  return 1;
}

static int l_weighted(lua_State *L) {
  vbl_weighted_kind kind = (vbl_weighted_kind)luaL_checkoption(L, 1, NULL, kinds);
  lua_settop(L, 4);
  luaL_checkstack(L, 16, NULL);
  if (kind <= VBL_W_MEDIAN) return of_values(L, kind);
  return kind <= VBL_W_AVERAGE_PRECISION ? of_scores(L, kind) : of_decisions(L, kind);
}

static int weighted_value(lua_State *L) {
  const vbl_weighted *w = luaL_checkudata(L, 1, WEIGHTED_META);
  lua_settop(L, 2);
  int32_t *weight = lua_newuserdatauv(L, sizeof *weight * (size_t)w->n, 0);
  vbl_counts *scratch = lua_newuserdatauv(L, sizeof *scratch * (size_t)w->classes, 0);
  for (int64_t i = 0; i < w->n; i++) weight[i] = 1;
  if (!lua_isnil(L, 2)) {
    vbl_values given = vbl_lua_values(L, 2, "weights", false);
    if (given.n != w->n) return vbl_lua_error(L, "weights: %I of %I samples", (LUAI_UACINT)given.n, (LUAI_UACINT)w->n);
    for (int64_t i = 0; i < w->n; i++) {
      if (given.v[i] < 0 || given.v[i] > 1e6 || given.v[i] != (int32_t)given.v[i])
        return vbl_lua_error(L, "weights: element %I is %f, expected a whole number from 0 to 10^6", (LUAI_UACINT)i + 1,
                             (LUAI_UACNUMBER)given.v[i]);
      weight[i] = (int32_t)given.v[i];
    }
  }
  lua_pushnumber(L, vbl_weighted_value(w, weight, scratch));
  return 1;
}

// The sets of the list at argument 1, as an array that Lua owns; all of the same number of samples.
static const vbl_weighted **check_sets(lua_State *L, int64_t *count) {
  luaL_checktype(L, 1, LUA_TTABLE);
  *count = (int64_t)lua_rawlen(L, 1);
  luaL_argcheck(L, *count >= 1, 1, "expected at least one set");
  const vbl_weighted **sets = lua_newuserdatauv(L, sizeof *sets * (size_t)*count, 0);
  for (int64_t s = 0; s < *count; s++) {
    lua_rawgeti(L, 1, s + 1);
    sets[s] = luaL_checkudata(L, -1, WEIGHTED_META);  // the list holds it
    lua_pop(L, 1);
    if (sets[s]->n != sets[0]->n)
      vbl_lua_error(L, "set %I has %I samples, the first %I", (LUAI_UACINT)s + 1, (LUAI_UACINT)sets[s]->n, (LUAI_UACINT)sets[0]->n);
  }
  return sets;
}

static void check_draws(lua_State *L, int64_t *draws, uint32_t *seed) {
  *draws = luaL_checkinteger(L, 2);
  lua_Integer s = luaL_checkinteger(L, 3);
  luaL_argcheck(L, *draws >= 1 && *draws <= 10000000, 2, "expected 1 to 10^7 draws");
  luaL_argcheck(L, s >= 0 && s <= UINT32_MAX, 3, "expected a seed from 0 to 2^32 - 1");
  *seed = (uint32_t)s;
}

static int l_bootstrap(lua_State *L) {
  int64_t count, draws;
  uint32_t seed;
  check_draws(L, &draws, &seed);
  const vbl_weighted **sets = check_sets(L, &count);
  double *values = lua_newuserdatauv(L, sizeof *values * (size_t)(count * draws), 0);
  VBL_LUA_TRY(L, vbl_bootstrap_scores(sets, count, draws, seed, values, &err));
  lua_createtable(L, (int)count, 0);
  for (int64_t s = 0; s < count; s++) {
    vbl_lua_push_numbers(L, values + s * draws, draws);
    lua_rawseti(L, -2, s + 1);
  }
  return 1;
}

static int l_exchange(lua_State *L) {
  int64_t count, draws;
  uint32_t seed;
  check_draws(L, &draws, &seed);
  const vbl_weighted **sets = check_sets(L, &count);
  if (sets[0]->n % 2 != 0) return vbl_lua_error(L, "sets of %I samples; expected those of two models", (LUAI_UACINT)sets[0]->n);
  double *values = lua_newuserdatauv(L, sizeof *values * (size_t)draws, 0);
  VBL_LUA_TRY(L, vbl_exchange_scores(sets, count, draws, seed, values, &err));
  vbl_lua_push_numbers(L, values, draws);
  return 1;
}

static const vbl_fn weighted_methods[] = {
    {"value", weighted_value, "value([weights]) -> number", "The score with whole weights [n] >= 0; without: each sample once."},
    {NULL, NULL, NULL, NULL}};

const vbl_fn vbl_resample_rows[] = {
    {"weighted", l_weighted, "weighted(kind, a[, b[, classes]]) -> set",
     "A score whose samples may count several times. kind mean, median: a values [n]; auroc, average_precision: a scores, b labels "
     "of 0 "
     "and 1, [n] or [n, classes] (mean over the classes for which it is defined); f1_micro, f1_macro, f1_weighted: a predicted, b "
     "truth, [n] class numbers (of `classes`) or [n, classes] of 0 and 1. set:value([weights])."},
    {"bootstrap", l_bootstrap, "bootstrap(sets, draws, seed) -> {{value of each draw}, ...}",
     "Each set on n of its n samples drawn with replacement, the same samples for every set (Efron 1979)."},
    {"exchange", l_exchange, "exchange(sets, draws, seed) -> {difference of each draw}",
     "Each set holds two models' predictions of the same samples, [2 n]. Mean over the sets of score(first) - score(second) after "
     "the "
     "predictions of each sample changed places with probability 1/2 (paired permutation)."},
    {NULL, NULL, NULL, NULL}};

void vbl_lua_weighted_class(lua_State *L) { vbl_lua_class(L, WEIGHTED_META, NULL, weighted_methods, weighted_gc); }
