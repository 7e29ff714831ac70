// The vocabulary's table: tokens in one arena, ids by open addressing.
// defines: vbl_special_names, vbl_vocabulary_{new,add,number,finish,load,free,size,token,find,special,longest,duplicates,ordinary,rules,set_rules,use}
#include "core/data/vocabulary.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/data/bytes.h"

typedef struct slot {
  int32_t id;  // -1: free
  uint32_t hash;
} slot;

struct vbl_vocabulary {
  vbl_bytes arena;  // tokens, NUL-terminated, one after the other
  size_t *start;    // [size] offsets into the arena
  int32_t size, room;
  slot *slot;  // [slots], a power of two, at least twice the size
  uint32_t slots;
  size_t longest;
  int duplicates;
  int32_t first_duplicate;
  int32_t special[VBL_SPECIALS];
  int32_t *ordinary, ordinaries;
  vbl_text_rules rules;
};

const char *const vbl_special_names[VBL_SPECIALS] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

static const char *token_of(const vbl_vocabulary *v, int32_t id) { return (const char *)v->arena.data + v->start[id]; }

// FNV-1a with its bits mixed (the finaliser of MurmurHash3): ids that count up would lie in runs.
static uint32_t hash_of(const char *token, size_t bytes) {
  uint64_t h = vbl_hash_bytes(VBL_HASH_START, token, bytes);
  h = (h ^ h >> 33) * 0xFF51AFD7ED558CCDu;
  return (uint32_t)(h >> 32);
}

// The slot that holds the token, or the free one where it belongs.
static uint32_t slot_of(const vbl_vocabulary *v, const char *token, size_t bytes, uint32_t hash) {
  uint32_t at = hash & (v->slots - 1);
  for (; v->slot[at].id >= 0; at = (at + 1) & (v->slots - 1)) {
    if (v->slot[at].hash != hash) continue;
    const char *other = token_of(v, v->slot[at].id);
    if (strncmp(other, token, bytes) == 0 && other[bytes] == 0) break;
  }
  return at;
}

// Twice the room; tokens keep their slots' hashes, so that no token is looked at.
static vbl_status grow(vbl_vocabulary *v, vbl_error *err) {
  int32_t room = v->room == 0 ? 1024 : 2 * v->room;
  uint32_t slots = 2 * (uint32_t)room;
  size_t *start = realloc(v->start, (size_t)room * sizeof *start);
  if (start != NULL) v->start = start;
  slot *more = malloc(slots * sizeof *more);
  if (start == NULL || more == NULL) {
    free(more);
    return vbl_fail(err, VBL_ENOMEM, "out of memory for a vocabulary of %d tokens", room);
  }
  memset(more, 0xFF, slots * sizeof *more);
  for (uint32_t i = 0; i < v->slots; i++) {
    uint32_t at = v->slot[i].hash & (slots - 1);
    if (v->slot[i].id < 0) continue;
    while (more[at].id >= 0) at = (at + 1) & (slots - 1);
    more[at] = v->slot[i];
  }
  free(v->slot);
  v->slot = more;
  v->room = room;
  v->slots = slots;
  return VBL_OK;
}

vbl_status vbl_vocabulary_new(vbl_vocabulary **out, vbl_error *err) {
  *out = calloc(1, sizeof **out);
  if (*out == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a vocabulary");
  (*out)->rules = VBL_RULES_BERT;
  return VBL_OK;
}

vbl_status vbl_vocabulary_add(vbl_vocabulary *v, const char *token, size_t bytes, vbl_error *err) {
  if (v->size == v->room) VBL_TRY(grow(v, err));
  size_t start = v->arena.size;
  VBL_TRY(vbl_bytes_add(&v->arena, token, bytes, err));
  VBL_TRY(vbl_bytes_add(&v->arena, "", 1, err));
  uint32_t hash = hash_of(token, bytes), at = slot_of(v, token, bytes, hash);
  if (v->slot[at].id >= 0 && v->duplicates++ == 0) v->first_duplicate = v->slot[at].id;
  v->start[v->size] = start;
  v->slot[at] = (slot){v->size++, hash};
  if (bytes > v->longest) v->longest = bytes;
  return VBL_OK;
}

vbl_status vbl_vocabulary_number(vbl_vocabulary *v, const char *text, size_t bytes, int32_t *id, vbl_error *err) {
  *id = vbl_vocabulary_find(v, text, bytes);
  if (*id >= 0) return VBL_OK;
  *id = v->size;
  return vbl_vocabulary_add(v, text, bytes, err);
}

static vbl_status find_ordinary(vbl_vocabulary *v, vbl_error *err) {
  v->ordinary = malloc((size_t)v->size * sizeof *v->ordinary);
  if (v->ordinary == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for a vocabulary of %d tokens", v->size);
  for (int32_t id = 0; id < v->size; id++) {
    bool ordinary = strncmp(token_of(v, id), "[unused", 7) != 0;
    for (int s = 0; s < VBL_SPECIALS; s++) ordinary = ordinary && id != v->special[s];
    if (ordinary) v->ordinary[v->ordinaries++] = id;
  }
  if (v->ordinaries == 0) return vbl_fail(err, VBL_EINVAL, "holds only special tokens");
  return VBL_OK;
}

vbl_status vbl_vocabulary_finish(vbl_vocabulary *v, vbl_error *err) {
  for (int s = 0; s < VBL_SPECIALS; s++) {
    v->special[s] = vbl_vocabulary_find(v, vbl_special_names[s], strlen(vbl_special_names[s]));
    if (v->special[s] < 0)
      return vbl_fail(
          err, VBL_EINVAL,
          "the token %s is missing among its %d tokens; expected [PAD] [UNK] [CLS] [SEP] [MASK] (is this a BERT vocabulary?)",
          vbl_special_names[s], v->size);
  }
  return find_ordinary(v, err);
}

// Adds each line, without the white space at its ends.
static vbl_status add_lines(vbl_vocabulary *v, const char *text, size_t bytes, vbl_error *err) {
  size_t line = 0;
  for (const char *at = text, *end = text + bytes; at < end;) {
    const char *stop = memchr(at, '\n', (size_t)(end - at)), *next = stop != NULL ? stop + 1 : end;
    if (stop == NULL) stop = end;
    line++;
    while (at < stop && (*at == ' ' || *at == '\t')) at++;
    while (stop > at && (stop[-1] == ' ' || stop[-1] == '\t' || stop[-1] == '\r')) stop--;
    if (at == stop) return vbl_fail(err, VBL_EINVAL, "line %zu is empty; expected one token a line", line);
    if (memchr(at, 0, (size_t)(stop - at)) != NULL) return vbl_fail(err, VBL_EINVAL, "line %zu holds a NUL byte", line);
    if (vbl_utf8_check(at, (size_t)(stop - at), err) != VBL_OK) return vbl_context(err, "line %zu", line);
    VBL_TRY(vbl_vocabulary_add(v, at, (size_t)(stop - at), err));
    at = next;
  }
  return VBL_OK;
}

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n >= m && strcmp(text + n - m, end) == 0;
}

// The rules in the tokenizer_config.json beside the file, where there is one.
static vbl_status read_config(vbl_vocabulary *v, const char *path, vbl_error *err) {
  static const char name[] = "tokenizer_config.json";
  const char *slash = strrchr(path, '/');
  size_t folder = slash == NULL ? 0 : (size_t)(slash + 1 - path);
  vbl_bytes beside = {0}, file = {0};
  vbl_status status = vbl_bytes_add(&beside, path, folder, err);
  if (status == VBL_OK) status = vbl_bytes_add(&beside, name, sizeof name, err);
  if (status == VBL_OK && access((const char *)beside.data, F_OK) == 0) {
    status = vbl_bytes_read((const char *)beside.data, (size_t)64 << 20, &file, err);
    if (status == VBL_OK) status = vbl_vocabulary_config(v, (const char *)file.data, file.size, err);
  }
  vbl_bytes_free(&beside);
  vbl_bytes_free(&file);
  return status;
}

vbl_status vbl_vocabulary_load(const char *path, vbl_vocabulary **out, vbl_error *err) {
  vbl_bytes file = {0};
  vbl_vocabulary *v = NULL;
  *out = NULL;
  if (vbl_bytes_read(path, (size_t)64 << 20, &file, err) != VBL_OK) return vbl_context(err, "vocabulary");
  vbl_status status = vbl_vocabulary_new(&v, err);
  if (status == VBL_OK)
    status = ends_with(path, ".json") ? vbl_vocabulary_add_json(v, (const char *)file.data, file.size, err)
                                      : add_lines(v, (const char *)file.data, file.size, err);
  if (status == VBL_OK && !ends_with(path, ".json")) status = read_config(v, path, err);
  if (status == VBL_OK) status = vbl_vocabulary_finish(v, err);
  vbl_bytes_free(&file);
  if (status != VBL_OK) {
    vbl_vocabulary_free(v);
    return vbl_context(err, "vocabulary %s", path);
  }
  *out = v;
  return VBL_OK;
}

void vbl_vocabulary_free(vbl_vocabulary *v) {
  if (v == NULL) return;
  vbl_bytes_free(&v->arena);
  free(v->start);
  free(v->slot);
  free(v->ordinary);
  free(v);
}

int vbl_vocabulary_size(const vbl_vocabulary *v) { return v->size; }

const vbl_text_rules *vbl_vocabulary_rules(const vbl_vocabulary *v) { return &v->rules; }

void vbl_vocabulary_set_rules(vbl_vocabulary *v, vbl_text_rules rules) { v->rules = rules; }

void vbl_vocabulary_use(vbl_vocabulary *v, vbl_tokenizer_kind kind) {
  if (kind == VBL_TOKENIZER_OF_FILE) return;
  v->rules.fast = kind == VBL_TOKENIZER_FAST;
  v->rules.max_chars = v->rules.fast ? 100 : VBL_MAX_WORD_CHARS;
}

const char *vbl_vocabulary_token(const vbl_vocabulary *v, int32_t id) { return token_of(v, id); }

int32_t vbl_vocabulary_find(const vbl_vocabulary *v, const char *token, size_t bytes) {
  return v->size == 0 ? -1 : v->slot[slot_of(v, token, bytes, hash_of(token, bytes))].id;
}

int32_t vbl_vocabulary_special(const vbl_vocabulary *v, vbl_special which) { return v->special[which]; }

size_t vbl_vocabulary_longest(const vbl_vocabulary *v) { return v->longest; }

int vbl_vocabulary_duplicates(const vbl_vocabulary *v, const char **first) {
  if (first != NULL) *first = v->duplicates > 0 ? token_of(v, v->first_duplicate) : "";
  return v->duplicates;
}

const int32_t *vbl_vocabulary_ordinary(const vbl_vocabulary *v, int32_t *n) {
  *n = v->ordinaries;
  return v->ordinary;
}
