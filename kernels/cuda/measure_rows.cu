// What measures need of rows of features: sums over them, lengths and hashes, and copies centred, scaled and rounded for products
// (kernels/measure.h). All in f64, so that a mean, a norm or a sum is as the CPU's to rounding of f64.
// defines: vbl_cuda_row_sums, vbl_cuda_row_facts, vbl_cuda_near_rows
#include "kernels/cuda/measure.h"

using namespace vbl_cuda;

enum { CHUNK = 512 };  // rows of a partial sum

// One thread a column of a chunk: part (P, chunks, d).
static __global__ void sums_kernel(const float *x, const double *from, const double *w, int64_t n, int64_t d, int64_t P,
                                   int64_t chunks, double *part) {
  VBL_EACH(q, P * chunks * d) {
    const int64_t j = q % d, chunk = q / d % chunks, p = q / d / chunks;
    const int64_t end = (chunk + 1) * CHUNK < n ? (chunk + 1) * CHUNK : n;
    double sum = 0;
    for (int64_t i = chunk * CHUNK; i < end; i++) {
      const double v = (double)x[i * d + j] - from[j];
      sum += w != nullptr ? w[i * P + p] * v : v;
    }
    part[q] = sum;
  }
}

static __global__ void add_chunks_kernel(const double *part, int64_t d, int64_t P, int64_t chunks, bool accumulate, double *sums) {
  VBL_EACH(q, P * d) {
    double sum = accumulate ? sums[q] : 0;
    for (int64_t chunk = 0; chunk < chunks; chunk++) sum += part[(q / d * chunks + chunk) * d + q % d];
    sums[q] = sum;
  }
}

void vbl_cuda_row_sums(const void *x, const double *from, const double *w, int64_t n, int64_t d, int64_t P, bool accumulate,
                       double *sums, vbl_stream s) {
  const int64_t chunks = (n + CHUNK - 1) / CHUNK;
  if (P * d == 0) return;
  scratch part((size_t)(P * chunks * d) * sizeof(double), s);
  if (part.p == nullptr) return;
  if (chunks > 0)
    VBL_LAUNCH(sums_kernel, blocks_for(P * chunks * d), THREADS, s, (const float *)x, from, w, n, d, P, chunks, (double *)part.p);
  VBL_LAUNCH(add_chunks_kernel, blocks_for(P * d), THREADS, s, (const double *)part.p, d, P, chunks, accumulate, sums);
}

// Two finalisers of 64-bit hashes' kind, each number with its column: sums of these are the rows' hashes, in whatever order they are added.
static __device__ uint64_t mixed(uint64_t h, uint64_t a, uint64_t b) {
  h = (h ^ h >> 33) * a;
  h = (h ^ h >> 29) * b;
  return h ^ h >> 32;
}

// One warp a row.
static __global__ void facts_kernel(const float *x, const double *mean, int64_t n, int64_t d, vbl_row_facts *facts) {
  for (int64_t i = first_row<WARP>(); i < n; i += row_step<WARP>()) {
    const float *row = x + i * d;
    double norm2 = 0, centred2 = 0;
    uint64_t a = 0, b = 0;
    for (int64_t j = threadIdx.x % WARP; j < d; j += WARP) {
      const double v = row[j], c = v - mean[j];
      norm2 += v * v;
      centred2 += c * c;
      const uint64_t bits = (uint64_t)j << 32 | __float_as_uint(row[j] + 0.0f);
      a += mixed(bits + 0x9E3779B97F4A7C15u, 0xFF51AFD7ED558CCDu, 0xC4CEB9FE1A85EC53u);
      b += mixed(bits + 0xD6E8FEB86659FD93u, 0xBF58476D1CE4E5B9u, 0x94D049BB133111EBu);
    }
    norm2 = group_sum<WARP>(norm2);
    centred2 = group_sum<WARP>(centred2);
    a = group_sum<WARP>(a);
    b = group_sum<WARP>(b);
    if (threadIdx.x % WARP == 0) facts[i] = {norm2, centred2, {a, b}};
  }
}

void vbl_cuda_row_facts(const void *x, const double *mean, int64_t n, int64_t d, vbl_row_facts *facts, vbl_stream s) {
  if (n == 0) return;
  VBL_LAUNCH(facts_kernel, blocks_for(n, THREADS / WARP), THREADS, s, (const float *)x, mean, n, d, facts);
}

// What is below the normal numbers, which a library may take for 0, is 0.
static __device__ float near_number(double c, bool tf32) {
  const float f = (float)c;
  if (fabsf(f) < 0x1p-126f) return 0;
  return tf32 ? __uint_as_float((__float_as_uint(f) + 0x1000u) & ~0x1fffu) : f;
}

// One warp a row.
static __global__ void near_kernel(const float *x, const double *by, const double *about, int64_t n, int64_t d, bool tf32, float *y,
                                   int64_t ld, vbl_near_row *rows) {
  for (int64_t i = first_row<WARP>(); i < n; i += row_step<WARP>()) {
    const double times = by[i];
    double length2 = 0, moved2 = 0, along = 0;
    for (int64_t j = threadIdx.x % WARP; j < ld; j += WARP) {
      const double m = j < d ? about[j] : 0, u = j < d ? x[i * d + j] * times : 0, c = u - m;
      const float r = near_number(c, tf32);
      y[i * ld + j] = r;
      length2 += c * c;
      moved2 += (r - c) * (r - c);
      along += u * m;
    }
    length2 = group_sum<WARP>(length2);
    moved2 = group_sum<WARP>(moved2);
    along = group_sum<WARP>(along);
    if (threadIdx.x % WARP == 0) rows[i] = {length2, moved2, along};
  }
}

void vbl_cuda_near_rows(const void *x, const double *by, const double *about, int64_t n, int64_t d, bool tf32, void *y, int64_t ld,
                        vbl_near_row *rows, vbl_stream s) {
  if (n == 0) return;
  VBL_LAUNCH(near_kernel, blocks_for(n, THREADS / WARP), THREADS, s, (const float *)x, by, about, n, d, tf32, (float *)y, ld, rows);
}
