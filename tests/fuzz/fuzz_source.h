// For readers of samples: an image that a path may lead to, and every sample asked for all that it has.
// defines: fuzz_image_make, fuzz_use
#pragma once
#include "core/data/records.h"
#include "tests/fuzz/fuzz.h"

enum { IMAGE = 200 };

// An 8 x 8 gray JPEG of one block.
static const uint8_t jpeg_head[] = {0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0};
static const uint8_t jpeg_tail[] = {0xFF, 0xC0, 0,    11, 8,  0,    8,    0,    8, 1, 1, 0x11, 0, 0xFF, 0xC4, 0, 20,   0,    1,
                                    0,    0,    0,    0,  0,  0,    0,    0,    0, 0, 0, 0,    0, 0,    0,    0, 0,    0,    0,
                                    0,    0xFF, 0xC4, 0,  20, 0x10, 1,    0,    0, 0, 0, 0,    0, 0,    0,    0, 0,    0,    0,
                                    0,    0,    0,    0,  0,  0,    0xFF, 0xDA, 0, 8, 1, 1,    0, 0,    63,   0, 0x3F, 0xFF, 0xD9};

// File descriptor 200 becomes an image, once: the path "200" beside a file of fuzz_file_make.
static inline void fuzz_image_make(void) {
  static bool made;
  if (made) return;
  made = true;
  uint8_t file[sizeof jpeg_head + 64 + sizeof jpeg_tail];
  memcpy(file, jpeg_head, sizeof jpeg_head);
  memset(file + sizeof jpeg_head, 1, 64);
  memcpy(file + sizeof jpeg_head + 64, jpeg_tail, sizeof jpeg_tail);
  fuzz_file f = fuzz_file_make(file, sizeof file);
  if (dup2(f.fd, IMAGE) != IMAGE) abort();
  fuzz_file_end(&f);
}

// Every sample's id, text, tokens and pixels.
static inline void fuzz_use(const vbl_source *s) {
  uint8_t chw[3 * 16 * 16];
  vbl_error err;
  vbl_bytes text = {0};
  vbl_token_list tokens = {0};
  for (int32_t i = 0; i < s->samples && i < 4; i++) {
    if (s->id(s->self, i, &text, &err) != VBL_OK || s->text(s->self, i, 0, &text, &err) != VBL_OK) abort();
    s->tokens(s->self, i, s->captions(s->self, i) - 1, &tokens, &err);
    s->image(s->self, i, chw, &err);
  }
  vbl_bytes_free(&text);
  vbl_token_list_free(&tokens);
}
