// Downloads: the images that a TSV of captions and URLs names, many at once, into WebDataset shards or files named by content.
//
// What comes out depends on the TSV, the options and the servers' answers alone: rows keep their order, a shard holds a fixed range of
// rows, nothing holds a time. A killed run continues where it was; OUT/.work holds what is not yet in a shard.
// defines: vbl_fetch and its functions, vbl_fetch_options, vbl_fetch_progress
#pragma once
#include "core/base/status.h"

typedef enum vbl_fetch_columns { VBL_FETCH_CC3M, VBL_FETCH_CC12M } vbl_fetch_columns;  // caption TAB url; url TAB caption
typedef enum vbl_fetch_form { VBL_FETCH_WEBDATASET, VBL_FETCH_FILES } vbl_fetch_form;
typedef enum vbl_fetch_resize {
  VBL_FETCH_NO,           // the bytes as they came
  VBL_FETCH_KEEP_RATIO,   // shortest side to S, never enlarged
  VBL_FETCH_CENTER_CROP,  // shortest side to S, then the middle S x S
  VBL_FETCH_BORDER,       // longest side to S, on a white S x S
  VBL_FETCH_SQUASH        // both sides to S
} vbl_fetch_resize;

typedef struct vbl_fetch_options {
  vbl_fetch_columns columns;
  vbl_fetch_form form;
  vbl_fetch_resize resize;
  int image;               // S, 16 to 4096
  int shard;               // rows a shard, 1 to 10,000 (the key has four digits for them)
  int parallel, per_host;  // transfers at once: in all, and from one host
  int threads;             // that decode, resize and encode
  int retries, redirects;  // at most that many
  double connect, total, stall,
      backoff;        // seconds: to connect; in all; with less than 1 kB/s; before the first retry (doubled each time)
  int64_t max_bytes;  // of an image as it is sent
  const char *ca;     // certificates to trust, PEM; NULL: the system's
} vbl_fetch_options;

typedef struct vbl_fetch_progress {
  int64_t rows, done, good, active;
  int64_t bytes;  // received by this process
} vbl_fetch_progress;

typedef struct vbl_fetch vbl_fetch;

// VBL_EINVAL: an option, or a TSV or options other than those OUT was begun with. VBL_EDEVICE: no libcurl. VBL_EIO: files.
vbl_status vbl_fetch_new(const char *tsv, const char *out, const vbl_fetch_options *options, vbl_fetch **f, vbl_error *err);
// Works for about that long. *finished: everything is written. VBL_EINTERRUPT on Ctrl-C; VBL_EIO: the disk; no network at all.
vbl_status vbl_fetch_step(vbl_fetch *f, double seconds, bool *finished, vbl_fetch_progress *progress, vbl_error *err);
void vbl_fetch_free(vbl_fetch *f);  // NULL is allowed; what is not finished stays for the next run
