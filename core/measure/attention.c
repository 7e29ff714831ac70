// Entropy of attention distributions.
// defines: vbl_attention_entropy
#include <math.h>

#include "core/measure/result.h"

static int64_t limit(const int64_t *lengths, int64_t b, int64_t all) { return lengths != NULL ? lengths[b] : all; }

static vbl_status check_lengths(const int64_t *lengths, int64_t b, int64_t most, const char *name, vbl_error *err) {
  for (int64_t i = 0; lengths != NULL && i < b; i++)
    if (lengths[i] < 0 || lengths[i] > most)
      return vbl_fail(err, VBL_EINVAL, "attention_entropy: %s %lld of sample %lld: expected 0 to %lld", name, (long long)lengths[i],
                      (long long)i + 1, (long long)most);
  return VBL_OK;
}

// Entropy of one row in nats; *sum becomes its sum.
static double entropy(const double *p, int64_t keys, double *sum) {
  double h = 0;
  *sum = 0;
  for (int64_t k = 0; k < keys; k++) {
    *sum += p[k];
    if (p[k] > 0) h -= p[k] * log(p[k]);
  }
  return h;
}

// Sums of one sample's head over its valid queries; *count of them.
static vbl_status head_sum(const vbl_attention *a, int64_t b, int64_t head, double *out, int64_t *count, vbl_error *err) {
  int64_t keys = limit(a->lengths, b, a->keys), queries = limit(a->query_lengths, b, a->queries);
  if (keys < 2) return VBL_OK;
  for (int64_t q = 0; q < queries; q++) {
    double sum, h = entropy(a->p + ((b * a->heads + head) * a->queries + q) * a->keys, keys, &sum);
    if (!(fabs(sum - 1) < 0.02))
      return vbl_fail(
          err, VBL_EINVAL,
          "attention_entropy: sample %lld, head %lld, query %lld sums to %g over %lld valid keys: expected probabilities "
          "after the softmax, padding masked",
          (long long)b + 1, (long long)head + 1, (long long)q + 1, sum, (long long)keys);
    *out += h / log((double)keys);
    ++*count;
  }
  return VBL_OK;
}

// A sample with one valid key has entropy 0 of at most 0: it is skipped and counted.
vbl_status vbl_attention_entropy(const vbl_attention *a, double *heads, vbl_measure_result *r, vbl_error *err) {
  vbl_prepared shape = {.n = a->b, .d = a->keys};
  VBL_TRY(vbl_begin_one("attention_entropy", &shape, 1, r, err));
  VBL_TRY(check_lengths(a->lengths, a->b, a->keys, "length", err));
  VBL_TRY(check_lengths(a->query_lengths, a->b, a->queries, "query length", err));
  r->duplicates_x = -1;
  r->preprocessing = "valid keys and queries, divided by ln(valid keys)";
  r->skipped = 0;
  for (int64_t b = 0; b < a->b; b++) r->skipped += limit(a->lengths, b, a->keys) < 2 || limit(a->query_lengths, b, a->queries) == 0;
  if (r->skipped > 0) r->warnings |= VBL_WARN_ROWS_SKIPPED;
  double mean = 0;
  for (int64_t h = 0; h < a->heads; h++) {
    double sum = 0;
    int64_t count = 0;
    for (int64_t b = 0; b < a->b; b++) VBL_TRY(head_sum(a, b, h, &sum, &count, err));
    heads[h] = count > 0 ? sum / (double)count : (double)NAN;
    mean += heads[h] / (double)a->heads;
  }
  return r->skipped == a->b ? vbl_undefined(r, VBL_MEASURE_NOTHING_VALID) : vbl_value(r, mean);
}
