// Batches: images and tokens of listed samples. What is in a batch depends on its request alone. vbl_batch_fill makes one at once,
// with all threads; loader.h makes them ahead of the step, from the same parts (vbl_making).
// defines: vbl_request, vbl_batch, vbl_batch_{fill,free}, vbl_bad_images, vbl_bad_images_{init,free}, vbl_making and its steps
#pragma once
#include "core/data/source.h"

// Which samples, with which captions. Indices are those of a view.
typedef struct vbl_request {
  int32_t n;             // B, >= 1
  const int32_t *index;  // (B) whose image
  const int32_t *from;   // (B) whose caption; NULL: the own
  uint32_t seed, epoch;  // the caption of a sample is vbl_caption_choice(seed, epoch, sample, captions)
  bool images;           // false: tokens only
  int32_t caption;       // 0: drawn as above; k: of each sample caption k, from 1, counted on from the first where it has fewer
  const bool *wanted;    // (B) whose images are made; NULL: all
} vbl_request;

typedef struct vbl_batch {
  int32_t B, T, size;  // T: the longest caption of the batch; size: S
  int32_t *tokens;     // (B, T), the id of [PAD] past a length
  int32_t *lengths;    // (B)
  int32_t pictures;    // M: images that were made, B unless the request wants some only
  uint8_t *images;     // (M, 3, S, S), NULL without images
  int32_t *index;      // (B) whose image it is: the request's, but for images that fail to decode
  bool replaced;       // of a request that wants some images only: one of them failed to decode. It has not been counted
} vbl_batch;
void vbl_batch_free(vbl_batch *b);

// Images that fail to decode although their files looked whole. Such a sample is replaced by the next one of the view that
// decodes and is not `from`, with its own caption where the caption was the sample's own; it is counted once, when its batch is
// taken, and more than `allowed` of them are an error.
typedef struct vbl_bad_images {
  int64_t allowed, count;
  uint8_t *seen;     // [samples of the source]
  vbl_bytes report;  // a line each: name and reason
} vbl_bad_images;
vbl_status vbl_bad_images_init(vbl_bad_images *bad, const vbl_source *source, int64_t allowed, vbl_error *err);
void vbl_bad_images_free(vbl_bad_images *bad);

// Fills *out. Errors: an index outside the view; too many bad images; memory; Ctrl-C.
vbl_status vbl_batch_fill(const vbl_view *view, const vbl_request *request, vbl_bad_images *bad, vbl_batch *out, vbl_error *err);

// A batch in the making.
typedef struct vbl_making {
  int32_t B;
  int32_t *index, *from;  // (B) copies of the request's; index[b] becomes whose image was taken
  uint32_t seed, epoch;
  int32_t caption;
  bool with_images, some;  // some: not of all samples
  int32_t pictures;        // M
  int32_t *row;            // (B) which of the M images is the sample's; -1: none
  int32_t *tokens;         // (B, max_tokens)
  int32_t *lengths;        // (B)
  uint8_t *images;         // (M, 3, S, S) or NULL
  vbl_bytes *bad;          // (B) failures of item b: sample number (4 bytes), reason with its NUL, and again
} vbl_making;

vbl_status vbl_making_new(const vbl_view *view, const vbl_request *request, vbl_making *m, vbl_error *err);  // checks, copies
vbl_status vbl_making_start(const vbl_view *view, vbl_making *m, vbl_error *err);                            // takes the memory
vbl_status vbl_making_item(const vbl_view *view, vbl_making *m, int32_t b, vbl_error *err);  // different items may run at once
// All items done: counts the bad, packs the tokens and hands all over to *out.
vbl_status vbl_making_finish(const vbl_view *view, vbl_making *m, vbl_bad_images *bad, vbl_batch *out, vbl_error *err);
void vbl_making_free(vbl_making *m);
