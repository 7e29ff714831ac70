// safetensors: 8 bytes little-endian header length, a JSON header {name: {dtype, shape, data_offsets: [begin, end]}}, the data.
//
// Written: tensors in the order given, header padded with spaces to a multiple of 8, `__metadata__` first (keys as given).
// Read: every check of the format (header within the file and at most 100 MB; no duplicate or empty names; offsets in order,
// within the file, without holes or overlaps, of the size that dtype and shape give; nothing after the last tensor). Errors
// name file and tensor. dtypes: see array.h; others are an error when the file is opened.
// defines: vbl_safetensors (open, read, close, find), vbl_safetensors_write, vbl_pair
#pragma once
#include "core/store/array.h"

typedef struct vbl_pair {
  const char *key, *value;
} vbl_pair;

typedef struct vbl_safetensors_entry {
  const char *name;
  vbl_file_dtype dtype;
  int ndim;
  int64_t shape[VBL_MAX_DIMS];
  uint64_t begin, bytes;  // begin: absolute in the file
} vbl_safetensors_entry;

typedef struct vbl_safetensors {
  char *path;
  int fd;
  int64_t count;
  vbl_safetensors_entry *entries;  // in the order of their data
  int64_t pairs;
  vbl_pair *metadata;
  struct vbl_json *header;  // owns the names
} vbl_safetensors;

vbl_status vbl_safetensors_open(vbl_safetensors *f, const char *path, vbl_error *err);
void vbl_safetensors_close(vbl_safetensors *f);  // idempotent
// Entry i into dst: its elements in vbl_file_dtype_target(entry dtype), contiguous.
vbl_status vbl_safetensors_read(const vbl_safetensors *f, int64_t i, void *dst, vbl_error *err);

// Atomically (core/store/atomic.h). *crc (may be NULL) gets the crc32 of the file, *size (may be NULL) its bytes.
// VBL_EINVAL: a duplicate, empty or reserved name, or one that is not UTF-8.
vbl_status vbl_safetensors_write(const char *path, int64_t count, const vbl_array *tensors, int64_t pairs, const vbl_pair *metadata,
                                 uint32_t *crc, uint64_t *size, vbl_error *err);
