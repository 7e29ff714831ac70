// Rows by index, BERT's embedding sum, images to patches, patches to the rows of a ViT.
// defines: vbl_cuda_gather_rows, vbl_cuda_scatter_add_rows, vbl_cuda_text_embedding, vbl_cuda_patchify, vbl_cuda_vit_assemble
#include <initializer_list>

#include "kernels/blocks.h"
#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

// Rows by a warp each, D numbers or (where all rows are aligned to 16 bytes) D fours of them wide.
#define EACH_COLUMN(c, D) for (int64_t c = threadIdx.x % WARP; c < (D); c += WARP)

static __device__ float plus(float a, float b) { return a + b; }
static __device__ float4 plus(float4 a, const float4 &b) {
  a.x += b.x, a.y += b.y, a.z += b.z, a.w += b.w;
  return a;
}

static bool in_fours(int64_t D, std::initializer_list<const void *> rows) {
  uintptr_t bits = (uintptr_t)(D * 4);
  for (const void *p : rows) bits |= (uintptr_t)p;
  return bits % 16 == 0;
}

// Columns that a warp gathers of a row; a wide row, all of an image's tokens, is many warps' work.
#ifdef __CUDACC__
enum { PIECE = 1024 };
#else
enum { PIECE = 64 };
#endif
static dim3 pieces_grid(unsigned rows, int64_t D, int64_t piece) {
  const int64_t pieces = (D + piece - 1) / piece, most = 64;
  return dim3(rows, (unsigned)(pieces < most ? pieces : most));
}

template <class V>
static __global__ void gather_kernel(const V *x, const int32_t *index, V *y, int64_t n, int64_t D) {
  for (int64_t i = first_row<WARP>(); i < n; i += row_step<WARP>()) {
    const int64_t from = index[i];
    for (int64_t first = (int64_t)blockIdx.y * PIECE; first < D; first += (int64_t)gridDim.y * PIECE) {
      const int64_t end = first + PIECE < D ? first + PIECE : D;
      for (int64_t c = first + threadIdx.x % WARP; c < end; c += WARP) y[i * D + c] = from < 0 ? V{} : x[from * D + c];
    }
  }
}

template <class V>
static void gather(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, vbl_stream s) {
  VBL_LAUNCH(gather_kernel<V>, pieces_grid(blocks_for(n, THREADS / WARP), D, PIECE), THREADS, s, (const V *)x, index, (V *)y, n, D);
}

void vbl_cuda_gather_rows(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, vbl_stream s) {
  if (n * D == 0) return;
  return in_fours(D, {x, y}) ? gather<float4>(x, index, y, n, D / 4, s) : gather<float>(x, index, y, n, D, s);
}

// A block's threads compare SCAN indices at a time; what it finds are offsets from the first of them, in their order.
enum { AT_ONCE = 4, SCAN = AT_ONCE * THREADS };
struct matches {
  int count;
  uint16_t at[SCAN];
};

// Whether one of the `end` first indices is `to`: the same answer in the whole block.
static __device__ bool any_equal(const int32_t *index, int32_t to, int64_t end) {
  for (int64_t first = 0; first < end; first += SCAN) {
    int here = 0;
    for (int64_t at = first + threadIdx.x; at < first + SCAN; at += THREADS) here |= at < end && index[at] == to;
    if (group_max<THREADS>(here) != 0) return true;
  }
  return false;
}

// Which of SCAN indices from `first` on, up to n, are `to`. A warp finds those of its AT_ONCE * 32 indices.
static __device__ void find_equal(const int32_t *index, int32_t to, int64_t first, int64_t n, matches *m) {
  VBL_SHARED(unsigned, marks, [SCAN / WARP]);
  const int lane = (int)threadIdx.x % WARP, word = (int)threadIdx.x / WARP * AT_ONCE;
  for (int k = 0; k < AT_ONCE; k++) {
    const int64_t at = first + (word + k) * WARP + lane;
    const unsigned mark = __ballot_sync(~0u, at < n && index[at] == to);
    if (lane == 0) marks[word + k] = mark;
  }
  __syncthreads();
  int before = 0;
  for (int w = 0; w < SCAN / WARP; w++) {
    const unsigned mark = marks[w];
    if (w >= word && w < word + AT_ONCE && (mark >> lane & 1) != 0)
      m->at[before + __popc(mark & ((1u << lane) - 1))] = (uint16_t)(w * WARP + lane);
    before += __popc(mark);
  }
  if (threadIdx.x == 0) m->count = before;
  __syncthreads();
}

// Of each row of y: how many of n indices are it, and n less the first of those; 0: none. Integers, so the order in which they come does not matter.
struct tally {
  int32_t count, before_end;
};
static __global__ void tally_kernel(const int32_t *index, int64_t n, tally *of) {
  VBL_EACH(i, n) {
    if (index[i] < 0) continue;
    atomicAdd(&of[index[i]].count, 1);
    atomicMax(&of[index[i]].before_end, (int32_t)(n - i));
  }
}

// A row that is the only one of its index.
static __device__ void add_row(const float *x, float *sums, int64_t D) {
  for (int64_t c = (int64_t)blockIdx.y * THREADS + threadIdx.x; c < D; c += (int64_t)gridDim.y * THREADS) sums[c] += x[c];
}

// The rows x[first + at] added in their order to a row of sums, a thread SIDE columns at a time, DEEP rows on their way at once. blockIdx.y: which columns.
enum { SIDE = 3, DEEP = 8 };
static __device__ void add_matches(const float *x, const matches &m, float *sums, int64_t D) {
  if (m.count == 0) return;
  for (int64_t c = (int64_t)blockIdx.y * SIDE * THREADS + threadIdx.x; c < D; c += (int64_t)gridDim.y * SIDE * THREADS) {
    float total[SIDE], v[DEEP][SIDE];
    VBL_UNROLL
    for (int k = 0; k < SIDE; k++) total[k] = c + k * THREADS < D ? sums[c + k * THREADS] : 0;
    for (int next = 0; next < m.count; next += DEEP) {
      VBL_UNROLL
      for (int r = 0; r < DEEP; r++) {
        const float *row = x + (next + r < m.count ? m.at[next + r] : 0) * D;
        VBL_UNROLL
        for (int k = 0; k < SIDE; k++) v[r][k] = next + r < m.count && c + k * THREADS < D ? row[c + k * THREADS] : 0;
      }
      VBL_UNROLL
      for (int r = 0; r < DEEP; r++) {
        VBL_UNROLL
        for (int k = 0; k < SIDE; k++) total[k] += v[r][k];
      }
    }
    VBL_UNROLL
    for (int k = 0; k < SIDE; k++)
      if (c + k * THREADS < D) sums[c + k * THREADS] = total[k];
  }
}

// A block a source row. The first of the rows with one index adds them all, in their order: no atomic sums, and the same ones every time. A word that is in
// every sample is one block's work, so that its rows are read many at a time. `of` says which rows are first, and how many follow; without it, of few rows,
// each is compared with those before it, and all behind it with it.
static __global__ void scatter_kernel(const float *x, const int32_t *index, const tally *of, float *y, int64_t n, int64_t D) {
  VBL_SHARED(matches, found, [1]);
  for (int64_t i = blockIdx.x; i < n; i += gridDim.x) {
    const int32_t to = index[i];
    if (to < 0 || (of != nullptr ? n - of[to].before_end != i : any_equal(index, to, i))) continue;
    int64_t left = of != nullptr ? of[to].count : n;
    if (left == 1) {
      add_row(x + i * D, y + to * D, D);
      continue;
    }
    for (int64_t first = i; first < n && left > 0; first += SCAN) {
      find_equal(index, to, first, n, found);
      add_matches(x + first * D, *found, y + to * D, D);
      left -= found->count;
    }
  }
}

static void scatter(const float *x, const int32_t *index, const tally *of, float *y, int64_t n, int64_t D, vbl_stream s) {
  VBL_LAUNCH(scatter_kernel, pieces_grid(blocks_for(n, 1), D, SIDE * THREADS), THREADS, s, x, index, of, y, n, D);
}

void vbl_cuda_scatter_add_rows(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, int64_t rows, vbl_stream s) {
  if (n * D == 0) return;
  if (n <= VBL_SCATTER_COMPARED) return scatter((const float *)x, index, nullptr, (float *)y, n, D, s);
  const scratch of((size_t)rows * sizeof(tally), s);
  if (of.p == nullptr) return;
  vbl_cuda_fill(VBL_I32, of.p, 2 * rows, 0, s);
  VBL_LAUNCH(tally_kernel, blocks_for(n), THREADS, s, index, n, (tally *)of.p);
  scatter((const float *)x, index, (const tally *)of.p, (float *)y, n, D, s);
}

template <class V>
static __global__ void embedding_kernel(const int32_t *ids, const int32_t *pos, const V *word, const V *position, const V *type,
                                        V *y, int64_t n, int64_t D) {
  for (int64_t i = first_row<WARP>(); i < n; i += row_step<WARP>()) {
    const V *a = word + ids[i] * D, *b = position + pos[i] * D;
    EACH_COLUMN(c, D) y[i * D + c] = plus(plus(a[c], b[c]), type[c]);
  }
}

template <class V>
static void embedding(const int32_t *ids, const int32_t *pos, const void *word, const void *position, const void *type, void *y,
                      int64_t n, int64_t D, vbl_stream s) {
  VBL_LAUNCH(embedding_kernel<V>, blocks_for(n, THREADS / WARP), THREADS, s, ids, pos, (const V *)word, (const V *)position,
             (const V *)type, (V *)y, n, D);
}

void vbl_cuda_text_embedding(const int32_t *ids, const int32_t *pos, const void *word, const void *position, const void *type,
                             void *y, int64_t n, int64_t D, vbl_stream s) {
  if (n * D == 0) return;
  if (in_fours(D, {word, position, type, y}))
    embedding<float4>(ids, pos, word, position, type, y, n, D / 4, s);
  else
    embedding<float>(ids, pos, word, position, type, y, n, D, s);
}

// (v / 255 - mean) / std of u8 pixels as v scale + shift, in f64: the difference may cancel.
struct pixels {
  double scale[3], shift[3];
};

// What each of a channel's pixels becomes: of u8 by a table, since there are 256 of them.
template <class T>
class normalizer {
 public:
  __device__ explicit normalizer(const pixels &) {}
  __device__ float operator()(T v, int) const { return v; }
};
template <>
class normalizer<uint8_t> {
 public:
  __device__ explicit normalizer(const pixels &n) {
    VBL_SHARED(float, shared, [3][256]);
    for (int c = 0; c < 3; c++)
      for (int v = (int)threadIdx.x; v < 256; v += (int)blockDim.x) shared[c][v] = (float)(v * n.scale[c] + n.shift[c]);
    __syncthreads();
    table = shared;
  }
  __device__ float operator()(uint8_t v, int channel) const { return table[channel][v]; }

 private:
  const float (*table)[256];
};

// W pixels side by side, and what they become.
template <class T, int W>
struct alignas(W * sizeof(T)) pixel_row {
  T v[W];
};
static __device__ void write(float *to, const pixel_row<float, 1> &a) { *to = a.v[0]; }
static __device__ void write(float *to, const pixel_row<float, 4> &a) {
  float4 all;
  all.x = a.v[0], all.y = a.v[1], all.z = a.v[2], all.w = a.v[3];
  __stwb((float4 *)to, all);  // an assignment is taken apart where the loop is unrolled
}

// A block takes rows of patches, by its place in the grid, so that nothing is divided but what is in a patch.
template <class T, int W>
static __global__ void patchify_kernel(const T *images, pixels n, const uint8_t *mask, float *patches, int64_t B, int64_t S_h,
                                       int64_t S_w, int p) {
  const normalizer<T> normal(n);
  const int64_t columns = S_w / p, rows = S_h / p;
  const int width = 3 * p * p;
  for (int64_t b = blockIdx.y; b < B; b += gridDim.y) {
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
      const T *from = images + (b * 3 * S_h + row * p) * S_w;
      const int64_t first = (b * rows + row) * columns;
      for (int at = (int)threadIdx.x * W; at < width; at += (int)blockDim.x * W) {
        const int line = at / p, channel = line / p;
        const T *in = from + (channel * S_h + line % p) * S_w + at % p;
        for (int64_t patch = 0; patch < columns; patch++) {
          pixel_row<float, W> out = {};
          if (mask == nullptr || !mask[first + patch]) {
            const pixel_row<T, W> v = *(const pixel_row<T, W> *)(in + patch * p);
            for (int k = 0; k < W; k++) out.v[k] = normal(v.v[k], channel);
          }
          write(patches + (first + patch) * width + at, out);
        }
      }
    }
  }
}

template <class T>
static void patchify(const T *images, const pixels &n, const uint8_t *mask, float *patches, int64_t B, int64_t S_h, int64_t S_w,
                     int64_t p, vbl_stream s) {
  const dim3 grid(blocks_for(S_h / p, 1), blocks_for(B, 1));
  const bool fours = p % 4 == 0 && S_w % 4 == 0 && (uintptr_t)images % (4 * sizeof(T)) == 0 && (uintptr_t)patches % 16 == 0;
  const int64_t pieces = (3 * p * p / (fours ? 4 : 1) + (int)WARP - 1) / (int)WARP * (int)WARP;
  const unsigned threads = (unsigned)(pieces < (int)THREADS ? pieces : (int)THREADS);
  if (fours)
    VBL_LAUNCH((patchify_kernel<T, 4>), grid, threads, s, images, n, mask, patches, B, S_h, S_w, (int)p);
  else
    VBL_LAUNCH((patchify_kernel<T, 1>), grid, threads, s, images, n, mask, patches, B, S_h, S_w, (int)p);
}

void vbl_cuda_patchify(vbl_dtype T, const void *images, const double *mean, const double *std, const uint8_t *mask, void *patches,
                       int64_t B, int64_t S_h, int64_t S_w, int64_t p, vbl_stream s) {
  pixels n = {{1, 1, 1}, {0, 0, 0}};
  for (int c = 0; c < 3 && mean != nullptr; c++) n.scale[c] = 1 / (255 * std[c]), n.shift[c] = -mean[c] / std[c];
  if (B * (S_h / p) * (S_w / p) == 0) return;
  if (T == VBL_U8)
    patchify((const uint8_t *)images, n, mask, (float *)patches, B, S_h, S_w, p, s);
  else
    patchify((const float *)images, n, mask, (float *)patches, B, S_h, S_w, p, s);
}

template <class V>
static __global__ void assemble_kernel(const V *patches, const V *cls, const V *pos, V *y, int64_t B, int64_t P, int64_t D) {
  for (int64_t b = blockIdx.y; b < B; b += gridDim.y) {
    for (int64_t row = first_row<WARP>(); row < P + 1; row += row_step<WARP>()) {
      const V *from = row == 0 ? cls : patches + (b * P + row - 1) * D;
      EACH_COLUMN(c, D) y[(b * (P + 1) + row) * D + c] = plus(from[c], pos[row * D + c]);
    }
  }
}

template <class V>
static void assemble(const void *patches, const void *cls, const void *pos, void *y, int64_t B, int64_t P, int64_t D,
                     vbl_stream s) {
  const dim3 grid(blocks_for(P + 1, THREADS / WARP), blocks_for(B, 1));
  VBL_LAUNCH(assemble_kernel<V>, grid, THREADS, s, (const V *)patches, (const V *)cls, (const V *)pos, (V *)y, B, P, D);
}

void vbl_cuda_vit_assemble(const void *patches, const void *cls, const void *pos, void *y, int64_t B, int64_t P, int64_t D,
                           vbl_stream s) {
  if (B * D == 0) return;
  if (in_fours(D, {patches, cls, pos, y}))
    assemble<float4>(patches, cls, pos, y, B, P, D / 4, s);
  else
    assemble<float>(patches, cls, pos, y, B, P, D, s);
}
