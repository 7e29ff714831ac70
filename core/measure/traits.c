// defines: vbl_measure_traits_of, vbl_measure_best, vbl_measure_is_distance, vbl_measure_warm
#include "core/measure/traits.h"

#include <math.h>

#include "core/plugin/plugin.h"

enum {
  ROWS = VBL_PART_ROWS,
  UNIT = VBL_PART_UNIT,
  KNN = VBL_PART_KNN,
  SVD = VBL_PART_SVD,
  SELF = VBL_PART_SELF,
};
#define PERMUTE VBL_NULL_PERMUTATION
#define SWAP    VBL_NULL_SWAP
#define NONE    VBL_NULL_NONE

static const vbl_measure_traits table[] = {
    {vbl_cosine, ROWS | UNIT, PERMUTE, true},
    {vbl_modality_gap, ROWS | UNIT, SWAP, true},
    {vbl_alignment, ROWS | UNIT, PERMUTE, true},
    {vbl_uniformity, ROWS | UNIT, NONE, false},
    {vbl_retrieval, ROWS | UNIT, PERMUTE, false},
    {vbl_wasserstein, ROWS, SWAP, true},
    {vbl_sinkhorn, ROWS, SWAP, true},
    {vbl_sliced_wasserstein, ROWS, SWAP, true},
    {vbl_hsic, ROWS | SELF, PERMUTE, true},
    {vbl_cka, ROWS | SELF, PERMUTE, true},
    {vbl_cka_minibatch, ROWS, PERMUTE, true},
    {vbl_cknna, ROWS | UNIT | KNN, PERMUTE, false},
    {vbl_dcor, ROWS, PERMUTE, true},
    {vbl_mknn, KNN, PERMUTE, true},
    {vbl_mknn_thesis, KNN, PERMUTE, true},
    {vbl_knn_jaccard, KNN, PERMUTE, true},
    {vbl_rank_sim, KNN, PERMUTE, true},
    {vbl_joint_rank_jaccard, KNN, PERMUTE, true},
    {vbl_cycle_knn, KNN, PERMUTE, false},
    {vbl_lcs_knn, KNN, PERMUTE, true},
    {vbl_edit_knn, KNN, PERMUTE, true},
    {vbl_second_order_cosine, ROWS | UNIT | KNN, PERMUTE, true},
    {vbl_cca, SVD, PERMUTE, true},
    {vbl_svcca, SVD, PERMUTE, true},
    {vbl_pwcca, ROWS | SVD, PERMUTE, false},
    {vbl_procrustes, ROWS | SVD, PERMUTE, true},
    {vbl_aligned_cosine, ROWS | SVD, PERMUTE, true},
    {vbl_linear_r2, ROWS | SVD, PERMUTE, false},
    {vbl_ridge_r2_cv, ROWS, PERMUTE, false},
    {vbl_rsa, ROWS, PERMUTE, true},
    {vbl_gw_identity, ROWS, PERMUTE, true},
    {vbl_effective_rank, ROWS | SVD, NONE, false},
    {vbl_participation_ratio, ROWS | SVD, NONE, false},
    {vbl_stable_rank, ROWS | SVD, NONE, false},
    {vbl_pca_dims, ROWS | SVD, NONE, false},
    {vbl_twonn, ROWS, NONE, false},
};

const vbl_measure_traits *vbl_measure_traits_of(vbl_measure_fn *fn, const vbl_measure_options *o) {
  if (fn == vbl_plugin_compute) return &o->plugin->traits;
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    if (table[i].fn == fn) return &table[i];
  return NULL;
}

double vbl_measure_best(vbl_measure_fn *fn, const vbl_measure_options *o) {
  if (fn == vbl_plugin_compute) return o->plugin->def->best;
  if (fn == vbl_hsic || fn == vbl_mknn_thesis || vbl_measure_traits_of(fn, o)->null == VBL_NULL_NONE) return NAN;
  if (fn == vbl_lcs_knn) return (double)o->k;
  return vbl_measure_is_distance(fn, o) ? 0 : 1;
}

bool vbl_measure_is_distance(vbl_measure_fn *fn, const vbl_measure_options *o) {
  if (fn == vbl_plugin_compute) return (o->plugin->def->flags & VBL_MEASURE_DISTANCE) != 0;
  if (fn == vbl_procrustes) return o->form != 0;
  return fn == vbl_alignment || fn == vbl_gw_identity || vbl_measure_traits_of(fn, o)->null == VBL_NULL_SWAP;
}

static bool has_lists(const vbl_prepared *p, const vbl_measure_options *o) {
  return o->k >= 1 && o->k <= p->n - 1 && !(o->metric == VBL_KNN_COSINE && p->zero_rows > 0) && p->duplicates < p->n - 1;
}

vbl_status vbl_measure_warm(vbl_measure_fn *fn, vbl_prepared *p, const vbl_measure_options *o, vbl_error *err) {
  unsigned parts = vbl_measure_traits_of(fn, o)->parts;
  const vbl_knn *list;
  bool product = fn == vbl_procrustes && o->form == 0 && p->d < p->n;  // the rows alone; a wide partner asks for the SVD itself
  bool compact = product || ((fn == vbl_cka || fn == vbl_hsic) && o->kernel == 0);
  if ((parts & ROWS) != 0 && !compact) VBL_TRY(vbl_prepared_rows(p, err));
  if ((parts & UNIT) != 0) VBL_TRY(vbl_prepared_unit(p, err));
  if ((parts & KNN) != 0 && has_lists(p, o))
    VBL_TRY(vbl_prepared_knn(p, o->k, fn == vbl_cknna ? VBL_KNN_COSINE : (vbl_knn_metric)o->metric, &list, err));
  if ((parts & SVD) != 0 && p->total > 0 && !product) VBL_TRY(vbl_prepared_svd(p, err));
  if ((parts & SELF) != 0 && o->kernel == 0) VBL_TRY(vbl_prepared_self(p, err));
  return VBL_OK;
}
