// Multi-head attention on packed sequences (Vaswani et al. 2017; computed as in FlashAttention-2, Dao 2023).
// defines: vbl_op_attention, vbl_op_self_attention
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/ops/product.h"

static int by_start(const void *a, const void *b) {
  const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

// What a call promises of segments that a device's host cannot see (attributes n[3..6]).
typedef struct promise {
  int64_t longest;   // no segment has more rows; 0: not said
  bool even, whole;  // all are as long, one after another; they are all rows
} promise;

// Each [start, length] lies within `rows`, and is as promised; *covered: they are all rows, none twice (a device's: where it is promised).
// apart: an overlap is an error.
static vbl_status check_segments(const vbl_tensor *seg, const char *what, int64_t rows, bool apart, promise p, bool *covered,
                                 vbl_error *err) {
  const int64_t B = seg->shape[0];
  int64_t total = 0, end = 0;
  *covered = p.whole || (p.even && p.longest > 0 && B * p.longest == rows);
  if (!seg->storage->backend->host) return VBL_OK;
  const size_t bytes = (size_t)B * 2 * sizeof(int32_t);
  int32_t(*s)[2] = malloc(bytes + 1);
  if (s == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for %" PRId64 " segments", B);
  if (B > 0) memcpy(s, vbl_tensor_data(seg), bytes);
  bool short_enough = true;
  for (int64_t b = 0; b < B && p.longest > 0; b++)
    short_enough &= p.even ? s[b][0] == b * p.longest && s[b][1] == p.longest : s[b][1] <= p.longest;
  qsort(s, (size_t)B, sizeof *s, by_start);
  bool inside = true, overlap = false;
  for (int64_t b = 0; b < B; b++) {
    inside &= s[b][0] >= 0 && s[b][1] >= 0 && (int64_t)s[b][0] + s[b][1] <= rows;
    overlap |= s[b][1] > 0 && s[b][0] < end;
    if (s[b][1] > 0) end = s[b][0] + (int64_t)s[b][1];
    total += s[b][1];
  }
  free(s);
  if (!inside) return vbl_fail(err, VBL_EINVAL, "a segment of %s (start, length) leaves the %" PRId64 " rows", what, rows);
  if (!short_enough)
    return vbl_fail(err, VBL_EINVAL, "segments of %s are not %s %" PRId64 " rows, as was promised", what,
                    p.even ? "one after another, each of" : "at most", p.longest);
  if (overlap && apart)
    return vbl_fail(err, VBL_EINVAL, "segments of %s overlap; rows that two samples share have no gradient", what);
  *covered = !overlap && total == rows;
  if (p.whole && !*covered)
    return vbl_fail(err, VBL_EINVAL, "segments of %s are not all %" PRId64 " rows once, as was promised", what, rows);
  return VBL_OK;
}

typedef struct operands {
  vbl_tensor *q, *k, *v, *q_seg, *k_seg, *samples;
  int64_t ldq, ldk, ldv, Nq, Nk, width, B, H;
  bool narrow;  // q, k and v in bf16
} operands;

// self_attention has q, k and v side by side in one input, attention in three.
static bool packed(const vbl_call *c) { return c->op == &vbl_op_self_attention; }
static int matrices(const vbl_call *c) { return packed(c) ? 1 : 3; }

static vbl_status rows(vbl_call *c, const vbl_real *r, const operands *o, int i, vbl_tensor **x, int64_t *ld, vbl_error *err) {
  return o->narrow ? vbl_product_rows(c, r, i, true, x, ld, err) : vbl_in_rows(c, r, i, x, ld, err);
}

static vbl_status apart(vbl_call *c, const vbl_real *r, operands *o, vbl_error *err) {
  VBL_TRY(vbl_expect(c->in[0], "q", 2, (int64_t[]){-1, -1}, err));
  o->Nq = c->in[0]->shape[0], o->width = c->in[0]->shape[1];
  VBL_TRY(vbl_expect(c->in[1], "k", 2, (int64_t[]){-1, o->width}, err));
  o->Nk = c->in[1]->shape[0];
  VBL_TRY(vbl_expect(c->in[2], "v", 2, (int64_t[]){o->Nk, o->width}, err));
  VBL_TRY(rows(c, r, o, 0, &o->q, &o->ldq, err));
  VBL_TRY(rows(c, r, o, 1, &o->k, &o->ldk, err));
  return rows(c, r, o, 2, &o->v, &o->ldv, err);
}

static vbl_status side_by_side(vbl_call *c, const vbl_real *r, operands *o, vbl_error *err) {
  vbl_tensor *x, **part[] = {&o->q, &o->k, &o->v};
  VBL_TRY(vbl_expect(c->in[0], "qkv", 2, (int64_t[]){-1, -1}, err));
  if (c->in[0]->shape[1] % 3 != 0) {
    char text[VBL_SHAPE_TEXT];
    return vbl_fail(err, VBL_EINVAL, "expected qkv [N, 3 W], got %s", vbl_shape_text(2, c->in[0]->shape, text));
  }
  VBL_TRY(rows(c, r, o, 0, &x, &o->ldq, err));
  o->ldk = o->ldv = o->ldq;
  o->Nq = o->Nk = x->shape[0];
  o->width = x->shape[1] / 3;
  for (int i = 0; i < 3; i++) {
    VBL_TRY(vbl_tensor_narrow(x, 1, i * o->width, o->width, part[i], err));
    VBL_TRY(vbl_temp_keep(c, *part[i], err));
  }
  return VBL_OK;
}

static vbl_status matrices_in(vbl_call *c, const vbl_real *r, operands *o, vbl_error *err) {
  return packed(c) ? side_by_side(c, r, o, err) : apart(c, r, o, err);
}

static vbl_status inputs(vbl_call *c, const vbl_real *r, operands *o, vbl_error *err) {
  const int seg = matrices(c);
  o->narrow = vbl_activations(c, r) == VBL_BF16 && r->be->attention_bf16 != NULL;
  VBL_TRY(matrices_in(c, r, o, err));
  o->H = c->attrs.n[0];
  if (o->H < 1 || o->width % o->H != 0)
    return vbl_fail(err, VBL_EINVAL, "expected a number of heads that divides the width %" PRId64 ", got %" PRId64, o->width, o->H);
  VBL_TRY(vbl_expect(c->in[seg], "q_seg", 2, (int64_t[]){-1, 2}, err));
  o->B = c->in[seg]->shape[0];
  VBL_TRY(vbl_expect(c->in[seg + 1], "k_seg", 2, (int64_t[]){o->B, 2}, err));
  VBL_TRY(vbl_in_i32(c, seg, "q_seg", &o->q_seg, err));
  VBL_TRY(vbl_in_i32(c, seg + 1, "k_seg", &o->k_seg, err));
  bool q_covered, k_covered;
  const int64_t *n = c->attrs.n;
  VBL_TRY(check_segments(o->q_seg, "q", o->Nq, true, (promise){n[3], n[5], n[6]}, &q_covered, err));
  VBL_TRY(check_segments(o->k_seg, "k", o->Nk, c->recording, (promise){n[4], n[5], n[6]}, &k_covered, err));
  c->attrs.n[1] = q_covered;
  c->attrs.n[2] = k_covered;
  if (c->attrs.alpha == 0) c->attrs.alpha = 1 / sqrt((double)o->width / (double)o->H);
  return VBL_OK;
}

// Elements between the rows of q's, k's and v's gradients: tensors of `width` columns, or column blocks of one.
static int64_t gradient_pitch(const vbl_call *c, int64_t width) { return packed(c) ? 3 * width : width; }

// The operands as attention_bf16 takes them, with what attrs promise of the segments.
static vbl_heads heads_of(const vbl_call *c, const vbl_tensor *q, const vbl_tensor *k, const vbl_tensor *v, const vbl_tensor *q_seg,
                          const vbl_tensor *k_seg, const vbl_dropout *drop) {
  const int64_t *n = c->attrs.n;
  return (vbl_heads){.q = vbl_tensor_data(q),
                     .k = vbl_tensor_data(k),
                     .v = vbl_tensor_data(v),
                     .ldq = vbl_row_stride(q),
                     .ldk = vbl_row_stride(k),
                     .ldv = vbl_row_stride(v),
                     .q_rows = q->shape[0],
                     .k_rows = k->shape[0],
                     .ldo = q->shape[1],
                     .lddq = gradient_pitch(c, q->shape[1]),
                     .lddk = gradient_pitch(c, q->shape[1]),
                     .lddv = gradient_pitch(c, q->shape[1]),
                     .q_seg = vbl_tensor_data(q_seg),
                     .k_seg = vbl_tensor_data(k_seg),
                     .B = q_seg->shape[0],
                     .H = n[0],
                     .d = q->shape[1] / n[0],
                     .longest_q = n[3],
                     .longest_k = n[4],
                     .even = n[5],
                     .scale = c->attrs.alpha,
                     .drop = drop,
                     .whole = n[1] && n[2],
                     .ordered = n[7]};
}

// In bf16; *done is false, and nothing has happened, where the backend does not.
static vbl_status attend_narrow(vbl_call *c, const vbl_real *r, const operands *a, const vbl_dropout *drop, vbl_tensor *lse,
                                bool *done, vbl_error *err) {
  const vbl_heads h = heads_of(c, a->q, a->k, a->v, a->q_seg, a->k_seg, drop);
  vbl_tensor *o;
  VBL_TRY(vbl_temp_new(c, r->memory, VBL_BF16, 2, (int64_t[]){a->Nq, a->width}, &o, err));
  if (!c->attrs.n[1]) vbl_zero(r, o);
  *done = r->be->attention_bf16(&h, vbl_tensor_data(o), vbl_tensor_data(lse), NULL);
  if (*done) c->out[0] = vbl_tensor_retain(o);
  return VBL_OK;
}

static vbl_status attend(vbl_call *c, const vbl_real *r, operands *a, const vbl_dropout *drop, vbl_tensor *lse, vbl_error *err) {
  vbl_tensor *o;
  if (a->narrow) {
    VBL_TRY(attend_narrow(c, r, a, drop, lse, &a->narrow, err));
    if (a->narrow) return VBL_OK;
    VBL_TRY(matrices_in(c, r, a, err));  // refused: in the op's dtype
  }
  const vbl_heads h = heads_of(c, a->q, a->k, a->v, a->q_seg, a->k_seg, drop);
  VBL_TRY(vbl_out_real(c, r, 0, 2, (int64_t[]){a->Nq, a->width}, &o, err));
  if (!c->attrs.n[1]) vbl_zero(r, o);
  r->be->attention(h.q, h.ldq, h.k, h.ldk, h.v, h.ldv, h.q_seg, h.k_seg, h.B, h.H, h.d, h.scale, drop, vbl_tensor_data(o), h.ldo,
                   vbl_tensor_data(lse), NULL);
  return VBL_OK;
}

// q [Nq,H*d], k, v [Nk,H*d] (column blocks of wider matrices are read in place) or qkv [N,3*H*d], q_seg, k_seg i32 [B,2], samples?
// i32 [B] -> o [Nq,H*d] = softmax(alpha q k') v per sample and head; rows of q outside all segments give 0. alpha 0: 1/sqrt(d).
// n[0] = H; p, rng, step. n[1], n[2] keep whether q's and k's rows are all covered, n[7] whether the device was to be deterministic. Promises, for kernels that want them: n[3], n[4]: no
// segment of q, of k is longer (0: not said); n[5]: all are as long, one after another; n[6]: they are all rows, once. Where activations are bf16 and the backend attends
// in bf16, o is bf16.
static vbl_status forward(vbl_call *c, vbl_error *err) {
  vbl_real r;
  vbl_dropout drop;
  operands a = {0};
  vbl_tensor *lse;
  VBL_TRY(vbl_op_real(c, &r, err));
  VBL_TRY(inputs(c, &r, &a, err));
  c->attrs.n[7] = vbl_deterministic();
  VBL_TRY(vbl_op_dropout(c, matrices(c) + 2, "samples", a.B, 1, &a.samples, &drop, err));
  VBL_TRY(vbl_temp_real(c, &r, 2, (int64_t[]){a.Nq, a.H}, &lse, err));
  VBL_TRY(attend(c, &r, &a, &drop, lse, err));
  const vbl_tensor *keep[] = {a.q, a.k, a.v, a.q_seg, a.k_seg, c->out[0], lse, a.samples};
  for (int i = 0; i < 8; i++)
    if (keep[i] != NULL) VBL_TRY(vbl_save(c, i, keep[i], err));
  return VBL_OK;
}

// Where the gradients of q, k and v are written: tensors, or column blocks of one, of the type of q, k and v.
typedef struct gradients {
  vbl_tensor *buffer[3];
  void *at[3];
} gradients;

static vbl_status gradient_buffers(vbl_call *c, const vbl_real *r, vbl_dtype T, int64_t width, gradients *g, vbl_error *err) {
  const bool covered[] = {c->attrs.n[1], c->attrs.n[2], c->attrs.n[2]};
  for (int i = 0; i < matrices(c); i++) {
    const vbl_meta *m = vbl_input_meta(c, i);
    if (T == VBL_BF16)
      VBL_TRY(vbl_temp_new(c, r->memory, T, m->ndim, m->shape, &g->buffer[i], err));
    else
      VBL_TRY(vbl_grad_buffer(c, r, i, &g->buffer[i], err));
    if (packed(c) ? !covered[0] || !covered[1] : !covered[i]) vbl_zero(r, g->buffer[i]);
  }
  for (int i = 0; i < 3; i++) g->at[i] = packed(c) ? vbl_at(g->buffer[0], i * width) : vbl_tensor_data(g->buffer[i]);
  return VBL_OK;
}

static vbl_status deliver(vbl_call *c, const vbl_real *r, const gradients *g, vbl_error *err) {
  for (int i = 0; i < matrices(c); i++) {
    if (g->buffer[i]->dtype != VBL_BF16)
      VBL_TRY(vbl_grad_commit(c, r, i, g->buffer[i], err));
    else if (c->needs_grad[i])
      VBL_TRY(vbl_grad_give(c, i, g->buffer[i], err));
  }
  return VBL_OK;
}

static vbl_status backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_real r = vbl_real_of(grad[0]);
  vbl_tensor *const *s = c->saved, *delta;
  const int64_t Nq = s[0]->shape[0], width = s[0]->shape[1], H = c->attrs.n[0];
  const vbl_dropout drop = vbl_saved_dropout(c, s[7]);
  gradients g;
  VBL_TRY(gradient_buffers(c, &r, s[0]->dtype, width, &g, err));
  const vbl_heads h = heads_of(c, s[0], s[1], s[2], s[3], s[4], &drop);
  const void *o = vbl_tensor_data(s[5]), *lse = vbl_tensor_data(s[6]), *dout = vbl_tensor_data(grad[0]);
  if (s[0]->dtype == VBL_BF16) {
    if (!r.be->attention_bf16_backward(&h, o, lse, dout, g.at[0], g.at[1], g.at[2], NULL))
      return vbl_fail(err, VBL_EDEVICE, "%s has no backward in bf16 for what it attended to in bf16", r.be->name);
    return deliver(c, &r, &g, err);
  }
  VBL_TRY(vbl_temp_real(c, &r, 2, (int64_t[]){Nq, H}, &delta, err));
  r.be->attention_backward(h.q, h.ldq, h.k, h.ldk, h.v, h.ldv, h.q_seg, h.k_seg, h.B, h.H, h.d, h.scale, &drop, o, h.ldo, lse, dout,
                           h.ldo, vbl_tensor_data(delta), g.at[0], h.lddq, g.at[1], h.lddk, g.at[2], h.lddv, NULL);
  return deliver(c, &r, &g, err);
}

const vbl_op vbl_op_attention = {"attention", 5, 6, 1, forward, backward};
const vbl_op vbl_op_self_attention = {"self_attention", 3, 4, 1, forward, backward};
