// What the tests of attention with bf16 operands share: problems of any lengths, the device's results and those of plain loops in f64.
// defines: gpu, open_device, failures, CHECK, sizes, problem, results, expected, computed, compare, agree, mask_of
#pragma once
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <initializer_list>
#include <vector>

extern "C" {
#include "kernels/kernels.h"
}
#include "core/base/philox.h"
#include "kernels/cuda/numbers.h"

extern "C" const vbl_backend *vbl_cuda_open(int device, char *message, size_t size);

static const vbl_backend *gpu;
static int failures;
static bool ordered;  // vbl_heads.ordered of what is computed

#define CHECK(condition, ...)                          \
  do {                                                 \
    if (condition) break;                              \
    failures++;                                        \
    fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);    \
    fprintf(stderr, __VA_ARGS__), fputc('\n', stderr); \
  } while (0)

// The exit code of a test that cannot run: on the emulated device it always can; a GPU's is skipped where there is none.
static int open_device() {
  static char message[256];
  gpu = vbl_cuda_open(0, message, sizeof message);
#ifdef VBL_TEST_GPU
  if (gpu == nullptr) return printf("SKIPPED: %s\n", message), 77;
#else
  if (gpu == nullptr) return fprintf(stderr, "%s\n", message), 1;
#endif
  return 0;
}

typedef std::vector<double> numbers;

static float rounded(double x) {
  const float f = (float)x;
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  bits = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;
  float y;
  memcpy(&y, &bits, sizeof y);
  return y;
}

// In [-1, 1), of bf16's precision.
static numbers draw(int64_t n, uint32_t stream) {
  numbers x((size_t)n);
  for (int64_t i = 0; i < n; i++) x[(size_t)i] = rounded(2 * vbl_philox_uniform({3, stream}, (uint32_t)i, 0, 0, 0) - 1);
  return x;
}

// An array of the device, of f32 or of bf16.
template <class T>
class array {
 public:
  explicit array(const numbers &x) : n(x.size()), p((T *)gpu->alloc(n * sizeof(T))) {
    std::vector<T> stored(n);
    for (size_t i = 0; i < n; i++) vbl_cuda::store(&stored[i], x[i]);
    gpu->from_host(p, stored.data(), n * sizeof(T), nullptr);
  }
  array(int64_t count, double value) : array(numbers((size_t)count, value)) {}
  ~array() { gpu->free(p, n * sizeof(T)); }
  array(const array &) = delete;
  numbers read() const {
    std::vector<T> stored(n);
    gpu->to_host(stored.data(), p, n * sizeof(T), nullptr);
    numbers x;
    for (T v : stored) x.push_back(vbl_cuda::load(v));
    return x;
  }
  size_t n;
  T *p;
};

typedef std::vector<int32_t> integers;

static int32_t *upload(const integers &x) {
  int32_t *p = (int32_t *)gpu->alloc(x.size() * sizeof(int32_t));
  gpu->from_host(p, x.data(), x.size() * sizeof(int32_t), nullptr);
  return p;
}

struct sizes {
  const char *what;
  int64_t H, d;
  integers queries, keys;
  bool even, gaps;  // gaps: a row of no sample before each
  double p;
  int64_t apart = 0;     // columns between the rows of q, k and v, beyond twice their own
  bool unknown = false;  // the host does not know the lengths
};

struct problem {
  const sizes &c;
  int64_t B, W, ld, q_rows, k_rows, longest_q, longest_k;
  integers q_seg, k_seg, samples;
  numbers q, k, v, dout;

  explicit problem(const sizes &of) : c(of), B((int64_t)of.queries.size()), W(of.H * of.d), ld(3 * W + of.apart) {
    q_rows = place(c.queries, &q_seg, &longest_q);
    k_rows = place(c.keys, &k_seg, &longest_k);
    for (int64_t b = 0; b < B; b++) samples.push_back((int32_t)(5 + b));
    q = rows(q_seg, q_rows, ld, 1), k = rows(k_seg, k_rows, ld, 2), v = rows(k_seg, k_rows, ld, 3),
    dout = rows(q_seg, q_rows, W, 4);
  }
  // The segments' rows; NaN between and beside them.
  numbers rows(const integers &seg, int64_t n, int64_t pitch, uint32_t stream) const {
    const numbers drawn = draw(n * pitch, stream);
    numbers x((size_t)(n * pitch), NAN);
    for (size_t b = 0; b < seg.size(); b += 2)
      for (int64_t r = seg[b]; r < seg[b] + seg[b + 1]; r++)
        for (int64_t e = r * pitch; e < r * pitch + W; e++) x[(size_t)e] = drawn[(size_t)e];
    return x;
  }
  int64_t place(const integers &lengths, integers *seg, int64_t *longest) const {
    int64_t row = 0;
    *longest = 0;
    for (int32_t n : lengths) {
      row += c.gaps;
      seg->insert(seg->end(), {(int32_t)row, n});
      row += n;
      *longest = n > *longest ? n : *longest;
    }
    return row + c.gaps;
  }
};

struct results {
  numbers o, lse, dq, dk, dv;
};

// By the definition: P = softmax(scale Q K'), O = (P m) V; m [B, H, S_q, S_k] are the dropout factors.
static results expected(const problem &a, double scale, const numbers &m) {
  const int64_t H = a.c.H, d = a.c.d;
  results r = {numbers((size_t)(a.q_rows * a.W)), numbers((size_t)(a.q_rows * H), NAN), numbers((size_t)(a.q_rows * a.ld), NAN),
               numbers((size_t)(a.k_rows * a.ld), NAN), numbers((size_t)(a.k_rows * a.ld), NAN)};
  for (int64_t b = 0; b < a.B; b++)
    for (int64_t h = 0; h < H; h++) {
      const int64_t q0 = a.q_seg[(size_t)(2 * b)], k0 = a.k_seg[(size_t)(2 * b)], nq = a.c.queries[(size_t)b],
                    nk = a.c.keys[(size_t)b];
      const auto at = [&](int64_t row, int64_t ld, int64_t c) { return (size_t)(row * ld + h * d + c); };
      for (int64_t j = 0; j < nk; j++)
        for (int64_t c = 0; c < d; c++) r.dk[at(k0 + j, a.ld, c)] = r.dv[at(k0 + j, a.ld, c)] = 0;
      for (int64_t i = 0; i < nq; i++) {
        numbers P((size_t)nk), dP((size_t)nk);
        double sum = 0, delta = 0;
        for (int64_t j = 0; j < nk; j++) {
          double s = 0;
          for (int64_t c = 0; c < d; c++) s += a.q[at(q0 + i, a.ld, c)] * a.k[at(k0 + j, a.ld, c)];
          sum += P[(size_t)j] = exp(scale * s);
        }
        r.lse[(size_t)((q0 + i) * H + h)] = log(sum);  // of no keys: -inf
        for (int64_t j = 0; j < nk; j++) {
          const double f = m[(size_t)(((b * H + h) * a.longest_q + i) * a.longest_k + j)];
          P[(size_t)j] /= sum;
          for (int64_t c = 0; c < d; c++) {
            r.o[at(q0 + i, a.W, c)] += P[(size_t)j] * f * a.v[at(k0 + j, a.ld, c)];
            r.dv[at(k0 + j, a.ld, c)] += P[(size_t)j] * f * a.dout[at(q0 + i, a.W, c)];
            dP[(size_t)j] += f * a.dout[at(q0 + i, a.W, c)] * a.v[at(k0 + j, a.ld, c)];
          }
          delta += P[(size_t)j] * dP[(size_t)j];
        }
        for (int64_t c = 0; c < d; c++) r.dq[at(q0 + i, a.ld, c)] = 0;
        for (int64_t j = 0; j < nk; j++) {
          const double ds = scale * P[(size_t)j] * (dP[(size_t)j] - delta);
          for (int64_t c = 0; c < d; c++) {
            r.dq[at(q0 + i, a.ld, c)] += ds * a.k[at(k0 + j, a.ld, c)];
            r.dk[at(k0 + j, a.ld, c)] += ds * a.q[at(q0 + i, a.ld, c)];
          }
        }
      }
    }
  return r;
}

// What the device makes of it; false where it refuses.
static bool computed(const problem &a, double scale, uint32_t step, const numbers &v, results *r) {
  typedef array<vbl_cuda::bf16> narrow;
  narrow q(a.q), k(a.k), vv(v), dout(a.dout), o(a.q_rows * a.W, 0), dq(a.q_rows * a.ld, NAN), dk(a.k_rows * a.ld, NAN),
      dv(a.k_rows * a.ld, NAN);
  array<float> lse(a.q_rows * a.c.H, NAN);
  int32_t *q_seg = upload(a.q_seg), *k_seg = upload(a.k_seg), *samples = upload(a.samples);
  const vbl_dropout drop = {a.c.p, {11, 4100}, step, samples};
  const vbl_heads h = {q.p,
                       k.p,
                       vv.p,
                       a.ld,
                       a.ld,
                       a.ld,
                       a.q_rows,
                       a.k_rows,
                       a.W,
                       a.ld,
                       a.ld,
                       a.ld,
                       (const int32_t(*)[2])q_seg,
                       (const int32_t(*)[2])k_seg,
                       a.B,
                       a.c.H,
                       a.c.d,
                       a.c.unknown ? 0 : a.longest_q,
                       a.c.unknown ? 0 : a.longest_k,
                       a.c.even,
                       scale,
                       &drop,
                       !a.c.gaps,
                       ordered};
  const bool done = gpu->attention_bf16(&h, o.p, lse.p, nullptr);
  const bool back = gpu->attention_bf16_backward(&h, o.p, lse.p, dout.p, dq.p, dk.p, dv.p, nullptr);
  CHECK(done == back, "%s: refused in one direction only", a.c.what);
  vbl_error err;
  CHECK(gpu->sync(nullptr, &err) == VBL_OK, "%s: %s", a.c.what, err.message);
  *r = {o.read(), lse.read(), dq.read(), dk.read(), dv.read()};
  for (int32_t *p : {q_seg, k_seg, samples}) gpu->free(p, 0);
  return done;
}

// |x - y| <= tolerance times the largest |y|, + absolute; NaN (never written) where y is NaN.
static void compare(const char *what, const char *which, const numbers &x, const numbers &y, double tolerance,
                    double absolute = 0) {
  double largest = 0, worst = 0;
  size_t wrong = 0, at = 0;
  for (double v : y)
    if (isfinite(v)) largest = fmax(largest, fabs(v));
  for (size_t i = 0; i < y.size(); i++) {
    const bool same = isnan(y[i]) ? isnan(x[i]) : isinf(y[i]) ? x[i] == y[i] : fabs(x[i] - y[i]) <= tolerance * largest + absolute;
    if (isfinite(y[i])) worst = fmax(worst, fabs(x[i] - y[i]));
    if (!same && wrong++ == 0) at = i;
  }
  CHECK(wrong == 0, "%s, %s: %zu of %zu wrong, first [%zu] = %g, expected %g; tolerance %g", what, which, wrong, y.size(), at,
        x[at], y[at], tolerance * largest + absolute);
  if (getenv("VERBOSE") != nullptr) printf("%s %s: worst %.2g of %.2g\n", what, which, worst / largest, tolerance);
}

// The dropout factors: with one-hot values O is P m, column by column of d.
static numbers mask_of(const problem &a, double scale, uint32_t step) {
  const int64_t H = a.c.H, d = a.c.d, nq = a.longest_q, nk = a.longest_k;
  numbers m((size_t)(a.B * H * nq * nk), 1);
  if (a.c.p == 0) return m;
  for (int64_t first = 0; first < nk; first += d) {
    numbers v((size_t)(a.k_rows * a.ld));
    for (int64_t b = 0; b < a.B; b++)
      for (int64_t j = first; j < first + d && j < a.c.keys[(size_t)b]; j++)
        for (int64_t h = 0; h < H; h++) v[(size_t)((a.k_seg[(size_t)(2 * b)] + j) * a.ld + h * d + j - first)] = 1;
    results r;
    computed(a, scale, step, v, &r);
    for (int64_t b = 0; b < a.B; b++)
      for (int64_t h = 0; h < H; h++)
        for (int64_t i = 0; i < a.c.queries[(size_t)b]; i++)
          for (int64_t j = first; j < first + d && j < a.c.keys[(size_t)b]; j++)
            m[(size_t)(((b * H + h) * nq + i) * nk + j)] =
                r.o[(size_t)((a.q_seg[(size_t)(2 * b)] + i) * a.W + h * d + j - first)] != 0 ? 1 / (1 - a.c.p) : 0;
  }
  return m;
}

static double scale_of(const sizes &c) { return 1 / sqrt((double)c.d); }

// delta = rowsum(dO O) is wrong by the roundings of O, each of 2^-8 of it at most and evenly spread; and dk sums it over the queries, times scale P q,
// where no dP balances it (a sample of one key has dk = 0). Numbers in [-1, 1) have deviation 1/sqrt(3), O at most 1 / (1 - p) of that; P <= 1.
static double delta_deviation(const sizes &c, int64_t queries) {
  const double third = 1 / sqrt(3.0), one = 0x1p-8 * third * third * third / (1 - c.p) * sqrt((double)c.d);
  return scale_of(c) * one * third * sqrt((double)queries);
}

// lse [B, H, S] of even rows, whose device's order is that of the rows or this, in the order of the rows.
static numbers upright(const problem &a, const numbers &lse, const numbers &expected) {
  const int64_t H = a.c.H, S = a.longest_q;
  numbers turned(lse.size());
  double here = 0, there = 0;
  if (!a.c.even) return lse;
  for (int64_t b = 0; b < a.B; b++)
    for (int64_t h = 0; h < H; h++)
      for (int64_t r = 0; r < S; r++) turned[(size_t)((b * S + r) * H + h)] = lse[(size_t)((b * H + h) * S + r)];
  for (size_t i = 0; i < lse.size(); i++) here += fabs(lse[i] - expected[i]), there += fabs(turned[i] - expected[i]);
  return there < here ? turned : lse;
}

// The device's results, to the roundings of bf16, under the dropout factors m; and once more, bit for bit.
static void agree(const problem &a, const numbers &m) {
  const sizes &c = a.c;
  results r, again, e = expected(a, scale_of(c), m);
  CHECK(computed(a, scale_of(c), 7, a.v, &r), "%s: refused", c.what);
  computed(a, scale_of(c), 7, a.v, &again);
  const bool same = memcmp(r.dq.data(), again.dq.data(), r.dq.size() * sizeof(double)) == 0;
  CHECK((same || (c.p > 0 && strstr(gpu->isa, "sm_100") != nullptr)) && r.o == again.o, "%s: does not repeat", c.what);
  // bf16 rounds by 2^-9 = 2e-3: the probabilities, then the result; backward also dS, and delta from a rounded O.
  compare(c.what, "o", r.o, e.o, 1e-2);
  compare(c.what, "lse", upright(a, r.lse, e.lse), e.lse, 1e-5);
  compare(c.what, "dq", r.dq, e.dq, 2e-2);
  compare(c.what, "dk", r.dk, e.dk, 2e-2, 5 * delta_deviation(c, a.longest_q));
  compare(c.what, "dv", r.dv, e.dv, 2e-2);
}
