// Tokenizers: texts to token ids and back over a vocabulary. One that stands alone (vbl.data.tokenizer), and what a data set's methods
// do with the vocabulary of theirs. Ids count from 0.
// defines: vbl_lua_{encode,decode,token,token_id,rules}, vbl_lua_tokenizer, vbl_lua_tokenizer_kind
#include <string.h>

#include "bindings/data.h"

#define TOKENIZER_META "tokenizer"

int vbl_lua_encode(lua_State *L, const vbl_vocabulary *v, int32_t positions) {
  size_t bytes;
  const char *text = luaL_checklstring(L, 2, &bytes);
  vbl_token_list t = {0};
  vbl_error err;
  bool truncated;
  vbl_status status = vbl_encode(v, text, bytes, positions, &t, &truncated, &err);
  int32_t *ids = NULL;
  if (status == VBL_OK) {
    ids = lua_newuserdatauv(L, (size_t)t.size * sizeof *ids, 0);
    memcpy(ids, t.id, (size_t)t.size * sizeof *ids);
  }
  int32_t n = t.size;
  vbl_token_list_free(&t);
  if (status != VBL_OK) return vbl_lua_raise(L, &err);
  lua_createtable(L, n, 0);
  for (int32_t i = 0; i < n; i++) {
    lua_pushinteger(L, ids[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushboolean(L, truncated);
  return 2;
}

int vbl_lua_decode(lua_State *L, const vbl_vocabulary *v) {
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Integer n = luaL_len(L, 2);
  luaL_argcheck(L, n >= 0 && n < INT32_MAX, 2, "expected a list of token ids");
  int32_t *ids = lua_newuserdatauv(L, (size_t)n * sizeof *ids + 1, 0);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, 2, i);
    lua_Integer id = luaL_checkinteger(L, -1);
    ids[i - 1] = id < INT32_MIN || id > INT32_MAX ? -1 : (int32_t)id;
    lua_pop(L, 1);
  }
  vbl_bytes text = {0};
  vbl_error err;
  vbl_status status = vbl_detokenize(v, ids, (int32_t)n, &text, &err);
  if (status == VBL_OK) lua_pushlstring(L, (const char *)text.data, text.size);
  vbl_bytes_free(&text);
  return status == VBL_OK ? 1 : vbl_lua_raise(L, &err);
}

int vbl_lua_token(lua_State *L, const vbl_vocabulary *v) {
  lua_Integer id = luaL_checkinteger(L, 2);
  if (id < 0 || id >= vbl_vocabulary_size(v))
    vbl_lua_error(L, "token id %I; expected 0 to %d", (LUAI_UACINT)id, vbl_vocabulary_size(v) - 1);
  lua_pushstring(L, vbl_vocabulary_token(v, (int32_t)id));
  return 1;
}

int vbl_lua_token_id(lua_State *L, const vbl_vocabulary *v) {
  size_t bytes;
  const char *token = luaL_checklstring(L, 2, &bytes);
  int32_t id = vbl_vocabulary_find(v, token, bytes);
  if (id < 0) return 0;
  lua_pushinteger(L, id);
  return 1;
}

int vbl_lua_rules(lua_State *L, const vbl_vocabulary *v) {
  const vbl_text_rules *rules = vbl_vocabulary_rules(v);
  lua_newtable(L);
  vbl_lua_set_bool(L, "lower_case", rules->lower_case);
  vbl_lua_set_bool(L, "strip_accents", rules->strip_accents);
  vbl_lua_set_bool(L, "split_cjk", rules->split_cjk);
  vbl_lua_set_bool(L, "fast", rules->fast);
  vbl_lua_set_integer(L, "max_chars", rules->max_chars);
  return 1;
}

// --- a tokenizer alone: the userdata holds the vocabulary ---

static const vbl_vocabulary *vocabulary_of(lua_State *L) { return *(vbl_vocabulary **)luaL_checkudata(L, 1, TOKENIZER_META); }

static int tokenizer_gc(lua_State *L) {
  vbl_vocabulary **v = luaL_checkudata(L, 1, TOKENIZER_META);
  vbl_vocabulary_free(*v);
  *v = NULL;
  return 0;
}

static const char *const kinds[] = {
    [VBL_TOKENIZER_OF_FILE] = "file", [VBL_TOKENIZER_BERT] = "bert", [VBL_TOKENIZER_FAST] = "fast", NULL};

vbl_tokenizer_kind vbl_lua_tokenizer_kind(lua_State *L, int arg, const char *field) {
  return (vbl_tokenizer_kind)vbl_lua_opt_choice(L, arg, field, kinds, VBL_TOKENIZER_OF_FILE);
}

static int tokenizer_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  vbl_tokenizer_kind kind = (vbl_tokenizer_kind)luaL_checkoption(L, 2, "file", kinds);
  vbl_vocabulary **v = lua_newuserdatauv(L, sizeof *v, 0);
  *v = NULL;
  luaL_setmetatable(L, TOKENIZER_META);
  VBL_LUA_TRY(L, vbl_vocabulary_load(path, v, &err));
  vbl_vocabulary_use(*v, kind);
  return 1;
}

static int tokenizer_size(lua_State *L) {
  lua_pushinteger(L, vbl_vocabulary_size(vocabulary_of(L)));
  return 1;
}

static int tokenizer_encode(lua_State *L) {
  const vbl_vocabulary *v = vocabulary_of(L);
  lua_Integer positions = luaL_optinteger(L, 3, 512);
  luaL_argcheck(L, positions >= 3 && positions <= INT32_MAX, 3, "expected at least 3 positions ([CLS], a token, [SEP])");
  return vbl_lua_encode(L, v, (int32_t)positions);
}

static int tokenizer_decode(lua_State *L) { return vbl_lua_decode(L, vocabulary_of(L)); }
static int tokenizer_token(lua_State *L) { return vbl_lua_token(L, vocabulary_of(L)); }
static int tokenizer_id(lua_State *L) { return vbl_lua_token_id(L, vocabulary_of(L)); }
static int tokenizer_rules(lua_State *L) { return vbl_lua_rules(L, vocabulary_of(L)); }

static const vbl_fn methods[] = {
    {"size", tokenizer_size, "tokenizer:size() -> number of tokens in the vocabulary", "Ids are 0 to size - 1."},
    {"encode", tokenizer_encode, "tokenizer:encode(text[, positions = 512]) -> {id, ...}, truncated",
     "[CLS], the text's WordPiece ids, [SEP]; cut at `positions` in all."},
    {"decode", tokenizer_decode, "tokenizer:decode({id, ...}) -> text", "[PAD], [CLS] and [SEP] are left out, ## pieces joined."},
    {"token", tokenizer_token, "tokenizer:token(id) -> text", "The token of an id."},
    {"id", tokenizer_id, "tokenizer:id(token) -> id or nil", "The id of a token."},
    {"rules", tokenizer_rules, "tokenizer:rules() -> {lower_case, strip_accents, split_cjk, fast, max_chars}",
     "How texts are cut; fast: as BertTokenizerFast where it differs from google-research/bert."},
    {NULL, NULL, NULL, NULL}};

static int lower(lua_State *L) {
  size_t bytes;
  const char *text = luaL_checklstring(L, 1, &bytes);
  vbl_bytes low = {0};
  vbl_error err;
  vbl_status status = vbl_lower_case(text, bytes, &low, &err);
  if (status == VBL_OK) lua_pushlstring(L, (const char *)low.data, low.size);
  vbl_bytes_free(&low);
  return status == VBL_OK ? 1 : vbl_lua_raise(L, &err);
}

static const vbl_fn functions[] = {
    {"lower", lower, "lower(text) -> text", "UTF-8 in lower case, of every script, as Python's str.lower()."},
    {"tokenizer", tokenizer_open, "tokenizer(path[, rules = \"file\"]) -> tokenizer",
     "Of a vocab.txt (with the tokenizer_config.json beside it) or a tokenizer.json whose model is WordPiece. rules: \"bert\" "
     "(google-research/bert), \"fast\" (BertTokenizerFast), or as the file says."},
    {NULL, NULL, NULL, NULL}};

void vbl_lua_tokenizer(lua_State *L) {
  luaL_newmetatable(L, TOKENIZER_META);
  lua_newtable(L);
  vbl_lua_register(L, "tokenizer:", methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, tokenizer_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  vbl_lua_register(L, "data", functions);
}
