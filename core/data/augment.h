// Image augmentation on u8 planes (3, S, S), before normalisation. The operations are torchvision's (functional API on u8 tensors, within one
// grey level); what is drawn comes from the Philox stream of (seed, purpose, epoch, sample) alone, so that threads, order, micro-batches
// and a resume change nothing.
// defines: vbl_augment, vbl_augment_purpose, vbl_augment_check, vbl_augment_draw, vbl_augmentation, vbl_augment_apply, vbl_planes_*
#pragma once
#include "core/base/status.h"

// What may happen, in this order: random resized crop, flip, colour jitter (its four parts in a drawn order), grayscale, blur.
// All zero but crop_low = crop_high = 1: nothing does.
typedef struct vbl_augment {
  double crop_low, crop_high;               // share of the area that the crop keeps, 0 < low <= high <= 1
  double ratio_low, ratio_high;             // of its width to its height, drawn uniformly in the logarithm
  double flip;                              // probability of a horizontal flip
  double jitter;                            // probability of the colour jitter
  double brightness, contrast, saturation;  // factors are drawn from [max(0, 1 - x), 1 + x]
  double hue;                               // shift of the hue's circle, of length 1, drawn from [-hue, hue]; at most 0.5
  double grayscale, blur;                   // probabilities
  double sigma_low, sigma_high;             // of the blur, in pixels
  int kernel;                               // width of the blur's kernel, odd, below 2 S
} vbl_augment;

// A different stream for each use of a sample within an epoch.
typedef enum vbl_augment_purpose {
  VBL_AUGMENT_AP,
  VBL_AUGMENT_MIM,
  VBL_AUGMENT_MIM_CLEAN,
  VBL_AUGMENT_MIM_MASKED
} vbl_augment_purpose;

// VBL_EINVAL names the option that is out of its range.
vbl_status vbl_augment_check(const vbl_augment *a, int S, vbl_error *err);

// What happens to one image.
typedef struct vbl_augmentation {
  bool crop, flip, gray;
  int top, left, height, width;  // of the crop
  int order[4], parts;           // of the jitter: 0 brightness, 1 contrast, 2 saturation, 3 hue; parts: 4, or 0 for no jitter
  double factor[4];              // by the numbers of `order`
  double sigma;                  // 0: no blur
  int kernel;
} vbl_augmentation;

vbl_augmentation vbl_augment_draw(const vbl_augment *a, uint32_t seed, vbl_augment_purpose purpose, uint32_t epoch, int32_t sample,
                                  int S);
vbl_status vbl_augment_apply(const vbl_augmentation *g, int S, uint8_t *chw, vbl_error *err);

// The parts, in place on (3, S, S).
// The rectangle, resized to S x S (antialiased bicubic): torchvision's resized_crop. It lies inside the image.
vbl_status vbl_planes_crop(uint8_t *chw, int S, int top, int left, int height, int width, vbl_error *err);
void vbl_planes_flip(uint8_t *chw, int S);                       // left becomes right
void vbl_planes_brightness(uint8_t *chw, int S, double factor);  // to black; each factor >= 0
void vbl_planes_contrast(uint8_t *chw, int S, double factor);    // to the image's mean gray
void vbl_planes_saturation(uint8_t *chw, int S, double factor);  // to gray
void vbl_planes_hue(uint8_t *chw, int S, double shift);          // in HSV; -0.5 <= shift <= 0.5
void vbl_planes_grayscale(uint8_t *chw, int S);
// Gaussian of `kernel` taps (odd, below 2 S), mirrored at the edges without repeating them.
vbl_status vbl_planes_blur(uint8_t *chw, int S, int kernel, double sigma, vbl_error *err);
