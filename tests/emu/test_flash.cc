// Attention with bf16 operands by vbl's own kernels on the emulated device, against plain loops in f64: lengths around the tiles' edges, every
// head width, packed, padded and strided rows, dropout's masks against the CPU's, empty samples, lengths unknown to the host, refusal. Run
// with VBL_CUDA_ATTENTION=own, or where cuDNN is missing.
#include "tests/emu/attention.h"

// The dropout factors by their definition (vbl_dropout).
static numbers factors(const problem &a, uint32_t step) {
  const int64_t H = a.c.H, nq = a.longest_q, nk = a.longest_k;
  numbers m((size_t)(a.B * H * nq * nk), 1);
  for (int64_t b = 0; b < a.B; b++)
    for (int64_t h = 0; h < H; h++)
      for (int64_t i = 0; i < a.c.queries[(size_t)b]; i++)
        for (int64_t j = 0; j < a.c.keys[(size_t)b]; j++) {
          const vbl_u32x4 u =
              vbl_philox({11, 4100}, (uint32_t)(j / 4), (uint32_t)(i | h << 16), (uint32_t)a.samples[(size_t)b], step);
          const bool kept = vbl_u32_to_unit(u.v[j % 4]) >= a.c.p;
          m[(size_t)(((b * H + h) * nq + i) * nk + j)] = kept ? 1 / (1 - a.c.p) : 0;
        }
  return m;
}

static void run(const sizes &c) {
  const problem a(c);
  agree(a, factors(a, 7));
}

// Read off the device: exactly the CPU's.
static void masks(const sizes &c) {
  const problem a(c);
  const numbers m = mask_of(a, scale_of(c), 7), e = factors(a, 7);
  int64_t wrong = 0;
  for (int64_t b = 0; b < a.B; b++)
    for (int64_t i = 0; i < c.H * a.c.queries[(size_t)b]; i++)
      for (int64_t j = 0; j < a.c.keys[(size_t)b]; j++) {
        const int64_t h = i / c.queries[(size_t)b], q = i % c.queries[(size_t)b];
        const size_t at = (size_t)(((b * c.H + h) * a.longest_q + q) * a.longest_k + j);
        wrong += m[at] != e[at];
      }
  CHECK(wrong == 0, "%s: %lld of dropout's decisions are not the CPU's", c.what, (long long)wrong);
}

// All scores near -256: where a tile is filled up with zeros past the last key, 2^(0 - lse) is no f32. (A column that all keys share cancels in
// dq, and in dk only to the roundings of dS times 32, so of these only that they are numbers.)
static void far_below_zero() {
  const sizes c = {"scores far below zero", 1, 16, {5}, {19}, false, false, 0};
  problem a(c);
  for (int64_t i = 0; i < a.q_rows; i++) a.q[(size_t)(i * a.ld)] = 32;
  for (int64_t j = 0; j < a.k_rows; j++) a.k[(size_t)(j * a.ld)] = -32;
  results r, e = expected(a, scale_of(c), factors(a, 7));
  CHECK(computed(a, scale_of(c), 7, a.v, &r), "%s: refused", c.what);
  compare(c.what, "o", r.o, e.o, 1e-2);
  compare(c.what, "lse", r.lse, e.lse, 1e-5);
  compare(c.what, "dv", r.dv, e.dv, 2e-2);
  size_t wrong = 0;
  for (size_t i = 0; i < e.dq.size(); i++) wrong += isfinite(e.dq[i]) && !isfinite(r.dq[i]);
  for (size_t i = 0; i < e.dk.size(); i++) wrong += isfinite(e.dk[i]) && !isfinite(r.dk[i]);
  CHECK(wrong == 0, "%s: %zu of the gradients are no numbers", c.what, wrong);
}

static void refused(int64_t d) {
  results r;
  const sizes c = {"a width that is not taken", 1, d, {5}, {4}, false, false, 0};
  const problem a(c);
  CHECK(!computed(a, 1, 1, a.v, &r), "heads of %d columns were taken", (int)d);
  CHECK(isnan(r.lse[0]) && r.o[0] == 0 && isnan(r.dq[0]), "a refusal wrote something");
}

int main() {
  const int missing = open_device();
  if (missing != 0) return missing;
  const integers lengths = {1, 15, 16, 17, 63, 64, 65, 197}, others = {197, 65, 64, 63, 17, 16, 15, 1};
  run({"packed rows", 1, 64, lengths, lengths, false, false, 0});
  run({"one side on another, dropout", 1, 64, lengths, others, false, true, 0.1});
  run({"images", 2, 32, {197, 197}, {197, 197}, true, false, 0});
  for (int64_t d = 8; d <= 128; d += 8) {
    const double p = d % 16 == 0 ? 0.2 : 0;
    run({"head widths", 2, d, {3, 70}, {35, 17}, false, true, p, d % 3});  // rows that are not 16-byte aligned, too
  }
  masks({"masks", 2, 24, {1, 70, 18}, {19, 67, 1}, false, true, 0.3});
  run({"empty samples", 2, 8, {4, 0, 6}, {0, 3, 5}, false, true, 0});
  run({"lengths that the host does not know", 1, 16, {300, 2}, {40, 9}, false, false, 0.1, 0, true});
  far_below_zero();
  refused(7);
  refused(136);
  printf("vbl's own attention in bf16 on %s: %s\n", gpu->isa, failures == 0 ? "ok" : "FAILED");
  return failures > 0;
}
