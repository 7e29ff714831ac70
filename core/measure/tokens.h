// max_sim's sums over samples, on the host (max_sim.c) and on a device (device_tokens.c). Inside core/measure only.
// defines: vbl_token_totals, vbl_token_pairs, vbl_device_tokens
#pragma once
#include "core/measure/measure.h"

// Sums over samples of their means, samples counted, and the first bad number (its sample, or -1).
typedef struct vbl_token_totals {
  double tp, pt;
  int64_t samples, bad_text, bad_vision;
} vbl_token_totals;

// Samples i * step of the text against the sample `shift` later of the vision, for i = 0 .. count - 1.
typedef struct vbl_token_pairs {
  int64_t step, shift, count;
} vbl_token_pairs;

// The totals of tokens that lie on one device: cosines and their maxima in f64 there, lengths and maxima come to the host.
vbl_status vbl_device_tokens(const vbl_tokens *text, const vbl_tokens *vision, bool skip_cls, const vbl_token_pairs *pairs,
                             vbl_token_totals *sum, vbl_error *err);
