// defines: vbl_plugin_measure_make, vbl_plugin_compute
#include <math.h>

#include "core/measure/result.h"
#include "core/plugin/plugin.h"

vbl_status vbl_plugin_measure_make(const vbl_measure_def *def, vbl_plugin_measure *out, vbl_error *err) {
  const unsigned known = VBL_MEASURE_SYMMETRIC | VBL_MEASURE_DISTANCE | VBL_MEASURE_ONE_SPACE | VBL_MEASURE_ROTATES;
  VBL_TRY(vbl_plugin_check_name(def->abi, def->name, def->help, err));
  VBL_TRY(vbl_plugin_check_list(def->name, def->options, err));
  if (def->compute == NULL) return vbl_fail(err, VBL_EINVAL, "plug-in %s: the definition has no compute", def->name);
  if ((def->flags & ~known) != 0) return vbl_fail(err, VBL_EINVAL, "plug-in %s: flags %#x: unknown ones", def->name, def->flags);
  if (def->least_rows < 1)
    return vbl_fail(err, VBL_EINVAL, "plug-in %s: least_rows: expected 1 or more, got %lld", def->name, (long long)def->least_rows);
  *out = (vbl_plugin_measure){def,
                              {vbl_plugin_compute, VBL_PART_ROWS, VBL_NULL_PERMUTATION, (def->flags & VBL_MEASURE_SYMMETRIC) != 0}};
  return VBL_OK;
}

static vbl_status take(const vbl_measure_def *def, const vbl_measure_answer *a, vbl_measure_result *r, vbl_error *err) {
  if ((int)a->status < 0 || a->status >= VBL_MEASURE_STATUSES)
    return vbl_fail(err, VBL_EINVAL, "%s: the plug-in answers status %d, which vbl.h has not", def->name, (int)a->status);
  if (a->status != VBL_MEASURE_OK) return vbl_undefined(r, a->status);
  if (!isfinite(a->value))
    return vbl_fail(err, VBL_ENUMERIC,
                    "%s: the plug-in answers %g with status OK: a value that the data leave undefined needs another status",
                    def->name, a->value);
  r->value = a->value;
  r->chance = a->chance;
  r->chance_source = "the plug-in's";
  r->skipped = a->skipped;
  return VBL_OK;
}

vbl_status vbl_plugin_compute(vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o, vbl_measure_result *r,
                              vbl_error *err) {
  const vbl_measure_def *def = o->plugin->def;
  char message[VBL_PLUGIN_MESSAGE] = "";
  vbl_measure_answer answer = {NAN, VBL_MEASURE_OK, NAN, -1};
  VBL_TRY(vbl_plugin_check_options(def->name, def->options, o->plugin_options, err));
  VBL_TRY(vbl_begin_pair(def->name, x, y, def->least_rows, r, err));
  if ((def->flags & VBL_MEASURE_ONE_SPACE) != 0 && !vbl_same_space(r)) return VBL_OK;
  vbl_plugin_matrix a = {x->n, x->d, x->raw}, b = {y->n, y->d, y->raw};
  if (def->compute(&a, &b, o->plugin_options, &answer, message) != 0) {
    vbl_plugin_failed(message, err);
    return vbl_context(err, "%s", def->name);
  }
  return take(def, &answer, r, err);
}
