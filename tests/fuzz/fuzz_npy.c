// .npy and .npz: the input as the one and as the other.
#include "core/store/npy.h"
#include "tests/fuzz/fuzz.h"

static void read_npy(const char *text, size_t n) {
  vbl_npy a;
  vbl_error err;
  if (vbl_npy_parse(text, n, "fuzz", &a, &err) != VBL_OK) return;
  size_t bytes = a.bytes / vbl_file_dtype_size(a.dtype) * vbl_dtype_size(vbl_file_dtype_target(a.dtype));
  void *elements = malloc(bytes > 0 ? bytes : 1);
  if (elements != NULL) vbl_npy_read(&a, elements, "fuzz", &err);
  free(elements);
}

int FUZZ_ENTRY(const uint8_t *data, size_t size) {
  vbl_npz z;
  vbl_error err;
  if (size == 0) return 0;
  read_npy((const char *)data, size);
  fuzz_file f = fuzz_file_make(data, size);
  if (vbl_npz_open(&z, f.path, &err) == VBL_OK) {
    for (int64_t i = 0; i < z.count; i++) read_npy(z.entries[i].bytes.data, z.entries[i].bytes.size);
    vbl_npz_close(&z);
  }
  fuzz_file_end(&f);
  return 0;
}
