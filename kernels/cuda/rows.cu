// Rows by index, BERT's embedding sum, images to patches, patches to the rows of a ViT.
// defines: vbl_cuda_gather_rows, vbl_cuda_scatter_add_rows, vbl_cuda_text_embedding, vbl_cuda_patchify, vbl_cuda_vit_assemble
#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

static __global__ void gather_kernel(const float *x, const int32_t *index, float *y, int64_t n, int64_t D) {
  VBL_EACH(i, n * D) y[i] = index[i / D] < 0 ? 0 : x[index[i / D] * D + i % D];
}

void vbl_cuda_gather_rows(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, vbl_stream s) {
  if (n * D > 0) VBL_LAUNCH(gather_kernel, blocks_for(n * D), THREADS, s, (const float *)x, index, (float *)y, n, D);
}

// A warp a source row. The first of the rows with one index adds them all, in their order: no atomics, and the same sums every time.
// It reads all n indices, 4 n^2 bytes from cache in the worst case (n = 10^4: 0.4 GB, some 0.1 ms).
static __global__ void scatter_kernel(const float *x, const int32_t *index, float *y, int64_t n, int64_t D) {
  const int lane = (int)threadIdx.x % WARP;
  for (int64_t i = first_row<WARP>(); i < n; i += row_step<WARP>()) {
    const int32_t to = index[i];
    int seen = to < 0;
    for (int64_t j = lane; j < i && !seen; j += WARP) seen = index[j] == to;
    if (group_max<WARP>(seen)) continue;
    for (int64_t j = i; j < n; j++) {
      if (index[j] != to) continue;
      for (int64_t c = lane; c < D; c += WARP) y[to * D + c] += x[j * D + c];
    }
  }
}

void vbl_cuda_scatter_add_rows(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, int64_t rows, vbl_stream s) {
  (void)rows;
  if (n * D > 0) VBL_LAUNCH(scatter_kernel, blocks_for(n, THREADS / WARP), THREADS, s, (const float *)x, index, (float *)y, n, D);
}

static __global__ void embedding_kernel(const int32_t *ids, const int32_t *pos, const float *word, const float *position,
                                        const float *type, float *y, int64_t n, int64_t D) {
  VBL_EACH(i, n * D) y[i] = word[ids[i / D] * D + i % D] + position[pos[i / D] * D + i % D] + type[i % D];
}

void vbl_cuda_text_embedding(const int32_t *ids, const int32_t *pos, const void *word, const void *position, const void *type,
                             void *y, int64_t n, int64_t D, vbl_stream s) {
  if (n * D > 0)
    VBL_LAUNCH(embedding_kernel, blocks_for(n * D), THREADS, s, ids, pos, (const float *)word, (const float *)position,
               (const float *)type, (float *)y, n, D);
}

// (v / 255 - mean) / std of u8 pixels as v scale + shift, in f64: the difference may cancel.
struct pixels {
  double scale[3], shift[3];
};

template <class T>
static __device__ float pixel(T v, const pixels &n, int64_t c) {
  return (float)(v * n.scale[c] + n.shift[c]);
}
static __device__ float pixel(float v, const pixels &, int64_t) { return v; }

template <class T>
static __global__ void patchify_kernel(const T *images, pixels n, const uint8_t *mask, float *patches, int64_t count, int64_t S_h,
                                       int64_t S_w, int64_t p) {
  const int64_t width = 3 * p * p, columns = S_w / p, rows = S_h / p;
  VBL_EACH(i, count) {
    const int64_t patch = i / width, at = i % width, c = at / (p * p), r = at / p % p, column = at % p;
    const int64_t b = patch / (rows * columns), top = patch / columns % rows * p, left = patch % columns * p;
    const T v = images[((b * 3 + c) * S_h + top + r) * S_w + left + column];
    patches[i] = mask != nullptr && mask[patch] ? 0 : pixel(v, n, c);
  }
}

void vbl_cuda_patchify(vbl_dtype T, const void *images, const double *mean, const double *std, const uint8_t *mask, void *patches,
                       int64_t B, int64_t S_h, int64_t S_w, int64_t p, vbl_stream s) {
  pixels n = {{1, 1, 1}, {0, 0, 0}};
  for (int c = 0; c < 3 && mean != nullptr; c++) n.scale[c] = 1 / (255 * std[c]), n.shift[c] = -mean[c] / std[c];
  const int64_t count = B * (S_h / p) * (S_w / p) * 3 * p * p;
  if (count == 0) return;
  if (T == VBL_U8)
    VBL_LAUNCH(patchify_kernel<uint8_t>, blocks_for(count), THREADS, s, (const uint8_t *)images, n, mask, (float *)patches, count,
               S_h, S_w, p);
  else
    VBL_LAUNCH(patchify_kernel<float>, blocks_for(count), THREADS, s, (const float *)images, n, mask, (float *)patches, count, S_h,
               S_w, p);
}

static __global__ void assemble_kernel(const float *patches, const float *cls, const float *pos, float *y, int64_t n, int64_t P,
                                       int64_t D) {
  VBL_EACH(i, n) {
    const int64_t c = i % D, row = i / D % (P + 1), b = i / D / (P + 1);
    y[i] = (row == 0 ? cls[c] : patches[(b * P + row - 1) * D + c]) + pos[row * D + c];
  }
}

void vbl_cuda_vit_assemble(const void *patches, const void *cls, const void *pos, void *y, int64_t B, int64_t P, int64_t D,
                           vbl_stream s) {
  const int64_t n = B * (P + 1) * D;
  if (n > 0)
    VBL_LAUNCH(assemble_kernel, blocks_for(n), THREADS, s, (const float *)patches, (const float *)cls, (const float *)pos,
               (float *)y, n, P, D);
}
