// Tar archives: every member's name and bytes lie within the archive, and the walk ends.
#include "core/data/tar.h"
#include "tests/fuzz/fuzz.h"

int FUZZ_ENTRY(const uint8_t *data, size_t size) {
  vbl_tar *t = NULL;
  vbl_tar_member m;
  vbl_error err;
  vbl_bytes bytes = {0};
  fuzz_file f = fuzz_file_make(data, size);
  if (vbl_tar_open(f.path, &t, &err) != VBL_OK) abort();
  for (size_t n = 0; vbl_tar_next(t, &m, &err) == VBL_OK && m.name != NULL; n++) {
    if (n > size / 512 || m.offset < 0 || m.bytes < 0 || (size_t)m.offset + (size_t)m.bytes > size) abort();
    bytes.size = 0;
    if (vbl_tar_read(t, m.offset, m.bytes, &bytes, &err) != VBL_OK || bytes.size != (size_t)m.bytes) abort();
    if (m.bytes > 0 && memcmp(bytes.data, data + m.offset, bytes.size) != 0) abort();
  }
  vbl_bytes_free(&bytes);
  vbl_tar_free(t);
  fuzz_file_end(&f);
  return 0;
}
