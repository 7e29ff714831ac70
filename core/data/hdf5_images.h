// Images in an HDF5 file as multimodal_imdb.hdf5 holds them: dataset "images", int32 [N, 3, 256, 160] (any height and width), channels
// B, G, R with the means (103.939, 116.779, 123.68) taken off and the fraction cut; "imdb_ids", strings [N]. Needs libhdf5 when vbl is built;
// without it every function says so (VBL_EIO). Calls from several threads take turns: the library is not made for more.
// defines: vbl_hdf5_image, vbl_hdf5_ids
#pragma once
#include "core/data/image.h"

// Row `row` as RGB. The cut fraction makes 103 and 104 (116 and 117, 123 and 124) one value: given as the larger.
vbl_status vbl_hdf5_image(const char *path, int64_t row, vbl_image *out, vbl_error *err);
// The ids, each ended by a NUL, one after the other; *n of them.
vbl_status vbl_hdf5_ids(const char *path, vbl_bytes *out, int64_t *n, vbl_error *err);
