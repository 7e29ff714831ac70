// What the tensor file formats share: the dtypes that files hold, and reading the two that tensors have not.
//
// F16 is read as f32 (exact), I64 as i32 (a value out of range is an error that names it), BOOL as u8, I8/I16/U16 as i32.
// defines: vbl_file_dtype, vbl_file_dtype_size, vbl_file_dtype_target, vbl_file_dtype_convert, vbl_array,
// vbl_names_twice
#pragma once
#include "core/tensor/tensor.h"

typedef enum vbl_file_dtype {
  VBL_FILE_F32,
  VBL_FILE_F64,
  VBL_FILE_BF16,
  VBL_FILE_I32,
  VBL_FILE_U8,
  VBL_FILE_F16,
  VBL_FILE_I64,
  VBL_FILE_BOOL,
  VBL_FILE_I8,
  VBL_FILE_I16,
  VBL_FILE_U16,
  VBL_FILE_DTYPES
} vbl_file_dtype;

size_t vbl_file_dtype_size(vbl_file_dtype d);
vbl_dtype vbl_file_dtype_target(vbl_file_dtype d);  // the dtype it becomes in memory

// n elements from `src` (file layout, any alignment) to `dst` (target dtype). `name` is the tensor's, for the error.
vbl_status vbl_file_dtype_convert(vbl_file_dtype d, const void *src, void *dst, int64_t n, const char *name, vbl_error *err);

// Elements and bytes of a shape; VBL_EIO on a negative dim or overflow.
vbl_status vbl_array_size(int ndim, const int64_t *shape, size_t element, uint64_t *bytes, vbl_error *err);

// A name that stands twice among n, or NULL. Sorts them.
const char *vbl_names_twice(const char **names, int64_t n);

// A contiguous array to be written: the caller's memory.
typedef struct vbl_array {
  const char *name;
  vbl_dtype dtype;
  int ndim;
  int64_t shape[VBL_MAX_DIMS];
  const void *data;
} vbl_array;
