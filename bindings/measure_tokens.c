// Measures that read token tensors: max_sim.
// defines: vbl_lua_measure_tokens
#include "bindings/measure.h"

// Argument `arg` as tokens [B, T, D] of a real dtype; their data stay reachable from the stack.
static vbl_tokens check_tokens(lua_State *L, int arg, const char *name) {
  vbl_tensor *t = vbl_lua_check_tensor(L, arg);
  if (t->ndim != 3 || (t->dtype != VBL_F32 && t->dtype != VBL_F64 && t->dtype != VBL_BF16)) {
    char shape[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "max_sim: %s: expected real tokens [B, T, D], got %s %s", name, vbl_dtype_name(t->dtype),
                  vbl_shape_text(t->ndim, t->shape, shape));
  }
  vbl_tokens x = {.dtype = t->dtype, .b = t->shape[0], .t = t->shape[1], .d = t->shape[2]};
  int64_t stride[VBL_MAX_DIMS];
  x.data = vbl_lua_host_data(L, arg, t, stride);
  x.stride_b = stride[0];
  x.stride_t = stride[1];
  x.stride_d = stride[2];
  return x;
}

static int l_max_sim(lua_State *L) {
  static const char *const known[] = {"text_lengths", "patch_lengths", "skip_cls", NULL};
  lua_settop(L, 3);
  vbl_lua_check_keys(L, 3, known);
  vbl_tokens text = check_tokens(L, 1, "text"), vision = check_tokens(L, 2, "vision");
  text.lengths = vbl_lua_integers(L, 3, "text_lengths", text.b);
  vision.lengths = vbl_lua_integers(L, 3, "patch_lengths", vision.b);
  bool skip_cls = vbl_lua_opt_bool(L, 3, "skip_cls", true);
  vbl_measure_result tp, pt;
  VBL_LUA_TRY(L, vbl_max_sim(&text, &vision, skip_cls, &tp, &pt, &err));
  lua_pushnumber(L, tp.value);
  lua_pushnumber(L, pt.value);
  vbl_lua_push_record(L, &tp);
  vbl_lua_push_record(L, &pt);
  return 4;
}

static const vbl_fn rows[] = {
    {"max_sim", l_max_sim, "max_sim(T, V, {text_lengths=, patch_lengths=, skip_cls=true}) -> tp, pt, record of tp, record of pt",
     "T [B,T,D], V [B,P,D], in one space (else NOT_COMPARABLE). tp: mean over samples of the mean over text tokens of the best "
     "cosine with "
     "a patch of the same sample; pt: the other way round. Lengths [B] count valid tokens with CLS, which is left out unless "
     "skip_cls "
     "is false. Pass lengths - 1 to leave out a closing [SEP]."},
    {NULL, NULL, NULL, NULL}};

void vbl_lua_measure_tokens(lua_State *L) { vbl_lua_register(L, "measure", rows); }
