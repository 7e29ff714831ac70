// Attention with bf16 operands through cuDNN's fused graphs (sdpa.h). Segments of one length are read and written where they lie; others go
// through working memory, packed with zeros behind the last row where every row is some sample's, or padded: cuDNN's tiles may read past a sample's end,
// where P = 0, and 0 times what lies there must be 0. Plans are made once a shape (some tenths of a second) and kept. Dropout, short segments (heads.h),
// shapes that cuDNN does not take, a machine without it: vbl's own kernels (flash.cu). Heads that these do not take: cuDNN, or false, and the caller's
// f32 kernels do it.
// defines: vbl_cuda_attention_bf16, vbl_cuda_attention_bf16_backward, vbl_cuda::fused_attention
#include <stdio.h>

#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <tuple>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/cudnn.h"
#include "kernels/cuda/flash.h"
#include "kernels/cuda/parts.h"
#include "kernels/cuda/sdpa.h"
extern "C" {
#include "kernels/heads.h"
}

using namespace vbl_cuda;
using namespace vbl_graph;

enum : int64_t {
  BUCKET = 32,
  SPARE = 128
};  // lengths are rounded up to BUCKET; SPARE rows of zeros follow a matrix: tiles may read past it

namespace {

struct plans {
  sdpa shape;
  bool in_place;
  vbl_cudnn::plan *forward, *backward;  // both or neither
};

// One side of the attention: the segments of its rows, W = H d columns wide.
struct side {
  const int32_t (*seg)[2];
  const int32_t (*other)[2];  // the segments that it meets: where one is empty, results are 0
  int64_t B, S, rows, W, H;
  bool padded;
  int64_t places() const { return padded ? B * S : rows; }
};

}  // namespace

// Sample b's rows to [b, 0 .. S - 1], zeros past its length. W and ld in units of V: a number, or eight.
template <class V>
static __global__ void pad_kernel(const V *x, int64_t ld, side a, int64_t W, V *y) {
  for (int64_t b = blockIdx.y; b < a.B; b += gridDim.y) {
    const int64_t first = a.seg[b][0], n = a.seg[b][1];
    for (int64_t r = blockIdx.x; r < a.S; r += gridDim.x)
      for (int64_t c = threadIdx.x; c < W; c += blockDim.x) y[(b * a.S + r) * W + c] = r < n ? x[(first + r) * ld + c] : V{};
  }
}

// The rows of the segments back to [rows, ld]; zeros where the sample has nothing on the other side.
template <class V>
static __global__ void unpack_kernel(const V *y, side a, int64_t W, V *x, int64_t ld) {
  for (int64_t b = blockIdx.y; b < a.B; b += gridDim.y) {
    const int64_t first = a.seg[b][0], n = a.seg[b][1], from = a.padded ? b * a.S : first;
    const bool none = a.other[b][1] == 0;
    for (int64_t r = blockIdx.x; r < n; r += gridDim.x)
      for (int64_t c = threadIdx.x; c < W; c += blockDim.x) x[(first + r) * ld + c] = none ? V{} : y[(from + r) * W + c];
  }
}

// Whether rows of x are eights of numbers, each aligned to 16 bytes, as those of working memory are where W is a multiple of 8.
static bool in_eights(const side &a, const void *x, int64_t ld) {
  return a.W % PART == 0 && ld % PART == 0 && (uintptr_t)x % 16 == 0;
}
// A block's threads for rows of W.
static unsigned threads_for(int64_t W) {
  return (unsigned)(W < (int)THREADS ? (W + (int)WARP - 1) / (int)WARP * (int)WARP : (int)THREADS);
}

// The padded samples' lse: rows [.., H] in memory, [B, H, S] for cuDNN. Zeros past a length; -inf where the sample has nothing on the other side.
static __global__ void pad_stats_kernel(const float *lse, side a, float *stats) {
  for (int64_t b = blockIdx.y; b < a.B; b += gridDim.y) {
    const int64_t first = a.seg[b][0], n = a.seg[b][1];
    for (int64_t r = blockIdx.x; r < a.S; r += gridDim.x)
      for (int64_t h = threadIdx.x; h < a.H; h += blockDim.x)
        stats[(b * a.H + h) * a.S + r] = r < n ? lse[(first + r) * a.H + h] : 0;
  }
}
static __global__ void unpack_stats_kernel(const float *stats, side a, float *lse) {
  for (int64_t b = blockIdx.y; b < a.B; b += gridDim.y) {
    const int64_t first = a.seg[b][0], n = a.seg[b][1];
    const bool none = a.other[b][1] == 0;
    for (int64_t r = blockIdx.x; r < n; r += gridDim.x)
      for (int64_t h = threadIdx.x; h < a.H; h += blockDim.x) {
        float *to = lse + (first + r) * a.H + h;
        if (none)
          *to = -INFINITY;
        else if (a.padded)
          *to = stats[(b * a.H + h) * a.S + r];
      }
  }
}

static dim3 rows_grid(const side &a) { return dim3(blocks_for(a.S, 1), (unsigned)(a.B < 65535 ? a.B : 65535)); }

// What a plan reads beside the matrices, made on the device from what is there.
struct control {
  int32_t *lengths_q, *lengths_k;
  int64_t *offsets_q, *offsets_k, *offsets_stats, *seed, *offset;  // offset: 0
};

// The seed of the mask: of the site, the step and the micro-batch (by its first sample), so that a run repeats.
static __global__ void control_kernel(control c, side q, side k, site drop) {
  VBL_EACH(b, q.B + 1) {
    const int64_t last = b < q.B ? b : q.B - 1, past = b < q.B ? 0 : 1;
    const int64_t from_q = q.seg[last][0] + past * q.seg[last][1], from_k = k.seg[last][0] + past * k.seg[last][1];
    c.offsets_q[b] = from_q * q.W;
    c.offsets_k[b] = from_k * k.W;
    c.offsets_stats[b] = from_q * q.H;
    if (b < q.B) c.lengths_q[b] = q.seg[b][1], c.lengths_k[b] = k.seg[b][1];
    if (b > 0) continue;
    const vbl_u32x4 r = drop.on ? vbl_philox(drop.rng, 0, ~0u, (uint32_t)drop.rows[0], drop.step) : vbl_u32x4{{0, 0, 0, 0}};
    *c.seed = (int64_t)((uint64_t)r.v[0] << 31 ^ r.v[1]);
    *c.offset = 0;
  }
}

static int64_t aligned(int64_t bytes) { return (bytes + 255) / 256 * 256; }

namespace {

// Pieces of one block of working memory, each 256-byte aligned.
class pieces {
 public:
  explicit pieces(char *start) : base(start), used(0) {}
  template <class T>
  T *take(int64_t n) {
    T *p = (T *)(base + used);
    used += aligned(n * (int64_t)sizeof(T));
    return p;
  }
  int64_t bytes() const { return used; }

 private:
  char *base;
  int64_t used;
};

}  // namespace

static control take_control(pieces *m, int64_t B) {
  control c;
  c.lengths_q = m->take<int32_t>(B);
  c.lengths_k = m->take<int32_t>(B);
  c.offsets_q = m->take<int64_t>(B + 1);
  c.offsets_k = m->take<int64_t>(B + 1);
  c.offsets_stats = m->take<int64_t>(B + 1);
  c.seed = m->take<int64_t>(1);
  c.offset = m->take<int64_t>(1);
  return c;
}

static void bind_control(const control &c, bindings *b) {
  b->at[LENGTHS_Q] = c.lengths_q;
  b->at[LENGTHS_K] = c.lengths_k;
  b->at[OFFSETS_Q] = c.offsets_q;
  b->at[OFFSETS_K] = c.offsets_k;
  b->at[OFFSETS_STATS] = c.offsets_stats;
  b->at[SEED] = c.seed;
  b->at[OFFSET] = c.offset;
}

// The segments' rows in working memory.
static void pack_rows(const void *x, int64_t ld, const side &a, bf16 *y, vbl_stream s) {
  if (a.padded && in_eights(a, x, ld))
    return VBL_LAUNCH(pad_kernel<chunk>, rows_grid(a), threads_for(a.W / PART), s, (const chunk *)x, ld / PART, a, a.W / PART,
                      (chunk *)y);
  if (a.padded) return VBL_LAUNCH(pad_kernel<bf16>, rows_grid(a), threads_for(a.W), s, (const bf16 *)x, ld, a, a.W, y);
  const int64_t from[] = {ld, 1}, to[] = {a.W, 1}, shape[] = {a.rows, a.W};
  vbl_cuda_copy(VBL_BF16, x, from, VBL_BF16, y, to, 2, shape, s);
  vbl_cuda_fill(VBL_BF16, y + a.rows * a.W, SPARE * a.W, 0, s);
}

static bf16 *take_rows(pieces *m, const side &a) { return m->take<bf16>((a.places() + (a.padded ? 0 : (int64_t)SPARE)) * a.W); }

static void unpack(const bf16 *y, const side &a, void *x, int64_t ld, vbl_stream s) {
  if (in_eights(a, x, ld))
    VBL_LAUNCH(unpack_kernel<chunk>, rows_grid(a), threads_for(a.W / PART), s, (const chunk *)y, a, a.W / PART, (chunk *)x,
               ld / PART);
  else
    VBL_LAUNCH(unpack_kernel<bf16>, rows_grid(a), threads_for(a.W), s, y, a, a.W, (bf16 *)x, ld);
}

// Whether cuDNN can read the matrices where they lie; what is written core has made, aligned as whole matrices are.
static bool aligned_rows(const vbl_heads *a) {
  const int64_t pitches = a->ldq | a->ldk | a->ldv | a->ldo | a->lddq | a->lddk | a->lddv;
  return pitches % 8 == 0 && ((uintptr_t)a->q | (uintptr_t)a->k | (uintptr_t)a->v) % 16 == 0;
}

static void tell_refused(const vbl_heads *a, const char *why) {
  static std::atomic<bool> told;
  if (told.exchange(true)) return;
  fprintf(stderr, "vbl: no plan of cuDNN's for attention of %d x %d heads of %d (%s): vbl's own kernels do it (told once)\n",
          (int)a->B, (int)a->H, (int)a->d, why);
}

// The first layout that cuDNN takes in both directions. Sums in a fixed order come first, so that runs repeat bit for bit.
static plans make_plans(const vbl_heads *a, int64_t S_q, int64_t S_k) {
  static const struct {
    layout rows;
    bool ordered, in_place;
  } ways[] = {{EVEN, true, true},  {EVEN, true, false},  {RAGGED, true, false}, {PADDED, true, false},
              {EVEN, false, true}, {EVEN, false, false}, {PADDED, false, false}};
  const pitches given = {a->ldq, a->ldk, a->ldv, a->ldo, a->lddq, a->lddk, a->lddv}, compact = {};
  char why[512] = "", first[512] = "";
  uncapture("new sizes of attention");
  graph *g = new graph;
  for (const auto &way : ways) {
    if ((way.rows == EVEN) != a->even || (way.rows == RAGGED && !a->whole)) continue;
    if ((!way.ordered && a->ordered) || (way.in_place && !aligned_rows(a))) continue;
    plans p = {
        {a->B, a->H, a->d, S_q, S_k, way.rows, a->drop != nullptr ? a->drop->p : 0, way.ordered, way.in_place ? given : compact},
        way.in_place,
        nullptr,
        nullptr};
    sdpa_forward(p.shape, (float)a->scale, g);
    p.forward = vbl_cudnn::make(*g, why, sizeof why);
    if (p.forward != nullptr) {
      sdpa_backward(p.shape, (float)a->scale, g);
      p.backward = vbl_cudnn::make(*g, why, sizeof why);
    }
    if (p.backward != nullptr) {
      delete g;
      return p;
    }
    vbl_cudnn::drop(p.forward);
    if (first[0] == '\0') snprintf(first, sizeof first, "%s", why);
  }
  delete g;
  tell_refused(a, first);
  return {{}, false, nullptr, nullptr};
}

bool vbl_cuda::fused_attention(char *why, size_t size) {
  const sdpa images = {2, 12, 64, 197, 197, EVEN, 0, true, {}};
  graph *g = new graph;
  sdpa_forward(images, 0.125f, g);
  vbl_cudnn::plan *forward = vbl_cudnn::make(*g, why, size), *backward = nullptr;
  if (forward != nullptr) sdpa_backward(images, 0.125f, g), backward = vbl_cudnn::make(*g, why, size);
  const bool taken = backward != nullptr;
  vbl_cudnn::drop(forward);
  vbl_cudnn::drop(backward);
  delete g;
  return taken;
}

static int64_t bucket(int64_t S, bool even) { return even ? S : (S + BUCKET - 1) / BUCKET * BUCKET; }

// VBL_CUDA_ATTENTION=own: vbl's own kernels always; =cudnn: cuDNN wherever it makes a plan.
static bool asked(const char *for_what) {
  const char *how = getenv("VBL_CUDA_ATTENTION");
  return how != nullptr && strcmp(how, for_what) == 0;
}

// The plans for a shape, NULL where there are none or vbl's own kernels are to do it.
static const plans *plans_for(const vbl_heads *a) {
  typedef std::tuple<std::array<int64_t, 12>, bool, bool, double, double, bool> key;
  static std::map<key, plans> *known = new std::map<key, plans>;
  static std::mutex lock;
  static const bool on = !asked("own") && vbl_cudnn::missing() == nullptr, always = asked("cudnn");
  if (!on || (!always && vbl_heads_own(a)) || a->B == 0 || a->H == 0 || a->d == 0 || a->longest_q == 0 || a->longest_k == 0)
    return nullptr;
  const int64_t S_q = bucket(a->longest_q, a->even), S_k = bucket(a->longest_k, a->even);
  std::array<int64_t, 12> sizes = {a->B, a->H, a->d, S_q, S_k};
  if (a->even && aligned_rows(a)) sizes = {a->B, a->H, a->d, S_q, S_k, a->ldq, a->ldk, a->ldv, a->ldo, a->lddq, a->lddk, a->lddv};
  const key k(sizes, a->even, a->whole, a->drop != nullptr ? a->drop->p : 0, a->scale, a->ordered);
  std::lock_guard<std::mutex> hold(lock);
  auto at = known->find(k);
  if (at == known->end()) at = known->emplace(k, make_plans(a, S_q, S_k)).first;
  return at->second.forward != nullptr ? &at->second : nullptr;
}

namespace {

// The working memory of one call: laid out twice, first to count it.
struct work {
  side q, k;
  bool in_place;
  control c;
  bf16 *Q_, *K_, *V_, *O_, *dO, *dQ, *dK, *dV;
  float *stats, *delta, *dq_sum;
  void *workspace;

  work(const vbl_heads *a, const plans &p) : in_place(p.in_place) {
    const bool padded = p.shape.rows == PADDED;
    q = {a->q_seg, a->k_seg, a->B, p.shape.S_q, a->q_rows, a->H * a->d, a->H, padded};
    k = {a->k_seg, a->q_seg, a->B, p.shape.S_k, a->k_rows, a->H * a->d, a->H, padded};
  }
  int64_t lay_out(char *start, const sdpa &shape, size_t workspace_bytes, bool backward) {
    pieces m(start);
    c = take_control(&m, shape.B);
    if (!in_place) {
      Q_ = take_rows(&m, q);
      K_ = take_rows(&m, k);
      V_ = take_rows(&m, k);
      O_ = take_rows(&m, q);
    }
    if (!in_place && backward) {
      dO = take_rows(&m, q);
      dQ = take_rows(&m, q);
      dK = take_rows(&m, k);
      dV = take_rows(&m, k);
    }
    stats = m.take<float>(q.padded ? q.places() * q.H : 0);
    if (backward) {
      delta = m.take<float>(shape.B * shape.H * shape.S_q);
      dq_sum = m.take<float>(shape.ordered ? 0 : shape.B * shape.H * shape.S_q * shape.d);
    }
    workspace = m.take<char>((int64_t)workspace_bytes);
    return m.bytes();
  }
  // The operand where the plan is to read it: itself, or its rows packed into `space`.
  void *given(const void *x, int64_t ld, const side &a, bf16 *space, vbl_stream s) const {
    if (in_place) return (void *)x;
    pack_rows(x, ld, a, space, s);
    return space;
  }
  // Where the plan is to write a result; `taken` brings it where it belongs.
  void *space(void *x, bf16 *own) const { return in_place ? x : own; }
  void taken(const bf16 *own, const side &a, void *x, int64_t ld, vbl_stream s) const {
    if (!in_place) unpack(own, a, x, ld, s);
  }
  void start(const vbl_heads *a, bindings *b, vbl_stream s) {
    VBL_LAUNCH(control_kernel, blocks_for(q.B + 1), THREADS, s, c, q, k, site_of(a->drop));
    bind_control(c, b);
    b->at[Q] = given(a->q, a->ldq, q, Q_, s);
    b->at[K] = given(a->k, a->ldk, k, K_, s);
    b->at[V] = given(a->v, a->ldv, k, V_, s);
  }
};

void execute(const vbl_cudnn::plan *p, const bindings &b, void *workspace, vbl_stream s) {
  const char *failure = vbl_cudnn::run(p, b, workspace, queue(s));
  if (failure == nullptr) return;
  static char text[192];
  snprintf(text, sizeof text, "attention by cuDNN: %s (VBL_CUDA_ATTENTION=own does without)", failure);
  note_failure(VBL_EDEVICE, text);
}

}  // namespace

bool vbl_cuda_attention_bf16(const vbl_heads *a, void *o, void *lse, vbl_stream s) {
  const plans *p = plans_for(a);
  if (p == nullptr) return flash_forward(a, o, lse, s);
  work w(a, *p);
  const size_t bytes = vbl_cudnn::workspace(p->forward);
  scratch memory((size_t)w.lay_out(nullptr, p->shape, bytes, false), s);
  if (memory.p == nullptr) return true;
  w.lay_out((char *)memory.p, p->shape, bytes, false);
  bindings b = {};
  w.start(a, &b, s);
  b.at[O] = w.space(o, w.O_);
  b.at[STATS] = w.q.padded ? (void *)w.stats : lse;
  execute(p->forward, b, w.workspace, s);
  w.taken(w.O_, w.q, o, a->ldo, s);
  if (!a->even) VBL_LAUNCH(unpack_stats_kernel, rows_grid(w.q), THREADS, s, w.stats, w.q, (float *)lse);
  return true;
}

bool vbl_cuda_attention_bf16_backward(const vbl_heads *a, const void *o, const void *lse, const void *dout, void *dq, void *dk,
                                      void *dv, vbl_stream s) {
  const plans *p = plans_for(a);
  if (p == nullptr) return flash_backward(a, o, lse, dout, dq, dk, dv, s);
  work w(a, *p);
  const size_t bytes = vbl_cudnn::workspace(p->backward);
  scratch memory((size_t)w.lay_out(nullptr, p->shape, bytes, true), s);
  if (memory.p == nullptr) return true;
  w.lay_out((char *)memory.p, p->shape, bytes, true);
  bindings b = {};
  w.start(a, &b, s);
  b.at[O] = w.given(o, a->ldo, w.q, w.O_, s);
  b.at[DO] = w.given(dout, a->ldo, w.q, w.dO, s);
  if (w.q.padded) VBL_LAUNCH(pad_stats_kernel, rows_grid(w.q), THREADS, s, (const float *)lse, w.q, w.stats);
  b.at[STATS] = w.q.padded ? (void *)w.stats : (void *)lse;
  b.at[DQ] = w.space(dq, w.dQ), b.at[DK] = w.space(dk, w.dK), b.at[DV] = w.space(dv, w.dV);
  b.at[DELTA] = w.delta, b.at[DQ_SUM] = w.dq_sum;
  execute(p->backward, b, w.workspace, s);
  w.taken(w.dQ, w.q, dq, a->lddq, s);
  w.taken(w.dK, w.k, dk, a->lddk, s);
  w.taken(w.dV, w.k, dv, a->lddv, s);
  return true;
}
