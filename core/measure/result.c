// The result record: names of its codes, its empty state, its checks; the options' defaults.
// defines: vbl_measure_status_name, vbl_measure_warning_name, vbl_measure_defaults, vbl_begin_pair, vbl_begin_one, vbl_value,
// vbl_begin_compact, vbl_undefined, vbl_extra, vbl_same_space
#include "core/measure/result.h"

#include <math.h>

const vbl_measure_options vbl_measure_defaults = {
    .k = 10,
    .bandwidth = 1,
    .fraction = 1,
    .batch = 64,
    .threshold = 0.99,
    .folds = 5,
    .lambda = -1,
    .p = 2,
    .projections = 512,
    .alpha = 2,
    .t = 2,
    .variance = 0.95,
    .discard = 0.1,
};

const char *vbl_measure_status_name(vbl_measure_status s) {
  static const char *const names[VBL_MEASURE_STATUSES] = {"OK",
                                                          "ZERO_VARIANCE",
                                                          "ZERO_ROW",
                                                          "ALL_TIED",
                                                          "RANK_SATURATED",
                                                          "NOT_CONVERGED",
                                                          "NOT_COMPARABLE",
                                                          "BANDWIDTH_ZERO",
                                                          "NEGATIVE_HSIC",
                                                          "NO_RECIPROCAL",
                                                          "NOTHING_VALID",
                                                          "ONE_CLASS",
                                                          "OVERFLOW"};
  return s >= 0 && s < VBL_MEASURE_STATUSES ? names[s] : "UNKNOWN";
}

const char *vbl_measure_warning_name(unsigned one_bit) {
  static const char *const names[] = {"D_GE_N",       "TIES_AT_K",    "DUPLICATE_ROWS", "LAST_BATCH_SMALL",  "K_IS_ALL",
                                      "FEW_ROWS",     "FORCED_ONES",  "RANK_DEFICIENT", "ZERO_ROWS_SKIPPED", "KERNEL_DEGENERATE",
                                      "ROWS_SKIPPED", "PROBE_AT_EDGE"};
  for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
    if (one_bit == 1u << i) return names[i];
  return NULL;
}

static void empty(vbl_measure_result *r) {
  *r = (vbl_measure_result){.value = NAN, .chance = NAN};
  r->n = r->dx = r->dy = r->k = r->dims_x = r->dims_y = -1;
  r->duplicates_x = r->duplicates_y = r->ties = r->skipped = -1;
}

static vbl_status begin(const char *measure, const vbl_prepared *x, int64_t n_min, vbl_measure_result *r, vbl_error *err) {
  empty(r);
  if (x->n < n_min)
    return vbl_fail(err, VBL_EINVAL, "%s: expected at least %lld rows, got %lld", measure, (long long)n_min, (long long)x->n);
  r->n = x->n;
  r->dx = x->d;
  r->duplicates_x = x->duplicates;
  if (x->duplicates > 0) r->warnings |= VBL_WARN_DUPLICATE_ROWS;
  return VBL_OK;
}

vbl_status vbl_begin_one(const char *measure, vbl_prepared *x, int64_t n_min, vbl_measure_result *r, vbl_error *err) {
  VBL_TRY(begin(measure, x, n_min, r, err));
  return vbl_prepared_rows(x, err);
}

vbl_status vbl_begin_pair(const char *measure, vbl_prepared *x, vbl_prepared *y, int64_t n_min, vbl_measure_result *r,
                          vbl_error *err) {
  VBL_TRY(vbl_begin_compact(measure, x, y, n_min, r, err));
  VBL_TRY(vbl_prepared_rows(x, err));
  return vbl_prepared_rows(y, err);
}

vbl_status vbl_begin_compact(const char *measure, const vbl_prepared *x, const vbl_prepared *y, int64_t n_min,
                             vbl_measure_result *r, vbl_error *err) {
  empty(r);
  if (x->n != y->n)
    return vbl_fail(err, VBL_EINVAL, "%s: row i of X is paired with row i of Y, but X is [%lld, %lld] and Y is [%lld, %lld]",
                    measure, (long long)x->n, (long long)x->d, (long long)y->n, (long long)y->d);
  VBL_TRY(begin(measure, x, n_min, r, err));
  r->dy = y->d;
  r->duplicates_y = y->duplicates;
  if (y->duplicates > 0) r->warnings |= VBL_WARN_DUPLICATE_ROWS;
  return VBL_OK;
}

vbl_status vbl_value(vbl_measure_result *r, double value) {
  if (!isfinite(value)) return vbl_undefined(r, VBL_MEASURE_OVERFLOW);
  r->value = value;
  return VBL_OK;
}

vbl_status vbl_undefined(vbl_measure_result *r, vbl_measure_status status) {
  r->value = NAN;
  r->status = status;
  return VBL_OK;
}

void vbl_extra(vbl_measure_result *r, const char *name, double value) {
  if (r->extras == VBL_MEASURE_EXTRAS) return;
  r->extra[r->extras].name = name;
  r->extra[r->extras++].value = value;
}

bool vbl_same_space(vbl_measure_result *r) {
  if (r->dx == r->dy) return true;
  vbl_undefined(r, VBL_MEASURE_NOT_COMPARABLE);
  return false;
}
