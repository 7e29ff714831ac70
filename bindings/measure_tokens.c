// Measures that do not take plain matrices: max_sim (tokens), attention_entropy (probabilities), linear_probe (labels).
// defines: vbl_lua_measure_tokens, vbl_lua_doubles
#include "bindings/measure.h"
#include "bindings/tensor.h"

// Argument `arg` as tokens [B, T, D] of a real dtype, on the device where `placed`; their data stay reachable from the stack.
static vbl_tokens check_tokens(lua_State *L, int arg, const char *name, bool placed) {
  vbl_tensor *t = vbl_lua_check_tensor(L, arg);
  if (t->ndim != 3 || (t->dtype != VBL_F32 && t->dtype != VBL_F64 && t->dtype != VBL_BF16)) {
    char shape[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "max_sim: %s: expected real tokens [B, T, D], got %s %s", name, vbl_dtype_name(t->dtype),
                  vbl_shape_text(t->ndim, t->shape, shape));
  }
  vbl_tokens x = {.dtype = t->dtype, .b = t->shape[0], .t = t->shape[1], .d = t->shape[2]};
  if (placed) {
    x.device = vbl_lua_dense_single(L, arg, t);
    return x;
  }
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
  const bool placed = vbl_lua_measured_together(L, 1, 2);
  vbl_tokens text = check_tokens(L, 1, "text", placed), vision = check_tokens(L, 2, "vision", placed);
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

const double *vbl_lua_doubles(lua_State *L, int arg, const vbl_tensor *t) {
  vbl_tensor *wide = NULL;
  const vbl_tensor *host = vbl_lua_push_host(L, t);
  VBL_LUA_TRY(L, vbl_tensor_to_dtype(host, VBL_F64, &wide, &err));
  vbl_lua_push_tensor(L, wide);
  lua_replace(L, arg);
  lua_pop(L, 1);
  int64_t stride[VBL_MAX_DIMS];
  return vbl_lua_host_data(L, arg, wide, stride);
}

static int l_attention_entropy(lua_State *L) {
  static const char *const known[] = {"lengths", "query_lengths", NULL};
  lua_settop(L, 2);
  vbl_lua_check_keys(L, 2, known);
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  if (t->ndim != 4 || (t->dtype != VBL_F32 && t->dtype != VBL_F64 && t->dtype != VBL_BF16)) {
    char shape[VBL_SHAPE_TEXT];
    vbl_lua_error(L, "attention_entropy: expected real probabilities [B, heads, queries, keys], got %s %s",
                  vbl_dtype_name(t->dtype), vbl_shape_text(t->ndim, t->shape, shape));
  }
  vbl_attention a = {.b = t->shape[0], .heads = t->shape[1], .queries = t->shape[2], .keys = t->shape[3]};
  a.p = vbl_lua_doubles(L, 1, t);
  a.lengths = vbl_lua_integers(L, 2, "lengths", a.b);
  a.query_lengths = vbl_lua_integers(L, 2, "query_lengths", a.b);
  if (a.query_lengths == NULL && a.queries == a.keys) a.query_lengths = a.lengths;
  double *heads = lua_newuserdatauv(L, sizeof *heads * (size_t)(a.heads > 0 ? a.heads : 1), 0);
  vbl_measure_result r;
  VBL_LUA_TRY(L, vbl_attention_entropy(&a, heads, &r, &err));
  lua_pushnumber(L, r.value);
  vbl_lua_push_record(L, &r);
  vbl_lua_push_numbers(L, heads, a.heads);
  lua_setfield(L, -2, "heads");
  return 2;
}

static int l_linear_probe(lua_State *L) {
  static const char *const known[] = {"C", "metric", "part", "seed", NULL};
  static const char *const metrics[] = {"accuracy", "auroc", "macro_f1", NULL};
  lua_settop(L, 3);
  vbl_lua_check_keys(L, 3, known);
  vbl_prepared *x = vbl_lua_matrix(L, 1, "X");
  lua_createtable(L, 0, 1);  // labels in the form that vbl_lua_integers reads
  lua_pushvalue(L, 2);
  lua_setfield(L, -2, "labels");
  vbl_probe_options o = {.labels = vbl_lua_integers(L, 4, "labels", x->n)};
  if (o.labels == NULL) return vbl_lua_error(L, "linear_probe: expected labels [n] as second argument");
  o.part = vbl_lua_integers(L, 3, "part", x->n);
  o.c = vbl_lua_opt_number(L, 3, "C", 0);
  o.metric = (vbl_probe_metric)vbl_lua_opt_choice(L, 3, "metric", metrics, 0);
  o.seed = vbl_lua_opt_integer(L, 3, "seed", 0);
  vbl_measure_result r;
  VBL_LUA_TRY(L, vbl_linear_probe(x, &o, &r, &err));
  lua_pushnumber(L, r.value);
  vbl_lua_push_record(L, &r);
  return 2;
}

static const vbl_fn rows[] = {
    {"max_sim", l_max_sim, "max_sim(T, V, {text_lengths=, patch_lengths=, skip_cls=true}) -> tp, pt, record of tp, record of pt",
     "T [B,T,D], V [B,P,D], in one space (else NOT_COMPARABLE). tp: mean over samples of the mean over text tokens of the best "
     "cosine with "
     "a patch of the same sample; pt: the other way round. Lengths [B] count valid tokens with CLS, which is left out unless "
     "skip_cls "
     "is false. Pass lengths - 1 to leave out a closing [SEP]."},
    {"attention_entropy", l_attention_entropy, "attention_entropy(P, {lengths=, query_lengths=}) -> number, record",
     "P [B,heads,queries,keys], probabilities. Mean entropy over valid queries divided by ln(valid keys), 0 to 1; record.heads "
     "holds one "
     "number a head. lengths [B]: valid keys (and queries, where there are as many)."},
    {"linear_probe", l_linear_probe,
     "linear_probe(X, labels, {C=, metric=\"accuracy\"|\"auroc\"|\"macro_f1\", part=[n], seed=0}) -> number, record",
     "X [n,d], labels [n] from 0. Test score of a logistic regression on features standardised by the training rows. part: 0 "
     "training, 1 "
     "validation, 2 test (60, 20, 20 % drawn from the seed when left out); C, the inverse penalty, is chosen on the validation "
     "rows."},
    {NULL, NULL, NULL, NULL}};

void vbl_lua_measure_tokens(lua_State *L) { vbl_lua_register(L, "measure", rows); }
