// The k nearest rows: products become keys and go to each row's pile in one pass, one warp a row, so that no matrix of distances is
// kept and none is sorted (kernels/measure.h). A pile that is full is sifted: the k-th largest key, found bit by bit, less the window
// is the floor, what lies below is dropped. Which keys a pile holds in the end does not depend on the order in which they come.
// defines: vbl_cuda_nearest_{block,sift,refine,keys}, vbl_cuda_list_keys, vbl_cuda_measure_kernels
#include "kernels/cuda/measure.h"

using namespace vbl_cuda;

#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL
#endif

struct pile {
  vbl_near *at;
  int32_t count;  // room + 1: overrun, and nothing more is taken
  float floor;
};

static __device__ inline int lane() { return (int)threadIdx.x % WARP; }

// Numbers whose order is that of the keys.
static __device__ inline uint32_t ordered(float key) {
  const uint32_t u = __float_as_uint(key);
  return u >> 31 != 0 ? ~u : u | 1u << 31;
}
static __device__ inline float key_of(uint32_t ordered) {
  return __uint_as_float(ordered >> 31 != 0 ? ordered & ~(1u << 31) : ~ordered);
}

// The k-th largest key of the pile, k <= count; the same in all lanes.
static __device__ float kth_key(const pile &p, int64_t k) {
  uint32_t found = 0;
  for (int bit = 31; bit >= 0; bit--) {
    const uint32_t wanted = found | 1u << bit;
    int above = 0;
    for (int q = lane(); q < p.count; q += WARP) above += ordered(p.at[q].key) >= wanted;
    if (group_sum<WARP>(above) >= k) found = wanted;
  }
  return key_of(found);
}

// Appends the candidates of the lanes that have one, for which there is room.
static __device__ void append(pile &p, bool take, vbl_near found) {
  const unsigned takers = __ballot_sync(~0u, take);
  if (take) p.at[p.count + __popc(takers & ((1u << lane()) - 1))] = found;
  p.count += __popc(takers);
  __syncwarp();
}

static __device__ void sift(pile &p, int64_t k, float window) {
  if (p.count < k) return;
  const int32_t count = p.count;
  p.floor = kth_key(p, k) - window;
  p.count = 0;
  for (int32_t q = 0; q < count; q += WARP) {  // what is written was read before: piles only shrink
    vbl_near found = {0, 0};
    if (q + lane() < count) found = p.at[q + lane()];
    __syncwarp();
    append(p, q + lane() < count && found.key >= p.floor, found);
  }
}

static __device__ void offer(const vbl_nearest &s, pile &p, float window, float key, int64_t index) {
  bool take = key >= p.floor && key > -INFINITY && p.count <= s.room;
  int wanted = __popc(__ballot_sync(~0u, take));
  if (wanted == 0) return;
  if (p.count + wanted > s.room) {
    sift(p, s.k, window);
    take = take && key >= p.floor;
    wanted = __popc(__ballot_sync(~0u, take));
    if (p.count + wanted > s.room) {
      p.count = (int32_t)s.room + 1;
      return;
    }
  }
  append(p, take, {key, (int32_t)index});
}

static __device__ inline pile pile_of(const vbl_nearest &s, int64_t i) { return {s.at + i * s.room, s.count[i], s.floor[i]}; }

static __device__ inline void put_back(const vbl_nearest &s, int64_t i, const pile &p) {
  if (lane() != 0) return;
  s.count[i] = p.count;
  s.floor[i] = p.floor;
}

// N keys a lane, of rows first, first + step ..: none is looked at again where no lane has one above the floor, which is nearly always.
template <int N>
static __device__ inline void offer_all(const vbl_nearest &s, pile &p, float window, const float *key, int64_t first,
                                        int64_t step) {
  float best = key[0];
  UNROLL for (int e = 1; e < N; e++) best = fmaxf(best, key[e]);
  if (__ballot_sync(~0u, best >= p.floor) == 0) return;
  for (int e = 0; e < N; e++) offer(s, p, window, key[e], first + e * step);
}

// What a lane takes of a row at a time: FOURS times four numbers side by side, a warp's fours beside each other.
enum { FOURS = 2, SIDE_BY_SIDE = 4 * WARP, STEP = FOURS * SIDE_BY_SIDE };

// The lane's numbers of a row from column c on, -inf past the columns; in reads of four where they are aligned, all of them before one is waited for.
static __device__ inline void load_fours(const float *row, int64_t c, int64_t columns, bool aligned, float (*v)[4]) {
  const int64_t left = columns - c - 4 * lane();
  row += c + 4 * lane();
  if (aligned && left >= STEP - SIDE_BY_SIDE + 4) {
    float4 all[FOURS];
    UNROLL for (int q = 0; q < FOURS; q++) all[q] = *(const float4 *)(row + q * SIDE_BY_SIDE);
    UNROLL for (int q = 0; q < FOURS; q++) v[q][0] = all[q].x, v[q][1] = all[q].y, v[q][2] = all[q].z, v[q][3] = all[q].w;
  } else {
    UNROLL for (int q = 0; q < FOURS; q++) {
      UNROLL for (int e = 0; e < 4; e++) v[q][e] = q * SIDE_BY_SIDE + e < left ? row[q * SIDE_BY_SIDE + e] : -INFINITY;
    }
  }
}

// A warp a row, whose next products are on their way while it looks at those before. With two fours a lane 64 registers are enough: four blocks a
// multiprocessor have 32 KB under way, and the blocks of 8192 rows are two full rounds of 132 multiprocessors. One four left 20 KB, and a second round that was
// half empty.
static __global__ void __launch_bounds__(THREADS, 4)
    rows_kernel(vbl_nearest s, const float *v, int64_t ld, bool aligned, int64_t i, int64_t rows, int64_t j, int64_t columns) {
  for (int64_t r = first_row<WARP>(); r < rows; r += row_step<WARP>()) {
    pile p = pile_of(s, i + r);
    const float window = s.window[i + r];
    float now[FOURS][4], next[FOURS][4], plus[FOURS][4];
    __syncwarp();
    load_fours(v + r * ld, 0, columns, aligned, next);
    for (int64_t c = 0; c < columns; c += STEP) {
      const int64_t first = c + 4 * lane(), itself = i + r - j - first;
      load_fours(s.plus + j, c, columns, aligned, plus);
      UNROLL for (int q = 0; q < FOURS; q++) { UNROLL for (int e = 0; e < 4; e++) now[q][e] = next[q][e]; }
      load_fours(v + r * ld, c + STEP, columns, aligned, next);
      UNROLL for (int q = 0; q < FOURS; q++) {
        float key[4];
        UNROLL for (int e = 0; e < 4; e++) key[e] = q * SIDE_BY_SIDE + e == itself ? -INFINITY : s.times * now[q][e] + plus[q][e];
        offer_all<4>(s, p, window, key, j + first + q * SIDE_BY_SIDE, 1);
      }
    }
    put_back(s, i + r, p);
  }
}

enum { WARPS = THREADS / WARP, ACROSS = 16, EACH = ACROSS / WARPS /* columns of a warp */, KEYS = 4, TALL = KEYS * WARP };
enum { DOWN = THREADS / ACROSS, READS = TALL / DOWN };

// Of ACROSS columns and TALL rows from r on, those that the thread brings to shared memory.
static __device__ inline void load_tile(const float *v, int64_t ld, int64_t r, int64_t rows, int64_t c, int64_t columns,
                                        float *next) {
  const int down = (int)threadIdx.x / ACROSS, across = (int)threadIdx.x % ACROSS;
  UNROLL for (int q = 0; q < READS; q++) {
    const int64_t row = r + down + q * DOWN;
    next[q] = row < rows && c + across < columns ? v[row * ld + c + across] : -INFINITY;
  }
}

// ACROSS columns a block, turned in shared memory: a warp then has its columns' keys side by side. The next tile is on its way
// meanwhile. 16 columns are 64 bytes, whole sectors; a block of products then makes 512 blocks, which all run at once on a large
// device and have twice as much under way as 256 of 32 columns.
static __global__ void columns_kernel(vbl_nearest s, const float *v, int64_t ld, int64_t i, int64_t rows, int64_t j,
                                      int64_t columns) {
  VBL_SHARED(float, tile, [TALL][ACROSS + 1]);
  const int warp = (int)threadIdx.x / WARP, down = (int)threadIdx.x / ACROSS, across = (int)threadIdx.x % ACROSS;
  for (int64_t c = (int64_t)blockIdx.x * ACROSS; c < columns; c += (int64_t)gridDim.x * ACROSS) {
    const int64_t first = c + warp * EACH;
    pile p[EACH];
    float window[EACH], next[READS], key[KEYS], plus[KEYS];
    UNROLL for (int q = 0; q < EACH; q++) {
      const bool there = first + q < columns;
      p[q] = there ? pile_of(s, j + first + q) : pile{nullptr, 0, INFINITY};
      window[q] = there ? s.window[j + first + q] : 0;
    }
    load_tile(v, ld, 0, rows, c, columns, next);
    for (int64_t r = 0; r < rows; r += TALL) {
      __syncthreads();
      UNROLL for (int q = 0; q < READS; q++) tile[down + q * DOWN][across] = next[q];
      __syncthreads();
      load_tile(v, ld, r + TALL, rows, c, columns, next);
      const int64_t row = r + lane();
      UNROLL for (int e = 0; e < KEYS; e++) plus[e] = row + e * WARP < rows ? s.plus[i + row + e * WARP] : -INFINITY;
      UNROLL for (int q = 0; q < EACH; q++) {
        UNROLL for (int e = 0; e < KEYS; e++) {
          const bool itself = i + row + e * WARP == j + first + q;
          key[e] = itself ? -INFINITY : s.times * tile[lane() + e * WARP][warp * EACH + q] + plus[e];
        }
        offer_all<KEYS>(s, p[q], window[q], key, i + row, WARP);
      }
    }
    UNROLL for (int q = 0; q < EACH; q++) if (first + q < columns) put_back(s, j + first + q, p[q]);
  }
}

void vbl_cuda_nearest_block(const vbl_nearest *search, const void *v, int64_t ld, int64_t i, int64_t rows, int64_t j,
                            int64_t columns, bool transposed, vbl_stream s) {
  if (rows * columns == 0) return;
  if (transposed)
    VBL_LAUNCH(columns_kernel, blocks_for(columns, ACROSS), THREADS, s, *search, (const float *)v, ld, i, rows, j, columns);
  else
    VBL_LAUNCH(rows_kernel, blocks_for(rows, WARPS), THREADS, s, *search, (const float *)v, ld,
               ld % 4 == 0 && ((uintptr_t)v | (uintptr_t)(search->plus + j)) % 16 == 0, i, rows, j, columns);
}

static __global__ void last_sift_kernel(vbl_nearest s) {
  for (int64_t i = first_row<WARP>(); i < s.n; i += row_step<WARP>()) {
    pile p = pile_of(s, i);
    __syncwarp();
    if (p.count <= s.room) sift(p, s.k, s.window[i]);
    put_back(s, i, p);
  }
}

// The key of rows i and near, in all lanes of a warp; the order of the sum is the same for all.
static __device__ double exact_key(int metric, const float *x, const double *norm, int64_t d, int64_t i, int64_t near) {
  const float *a = x + i * d, *b = x + near * d;
  double sum = 0;
  for (int64_t e = lane(); e < d; e += WARP) {
    const double u = a[e], w = b[e];
    sum += metric == 2 ? -(u - w) * (u - w) : u * w;
  }
  sum = group_sum<WARP>(sum);
  return metric == 0 ? sum / (norm[i] * norm[near]) : sum;
}

static __global__ void refine_kernel(vbl_nearest s, int metric, const float *x, const double *norm, int64_t d, double by) {
  for (int64_t i = first_row<WARP>(); i < s.n; i += row_step<WARP>()) {
    const int32_t count = s.count[i] <= s.room ? s.count[i] : 0;
    vbl_near *at = s.at + i * s.room;
    for (int32_t q = 0; q < count; q++) {
      const double key = exact_key(metric, x, norm, d, i, at[q].index);
      if (lane() == 0) at[q].key = (float)(key * by);
    }
  }
}

// One warp a candidate: it and its key to the place that it has among `most` of its row.
static __global__ void candidates_kernel(vbl_nearest s, int64_t most, int metric, const float *x, const double *norm, int64_t d,
                                         vbl_near *near, double *exact) {
  for (int64_t q = first_row<WARP>(); q < s.n * most; q += row_step<WARP>()) {
    const int64_t i = q / most, place = q - i * most;
    if (place >= s.count[i]) continue;
    const vbl_near found = s.at[i * s.room + place];
    const double key = exact_key(metric, x, norm, d, i, found.index);
    if (lane() == 0) near[q] = found, exact[q] = key;
  }
}

static __global__ void list_kernel(const int32_t *index, int64_t n, int64_t k, int metric, const float *x, const double *norm,
                                   int64_t d, double *keys) {
  for (int64_t q = first_row<WARP>(); q < n * k; q += row_step<WARP>()) {
    const double key = exact_key(metric, x, norm, d, q / k, index[q]);
    if (lane() == 0) keys[q] = key;
  }
}

void vbl_cuda_list_keys(const int32_t *index, int64_t n, int64_t k, int metric, const void *x, const double *norm, int64_t d,
                        double *keys, vbl_stream s) {
  if (n * k == 0) return;
  VBL_LAUNCH(list_kernel, blocks_for(n * k, WARPS), THREADS, s, index, n, k, metric, (const float *)x, norm, d, keys);
}

void vbl_cuda_nearest_sift(const vbl_nearest *search, vbl_stream s) {
  if (search->n > 0) VBL_LAUNCH(last_sift_kernel, blocks_for(search->n, WARPS), THREADS, s, *search);
}

void vbl_cuda_nearest_refine(const vbl_nearest *search, int metric, const void *x, const double *norm, int64_t d, double by,
                             vbl_stream s) {
  if (search->n == 0) return;
  VBL_LAUNCH(refine_kernel, blocks_for(search->n, WARPS), THREADS, s, *search, metric, (const float *)x, norm, d, by);
}

void vbl_cuda_nearest_keys(const vbl_nearest *search, int64_t most, int metric, const void *x, const double *norm, int64_t d,
                           vbl_near *near, double *exact, vbl_stream s) {
  if (search->n * most == 0) return;
  VBL_LAUNCH(candidates_kernel, blocks_for(search->n * most, WARPS), THREADS, s, *search, most, metric, (const float *)x, norm, d,
             near, exact);
}

#ifdef __CUDACC__
enum { BLOCK = 8192, KERNEL_TILE = 1024, BATCH = 1 << 30 };
#else
enum { BLOCK = 144, KERNEL_TILE = 32, BATCH = 1 << 15 };  // so few that tests meet several, and each path of the kernels
#endif

const vbl_measure_kernels vbl_cuda_measure_kernels = {
    BLOCK,
    KERNEL_TILE,
    BATCH,
    vbl_cuda_row_sums,
    vbl_cuda_row_facts,
    vbl_cuda_near_rows,
    vbl_cuda_product,
    vbl_cuda_pair_sums,
    vbl_cuda_nearest_block,
    vbl_cuda_nearest_sift,
    vbl_cuda_nearest_refine,
    vbl_cuda_nearest_keys,
    vbl_cuda_list_keys,
    vbl_cuda_best_cosines,
    vbl_cuda_doubles_pay,
    vbl_cuda_batch_products,
    vbl_cuda_widen,
    vbl_cuda_batch_dots,
    vbl_cuda_batch_scale,
    vbl_cuda_batch_quintic,
};
