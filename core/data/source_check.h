// What a data set is like and whether its splits are apart.
// defines: vbl_split_stats, vbl_source_stats, vbl_meeting, vbl_meetings, vbl_source_meetings, vbl_meetings_free
#pragma once
#include "core/data/source.h"

typedef struct vbl_split_stats {
  int64_t texts;
  int32_t tokens_median, tokens_p99, tokens_most;  // of a text, [CLS] and [SEP] included
  double tokens_mean;
  int64_t repeated_texts;        // texts of the split that an earlier one equals (by text_key)
  int64_t labelled, unlabelled;  // samples
  int64_t *class_samples;        // [classes] samples with that class (soft: with a weight above 0), free(); NULL without labels
} vbl_split_stats;
vbl_status vbl_source_stats(const vbl_source *source, const vbl_split *split, vbl_split_stats *out, vbl_error *err);

// Samples of two splits that are the same by one of three signs.
typedef enum vbl_sign { VBL_SAME_ID, VBL_SAME_IMAGE, VBL_SAME_TEXT, VBL_SIGNS } vbl_sign;
typedef struct vbl_meeting {
  vbl_sign sign;
  const vbl_split *a, *b;
  int64_t count;               // samples of b that meet one of a
  int32_t sample_a, sample_b;  // the first such pair
} vbl_meeting;

typedef struct vbl_meetings {
  vbl_meeting *list;  // [n] those that are there
  int32_t n;
  int64_t repeated[VBL_SIGNS];  // samples that an earlier one of their own split equals
  int64_t unreadable;           // images whose pixels cannot be decoded
  vbl_bytes report;             // those, a line each
} vbl_meetings;

// Compares every two splits: ids; texts after Unicode case folding, without marks, punctuation and blanks; and, with `images`, the stored
// bytes of all images, which are all read and decoded (all threads). Samples without a split are left out.
vbl_status vbl_source_meetings(const vbl_source *source, bool images, vbl_meetings *out, vbl_error *err);
void vbl_meetings_free(vbl_meetings *m);
