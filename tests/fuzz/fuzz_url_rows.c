// The TSV files of CC3M and CC12M: the first byte says which. Images are looked for among the process's file descriptors; 200 is one, so that
// a URL ending in /200, or the row number 200 before a checksum, has an image.
#include "core/data/url_rows.h"
#include "tests/fuzz/fuzz_source.h"

int FUZZ_ENTRY(const uint8_t *data, size_t size) {
  vbl_records_options o = {.image_size = 16, .max_tokens = 16, .max_bad = 0.9, .vocabulary_limit = 4096, .test_fraction = 0.3};
  vbl_records *r = NULL;
  vbl_error err;
  if (size == 0) return 0;
  fuzz_image_make();
  fuzz_file f = fuzz_file_make(data + 1, size - 1);
  vbl_url_rows rows = {.path = f.path, .split = "train", .images = "/proc/self/fd", .url_first = data[0] & 1};
  if (vbl_records_new("/proc/self/fd", &o, &r, &err) == VBL_OK && vbl_records_add_urls(r, &rows, &err) == VBL_OK &&
      vbl_records_finish(r, "cc3m", &err) == VBL_OK)
    fuzz_use(&r->source);
  vbl_records_free(r);
  fuzz_file_end(&f);
  return 0;
}
