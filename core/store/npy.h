// NumPy's .npy (versions 1 to 3) and .npz (a zip of them).
//
// Read: little-endian f2 f4 f8 i1 u1 i2 u2 i4 i8 and booleans (see array.h for what becomes of them), C or Fortran order, zip
// entries stored or deflated. Written: version 1, C order, stored; bf16, which NumPy has not, is written as f4 (exact).
// Errors name the file (and the entry). Archives beyond 4 GiB are an error that says to use safetensors.
// defines: vbl_npy, vbl_npy_parse, vbl_npy_read, vbl_npy_write, vbl_npz (open, read, close), vbl_npz_write
#pragma once
#include "core/store/array.h"
#include "core/store/file.h"

typedef struct vbl_npy {
  vbl_file_dtype dtype;
  bool fortran;
  int ndim;
  int64_t shape[VBL_MAX_DIMS];
  const char *data;  // inside the parsed bytes
  uint64_t bytes;
} vbl_npy;

// `where` names the source in errors. The data must be exactly as long as dtype and shape say.
vbl_status vbl_npy_parse(const char *text, size_t n, const char *where, vbl_npy *out, vbl_error *err);
// Its elements into dst, in C order, as vbl_file_dtype_target(dtype).
vbl_status vbl_npy_read(const vbl_npy *a, void *dst, const char *where, vbl_error *err);
vbl_status vbl_npy_write(const char *path, const vbl_array *a, vbl_error *err);  // atomically

typedef struct vbl_npz_entry {
  char *name;            // without ".npy"
  vbl_file_bytes bytes;  // of the .npy inside
} vbl_npz_entry;

typedef struct vbl_npz {
  int64_t count;
  vbl_npz_entry *entries;
} vbl_npz;

vbl_status vbl_npz_open(vbl_npz *z, const char *path, vbl_error *err);
void vbl_npz_close(vbl_npz *z);
vbl_status vbl_npz_write(const char *path, int64_t count, const vbl_array *arrays, vbl_error *err);  // atomically
// The .npy form of an array: malloc'ed into out.
vbl_status vbl_npy_format(const vbl_array *a, vbl_file_bytes *out, vbl_error *err);
