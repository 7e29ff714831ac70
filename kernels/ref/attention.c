// Reference attention over packed segments (Vaswani et al. 2017, equation 1), one query row at a time. Per sample and head,
// with m the dropout factors (0 or 1 / (1 - p)):
//   S = scale Q K',  P = softmax(S) by rows,  O = (P * m) V,  lse = log sum exp S
//   dV = (P * m)' dO,  dP = (dO V') * m,  dS = P * (dP - rowsum(P * dP)),  dQ = scale dS K,  dK = scale dS' Q
// defines: vbl_ref_attention, vbl_ref_attention_backward
#include <math.h>
#include <stddef.h>

#include "kernels/ref/ref.h"

static double dot(const double *a, const double *b, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; i++) total += a[i] * b[i];
  return total;
}

// log sum exp over the keys of scale <q, k_j>; k points to the segment's first key, this head's columns.
static double row_lse(const double *q, const double *k, int64_t ldk, int64_t keys, int64_t d, double scale) {
  double largest = -INFINITY, total = 0;
  for (int64_t j = 0; j < keys; j++) largest = fmax(largest, scale * dot(q, k + j * ldk, d));
  for (int64_t j = 0; j < keys; j++) total += exp(scale * dot(q, k + j * ldk, d) - largest);
  return largest + log(total);
}

// The dropout factor of query i and key j of sample b in head h.
static double keep(const vbl_dropout *drop, int64_t b, int64_t h, int64_t i, int64_t j) {
  if (drop == NULL || drop->p == 0) return 1;
  return vbl_ref_keep(drop, drop->rows[b], i | h << 16, j);
}

void vbl_ref_attention(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv,
                       const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d, double scale,
                       const vbl_dropout *drop, void *o, int64_t ldo, void *lse, vbl_stream s) {
  (void)s;
  for (int64_t b = 0; b < B; b++) {
    for (int64_t h = 0; h < H; h++) {
      int64_t keys = k_seg[b][1];
      const double *k_head = (const double *)k + k_seg[b][0] * ldk + h * d, *v_head = (const double *)v + k_seg[b][0] * ldv + h * d;
      for (int64_t i = 0; i < q_seg[b][1]; i++) {
        int64_t row = q_seg[b][0] + i;
        const double *q_row = (const double *)q + row * ldq + h * d;
        double *o_row = (double *)o + row * ldo + h * d;
        double row_sum = keys > 0 ? row_lse(q_row, k_head, ldk, keys, d, scale) : -INFINITY;
        ((double *)lse)[row * H + h] = row_sum;
        for (int64_t c = 0; c < d; c++) o_row[c] = 0;
        for (int64_t j = 0; j < keys; j++) {
          double weight = exp(scale * dot(q_row, k_head + j * ldk, d) - row_sum) * keep(drop, b, h, i, j);
          for (int64_t c = 0; c < d; c++) o_row[c] += weight * v_head[j * ldv + c];
        }
      }
    }
  }
}

static void zero_block(double *x, int64_t ld, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t c = 0; c < columns; c++) x[i * ld + c] = 0;
  }
}

// One head of one sample: pointers to the segments' first rows, this head's columns.
typedef struct head {
  const double *q, *k, *v, *dout;
  double *dq, *dk, *dv;
  int64_t ldq, ldk, ldv, lddo, lddq, lddk, lddv;
  int64_t queries, keys, d, b, h;
  double scale;
  const vbl_dropout *drop;
} head;

static void head_backward_row(const head *a, int64_t i) {
  const double *q = a->q + i * a->ldq, *dout = a->dout + i * a->lddo;
  double lse = row_lse(q, a->k, a->ldk, a->keys, a->d, a->scale), row_sum = 0;  // row_sum: sum over keys of P * dP
  for (int64_t j = 0; j < a->keys; j++) {
    double P = exp(a->scale * dot(q, a->k + j * a->ldk, a->d) - lse);
    double dP = dot(dout, a->v + j * a->ldv, a->d) * keep(a->drop, a->b, a->h, i, j);
    row_sum += P * dP;
  }
  for (int64_t j = 0; j < a->keys; j++) {
    double m = keep(a->drop, a->b, a->h, i, j);
    double P = exp(a->scale * dot(q, a->k + j * a->ldk, a->d) - lse);
    double dP = dot(dout, a->v + j * a->ldv, a->d) * m;
    double dS = P * (dP - row_sum);
    for (int64_t c = 0; c < a->d; c++) {
      a->dq[i * a->lddq + c] += a->scale * dS * a->k[j * a->ldk + c];
      a->dk[j * a->lddk + c] += a->scale * dS * q[c];
      a->dv[j * a->lddv + c] += P * m * dout[c];
    }
  }
}

// o, lse and delta are shortcuts for kernels that cannot afford the scores twice; here P is made again from q and k.
void vbl_ref_attention_backward(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv,
                                const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d, double scale,
                                const vbl_dropout *drop, const void *o, int64_t ldo, const void *lse, const void *dout,
                                int64_t lddo, void *delta, void *dq, int64_t lddq, void *dk, int64_t lddk, void *dv, int64_t lddv,
                                vbl_stream s) {
  (void)s, (void)o, (void)ldo, (void)lse, (void)delta;
  for (int64_t b = 0; b < B; b++) {
    for (int64_t h = 0; h < H; h++) {
      int64_t first_q = q_seg[b][0], first_k = k_seg[b][0];
      head a = {.q = (const double *)q + first_q * ldq + h * d,
                .k = (const double *)k + first_k * ldk + h * d,
                .v = (const double *)v + first_k * ldv + h * d,
                .dout = (const double *)dout + first_q * lddo + h * d,
                .dq = (double *)dq + first_q * lddq + h * d,
                .dk = (double *)dk + first_k * lddk + h * d,
                .dv = (double *)dv + first_k * lddv + h * d,
                .ldq = ldq,
                .ldk = ldk,
                .ldv = ldv,
                .lddo = lddo,
                .lddq = lddq,
                .lddk = lddk,
                .lddv = lddv,
                .queries = q_seg[b][1],
                .keys = k_seg[b][1],
                .d = d,
                .b = b,
                .h = h,
                .scale = scale,
                .drop = drop};
      zero_block(a.dq, lddq, a.queries, d);
      zero_block(a.dk, lddk, a.keys, d);
      zero_block(a.dv, lddv, a.keys, d);
      for (int64_t i = 0; i < a.queries; i++) head_backward_row(&a, i);
    }
  }
}
