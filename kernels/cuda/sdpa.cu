// The nodes of attention, in the order in which cuDNN's pattern matcher accepts them. With m the dropout mask (0 or 1), f = 1 / (1 - p):
//   S = scale Q K' (-inf past a length),  E = exp(S - max),  STATS = max + log sum E,  P = E / sum E,  O = bf16(P m f) V
//   delta = rowsum(dO O) / f,  P = exp(S - STATS),  dV = bf16(P m f)' dO,  dP = dO V'
//   dS = bf16(P (dP m - delta) f scale),  dK = dS' Q,  dQ = dS K
// defines: vbl_graph::sdpa_forward, vbl_graph::sdpa_backward
#include <math.h>

#include "kernels/cuda/sdpa.h"

namespace vbl_graph {

namespace {

struct builder {
  const sdpa &a;
  graph *g;
  int lengths_q, lengths_k, scale, keep, undo;  // keep = 1 / (1 - p), undo = 1 - p

  int add(const tensor &t) {
    g->t[g->tensors] = t;
    return g->tensors++;
  }
  int real(dtype T, role name, int64_t b, int64_t h, int64_t s, int64_t d) {
    return add({T, REAL, name, {b, h, s, d}, {h * s * d, s * d, d, 1}, -1, -1, 0});
  }
  int inner(dtype T, int64_t s, int64_t d) {
    return add({T, VIRTUAL, NO_ROLE, {a.B, a.H, s, d}, {a.H * s * d, s * d, d, 1}, -1, -1, 0});
  }
  int scalar(float value) { return add({F32, SCALAR, NO_ROLE, {1, 1, 1, 1}, {1, 1, 1, 1}, -1, -1, value}); }
  int like(int x, dtype T) { return inner(T, g->t[x].dim[2], g->t[x].dim[3]); }
  int offsets(role name) { return a.rows == RAGGED ? add({I64, REAL, name, {a.B + 1, 1, 1, 1}, {1, 1, 1, 1}, -1, -1, 0}) : -1; }

  // Rows of H heads, `width` columns each, side by side, `ld` elements from row to row.
  int rows(dtype T, role name, bool keys, int64_t width, int64_t ld, role where) {
    const int64_t S = keys ? a.S_k : a.S_q;
    const int at = offsets(where);
    return add({T, REAL, name, {a.B, a.H, S, width}, {S * ld, width, ld, 1}, at, at < 0 ? -1 : keys ? lengths_k : lengths_q, 0});
  }
  int64_t pitch(int64_t given) const { return given != 0 ? given : a.H * a.d; }
  int queries(role name, int64_t ld) { return rows(BF16, name, false, a.d, pitch(ld), OFFSETS_Q); }
  int keys(role name, int64_t ld) { return rows(BF16, name, true, a.d, pitch(ld), OFFSETS_K); }
  int stats() { return a.rows == RAGGED ? rows(F32, STATS, false, 1, a.H, OFFSETS_STATS) : real(F32, STATS, a.B, a.H, a.S_q, 1); }
  // The same memory as x, rows and columns exchanged.
  int turned(int x, kind where) {
    tensor t = g->t[x];
    t.dim[2] = g->t[x].dim[3], t.dim[3] = g->t[x].dim[2];
    t.stride[2] = g->t[x].stride[3], t.stride[3] = g->t[x].stride[2];
    t.where = where;
    return add(t);
  }

  node &push(function f, int x, int y, int z, int out) {
    g->n[g->nodes] = {f, {x, y, z}, out, -1, -1, -1, false, 0};
    return g->n[g->nodes++];
  }
  int to(function f, int x, int y, int out) { return push(f, x, y, -1, out), out; }
  int then(function f, int x, int y = -1) { return to(f, x, y, like(x, F32)); }
  int reduce(function f, int x) { return to(f, x, -1, inner(F32, g->t[x].dim[2], 1)); }
  int product(int x, int y, int m, int n, int k, int out) {
    node &p = push(MATMUL, x, y, -1, out);
    p.m = m, p.n = n, p.k = k;
    return out;
  }
  // [.., r, c] -> [.., c, r] in bf16, as the operand of a product
  int transposed(int x) {
    const int64_t r = g->t[x].dim[2], c = g->t[x].dim[3];
    return to(TRANSPOSE, x, -1, add({BF16, VIRTUAL, NO_ROLE, {a.B, a.H, c, r}, {a.H * r * c, r * c, 1, c}, -1, -1, 0}));
  }

  int scores(int q, int k, bool zeros) {
    int s = product(q, k, lengths_q, lengths_k, -1, inner(F32, a.S_q, a.S_k));
    g->n[g->nodes - 1].zeros = zeros && a.rows != EVEN;
    s = then(MUL, s, scale);
    return a.rows == EVEN ? s : masked(s);
  }
  int masked(int s) {
    const int row = to(ROW_INDEX, s, -1, like(s, I32)), column = to(COLUMN_INDEX, s, -1, like(s, I32));
    const int in_q = to(LESS, row, lengths_q, like(s, BOOL)), in_k = to(LESS, column, lengths_k, like(s, BOOL));
    const int in = to(AND, in_q, in_k, like(s, BOOL)), out = like(s, F32);
    push(SELECT, s, scalar(-INFINITY), in, out);
    return out;
  }
  int mask(int shape) {
    const int seed = real(I64, SEED, 1, 1, 1, 1), offset = real(I64, OFFSET, 1, 1, 1, 1), out = like(shape, F32);
    push(KEEP, shape, seed, offset, out).p = 1 - a.p;
    return out;
  }
};

builder start(const sdpa &a, float scale, graph *g) {
  g->tensors = g->nodes = 0;
  builder b = {a, g, -1, -1, 0, 0, 0};
  if (a.rows != EVEN) {
    b.lengths_q = b.real(I32, LENGTHS_Q, a.B, 1, 1, 1);
    b.lengths_k = b.real(I32, LENGTHS_K, a.B, 1, 1, 1);
  }
  b.scale = b.scalar(scale);
  b.keep = b.scalar((float)(1 / (1 - a.p)));
  b.undo = b.scalar((float)(1 - a.p));
  return b;
}

}  // namespace

void sdpa_forward(const sdpa &a, float scale, graph *g) {
  builder b = start(a, scale, g);
  const int q = b.queries(Q, a.ld.q), k = b.turned(b.keys(K, a.ld.k), REAL), v = b.keys(V, a.ld.v), o = b.queries(O, a.ld.o),
            stats = b.stats();
  const int s = b.scores(q, k, true), largest = b.reduce(MAX_OF, s);
  const int e = b.then(EXP, b.then(SUB, s, largest)), sum = b.reduce(SUM_OF, e);
  b.to(ADD, largest, b.then(LOG, sum), stats);
  int p;
  if (a.p > 0) {
    p = b.then(DIV, e, sum);
    p = b.then(MUL, p, b.mask(p));
    p = b.to(MUL, p, b.keep, b.like(p, BF16));
  } else {
    p = b.to(DIV, e, sum, b.like(e, BF16));
  }
  b.product(p, v, b.lengths_q, -1, b.lengths_k, o);
}

void sdpa_backward(const sdpa &a, float scale, graph *g) {
  builder b = start(a, scale, g);
  const int q = b.queries(Q, a.ld.q), k = b.turned(b.keys(K, a.ld.k), REAL), v = b.turned(b.keys(V, a.ld.v), REAL),
            o = b.queries(O, a.ld.o), stats = b.stats();
  const int dout = b.queries(DO, a.ld.o), dq = b.queries(DQ, a.ld.dq), dk = b.keys(DK, a.ld.dk), dv = b.keys(DV, a.ld.dv);
  const bool drop = a.p > 0;
  const int shape = b.inner(F32, a.S_q, a.S_k), m = drop ? b.mask(shape) : -1;
  const int product = b.add({F32, VIRTUAL, NO_ROLE, {a.B, a.H, a.S_q, a.d}, {a.H * a.S_q * a.d, a.d, a.H * a.d, 1}, -1, -1, 0});
  const int sum = b.reduce(SUM_OF, b.to(MUL, dout, o, product));
  const int delta = b.to(MUL, sum, drop ? b.undo : b.scalar(1), b.real(F32, DELTA, a.B, a.H, a.S_q, 1));
  const int p = b.then(EXP, b.then(SUB, b.scores(q, k, false), stats));
  const int kept = drop ? b.then(MUL, b.then(MUL, p, m), b.keep) : p;
  b.product(b.transposed(kept), dout, b.lengths_k, -1, b.lengths_q, dv);
  int ds = b.product(dout, v, b.lengths_q, b.lengths_k, -1, b.inner(F32, a.S_q, a.S_k));
  if (drop) ds = b.then(MUL, ds, m);
  ds = b.then(MUL, b.then(SUB, ds, delta), p);
  if (drop) ds = b.then(MUL, ds, b.keep);
  ds = b.then(MUL, ds, b.scale);
  b.product(b.transposed(ds), q, b.lengths_k, -1, b.lengths_q, dk);
  const int upright = b.to(TRANSPOSE, k, -1, b.turned(k, VIRTUAL));
  if (a.ordered) {
    b.product(ds, upright, b.lengths_q, -1, b.lengths_k, dq);
  } else {
    const int all = b.product(ds, upright, b.lengths_q, -1, b.lengths_k, b.real(F32, DQ_SUM, a.B, a.H, a.S_q, a.d));
    b.to(COPY, all, -1, dq);
  }
}

}  // namespace vbl_graph
