// Checksums: crc32 (IEEE, as in zip and zlib), crc32c (Castagnoli, as in TFRecord), SHA-256 (FIPS 180-4).
// defines: vbl_crc32, vbl_crc32c, vbl_sha256, vbl_sha256_{init,update,final}, vbl_hash_file
#pragma once
#include "core/base/status.h"

// Continue with the result of the part before; start with 0.
uint32_t vbl_crc32(uint32_t crc, const void *data, size_t n);
uint32_t vbl_crc32c(uint32_t crc, const void *data, size_t n);

typedef struct vbl_sha256 {
  uint32_t h[8];
  uint8_t block[64];
  uint64_t length;  // bytes so far
} vbl_sha256;

void vbl_sha256_init(vbl_sha256 *s);
void vbl_sha256_update(vbl_sha256 *s, const void *data, size_t n);
void vbl_sha256_final(vbl_sha256 *s, char hex[65]);  // 64 lower-case digits and NUL

// Of a file's content, read in pieces. hex may be NULL; crc (may be NULL) gets its crc32, size (may be NULL) its bytes.
vbl_status vbl_hash_file(const char *path, char hex[65], uint32_t *crc, uint64_t *size, vbl_error *err);
