// "vbl.data.c": data sets, their tokenizer and the draws around them. Scripts use vbl.data (lua/vbl/data).
// Indices of samples count from 1 in Lua; token ids and labels are data and count from 0.
// defines: vbl_open_data, vbl_lua_{check,new,clear}_data_set, vbl_lua_fill_records, vbl_lua_records_options, vbl_lua_check_u32,
// vbl_lua_index_list
#include "bindings/data.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/philox.h"
#include "core/data/captions.h"
#include "core/data/corrupt.h"

void vbl_lua_clear_data_set(vbl_lua_data_set *d) {
  vbl_bad_images_free(&d->bad);
  vbl_records_free(d->records);
  vbl_packed_free(d->packed);
  vbl_scenes_source_free(&d->scenes_source);
  vbl_vocabulary_free(d->scenes_vocabulary);
  free(d->scenes_samples);
  *d = (vbl_lua_data_set){0};
}

static int set_gc(lua_State *L) {
  vbl_lua_clear_data_set(luaL_checkudata(L, 1, VBL_DATA_SET_META));
  return 0;
}

vbl_lua_data_set *vbl_lua_check_data_set(lua_State *L, int arg) { return luaL_checkudata(L, arg, VBL_DATA_SET_META); }

uint32_t vbl_lua_check_u32(lua_State *L, int arg, const char *what) {
  lua_Integer v = luaL_checkinteger(L, arg);
  if (v < 0 || v > UINT32_MAX) vbl_lua_error(L, "%s = %I; expected 0 to 2^32 - 1", what, (LUAI_UACINT)v);
  return (uint32_t)v;
}

int32_t *vbl_lua_index_list(lua_State *L, int arg, int32_t n, int32_t *count) {
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_Integer length = luaL_len(L, arg);
  if (length < 1 || length > INT32_MAX) vbl_lua_error(L, "a list of %I indices; expected at least one", (LUAI_UACINT)length);
  int32_t *list = lua_newuserdatauv(L, (size_t)length * sizeof *list, 0);
  for (lua_Integer i = 1; i <= length; i++) {
    int integer;
    lua_rawgeti(L, arg, i);
    lua_Integer v = lua_tointegerx(L, -1, &integer);
    if (!integer || v < 1 || v > n)
      vbl_lua_error(L, "index %I of the list is %s; expected 1 to %d", (LUAI_UACINT)i, luaL_tolstring(L, -1, NULL), n);
    list[i - 1] = (int32_t)(v - 1);
    lua_pop(L, 1);
  }
  *count = (int32_t)length;
  return list;
}

vbl_lua_data_set *vbl_lua_new_data_set(lua_State *L) {
  vbl_lua_data_set *d = lua_newuserdatauv(L, sizeof *d, 0);
  *d = (vbl_lua_data_set){0};
  luaL_setmetatable(L, VBL_DATA_SET_META);
  return d;
}

// train, then test; no dev split.
static vbl_status fill_scenes(vbl_lua_data_set *d, int32_t train, int32_t test, vbl_error *err) {
  const char *words = vbl_scenes_words();
  VBL_TRY(vbl_vocabulary_build(&words, 1, 1000, 1, &d->scenes_vocabulary, err));
  VBL_TRY(vbl_scenes_source(&d->scenes, train + test, VBL_SCENE_TOKENS, d->scenes_vocabulary, &d->scenes_source, err));
  d->scenes_samples = malloc((size_t)(train + test) * sizeof *d->scenes_samples);
  if (d->scenes_samples == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %d samples", train + test);
  for (int32_t i = 0; i < train + test; i++) d->scenes_samples[i] = i;
  d->scenes_split[0] = (vbl_split){"train", d->scenes_samples, train};
  d->scenes_split[1] = (vbl_split){"test", d->scenes_samples + train, test};
  d->scenes_source.split = d->scenes_split;
  d->scenes_source.splits = 2;
  d->source = &d->scenes_source;
  return vbl_bad_images_init(&d->bad, d->source, 0, err);
}

static int open_scenes(lua_State *L) {
  static const char *const known[] = {"image", "train", "test", "seed", "objects", "questions", NULL};
  vbl_lua_check_keys(L, 1, known);
  int64_t image = vbl_lua_opt_integer(L, 1, "image", 64), train = vbl_lua_opt_integer(L, 1, "train", 24000),
          test = vbl_lua_opt_integer(L, 1, "test", 2048), seed = vbl_lua_opt_integer(L, 1, "seed", 0),
          objects = vbl_lua_opt_integer(L, 1, "objects", 1);
  if (image < 16 || image > 1024) vbl_lua_error(L, "scenes: image = %I; expected 16 to 1024", (LUAI_UACINT)image);
  if (train < 1 || train > 1000000000) vbl_lua_error(L, "scenes: train = %I; expected 1 to 10^9", (LUAI_UACINT)train);
  if (test < 0 || test > 1000000000) vbl_lua_error(L, "scenes: test = %I; expected 0 to 10^9", (LUAI_UACINT)test);
  if (seed < 0 || seed > UINT32_MAX) vbl_lua_error(L, "scenes: seed = %I; expected 0 to 2^32 - 1", (LUAI_UACINT)seed);
  if (objects < 1 || objects > 2) vbl_lua_error(L, "scenes: objects = %I; expected 1 or 2", (LUAI_UACINT)objects);
  vbl_lua_data_set *d = vbl_lua_new_data_set(L);
  vbl_scenes scenes = {(uint32_t)seed, (int)image, (int)objects, vbl_lua_opt_bool(L, 1, "questions", false)};
  d->scenes = scenes;
  VBL_LUA_TRY(L, (vbl_lua_clear_data_set(d), d->scenes = scenes, fill_scenes(d, (int32_t)train, (int32_t)test, &err)));
  return 1;
}

vbl_status vbl_lua_fill_records(vbl_lua_data_set *d, vbl_records *records, vbl_error *err) {
  d->records = records;
  d->source = &records->source;
  // What opening skipped counts.
  int64_t bad = records->bad_images, all = d->source->samples + bad;
  return vbl_bad_images_init(&d->bad, d->source, (int64_t)(records->options.max_bad * (double)all) - bad, err);
}

vbl_records_options vbl_lua_records_options(lua_State *L, int arg) {
  static const char *const known[] = {"image",      "crop",          "crop_pct",   "interpolation",
                                      "max_tokens", "max_bad",       "vocabulary", "vocabulary_limit",
                                      "split",      "test_fraction", "tokenizer",  NULL};
  static const char *const crops[] = {"center", "squash", NULL};
  static const char *const filters[] = {[VBL_FILTER_BICUBIC] = "bicubic", [VBL_FILTER_BILINEAR] = "bilinear", NULL};
  vbl_lua_check_keys(L, arg, known);
  double crop_pct = vbl_lua_opt_number(L, arg, "crop_pct", 1);
  if (!(crop_pct >= 0.1 && crop_pct <= 1)) vbl_lua_error(L, "crop_pct = %f; expected 0.1 to 1", crop_pct);
  return (vbl_records_options){.image_size = vbl_lua_opt_int(L, arg, "image", 64),
                               .crop = vbl_lua_opt_choice(L, arg, "crop", crops, 0) == 0 ? VBL_CROP_CENTER : VBL_CROP_SQUASH,
                               .crop_pct = crop_pct,
                               .filter = (vbl_filter)vbl_lua_opt_choice(L, arg, "interpolation", filters, VBL_FILTER_BICUBIC),
                               .max_tokens = vbl_lua_opt_int(L, arg, "max_tokens", 64),
                               .max_bad = vbl_lua_opt_number(L, arg, "max_bad", 0.01),
                               .vocabulary = vbl_lua_opt_string(L, arg, "vocabulary", NULL),
                               .tokenizer = vbl_lua_tokenizer_kind(L, arg, "tokenizer"),
                               .vocabulary_limit = vbl_lua_opt_int(L, arg, "vocabulary_limit", 8192),
                               .split = vbl_lua_opt_string(L, arg, "split", NULL),
                               .test_fraction = vbl_lua_opt_number(L, arg, "test_fraction", 0.1)};
}

static vbl_status fill_captions(vbl_lua_data_set *d, const char *path, const vbl_records_options *options, vbl_error *err) {
  vbl_records *records;
  VBL_TRY(vbl_captions_open(path, options, &records, err));
  return vbl_lua_fill_records(d, records, err);
}

static int open_captions(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  vbl_records_options o = vbl_lua_records_options(L, 2);
  vbl_lua_data_set *d = vbl_lua_new_data_set(L);
  VBL_LUA_TRY(L, (vbl_lua_clear_data_set(d), fill_captions(d, path, &o, &err)));
  return 1;
}

// --- data set ---

static int set_hash(lua_State *L) {
  vbl_lua_data_set *d = vbl_lua_check_data_set(L, 1);
  uint64_t h = VBL_HASH_START;
  if (d->packed != NULL) {
    lua_pushstring(L, d->packed->hash);
    return 1;
  }
  if (d->records != NULL) {
    h = d->records->hash;
  } else {
    // The vocabulary too: another version of the program may know more words.
    int64_t what[6] = {d->scenes.seed,       d->scenes.image_size, d->scenes.objects,
                       d->scenes_split[0].n, d->scenes_split[1].n, vbl_vocabulary_size(d->scenes_vocabulary)};
    h = vbl_hash_bytes(h, what, sizeof what);
    if (d->scenes.questions) h = vbl_hash_bytes(h, "questions", 9);
  }
  char text[32];
  snprintf(text, sizeof text, "fnv1a64:%016llx", (unsigned long long)h);
  lua_pushstring(L, text);
  return 1;
}

static int set_notes(lua_State *L) {
  vbl_lua_data_set *d = vbl_lua_check_data_set(L, 1);
  if (d->packed != NULL)
    lua_pushstring(L, d->packed->notes);
  else if (d->records == NULL)
    lua_pushliteral(L, "");
  else
    lua_pushlstring(L, (const char *)d->records->report.data, d->records->report.size);
  return 1;
}

static int set_allowed_bad(lua_State *L) {
  lua_pushinteger(L, vbl_lua_check_data_set(L, 1)->bad.allowed);
  return 1;
}

static int set_late(lua_State *L) {
  vbl_lua_data_set *d = vbl_lua_check_data_set(L, 1);
  lua_pushlstring(L, (const char *)d->bad.report.data, d->bad.report.size);
  return 1;
}

static int set_counts(lua_State *L) {
  vbl_lua_data_set *d = vbl_lua_check_data_set(L, 1);
  const vbl_records *r = d->records;
  const vbl_packed *p = d->packed;
  int64_t bad_records = 0, absent = 0, bad_images = 0, truncated = 0, captions = (int64_t)d->source->samples * VBL_SCENE_CAPTIONS;
  if (r != NULL)
    bad_records = r->bad_records, absent = r->absent, bad_images = r->bad_images, truncated = r->truncated,
    captions = r->text_count;
  if (p != NULL)
    bad_records = p->bad_records, absent = p->absent, bad_images = p->bad_images, truncated = p->truncated, captions = p->texts;
  lua_newtable(L);
  vbl_lua_set_integer(L, "samples", d->source->samples);
  vbl_lua_set_integer(L, "bad_records", bad_records);
  vbl_lua_set_integer(L, "absent", absent);
  vbl_lua_set_integer(L, "bad_images", bad_images + d->bad.count);
  vbl_lua_set_integer(L, "max_tokens", d->source->max_tokens);
  vbl_lua_set_integer(L, "truncated", truncated);
  vbl_lua_set_integer(L, "captions", captions);
  return 1;
}

// --- tokenizer: methods of the data set, which owns the vocabulary ---

static const vbl_vocabulary *vocabulary_of(lua_State *L) { return vbl_lua_check_data_set(L, 1)->source->vocabulary; }

static int tokenizer_size(lua_State *L) {
  lua_pushinteger(L, vbl_vocabulary_size(vocabulary_of(L)));
  return 1;
}

static int tokenizer_encode(lua_State *L) {
  return vbl_lua_encode(L, vocabulary_of(L), vbl_lua_check_data_set(L, 1)->source->max_tokens);
}
static int tokenizer_decode(lua_State *L) { return vbl_lua_decode(L, vocabulary_of(L)); }
static int tokenizer_token(lua_State *L) { return vbl_lua_token(L, vocabulary_of(L)); }
static int tokenizer_id(lua_State *L) { return vbl_lua_token_id(L, vocabulary_of(L)); }
static int tokenizer_rules(lua_State *L) { return vbl_lua_rules(L, vocabulary_of(L)); }

// --- draws ---

static double check_share(lua_State *L, int arg, const char *what) {
  double p = luaL_checknumber(L, arg);
  if (!(p >= 0 && p <= 1)) vbl_lua_error(L, "%s = %f; expected 0 to 1", what, p);
  return p;
}

static int32_t *i32_data(lua_State *L, int arg, int ndim, const char *what) {
  vbl_tensor *t = vbl_lua_check_tensor(L, arg);
  if (t->dtype != VBL_I32 || t->ndim != ndim || !vbl_tensor_is_contiguous(t)) {
    char shape[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "%s: expected a contiguous i32 tensor of %d dims, got %s %s", what, ndim, vbl_dtype_name(t->dtype),
                  vbl_shape_text(t->ndim, t->shape, shape));
  }
  return vbl_tensor_data(t);
}

// Rows are keyed by their number in the batch, which is the effective batch: the draw is the same however it is cut later.
static int set_mask_tokens(lua_State *L) {
  const vbl_vocabulary *v = vocabulary_of(L);
  int32_t *tokens = i32_data(L, 2, 2, "mask_tokens: tokens"), *lengths = i32_data(L, 3, 1, "mask_tokens: lengths");
  vbl_tensor *in = vbl_lua_check_tensor(L, 2);
  int64_t B = in->shape[0], T = in->shape[1], count = 0;
  if (vbl_lua_check_tensor(L, 3)->shape[0] != B) vbl_lua_error(L, "mask_tokens: lengths: expected [%I]", (LUAI_UACINT)B);
  double probability = check_share(L, 4, "probability");
  uint32_t seed = vbl_lua_check_u32(L, 5, "seed"), step = vbl_lua_check_u32(L, 6, "step");
  int32_t *rows = lua_newuserdatauv(L, (size_t)B * sizeof *rows + 1, 0);
  for (int32_t b = 0; b < B; b++) rows[b] = b;
  vbl_tensor *masked = vbl_lua_new_tensor(L, VBL_I32, 2, in->shape), *labels = vbl_lua_new_tensor(L, VBL_I32, 2, in->shape);
  int32_t *out = vbl_tensor_data(masked), *label = vbl_tensor_data(labels);
  if (B * T > 0) memcpy(out, tokens, (size_t)(B * T) * sizeof *out);
  vbl_mask_tokens(v, seed, step, probability, (int32_t)B, (int32_t)T, lengths, rows, out, label);
  for (int64_t i = 0; i < B * T; i++) count += label[i] != VBL_IGNORE_LABEL;
  lua_pushinteger(L, count);
  return 3;
}

static int mask_patches(lua_State *L) {
  int64_t shape[2] = {luaL_checkinteger(L, 1), luaL_checkinteger(L, 2)};
  luaL_argcheck(L, shape[0] >= 1 && shape[0] < INT32_MAX, 1, "expected at least one sample");
  luaL_argcheck(L, shape[1] >= 1 && shape[1] < INT32_MAX, 2, "expected at least one patch");
  double fraction = check_share(L, 3, "probability");
  uint32_t seed = vbl_lua_check_u32(L, 4, "seed"), step = vbl_lua_check_u32(L, 5, "step");
  int32_t *rows = lua_newuserdatauv(L, (size_t)shape[0] * sizeof *rows, 0);
  for (int32_t b = 0; b < shape[0]; b++) rows[b] = b;
  vbl_tensor *mask = vbl_lua_new_tensor(L, VBL_U8, 2, shape);
  vbl_mask_patches(seed, step, fraction, (int32_t)shape[0], (int32_t)shape[1], rows, vbl_tensor_data(mask));
  return 1;
}

static int uniform(lua_State *L) {
  static const char *const names[] = {"user", "init",    "order",  "caption", "mlm",     "ap",
                                      "mim",  "augment", "scenes", "split",   "measure", NULL};
  uint32_t seed = vbl_lua_check_u32(L, 1, "seed");
  int stream = luaL_checkoption(L, 2, NULL, names);
  // A counter that no order of samples uses: those have 0 in the first place.
  lua_pushnumber(L, vbl_philox_uniform((vbl_philox_key){seed, (uint32_t)stream}, 1, 0, 0, vbl_lua_check_u32(L, 3, "step")));
  return 1;
}

static int jpeg_decoder(lua_State *L) {
  lua_pushstring(L, vbl_image_jpeg_decoder());
  return 1;
}

static const vbl_fn functions[] = {
    {"jpeg_decoder", jpeg_decoder, "jpeg_decoder() -> string", "What decodes JPEG: libjpeg-turbo with its version, or stb_image."},
    {"scenes", open_scenes, "scenes(opts) -> set", "The built-in data set. opts: image, train, test, seed, objects, questions."},
    {"captions", open_captions, "captions(path, opts) -> set",
     "A TSV of image path and caption. opts: image, crop, max_tokens, max_bad, vocabulary, vocabulary_limit, split, "
     "test_fraction."},
    {"pack", vbl_lua_pack, "pack(set, folder, identity, shard, threads) -> packer",
     "Threads that write the shards which are missing in the folder; identity: 16 hexadecimal digits; shard: samples a shard."},
    {"packed", vbl_lua_packed, "packed(folder, identity, manifest) -> set", "The set of a folder of shards: vbl.data.packed."},
    {"fetch", vbl_lua_fetch, "fetch(\"cc3m\" or \"cc12m\", tsv, out, options) -> download",
     "Downloads: lua/vbl/cmd/data/fetch.lua."},
    {"mask_patches", mask_patches, "mask_patches(n, patches, share, seed, step) -> u8 [n, patches]",
     "1 at round(share * patches) patches of each row, at least one unless share is 0."},
    {"augment", vbl_lua_augment, "augment(images, options, seed, purpose, epoch, {sample, ...}) -> u8 [B, 3, S, S]",
     "Each image of u8 [B, 3, S, S] changed as its sample's draws say; purpose: ap, mim, mim_clean or mim_masked; options: "
     "vbl.data.augment."},
    {"uniform", uniform, "uniform(seed, stream, step) -> number in [0, 1)", "One Philox draw; stream: the name of its purpose."},
    {NULL, NULL, NULL, NULL}};

static const vbl_fn methods[] = {
    {"view", vbl_lua_data_set_view, "set:view(name) -> view",
     "The samples of one split; train, dev and test are empty where the set has none."},
    {"hash", set_hash, "set:hash() -> string",
     "Of ids, splits, texts, labels, names and sizes of images, vocabulary; or of the parameters of scenes."},
    {"splits", vbl_lua_data_set_splits, "set:splits() -> {{name=, size=}, ...}", "The splits, train first."},
    {"labels", vbl_lua_data_set_labels, "set:labels() -> kind, {class, ...}",
     "Kind: \"class\", \"multi\" or \"soft\", and the classes in the order of their numbers from 0; nil without labels."},
    {"stats", vbl_lua_data_set_stats,
     "set:stats(split) -> {samples, texts, mean, median, p99, most, repeated, labelled, unlabelled, classes}",
     "Of a split: lengths of its texts in tokens, texts that repeat, samples with each class."},
    {"meetings", vbl_lua_data_set_meetings, "set:meetings(images) -> {{sign, a, b, count, id_a, id_b}, ...}, repeated",
     "What splits have in common by id, text and, where images is true, the images' bytes (all are read and decoded); and within a "
     "split: {id, image, text, unreadable, report}."},
    {"split_lines", vbl_lua_data_set_split_lines, "set:split_lines() -> string", "Lines id<TAB>split of all samples."},
    {"notes", set_notes, "set:notes() -> string", "What opening skipped, cut or found odd, a line each."},
    {"undecodable", vbl_lua_undecodable, "set:undecodable() -> {{id=, why=}, ...}",
     "Packed sets: the samples whose image could not be decoded when it was packed."},
    {"allowed_bad", set_allowed_bad, "set:allowed_bad() -> n", "How many images may fail to decode from here on."},
    {"late", set_late, "set:late() -> string", "Images that failed to decode since, a line each."},
    {"counts", set_counts, "set:counts() -> {samples, captions, bad_records, absent, bad_images, truncated, max_tokens}",
     "Counts so far; max_tokens: no caption has more."},
    {"size", tokenizer_size, "set:size() -> number of tokens in the vocabulary", "Ids are 0 to size - 1."},
    {"encode", tokenizer_encode, "set:encode(text) -> {id, ...}, truncated",
     "[CLS], the text's WordPiece ids, [SEP]; cut at max_tokens."},
    {"decode", tokenizer_decode, "set:decode({id, ...}) -> text", "[PAD], [CLS] and [SEP] are left out, ## pieces joined."},
    {"token", tokenizer_token, "set:token(id) -> text", "The token of an id."},
    {"id", tokenizer_id, "set:id(token) -> id or nil", "The id of a token."},
    {"rules", tokenizer_rules, "set:rules() -> {lower_case, strip_accents, split_cjk, fast, max_chars}", "As of a tokenizer."},
    {"mask_tokens", set_mask_tokens, "set:mask_tokens(tokens, lengths, probability, seed, step) -> tokens, labels, count",
     "BERT's masking of i32 [B, T] with lengths [B]; labels are -100 elsewhere; count: how many are masked."},
    {NULL, NULL, NULL, NULL}};

int vbl_open_data(lua_State *L) {
  luaL_newmetatable(L, VBL_DATA_SET_META);
  lua_newtable(L);
  vbl_lua_register(L, "data set:", methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, set_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  vbl_lua_data_view(L);
  vbl_lua_data_pack(L);
  vbl_lua_data_fetch(L);
  lua_newtable(L);
  vbl_lua_register(L, "data", functions);
  vbl_lua_tokenizer(L);
  vbl_lua_data_records(L);
  vbl_lua_data_json(L);
  return 1;
}
