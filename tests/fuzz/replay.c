// replay FOLDER: calls the target that it is linked with on every file of the folder and on every prefix of it, as a fuzzer's first
// round would; a crash or a sanitizer's report is the failure. The data is copied to memory of its own size, so that
// AddressSanitizer sees a read behind its end.
#include <dirent.h>
#include <limits.h>

#include "tests/check.h"
#include "tests/fuzz/fuzz.h"

static void call(const uint8_t *bytes, size_t n) {
  uint8_t *copy = malloc(n > 0 ? n : 1);
  if (copy == NULL) abort();
  if (n > 0) memcpy(copy, bytes, n);
  CHECK(FUZZ_ENTRY(copy, n) == 0);
  free(copy);
}

static void replay(const char *path) {
  static uint8_t bytes[1 << 18];
  FILE *f = fopen(path, "rb");
  if (f == NULL) {
    CHECK_REPORT_(false, "%s: cannot be opened", path);
    return;
  }
  size_t n = fread(bytes, 1, sizeof bytes, f);
  fclose(f);
  CHECK_REPORT_(n < sizeof bytes, "%s: too large for a corpus", path);
  call(bytes, n);
  for (size_t cut = 0; cut < n; cut += 1 + n / 64) call(bytes, cut);
}

int main(int argc, char **argv) {
  struct dirent *e;
  char path[PATH_MAX];
  DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
  if (folder == NULL) return fprintf(stderr, "usage: replay FOLDER (of files to call the target with)\n"), 2;
  while ((e = readdir(folder)) != NULL) {
    if (e->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
    replay(path);
  }
  closedir(folder);
  return check_done();
}
