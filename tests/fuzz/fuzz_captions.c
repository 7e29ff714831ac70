// Captions: the input is a TSV. Its images are looked for beside it; file descriptor 200 is one, so that "200" is the path of an image.
#include "core/data/captions.h"
#include "tests/fuzz/fuzz_source.h"

int FUZZ_ENTRY(const uint8_t *data, size_t size) {
  vbl_records_options o = {.image_size = 16, .max_tokens = 16, .max_bad = 0.9, .vocabulary_limit = 4096, .test_fraction = 0.3};
  vbl_records *c = NULL;
  vbl_error err;
  fuzz_image_make();
  fuzz_file f = fuzz_file_make(data, size);
  if (vbl_captions_open(f.path, &o, &c, &err) == VBL_OK) fuzz_use(&c->source);
  vbl_records_free(c);
  fuzz_file_end(&f);
  return 0;
}
