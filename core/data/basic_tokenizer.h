// BERT's basic tokenization: text to lower-case words without accents, the first half of WordPiece.
// Source: google-research/bert, tokenization.py, BasicTokenizer with do_lower_case = True; the Unicode version is utf8proc's (15.0
// with 2.8). defines: vbl_word_fn, vbl_basic_tokenize, vbl_utf8_check
#pragma once
#include "core/base/status.h"

// Gets one word (UTF-8, not NUL-terminated, `bytes` >= 1) of `chars` code points. Not VBL_OK ends the walk with that status.
typedef vbl_status (*vbl_word_fn)(void *self, const char *word, size_t bytes, size_t chars, vbl_error *err);

// Calls `emit` for each word of text[0..bytes), in order. Steps: drop U+0000, U+FFFD and control characters; blanks round CJK
// ideographs; split at white space; lower case (with the final sigma); NFD; drop combining marks (Mn); each punctuation
// character is a word of its own. Any number of threads may call it. VBL_EINVAL with the byte offset for invalid UTF-8.
vbl_status vbl_basic_tokenize(const char *text, size_t bytes, vbl_word_fn emit, void *self, vbl_error *err);

// VBL_OK, or VBL_EINVAL that names the byte offset of the first invalid sequence (surrogates and overlong forms included).
vbl_status vbl_utf8_check(const char *text, size_t bytes, vbl_error *err);
