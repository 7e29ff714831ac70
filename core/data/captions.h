// The data set of a TSV file `path<TAB>caption` (UTF-8, no header, no quoting; paths relative to the file's folder; several
// lines with one path are one sample with several captions).
// defines: vbl_captions, vbl_captions_{open,free}, vbl_captions_options, vbl_split
#pragma once
#include <string.h>

#include "core/data/image.h"
#include "core/data/source.h"

typedef enum vbl_split { VBL_SPLIT_TRAIN, VBL_SPLIT_DEV, VBL_SPLIT_TEST, VBL_SPLITS } vbl_split;

typedef struct vbl_captions_options {
  int image_size;  // S
  vbl_crop crop;
  int32_t max_tokens;      // [CLS] and [SEP] included; longer captions are cut and counted
  double max_bad;          // the share of bad lines, and of bad images, that is skipped; more is an error
  const char *vocabulary;  // a BERT vocabulary file, or NULL: counted from the captions of the train split
  int vocabulary_limit;    // tokens of a counted vocabulary
  const char *split;       // a file `path<TAB>train|dev|test`; NULL: split.tsv beside the TSV, else drawn
  double test_fraction;    // of a drawn split: Philox of the path's hash, so that added images move no others
} vbl_captions_options;

// Read-only for others.
typedef struct vbl_captions {
  vbl_source source;
  vbl_vocabulary *vocabulary;
  int32_t *split[VBL_SPLITS], split_size[VBL_SPLITS];  // sample numbers, ascending
  vbl_bytes report;  // what was skipped, cut or odd, a line each: file, line number or path, reason
  int64_t lines, bad_lines, bad_images, truncated;
  uint64_t hash;  // of the TSV, the split file and the sizes of the images

  // Private from here.
  vbl_bytes file;  // the TSV; tabs and line ends are NUL, so that paths and captions are strings in it
  char *folder;
  const char **path;     // [samples]
  int32_t *first;        // [samples + 1] captions of sample i: first[i] .. first[i + 1] - 1
  const char **caption;  // [captions]
  int64_t *token_first;  // [captions + 1]
  uint64_t *key;         // [captions] hash of the tokens
  vbl_token_list tokens;
  int image_size;
  vbl_crop crop;
} vbl_captions;

// Reads the file, checks every image (header, end and size, not its pixels), splits and tokenises. Errors: the TSV or split
// file is not there; nothing good in it; too many bad lines or images (the first reasons named); one path in two splits; the
// vocabulary's.
vbl_status vbl_captions_open(const char *path, const vbl_captions_options *options, vbl_captions **out, vbl_error *err);
void vbl_captions_free(vbl_captions *c);  // NULL is allowed

// Its parts (captions_read.c, captions_split.c).
vbl_status vbl_captions_read(vbl_captions *c, const char *path, double max_bad, vbl_error *err);
vbl_status vbl_captions_divide(vbl_captions *c, const char *path, const vbl_captions_options *options, vbl_error *err);
// Bytes of the UTF-8 byte order mark that Windows programs put before a text: 3, or 0 where there is none.
static inline size_t vbl_byte_order_mark(const char *text, size_t n) {
  return n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}
// Appends a line to the report.
vbl_status vbl_captions_note(vbl_captions *c, vbl_error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));
