// Reader of a TSV file `path<TAB>caption` (UTF-8, no header, no quoting; paths relative to the file's folder; several lines with one
// path are one sample with several captions, whose id is the path).
// defines: vbl_captions_open
#pragma once
#include "core/data/records.h"

// Reads the file, checks every image (header, end and size, not its pixels), splits and tokenises. Errors: the TSV or split
// file is not there; nothing good in it; too many bad lines or images (the first reasons named); one path in two splits; the
// vocabulary's.
vbl_status vbl_captions_open(const char *path, const vbl_records_options *options, vbl_records **out, vbl_error *err);
