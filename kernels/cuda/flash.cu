// Attention per sample and head with bf16 operands on the tensor cores, forward and backward, without the score matrix in memory (Vaswani
// et al. 2017; Dao 2023, FlashAttention-2: online softmax, scores computed again in backward). Head width a multiple of 8 up to 128, any
// length, dropout with the CPU's masks.
//
// A block takes OWN rows of one head, 16 a warp: queries in the forward and in dq, keys in dk and dv. It walks over the other side in tiles.
// Operands and results are bf16; P and dS are rounded in registers, where the fragment that one product leaves is the operand that the next
// one takes. Sums and lse are f32. No atomics: results repeat bit for bit.
//   S = scale Q K',  P = softmax(S),  O = (P m) V;  dV = (P m)' dO,  dP = (dO V') m,  dS = P (dP - delta),  dQ = scale dS K,
//   dK = scale dS' Q, with m the dropout factors and delta = rowsum(dO O)
// dq's kernel and dk's are one: each makes dS from its own rows X, Y and the tile's U, W, and sums dS U; dk's also sums (P m)' W.
//
// Floor, per head: 4 q k d FLOP forward (2 products) and 10 q k d backward (5); these do 4 and 14, since both kernels of the backward make S and
// dP. Bytes: q, k, v once (from L2 once per OWN rows of the other side), o and lse; backward: q, k, v, o, dO and the gradients.
// defines: vbl_cuda::{flash_forward, flash_backward}
#include "kernels/cuda/backend.h"
#include "kernels/cuda/flash.h"
#include "kernels/cuda/tiles.h"
extern "C" {
#include "kernels/heads.h"
}

using namespace vbl_cuda;

enum { OWN = 16 * WARPS, TILE = 32 };

#define LOG2_E 1.4426950408889634f
#define LN_2   0.69314718055994531f

namespace {

struct gradients {
  const bf16 *o, *dout;
  const float *lse;
  float *delta;
  bf16 *dq, *dk, *dv;
};

// A head of one sample's rows: row 0 at x.
struct matrix {
  const bf16 *x;
  int64_t ld, n;
};

}  // namespace

static __device__ inline matrix head_of(const void *x, int64_t ld, const int32_t *seg, int64_t h, int64_t d) {
  return {(const bf16 *)x + seg[0] * ld + h * d, ld, seg[1]};
}

// The OWN rows that a block takes of a segment, and the samples.
#define EACH_OWN(first, rows) for (int64_t first = (int64_t)blockIdx.z * OWN; first < (rows); first += (int64_t)gridDim.z * OWN)
#define EACH_SAMPLE(b, B)     for (int64_t b = blockIdx.y; b < (B); b += gridDim.y)

// One tile of the online softmax: scores s (of keys from `tile` on) become weights 2^(s - m); m, the largest so far, l, this lane's share of
// the weights' sum, and the weighted sums acc are brought to the new m.
template <int D>
static __device__ inline void soften(float (*s)[4], float scale, int64_t tile, int64_t keys, float *m, float *l, float (*acc)[4]) {
  const int column = (int)threadIdx.x % 4 * 2;
  VBL_UNROLL
  for (int r = 0; r < 2; r++) {
    float largest = m[r];
    VBL_UNROLL
    for (int i = 0; i < TILE / 4; i++) {  // element i % 2 of the row's share of fragment i / 2
      float &x = s[i / 2][2 * r + i % 2];
      x = tile + i / 2 * 8 + column + i % 2 < keys ? x * scale : -INFINITY;
      largest = fmaxf(largest, x);
    }
    largest = quad_max(largest);
    const float shrink = exp2f(m[r] - largest);
    m[r] = largest;
    l[r] *= shrink;
    VBL_UNROLL
    for (int i = 0; i < TILE / 4; i++) {
      float &x = s[i / 2][2 * r + i % 2];
      x = exp2f(x - largest);
      l[r] += x;
    }
    VBL_UNROLL
    for (int i = 0; i < D / 4; i++) acc[i / 2][2 * r + i % 2] *= shrink;
  }
}

template <int D>
static __global__ void __launch_bounds__(BLOCK, 1) forward_kernel(vbl_heads a, site drop, bf16 *o, float *lse) {
  VBL_SHARED(rows<D>, Q, [OWN]);
  VBL_SHARED(rows<D>, K, [TILE]);
  VBL_SHARED(rows<D>, V, [TILE]);
  const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
  const int64_t h = blockIdx.x;
  const float scale = (float)a.scale * LOG2_E;
  EACH_SAMPLE(b, a.B) {
    const matrix q = head_of(a.q, a.ldq, a.q_seg[b], h, a.d), k = head_of(a.k, a.ldk, a.k_seg[b], h, a.d),
                 v = head_of(a.v, a.ldv, a.k_seg[b], h, a.d);
    const int64_t q0 = a.q_seg[b][0];
    EACH_OWN(block, q.n) {
      const int64_t first = block + warp * 16;
      float m[2] = {-INFINITY, -INFINITY}, l[2] = {0, 0}, acc[D / 8][4] = {};
      __syncthreads();
      fill_rows<D, OWN>(Q, q.x, q.ld, block, q.n, a.d);
      staged<D, TILE> next_k, next_v;  // on their way while the tile before is computed
      next_k.load(k.x, k.ld, 0, k.n, a.d);
      next_v.load(v.x, v.ld, 0, k.n, a.d);
      for (int64_t tile = 0; tile < k.n; tile += TILE) {
        __syncthreads();
        next_k.store(K);
        next_v.store(V);
        __syncthreads();
        next_k.load(k.x, k.ld, tile + TILE, k.n, a.d);
        next_v.load(v.x, v.ld, tile + TILE, k.n, a.d);
        if (first >= q.n) continue;  // the warp has no rows
        float s[TILE / 8][4] = {};
        add_product<D, TILE>(s, Q + warp * 16, K);
        soften<D>(s, scale, tile, k.n, m, l, acc);
        VBL_UNROLL
        for (int n = 0; n < TILE / 8; n++) {
          const uint32_t kept = drop.on ? draw_kept<false>(drop, drop.rows[b], h, first, tile + 8 * n) : 15;
          VBL_UNROLL
          for (int e = 0; e < 4; e++) s[n][e] = kept >> e & 1 ? s[n][e] : 0;
        }
        add_weighted<D, TILE>(acc, s, V);
      }
      if (first >= q.n) continue;
      float factor[2];
      for (int r = 0; r < 2; r++) {
        const float sum = quad_sum(l[r]);
        const int64_t i = first + lane / 4 + 8 * r;
        factor[r] = k.n > 0 ? drop.scale / sum : 0;
        if (lane % 4 == 0 && i < q.n) lse[(q0 + i) * a.H + h] = k.n > 0 ? (m[r] + log2f(sum)) * LN_2 : -INFINITY;
      }
      write_rows<D>(acc, factor, o + q0 * a.ldo + h * a.d, a.ldo, first, q.n, a.d);
    }
  }
}

// delta of the warp's rows g and g + 8, from dO in shared memory and O; lse of the same rows, to base 2.
template <int D>
static __device__ inline void row_sums(const vbl_heads &a, const gradients &g, const rows<D> *dO, int64_t q0, int64_t first,
                                       int64_t queries, float *lse, float *delta) {
  const int lane = (int)threadIdx.x % WARP, t = lane % 4;
  const int64_t h = blockIdx.x;
  for (int r = 0; r < 2; r++) {
    const int own = lane / 4 + 8 * r;
    const int64_t row = q0 + first + own;
    const bool in = first + own < queries;
    const bf16 *o = g.o + row * a.ldo + h * a.d + 2 * t;
    float sum = 0;
    for (int n = 0; 8 * n < a.d && in; n++) {
      const uint32_t pair = dO[own][n].pair[t];
      sum += __uint_as_float(pair << 16) * (float)load(o[8 * n]) + __uint_as_float(pair & 0xffff0000u) * (float)load(o[8 * n + 1]);
    }
    delta[r] = quad_sum(sum);
    lse[r] = in ? g.lse[row * a.H + h] * LOG2_E : 0;
    if (in && t == 0) g.delta[row * a.H + h] = delta[r];
  }
}

// KEYS: dk and dv of the keys that it owns. Else dq and delta of the queries.
template <int D, int N, bool KEYS>
static __global__ void __launch_bounds__(BLOCK, 1) backward_kernel(vbl_heads a, site drop, gradients g) {
  VBL_SHARED(rows<D>, X, [OWN]);  // Q or K
  VBL_SHARED(rows<D>, Y, [OWN]);  // dO or V
  VBL_SHARED(rows<D>, U, [N]);    // K or Q
  VBL_SHARED(rows<D>, W, [N]);    // V or dO
  VBL_SHARED(float, tile_lse, [N]);
  VBL_SHARED(float, tile_delta, [N]);
  const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP, column = lane % 4 * 2;
  const int64_t h = blockIdx.x;
  const float scale = (float)a.scale * LOG2_E;
  EACH_SAMPLE(b, a.B) {
    const matrix q = head_of(a.q, a.ldq, a.q_seg[b], h, a.d), k = head_of(a.k, a.ldk, a.k_seg[b], h, a.d),
                 v = head_of(a.v, a.ldv, a.k_seg[b], h, a.d), dout = head_of(g.dout, a.ldo, a.q_seg[b], h, a.d);
    const matrix x = KEYS ? k : q, y = KEYS ? v : dout, u = KEYS ? q : k, w = KEYS ? dout : v;
    const int64_t q0 = a.q_seg[b][0], k0 = a.k_seg[b][0];
    EACH_OWN(block, x.n) {
      const int64_t first = block + warp * 16;
      float du[D / 8][4] = {}, dw[KEYS ? D / 8 : 1][4] = {}, lse[2] = {}, delta[2] = {};
      __syncthreads();
      fill_rows<D, OWN>(X, x.x, x.ld, block, x.n, a.d);
      fill_rows<D, OWN>(Y, y.x, y.ld, block, x.n, a.d);
      __syncthreads();
      if (!KEYS) row_sums<D>(a, g, Y + warp * 16, q0, first, x.n, lse, delta);
      staged<D, N> next_u, next_w;
      next_u.load(u.x, u.ld, 0, u.n, a.d);
      next_w.load(w.x, w.ld, 0, u.n, a.d);
      for (int64_t tile = 0; tile < u.n; tile += N) {
        __syncthreads();
        next_u.store(U);
        next_w.store(W);
        for (int i = (int)threadIdx.x; KEYS && i < N; i += (int)blockDim.x) {
          const bool in = tile + i < u.n;  // else P = 0
          tile_lse[i] = in ? g.lse[(q0 + tile + i) * a.H + h] * LOG2_E : INFINITY;
          tile_delta[i] = in ? g.delta[(q0 + tile + i) * a.H + h] : 0;
        }
        __syncthreads();
        next_u.load(u.x, u.ld, tile + N, u.n, a.d);
        next_w.load(w.x, w.ld, tile + N, u.n, a.d);
        if (first >= x.n) continue;  // the warp has no rows
        float s[N / 8][4] = {}, ds[N / 8][4] = {};
        add_product<D, N>(s, X + warp * 16, U);
        add_product<D, N>(ds, Y + warp * 16, W);
        VBL_UNROLL
        for (int n = 0; n < N / 8; n++) {
          const uint32_t kept = drop.on ? draw_kept<KEYS>(drop, drop.rows[b], h, first, tile + 8 * n) : 15;
          VBL_UNROLL
          for (int e = 0; e < 4; e++) {
            const int c = 8 * n + column + e % 2;
            const float p = KEYS || tile + c < u.n ? exp2f(s[n][e] * scale - (KEYS ? tile_lse[c] : lse[e / 2])) : 0;
            const bool keep = kept >> e & 1;
            s[n][e] = keep ? p : 0;
            ds[n][e] = p * ((keep ? ds[n][e] * drop.scale : 0) - (KEYS ? tile_delta[c] : delta[e / 2]));
          }
        }
        if (KEYS) add_weighted<D, N>(dw, s, W);
        add_weighted<D, N>(du, ds, U);
      }
      if (first >= x.n) continue;
      const float scales[] = {(float)a.scale, (float)a.scale}, keeps[] = {drop.scale, drop.scale};
      if (KEYS) {
        write_rows<D>(du, scales, g.dk + k0 * a.lddk + h * a.d, a.lddk, first, x.n, a.d);
        write_rows<D>(dw, keeps, g.dv + k0 * a.lddv + h * a.d, a.lddv, first, x.n, a.d);
      } else {
        write_rows<D>(du, scales, g.dq + q0 * a.lddq + h * a.d, a.lddq, first, x.n, a.d);
      }
    }
  }
}

// The lengths are on the device: blocks for the longest, or four a head, walk over what there is.
static dim3 grid_of(const vbl_heads &a, int64_t longest) {
  return dim3((unsigned)a.H, (unsigned)(a.B < 65535 ? a.B : 65535), blocks_for(longest > 0 ? longest : 4 * OWN, OWN));
}

template <int D>
static void forward(const vbl_heads &a, bf16 *o, float *lse, vbl_stream s) {
  VBL_LAUNCH(forward_kernel<D>, grid_of(a, a.longest_q), BLOCK, s, a, site_of(a.drop), o, lse);
}

// At the widest head the tiles are halved, so that they fit the 48 KiB of shared memory that every device gives without being asked.
template <int D>
static void backward(const vbl_heads &a, const gradients &g, vbl_stream s) {
  enum { N = D > 96 ? TILE / 2 : TILE };
  VBL_LAUNCH((backward_kernel<D, N, false>), grid_of(a, a.longest_q), BLOCK, s, a, site_of(a.drop), g);  // writes delta
  VBL_LAUNCH((backward_kernel<D, N, true>), grid_of(a, a.longest_k), BLOCK, s, a, site_of(a.drop), g);
}

bool vbl_cuda::flash_forward(const vbl_heads *a, void *o, void *lse, vbl_stream s) {
  static void (*const by_width[])(const vbl_heads &, bf16 *, float *, vbl_stream) = {forward<32>, forward<64>, forward<96>,
                                                                                     forward<128>};
  if (!vbl_heads_fit(a)) return false;
  by_width[(a->d - 1) / 32](*a, (bf16 *)o, (float *)lse, s);
  return true;
}

bool vbl_cuda::flash_backward(const vbl_heads *a, const void *o, const void *lse, const void *dout, void *dq, void *dk, void *dv,
                              vbl_stream s) {
  static void (*const by_width[])(const vbl_heads &, const gradients &, vbl_stream) = {backward<32>, backward<64>, backward<96>,
                                                                                       backward<128>};
  if (!vbl_heads_fit(a)) return false;
  scratch delta((size_t)(a->q_rows * a->H) * sizeof(float), s);
  if (delta.p == nullptr) return true;  // the next sync reports it
  const gradients g = {(const bf16 *)o, (const bf16 *)dout, (const float *)lse, (float *)delta.p,
                       (bf16 *)dq,      (bf16 *)dk,         (bf16 *)dv};
  by_width[(a->d - 1) / 32](*a, g, s);
  return true;
}
