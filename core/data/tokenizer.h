// WordPiece (Wu et al. 2016; google-research/bert): texts to token ids and back, over a vocabulary.
// All functions only read the vocabulary: any number of threads may call them.
// defines: vbl_token_list, vbl_tokenize, vbl_encode, vbl_detokenize
#pragma once
#include "core/data/bytes.h"
#include "core/data/vocabulary.h"

// A growing list of token ids.
typedef struct vbl_token_list {
  int32_t *id;
  int32_t size, room;
} vbl_token_list;

vbl_status vbl_token_list_add(vbl_token_list *t, int32_t id, vbl_error *err);
void vbl_token_list_free(vbl_token_list *t);

// Appends the ids of text[0..bytes), without [CLS] and [SEP], by the vocabulary's rules. Words of more than max_chars characters, and
// words that the vocabulary cannot spell, are [UNK]; special tokens written in the text are plain text, and with `fast` themselves. VBL_EINVAL with the byte offset for invalid UTF-8.
vbl_status vbl_tokenize(const vbl_vocabulary *v, const char *text, size_t bytes, vbl_token_list *out, vbl_error *err);

// Appends [CLS], the text's ids and [SEP], at most `positions` (>= 3) in all: what is too long loses its last words, not [SEP],
// and *truncated is set (else cleared).
vbl_status vbl_encode(const vbl_vocabulary *v, const char *text, size_t bytes, int32_t positions, vbl_token_list *out,
                      bool *truncated, vbl_error *err);

// Appends the text of n ids: pieces joined, words parted by one blank, [PAD] [CLS] [SEP] left out. VBL_EINVAL for an id
// outside the vocabulary.
vbl_status vbl_detokenize(const vbl_vocabulary *v, const int32_t *id, int32_t n, vbl_bytes *out, vbl_error *err);
