// The cases of test_ops.c: an op, its inputs' shapes and its attributes. Everything else comes from the base.
//
// Inputs, separated by spaces; a letter says what the elements are, then the shape (none: a scalar):
//   r3,4   reals in (-2, 2)                       d3,4   distinct reals, none near 0 (for ops with kinks)
//   p3,4   reals in (0.5, 2.5)                    t3,4   reals in (0, 1)
//   i7:6   i32 [6] in [0, 7)                      j7:6   i32 [6] in [-1, 7)
//   s3,0,2 segments of these lengths, i32 [3,2]   g3,2   the same with a row left out before each
//   n6     row numbers of a dropout, i32 [6,2]    m3     sample numbers, i32 [3]
//   b3,4   u8                                     k6     u8 mask of 0 and 1
//   -      not given
// defines: op_case, op_cases
#pragma once
#include "core/ops/ops.h"

typedef struct op_case {
  const char *op, *inputs;
  vbl_attrs attrs;
} op_case;

// clang-format off
#define NONE {.p = 0}
#define N(...) {.n = {__VA_ARGS__}}
#define EPS(e) {.eps = e}
#define DROP(...) {.p = 0.4, .rng = {7, 4099}, .step = 3, __VA_ARGS__}
#define BINARY(op, kind)                                                                                         \
  {op, kind "3,4 " kind "3,4", NONE}, {op, kind "2,3,4 " kind "4", NONE}, {op, kind "2,1,4 " kind "3,1", NONE},  \
  {op, kind " " kind "5", NONE}, {op, kind "0,4 " kind "1,4", NONE}, {op, kind "1 " kind "1", NONE},             \
  {op, "i9:7 i9:7", NONE}, {op, "b6 b6", NONE}
#define UNARY(op, kind) \
  {op, kind "3,5", NONE}, {op, kind, NONE}, {op, kind "0,3", NONE}, {op, kind "1", NONE}, {op, kind "37", NONE}
#define REDUCE(op)                                                                                       \
  {op, "d3,4,5", N(-1)}, {op, "d3,4,5", N(0)}, {op, "d3,4,5", N(1, 1)}, {op, "d3,4,5", N(2)},            \
  {op, "d1", N(0)}, {op, "d", N(-1)}, {op, "d3,0,5", N(0)}
// clang-format on

static const op_case op_cases[] = {
    {"linear", "r3,4 r5,4 r5", NONE},
    {"linear", "r3,4 r5,4", NONE},
    {"linear", "r2,3,7 r5,7 r5", N(1)},
    {"linear", "r2,3,7 r5,7 -", N(1)},
    {"linear", "r0,4 r5,4 r5", N(1)},
    {"linear", "r3,0 r5,0 r5", NONE},
    {"linear", "r1,1 r1,1 r1", NONE},
    {"linear", "r4 r3,4 r3", NONE},
    {"linear_group", "r5,4 r3,4 r3,4 r3,4 r3 r3 r3", N(3)},
    {"linear_group", "r5,4 r3,4 r3,4 r3 -", N(2)},
    {"linear_group", "r2,2,4 r3,4 r3,4", N(2)},
    {"linear_group", "r0,4 r3,4 r3,4 r3 r3", N(2)},
    {"linear_group", "r1,1 r1,1 r1,1 r1 r1", N(2)},
    {"layer_norm", "r3,8 r8 r8", EPS(1e-5)},
    {"layer_norm", "r2,3,5 r5 r5", EPS(1e-12)},
    {"layer_norm", "r0,5 r5 r5", EPS(1e-5)},
    {"layer_norm", "r3,1 r1 r1", EPS(1e-2)},
    {"layer_norm", "r19 r19 r19", EPS(1e-6)},
    {"residual_norm", "r3,8 r3,8 r8 r8", EPS(1e-5)},
    {"residual_norm", "r5,7 r5,7 r7 r7 n5", DROP(.eps = 1e-5)},
    {"residual_norm", "r0,7 r0,7 r7 r7 n0", DROP(.eps = 1e-5)},
    {"dropout_add", "r3,8 r3,8", NONE},
    {"dropout_add", "r5,7 r5,7 n5", DROP()},
    {"dropout_add", "r2,3,9 - n6", DROP()},
    {"dropout_add", "r0,7 - n0", DROP()},
    {"attention", "r5,6 r5,6 r5,6 s3,2 s3,2", N(2)},
    {"attention", "r5,6 r7,6 r7,6 s3,2 s3,4", N(3)},
    {"attention", "r7,8 r9,8 r9,8 g3,2 g4,3", N(2)},
    {"attention", "r5,6 r4,6 r4,6 s3,0,2 s2,1,1 m3", DROP(.n = {2}, .alpha = 0.7)},
    {"attention", "r5,6 r3,6 r3,6 s3,2 s3,0", N(1)},
    {"attention", "r0,6 r0,6 r0,6 s0 s0", N(2)},
    {"attention", "r1,1 r1,1 r1,1 s1 s1", N(1)},
    {"attention", "r33,8 r35,8 r35,8 s33 s35 m1", DROP(.n = {1})},
    {"self_attention", "r5,18 s3,2 s3,2", N(2)},
    {"self_attention", "r7,12 g3,2 g2,2", N(2)},
    {"self_attention", "r5,18 s3,0,2 s2,1,1 m3", DROP(.n = {2}, .alpha = 0.7)},
    {"self_attention", "r0,6 s0 s0", N(2)},
    {"text_embedding", "i9:6 i5:6 r9,4 r5,4 r2,4", NONE},
    {"text_embedding", "i9:0 i5:0 r9,4 r5,4 r2,4", NONE},
    {"text_embedding", "i1:1 i1:1 r1,1 r1,1 r2,1", NONE},
    {"patchify", "r2,3,4,4", N(2)},
    {"patchify", "r1,3,2,6 k3", N(2)},
    {"patchify", "r0,3,4,4", N(2)},
    {"patchify", "r1,3,1,1", N(1)},
    {"patchify", "b2,3,4,6", {.n = {2}, .v = {0.5, 0.4, 0.3, 0.2, 0.3, 0.25}}},
    {"patchify", "b1,3,4,4 k4", {.n = {2}, .v = {0.5, 0.5, 0.5, 0.5, 0.5, 0.5}}},
    {"vit_assemble", "r6,4 r1,1,4 r1,4,4", N(2)},
    {"vit_assemble", "r0,4 r1,1,4 r1,4,4", N(0)},
    {"vit_assemble", "r0,3 r1,1,3 r1,1,3", N(2)},
    {"gather_rows", "r5,4 j5:7", NONE},
    {"gather_rows", "r5,4 j5:0", NONE},
    {"gather_rows", "r1,1 j1:3", NONE},
    {"scatter_rows", "r7,4 j5:7", N(5)},
    {"scatter_rows", "r0,4 j5:0", N(5)},
    {"scatter_rows", "r3,1 j1:3", N(1)},
    {"embedding", "r5,4 i5:7", NONE},
    {"embedding", "r5,4 i5:0", NONE},
    {"cross_entropy", "r5,7 i7:5", N(-100)},
    {"cross_entropy", "r9,4 j4:9", N(-1)},
    {"cross_entropy", "r5,7 i7:5", {.alpha = 20, .n = {3}}},
    {"cross_entropy", "r0,7 i7:0", N(-100)},
    {"cross_entropy", "r3,1 i1:3", N(0)},
    {"bce_with_logits", "r3,4 t3,4", NONE},
    {"bce_with_logits", "r3,4 t3,4 p4", {.alpha = 7}},
    {"bce_with_logits", "r3,4 t3,4 p3,1", NONE},
    {"bce_with_logits", "r t", NONE},
    {"bce_with_logits", "r0 t0", NONE},
    {"info_nce", "r4,5 r4,5", {.alpha = 0.5}},
    {"info_nce", "r4,5 r7,5 p", NONE},
    {"info_nce", "r4,5 r4,5 p", {.n = {1, 9}}},
    {"info_nce", "r0,5 r3,5 p", NONE},
    {"info_nce", "r0,5 r0,5 p", N(1)},
    {"info_nce", "r1,5 r1,5", {.alpha = 0.1, .n = {1}}},
    {"normalize_rows", "r3,5", EPS(1e-12)},
    {"normalize_rows", "r2,3,5", EPS(1e-12)},
    {"normalize_rows", "r3,2", EPS(1e3)},
    {"normalize_rows", "r0,5", EPS(1e-12)},
    {"normalize_rows", "d3,1", EPS(1e-12)},
    {"softmax", "r3,5", NONE},
    {"softmax", "r2,3,1", NONE},
    {"softmax", "r0,5", NONE},
    {"softmax", "r41", NONE},
    {"log_softmax", "r3,5", NONE},
    {"log_softmax", "r2,3,1", NONE},
    {"log_softmax", "r0,5", NONE},
    BINARY("add", "r"),
    BINARY("sub", "r"),
    BINARY("mul", "r"),
    BINARY("div", "p"),
    BINARY("maximum", "d"),
    BINARY("minimum", "d"),
    BINARY("pow", "p"),
    BINARY("eq", "r"),
    BINARY("ne", "r"),
    BINARY("lt", "r"),
    BINARY("le", "r"),
    BINARY("gt", "r"),
    BINARY("ge", "r"),
    {"add", "r3,4 i5:4", NONE},
    UNARY("neg", "r"),
    UNARY("abs", "d"),
    UNARY("exp", "r"),
    UNARY("log", "p"),
    UNARY("sqrt", "p"),
    UNARY("tanh", "r"),
    UNARY("sigmoid", "r"),
    UNARY("relu", "d"),
    UNARY("gelu", "r"),
    UNARY("square", "r"),
    UNARY("reciprocal", "p"),
    UNARY("sin", "r"),
    UNARY("cos", "r"),
    {"affine", "r3,5", {.alpha = 1.5, .eps = -0.25}},
    {"affine", "r3,5", {.alpha = -2}},
    {"affine", "r0", {.alpha = 2, .eps = 1}},
    {"affine", "r", {.alpha = 0, .eps = 1}},
    REDUCE("sum"),
    REDUCE("mean"),
    REDUCE("max"),
    REDUCE("min"),
    {"sum", "r3,0,5", N(1)},
    {"sum", "r0", N(-1)},
    {"mean", "r3,0,5", N(1)},
    {"matmul", "r3,4 r4,5", NONE},
    {"matmul", "r2,3,4 r2,4,5", NONE},
    {"matmul", "r2,2,3,4 r4,5", NONE},
    {"matmul", "r3,4 r2,4,5", NONE},
    {"matmul", "r3,0 r0,5", NONE},
    {"matmul", "r0,4 r4,5", NONE},
    {"matmul", "r0,3,4 r4,5", NONE},
    {"matmul", "r1,1 r1,1", NONE},
    {"reshape", "r3,4", N(2, 2, -1)},
    {"reshape", "r", N(2, 1, 1)},
    {"reshape", "r0,4", N(3, 2, 0, 3)},
    {"permute", "r2,3,4", N(3, 2, 0, 1)},
    {"permute", "r2,0", N(2, 1, 0)},
    {"slice", "r3,4", N(1, 1, 2)},
    {"slice", "r3,4", N(0, 1, 2)},
    {"slice", "r3,4", N(0, 3, 0)},
    {"expand", "r3,1", N(3, 2, 3, 4)},
    {"expand", "r", N(1, 5)},
    {"expand", "r1,4", N(2, 0, 4)},
    {"cat", "r2,3 r2,1 r2,0", N(1)},
    {"cat", "r2,3 r1,3", N(0)},
    {"cat", "r2", N(0)},
    {"cat", "i5:3 i5:2", N(0)},
    {"contiguous", "r3,4", NONE},
    {"contiguous", "r0", NONE},
    {"cast", "r3,4", N(VBL_F64)},
    {"cast", "r3,4", N(VBL_I32)},
    {"cast", "i5:3", N(VBL_F64)},
    {"cast", "r0", N(VBL_U8)},
};

#undef NONE
#undef N
#undef EPS
#undef DROP
#undef BINARY
#undef UNARY
#undef REDUCE

// Ops whose gradient is not compared with finite differences, and why.
static const struct {
  const char *op, *reason;
} without_gradient[] = {
    {"eq", "comparisons are constant almost everywhere"},
    {"ne", "as eq"},
    {"lt", "as eq"},
    {"le", "as eq"},
    {"gt", "as eq"},
    {"ge", "as eq"},
};
