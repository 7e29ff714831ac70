// What measures are made of, for plots and for looking: spectra and neighbour lists.
// defines: vbl_lua_measure_parts
#include <stdlib.h>
#include <string.h>

#include "bindings/measure.h"
#include "bindings/tensor.h"

// Pushes f64 [count] with the given numbers.
static void push_numbers(lua_State *L, const double *v, int64_t count) {
  vbl_tensor *t = vbl_lua_new_tensor(L, VBL_F64, 1, &count);
  memcpy(vbl_tensor_data(t), v, sizeof *v * (size_t)count);
}

static int l_singular_values(lua_State *L) {
  lua_settop(L, 1);
  vbl_prepared *x = vbl_lua_matrix(L, 1, "X");
  if (x->total == 0) return vbl_lua_error(L, "singular_values: X is constant: every value is 0");
  VBL_LUA_TRY(L, vbl_prepared_svd(x, &err));
  push_numbers(L, x->svd->s, x->svd->rank);
  return 1;
}

static void end_numbers(void *p) { free(*(double **)p); }

static int l_canonical_correlations(lua_State *L) {
  lua_settop(L, 2);
  vbl_prepared *x = vbl_lua_matrix(L, 1, "X"), *y = vbl_lua_matrix(L, 2, "Y");
  vbl_measure_result r;
  vbl_measure_options o = vbl_measure_defaults;
  o.on_host = 1;  // the vectors are read below
  VBL_LUA_TRY(L, vbl_cca(x, y, &o, &r, &err));
  if (r.status != VBL_MEASURE_OK) return vbl_lua_error(L, "canonical_correlations: %s", vbl_measure_status_name(r.status));
  double **rho = vbl_lua_own(L, sizeof *rho, end_numbers);
  VBL_LUA_TRY(L, vbl_canonical_correlations(x, y, r.dims_x, r.dims_y, rho, &err));
  push_numbers(L, *rho, r.dims_x < r.dims_y ? r.dims_x : r.dims_y);
  return 1;
}

static int l_neighbours(lua_State *L) {
  static const char *const known[] = {"k", "metric", NULL}, *const metrics[] = {"cosine", "ip", "euclidean", NULL};
  lua_settop(L, 2);
  vbl_lua_check_keys(L, 2, known);
  vbl_prepared *x = vbl_lua_placed_matrix(L, 1, "X");
  int64_t k = vbl_lua_opt_integer(L, 2, "k", vbl_measure_defaults.k);
  int metric = vbl_lua_opt_choice(L, 2, "metric", metrics, 0);
  if (metric == VBL_KNN_COSINE && x->zero_rows > 0)
    return vbl_lua_error(L, "neighbours: row %I is zero: it has no direction for the cosine", (LUAI_UACINT)x->first_zero_row + 1);
  const vbl_knn *list = NULL;
  VBL_LUA_TRY(L, vbl_prepared_knn(x, k, (vbl_knn_metric)metric, &list, &err));
  int64_t shape[2] = {x->n, k};
  int32_t *out = vbl_tensor_data(vbl_lua_new_tensor(L, VBL_I32, 2, shape));
  for (int64_t i = 0; i < x->n * k; i++) out[i] = list->index[i] + 1;
  return 1;
}

static const vbl_fn rows[] = {
    {"singular_values", l_singular_values, "singular_values(X) -> tensor",
     "X [n,d]. Singular values of centred X above rounding, descending, f64 [rank]."},
    {"canonical_correlations", l_canonical_correlations, "canonical_correlations(X, Y) -> tensor",
     "X [n,dx], Y [n,dy]. Canonical correlations, descending, f64 [min rank]; vbl.measure.cca is their mean."},
    {"neighbours", l_neighbours, "neighbours(X, {k=10, metric=\"cosine\"|\"ip\"|\"euclidean\"}) -> tensor",
     "X [n,d]. The k nearest rows of each row, nearest first, itself left out: i32 [n,k] of rows from 1."},
    {NULL, NULL, NULL, NULL}};

void vbl_lua_measure_parts(lua_State *L) { vbl_lua_register(L, "measure", rows); }
