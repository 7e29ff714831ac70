// Measures on rearranged rows and over lists of matrices, from which vbl.measure.report, report_layers and matrix are made.
// defines: vbl_lua_measure_draws
#include <math.h>
#include <string.h>

#include "bindings/measure.h"
#include "core/measure/null.h"
#include "core/plugin/plugin.h"
#include "kernels/kernels.h"

// The measure named at `arg`.
static const vbl_measure_row *check_row(lua_State *L, int arg) {
  const char *name = luaL_checkstring(L, arg);
  for (const vbl_measure_row *row = vbl_measure_rows; row->name != NULL; row++)
    if (strcmp(row->name, name) == 0) return row;
  if (vbl_lua_plugin_row(name) != NULL) return vbl_lua_plugin_row(name);
  const char *names[64] = {NULL}, *near = NULL;
  for (int i = 0; i < 63 && vbl_measure_rows[i].name != NULL; i++) names[i] = vbl_measure_rows[i].name;
  near = vbl_lua_nearest(name, names);
  vbl_lua_error(L, near != NULL ? "'%s' is no measure of matrices, did you mean '%s'?" : "'%s' is no measure of matrices", name,
                near);
  return NULL;
}

static void check_one_or_two(lua_State *L, const vbl_measure_row *row, int arg) {
  if (row->matrices == 1 && !lua_isnoneornil(L, arg))
    vbl_lua_error(L, "%s is a measure of one matrix: expected nil in Y's place", row->name);
}

static void *buffer(lua_State *L, int64_t count, size_t size) {
  return lua_newuserdatauv(L, size * (size_t)(count > 0 ? count : 1), 0);
}

static int64_t check_draws(lua_State *L, int arg, int64_t fallback) {
  int64_t draws = vbl_lua_opt_integer(L, arg, "draws", fallback);
  if (draws < 0 || draws > 1000000) vbl_lua_error(L, "draws: expected 0 to 1000000, got %I", (LUAI_UACINT)draws);
  return draws;
}

// null(name, X, Y, opts, {draws=, seed=, groups=})
static int l_null(lua_State *L) {
  static const char *const known[] = {"draws", "seed", "groups", NULL};
  lua_settop(L, 5);
  const vbl_measure_row *row = check_row(L, 1);
  vbl_lua_check_keys(L, 5, known);
  check_one_or_two(L, row, 3);
  if (row->matrices == 1) return vbl_lua_error(L, "%s is a measure of one matrix: shuffled rows give the same value", row->name);
  // Lists are relabelled draw by draw; what else a draw permutes are rows and what the host makes of them.
  const bool stays = row->fn != vbl_plugin_compute && vbl_measure_traits_of(row->fn, &vbl_measure_defaults)->parts == VBL_PART_KNN;
  vbl_prepared *x = stays ? vbl_lua_placed_matrix(L, 2, "X") : vbl_lua_matrix(L, 2, "X");
  vbl_prepared *y = stays ? vbl_lua_placed_matrix(L, 3, "Y") : vbl_lua_matrix(L, 3, "Y");
  vbl_measure_options o = vbl_lua_measure_options(L, 4, row, x);
  int64_t draws = check_draws(L, 5, 200), seed = vbl_lua_opt_integer(L, 5, "seed", 0);
  const int64_t *groups = vbl_lua_integers(L, 5, "groups", x->n);
  double *values = buffer(L, draws, sizeof *values);
  vbl_blocks blocks;
  VBL_LUA_TRY(L, vbl_blocks_make(x->n, groups, &blocks, &err));
  int64_t fixed = blocks.fixed;
  vbl_error err = {0};
  vbl_status status = vbl_null_values(row->fn, x, y, &o, &blocks, draws, seed, values, &err);
  vbl_blocks_free(&blocks);
  if (status != VBL_OK) return vbl_lua_raise(L, &err);
  vbl_lua_push_numbers(L, values, draws);
  lua_pushinteger(L, fixed);
  return 2;
}

// subsample(name, X, Y, opts, {draws=, rows=, seed=, groups=})
static int l_subsample(lua_State *L) {
  static const char *const known[] = {"draws", "rows", "seed", "groups", NULL};
  lua_settop(L, 5);
  const vbl_measure_row *row = check_row(L, 1);
  vbl_lua_check_keys(L, 5, known);
  check_one_or_two(L, row, 3);
  vbl_prepared *x = vbl_lua_matrix(L, 2, "X"), *y = row->matrices == 2 ? vbl_lua_matrix(L, 3, "Y") : NULL;
  vbl_measure_options o = vbl_lua_measure_options(L, 4, row, x);
  int64_t draws = check_draws(L, 5, 100), seed = vbl_lua_opt_integer(L, 5, "seed", 0);
  int64_t m = vbl_lua_opt_integer(L, 5, "rows", x->n / 2);
  const int64_t *groups = vbl_lua_integers(L, 5, "groups", x->n);
  double *values = buffer(L, draws, sizeof *values), mean = 0;
  int64_t *rows = buffer(L, draws, sizeof *rows);
  vbl_blocks blocks;
  VBL_LUA_TRY(L, vbl_blocks_make(x->n, groups, &blocks, &err));
  vbl_error err = {0};
  vbl_status status = vbl_subset_values(row->fn, x, y, &o, &blocks, m, draws, seed, values, rows, &err);
  vbl_blocks_free(&blocks);
  if (status != VBL_OK) return vbl_lua_raise(L, &err);
  vbl_lua_push_numbers(L, values, draws);
  for (int64_t b = 0; b < draws; b++) mean += (double)rows[b];
  lua_pushnumber(L, mean / (double)draws);
  return 2;
}

// The list of prepared matrices at `arg`, which keeps them alive, as pointers in memory that Lua owns.
static vbl_prepared **check_list(lua_State *L, int arg, int64_t *count) {
  luaL_checktype(L, arg, LUA_TTABLE);
  *count = (int64_t)lua_rawlen(L, arg);
  if (*count == 0) vbl_lua_error(L, "expected a list of at least one matrix");
  vbl_prepared **list = buffer(L, *count, sizeof(vbl_prepared *));
  for (int64_t i = 0; i < *count; i++) {
    lua_rawgeti(L, arg, i + 1);
    if (vbl_lua_test_tensor(L, -1) != NULL)
      vbl_lua_error(L, "matrix %I of the list: expected what prepare() gave", (LUAI_UACINT)i + 1);
    list[i] = vbl_lua_placed_matrix(L, lua_gettop(L), "matrix of the list");
    lua_pop(L, 1);
  }
  return list;
}

static void push_statuses(lua_State *L, const vbl_measure_status *statuses, int64_t nx, int64_t ny) {
  lua_createtable(L, (int)nx, 0);
  for (int64_t i = 0; i < nx; i++) {
    lua_createtable(L, (int)ny, 0);
    for (int64_t j = 0; j < ny; j++) {
      lua_pushstring(L, vbl_measure_status_name(statuses[i * ny + j]));
      lua_rawseti(L, -2, j + 1);
    }
    lua_rawseti(L, -2, i + 1);
  }
}

// table(name, list of prepared, list of prepared, opts)
static int l_table(lua_State *L) {
  lua_settop(L, 4);
  const vbl_measure_row *row = check_row(L, 1);
  if (row->matrices != 2) return vbl_lua_error(L, "%s is a measure of one matrix", row->name);
  int64_t shape[2];
  vbl_prepared **xs = check_list(L, 2, &shape[0]), **ys = check_list(L, 3, &shape[1]);
  vbl_measure_options o = vbl_lua_measure_options(L, 4, row, xs[0]);
  vbl_tensor *out = NULL;
  VBL_LUA_TRY(L, vbl_tensor_new(vbl_reference_backend(), VBL_F64, 2, shape, &out, &err));
  vbl_lua_push_tensor(L, out);
  vbl_measure_status *statuses = buffer(L, shape[0] * shape[1], sizeof *statuses);
  lua_pushvalue(L, -2);
  VBL_LUA_TRY(L, vbl_measure_table(row->fn, xs, shape[0], ys, shape[1], &o, vbl_tensor_data(out), statuses, &err));
  push_statuses(L, statuses, shape[0], shape[1]);
  return 2;
}

// traits(name, X, opts) -> {null=, symmetric=, distance=, matrices=, best=, options=}
static int l_traits(lua_State *L) {
  static const char *const kinds[] = {"permutation", "swap", "none"};
  lua_settop(L, 3);
  const vbl_measure_row *row = check_row(L, 1);
  vbl_measure_options o = vbl_lua_measure_options(L, 3, row, vbl_lua_placed_matrix(L, 2, "X"));
  const vbl_measure_traits *traits = vbl_measure_traits_of(row->fn, &o);
  double best = vbl_measure_best(row->fn, &o);
  lua_createtable(L, 0, 5);
  vbl_lua_set_string(L, "null", kinds[traits->null]);
  vbl_lua_set_bool(L, "symmetric", traits->symmetric);
  vbl_lua_set_bool(L, "distance", vbl_measure_is_distance(row->fn, &o));
  vbl_lua_set_integer(L, "matrices", row->matrices);
  if (!isnan(best)) vbl_lua_set_number(L, "best", best);
  lua_newtable(L);
  for (const vbl_measure_option *option = row->options; option->key != NULL; option++) vbl_lua_set_bool(L, option->key, true);
  lua_setfield(L, -2, "options");
  return 1;
}

static const vbl_fn rows[] = {
    {"null", l_null, "null(name, X, Y, [opts], {draws=200, seed=0, groups=labels [n]}) -> list of numbers, fixed rows",
     "A measure's values when the rows of Y are shuffled: draw i is the same permutation for every measure and layer of n rows. "
     "groups: "
     "rows of one label move together, in exchange with groups of the same size (rows that cannot move are counted). Measures that "
     "do "
     "not use the pairing (wasserstein, sinkhorn, sliced_wasserstein, modality_gap): the rows of both pooled and dealt out again."},
    {"subsample", l_subsample,
     "subsample(name, X, Y, [opts], {draws=100, rows=n//2, seed=0, groups=labels [n]}) -> list of numbers, mean rows",
     "A measure's values on random subsets of the rows, drawn without replacement. nan where undefined on a "
     "subset. Groups are taken whole, at most `rows` rows of them or one group: mean rows says how many those were."},
    {"table", l_table, "table(name, Xs, Ys, [opts]) -> tensor f64 [#Xs, #Ys], statuses",
     "A measure of every prepared matrix of the list Xs with every one of Ys; matrix() is the same for tensors."},
    {"traits", l_traits, "traits(name, X, [opts]) -> {null=, symmetric=, distance=, matrices=, best=, options=}",
     "null: \"permutation\", \"swap\" (pairing not used) or \"none\" (one matrix); distance: smaller is nearer; best: the value of "
     "perfect agreement, where there is one; options: the set of their names."},
    {NULL, NULL, NULL, NULL}};

void vbl_lua_measure_draws(lua_State *L) { vbl_lua_register(L, "measure", rows); }
