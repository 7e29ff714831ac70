// Scores that depend on the order of predictions alone.
// defines: vbl_auroc, vbl_average_precision, vbl_best_threshold
#include <math.h>
#include <stdlib.h>

#include "core/metrics/metrics.h"

typedef struct scored {
  double score;
  int64_t positive;
} scored;

static int descending(const void *a, const void *b) {
  double x = ((const scored *)a)->score, y = ((const scored *)b)->score;
  return (x < y) - (x > y);
}

// The pairs by falling score, to be freed by the caller.
static vbl_status sorted(const double *score, const uint8_t *positive, int64_t n, scored **out, vbl_error *err) {
  scored *s = malloc(sizeof *s * (size_t)(n > 0 ? n : 1));
  if (s == NULL) return vbl_fail(err, VBL_ENOMEM, "sorting %lld scores: out of memory", (long long)n);
  for (int64_t i = 0; i < n; i++) s[i] = (scored){score[i], positive[i] != 0};
  qsort(s, (size_t)n, sizeof *s, descending);
  *out = s;
  return VBL_OK;
}

// Where the scores equal to the one at i end, and how many positives are among them.
static int64_t group(const scored *s, int64_t n, int64_t i, int64_t *positives) {
  int64_t end = i;
  for (*positives = 0; end < n && s[end].score == s[i].score; end++) *positives += s[end].positive;
  return end;
}

vbl_status vbl_auroc(const double *score, const uint8_t *positive, int64_t n, double *out, vbl_error *err) {
  scored *s = NULL;
  VBL_TRY(sorted(score, positive, n, &s, err));
  double won = 0;  // pairs in which the positive is ahead; ties count half
  int64_t ones = 0, zeros = 0;
  for (int64_t i = 0, end, p; i < n; i = end) {
    end = group(s, n, i, &p);
    int64_t q = end - i - p;
    won += (double)q * ((double)ones + 0.5 * (double)p);
    ones += p;
    zeros += q;
  }
  free(s);
  *out = ones > 0 && zeros > 0 ? won / ((double)ones * (double)zeros) : (double)NAN;
  return VBL_OK;
}

vbl_status vbl_average_precision(const double *score, const uint8_t *positive, int64_t n, double *out, vbl_error *err) {
  scored *s = NULL;
  VBL_TRY(sorted(score, positive, n, &s, err));
  double sum = 0;
  int64_t ones = 0;
  for (int64_t i = 0, end, p; i < n; i = end) {
    end = group(s, n, i, &p);
    ones += p;
    sum += (double)p * ((double)ones / (double)end);
  }
  free(s);
  *out = ones > 0 ? sum / (double)ones : (double)NAN;
  return VBL_OK;
}

// Between a and the next lower score b; away from the data where there is no neighbour. (Halves first: a + b may overflow.)
static double between(const scored *s, int64_t n, int64_t taken) {
  if (taken == 0) return nextafter(s[0].score, INFINITY);
  if (taken == n) return nextafter(s[n - 1].score, -INFINITY);
  double low = s[taken].score, middle = s[taken - 1].score / 2 + low / 2;
  return middle < s[taken - 1].score ? middle : low;
}

vbl_status vbl_best_threshold(const double *score, const uint8_t *positive, int64_t n, vbl_threshold_for goal, double preferred,
                              double *threshold, double *value, vbl_error *err) {
  scored *s = NULL;
  VBL_TRY(sorted(score, positive, n, &s, err));
  int64_t truth = 0, hit = 0;
  for (int64_t i = 0; i < n; i++) truth += s[i].positive;
  *value = -1;
  for (int64_t taken = 0, p; taken <= n; hit += p) {  // the first `taken` are called positive
    double v =
        goal == VBL_FOR_F1 ? vbl_f1_of((vbl_counts){hit, taken, truth}) : (double)(hit + (n - taken) - (truth - hit)) / (double)n;
    // `preferred` itself where it separates the same rows.
    double t = between(s, n, taken);
    if ((taken == 0 || preferred < s[taken - 1].score) && (taken == n || preferred >= s[taken].score)) t = preferred;
    if (v > *value || (v == *value && fabs(t - preferred) < fabs(*threshold - preferred))) {
      *value = v;
      *threshold = t;
    }
    if (taken == n) break;
    taken = group(s, n, taken, &p);
  }
  free(s);
  return VBL_OK;
}
