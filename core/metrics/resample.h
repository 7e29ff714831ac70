// Scores under the bootstrap of the samples (Efron 1979) and under exchange of two models' predictions (paired permutation, Fisher 1935;
// approximate randomisation, Noreen 1989). Draws run on all threads; each is a function of (seed, draw) alone.
// defines: vbl_bootstrap_scores, vbl_exchange_scores
#pragma once
#include "core/metrics/weighted.h"

// values (count, draws): sets[s] on the samples of draw b, n of n with replacement, the same samples for every set. All sets have the
// same n. VBL_EINTERRUPT, VBL_ENOMEM.
vbl_status vbl_bootstrap_scores(const vbl_weighted *const *sets, int64_t count, int64_t draws, uint32_t seed, double *values,
                                vbl_error *err);

// Each set holds the predictions of two models on the same n samples, one behind the other (2n). values (draws): the mean over the sets of
// score(first) - score(second) after the two predictions of each sample have changed places with probability 1/2, the same samples
// in every set.
vbl_status vbl_exchange_scores(const vbl_weighted *const *sets, int64_t count, int64_t draws, uint32_t seed, double *values,
                               vbl_error *err);
