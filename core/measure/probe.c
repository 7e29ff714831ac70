// A linear probe: what a logistic regression reads from frozen features (Alain and Bengio 2016).
// defines: vbl_linear_probe
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/measure/logistic.h"
#include "core/measure/result.h"
#include "core/measure/stats.h"

enum { TRAIN, VALIDATION, TEST, PARTS };

// The rows of one part: standardised features (n, d) and labels (n).
typedef struct rows {
  int64_t n;
  double *x;
  int64_t *labels;
} rows;

typedef struct task {
  int64_t d, classes;
  rows part[PARTS];
  double *mean, *scale;  // (d), of the training rows; scale 0 for a constant column
} task;

static void task_free(task *t) {
  for (int p = 0; p < PARTS; p++) {
    free(t->part[p].x);
    free(t->part[p].labels);
  }
  free(t->mean);
  free(t->scale);
}

static vbl_status draw_parts(int64_t n, int64_t seed, int64_t *part, vbl_error *err) {
  int64_t *order = malloc(sizeof *order * (size_t)n);
  if (order == NULL) return vbl_fail(err, VBL_ENOMEM, "linear_probe: out of memory");
  vbl_permutation(n, seed, 0, order);
  for (int64_t i = 0; i < n; i++) part[order[i]] = 10 * i < 6 * n ? TRAIN : 10 * i < 8 * n ? VALIDATION : TEST;
  free(order);
  return VBL_OK;
}

static void standardise(task *t) {
  const rows *train = &t->part[TRAIN];
  for (int64_t j = 0; j < t->d; j++) {
    double mean = 0, square = 0;
    for (int64_t i = 0; i < train->n; i++) mean += train->x[i * t->d + j] / (double)train->n;
    for (int64_t i = 0; i < train->n; i++) square += pow(train->x[i * t->d + j] - mean, 2) / (double)train->n;
    t->mean[j] = mean;
    t->scale[j] = square > 1e-24 * mean * mean && square > 0 ? 1 / sqrt(square) : 0;
  }
  for (int p = 0; p < PARTS; p++)
    for (int64_t i = 0; i < t->part[p].n; i++)
      for (int64_t j = 0; j < t->d; j++) t->part[p].x[i * t->d + j] = (t->part[p].x[i * t->d + j] - t->mean[j]) * t->scale[j];
}

static vbl_status task_fill(const vbl_prepared *x, const int64_t *labels, const int64_t *part, task *t, vbl_error *err) {
  VBL_TRY(vbl_doubles(x->d, "linear_probe", &t->mean, err));
  VBL_TRY(vbl_doubles(x->d, "linear_probe", &t->scale, err));
  for (int64_t i = 0; i < x->n; i++) t->part[part[i]].n++;
  for (int p = 0; p < PARTS; p++) {
    rows *q = &t->part[p];
    VBL_TRY(vbl_doubles(q->n * x->d, "linear_probe", &q->x, err));
    q->labels = malloc(sizeof *q->labels * (size_t)(q->n > 0 ? q->n : 1));
    if (q->labels == NULL) return vbl_fail(err, VBL_ENOMEM, "linear_probe: out of memory");
    q->n = 0;
  }
  for (int64_t i = 0; i < x->n; i++) {
    rows *q = &t->part[part[i]];
    memcpy(q->x + q->n * x->d, x->centred + i * x->d, sizeof(double) * (size_t)x->d);
    q->labels[q->n++] = labels[i];  // NOLINT(clang-analyzer-unix.Malloc): task_free frees the labels
  }
  standardise(t);
  return VBL_OK;
}

static int64_t count_of(const rows *q, int64_t label) {
  int64_t count = 0;
  for (int64_t i = 0; i < q->n; i++) count += q->labels[i] == label;
  return count;
}

static int64_t guess(const double *z, int64_t outputs) {
  if (outputs == 1) return z[0] > 0;
  int64_t best = 0;
  for (int64_t k = 1; k < outputs; k++)
    if (z[k] > z[best]) best = k;
  return best;
}

static double accuracy(const double *z, const rows *q, int64_t outputs) {
  int64_t right = 0;
  for (int64_t i = 0; i < q->n; i++) right += guess(z + i * outputs, outputs) == q->labels[i];
  return (double)right / (double)q->n;
}

// Mean F1 over the classes that the rows have.
static double macro_f1(const double *z, const rows *q, const task *t, int64_t outputs) {
  double sum = 0;
  int64_t present = 0;
  for (int64_t c = 0; c < t->classes; c++) {
    int64_t hit = 0, said = 0, is = count_of(q, c);
    if (is == 0) continue;
    for (int64_t i = 0; i < q->n; i++) {
      bool g = guess(z + i * outputs, outputs) == c;
      said += g;
      hit += g && q->labels[i] == c;
    }
    present++;
    sum += 2 * (double)hit / (double)(said + is);
  }
  return sum / (double)present;
}

// P(score of a 1 > score of a 0), ties half: from the mean ranks of the ones (Mann and Whitney 1947). NaN without both classes.
static vbl_status auroc(const double *z, const rows *q, double *value, vbl_error *err) {
  int64_t *order = malloc(sizeof *order * (size_t)q->n), ones = count_of(q, 1);
  if (order == NULL) return vbl_fail(err, VBL_ENOMEM, "linear_probe: out of memory");
  vbl_status status = vbl_order(z, q->n, order, err);
  double ranks = 0;
  for (int64_t i = 0, end; status == VBL_OK && i < q->n; i = end) {
    for (end = i + 1; end < q->n && z[order[end]] == z[order[i]]; end++) continue;
    for (int64_t p = i; p < end; p++) ranks += q->labels[order[p]] == 1 ? (double)(i + 1 + end) / 2 : 0;
  }
  free(order);
  double one = (double)ones, zero = (double)(q->n - ones);
  *value = ones > 0 && ones < q->n ? (ranks - one * (one + 1) / 2) / (one * zero) : (double)NAN;
  return status;
}

static vbl_status score(const vbl_logistic *m, const task *t, const rows *q, vbl_probe_metric metric, double *value,
                        vbl_error *err) {
  double *z = NULL;
  VBL_TRY(vbl_doubles(q->n * m->outputs, "linear_probe", &z, err));
  vbl_logistic_logits(m, q->x, q->n, z);
  vbl_status status = VBL_OK;
  if (metric == VBL_PROBE_AUROC)
    status = auroc(z, q, value, err);
  else
    *value = metric == VBL_PROBE_ACCURACY ? accuracy(z, q, m->outputs) : macro_f1(z, q, t, m->outputs);
  free(z);
  return status;
}

// Fits for each C of the grid, from the weights of the last one; the best on validation rows keeps its test score.
static vbl_status search(vbl_logistic *m, const task *t, const vbl_probe_options *o, vbl_measure_result *r, vbl_error *err) {
  double best = -INFINITY, value = NAN, chosen = 0;
  bool converged = true;
  for (int e = o->c > 0 ? 3 : -3; e <= 3; e++) {
    double validation = 0;
    m->c = o->c > 0 ? o->c : pow(10, e);
    VBL_TRY(vbl_logistic_fit(m, err));
    if (!(o->c > 0)) VBL_TRY(score(m, t, &t->part[VALIDATION], o->metric, &validation, err));
    if (!(validation > best)) continue;
    best = validation;
    chosen = m->c;
    converged = m->converged;
    if (!(o->c > 0) && (e == -3 || e == 3)) r->warnings |= VBL_WARN_PROBE_AT_EDGE;
    if (!(o->c > 0) && e > -3 && e < 3) r->warnings &= ~(unsigned)VBL_WARN_PROBE_AT_EDGE;
    VBL_TRY(score(m, t, &t->part[TEST], o->metric, &value, err));
  }
  vbl_extra(r, "C", chosen);
  if (isnan(value)) return vbl_undefined(r, VBL_MEASURE_ONE_CLASS);
  return converged ? vbl_value(r, value) : vbl_undefined(r, VBL_MEASURE_NOT_CONVERGED);
}

static void note_chance(const task *t, vbl_probe_metric metric, vbl_measure_result *r) {
  int64_t majority = 0;
  for (int64_t c = 1; c < t->classes; c++)
    if (count_of(&t->part[TRAIN], c) > count_of(&t->part[TRAIN], majority)) majority = c;
  int64_t empty = 0;
  for (int64_t c = 0; c < t->classes; c++) empty += count_of(&t->part[TEST], c) == 0;
  vbl_extra(r, "classes", (double)t->classes);
  vbl_extra(r, "classes_without_test_rows", (double)empty);
  vbl_extra(r, "train", (double)t->part[TRAIN].n);
  vbl_extra(r, "validation", (double)t->part[VALIDATION].n);
  vbl_extra(r, "test", (double)t->part[TEST].n);
  if (metric == VBL_PROBE_MACRO_F1) return;
  r->chance = metric == VBL_PROBE_AUROC ? 0.5 : (double)count_of(&t->part[TEST], majority) / (double)t->part[TEST].n;
  r->chance_source = metric == VBL_PROBE_AUROC ? "ranking at random" : "always the commonest training class";
}

static vbl_status check_labels(const vbl_prepared *x, const vbl_probe_options *o, task *t, vbl_error *err) {
  for (int64_t i = 0; i < x->n; i++) {
    if (o->labels[i] < 0 || o->labels[i] > 1000000)
      return vbl_fail(err, VBL_EINVAL, "linear_probe: label %lld of row %lld: expected 0, 1, ...", (long long)o->labels[i],
                      (long long)i + 1);
    if (o->labels[i] + 1 > t->classes) t->classes = o->labels[i] + 1;
  }
  if (o->metric == VBL_PROBE_AUROC && t->classes > 2)
    return vbl_fail(err, VBL_EINVAL, "linear_probe: metric auroc: expected labels 0 and 1, got %lld classes",
                    (long long)t->classes);
  return VBL_OK;
}

static vbl_status run(const task *t, const vbl_probe_options *o, vbl_measure_result *r, vbl_error *err) {
  const rows *train = &t->part[TRAIN];
  if (train->n < 2 || t->part[TEST].n < 1 || (!(o->c > 0) && t->part[VALIDATION].n < 1))
    return vbl_fail(err, VBL_EINVAL, "linear_probe: %lld training, %lld validation and %lld test rows: each part needs some",
                    (long long)train->n, (long long)t->part[VALIDATION].n, (long long)t->part[TEST].n);
  note_chance(t, o->metric, r);
  for (int64_t c = 0; c < t->classes; c++)
    if (count_of(train, c) == train->n) return vbl_undefined(r, VBL_MEASURE_ONE_CLASS);
  vbl_logistic m = {.n = train->n, .d = t->d, .classes = t->classes, .outputs = t->classes == 2 ? 1 : t->classes};
  m.x = train->x;
  m.labels = train->labels;
  m.weights = calloc((size_t)(m.outputs * (m.d + 1)), sizeof *m.weights);
  if (m.weights == NULL) return vbl_fail(err, VBL_ENOMEM, "linear_probe: out of memory");
  vbl_status status = search(&m, t, o, r, err);
  free(m.weights);
  return status;
}

static vbl_status with_parts(vbl_prepared *x, const vbl_probe_options *o, int64_t *part, vbl_measure_result *r, vbl_error *err) {
  task t = {.d = x->d};
  VBL_TRY(check_labels(x, o, &t, err));
  if (o->part == NULL) VBL_TRY(draw_parts(x->n, o->seed, part, err));
  for (int64_t i = 0; i < x->n; i++) {
    if (o->part != NULL) part[i] = o->part[i];
    if (part[i] < 0 || part[i] >= PARTS)
      return vbl_fail(err, VBL_EINVAL, "linear_probe: part %lld of row %lld: expected 0 training, 1 validation or 2 test",
                      (long long)part[i], (long long)i + 1);
  }
  vbl_status status = task_fill(x, o->labels, part, &t, err);
  if (status == VBL_OK) status = run(&t, o, r, err);
  task_free(&t);
  return status;
}

vbl_status vbl_linear_probe(vbl_prepared *x, const vbl_probe_options *o, vbl_measure_result *r, vbl_error *err) {
  static const char *const metrics[] = {"accuracy", "auroc", "macro_f1"};
  VBL_TRY(vbl_begin_one("linear_probe", x, 4, r, err));
  r->preprocessing = "standardised by the training rows";
  r->metric = metrics[o->metric];
  int64_t *part = malloc(sizeof *part * (size_t)x->n);
  if (part == NULL) return vbl_fail(err, VBL_ENOMEM, "linear_probe: out of memory");
  vbl_status status = with_parts(x, o, part, r, err);
  free(part);
  return status;
}
