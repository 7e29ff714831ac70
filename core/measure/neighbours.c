// Overlap of k-nearest-neighbour lists. Chance levels are exact under shuffling the rows of Y: row i's list in Y is then a uniform
// ordered k-subset of the other n - 1 rows, so the overlap is hypergeometric and the ranks of a shared neighbour are independent
// and uniform on 1 .. k.
// defines: vbl_neighbours_begin, vbl_mknn, vbl_knn_jaccard, vbl_rank_sim, vbl_joint_rank_jaccard
#include "core/measure/neighbours.h"

#include <math.h>
#include <stdlib.h>

#include "core/measure/result.h"
#include "core/measure/stats.h"

// Why no list can be made from p; OK when one can.
static vbl_measure_status unfit(const vbl_prepared *p, vbl_knn_metric metric) {
  if (p->duplicates == p->n - 1) return VBL_MEASURE_ALL_TIED;
  return metric == VBL_KNN_COSINE && p->zero_rows > 0 ? VBL_MEASURE_ZERO_ROW : VBL_MEASURE_OK;
}

// Whether all other rows are equally near to every row, as they are by cosine among positive numbers of one column: the order by
// index would be the same in X and in Y and count as agreement.
static bool all_tied(const vbl_knn *list) {
  for (int64_t i = 0; i < list->n; i++) {
    if (list->start[i + 1] - list->start[i] != list->n - 1) return false;
    for (int64_t r = list->start[i]; r < list->start[i + 1]; r++)
      if (list->weight[r] == 1) return false;
  }
  return true;
}

static vbl_status check_call(const char *measure, bool fractional, int64_t n, const vbl_measure_options *o, vbl_error *err) {
  if (o->k < 1 || o->k > n - 1)
    return vbl_fail(err, VBL_EINVAL, "%s: k = %lld: expected 1 to n - 1 = %lld neighbours", measure, (long long)o->k,
                    (long long)n - 1);
  if (o->ties == 1 && !fractional)
    return vbl_fail(err, VBL_EINVAL, "%s reads the order of neighbours: expected ties = \"index\", got \"fractional\"", measure);
  return VBL_OK;
}

vbl_status vbl_neighbours_begin(const char *measure, bool fractional, vbl_prepared *x, vbl_prepared *y,
                                const vbl_measure_options *o, vbl_neighbours *nb, bool *ready, vbl_measure_result *r,
                                vbl_error *err) {
  static const char *const metrics[] = {"cosine", "ip", "euclidean"};
  *ready = false;
  VBL_TRY(vbl_begin_compact(measure, x, y, 2, r, err));
  VBL_TRY(check_call(measure, fractional, x->n, o, err));
  vbl_knn_metric metric = (vbl_knn_metric)o->metric;
  r->k = o->k;
  r->metric = metrics[metric];
  r->preprocessing = metric == VBL_KNN_COSINE ? "unit rows" : "none";
  if (o->k == x->n - 1) r->warnings |= VBL_WARN_K_IS_ALL;
  vbl_measure_status s = unfit(x, metric) != VBL_MEASURE_OK ? unfit(x, metric) : unfit(y, metric);
  if (s != VBL_MEASURE_OK) return vbl_undefined(r, s);
  nb->n = x->n;
  nb->k = o->k;
  VBL_TRY(vbl_prepared_knn(x, o->k, metric, &nb->x, err));
  VBL_TRY(vbl_prepared_knn(y, o->k, metric, &nb->y, err));
  if (all_tied(nb->x) || all_tied(nb->y)) return vbl_undefined(r, VBL_MEASURE_ALL_TIED);
  r->ties = nb->x->tie_rows + nb->y->tie_rows;
  if (r->ties > 0) r->warnings |= VBL_WARN_TIES_AT_K;
  *ready = true;
  return VBL_OK;
}

// rank[j] = 1 .. k for the neighbours j of row i, and 0 again afterwards with `clear`. rank: (n), zeroed once by the caller.
static void fill_ranks(const vbl_knn *list, int64_t i, int32_t *rank, bool clear) {
  for (int64_t r = 0; r < list->k; r++) rank[list->index[i * list->k + r]] = clear ? 0 : (int32_t)(r + 1);
}

// |N_X(i) and N_Y(i)| with weights: the sum of the smaller weights, so that a list overlaps itself by exactly k.
static double fractional_overlap(const vbl_knn *x, const vbl_knn *y, int64_t i) {
  double sum = 0;
  int64_t a = x->start[i], b = y->start[i];
  while (a < x->start[i + 1] && b < y->start[i + 1]) {
    if (x->candidate[a] == y->candidate[b])
      sum += fmin(x->weight[a++], y->weight[b++]);
    else if (x->candidate[a] < y->candidate[b])
      a++;
    else
      b++;
  }
  return sum;
}

static double index_overlap(const vbl_neighbours *nb, int64_t i, const int32_t *rank_x) {
  int64_t count = 0;
  for (int64_t r = 0; r < nb->k; r++) count += rank_x[nb->y->index[i * nb->k + r]] > 0;
  return (double)count;
}

// Unnormalised rank agreement: sum over shared neighbours of 2 / ((1 + |r - r'|) (r + r')); *shared = their number.
static double rank_sum(const vbl_neighbours *nb, int64_t i, const int32_t *rank_x, int64_t *shared) {
  double sum = 0;
  *shared = 0;
  for (int64_t s = 1; s <= nb->k; s++) {
    int64_t r = rank_x[nb->y->index[i * nb->k + s - 1]];
    if (r == 0) continue;
    ++*shared;
    sum += 2 / ((double)(1 + llabs(r - s)) * (double)(r + s));
  }
  return sum;
}

static double harmonic(int64_t c) {
  double h = 0;
  for (int64_t i = 1; i <= c; i++) h += 1 / (double)i;
  return h;
}

enum part { OVERLAP, JACCARD, RANK, JOINT };

static double row_value(enum part part, const vbl_neighbours *nb, int64_t i, const int32_t *rank_x, bool fractional) {
  double k = (double)nb->k;
  if (part == OVERLAP || part == JACCARD) {
    double h = fractional ? fractional_overlap(nb->x, nb->y, i) : index_overlap(nb, i, rank_x);
    return part == OVERLAP ? h / k : h / (2 * k - h);
  }
  int64_t c = 0;
  double sum = rank_sum(nb, i, rank_x, &c);
  if (c == 0) return 0;
  double rank = sum / harmonic(c);
  return part == RANK ? rank : rank * (double)c / (2 * k - (double)c);
}

// Mean of one term of rank_sum over independent uniform ranks.
static double mean_rank_term(int64_t k) {
  double sum = 0;
  for (int64_t r = 1; r <= k; r++)
    for (int64_t s = 1; s <= k; s++) sum += 2 / ((double)(1 + llabs(r - s)) * (double)(r + s));
  return sum / ((double)k * (double)k);
}

static double chance_of(enum part part, int64_t n, int64_t k) {
  if (part == OVERLAP) return (double)k / (double)(n - 1);
  double sum = 0, term = mean_rank_term(k);
  for (int64_t c = 1; c <= k; c++) {
    double jaccard = (double)c / (double)(2 * k - c), rank = (double)c * term / harmonic(c);
    double value = part == JACCARD ? jaccard : part == RANK ? rank : jaccard * rank;
    sum += vbl_hypergeometric(n, k, c) * value;
  }
  return sum;
}

static vbl_status overlap(const char *measure, enum part part, vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o,
                          vbl_measure_result *r, vbl_error *err) {
  vbl_neighbours nb;
  bool ready, fractional = o->ties == 1;
  VBL_TRY(vbl_neighbours_begin(measure, part <= JACCARD, x, y, o, &nb, &ready, r, err));
  if (!ready) return VBL_OK;
  int32_t *rank = calloc((size_t)nb.n, sizeof *rank);
  if (rank == NULL) return vbl_fail(err, VBL_ENOMEM, "%s: out of memory", measure);
  double sum = 0;
  for (int64_t i = 0; i < nb.n; i++) {
    fill_ranks(nb.x, i, rank, false);
    sum += row_value(part, &nb, i, rank, fractional);
    fill_ranks(nb.x, i, rank, true);
  }
  free(rank);
  if (o->value_only == 0) r->chance = chance_of(part, nb.n, nb.k);
  r->chance_source = part == OVERLAP ? "exact mean over permutations: k / (n-1)"
                                     : "exact mean over permutations: hypergeometric overlap, uniform ranks";
  return vbl_value(r, sum / (double)nb.n);
}

// 1/(nk) sum_i |N_X(i) and N_Y(i)| (Huh et al., "The Platonic Representation Hypothesis", ICML 2024).
vbl_status vbl_mknn(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  return overlap("mknn", OVERLAP, x, y, o, r, err);
}

// mean_i |and| / |or| (Klabunde et al., "Similarity of Neural Network Models", 2023).
vbl_status vbl_knn_jaccard(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  return overlap("knn_jaccard", JACCARD, x, y, o, r, err);
}

// mean_i 1/H_c sum over the c shared neighbours of 2 / ((1 + |r - r'|) (r + r')) (Wang et al. 2020; Klabunde et al. 2023).
vbl_status vbl_rank_sim(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r, vbl_error *err) {
  return overlap("rank_sim", RANK, x, y, o, r, err);
}

// mean_i of the row's Jaccard index times its rank similarity.
vbl_status vbl_joint_rank_jaccard(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r,
                                  vbl_error *err) {
  return overlap("joint_rank_jaccard", JOINT, x, y, o, r, err);
}
