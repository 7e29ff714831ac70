// Views (the samples of a split) and loaders of "vbl.data.c".
// A view keeps its data set in its user value, a loader its view: what they point into lives as long as they do.
// defines: vbl_lua_data_set_{view,splits,labels}, vbl_lua_data_view
#include <string.h>

#include "bindings/data.h"
#include "core/data/corrupt.h"
#include "core/data/divide.h"
#include "core/data/loader.h"
#include "core/tape/profile.h"

#define VIEW_META   "data view"
#define LOADER_META "loader"

typedef struct view {
  vbl_view v;
  vbl_lua_data_set *set;
} view;

typedef struct loader {
  vbl_loader *l;
  view *of;
} loader;

// train, dev and test may be missing; any other name has to be one of the set's.
static vbl_split find_split(lua_State *L, const vbl_source *s, const char *name) {
  static const char *const usual[] = {"train", "dev", "test"};
  const vbl_split *split = vbl_source_split(s, name);
  if (split != NULL) return *split;
  for (int i = 0; i < 3; i++)
    if (strcmp(usual[i], name) == 0) return (vbl_split){name, NULL, 0};
  luaL_Buffer list;
  luaL_buffinit(L, &list);
  for (int32_t k = 0; k < s->splits; k++) {
    if (k > 0) luaL_addstring(&list, ", ");
    luaL_addstring(&list, s->split[k].name);
  }
  luaL_pushresult(&list);
  vbl_lua_error(L, "no split '%s' (it has %s)", name, lua_tostring(L, -1));
  return (vbl_split){0};
}

int vbl_lua_data_set_view(lua_State *L) {
  vbl_lua_data_set *d = vbl_lua_check_data_set(L, 1);
  vbl_split split = find_split(L, d->source, luaL_checkstring(L, 2));
  view *w = lua_newuserdatauv(L, sizeof *w, 1);
  w->v = (vbl_view){d->source, split.sample, split.n};
  w->set = d;
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, VIEW_META);
  return 1;
}

int vbl_lua_data_set_splits(lua_State *L) {
  const vbl_source *s = vbl_lua_check_data_set(L, 1)->source;
  lua_createtable(L, s->splits, 0);
  for (int32_t k = 0; k < s->splits; k++) {
    lua_createtable(L, 0, 2);
    lua_pushstring(L, s->split[k].name);
    lua_setfield(L, -2, "name");
    lua_pushinteger(L, s->split[k].n);
    lua_setfield(L, -2, "size");
    lua_rawseti(L, -2, k + 1);
  }
  return 1;
}

int vbl_lua_data_set_labels(lua_State *L) {
  static const char *const kinds[] = {NULL, "class", "multi", "soft"};
  const vbl_source *s = vbl_lua_check_data_set(L, 1)->source;
  if (s->label_kind == VBL_LABEL_NONE) return 0;
  lua_pushstring(L, kinds[s->label_kind]);
  lua_createtable(L, s->classes, 0);
  for (int32_t i = 0; i < s->classes; i++) {
    lua_pushstring(L, s->class_name[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 2;
}

static view *check_view(lua_State *L) { return luaL_checkudata(L, 1, VIEW_META); }

static int32_t check_index(lua_State *L, int arg, const view *w) {
  lua_Integer i = luaL_checkinteger(L, arg);
  if (i < 1 || i > w->v.n) vbl_lua_error(L, "sample %I; expected 1 to %d", (LUAI_UACINT)i, w->v.n);
  return w->v.sample[i - 1];
}

static int32_t check_caption(lua_State *L, int arg, const view *w, int32_t sample) {
  lua_Integer k = luaL_optinteger(L, arg, 1), n = w->v.source->captions(w->v.source->self, sample);
  if (k < 1 || k > n) vbl_lua_error(L, "caption %I; expected 1 to %I", (LUAI_UACINT)k, (LUAI_UACINT)n);
  return (int32_t)(k - 1);
}

static int view_size(lua_State *L) {
  lua_pushinteger(L, check_view(L)->v.n);
  return 1;
}

// Pushes a view of n samples of the set of the view at 1; where the list is the interpreter's, it lies at `memory`.
static void push_part(lua_State *L, const int32_t *sample, int32_t n, int memory) {
  const view *w = check_view(L);
  memory = lua_absindex(L, memory);
  view *part = lua_newuserdatauv(L, sizeof *part, 2);
  *part = (view){{w->v.source, sample, n}, w->set};
  lua_getiuservalue(L, 1, 1);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, memory);
  lua_setiuservalue(L, -2, 2);
  luaL_setmetatable(L, VIEW_META);
}

static int view_part(lua_State *L) {
  const view *w = check_view(L);
  lua_Integer first = luaL_checkinteger(L, 2), count = luaL_checkinteger(L, 3);
  if (first < 1 || count < 0 || first - 1 > w->v.n - count)
    vbl_lua_error(L, "%I samples from %I on; there are %d", (LUAI_UACINT)count, (LUAI_UACINT)first, w->v.n);
  push_part(L, w->v.sample + first - 1, (int32_t)count, 1);
  return 1;
}

static int view_divide(lua_State *L) {
  const view *w = check_view(L);
  double share = luaL_checknumber(L, 2);
  if (!(share > 0 && share < 1)) vbl_lua_error(L, "share = %f; expected more than 0 and less than 1", share);
  size_t bytes = (size_t)w->v.n * sizeof(int32_t) + 1;
  int32_t *kept = lua_newuserdatauv(L, bytes, 0), *held = lua_newuserdatauv(L, bytes, 0), kept_count, held_count;
  VBL_LUA_TRY(L, vbl_view_divide(&w->v, share, kept, &kept_count, held, &held_count, &err));
  push_part(L, kept, kept_count, -2);
  push_part(L, held, held_count, -2);
  return 2;
}

static int push_integers(lua_State *L, const int32_t *list, int32_t n, int32_t plus) {
  lua_createtable(L, n, 0);
  for (int32_t i = 0; i < n; i++) {
    lua_pushinteger(L, (lua_Integer)list[i] + plus);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int view_order(lua_State *L) {
  const view *w = check_view(L);
  uint32_t seed = vbl_lua_check_u32(L, 2, "seed"), epoch = vbl_lua_check_u32(L, 3, "epoch");
  int32_t *order = lua_newuserdatauv(L, (size_t)w->v.n * sizeof *order + 1, 0);
  vbl_epoch_order(seed, epoch, w->v.n, order);
  return push_integers(L, order, w->v.n, 1);
}

static void push_copy(lua_State *L, vbl_dtype dtype, int ndim, const int64_t *shape, const void *data) {
  vbl_tensor *t = vbl_lua_new_tensor(L, dtype, ndim, shape);
  if (vbl_tensor_numel(t) > 0) memcpy(vbl_tensor_data(t), data, (size_t)vbl_tensor_numel(t) * vbl_dtype_size(dtype));
}

static int push_fields(lua_State *L) {
  const vbl_batch *b = lua_touserdata(L, 1);
  push_copy(L, VBL_I32, 2, (int64_t[]){b->B, b->T}, b->tokens);
  push_copy(L, VBL_I32, 1, (int64_t[]){b->B}, b->lengths);
  if (b->images == NULL)
    lua_pushnil(L);
  else
    push_copy(L, VBL_U8, 4, (int64_t[]){b->pictures, 3, b->size, b->size}, b->images);
  push_integers(L, b->index, b->B, 1);
  lua_pushboolean(L, b->replaced);
  return 5;
}

// Pushes what view:batch returns, and ends the batch.
static int push_batch(lua_State *L, vbl_batch *batch) {
  lua_pushcfunction(L, push_fields);
  lua_pushlightuserdata(L, batch);
  int status = lua_pcall(L, 1, 5, 0);
  vbl_batch_free(batch);
  return status == LUA_OK ? 5 : lua_error(L);
}

// The table at `arg` has ranges of the batch's places, from 1: {{lo, hi}, ...}. -> (B) whether a place is in one.
static const bool *check_ranges(lua_State *L, int arg, int32_t B) {
  bool *wanted = lua_newuserdatauv(L, (size_t)B * sizeof *wanted, 0);
  memset(wanted, 0, (size_t)B * sizeof *wanted);
  for (lua_Integer k = 1, n = luaL_len(L, arg); k <= n; k++) {
    lua_rawgeti(L, arg, k);
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_rawgeti(L, -1, 1);
    lua_rawgeti(L, -2, 2);
    lua_Integer lo = luaL_checkinteger(L, -2), hi = luaL_checkinteger(L, -1);
    if (lo < 1 || hi > B) vbl_lua_error(L, "images %I to %I of a batch of %d", (LUAI_UACINT)lo, (LUAI_UACINT)hi, B);
    for (lua_Integer b = lo; b <= hi; b++) wanted[b - 1] = true;
    lua_pop(L, 3);
  }
  return wanted;
}

// Arguments from 2 on: indices, seed, epoch, captions_from or nil, images (boolean, or ranges of those to make).
static vbl_request check_request(lua_State *L, const view *w) {
  vbl_request r = {.seed = vbl_lua_check_u32(L, 3, "seed"), .epoch = vbl_lua_check_u32(L, 4, "epoch")};
  int32_t n;
  r.images = lua_isnoneornil(L, 6) || lua_toboolean(L, 6);
  lua_Integer caption = luaL_optinteger(L, 7, 0);
  if (caption < 0 || caption > INT32_MAX) vbl_lua_error(L, "caption %I; expected a number from 1", (LUAI_UACINT)caption);
  r.caption = (int32_t)caption;
  lua_settop(L, 6);
  r.index = vbl_lua_index_list(L, 2, w->v.n, &r.n);
  if (lua_istable(L, 6)) r.wanted = check_ranges(L, 6, r.n);
  if (lua_isnil(L, 5)) return r;
  r.from = vbl_lua_index_list(L, 5, w->v.n, &n);
  if (n != r.n) vbl_lua_error(L, "%d indices and %d captions_from; expected as many", r.n, n);
  return r;
}

static int view_batch(lua_State *L) {
  view *w = check_view(L);
  vbl_request r = check_request(L, w);
  vbl_batch batch;
  VBL_LUA_TRY(L, vbl_batch_fill(&w->v, &r, &w->set->bad, &batch, &err));
  return push_batch(L, &batch);
}

static int view_swap(lua_State *L) {
  const view *w = check_view(L);
  uint32_t seed = vbl_lua_check_u32(L, 3, "seed"), step = vbl_lua_check_u32(L, 4, "step");
  uint32_t caption_seed = vbl_lua_check_u32(L, 5, "caption seed"), epoch = vbl_lua_check_u32(L, 6, "epoch");
  double probability = luaL_optnumber(L, 7, 0.5);
  int32_t n;
  if (!(probability >= 0 && probability <= 1)) vbl_lua_error(L, "probability = %f; expected 0 to 1", probability);
  int32_t *index = vbl_lua_index_list(L, 2, w->v.n, &n), *from = lua_newuserdatauv(L, (size_t)n * sizeof *from, 0);
  float *matched = lua_newuserdatauv(L, (size_t)n * sizeof *matched, 0);
  VBL_LUA_TRY(L, vbl_swap_captions(&w->v, seed, step, caption_seed, epoch, probability, n, index, from, matched, &err));
  push_integers(L, from, n, 1);
  lua_createtable(L, n, 0);
  for (int32_t i = 0; i < n; i++) {
    lua_pushinteger(L, (lua_Integer)matched[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 2;
}

// Pushes what `get` appends; raises after freeing.
static int push_text(lua_State *L, vbl_bytes *text, vbl_status status, const vbl_error *err) {
  if (status == VBL_OK) lua_pushlstring(L, (const char *)text->data, text->size);
  vbl_bytes_free(text);
  return status == VBL_OK ? 1 : vbl_lua_raise(L, err);
}

static int view_image_id(lua_State *L) {
  const view *w = check_view(L);
  vbl_bytes text = {0};
  vbl_error err;
  return push_text(L, &text, w->v.source->id(w->v.source->self, check_index(L, 2, w), &text, &err), &err);
}

static int view_image_key(lua_State *L) {
  const view *w = check_view(L);
  const vbl_source *s = w->v.source;
  int32_t sample = check_index(L, 2, w);
  lua_pushinteger(L, s->image_key == NULL ? sample : (lua_Integer)s->image_key(s->self, sample));
  return 1;
}

static int view_same_image(lua_State *L) {
  const view *w = check_view(L);
  lua_pushboolean(L, vbl_source_same_image(w->v.source, check_index(L, 2, w), check_index(L, 3, w)));
  return 1;
}

static int view_captions(lua_State *L) {
  const view *w = check_view(L);
  lua_pushinteger(L, w->v.source->captions(w->v.source->self, check_index(L, 2, w)));
  return 1;
}

static int view_caption(lua_State *L) {
  const view *w = check_view(L);
  int32_t sample = check_index(L, 2, w), caption = check_caption(L, 3, w, sample);
  vbl_bytes text = {0};
  vbl_error err;
  return push_text(L, &text, w->v.source->text(w->v.source->self, sample, caption, &text, &err), &err);
}

static int view_text_equal(lua_State *L) {
  const view *w = check_view(L);
  const vbl_source *s = w->v.source;
  int32_t a = check_index(L, 2, w), b = check_index(L, 3, w);
  int32_t ka = check_caption(L, 4, w, a), kb = check_caption(L, 5, w, b);
  lua_pushboolean(L, s->text_key(s->self, a, ka) == s->text_key(s->self, b, kb));
  return 1;
}

// The label of a sample: a class number; a list of them; or class number -> weight.
static int view_label(lua_State *L) {
  const view *w = check_view(L);
  const vbl_source *s = w->v.source;
  int32_t sample = check_index(L, 2, w);
  if (s->label == NULL) return 0;
  vbl_label label = s->label(s->self, sample);
  if (label.n < 0) return 0;
  if (s->label_kind == VBL_LABEL_CLASS) {
    lua_pushinteger(L, label.index[0]);
    return 1;
  }
  lua_createtable(L, label.n, 0);
  for (int32_t i = 0; i < label.n; i++) {
    bool soft = s->label_kind == VBL_LABEL_SOFT;
    if (soft)
      lua_pushnumber(L, label.weight[i]);
    else
      lua_pushinteger(L, label.index[i]);
    lua_rawseti(L, -2, soft ? label.index[i] : i + 1);
  }
  return 1;
}

// Row b of the targets, zeros so far.
static void put_label(const vbl_source *s, int32_t sample, float *row) {
  vbl_label label = s->label(s->self, sample);
  for (int32_t i = 0; label.n < 0 && i < s->classes; i++) row[i] = VBL_IGNORE_LABEL;
  for (int32_t i = 0; i < label.n; i++) row[label.index[i]] = label.weight == NULL ? 1 : label.weight[i];
}

static int view_labels(lua_State *L) {
  const view *w = check_view(L);
  const vbl_source *s = w->v.source;
  int32_t n;
  if (s->label == NULL) vbl_lua_error(L, "labels: the data set has none");
  const int32_t *index = vbl_lua_index_list(L, 2, w->v.n, &n);
  if (s->label_kind == VBL_LABEL_CLASS) {
    int32_t *out = vbl_tensor_data(vbl_lua_new_tensor(L, VBL_I32, 1, (int64_t[]){n}));
    for (int32_t b = 0; b < n; b++) {
      vbl_label label = s->label(s->self, w->v.sample[index[b]]);
      out[b] = label.n < 0 ? VBL_IGNORE_LABEL : label.index[0];
    }
    return 1;
  }
  float *out = vbl_tensor_data(vbl_lua_new_tensor(L, VBL_F32, 2, (int64_t[]){n, s->classes}));
  memset(out, 0, (size_t)n * (size_t)s->classes * sizeof *out);
  for (int32_t b = 0; b < n; b++) put_label(s, w->v.sample[index[b]], out + (size_t)b * (size_t)s->classes);
  return 1;
}

static int view_mean_length(lua_State *L) {
  const view *w = check_view(L);
  const vbl_source *s = w->v.source;
  vbl_token_list t = {0};
  vbl_error err;
  vbl_status status = VBL_OK;
  int32_t n = w->v.n < 1000 ? w->v.n : 1000;
  for (int32_t i = 0; i < n && status == VBL_OK; i++)
    status = s->tokens(s->self, w->v.sample[(int64_t)i * w->v.n / n], 0, &t, &err);
  double mean = n > 0 ? (double)t.size / n : 0;
  vbl_token_list_free(&t);
  if (status != VBL_OK) return vbl_lua_raise(L, &err);
  lua_pushnumber(L, mean);
  return 1;
}

static int view_scene(lua_State *L) {
  const view *w = check_view(L);
  if (w->v.source != &w->set->scenes_source) vbl_lua_error(L, "scene: only the built-in data set knows what its images show");
  vbl_scene scene = vbl_scenes_describe(&w->set->scenes, check_index(L, 2, w));
  lua_createtable(L, scene.objects, 0);
  for (int i = 0; i < scene.objects; i++) {
    const int values[4] = {scene.object[i].color, scene.object[i].shape, scene.object[i].size, scene.object[i].place};
    static const char *const names[4] = {"color", "shape", "size", "place"};
    lua_createtable(L, 0, 4);
    for (int k = 0; k < 4; k++) {
      lua_pushinteger(L, values[k]);
      lua_setfield(L, -2, names[k]);
    }
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int view_changed_caption(lua_State *L) {
  static const char *const names[4] = {"color", "shape", "size", "place"};
  const view *w = check_view(L);
  if (w->v.source != &w->set->scenes_source)
    vbl_lua_error(L, "changed_caption: only the built-in data set can change an attribute");
  int32_t sample = check_index(L, 2, w);
  uint32_t seed = vbl_lua_check_u32(L, 3, "seed"), epoch = vbl_lua_check_u32(L, 4, "epoch");
  int32_t caption = vbl_caption_choice(seed, epoch, sample, VBL_SCENE_CAPTIONS);
  vbl_scene scene = vbl_scenes_describe(&w->set->scenes, sample);
  int which = vbl_scenes_change(&w->set->scenes, &scene, sample, vbl_lua_check_u32(L, 5, "draw"));
  vbl_bytes text = {0};
  vbl_error err;
  push_text(L, &text, vbl_scenes_text(&w->set->scenes, &scene, sample, caption, &text, &err), &err);
  lua_pushstring(L, names[which]);
  return 2;
}

// --- loader ---

static int view_loader(lua_State *L) {
  static const char *const known[] = {"threads", "ahead", NULL};
  view *w = check_view(L);
  lua_settop(L, 2);
  vbl_lua_check_keys(L, 2, known);
  int threads = vbl_lua_opt_int(L, 2, "threads", 2), ahead = vbl_lua_opt_int(L, 2, "ahead", 4);
  loader *l = lua_newuserdatauv(L, sizeof *l, 1);
  *l = (loader){NULL, w};
  luaL_setmetatable(L, LOADER_META);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  VBL_LUA_TRY(L, vbl_loader_new(&w->v, threads, ahead, &l->l, &err));
  return 1;
}

static loader *check_loader(lua_State *L) {
  loader *l = luaL_checkudata(L, 1, LOADER_META);
  if (l->l == NULL) vbl_lua_error(L, "the loader was released");
  return l;
}

static int loader_submit(lua_State *L) {
  loader *l = check_loader(L);
  vbl_request r = check_request(L, l->of);
  VBL_LUA_TRY(L, vbl_loader_submit(l->l, &r, &err));
  return 0;
}

static int loader_next(lua_State *L) {
  loader *l = check_loader(L);
  vbl_batch batch;
  vbl_error err;
  vbl_span span;
  vbl_span_begin(&span, "loader wait", VBL_PHASE_FORWARD);
  vbl_status status = vbl_loader_next(l->l, &l->of->set->bad, &batch, &err);
  vbl_span_end(&span, 0);
  if (status != VBL_OK) return vbl_lua_raise(L, &err);
  return push_batch(L, &batch);
}

static int loader_waiting(lua_State *L) {
  lua_pushinteger(L, vbl_loader_waiting(check_loader(L)->l));
  return 1;
}

static int loader_release(lua_State *L) {
  loader *l = luaL_checkudata(L, 1, LOADER_META);
  vbl_loader *taken = l->l;
  l->l = NULL;
  vbl_loader_free(taken);
  return 0;
}

static const vbl_fn view_methods[] = {
    {"size", view_size, "view:size() -> n", "How many samples; they are numbered 1 to n."},
    {"part", view_part, "view:part(first, count) -> view", "Samples first to first + count - 1 as a view."},
    {"divide", view_divide, "view:divide(share) -> kept, held",
     "The view in two, by image: `share` of the images and all that shows them is held out. The draw depends on ids alone."},
    {"order", view_order, "view:order(seed, epoch) -> {index, ...}", "The permutation of an epoch."},
    {"batch", view_batch,
     "view:batch({index, ...}, seed, epoch[, captions_from[, images[, caption]]]) -> tokens, lengths, images, index, replaced",
     "i32 [B, T], i32 [B], u8 [B, 3, S, S] (nil when images is false). captions_from: whose captions; default the own. images: "
     "{{lo, hi}, ...} makes those of these places alone; replaced: one of them failed to decode, which is not counted. caption: "
     "the k-th in place of a drawn one."},
    {"swap", view_swap, "view:swap({index, ...}, seed, step, caption_seed, epoch[, probability]) -> captions_from, {0 or 1, ...}",
     "Alignment prediction: with probability (0.5) another sample's caption, of another image and another text; 1: it stayed."},
    {"image_id", view_image_id, "view:image_id(i) -> string",
     "The sample's id: of captions the image's path, of scenes the number."},
    {"same_image", view_same_image, "view:same_image(i, j) -> boolean",
     "Whether two samples show one image, as questions about it do."},
    {"image_key", view_image_key, "view:image_key(i) -> integer", "Equal for samples that show one image, within one data set."},
    {"captions", view_captions, "view:captions(i) -> n", "How many captions sample i has."},
    {"caption", view_caption, "view:caption(i[, k]) -> string", "Caption k (1) of sample i."},
    {"text_equal", view_text_equal, "view:text_equal(i, j[, k[, l]]) -> boolean",
     "Whether caption k of i and l of j say the same: equal tokens, or for scenes equal attributes."},
    {"label", view_label, "view:label(i) -> class, {class, ...} or {[class] = weight}",
     "Classes are numbers from 0; nil where none is known. Which form: the data set's kind of labels."},
    {"labels", view_labels, "view:labels({index, ...}) -> i32 [B] or f32 [B, classes]",
     "One class: its number; several: 1 where a class is there; soft: weights. -100 where none is known."},
    {"mean_length", view_mean_length, "view:mean_length() -> number",
     "Mean tokens of the first captions, at most 1,000 samples looked at."},
    {"scene", view_scene, "view:scene(i) -> {{color=, shape=, size=, place=}, ...}", "Scenes: the attributes, numbers from 0."},
    {"changed_caption", view_changed_caption, "view:changed_caption(i, seed, epoch, draw) -> text, attribute",
     "Scenes: the caption of the epoch with one attribute changed (a hard negative), drawn by number."},
    {"loader", view_loader, "view:loader{threads=2, ahead=4} -> loader", "Threads that make batches ahead of the step."},
    {NULL, NULL, NULL, NULL}};

static const vbl_fn loader_methods[] = {
    {"submit", loader_submit, "loader:submit({index, ...}, seed, epoch[, captions_from[, images[, caption]]])",
     "Queues a batch; any number may wait."},
    {"next", loader_next, "loader:next() -> tokens, lengths, images, index, replaced",
     "The next batch in the order of submission; waits for it."},
    {"waiting", loader_waiting, "loader:waiting() -> n", "Batches submitted and not yet taken."},
    {"release", loader_release, "loader:release()", "Stops the threads. Dropped loaders are released by the collector."},
    {NULL, NULL, NULL, NULL}};

void vbl_lua_data_view(lua_State *L) {
  luaL_newmetatable(L, VIEW_META);
  lua_newtable(L);
  vbl_lua_register(L, "data view:", view_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newmetatable(L, LOADER_META);
  lua_newtable(L);
  vbl_lua_register(L, "loader:", loader_methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, loader_release);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, loader_release);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
}
