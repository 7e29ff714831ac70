// What is drawn at random around the samples: order, caption choice, masks, swaps. Each draw is Philox of (seed, stream) and
// (draw, 0, sample, step), so it depends on no thread, no batch and no earlier draw; a resumed run draws the same.
// defines: vbl_epoch_order, vbl_caption_choice, vbl_mask_tokens, vbl_mask_patches, vbl_swap_captions
#pragma once
#include "core/data/source.h"

// A permutation of 0 .. n-1 (Fisher-Yates) for the epoch.
void vbl_epoch_order(uint32_t seed, uint32_t epoch, int32_t n, int32_t *order);

// Which of `captions` captions a sample has in the epoch.
int32_t vbl_caption_choice(uint32_t seed, uint32_t epoch, int32_t sample, int32_t captions);

enum { VBL_IGNORE_LABEL = -100 };

// BERT's masking (Devlin et al. 2019, 3.1), in place: each token but [CLS], [SEP] and padding is chosen with `probability`;
// 80 % of the chosen become [MASK], 10 % a random ordinary token, 10 % stay. labels: the old id where chosen, else -100.
// tokens, labels (B, T); lengths, sample (B); sample[b] keys row b.
void vbl_mask_tokens(const vbl_vocabulary *v, uint32_t seed, uint32_t step, double probability, int32_t B, int32_t T,
                     const int32_t *lengths, const int32_t *sample, int32_t *tokens, int32_t *labels);

// mask (B, P): 1 at round(fraction P) patches of each row (at least one when fraction > 0), every set of them equally likely.
void vbl_mask_patches(uint32_t seed, uint32_t step, double fraction, int32_t B, int32_t P, const int32_t *sample, uint8_t *mask);

// Alignment prediction: exactly `share` of the B pairs (the whole effective batch; a fraction of a pair is left to a coin) get the caption
// of another sample of the view. Exactly, because a batch with more matched than swapped pairs pulls the label's mean into every weight,
// and that noise is what a head without other tasks cannot learn through. index (B): the pairs, as
// indices of the view; from (B): whose caption each gets (an index of the view; index[b] itself where it stays); matched (B): 1
// where it stays, else 0. The other shows another image, and its caption of the epoch (vbl_caption_choice of caption_seed)
// equals none of the pair's own captions. VBL_EINVAL when a pair has no such partner in the view.
vbl_status vbl_swap_captions(const vbl_view *view, uint32_t seed, uint32_t step, uint32_t caption_seed, uint32_t epoch,
                             double share, int32_t B, const int32_t *index, int32_t *from, float *matched, vbl_error *err);
