#include "core/metrics/weighted.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { POSITIVE = 1, LAST = 2, PREDICTED = 1, TRUE = 2 };

void vbl_weighted_free(vbl_weighted *w) {
  free(w->value);
  free(w->order);
  free(w->flags);
  free(w->start);
  free(w->entry);
  *w = (vbl_weighted){0};
}

static vbl_status no_memory(vbl_weighted *w, vbl_error *err) {
  vbl_weighted_free(w);
  return vbl_fail(err, VBL_ENOMEM, "scores of weighted samples: out of memory");
}

typedef struct keyed {
  double key;
  int32_t index;
} keyed;

static int falling(const void *a, const void *b) {
  const keyed *x = a, *y = b;
  if (x->key != y->key) return (x->key < y->key) - (x->key > y->key);
  return (x->index > y->index) - (x->index < y->index);
}

vbl_status vbl_weighted_mean(const double *value, int64_t n, vbl_weighted *out, vbl_error *err) {
  *out = (vbl_weighted){.kind = VBL_W_MEAN, .n = n, .classes = 1, .value = malloc(sizeof(double) * (size_t)n)};
  if (out->value == NULL) return no_memory(out, err);
  memcpy(out->value, value, sizeof(double) * (size_t)n);
  return VBL_OK;
}

vbl_status vbl_weighted_median(const double *value, int64_t n, vbl_weighted *out, vbl_error *err) {
  VBL_TRY(vbl_weighted_mean(value, n, out, err));
  out->kind = VBL_W_MEDIAN;
  out->order = malloc(sizeof(int32_t) * (size_t)n);
  keyed *k = malloc(sizeof *k * (size_t)n);
  if (out->order == NULL || k == NULL) {
    free(k);
    return no_memory(out, err);
  }
  for (int64_t i = 0; i < n; i++) k[i] = (keyed){value[i], (int32_t)i};
  qsort(k, (size_t)n, sizeof *k, falling);
  for (int64_t i = 0; i < n; i++) out->order[i] = k[n - 1 - i].index;
  free(k);
  return VBL_OK;
}

static void rank_class(const double *score, const uint8_t *positive, int64_t n, int64_t classes, int64_t c, keyed *k,
                       vbl_weighted *out) {
  for (int64_t i = 0; i < n; i++) k[i] = (keyed){score[i * classes + c], (int32_t)i};
  qsort(k, (size_t)n, sizeof *k, falling);
  for (int64_t i = 0; i < n; i++) {
    bool last = i + 1 == n || k[i + 1].key != k[i].key;
    out->order[c * n + i] = k[i].index;
    out->flags[c * n + i] = (uint8_t)((positive[k[i].index * classes + c] != 0 ? POSITIVE : 0) | (last ? LAST : 0));
  }
}

vbl_status vbl_weighted_ranked(vbl_weighted_kind kind, const double *score, const uint8_t *positive, int64_t n, int64_t classes,
                               vbl_weighted *out, vbl_error *err) {
  *out = (vbl_weighted){.kind = kind, .n = n, .classes = classes};
  out->order = malloc(sizeof(int32_t) * (size_t)(n * classes));
  out->flags = malloc((size_t)(n * classes));
  keyed *k = malloc(sizeof *k * (size_t)n);
  if (out->order == NULL || out->flags == NULL || k == NULL) {
    free(k);
    return no_memory(out, err);
  }
  for (int64_t c = 0; c < classes; c++) rank_class(score, positive, n, classes, c, k, out);
  free(k);
  return VBL_OK;
}

static vbl_status entries(vbl_weighted_kind kind, int64_t n, int64_t classes, int64_t count, vbl_weighted *out, vbl_error *err) {
  *out = (vbl_weighted){.kind = kind, .n = n, .classes = classes};
  out->start = malloc(sizeof(int64_t) * (size_t)(n + 1));
  out->entry = malloc(sizeof(int32_t) * (size_t)(count > 0 ? count : 1));
  return out->start != NULL && out->entry != NULL ? VBL_OK : no_memory(out, err);
}

vbl_status vbl_weighted_classes(vbl_weighted_kind kind, const int64_t *predicted, const int64_t *truth, int64_t n, int64_t classes,
                                vbl_weighted *out, vbl_error *err) {
  VBL_TRY(entries(kind, n, classes, 2 * n, out, err));
  int64_t at = 0;
  for (int64_t i = 0; i < n; i++) {
    bool same = predicted[i] == truth[i];
    out->start[i] = at;
    out->entry[at++] = (int32_t)(predicted[i] << 2 | PREDICTED | (same ? TRUE : 0));
    if (!same) out->entry[at++] = (int32_t)(truth[i] << 2 | TRUE);
  }
  out->start[n] = at;
  return VBL_OK;
}

vbl_status vbl_weighted_labels(vbl_weighted_kind kind, const uint8_t *predicted, const uint8_t *truth, int64_t n, int64_t classes,
                               vbl_weighted *out, vbl_error *err) {
  int64_t count = 0, at = 0;
  for (int64_t i = 0; i < n * classes; i++) count += predicted[i] != 0 || truth[i] != 0;
  VBL_TRY(entries(kind, n, classes, count, out, err));
  for (int64_t i = 0; i < n; i++) {
    out->start[i] = at;
    for (int64_t c = 0; c < classes; c++) {
      int bits = (predicted[i * classes + c] != 0 ? PREDICTED : 0) | (truth[i * classes + c] != 0 ? TRUE : 0);
      if (bits != 0) out->entry[at++] = (int32_t)(c << 2 | bits);
    }
  }
  out->start[n] = at;
  return VBL_OK;
}

static double mean(const vbl_weighted *w, const int32_t *weight) {
  double sum = 0;
  int64_t total = 0;
  for (int64_t i = 0; i < w->n; i++) {
    sum += weight[i] * w->value[i];
    total += weight[i];
  }
  return total > 0 ? sum / (double)total : (double)NAN;
}

// The mean of the two middle values of the sample in which each value stands `weight` times.
static double median(const vbl_weighted *w, const int32_t *weight) {
  int64_t total = 0, seen = 0;
  for (int64_t i = 0; i < w->n; i++) total += weight[i];
  double low = (double)NAN;
  for (int64_t k = 0; k < w->n; k++) {
    int64_t next = seen + weight[w->order[k]];
    if (seen <= (total - 1) / 2 && next > (total - 1) / 2) low = w->value[w->order[k]];
    if (next > total / 2) return (low + w->value[w->order[k]]) / 2;
    seen = next;
  }
  return (double)NAN;
}

static double auroc(const int32_t *order, const uint8_t *flags, int64_t n, const int32_t *weight) {
  double won = 0;
  int64_t ones = 0, zeros = 0, p = 0, q = 0;
  for (int64_t k = 0; k < n; k++) {
    int64_t c = weight[order[k]];
    if (flags[k] & POSITIVE)
      p += c;
    else
      q += c;
    if (!(flags[k] & LAST)) continue;
    won += (double)q * ((double)ones + 0.5 * (double)p);
    ones += p;
    zeros += q;
    p = q = 0;
  }
  return ones > 0 && zeros > 0 ? won / ((double)ones * (double)zeros) : (double)NAN;
}

static double average_precision(const int32_t *order, const uint8_t *flags, int64_t n, const int32_t *weight) {
  double sum = 0;
  int64_t ones = 0, all = 0, p = 0;
  for (int64_t k = 0; k < n; k++) {
    int64_t c = weight[order[k]];
    all += c;
    if (flags[k] & POSITIVE) p += c;
    if (!(flags[k] & LAST)) continue;
    ones += p;
    if (p > 0) sum += (double)p * ((double)ones / (double)all);
    p = 0;
  }
  return ones > 0 ? sum / (double)ones : (double)NAN;
}

static double ranked(const vbl_weighted *w, const int32_t *weight) {
  double sum = 0;
  int64_t defined = 0;
  for (int64_t c = 0; c < w->classes; c++) {
    const int32_t *order = w->order + c * w->n;
    const uint8_t *flags = w->flags + c * w->n;
    double v = w->kind == VBL_W_AUROC ? auroc(order, flags, w->n, weight) : average_precision(order, flags, w->n, weight);
    if (isnan(v)) continue;
    sum += v;
    defined++;
  }
  return defined > 0 ? sum / (double)defined : (double)NAN;
}

static double f1(const vbl_weighted *w, const int32_t *weight, vbl_counts *counts) {
  vbl_f1 out;
  int64_t total = 0;
  memset(counts, 0, sizeof *counts * (size_t)w->classes);
  for (int64_t i = 0; i < w->n; i++) {
    total += weight[i];
    if (weight[i] == 0) continue;
    for (int64_t e = w->start[i]; e < w->start[i + 1]; e++) {
      vbl_counts *c = counts + (w->entry[e] >> 2);
      int bits = w->entry[e] & 3;
      c->predicted += bits & PREDICTED ? weight[i] : 0;
      c->truth += bits & TRUE ? weight[i] : 0;
      c->hit += bits == (PREDICTED | TRUE) ? weight[i] : 0;
    }
  }
  if (total == 0) return (double)NAN;
  vbl_f1_averages(counts, w->classes, &out);
  return w->kind == VBL_W_F1_MICRO ? out.micro : w->kind == VBL_W_F1_MACRO ? out.macro : out.weighted;
}

double vbl_weighted_value(const vbl_weighted *w, const int32_t *weight, vbl_counts *scratch) {
  switch (w->kind) {
    case VBL_W_MEAN:
      return mean(w, weight);
    case VBL_W_MEDIAN:
      return median(w, weight);
    case VBL_W_AUROC:
    case VBL_W_AVERAGE_PRECISION:
      return ranked(w, weight);
    default:
      return f1(w, weight, scratch);
  }
}
