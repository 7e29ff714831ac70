// A WordPiece vocabulary: token <-> id, from a file of one token a line or built from texts. Immutable once made, so any
// number of threads may read it.
// defines: vbl_vocabulary and what makes, asks and ends it; vbl_special, vbl_special_names, vbl_tokenizer_kind
#pragma once
#include "core/data/basic_tokenizer.h"

typedef struct vbl_vocabulary vbl_vocabulary;

// The five tokens that BERT's tasks need; vbl_vocabulary_special gives their ids.
typedef enum vbl_special { VBL_PAD, VBL_UNK, VBL_CLS, VBL_SEP, VBL_MASK, VBL_SPECIALS } vbl_special;
extern const char *const vbl_special_names[VBL_SPECIALS];

// PATH.json: a tokenizer.json (Hugging Face) whose model is WordPiece and whose normalizer is BERT's; others are an error. Any other
// PATH: one token a line, the id is the line number from 0 (BERT's vocab.txt), with the rules of a tokenizer_config.json beside it
// (do_lower_case, strip_accents, tokenize_chinese_chars; `fast` where its class is BertTokenizerFast). A token that stands twice
// keeps its last id, as in BERT, and is counted. Errors name the file: not there, invalid UTF-8 (with line), an empty line, a
// special token missing.
vbl_status vbl_vocabulary_load(const char *path, vbl_vocabulary **out, vbl_error *err);

// From n texts: [PAD] [UNK] [CLS] [SEP] [MASK], every character c and ##c, then whole words that occur at least min_count
// times, the most frequent first, and, where words are left out, the endings (##...) that most of those share in an eighth of
// the places. Ties go by bytes, so that the same texts give the same ids in any order. At most `limit` tokens; VBL_EINVAL
// when the characters alone need more.
vbl_status vbl_vocabulary_build(const char *const *texts, size_t n, int limit, int min_count, vbl_vocabulary **out, vbl_error *err);
void vbl_vocabulary_free(vbl_vocabulary *v);  // NULL is allowed

int vbl_vocabulary_size(const vbl_vocabulary *v);
const char *vbl_vocabulary_token(const vbl_vocabulary *v, int32_t id);                  // 0 <= id < size
int32_t vbl_vocabulary_find(const vbl_vocabulary *v, const char *token, size_t bytes);  // -1 when absent
int32_t vbl_vocabulary_special(const vbl_vocabulary *v, vbl_special which);
size_t vbl_vocabulary_longest(const vbl_vocabulary *v);                      // bytes of the longest token
int vbl_vocabulary_duplicates(const vbl_vocabulary *v, const char **first);  // how many lines repeat a token; the first such token
// Ids that may stand for a masked token at random: all but the specials and [unused...]. *n of them.
const int32_t *vbl_vocabulary_ordinary(const vbl_vocabulary *v, int32_t *n);

// How texts are cut before they are spelt: VBL_RULES_BERT, but for what its file says.
const vbl_text_rules *vbl_vocabulary_rules(const vbl_vocabulary *v);
void vbl_vocabulary_set_rules(vbl_vocabulary *v, vbl_text_rules rules);
// Whose rules, whatever the file says: google-research/bert's (200 characters a word) or BertTokenizerFast's (100); OF_FILE changes nothing.
typedef enum vbl_tokenizer_kind { VBL_TOKENIZER_OF_FILE, VBL_TOKENIZER_BERT, VBL_TOKENIZER_FAST } vbl_tokenizer_kind;
void vbl_vocabulary_use(vbl_vocabulary *v, vbl_tokenizer_kind kind);

// Steps for the loader (vocabulary_json.c): a tokenizer.json's tokens and rules, unfinished; the rules of a tokenizer_config.json.
vbl_status vbl_vocabulary_add_json(vbl_vocabulary *v, const char *text, size_t bytes, vbl_error *err);
vbl_status vbl_vocabulary_config(vbl_vocabulary *v, const char *text, size_t bytes, vbl_error *err);

// Steps for the makers: a vocabulary without tokens; one token more (id = size); the check for specials, which ends the making.
vbl_status vbl_vocabulary_new(vbl_vocabulary **out, vbl_error *err);
vbl_status vbl_vocabulary_add(vbl_vocabulary *v, const char *token, size_t bytes, vbl_error *err);
vbl_status vbl_vocabulary_finish(vbl_vocabulary *v, vbl_error *err);
// For those who number strings: the id of `text`, which is added when it is new.
vbl_status vbl_vocabulary_number(vbl_vocabulary *v, const char *text, size_t bytes, int32_t *id, vbl_error *err);
