// The table of vbl.nn.functional: inputs and options of every op, with their help. Index tensors are data: they count from 0.
// defines: vbl_functional_rows
#include "bindings/functional.h"

#define IN(name) \
  { name, VBL_IN_TENSOR }
#define MAYBE(name) \
  { name, VBL_IN_OPTIONAL }
#define LIST(name) \
  { name, VBL_IN_LIST }
#define OPTION(name) \
  { name, VBL_IN_OPTION }
#define ALSO(name) \
  { name, VBL_AT_TENSOR, 0, 0 }
#define DROPOUT \
  {"p", VBL_AT_P, 0, 0}, {"seed", VBL_AT_SEED, 0, 0}, {"site", VBL_AT_SITE, 0, 0}, { "step", VBL_AT_STEP, 0, 0 }
#define DROPOUT_HELP                                                                                                      \
  "Dropout: p in [0, 1), 0 by default; its mask follows from seed, site (the place in the model), step and the samples' " \
  "numbers and positions alone. "
#define LENGTHS                                                                                            \
  {"longest_q", VBL_AT_INTEGER, 3, 0}, {"longest_k", VBL_AT_INTEGER, 4, 0}, {"even", VBL_AT_BOOL, 5, 0}, { \
    "whole", VBL_AT_BOOL, 6, 0                                                                             \
  }
#define LENGTHS_HELP                                                                                                        \
  "Promises for a device's kernels, which cannot see the segments beforehand: longest_q, longest_k: no segment is longer; " \
  "even: all are as long, one after another; whole: the segments of q are all its rows, once, and those of k all of k's. "
#define NARROW \
  { "narrow", VBL_AT_BOOL, 0, 0 }
#define NARROW_HELP "narrow: y is read by products alone, and bf16 on a device under autocast(\"bf16\"). "
#define ROWS_HELP   "rows i32 [N, 2]: sample in the effective batch, position in the sample; needed where p > 0. "
#define UNARY(op, text) \
  { #op, &vbl_op_##op, {IN("x") }, {{.name = NULL } }, #op "(x) -> y", text }
#define BINARY(op, text) \
  { #op, &vbl_op_##op, {IN("a"), IN("b") }, {{.name = NULL } }, #op "(a, b) -> y", text " The shapes broadcast; dtypes are equal." }
#define REDUCE(op, out, text)                                                                                               \
  {                                                                                                                         \
#op, &vbl_op_##op,                                                                                                      \
        {IN("x") }, {{"dim", VBL_AT_DIM, 0, -1 }, {"keepdim", VBL_AT_BOOL, 1, 0 } }, #op "(x, [{dim=, keepdim=}]) -> " out, \
                      text " over all elements, or over one dim (from 1)."                                                  \
  }

const vbl_functional vbl_functional_rows[] = {
    {"linear",
     &vbl_op_linear,
     {IN("x"), IN("w"), MAYBE("b")},
     {{"gelu", VBL_AT_BOOL, 0, 0}, {"wide", VBL_AT_BOOL, 1, 0}},
     "linear(x, w, [b], [{gelu = false, wide = false}]) -> y",
     "y = x w' + b, then GELU (erf) where gelu is true. x [.., K], w [M, K], b [M], y [.., M]. Under autocast(\"bf16\") y is bf16 "
     "with "
     "gelu, and on a device always; wide keeps it f32 there (logits), but not with gelu."},
    {"linear_group",
     &vbl_op_linear_group,
     {IN("x"), LIST("w"), LIST("b")},
     {{.name = NULL}},
     "linear_group(x, {w1, w2, [w3]}, {b1, b2, [b3]}) -> y",
     "Two or three linears of one input side by side (query, key, value): x [.., K], each w [M, K], b [M], y [.., G M]. One "
     "product where "
     "the weights are neighbours in memory (vbl.optim packs them)."},
    {"layer_norm",
     &vbl_op_layer_norm,
     {IN("x"), IN("gamma"), IN("beta")},
     {{"eps", VBL_AT_EPS, 0, 1e-5}, NARROW},
     "layer_norm(x, gamma, beta, [{eps = 1e-5, narrow = false}]) -> y",
     "Layer normalisation over the last dim: x [.., D], gamma and beta [D]. " NARROW_HELP},
    {"residual_norm",
     &vbl_op_residual_norm,
     {IN("x"), IN("residual"), IN("gamma"), IN("beta"), OPTION("rows")},
     {{"eps", VBL_AT_EPS, 0, 1e-5}, NARROW, DROPOUT, ALSO("rows")},
     "residual_norm(x, residual, gamma, beta, [{eps = 1e-5, narrow = false, p=, rows=, seed=, site=, step=}]) -> sum, y",
     "sum = residual + dropout(x); y = layer_norm(sum). x, residual [N, D]; gamma, beta [D]. " NARROW_HELP DROPOUT_HELP ROWS_HELP},
    {"dropout_add",
     &vbl_op_dropout_add,
     {IN("x"), MAYBE("residual"), OPTION("rows")},
     {DROPOUT, ALSO("rows")},
     "dropout_add(x, [residual], [{p=, rows=, seed=, site=, step=}]) -> y",
     "y = dropout(x) + residual. x, residual [N, D]. " DROPOUT_HELP ROWS_HELP},
    {"attention",
     &vbl_op_attention,
     {IN("q"), IN("k"), IN("v"), IN("q_seg"), IN("k_seg"), OPTION("samples")},
     {{"heads", VBL_AT_INTEGER, 0, VBL_REQUIRED}, {"scale", VBL_AT_ALPHA, 0, 0}, LENGTHS, DROPOUT, ALSO("samples")},
     "attention(q, k, v, q_seg, k_seg, {heads=, scale=, longest_q=, longest_k=, even=, whole=, p=, samples=, seed=, site=, step=}) "
     "-> o",
     "softmax(q k' scale) v by sample and head. q [Nq, W], k and v [Nk, W] hold the samples' rows one after another and may be "
     "column blocks of "
     "wider matrices. Sample b's queries are rows q_seg[b][0] .. + q_seg[b][1] (i32 [B, 2]; rows from 0), its keys and values "
     "k_seg[b]. "
     "W = heads * head width; scale: default 1/sqrt(head width). o [Nq, W]. " LENGTHS_HELP DROPOUT_HELP
     "samples i32 [B]: the samples' numbers, needed where p > 0. "},
    {"self_attention",
     &vbl_op_self_attention,
     {IN("qkv"), IN("q_seg"), IN("k_seg"), OPTION("samples")},
     {{"heads", VBL_AT_INTEGER, 0, VBL_REQUIRED}, {"scale", VBL_AT_ALPHA, 0, 0}, LENGTHS, DROPOUT, ALSO("samples")},
     "self_attention(qkv, q_seg, k_seg, {heads=, scale=, longest_q=, longest_k=, even=, whole=, p=, samples=, seed=, site=, "
     "step=}) -> o",
     "attention of one matrix qkv [N, 3 W] that holds queries, keys and values side by side (linear_group makes it). o [N, W]."},
    {"text_embedding",
     &vbl_op_text_embedding,
     {IN("ids"), IN("pos"), IN("word"), IN("position"), IN("type")},
     {{.name = NULL}},
     "text_embedding(ids, pos, word, position, type) -> y",
     "y[i] = word[ids[i]] + position[pos[i]] + type[0]: ids, pos i32 [N], tables [.., D], y [N, D]."},
    {"patchify",
     &vbl_op_patchify,
     {IN("images"), OPTION("mask")},
     {{"patch", VBL_AT_INTEGER, 0, VBL_REQUIRED}, {"mean", VBL_AT_COLORS, 0, 0}, {"std", VBL_AT_COLORS, 3, 0}, ALSO("mask")},
     "patchify(images, {patch=, mask=, mean=, std=}) -> patches",
     "images [B, 3, S, S], u8 (then (v/255 - mean) / std by channel) or real and normalised, cut into patches [B P, 3 patch^2], "
     "columns in the order "
     "channel, row, column. mask u8 [B P]: 1 gives zeros, the mean of normalised pixels."},
    {"vit_assemble",
     &vbl_op_vit_assemble,
     {IN("patches"), IN("cls"), IN("pos")},
     {{"samples", VBL_AT_INTEGER, 0, VBL_REQUIRED}},
     "vit_assemble(patches, cls, pos, {samples=}) -> y",
     "patches [B P, D] with the CLS token before each sample and positions added: cls [1, 1, D], pos [1, P+1, D], samples B, y [B "
     "(P+1), D]."},
    {"gather_rows",
     &vbl_op_gather_rows,
     {IN("x"), IN("index")},
     {{.name = NULL}},
     "gather_rows(x, index) -> y",
     "y[i] = x[index[i]]: x [N, D], index i32 [n] from 0, -1 gives a row of zeros."},
    {"scatter_rows",
     &vbl_op_scatter_rows,
     {IN("x"), IN("index")},
     {{"rows", VBL_AT_INTEGER, 0, VBL_REQUIRED}},
     "scatter_rows(x, index, {rows=}) -> y",
     "y [rows, D] of zeros, then y[index[i]] += x[i]: index i32 [n] from 0, -1 is skipped."},
    {"cross_entropy",
     &vbl_op_cross_entropy,
     {IN("logits"), IN("labels")},
     {{"ignore", VBL_AT_INTEGER, 0, -100}, {"divisor", VBL_AT_ALPHA, 0, 0}},
     "cross_entropy(logits, labels, [{ignore = -100, divisor=}]) -> loss",
     "Sum of -log softmax(logits[i])[labels[i]] over the labels that are not `ignore`, divided by divisor (default: their number; "
     "none: loss 0). "
     "logits [N, V], labels i32 [N] from 0."},
    {"bce_with_logits",
     &vbl_op_bce_with_logits,
     {IN("logits"), IN("targets"), OPTION("weight")},
     {{"divisor", VBL_AT_ALPHA, 0, 0}, ALSO("weight")},
     "bce_with_logits(logits, targets, [{weight=, divisor=}]) -> loss",
     "Binary cross-entropy, sum of weight * (log(1 + e^x) - x y), divided by divisor (default: the number of elements). All of one "
     "shape; "
     "targets in [0, 1]."},
    {"info_nce",
     &vbl_op_info_nce,
     {IN("q"), IN("k"), OPTION("temperature")},
     {{"temperature", VBL_AT_ALPHA_OR_INPUT, 0, 0.07}, {"symmetric", VBL_AT_BOOL, 0, 0}, {"divisor", VBL_AT_INTEGER, 1, 0}},
     "info_nce(q, k, [{temperature = 0.07, symmetric = false, divisor=}]) -> loss",
     "Mean cross-entropy of softmax(q k' / temperature) with row i's key at i: q [N, D], k [M, D], M >= N (the rest are "
     "negatives). symmetric: "
     "averaged with the same from k to q (M = N). divisor: instead of N. temperature: a number or a scalar tensor. Normalise the "
     "rows first."},
    {"normalize_rows",
     &vbl_op_normalize_rows,
     {IN("x")},
     {{"eps", VBL_AT_EPS, 0, 1e-12}},
     "normalize_rows(x, [{eps = 1e-12}]) -> y",
     "x / max(|x|, eps) by rows: x [N, D]."},
    UNARY(softmax, "Softmax over the last dim."),
    UNARY(log_softmax, "Logarithm of the softmax over the last dim."),
    {"embedding",
     &vbl_op_embedding,
     {IN("table"), IN("index")},
     {{.name = NULL}},
     "embedding(table, index) -> y",
     "y[i] = table[index[i]]: table [V, D], index i32 [n] from 0."},
    BINARY(add, "a + b."),
    BINARY(sub, "a - b."),
    BINARY(mul, "a b, elementwise."),
    BINARY(div, "a / b, elementwise."),
    BINARY(maximum, "The larger."),
    BINARY(minimum, "The smaller."),
    BINARY(pow, "a ^ b, elementwise."),
    BINARY(eq, "1 where a = b, else 0."),
    BINARY(ne, "1 where a and b differ, else 0."),
    BINARY(lt, "1 where a < b, else 0."),
    BINARY(le, "1 where a <= b, else 0."),
    BINARY(gt, "1 where a > b, else 0."),
    BINARY(ge, "1 where a >= b, else 0."),
    UNARY(neg, "-x."),
    UNARY(abs, "|x|."),
    UNARY(exp, "e^x."),
    UNARY(log, "Natural logarithm."),
    UNARY(sqrt, "Square root."),
    UNARY(tanh, "Hyperbolic tangent."),
    UNARY(sigmoid, "1 / (1 + e^-x)."),
    UNARY(relu, "max(x, 0)."),
    UNARY(gelu, "x (1 + erf(x / sqrt 2)) / 2."),
    UNARY(square, "x^2."),
    UNARY(reciprocal, "1 / x."),
    UNARY(sin, "Sine."),
    UNARY(cos, "Cosine."),
    {"affine",
     &vbl_op_affine,
     {IN("x")},
     {{"scale", VBL_AT_ALPHA, 0, 1}, {"shift", VBL_AT_EPS, 0, 0}},
     "affine(x, {scale = 1, shift = 0}) -> y",
     "scale x + shift."},
    REDUCE(sum, "y", "The sum"),
    REDUCE(mean, "y", "The mean"),
    REDUCE(max, "y, index", "The largest and where it is (i32, from 0)"),
    REDUCE(min, "y, index", "The smallest and where it is (i32, from 0)"),
    {"matmul",
     &vbl_op_matmul,
     {IN("a"), IN("b")},
     {{.name = NULL}},
     "matmul(a, b) -> y",
     "a [.., M, K] times b [.., K, N]: the dims before are equal, or one side has two dims."},
    {"reshape",
     &vbl_op_reshape,
     {IN("x")},
     {{"shape", VBL_AT_SIZES, 0, VBL_REQUIRED}},
     "reshape(x, {shape = {d1, ...}}) -> view",
     "Another shape of the same data."},
    {"permute",
     &vbl_op_permute,
     {IN("x")},
     {{"dims", VBL_AT_ORDER, 0, VBL_REQUIRED}},
     "permute(x, {dims = {d1, ...}}) -> view",
     "Dims (from 1) in another order."},
    {"slice",
     &vbl_op_slice,
     {IN("x")},
     {{"dim", VBL_AT_DIM, 0, VBL_REQUIRED}, {"start", VBL_AT_INDEX, 1, VBL_REQUIRED}, {"length", VBL_AT_INTEGER, 2, VBL_REQUIRED}},
     "slice(x, {dim=, start=, length=}) -> view",
     "`length` elements of a dim from index `start` (from 1) on."},
    {"expand",
     &vbl_op_expand,
     {IN("x")},
     {{"shape", VBL_AT_SIZES, 0, VBL_REQUIRED}},
     "expand(x, {shape = {d1, ...}}) -> view",
     "Dims of size 1 repeated without a copy."},
    {"cat",
     &vbl_op_cat,
     {LIST("x")},
     {{"dim", VBL_AT_DIM, 0, 0}},
     "cat({x1, x2, ...}, [{dim = 1}]) -> y",
     "At most 12 tensors joined along one dim (vbl.cat takes any number)."},
    UNARY(contiguous, "x itself where its elements lie in order, else a copy where they do."),
    {"cast", &vbl_op_cast, {IN("x")}, {{"dtype", VBL_AT_DTYPE, 0, VBL_REQUIRED}}, "cast(x, {dtype=}) -> y", "x in another dtype."},
    {.name = NULL}};
