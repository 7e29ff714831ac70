// The rows of CC3M's and CC12M's TSV files (caption<TAB>url or url<TAB>caption; no header, no quoting) as records, each with the image that
// a downloader stored for its URL. The TSV does not say which file that is; what downloaders write is looked for, in this order:
//   NUMBER_CRC   row number from 0, "_", CRC-32 of the URL in decimal (the DownloadConceptualCaptions scripts); with or without suffix
//   NAME         the last part of the URL's path, with or without suffix. Files that several rows' URLs name have overwritten each other:
//                none of these rows is used.
// A row without an image is left out and counted (links rot), not bad.
// defines: vbl_url_rows, vbl_records_add_urls
#pragma once
#include "core/data/records.h"

typedef struct vbl_url_rows {
  const char *path;    // the TSV
  const char *split;   // of its records, whose ids are SPLIT/LINE, lines from 1
  const char *images;  // the folder of images, relative to the data's folder or absolute
  bool url_first;      // CC12M: url<TAB>caption, parted at the first tab; else caption<TAB>url, parted at the last
} vbl_url_rows;

// Takes one pass over the file and one over the names in the folder; no image is looked at. Errors: the file cannot be read, memory,
// an interrupt.
vbl_status vbl_records_add_urls(vbl_records *r, const vbl_url_rows *rows, vbl_error *err);
