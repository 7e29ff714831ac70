// "vbl.metrics.c": scores of predictions against labels. Predictions and labels are tensors of any dtype, or tables of numbers.
// defines: vbl_open_metrics, vbl_lua_values, vbl_lua_same_shape, vbl_lua_flags, vbl_lua_classes
#include "bindings/metrics.h"

#include <math.h>

#include "bindings/measure.h"

static const double *of_table(lua_State *L, int arg, const char *what, int64_t n) {
  double *out = lua_newuserdatauv(L, sizeof(double) * (size_t)(n > 0 ? n : 1), 0);
  for (int64_t i = 0; i < n; i++) {
    int ok;
    lua_rawgeti(L, arg, i + 1);
    out[i] = lua_tonumberx(L, -1, &ok);
    if (!ok) vbl_lua_error(L, "%s: element %I is a %s, expected a number", what, (LUAI_UACINT)i + 1, luaL_typename(L, -1));
    lua_pop(L, 1);
  }
  lua_replace(L, arg);
  return out;
}

vbl_values vbl_lua_values(lua_State *L, int arg, const char *what, bool matrix) {
  vbl_values x = {.what = what};
  if (lua_istable(L, arg)) {
    x.n = (int64_t)lua_rawlen(L, arg);
    x.v = of_table(L, arg, what, x.n);
  } else {
    const vbl_tensor *t = vbl_lua_check_tensor(L, arg);
    if (t->ndim != 1 && !(matrix && t->ndim == 2)) {
      char shape[VBL_SHAPE_TEXT];
      vbl_lua_error(L, "%s: expected %s, got %s", what, matrix ? "[n] or [n, classes]" : "[n]",
                    vbl_shape_text(t->ndim, t->shape, shape));
    }
    x.n = t->shape[0];
    x.classes = t->ndim == 2 ? t->shape[1] : 0;
    if (t->ndim == 2 && x.classes < 1) vbl_lua_error(L, "%s: [%I, 0]: expected at least one class", what, (LUAI_UACINT)x.n);
    x.v = vbl_lua_doubles(L, arg, t);
  }
  if (x.n < 1) vbl_lua_error(L, "%s: empty; expected at least one sample", what);
  for (int64_t i = 0; i < x.n * (x.classes > 0 ? x.classes : 1); i++)
    if (!isfinite(x.v[i])) vbl_lua_error(L, "%s: element %I is %s", what, (LUAI_UACINT)i + 1, isnan(x.v[i]) ? "NaN" : "infinite");
  return x;
}

void vbl_lua_same_shape(lua_State *L, const vbl_values *a, const vbl_values *b) {
  if (a->n == b->n && a->classes == b->classes) return;
  vbl_lua_error(L, "%s and %s: %I x %I against %I x %I; expected the same shape", a->what, b->what, (LUAI_UACINT)a->n,
                (LUAI_UACINT)(a->classes > 0 ? a->classes : 1), (LUAI_UACINT)b->n, (LUAI_UACINT)(b->classes > 0 ? b->classes : 1));
}

const uint8_t *vbl_lua_flags(lua_State *L, const vbl_values *x) {
  int64_t count = x->n * (x->classes > 0 ? x->classes : 1);
  uint8_t *out = lua_newuserdatauv(L, (size_t)count, 0);
  for (int64_t i = 0; i < count; i++) {
    if (x->v[i] != 0 && x->v[i] != 1)
      vbl_lua_error(L, "%s: element %I is %f, expected 0 or 1", x->what, (LUAI_UACINT)i + 1, (LUAI_UACNUMBER)x->v[i]);
    out[i] = x->v[i] != 0;
  }
  return out;
}

const int64_t *vbl_lua_classes(lua_State *L, const vbl_values *x, int64_t *classes) {
  enum { MOST = 1000000 };
  if (*classes > MOST) vbl_lua_error(L, "%s: %I classes, expected at most %d", x->what, (LUAI_UACINT)*classes, MOST);
  int64_t *out = lua_newuserdatauv(L, sizeof *out * (size_t)x->n, 0);
  for (int64_t i = 0; i < x->n; i++) {
    if (x->v[i] != floor(x->v[i]) || x->v[i] < 0 || x->v[i] >= MOST)
      vbl_lua_error(L, "%s: element %I is %f, expected a class number 0, 1, ...", x->what, (LUAI_UACINT)i + 1,
                    (LUAI_UACNUMBER)x->v[i]);
    out[i] = (int64_t)x->v[i];
    if (out[i] >= *classes) *classes = out[i] + 1;
  }
  return out;
}

typedef vbl_status ranking_fn(const double *, const uint8_t *, int64_t, double *, vbl_error *);

static int ranking(lua_State *L, ranking_fn *fn) {
  lua_settop(L, 2);
  vbl_values score = vbl_lua_values(L, 1, "scores", false), label = vbl_lua_values(L, 2, "labels", false);
  vbl_lua_same_shape(L, &score, &label);
  const uint8_t *positive = vbl_lua_flags(L, &label);
  double v;
  VBL_LUA_TRY(L, fn(score.v, positive, score.n, &v, &err));
  int64_t ones = 0;
  for (int64_t i = 0; i < score.n; i++) ones += positive[i];
  lua_pushnumber(L, v);
  lua_createtable(L, 0, 4);
  vbl_lua_set_number(L, "value", v);
  vbl_lua_set_integer(L, "n", score.n);
  vbl_lua_set_integer(L, "positives", ones);
  vbl_lua_set_string(L, "status", isnan(v) ? "ONE_CLASS" : "OK");
  return 2;
}

static int l_auroc(lua_State *L) { return ranking(L, vbl_auroc); }
static int l_average_precision(lua_State *L) { return ranking(L, vbl_average_precision); }

static int l_best_threshold(lua_State *L) {
  static const char *const known[] = {"goal", "preferred", NULL}, *const goals[] = {"f1", "accuracy", NULL};
  lua_settop(L, 3);
  vbl_lua_check_keys(L, 3, known);
  vbl_values score = vbl_lua_values(L, 1, "scores", false), label = vbl_lua_values(L, 2, "labels", false);
  vbl_lua_same_shape(L, &score, &label);
  const uint8_t *positive = vbl_lua_flags(L, &label);
  int goal = vbl_lua_opt_choice(L, 3, "goal", goals, 0);
  double preferred = vbl_lua_opt_number(L, 3, "preferred", 0.5), threshold, value;
  VBL_LUA_TRY(L, vbl_best_threshold(score.v, positive, score.n, goal == 0 ? VBL_FOR_F1 : VBL_FOR_ACCURACY, preferred, &threshold,
                                    &value, &err));
  lua_pushnumber(L, threshold);
  lua_pushnumber(L, value);
  return 2;
}

static void push_f1(lua_State *L, const vbl_counts *counts, int64_t classes) {
  vbl_f1 f;
  vbl_f1_averages(counts, classes, &f);
  lua_createtable(L, 0, 8);
  vbl_lua_set_number(L, "micro", f.micro);
  vbl_lua_set_number(L, "macro", f.macro);
  vbl_lua_set_number(L, "weighted", f.weighted);
  vbl_lua_set_integer(L, "classes", classes);
  vbl_lua_set_integer(L, "no_truth", f.no_truth);
  vbl_lua_set_integer(L, "undefined", f.undefined);
  lua_createtable(L, (int)classes, 0);
  for (int64_t c = 0; c < classes; c++) {
    lua_createtable(L, 0, 4);
    vbl_lua_set_number(L, "f1", vbl_f1_of(counts[c]));
    vbl_lua_set_integer(L, "hit", counts[c].hit);
    vbl_lua_set_integer(L, "predicted", counts[c].predicted);
    vbl_lua_set_integer(L, "truth", counts[c].truth);
    lua_rawseti(L, -2, c + 1);
  }
  lua_setfield(L, -2, "per_class");
}

static int l_f1(lua_State *L) {
  static const char *const known[] = {"classes", NULL};
  lua_settop(L, 3);
  vbl_lua_check_keys(L, 3, known);
  vbl_values predicted = vbl_lua_values(L, 1, "predicted", true), truth = vbl_lua_values(L, 2, "truth", true);
  vbl_lua_same_shape(L, &predicted, &truth);
  int64_t classes = vbl_lua_opt_integer(L, 3, "classes", 0);
  if (truth.classes > 0) classes = truth.classes;
  const int64_t *p = NULL, *t = NULL;
  const uint8_t *pf = NULL, *tf = NULL;
  if (truth.classes > 0) {
    pf = vbl_lua_flags(L, &predicted);
    tf = vbl_lua_flags(L, &truth);
  } else {
    p = vbl_lua_classes(L, &predicted, &classes);
    t = vbl_lua_classes(L, &truth, &classes);
  }
  vbl_counts *counts = lua_newuserdatauv(L, sizeof *counts * (size_t)classes, 0);
  if (truth.classes > 0)
    vbl_count_labels(pf, tf, truth.n, classes, counts);
  else
    vbl_count_classes(p, t, truth.n, classes, counts);
  push_f1(L, counts, classes);
  if (truth.classes > 0) vbl_lua_set_number(L, "samples", vbl_f1_samples(pf, tf, truth.n, classes));
  vbl_lua_set_integer(L, "n", truth.n);
  lua_getfield(L, -1, "macro");
  lua_insert(L, -2);
  return 2;
}

static int l_accuracy(lua_State *L) {
  lua_settop(L, 2);
  vbl_values predicted = vbl_lua_values(L, 1, "predicted", true), truth = vbl_lua_values(L, 2, "truth", true);
  vbl_lua_same_shape(L, &predicted, &truth);
  int64_t width = truth.classes > 0 ? truth.classes : 1, right = 0;
  for (int64_t i = 0; i < truth.n; i++) {
    bool same = true;
    for (int64_t c = 0; c < width; c++) same = same && predicted.v[i * width + c] == truth.v[i * width + c];
    right += same;
  }
  lua_pushnumber(L, (double)right / (double)truth.n);
  lua_createtable(L, 0, 2);
  vbl_lua_set_integer(L, "right", right);
  vbl_lua_set_integer(L, "n", truth.n);
  return 2;
}

static int l_vqa_accuracy(lua_State *L) {
  lua_settop(L, 2);
  vbl_values same = vbl_lua_values(L, 1, "same", false);
  int64_t answers = luaL_optinteger(L, 2, 10);
  if (answers < 1) return vbl_lua_error(L, "answers = %I; expected at least 1", (LUAI_UACINT)answers);
  double sum = 0;
  for (int64_t i = 0; i < same.n; i++) {
    if (same.v[i] != floor(same.v[i]) || same.v[i] < 0 || same.v[i] > (double)answers)
      return vbl_lua_error(L, "same: element %I is %f, expected 0 to %I answers", (LUAI_UACINT)i + 1, (LUAI_UACNUMBER)same.v[i],
                           (LUAI_UACINT)answers);
    sum += vbl_vqa_accuracy((int64_t)same.v[i], answers);
  }
  lua_pushnumber(L, sum / (double)same.n);
  return 1;
}

static const vbl_fn functions[] = {
    {"auroc", l_auroc, "auroc(scores, labels) -> number, record",
     "Area under the ROC curve: P(score of a 1 > score of a 0), ties half. scores [n], labels [n] of 0 and 1. Without both "
     "classes NaN, status ONE_CLASS."},
    {"average_precision", l_average_precision, "average_precision(scores, labels) -> number, record",
     "Precision averaged over the recall steps, equal scores being one threshold. NaN without a 1."},
    {"accuracy", l_accuracy, "accuracy(predicted, truth) -> number, {right=, n=}",
     "Share of samples predicted right. [n] class numbers, or [n, classes] label sets, which must be right as a whole."},
    {"f1", l_f1, "f1(predicted, truth, {classes=}) -> macro F1, record",
     "[n] class numbers from 0, or [n, classes] of 0 and 1 (multi-label). record: micro, macro, weighted, samples (multi-label), "
     "per_class {f1, hit, predicted, truth}, no_truth (classes without a label), undefined (of these, without a prediction: F1 "
     "0)."},
    {"best_threshold", l_best_threshold,
     "best_threshold(scores, labels, {goal=\"f1\"|\"accuracy\", preferred=0.5}) -> threshold, value",
     "The threshold t that is best for \"score > t\": the middle between two neighbouring scores, `preferred` where it does as "
     "well. "
     "Choose it on validation data only."},
    {"vqa_accuracy", l_vqa_accuracy, "vqa_accuracy(same, [answers=10]) -> number",
     "same [n]: how many of the people gave the predicted answer. Mean over the leave-one-out sets of min(same / 3, 1), as in the "
     "official evaluation of VQA (Antol et al. 2015)."},
    {NULL, NULL, NULL, NULL}};

int vbl_open_metrics(lua_State *L) {
  vbl_lua_weighted_class(L);
  lua_newtable(L);
  vbl_lua_register(L, "metrics", functions);
  vbl_lua_register(L, "metrics", vbl_resample_rows);
  return 1;
}
