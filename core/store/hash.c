#include "core/store/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "core/store/file.h"

uint32_t vbl_crc32(uint32_t crc, const void *data, size_t n) {
  return n ? (uint32_t)crc32_z(crc, data, n) : crc;  // zlib returns the initial value for a NULL pointer
}

// Polynomial 0x1EDC6F41 reflected, a bit at a time: the records are tens of bytes.
uint32_t vbl_crc32c(uint32_t crc, const void *data, size_t n) {
  const uint8_t *p = data;
  crc = ~crc;
  while (n--) {
    crc ^= *p++;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1u)));
  }
  return ~crc;
}

static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n) { return (x >> n) | (x << (32 - n)); }

static void sha256_block(uint32_t h[8], const uint8_t *p) {
  uint32_t w[64], s[8];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ (a >> 3)) + w[i - 7] + (rotate(b, 17) ^ rotate(b, 19) ^ (b >> 10));
  }
  memcpy(s, h, sizeof s);
  for (int i = 0; i < 64; i++) {
    uint32_t e = s[4], a = s[0];
    uint32_t t1 = s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + sha256_k[i] + w[i];
    uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
    memmove(s + 1, s, 7 * sizeof *s);
    s[4] += t1;
    s[0] = t1 + t2;
  }
  for (int i = 0; i < 8; i++) h[i] += s[i];
}

void vbl_sha256_init(vbl_sha256 *s) {
  static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(s->h, start, sizeof start);
  s->length = 0;
}

void vbl_sha256_update(vbl_sha256 *s, const void *data, size_t n) {
  const uint8_t *p = data;
  while (n > 0) {
    size_t used = s->length % 64, take = 64 - used < n ? 64 - used : n;
    memcpy(s->block + used, p, take);
    s->length += take;
    p += take;
    n -= take;
    if (s->length % 64 == 0) sha256_block(s->h, s->block);
  }
}

void vbl_sha256_final(vbl_sha256 *s, char hex[65]) {
  uint64_t bits = s->length * 8;
  uint8_t tail[8];
  for (int i = 0; i < 8; i++) tail[i] = (uint8_t)(bits >> (56 - 8 * i));
  vbl_sha256_update(s, "\x80", 1);
  while (s->length % 64 != 56) vbl_sha256_update(s, "", 1);
  vbl_sha256_update(s, tail, 8);
  for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", s->h[i]);
}

vbl_status vbl_hash_file(const char *path, char hex[65], uint32_t *crc, uint64_t *size, vbl_error *err) {
  enum { PIECE = 1 << 18 };
  int fd;
  size_t expected;
  VBL_TRY(vbl_file_open(path, &fd, &expected, err));
  char *piece = malloc(PIECE);
  if (!piece) {
    close(fd);
    return vbl_fail(err, VBL_ENOMEM, "%s: not enough memory to read the file", path);
  }
  vbl_status status = VBL_OK;
  vbl_sha256 sha;
  uint32_t sum = 0;
  uint64_t total = 0;
  vbl_sha256_init(&sha);
  for (;;) {
    ssize_t n = read(fd, piece, PIECE);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) status = vbl_fail_errno(err, "read", path);
    if (n <= 0) break;
    total += (uint64_t)n;
    if (hex) vbl_sha256_update(&sha, piece, (size_t)n);
    if (crc) sum = vbl_crc32(sum, piece, (size_t)n);
  }
  if (hex) vbl_sha256_final(&sha, hex);
  if (crc) *crc = sum;
  if (size) *size = total;
  free(piece);
  close(fd);
  return status;
}
