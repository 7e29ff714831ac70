// A small PNG writer for tests: 8 or 16 bits, gray, RGB or RGBA, one stored deflate block.
// defines: png
#pragma once
#include <stdint.h>
#include <string.h>

static inline uint32_t crc32_of(const uint8_t *p, size_t n) {
  uint32_t c = 0xFFFFFFFFu;
  for (size_t i = 0; i < n; i++) {
    c ^= p[i];
    for (int k = 0; k < 8; k++) c = (c & 1) ? 0xEDB88320u ^ (c >> 1) : c >> 1;
  }
  return ~c;
}

static inline void put32(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)(v >> 24), p[1] = (uint8_t)(v >> 16), p[2] = (uint8_t)(v >> 8), p[3] = (uint8_t)v;
}

static inline size_t chunk(uint8_t *at, const char *type, const uint8_t *body, size_t n) {
  put32(at, (uint32_t)n);
  memcpy(at + 4, type, 4);
  if (n > 0) memcpy(at + 8, body, n);
  put32(at + 8 + n, crc32_of(at + 4, n + 4));
  return n + 12;
}

// colour: 0 gray, 2 RGB, 6 RGBA. rows: height x (width * channels * depth / 8) bytes, fewer than 65,000 with filter bytes.
static inline size_t png(int width, int height, int depth, int colour, const uint8_t *rows, uint8_t *out) {
  static uint8_t raw[66000];
  size_t row = (size_t)(width * (colour == 0 ? 1 : colour == 2 ? 3 : 4) * depth / 8), n = 7, at = 8;
  memcpy(out, "\x89PNG\r\n\x1A\n", 8);
  uint8_t header[13] = {0};
  put32(header, (uint32_t)width), put32(header + 4, (uint32_t)height);
  header[8] = (uint8_t)depth, header[9] = (uint8_t)colour;
  for (int y = 0; y < height; y++, n += row + 1) {
    raw[n] = 0;
    memcpy(raw + n + 1, rows + (size_t)y * row, row);
  }
  size_t body = n - 7;
  memcpy(raw, "\x78\x01\x01", 3);  // zlib header; a last, stored block
  raw[3] = (uint8_t)body, raw[4] = (uint8_t)(body >> 8), raw[5] = (uint8_t)~raw[3], raw[6] = (uint8_t)~raw[4];
  uint32_t a = 1, b = 0;
  for (size_t i = 0; i < body; i++) a = (a + raw[7 + i]) % 65521, b = (b + a) % 65521;
  put32(raw + n, b << 16 | a);
  at += chunk(out + at, "IHDR", header, 13);
  at += chunk(out + at, "IDAT", raw, n + 4);
  return at + chunk(out + at, "IEND", NULL, 0);
}
