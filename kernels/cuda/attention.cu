// Attention per sample and head, forward and backward, without the score matrix in memory (Vaswani et al. 2017; online softmax and
// recomputation as in FlashAttention-2, Dao 2023). f32, head width up to 128, any length.
//
// A block takes SOLO rows of one head (two a warp): queries in the forward and in dq, keys in dk and dv. It walks over the other side in
// tiles of TILE rows, one a lane, which lie in shared memory. A lane has one score and, of a result row, every 32nd column; a score
// reaches the other lanes by a shuffle. No atomics: results repeat bit for bit.
//   S = scale Q K',  P = softmax(S),  O = (P m) V;  dV = (P m)' dO,  dP = (dO V') m,  dS = P (dP - delta),  dQ = scale dS K,
//   dK = scale dS' Q, with m the dropout factors and delta = rowsum(dO O)
// defines: vbl_cuda_attention, vbl_cuda_attention_backward
#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

enum { WARPS = 4, PER = 2, SOLO = WARPS * PER, TILE = 32, WIDEST = 128 };

struct heads {
  const float *q, *k, *v;
  int64_t ldq, ldk, ldv;
  const int32_t (*q_seg)[2], (*k_seg)[2];
  int64_t B, H, d;
  float scale;
  site drop;
};

struct gradients {
  const float *o, *lse, *dout;
  float *delta, *dq, *dk, *dv;
  int64_t ldo, lddo, lddq, lddk, lddv;
};

// Rows first .. first + rows - 1 of a head's matrix (its first row at x) into shared memory, zeros past `end` and past d. C * 32 >= d.
template <int C, int PITCH>
static __device__ void load_rows(float (*to)[PITCH], int rows, const float *x, int64_t ld, int64_t first, int64_t end, int64_t d) {
  for (int i = threadIdx.x; i < rows * C * 32; i += WARPS * WARP) {
    const int r = i / (C * 32), c = i % (C * 32);
    to[r][c] = first + r < end && c < d ? x[(first + r) * ld + c] : 0;
  }
}

template <int C>
static __device__ float dot(const float *a, const float *b) {
  float sum = 0;
  for (int c = 0; c < C * 32; c++) sum += a[c] * b[c];
  return sum;
}

// acc[c] += sum over lanes j of w_j row[j][lane + 32 c]
template <int C, int PITCH>
static __device__ void add_rows(float *acc, float w, const float (*row)[PITCH]) {
  const int lane = (int)threadIdx.x % WARP;
  for (int j = 0; j < TILE; j++) {
    const float wj = __shfl_sync(~0u, w, j);
    for (int c = 0; c < C; c++) acc[c] += wj * row[j][lane + 32 * c];
  }
}

static __device__ float keep(const heads &a, int64_t b, int64_t h, int64_t query, int64_t key) {
  if (!a.drop.on) return 1;
  return at(keep4(a.drop, a.drop.rows[b], (int32_t)(query | h << 16), key / 4), (int)(key % 4));
}

// The tiles of SOLO rows that a block takes of a segment.
#define EACH_SOLO(first, rows) for (int64_t first = (int64_t)blockIdx.z * SOLO; first < (rows); first += (int64_t)gridDim.z * SOLO)
#define EACH_SAMPLE(b, B)      for (int64_t b = blockIdx.y; b < (B); b += gridDim.y)

template <int C>
static __global__ void forward_kernel(heads a, float *o, int64_t ldo, float *lse) {
  VBL_SHARED(float, Q, [SOLO][C * 32]);
  VBL_SHARED(float, K, [TILE][C * 32 + 1]);
  VBL_SHARED(float, V, [TILE][C * 32 + 1]);
  const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
  const int64_t h = blockIdx.x;
  EACH_SAMPLE(b, a.B) {
    const int64_t q0 = a.q_seg[b][0], queries = a.q_seg[b][1], k0 = a.k_seg[b][0], keys = a.k_seg[b][1];
    EACH_SOLO(first, queries) {
      float m[PER], l[PER], acc[PER][C];
      for (int r = 0; r < PER; r++) {
        m[r] = -INFINITY;
        l[r] = 0;
        for (int c = 0; c < C; c++) acc[r][c] = 0;
      }
      __syncthreads();
      load_rows<C>(Q, SOLO, a.q + q0 * a.ldq + h * a.d, a.ldq, first, queries, a.d);
      for (int64_t tile = 0; tile < keys; tile += TILE) {
        __syncthreads();
        load_rows<C>(K, TILE, a.k + k0 * a.ldk + h * a.d, a.ldk, tile, keys, a.d);
        load_rows<C>(V, TILE, a.v + k0 * a.ldv + h * a.d, a.ldv, tile, keys, a.d);
        __syncthreads();
        for (int r = 0; r < PER; r++) {
          const bool in = tile + lane < keys;
          const float s = in ? a.scale * dot<C>(Q[warp * PER + r], K[lane]) : -INFINITY;
          const float largest = fmaxf(m[r], group_max<WARP>(s)), shrink = expf(m[r] - largest), p = expf(s - largest);
          m[r] = largest;
          l[r] = l[r] * shrink + group_sum<WARP>(p);
          for (int c = 0; c < C; c++) acc[r][c] *= shrink;
          add_rows<C>(acc[r], in ? p * keep(a, b, h, first + warp * PER + r, tile + lane) : 0, V);
        }
      }
      for (int r = 0; r < PER; r++) {
        const int64_t i = first + warp * PER + r;
        if (i >= queries) continue;
        for (int c = 0; c < C; c++)
          if (lane + 32 * c < a.d) o[(q0 + i) * ldo + h * a.d + lane + 32 * c] = keys > 0 ? acc[r][c] / l[r] : 0;
        if (lane == 0) lse[(q0 + i) * a.H + h] = keys > 0 ? m[r] + logf(l[r]) : -INFINITY;
      }
    }
  }
}

template <int C>
static __global__ void dq_kernel(heads a, gradients g) {
  VBL_SHARED(float, Q, [SOLO][C * 32]);
  VBL_SHARED(float, dO, [SOLO][C * 32]);
  VBL_SHARED(float, K, [TILE][C * 32 + 1]);
  VBL_SHARED(float, V, [TILE][C * 32 + 1]);
  const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
  const int64_t h = blockIdx.x;
  EACH_SAMPLE(b, a.B) {
    const int64_t q0 = a.q_seg[b][0], queries = a.q_seg[b][1], k0 = a.k_seg[b][0], keys = a.k_seg[b][1];
    EACH_SOLO(first, queries) {
      float lse[PER], delta[PER], acc[PER][C];
      __syncthreads();
      load_rows<C>(Q, SOLO, a.q + q0 * a.ldq + h * a.d, a.ldq, first, queries, a.d);
      load_rows<C>(dO, SOLO, g.dout + q0 * g.lddo + h * a.d, g.lddo, first, queries, a.d);
      __syncthreads();
      for (int r = 0; r < PER; r++) {
        const int64_t row = q0 + first + warp * PER + r;
        const bool in = row < q0 + queries;
        float sum = 0;
        for (int c = lane; c < a.d && in; c += WARP) sum += dO[warp * PER + r][c] * g.o[row * g.ldo + h * a.d + c];
        delta[r] = group_sum<WARP>(sum);
        lse[r] = in ? g.lse[row * a.H + h] : 0;
        if (in && lane == 0) g.delta[row * a.H + h] = delta[r];
        for (int c = 0; c < C; c++) acc[r][c] = 0;
      }
      for (int64_t tile = 0; tile < keys; tile += TILE) {
        __syncthreads();
        load_rows<C>(K, TILE, a.k + k0 * a.ldk + h * a.d, a.ldk, tile, keys, a.d);
        load_rows<C>(V, TILE, a.v + k0 * a.ldv + h * a.d, a.ldv, tile, keys, a.d);
        __syncthreads();
        for (int r = 0; r < PER; r++) {
          const int64_t i = first + warp * PER + r;
          const bool in = tile + lane < keys && i < queries;
          float ds = 0;
          if (in) {
            const float p = expf(a.scale * dot<C>(Q[warp * PER + r], K[lane]) - lse[r]);
            ds = a.scale * p * (dot<C>(dO[warp * PER + r], V[lane]) * keep(a, b, h, i, tile + lane) - delta[r]);
          }
          add_rows<C>(acc[r], ds, K);
        }
      }
      for (int r = 0; r < PER; r++) {
        const int64_t i = first + warp * PER + r;
        for (int c = 0; c < C; c++)
          if (i < queries && lane + 32 * c < a.d) g.dq[(q0 + i) * g.lddq + h * a.d + lane + 32 * c] = acc[r][c];
      }
    }
  }
}

template <int C>
static __global__ void dkv_kernel(heads a, gradients g) {
  VBL_SHARED(float, K, [SOLO][C * 32]);
  VBL_SHARED(float, V, [SOLO][C * 32]);
  VBL_SHARED(float, Q, [TILE][C * 32 + 1]);
  VBL_SHARED(float, dO, [TILE][C * 32 + 1]);
  const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
  const int64_t h = blockIdx.x;
  EACH_SAMPLE(b, a.B) {
    const int64_t q0 = a.q_seg[b][0], queries = a.q_seg[b][1], k0 = a.k_seg[b][0], keys = a.k_seg[b][1];
    EACH_SOLO(first, keys) {
      float dk[PER][C], dv[PER][C];
      for (int r = 0; r < PER; r++)
        for (int c = 0; c < C; c++) dk[r][c] = dv[r][c] = 0;
      __syncthreads();
      load_rows<C>(K, SOLO, a.k + k0 * a.ldk + h * a.d, a.ldk, first, keys, a.d);
      load_rows<C>(V, SOLO, a.v + k0 * a.ldv + h * a.d, a.ldv, first, keys, a.d);
      for (int64_t tile = 0; tile < queries; tile += TILE) {
        __syncthreads();
        load_rows<C>(Q, TILE, a.q + q0 * a.ldq + h * a.d, a.ldq, tile, queries, a.d);
        load_rows<C>(dO, TILE, g.dout + q0 * g.lddo + h * a.d, g.lddo, tile, queries, a.d);
        __syncthreads();
        for (int r = 0; r < PER; r++) {
          const int64_t i = tile + lane, j = first + warp * PER + r;
          float ds = 0, weight = 0;
          if (i < queries && j < keys) {
            const float p = expf(a.scale * dot<C>(Q[lane], K[warp * PER + r]) - g.lse[(q0 + i) * a.H + h]), m = keep(a, b, h, i, j);
            weight = p * m;
            ds = a.scale * p * (dot<C>(dO[lane], V[warp * PER + r]) * m - g.delta[(q0 + i) * a.H + h]);
          }
          add_rows<C>(dv[r], weight, dO);
          add_rows<C>(dk[r], ds, Q);
        }
      }
      for (int r = 0; r < PER; r++) {
        const int64_t j = first + warp * PER + r;
        for (int c = 0; c < C; c++) {
          if (j >= keys || lane + 32 * c >= a.d) continue;
          g.dk[(k0 + j) * g.lddk + h * a.d + lane + 32 * c] = dk[r][c];
          g.dv[(k0 + j) * g.lddv + h * a.d + lane + 32 * c] = dv[r][c];
        }
      }
    }
  }
}

// The lengths are on the device: four blocks walk over a head's tiles, however many there are.
static dim3 grid_of(const heads &a) { return dim3((unsigned)a.H, (unsigned)(a.B < 65535 ? a.B : 65535), 4); }

// Launches kernel<C> for the head width.
#define LAUNCH_HEADS(kernel, a, s, ...)                                 \
  do {                                                                  \
    switch (((a).d + 31) / 32) {                                        \
      case 1:                                                           \
        VBL_LAUNCH(kernel<1>, grid_of(a), WARPS *WARP, s, __VA_ARGS__); \
        break;                                                          \
      case 2:                                                           \
        VBL_LAUNCH(kernel<2>, grid_of(a), WARPS *WARP, s, __VA_ARGS__); \
        break;                                                          \
      case 3:                                                           \
        VBL_LAUNCH(kernel<3>, grid_of(a), WARPS *WARP, s, __VA_ARGS__); \
        break;                                                          \
      default:                                                          \
        VBL_LAUNCH(kernel<4>, grid_of(a), WARPS *WARP, s, __VA_ARGS__); \
    }                                                                   \
  } while (0)

static bool nothing(const heads &a) {
  if (a.d > WIDEST) note_failure(VBL_EDEVICE, "attention heads wider than 128");
  return a.B == 0 || a.H == 0 || a.d == 0 || a.d > WIDEST;
}

void vbl_cuda_attention(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv,
                        const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d, double scale,
                        const vbl_dropout *drop, void *o, int64_t ldo, void *lse, vbl_stream s) {
  const heads a = {(const float *)q, (const float *)k, (const float *)v, ldq, ldk, ldv, q_seg, k_seg, B, H, d,
                   (float)scale,     site_of(drop)};
  if (!nothing(a)) LAUNCH_HEADS(forward_kernel, a, s, a, (float *)o, ldo, (float *)lse);
}

void vbl_cuda_attention_backward(const void *q, int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv,
                                 const int32_t (*q_seg)[2], const int32_t (*k_seg)[2], int64_t B, int64_t H, int64_t d,
                                 double scale, const vbl_dropout *drop, const void *o, int64_t ldo, const void *lse,
                                 const void *dout, int64_t lddo, void *delta, void *dq, int64_t lddq, void *dk, int64_t lddk,
                                 void *dv, int64_t lddv, vbl_stream s) {
  const heads a = {(const float *)q, (const float *)k, (const float *)v, ldq, ldk, ldv, q_seg, k_seg, B, H, d,
                   (float)scale,     site_of(drop)};
  const gradients g = {(const float *)o,
                       (const float *)lse,
                       (const float *)dout,
                       (float *)delta,
                       (float *)dq,
                       (float *)dk,
                       (float *)dv,
                       ldo,
                       lddo,
                       lddq,
                       lddk,
                       lddv};
  if (nothing(a)) return;
  LAUNCH_HEADS(dq_kernel, a, s, a, g);  // writes delta
  LAUNCH_HEADS(dkv_kernel, a, s, a, g);
}
