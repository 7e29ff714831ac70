// Measures on rearranged rows: every shortcut (gathered forms, relabelled lists, gathered singular vectors) against the measure on a
// matrix that was really rearranged; groups; subsets; thread counts; tables.
#include <math.h>

#include "core/base/threads.h"
#include "core/measure/null.h"
#include "tests/unit/measure_data.h"

enum { N = 46, DX = 6, DY = 5, DRAWS = 4 };

typedef struct named {
  const char *name;
  vbl_measure_fn *fn;
  vbl_measure_options o;
} named;

#define WITH(...)                                                                                              \
  (vbl_measure_options) {                                                                                      \
    .k = 5, .bandwidth = 1, .fraction = 1, .batch = 8, .threshold = 0.99, .folds = 4, .lambda = 1, __VA_ARGS__ \
  }

static int cases(named *out) {
  const named list[] = {
      {"cka", vbl_cka, WITH(.estimator = 0)},
      {"cka biased", vbl_cka, WITH(.estimator = 1)},
      {"cka rbf", vbl_cka, WITH(.kernel = 1)},
      {"cka rbf biased", vbl_cka, WITH(.kernel = 1, .estimator = 1)},
      {"hsic", vbl_hsic, WITH(.estimator = 0)},
      {"hsic biased", vbl_hsic, WITH(.estimator = 1)},
      {"cka_minibatch", vbl_cka_minibatch, WITH(.side = 0)},
      {"dcor", vbl_dcor, WITH(.estimator = 0)},
      {"dcor corrected", vbl_dcor, WITH(.estimator = 1)},
      {"mknn", vbl_mknn, WITH(.ties = 0)},
      {"mknn fractional", vbl_mknn, WITH(.ties = 1)},
      {"mknn euclidean", vbl_mknn, WITH(.metric = VBL_KNN_EUCLIDEAN)},
      {"mknn_thesis", vbl_mknn_thesis, WITH(.ties = 0)},
      {"knn_jaccard", vbl_knn_jaccard, WITH(.ties = 1)},
      {"rank_sim", vbl_rank_sim, WITH(.ties = 0)},
      {"joint", vbl_joint_rank_jaccard, WITH(.ties = 0)},
      {"cycle", vbl_cycle_knn, WITH(.ties = 0)},
      {"lcs", vbl_lcs_knn, WITH(.ties = 0)},
      {"edit", vbl_edit_knn, WITH(.ties = 0)},
      {"second order", vbl_second_order_cosine, WITH(.ties = 0)},
      {"cknna", vbl_cknna, WITH(.variant = 0)},
      {"cknna local", vbl_cknna, WITH(.variant = 1)},
      {"cca", vbl_cca, WITH(.of = 0)},
      {"cca rho2", vbl_cca, WITH(.of = 1)},
      {"svcca", vbl_svcca, WITH(.dims = 0)},
      {"pwcca", vbl_pwcca, WITH(.side = 0)},
      {"pwcca y", vbl_pwcca, WITH(.side = 1)},
      {"procrustes", vbl_procrustes, WITH(.form = 0)},
      {"procrustes distance", vbl_procrustes, WITH(.form = 1)},
      {"aligned_cosine", vbl_aligned_cosine, WITH(.side = 0)},
      {"linear_r2", vbl_linear_r2, WITH(.side = 0)},
      {"ridge", vbl_ridge_r2_cv, WITH(.side = 0)},
      {"rsa", vbl_rsa, WITH(.rdm = 0)},
      {"rsa pearson", vbl_rsa, WITH(.rdm = 2, .compare = 1)},
      {"rsa kendall", vbl_rsa, WITH(.rdm = 3, .compare = 2)},
      {"gw", vbl_gw_identity, WITH(.raw_distances = 0)},
      {"gw raw", vbl_gw_identity, WITH(.raw_distances = 1)},
  };
  int count = (int)(sizeof list / sizeof list[0]);
  memcpy(out, list, sizeof list);
  return count;
}

// Related matrices, some of whose rows are equal, so that neighbours tie.
static void related(double x[N * DX], double y[N * DY]) {
  double *g = gaussian(N, DX, 5), *h = gaussian(N, DY, 6);
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < DX; j++) x[i * DX + j] = g[(i % 40) * DX + j];
    for (int j = 0; j < DY; j++) y[i * DY + j] = h[(i % 37) * DY + j] + 0.6 * g[(i % 37) * DX + j];
  }
  free(g);
  free(h);
}

static void gather_rows(const double *from, const int32_t *order, int64_t rows, int64_t d, double *to) {
  for (int64_t i = 0; i < rows; i++) memcpy(to + i * d, from + order[i] * d, sizeof(double) * (size_t)d);
}

static void shortcuts(void) {
  named list[64];
  double x[N * DX], y[N * DY], z[N * DY], values[DRAWS];
  int count = cases(list);
  int32_t order[N], scratch[N];
  int64_t groups[N];
  vbl_error err = {0};
  related(x, y);
  for (int i = 0; i < N; i++) groups[i] = i % 23;
  for (int grouped = 0; grouped < 2; grouped++) {
    vbl_blocks blocks;
    CHECK(vbl_blocks_make(N, grouped ? groups : NULL, &blocks, &err) == VBL_OK);
    vbl_prepared *px = prepare(x, N, DX, DX), *py = prepare(y, N, DY, DY);
    for (int c = 0; c < count; c++) {
      CHECK(vbl_null_values(list[c].fn, px, py, &list[c].o, &blocks, DRAWS, 11, values, &err) == VBL_OK);
      for (int b = 0; b < DRAWS; b++) {
        vbl_draw_order(&blocks, 11, b, order, scratch);
        gather_rows(y, order, N, DY, z);
        vbl_measure_result r = call(list[c].fn, x, DX, z, DY, N, &list[c].o, NULL);
        CHECK_REPORT_(fabs(values[b] - r.value) <= 1e-12 * fmax(1, fabs(r.value)), "%s, draw %d: %.17g, rearranged %.17g",
                      list[c].name, b, values[b], r.value);
      }
    }
    vbl_prepared_free(px);
    vbl_prepared_free(py);
    vbl_blocks_free(&blocks);
  }
}

static void in_one_space(void) {
  vbl_measure_fn *const fns[] = {vbl_cosine, vbl_alignment, vbl_retrieval};
  double x[N * DX], y[N * DY], values[DRAWS], z[N * DY];
  vbl_measure_options o = base;
  vbl_blocks blocks;
  vbl_error err = {0};
  int32_t order[2 * N], scratch[N];
  related(x, y);
  vbl_prepared *px = prepare(x, N, DY, DX), *py = prepare(y, N, DY, DY);
  CHECK(vbl_blocks_make(N, NULL, &blocks, &err) == VBL_OK);
  for (int c = 0; c < 3; c++) {
    CHECK(vbl_null_values(fns[c], px, py, &o, &blocks, DRAWS, 0, values, &err) == VBL_OK);
    vbl_draw_order(&blocks, 0, 1, order, scratch);
    gather_rows(y, order, N, DY, z);
    vbl_prepared *pz = prepare(z, N, DY, DY);
    vbl_measure_result r;
    CHECK(fns[c](px, pz, &o, &r, &err) == VBL_OK);
    CHECK_NEAR(values[1], r.value, 1e-14);
    vbl_prepared_free(pz);
  }
  // Clouds: both sides dealt out of one pool.
  double pool[2 * N * DY];
  for (int i = 0; i < N; i++) memcpy(pool + i * DY, px->raw + i * DY, sizeof(double) * DY);
  memcpy(pool + N * DY, y, sizeof y);
  CHECK(vbl_null_values(vbl_modality_gap, px, py, &o, &blocks, DRAWS, 3, values, &err) == VBL_OK);
  vbl_draw_swap(N, 3, 2, order);
  double a[N * DY], b[N * DY];
  gather_rows(pool, order, N, DY, a);
  gather_rows(pool, order + N, N, DY, b);
  CHECK_NEAR(values[2], call(vbl_modality_gap, a, DY, b, DY, N, &o, NULL).value, 1e-14);
  CHECK(vbl_null_values(vbl_stable_rank, px, py, &o, &blocks, DRAWS, 3, values, &err) == VBL_EINVAL);
  vbl_prepared_free(px);
  vbl_prepared_free(py);
  vbl_blocks_free(&blocks);
}

// Groups of sizes 1, 2, 2, 2, 3: the single and the triple cannot move, a pair goes where a pair was, in its order.
static void groups_move_whole(void) {
  const int64_t groups[10] = {7, 1, 1, 2, 3, 2, 4, 4, 3, 3};
  int32_t order[10], scratch[10], rows[10];
  bool moved = false;
  vbl_blocks b;
  vbl_error err = {0};
  CHECK(vbl_blocks_make(10, groups, &b, &err) == VBL_OK);
  CHECK(b.count == 5 && b.fixed == 4);
  for (int draw = 0; draw < 20; draw++) {
    vbl_draw_order(&b, 1, draw, order, scratch);
    CHECK(order[0] == 0 && order[4] == 4 && order[8] == 8 && order[9] == 9);
    CHECK(groups[order[1]] == groups[order[2]] && order[1] < order[2]);
    CHECK(groups[order[3]] == groups[order[5]] && order[3] < order[5]);
    moved |= order[1] != 1;
    int64_t m = vbl_draw_subset(&b, 5, 1, draw, rows, scratch), seen[8] = {0};
    for (int64_t i = 0; i < m; i++) {
      CHECK(i == 0 || rows[i] > rows[i - 1]);
      seen[groups[rows[i]]]++;
    }
    CHECK(m <= 5 && m >= 3);
    CHECK((seen[1] == 0 || seen[1] == 2) && (seen[3] == 0 || seen[3] == 3) && (seen[4] == 0 || seen[4] == 2));
  }
  CHECK(moved);
  vbl_blocks_free(&b);
}

static void subsets(void) {
  double x[N * DX], y[N * DY], a[N * DX], b[N * DY], values[DRAWS];
  int64_t rows[DRAWS];
  int32_t chosen[N], scratch[N];
  vbl_blocks blocks;
  vbl_error err = {0};
  related(x, y);
  vbl_prepared *px = prepare(x, N, DX, DX), *py = prepare(y, N, DY, DY);
  CHECK(vbl_blocks_make(N, NULL, &blocks, &err) == VBL_OK);
  CHECK(vbl_subset_values(vbl_cka, px, py, &base, &blocks, N / 2, DRAWS, 9, values, rows, &err) == VBL_OK);
  for (int d = 0; d < DRAWS; d++) {
    CHECK(vbl_draw_subset(&blocks, N / 2, 9, d, chosen, scratch) == N / 2 && rows[d] == N / 2);
    gather_rows(x, chosen, N / 2, DX, a);
    gather_rows(y, chosen, N / 2, DY, b);
    CHECK(values[d] == call(vbl_cka, a, DX, b, DY, N / 2, &base, NULL).value);
  }
  vbl_measure_options o = base;
  o.k = N / 2;
  CHECK(vbl_subset_values(vbl_mknn, px, py, &o, &blocks, N / 2, DRAWS, 9, values, NULL, &err) == VBL_EINVAL);
  CHECK(strstr(err.message, "k = 23") != NULL);
  vbl_prepared *shorter = prepare(y, N - 1, DY, DY);
  CHECK(vbl_subset_values(vbl_cka, px, shorter, &base, &blocks, N / 2, DRAWS, 9, values, NULL, &err) == VBL_EINVAL);
  CHECK(strstr(err.message, "Y has 45") != NULL);
  vbl_prepared_free(shorter);
  vbl_prepared_free(px);
  vbl_prepared_free(py);
  vbl_blocks_free(&blocks);
}

static void thread_counts(void) {
  named list[64];
  int count = cases(list), threads = vbl_threads();
  double x[N * DX], y[N * DY], one[DRAWS], three[DRAWS];
  vbl_blocks blocks;
  vbl_error err = {0};
  related(x, y);
  vbl_prepared *px = prepare(x, N, DX, DX), *py = prepare(y, N, DY, DY);
  CHECK(vbl_blocks_make(N, NULL, &blocks, &err) == VBL_OK);
  for (int c = 0; c < count; c++) {
    vbl_set_threads(1, NULL);
    CHECK(vbl_null_values(list[c].fn, px, py, &list[c].o, &blocks, DRAWS, 2, one, &err) == VBL_OK);
    CHECK_OK(vbl_set_threads(3, &err), err);
    CHECK(vbl_null_values(list[c].fn, px, py, &list[c].o, &blocks, DRAWS, 2, three, &err) == VBL_OK);
    CHECK_REPORT_(memcmp(one, three, sizeof one) == 0, "%s depends on the number of threads", list[c].name);
  }
  vbl_set_threads(threads, NULL);
  vbl_prepared_free(px);
  vbl_prepared_free(py);
  vbl_blocks_free(&blocks);
}

static void tables(void) {
  named list[64];
  int count = cases(list);
  double x[N * DX], y[N * DY], values[4];
  vbl_measure_status statuses[4];
  vbl_error err = {0};
  related(x, y);
  for (int c = 0; c < count; c++) {
    vbl_prepared *p[2] = {prepare(x, N, DX, DX), prepare(y, N, DY, DY)};
    CHECK(vbl_measure_table(list[c].fn, p, 2, p, 2, &list[c].o, values, statuses, &err) == VBL_OK);
    double want = call(list[c].fn, x, DX, y, DY, N, &list[c].o, NULL).value;
    CHECK_REPORT_(fabs(values[1] - want) <= 1e-12 * fmax(1, fabs(want)), "%s: %.17g in a table, %.17g alone", list[c].name,
                  values[1], want);
    CHECK(statuses[0] == VBL_MEASURE_OK && statuses[1] == VBL_MEASURE_OK);
    vbl_prepared_free(p[0]);
    vbl_prepared_free(p[1]);
  }
}

int main(void) {
  shortcuts();
  in_one_space();
  groups_move_whole();
  subsets();
  thread_counts();
  tables();
  return check_done();
}
