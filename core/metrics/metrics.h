// Scores of predictions against labels: what a downstream task reports. Definitions are scikit-learn's; sums are in f64.
//
// A value that the labels leave undefined (AUROC of one class) is NaN, never 0. F1 of a class that is neither predicted nor
// there is 0, as in scikit-learn, and such classes are counted, because they pull the macro average down.
// defines: vbl_auroc, vbl_average_precision, vbl_counts, vbl_count_classes, vbl_count_labels, vbl_f1, vbl_f1_of, vbl_f1_averages,
// vbl_f1_samples, vbl_best_threshold, vbl_vqa_accuracy
#pragma once
#include "core/base/status.h"

// Area under the ROC curve: P(score of a positive > score of a negative), ties half (Mann and Whitney 1947). score: (n) finite;
// positive: (n) 0 or 1. NaN without both classes. Errors: memory.
vbl_status vbl_auroc(const double *score, const uint8_t *positive, int64_t n, double *out, vbl_error *err);

// sum over thresholds of (R_k - R_(k-1)) P_k, equal scores being one threshold. NaN without a positive.
vbl_status vbl_average_precision(const double *score, const uint8_t *positive, int64_t n, double *out, vbl_error *err);

// Hits, predictions and truths of one class.
typedef struct vbl_counts {
  int64_t hit, predicted, truth;
} vbl_counts;

// Multi-class: predicted, truth (n) in 0 .. classes - 1 (the caller checks). counts: (classes), overwritten.
void vbl_count_classes(const int64_t *predicted, const int64_t *truth, int64_t n, int64_t classes, vbl_counts *counts);
// Multi-label: predicted, truth (n, classes) of 0 or 1.
void vbl_count_labels(const uint8_t *predicted, const uint8_t *truth, int64_t n, int64_t classes, vbl_counts *counts);

typedef struct vbl_f1 {
  double micro, macro, weighted;
  int64_t no_truth;   // classes that no label has
  int64_t undefined;  // of these, classes that no prediction has either: F1 0 / 0, taken as 0
} vbl_f1;

// F1 of one class, 2 hit / (predicted + truth); 0 where both are 0.
double vbl_f1_of(vbl_counts c);
// micro: from the sums over classes; macro: mean over all classes; weighted: by truth (NaN without any label).
void vbl_f1_averages(const vbl_counts *counts, int64_t classes, vbl_f1 *out);
// Mean over samples of the F1 of a sample's label set; a sample with neither label nor prediction counts 0, as in scikit-learn.
double vbl_f1_samples(const uint8_t *predicted, const uint8_t *truth, int64_t n, int64_t classes);

typedef enum vbl_threshold_for { VBL_FOR_F1, VBL_FOR_ACCURACY } vbl_threshold_for;
// The threshold t that is best for "score > t is positive": between two neighbouring scores, or below or above all. Of equally good
// ones the one nearest to `preferred`. *value: the F1 or accuracy there. n >= 1. Errors: memory.
vbl_status vbl_best_threshold(const double *score, const uint8_t *positive, int64_t n, vbl_threshold_for goal, double preferred,
                              double *threshold, double *value, vbl_error *err);

// VQA accuracy of an answer that `same` of `answers` (10) people gave: the mean over the leave-one-out sets of min(same / 3, 1)
// (Antol et al. 2015, as in the official evaluation).
double vbl_vqa_accuracy(int64_t same, int64_t answers);
