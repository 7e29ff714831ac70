// F1 in its averages, and VQA accuracy.
// defines: vbl_count_classes, vbl_count_labels, vbl_f1_of, vbl_f1_averages, vbl_f1_samples, vbl_vqa_accuracy
#include <math.h>
#include <string.h>

#include "core/metrics/metrics.h"

void vbl_count_classes(const int64_t *predicted, const int64_t *truth, int64_t n, int64_t classes, vbl_counts *counts) {
  memset(counts, 0, sizeof *counts * (size_t)classes);
  for (int64_t i = 0; i < n; i++) {
    counts[predicted[i]].predicted++;
    counts[truth[i]].truth++;
    counts[truth[i]].hit += predicted[i] == truth[i];
  }
}

void vbl_count_labels(const uint8_t *predicted, const uint8_t *truth, int64_t n, int64_t classes, vbl_counts *counts) {
  memset(counts, 0, sizeof *counts * (size_t)classes);
  for (int64_t i = 0; i < n; i++)
    for (int64_t c = 0; c < classes; c++) {
      bool p = predicted[i * classes + c] != 0, t = truth[i * classes + c] != 0;
      counts[c].predicted += p;
      counts[c].truth += t;
      counts[c].hit += p && t;
    }
}

double vbl_f1_of(vbl_counts c) {
  int64_t total = c.predicted + c.truth;
  return total > 0 ? 2 * (double)c.hit / (double)total : 0;
}

void vbl_f1_averages(const vbl_counts *counts, int64_t classes, vbl_f1 *out) {
  vbl_counts sum = {0};
  double macro = 0, weighted = 0;
  *out = (vbl_f1){0};
  for (int64_t c = 0; c < classes; c++) {
    double f = vbl_f1_of(counts[c]);
    macro += f;
    weighted += f * (double)counts[c].truth;
    sum.hit += counts[c].hit;
    sum.predicted += counts[c].predicted;
    sum.truth += counts[c].truth;
    out->no_truth += counts[c].truth == 0;
    out->undefined += counts[c].truth == 0 && counts[c].predicted == 0;
  }
  out->micro = vbl_f1_of(sum);
  out->macro = macro / (double)classes;
  out->weighted = sum.truth > 0 ? weighted / (double)sum.truth : (double)NAN;
}

double vbl_f1_samples(const uint8_t *predicted, const uint8_t *truth, int64_t n, int64_t classes) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    vbl_counts row = {0};
    for (int64_t c = 0; c < classes; c++) {
      bool p = predicted[i * classes + c] != 0, t = truth[i * classes + c] != 0;
      row.predicted += p;
      row.truth += t;
      row.hit += p && t;
    }
    sum += vbl_f1_of(row);
  }
  return sum / (double)n;
}

double vbl_vqa_accuracy(int64_t same, int64_t answers) {
  double left_in = fmin((double)same / 3, 1), left_out = fmin((double)(same - 1) / 3, 1);
  if (same <= 0) return 0;
  return ((double)same * left_out + (double)(answers - same) * left_in) / (double)answers;
}
