// Scaled dot-product attention per sample and head (Vaswani et al. 2017), forward and backward; the backward recomputes the
// probabilities from the log-sum-exp (Dao et al. 2022, algorithm 4).
//
// One task is one head of one sample; tasks share nothing, so their order does not matter to the result. A task goes through its
// queries in blocks of at most 64 and keeps the block's scores transposed, S' [keys, queries], in cache. Transposed, the softmax
// runs down the columns (one query per lane: no sums across a vector), a Philox call fills four whole rows, and all products
// are vbl_tiles, whose left factor may have any strides:
//   S' = K (scale Q)'    O = P V    dP' = V dO'    dV += P~' dO    dQ = dS K    dK += dS' Q
// where P~ is P after dropout (factor F), dS = scale P (F dP - delta), delta = rowsum(dO O).
// defines: vbl_cpu_attention, vbl_cpu_attention_backward
#include <math.h>
#include <string.h>

#include "kernels/cpu/isa/dropout.h"
#include "kernels/cpu/isa/tile.h"
#include "kernels/cpu/isa/vecmath.h"

enum { QUERIES = 64, WIDTH = QUERIES + 16 };  // queries per block; row stride of the transposed matrices, as vbl_stride says

// What all tasks share. Matrices are [rows, ld]; head h has the columns h * d .. h * d + d.
typedef struct job {
  const float *q, *k, *v;
  int64_t ldq, ldk, ldv;
  const int32_t (*q_seg)[2], (*k_seg)[2];
  int64_t B, H, d, keys;  // keys: of the longest segment
  int64_t stride;         // of packed rows: vbl_stride(d)
  float scale;
  vbl_mask mask;
} job;

// One thread's memory, carved from one block: matrices of one head. Every factor of a product is packed: a head's rows in the
// caller's matrix lie a multiple of the model's width apart, which the cache's sets and the TLB do not like.
typedef struct scratch {
  float *base;
  size_t bytes;
  float *scores, *dscores;  // [keys, WIDTH]
  float *qt, *dot;          // [d, WIDTH]: Q' and dO'
  float *k, *v;             // [keys, stride]
  float *q, *dout;          // [QUERIES, stride]
} scratch;

static bool scratch_make(scratch *w, const job *a) {
  const size_t scores = (size_t)(a->keys * WIDTH), narrow = (size_t)(a->d * WIDTH), stride = (size_t)a->stride;
  const size_t rows = (size_t)a->keys * stride;
  w->bytes = (2 * scores + 2 * narrow + 2 * rows + 2 * QUERIES * stride) * sizeof(float);
  w->base = vbl_cpu_alloc(w->bytes);
  if (!w->base) {
    vbl_cpu_fail(VBL_ENOMEM, "no memory for the score tiles of an attention");
    return false;
  }
  w->scores = w->base;
  w->dscores = w->scores + scores;
  w->qt = w->dscores + scores;
  w->dot = w->qt + narrow;
  w->k = w->dot + narrow;
  w->v = w->k + rows;
  w->q = w->v + rows;
  w->dout = w->q + QUERIES * stride;
  return true;
}

static job job_make(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv, const int32_t (*q_seg)[2],
                    const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d, double scale, const vbl_dropout *drop) {
  job a = {.q = q, .k = k, .v = v, .ldq = ldq, .ldk = ldk, .ldv = ldv, .q_seg = q_seg, .k_seg = k_seg, .B = B, .H = H, .d = d};
  a.stride = vbl_stride(d);
  a.scale = (float)scale;
  a.mask = vbl_mask_make(drop);
  for (int64_t b = 0; b < B; b++) a.keys = k_seg[b][1] > a.keys ? k_seg[b][1] : a.keys;
  return a;
}

static bool worth_threads(const job *a) {
  int64_t products = 0;
  for (int64_t b = 0; b < a->B; b++) products += (int64_t)a->q_seg[b][1] * a->k_seg[b][1];
  return products * a->H * a->d > 8 * VBL_GRAIN;
}

// out [n, vbl_stride(d)] = x [n, ld] of width d, zeros up to whole vectors
static void pack(const float *x, int64_t ld, int64_t n, int64_t d, float *out) {
  const int64_t stride = vbl_stride(d), rest = vbl_pad(d) - d;
  for (int64_t i = 0; i < n; i++) {
    memcpy(out + i * stride, x + i * ld, (size_t)d * sizeof(float));
    memset(out + i * stride + d, 0, (size_t)rest * sizeof(float));
  }
}

// The keys and values of task (b, h)
static void pack_keys(const job *a, const scratch *w, int64_t b, int64_t h) {
  const int64_t first = a->k_seg[b][0], keys = a->k_seg[b][1], column = h * a->d;
  pack(a->k + first * a->ldk + column, a->ldk, keys, a->d, w->k);
  pack(a->v + first * a->ldv + column, a->ldv, keys, a->d, w->v);
}

// In place: scores [keys, width] become exp(score - max of the column); max and total [width] are the columns'.
static void exp_columns(float *scores, int64_t keys, int64_t width, float *max, float *total) {
  for (int64_t i = 0; i < width; i++) {
    max[i] = -INFINITY;
    total[i] = 0;
  }
  for (int64_t j = 0; j < keys; j++) {
    const float *row = scores + j * WIDTH;
#pragma omp simd
    for (int64_t i = 0; i < width; i++) max[i] = row[i] > max[i] ? row[i] : max[i];
  }
  for (int64_t j = 0; j < keys; j++) {
    float *row = scores + j * WIDTH;
#pragma omp simd
    for (int64_t i = 0; i < width; i++) {
      const float e = vbl_exp_neg(row[i] - max[i]);
      row[i] = e;
      total[i] += e;
    }
  }
}

static void drop_scores(const job *a, int64_t b, int64_t h, int64_t first, float *scores, int64_t keys, int64_t width) {
  float factor[4 * QUERIES];
  for (int64_t j = 0; j < keys; j++) {
    if (j % 4 == 0) {
      vbl_mask_columns(&a->mask, (uint32_t)(j / 4), (uint32_t)(first | h << 16), (uint32_t)a->mask.rows[b], width, factor);
    }
    float *row = scores + j * WIDTH;
    const float *f = factor + j % 4 * width;
#pragma omp simd
    for (int64_t i = 0; i < width; i++) row[i] *= f[i];
  }
}

// Queries first .. first + n of the task (b, h).
static void forward_block(const job *a, const scratch *w, int64_t b, int64_t h, int64_t first, int64_t n, float *o_, int64_t ldo,
                          float *lse) {
  const int64_t width = vbl_pad(n), keys = a->k_seg[b][1], row = a->q_seg[b][0] + first, d = a->d;
  float max[QUERIES], total[QUERIES], *o = o_ + row * ldo + h * d;
  vbl_transpose(a->q + row * a->ldq + h * d, a->ldq, n, d, a->scale, w->qt, WIDTH, width);
  vbl_tiles(keys, width, d, w->k, a->stride, 1, w->qt, WIDTH, false, w->scores, WIDTH);
  exp_columns(w->scores, keys, width, max, total);
  if (a->mask.on) drop_scores(a, b, h, first, w->scores, keys, width);
  vbl_tiles(n, d, keys, w->scores, 1, WIDTH, w->v, a->stride, false, o, ldo);
  for (int64_t i = 0; i < n; i++) {
    const float inverse = total[i] > 0 ? 1 / total[i] : 0;  // 0: no keys
#pragma omp simd
    for (int64_t c = 0; c < d; c++) o[i * ldo + c] *= inverse;
    lse[(row + i) * a->H + h] = max[i] + logf(total[i]);
  }
}

void VBL_K(attention)(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv, const int32_t (*q_seg)[2],
                      const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d, double scale, const vbl_dropout *drop, void *o,
                      int64_t ldo, void *lse, vbl_stream s) {
  (void)s;
  const job a = job_make(q, ldq, k, ldk, v, ldv, q_seg, k_seg, B, H, d, scale, drop);
#pragma omp parallel if (worth_threads(&a))
  {
    scratch w;
    const bool ready = scratch_make(&w, &a);
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < B * H; task++) {
      const int64_t b = task / H, h = task % H, queries = q_seg[b][1];
      if (!ready || queries == 0) continue;
      pack_keys(&a, &w, b, h);
      for (int64_t first = 0; first < queries; first += QUERIES) {
        forward_block(&a, &w, b, h, first, vbl_min64(QUERIES, queries - first), o, ldo, lse);
      }
    }
    if (ready) vbl_cpu_free(w.base, w.bytes);
  }
}

// The gradient's side of a job.
typedef struct gradient {
  const float *o, *lse, *dout;
  float *delta, *dq, *dk, *dv;
  int64_t ldo, lddo, lddq, lddk, lddv;
} gradient;

// scores: S' becomes P~'; dscores: dP' becomes dS'. lse and delta [width] of the columns.
static void score_gradients(const job *a, const scratch *w, int64_t b, int64_t h, int64_t first, int64_t width, const float *lse,
                            const float *delta) {
  float factor[4 * QUERIES];
  const int64_t keys = a->k_seg[b][1];
  const float scale = a->scale;
  for (int64_t i = 0; i < 4 * width; i++) factor[i] = 1;
  for (int64_t j = 0; j < keys; j++) {
    if (a->mask.on && j % 4 == 0) {
      vbl_mask_columns(&a->mask, (uint32_t)(j / 4), (uint32_t)(first | h << 16), (uint32_t)a->mask.rows[b], width, factor);
    }
    float *p_row = w->scores + j * WIDTH, *d_row = w->dscores + j * WIDTH;
    const float *f = factor + j % 4 * width;
#pragma omp simd
    for (int64_t i = 0; i < width; i++) {
      const float p = vbl_exp_neg(p_row[i] - lse[i]);
      d_row[i] = p * (f[i] * d_row[i] - delta[i]) * scale;
      p_row[i] = p * f[i];
    }
  }
}

static void backward_block(const job *a, const gradient *g, const scratch *w, int64_t b, int64_t h, int64_t first, int64_t n) {
  const int64_t d = a->d, width = vbl_pad(n), keys = a->k_seg[b][1], row = a->q_seg[b][0] + first, key = a->k_seg[b][0];
  const float *q = a->q + row * a->ldq + h * d, *dout = g->dout + row * g->lddo + h * d, *o = g->o + row * g->ldo + h * d;
  float lse[QUERIES] = {0}, delta[QUERIES] = {0};
  for (int64_t i = 0; i < n; i++) {
    float total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t c = 0; c < d; c++) total += dout[i * g->lddo + c] * o[i * g->ldo + c];
    delta[i] = g->delta[(row + i) * a->H + h] = total;
    lse[i] = g->lse[(row + i) * a->H + h];
  }
  pack(q, a->ldq, n, d, w->q);
  pack(dout, g->lddo, n, d, w->dout);
  vbl_transpose(w->q, a->stride, n, d, a->scale, w->qt, WIDTH, width);
  vbl_transpose(w->dout, a->stride, n, d, 1, w->dot, WIDTH, width);
  vbl_tiles(keys, width, d, w->k, a->stride, 1, w->qt, WIDTH, false, w->scores, WIDTH);
  vbl_tiles(keys, width, d, w->v, a->stride, 1, w->dot, WIDTH, false, w->dscores, WIDTH);
  score_gradients(a, w, b, h, first, width, lse, delta);
  vbl_tiles(keys, d, n, w->scores, WIDTH, 1, w->dout, a->stride, first > 0, g->dv + key * g->lddv + h * d, g->lddv);
  vbl_tiles(keys, d, n, w->dscores, WIDTH, 1, w->q, a->stride, first > 0, g->dk + key * g->lddk + h * d, g->lddk);
  vbl_tiles(n, d, keys, w->dscores, 1, WIDTH, w->k, a->stride, false, g->dq + row * g->lddq + h * d, g->lddq);
}

void VBL_K(attention_backward)(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv,
                               const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d, double scale,
                               const vbl_dropout *drop, const void *o, int64_t ldo, const void *lse, const void *dout, int64_t lddo,
                               void *delta, void *dq, int64_t lddq, void *dk, int64_t lddk, void *dv, int64_t lddv, vbl_stream s) {
  (void)s;
  const job a = job_make(q, ldq, k, ldk, v, ldv, q_seg, k_seg, B, H, d, scale, drop);
  const gradient g = {.o = o,
                      .lse = lse,
                      .dout = dout,
                      .delta = delta,
                      .dq = dq,
                      .dk = dk,
                      .dv = dv,
                      .ldo = ldo,
                      .lddo = lddo,
                      .lddq = lddq,
                      .lddk = lddk,
                      .lddv = lddv};
#pragma omp parallel if (worth_threads(&a))
  {
    scratch w;
    const bool ready = scratch_make(&w, &a);
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < B * H; task++) {
      const int64_t b = task / H, h = task % H, queries = q_seg[b][1];
      int64_t first = 0;
      if (!ready) continue;
      pack_keys(&a, &w, b, h);
      do {  // once also without queries: dk and dv are then zeros
        backward_block(&a, &g, &w, b, h, first, vbl_min64(QUERIES, queries - first));
        first += QUERIES;
      } while (first < queries);
    }
    if (ready) vbl_cpu_free(w.base, w.bytes);
  }
}
