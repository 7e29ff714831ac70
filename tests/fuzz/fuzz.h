// What the fuzz targets share. Each fuzz_NAME.c has one entry, vbl_fuzz (LLVMFuzzerTestOneInput by name), that reads bytes nobody has
// checked; libFuzzer calls it (make fuzz), and replay.c calls it with every file of corpus/NAME (make test).
// defines: fuzz_path, fuzz_file, FUZZ_ENTRY
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FUZZ_ENTRY LLVMFuzzerTestOneInput
int FUZZ_ENTRY(const uint8_t *data, size_t size);

typedef struct fuzz_file {
  int fd;
  char path[32];
} fuzz_file;

// A file in memory with that content, for readers that take a path. fuzz_file_end ends it.
static inline fuzz_file fuzz_file_make(const void *data, size_t size) {
  fuzz_file f = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
  if (f.fd < 0 || (size > 0 && write(f.fd, data, size) != (ssize_t)size)) abort();
  snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
  return f;
}

static inline void fuzz_file_end(fuzz_file *f) { close(f->fd); }
