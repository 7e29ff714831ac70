// BERT's basic tokenization: text to words (for uncased models lower-case ones without accents), the first half of WordPiece.
// Sources: google-research/bert, tokenization.py, BasicTokenizer; Hugging Face tokenizers, BertNormalizer and BertPreTokenizer. The
// Unicode version is utf8proc's (15.0 with 2.8); Hugging Face's tables are of 2015: 386 newer combining marks stay there, and 106
// newer signs are no punctuation.
// defines: vbl_text_rules, VBL_RULES_BERT, vbl_word_fn, vbl_basic_tokenize, vbl_lower_case, vbl_utf8_check
#pragma once
#include "core/base/status.h"
#include "core/data/bytes.h"

typedef struct vbl_text_rules {
  bool lower_case;
  bool strip_accents;  // drop combining marks after NFD; without it the text is not decomposed
  bool split_cjk;      // blanks round ideographs
  // As BertTokenizerFast where it differs from google-research/bert: accents go before lower case, capital sigma has no final form,
  // private-use characters (Co) are dropped, U+2B820 to U+2B91F are no ideographs, and special tokens written in a text stay
  // whole (tokenizer.h).
  bool fast;
  int max_chars;  // longer words are [UNK]; at most VBL_MAX_WORD_CHARS
} vbl_text_rules;

enum { VBL_MAX_WORD_CHARS = 200 };
// do_lower_case = True of google-research/bert.
#define VBL_RULES_BERT ((vbl_text_rules){true, true, true, false, VBL_MAX_WORD_CHARS})

// Gets one word (UTF-8, not NUL-terminated, `bytes` >= 1) of `chars` code points. Not VBL_OK ends the walk with that status.
typedef vbl_status (*vbl_word_fn)(void *self, const char *word, size_t bytes, size_t chars, vbl_error *err);

// Calls `emit` for each word of text[0..bytes), in order. Steps: drop U+0000, U+FFFD and control characters; blanks round CJK
// ideographs; split at white space; lower case (with the final sigma); NFD; drop combining marks (Mn); each punctuation
// character is a word of its own; as far as `rules` say. Any number of threads may call it. VBL_EINVAL with the byte offset for invalid UTF-8.
vbl_status vbl_basic_tokenize(const char *text, size_t bytes, const vbl_text_rules *rules, vbl_word_fn emit, void *self,
                              vbl_error *err);

// Appends the text in lower case as Python's str.lower() gives it: every script, the final sigma, U+0130 as i with a dot above.
// VBL_EINVAL as above.
vbl_status vbl_lower_case(const char *text, size_t bytes, vbl_bytes *out, vbl_error *err);

// VBL_OK, or VBL_EINVAL that names the byte offset of the first invalid sequence (surrogates and overlong forms included).
vbl_status vbl_utf8_check(const char *text, size_t bytes, vbl_error *err);
