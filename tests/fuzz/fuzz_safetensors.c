// safetensors. The first byte chooses: odd, the rest is the file; even, the rest is the header up to a NUL and the data after it,
// and the header's length is put before them, so that a mutated header is still read.
#include "core/store/safetensors.h"
#include "tests/fuzz/fuzz.h"

static void read_all(const char *path) {
  vbl_safetensors f;
  vbl_error err;
  if (vbl_safetensors_open(&f, path, &err) != VBL_OK) return;
  for (int64_t i = 0; i < f.count; i++) {
    const vbl_safetensors_entry *e = &f.entries[i];
    size_t n = e->bytes / vbl_file_dtype_size(e->dtype) * vbl_dtype_size(vbl_file_dtype_target(e->dtype));
    void *elements = malloc(n > 0 ? n : 1);
    if (elements != NULL) vbl_safetensors_read(&f, i, elements, &err);
    free(elements);
  }
  vbl_safetensors_close(&f);
}

int FUZZ_ENTRY(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  fuzz_file f;
  if (data[0] & 1) {
    f = fuzz_file_make(data + 1, size - 1);
  } else {
    const uint8_t *nul = memchr(data + 1, 0, size - 1);
    uint64_t header = nul != NULL ? (uint64_t)(nul - data - 1) : size - 1;
    uint8_t *file = malloc(8 + size);
    if (file == NULL) abort();
    for (int i = 0; i < 8; i++) file[i] = (uint8_t)(header >> 8 * i);
    memcpy(file + 8, data + 1, header);
    size_t rest = nul != NULL ? size - 2 - header : 0;
    memcpy(file + 8 + header, data + size - rest, rest);
    f = fuzz_file_make(file, 8 + header + rest);
    free(file);
  }
  read_all(f.path);
  fuzz_file_end(&f);
  return 0;
}
