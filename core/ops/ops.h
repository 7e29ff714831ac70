// The ops, one row each; families in one file each (linear.c, norm.c, attention.c, ...). A row's comment in its file says shapes,
// the attributes it reads and the formula. Shapes: N rows, D width, see kernels.h. `?` marks an optional input.
//
//   name                inputs -> outputs                                    attributes
//   linear              x [..,K], w [M,K], b? [M] -> y [..,M]                 n[0] = 1: GELU (erf) after the bias
//   linear_group        x [..,K], w1..wG [M,K], b1..bG [M] -> y [..,G*M]      n[0] = G (2 or 3): query, key, value side by side; one GEMM
//                                                                             where the weights are neighbours in memory
//   layer_norm          x [..,D], gamma [D], beta [D] -> y                    eps
//   residual_norm       x, residual [N,D], gamma, beta, rows? -> sum, y       eps, p, rng, step; rows i32 [N,2] needed when p > 0
//   dropout_add         x, residual? [N,D], rows? -> y                        p, rng, step
//   attention           q [Nq,H*d], k, v [Nk,H*d], q_seg i32 [B,2], k_seg i32 [B,2], samples? i32 [B] -> o [Nq,H*d]
//                                                                             alpha = scale (0: 1/sqrt(d)), n[0] = H, n[3..6] (attention.c), p, rng, step
//   self_attention      qkv [N,3*H*d], q_seg, k_seg, samples? -> o [N,H*d]    as attention, q, k and v side by side
//   text_embedding      ids i32 [N], pos i32 [N], word [V,D], position [L,D], type [2,D] -> y [N,D]
//   patchify            images u8 or real [B,3,S,S], mask? u8 [B*P] -> [B*P, 3pp]    n[0] = patch; v[0..2] mean, v[3..5] std (u8 only)
//   vit_assemble        patches [B*P,D], cls [1,1,D], pos [1,P+1,D] -> [B*(P+1),D]    n[0] = B
//   gather_rows         x [N,D], index i32 [n] -> y [n,D]                     index -1 gives a zero row
//   scatter_rows        x [n,D], index i32 [n] -> y [rows,D]                  n[0] = rows; sums where indices repeat, -1 skipped
//   cross_entropy       logits [N,V], labels i32 [N] -> loss []               alpha = divisor (0: number of labels not ignored), n[0] = ignore
//   bce_with_logits     logits [..], targets [..], weight? [..] -> loss []    alpha = divisor (0: number of elements)
//   info_nce            q [N,D], k [M,D], temperature? [] -> loss []          alpha = temperature where not an input, n[0] = symmetric; see loss.c
//   normalize_rows      x [N,D] -> y                                          eps
//   softmax, log_softmax  x [..,V] -> y
//   embedding           table [V,D], index i32 [n] -> [n,D]
//   add sub mul div maximum minimum pow   a, b broadcast -> y                 (also the comparisons eq ne lt le gt ge, not differentiable)
//   neg abs exp log sqrt tanh sigmoid relu gelu square reciprocal sin cos     x -> y
//   affine              x -> alpha * x + eps                                  (scalar multiply and add)
//   sum mean max min    x -> y                                                n[0] = dim or -1 for all, n[1] = keepdim; max, min: second output index i32
//   matmul              a [..,M,K], b [..,K,N] -> [..,M,N]                    batch dims equal or one side 2-D
//   reshape expand      x -> y (views; reshape copies where strides ask for it)   n[0] = count, n[1..] = the new shape; reshape: one may be -1
//   permute             x -> y (view)                                        n[0] = ndim, n[1..]: y's dim i is x's dim n[1+i]
//   slice               x -> y (view)                                        n[0] = dim, n[1] = start, n[2] = length
//   cat                 x1..xn -> y (n <= 12)                                n[0] = dim
//   contiguous          x -> y     cast  x -> y                              cast: n[0] = dtype
#pragma once
#include "core/tape/tape.h"

// clang-format off
#define VBL_OPS(X)                                                                                                       \
  X(linear) X(linear_group) X(layer_norm) X(residual_norm) X(dropout_add) X(attention) X(self_attention) X(text_embedding) X(patchify) X(vit_assemble)     \
  X(gather_rows) X(scatter_rows) X(cross_entropy) X(bce_with_logits) X(info_nce) X(normalize_rows) X(softmax)            \
  X(log_softmax) X(embedding) X(add) X(sub) X(mul) X(div) X(maximum) X(minimum) X(pow) X(eq) X(ne) X(lt) X(le) X(gt)     \
  X(ge) X(neg) X(abs) X(exp) X(log) X(sqrt) X(tanh) X(sigmoid) X(relu) X(gelu) X(square) X(reciprocal) X(sin) X(cos)     \
  X(affine) X(sum) X(mean) X(max) X(min) X(matmul) X(reshape) X(permute) X(slice) X(expand) X(cat) X(contiguous) X(cast)
// clang-format on

#define VBL_OP_DECLARE(name) extern const vbl_op vbl_op_##name;
VBL_OPS(VBL_OP_DECLARE)
#undef VBL_OP_DECLARE
