// Arithmetic: operators, elementwise functions, comparisons, reductions, matmul, cat.
// defines: vbl_math_rows, vbl_algebra_rows, vbl_tensor_operators
#include <math.h>

#include "bindings/tensor.h"

static vbl_attrs affine(double scale, double shift) { return (vbl_attrs){.alpha = scale, .eps = shift}; }

// a op b, where one of the first two arguments may be a number.
static int binary(lua_State *L, const vbl_op *op) {
  vbl_tensor *in[2];
  vbl_tensor *like = vbl_lua_test_handle(L, 1) != NULL ? vbl_lua_check_tensor(L, 1) : vbl_lua_check_tensor(L, 2);
  vbl_handle *scalar = NULL;
  for (int i = 0; i < 2; i++) {
    if (lua_type(L, i + 1) == LUA_TNUMBER) {
      in[i] = vbl_lua_push_scalar(L, i + 1, like);
      scalar = vbl_lua_test_handle(L, -1);
    } else {
      in[i] = vbl_lua_check_tensor(L, i + 1);
    }
  }
  int outputs = vbl_lua_apply(L, op, in, 2, NULL);
  if (scalar != NULL) vbl_handle_release(scalar, "after its op");
  return outputs;
}

// scale * x + shift of the tensor among the two arguments where the other is a number and x is real; else false.
static bool linear_in(lua_State *L, vbl_tensor **x, double *number, bool *number_first) {
  *number_first = lua_type(L, 1) == LUA_TNUMBER;
  if (!*number_first && lua_type(L, 2) != LUA_TNUMBER) return false;
  *number = lua_tonumber(L, *number_first ? 1 : 2);
  *x = vbl_lua_check_tensor(L, *number_first ? 2 : 1);
  return vbl_is_real((*x)->dtype);
}

static int math_add(lua_State *L) {
  vbl_tensor *x;
  double s;
  bool first;
  if (!linear_in(L, &x, &s, &first)) return binary(L, &vbl_op_add);
  vbl_attrs attrs = affine(1, s);
  return vbl_lua_apply(L, &vbl_op_affine, &x, 1, &attrs);
}

static int math_sub(lua_State *L) {
  vbl_tensor *x;
  double s;
  bool first;
  if (!linear_in(L, &x, &s, &first)) return binary(L, &vbl_op_sub);
  vbl_attrs attrs = first ? affine(-1, s) : affine(1, -s);
  return vbl_lua_apply(L, &vbl_op_affine, &x, 1, &attrs);
}

static int math_mul(lua_State *L) {
  vbl_tensor *x;
  double s;
  bool first;
  if (!linear_in(L, &x, &s, &first)) return binary(L, &vbl_op_mul);
  vbl_attrs attrs = affine(s, -0.0);  // + -0 keeps the sign of zero
  return vbl_lua_apply(L, &vbl_op_affine, &x, 1, &attrs);
}

#define BINARY(NAME) \
  static int math_##NAME(lua_State *L) { return binary(L, &vbl_op_##NAME); }
BINARY(div)
BINARY(pow)
BINARY(maximum)
BINARY(minimum)
BINARY(eq)
BINARY(ne)
BINARY(lt)
BINARY(le)
BINARY(gt)
BINARY(ge)
#undef BINARY

#define UNARY(NAME)                                       \
  static int math_##NAME(lua_State *L) {                  \
    vbl_tensor *x = vbl_lua_check_tensor(L, 1);           \
    return vbl_lua_apply(L, &vbl_op_##NAME, &x, 1, NULL); \
  }
UNARY(neg)
UNARY(abs)
UNARY(exp)
UNARY(log)
UNARY(sqrt)
UNARY(tanh)
UNARY(sigmoid)
UNARY(relu)
UNARY(gelu)
UNARY(square)
UNARY(reciprocal)
UNARY(sin)
UNARY(cos)
#undef UNARY

// Reductions: (t, [dim, [keepdim]]).
static vbl_attrs reduce_attrs(lua_State *L, const vbl_tensor *t) {
  return (vbl_attrs){.n = {lua_isnoneornil(L, 2) ? -1 : vbl_lua_check_dim(L, 2, t->ndim), lua_toboolean(L, 3)}};
}

static int reduce(lua_State *L, const vbl_op *op) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  vbl_attrs attrs = reduce_attrs(L, t);
  return vbl_lua_apply(L, op, &t, 1, &attrs);
}

static int math_sum(lua_State *L) { return reduce(L, &vbl_op_sum); }
static int math_mean(lua_State *L) { return reduce(L, &vbl_op_mean); }
static int math_max(lua_State *L) { return reduce(L, &vbl_op_max); }
static int math_min(lua_State *L) { return reduce(L, &vbl_op_min); }

// x less its mean, which is taken out twice: what the first was rounded by is far from nothing where x is far from 0.
static vbl_tensor *centred(lua_State *L, vbl_tensor *x, const vbl_attrs *keep) {
  vbl_tensor *at[1] = {x};
  for (int pass = 0; pass < 2; pass++) {
    vbl_lua_apply(L, &vbl_op_mean, at, 1, keep);
    vbl_lua_apply(L, &vbl_op_sub, (vbl_tensor *[]){at[0], vbl_lua_check_tensor(L, -1)}, 2, NULL);
    at[0] = vbl_lua_check_tensor(L, -1);
  }
  return at[0];
}

// Unbiased: sum (x - mean)^2 / (n - 1), as torch.var.
static int math_var(lua_State *L) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  vbl_attrs keep = reduce_attrs(L, t), last = keep;
  keep.n[1] = 1;
  int64_t n = keep.n[0] < 0 ? vbl_tensor_numel(t) : t->shape[keep.n[0]];
  if (n < 2) vbl_lua_error(L, "var: expected 2 elements or more along the dim, got %I", (LUAI_UACINT)n);
  luaL_checkstack(L, 16, "tensors");
  vbl_tensor *squares = vbl_lua_apply_unary(L, &vbl_op_square, centred(L, t, &keep));
  vbl_lua_apply(L, &vbl_op_sum, &squares, 1, &last);
  vbl_attrs divide = affine(1.0 / (double)(n - 1), -0.0);
  vbl_tensor *sum = vbl_lua_check_tensor(L, -1);
  return vbl_lua_apply(L, &vbl_op_affine, &sum, 1, &divide);
}

// Where the variance v is 0 the gradient is 0, as PyTorch's: sqrt(v + 1) - 1 there, whose slope meets x - mean = 0.
static int math_std(lua_State *L) {
  math_var(L);
  vbl_tensor *v = vbl_lua_check_tensor(L, -1);
  lua_pushnumber(L, 0);
  vbl_tensor *zero = vbl_lua_push_scalar(L, -1, v);
  vbl_lua_apply(L, &vbl_op_eq, (vbl_tensor *[]){v, zero}, 2, NULL);
  vbl_tensor *constant = vbl_lua_check_tensor(L, -1);
  vbl_lua_apply(L, &vbl_op_add, (vbl_tensor *[]){v, constant}, 2, NULL);
  vbl_lua_apply_unary(L, &vbl_op_sqrt, vbl_lua_check_tensor(L, -1));
  return vbl_lua_apply(L, &vbl_op_sub, (vbl_tensor *[]){vbl_lua_check_tensor(L, -1), constant}, 2, NULL);
}

// The kernel works over the last dim; naming another is an error that says what to do.
static int softmax_of(lua_State *L, const vbl_op *op) {
  vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  if (!lua_isnoneornil(L, 2)) {
    int dim = vbl_lua_check_dim(L, 2, t->ndim);
    if (dim != t->ndim - 1)
      vbl_lua_error(L, "softmax: works over the last dim; transpose the tensor for dim %d of %d", dim + 1, t->ndim);
  }
  return vbl_lua_apply(L, op, &t, 1, NULL);
}

static int math_softmax(lua_State *L) { return softmax_of(L, &vbl_op_softmax); }
static int math_log_softmax(lua_State *L) { return softmax_of(L, &vbl_op_log_softmax); }

static int math_matmul(lua_State *L) {
  vbl_tensor *in[2] = {vbl_lua_check_tensor(L, 1), vbl_lua_check_tensor(L, 2)};
  return vbl_lua_apply(L, &vbl_op_matmul, in, 2, NULL);
}

// Joins the list (a table at the stack's top, n tensors) in groups of as many as an op takes; replaces it by the list of results.
static int64_t cat_groups(lua_State *L, int64_t n, const vbl_attrs *attrs) {
  int list = lua_gettop(L);
  int64_t made = 0;
  lua_newtable(L);
  for (int64_t first = 1; first <= n; first += VBL_MAX_INPUTS) {
    vbl_tensor *in[VBL_MAX_INPUTS];
    int count = 0;
    for (int64_t i = first; i <= n && count < VBL_MAX_INPUTS; i++) {
      lua_rawgeti(L, list, i);
      in[count++] = vbl_lua_check_tensor(L, -1);
      lua_pop(L, 1);  // the list keeps it
    }
    vbl_lua_apply(L, &vbl_op_cat, in, count, attrs);
    lua_rawseti(L, list + 1, ++made);
  }
  lua_replace(L, list);
  return made;
}

static int make_cat(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  int64_t n = luaL_len(L, 1);
  if (n < 1) vbl_lua_error(L, "cat: expected a list of one tensor or more");
  lua_rawgeti(L, 1, 1);
  const vbl_tensor *t = vbl_lua_test_tensor(L, -1);
  if (t == NULL) vbl_lua_error(L, "cat: expected a list of tensors, its first is %s", luaL_tolstring(L, -1, NULL));
  vbl_attrs attrs = {.n = {lua_isnoneornil(L, 2) ? 0 : vbl_lua_check_dim(L, 2, t->ndim)}};
  lua_pushvalue(L, 1);
  while ((n = cat_groups(L, n, &attrs)) > 1) continue;
  lua_rawgeti(L, -1, 1);
  return 1;
}

static int op_len(lua_State *L) {
  const vbl_tensor *t = vbl_lua_check_tensor(L, 1);
  lua_pushinteger(L, t->ndim == 0 ? 0 : t->shape[0]);
  return 1;
}

const luaL_Reg vbl_tensor_operators[] = {{"__add", math_add}, {"__sub", math_sub}, {"__mul", math_mul}, {"__div", math_div},
                                         {"__pow", math_pow}, {"__unm", math_neg}, {"__len", op_len},   {NULL, NULL}};

#define BROADCAST "`other` is a number or a tensor whose shape broadcasts; dtypes must be equal. "
#define COMPARE   "1 where it holds, else 0, in the tensors' dtype. Not differentiable. " BROADCAST
#define REDUCE    "Over all elements (a scalar), or over one dim, which stays with size 1 where keepdim is true. "

const vbl_fn vbl_math_rows[] = {
    {"add", math_add, "t:add(other) -> tensor", "t + other. " BROADCAST},
    {"sub", math_sub, "t:sub(other) -> tensor", "t - other. " BROADCAST},
    {"mul", math_mul, "t:mul(other) -> tensor", "t * other, elementwise. " BROADCAST},
    {"div", math_div, "t:div(other) -> tensor",
     "t / other, elementwise. Of two integers the whole part, as i32; by 0 it is 0. " BROADCAST},
    {"pow", math_pow, "t:pow(other) -> tensor", "t ^ other, elementwise. " BROADCAST},
    {"maximum", math_maximum, "t:maximum(other) -> tensor", "The larger of both, elementwise. " BROADCAST},
    {"minimum", math_minimum, "t:minimum(other) -> tensor", "The smaller of both, elementwise. " BROADCAST},
    {"eq", math_eq, "t:eq(other) -> tensor", "Equal: " COMPARE},
    {"ne", math_ne, "t:ne(other) -> tensor", "Not equal: " COMPARE},
    {"lt", math_lt, "t:lt(other) -> tensor", "Less: " COMPARE},
    {"le", math_le, "t:le(other) -> tensor", "Less or equal: " COMPARE},
    {"gt", math_gt, "t:gt(other) -> tensor", "Greater: " COMPARE},
    {"ge", math_ge, "t:ge(other) -> tensor", "Greater or equal: " COMPARE},
    {"neg", math_neg, "t:neg() -> tensor", "-t."},
    {"abs", math_abs, "t:abs() -> tensor", "|t|; the gradient at 0 is 0."},
    {"exp", math_exp, "t:exp() -> tensor", "e^t."},
    {"log", math_log, "t:log() -> tensor", "Natural logarithm."},
    {"sqrt", math_sqrt, "t:sqrt() -> tensor", "Square root."},
    {"tanh", math_tanh, "t:tanh() -> tensor", "Hyperbolic tangent."},
    {"sigmoid", math_sigmoid, "t:sigmoid() -> tensor", "1 / (1 + e^-t)."},
    {"relu", math_relu, "t:relu() -> tensor", "max(t, 0)."},
    {"gelu", math_gelu, "t:gelu() -> tensor", "t (1 + erf(t / sqrt 2)) / 2."},
    {"square", math_square, "t:square() -> tensor", "t^2."},
    {"reciprocal", math_reciprocal, "t:reciprocal() -> tensor", "1 / t."},
    {"sin", math_sin, "t:sin() -> tensor", "Sine."},
    {"cos", math_cos, "t:cos() -> tensor", "Cosine."},
    {"sum", math_sum, "t:sum([dim, [keepdim]]) -> tensor", REDUCE},
    {"mean", math_mean, "t:mean([dim, [keepdim]]) -> tensor", REDUCE},
    {"max", math_max, "t:max([dim, [keepdim]]) -> values, index", REDUCE "index (i32) is data: it counts from 0, as labels do."},
    {"min", math_min, "t:min([dim, [keepdim]]) -> values, index", REDUCE "index (i32) is data: it counts from 0, as labels do."},
    {"var", math_var, "t:var([dim, [keepdim]]) -> tensor", "Unbiased variance (divisor n - 1). " REDUCE},
    {"std", math_std, "t:std([dim, [keepdim]]) -> tensor", "Square root of the unbiased variance. " REDUCE},
    {"softmax", math_softmax, "t:softmax() -> tensor", "Softmax over the last dim."},
    {"log_softmax", math_log_softmax, "t:log_softmax() -> tensor", "Logarithm of the softmax over the last dim."},
    {"matmul", math_matmul, "a:matmul(b) -> tensor",
     "a [.., M, K] times b [.., K, N] -> [.., M, N]; the dims before are equal, or one side has two dims."},
    {NULL, NULL, NULL, NULL}};

const vbl_fn vbl_algebra_rows[] = {
    {"matmul", math_matmul, "matmul(a, b) -> tensor", "a:matmul(b)."},
    {"cat", make_cat, "cat({t1, t2, ...}, [dim = 1]) -> tensor",
     "Tensors joined along one dim; all other sizes are equal. u8 beside i32 becomes i32, integers beside reals "
     "become reals, which must hold them."},
    {NULL, NULL, NULL, NULL}};
