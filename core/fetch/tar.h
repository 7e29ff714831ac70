// A tar writer: POSIX ustar, one member after the other, the same bytes for the same members.
// defines: vbl_tar_add, vbl_tar_end
#pragma once
#include "core/store/atomic.h"

// name: at most 99 bytes. Mode 0444, owner bigdata (as WebDataset writes), time 0.
vbl_status vbl_tar_add(vbl_atomic_file *f, const char *name, const void *data, size_t n, vbl_error *err);
// Two blocks of zeros, and more up to a multiple of 10,240 bytes.
vbl_status vbl_tar_end(vbl_atomic_file *f, vbl_error *err);
