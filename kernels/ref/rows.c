// Reference row movement: gather, scatter with sums, the sum of BERT's three embeddings.
// defines: vbl_ref_gather_rows, vbl_ref_scatter_add_rows, vbl_ref_text_embedding
#include "kernels/ref/ref.h"

void vbl_ref_gather_rows(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, vbl_stream s) {
  (void)s;
  const double *in = x;
  double *out = y;
  for (int64_t row = 0; row < n; row++) {
    for (int64_t col = 0; col < D; col++) out[row * D + col] = index[row] < 0 ? 0 : in[index[row] * D + col];
  }
}

void vbl_ref_scatter_add_rows(const void *x, const int32_t *index, void *y, int64_t n, int64_t D, int64_t rows, vbl_stream s) {
  (void)s, (void)rows;
  const double *in = x;
  double *out = y;
  for (int64_t row = 0; row < n; row++) {
    if (index[row] < 0) continue;
    for (int64_t col = 0; col < D; col++) out[index[row] * D + col] += in[row * D + col];
  }
}

void vbl_ref_text_embedding(const int32_t *ids, const int32_t *pos, const void *word, const void *position, const void *type,
                            void *y, int64_t n, int64_t D, vbl_stream s) {
  (void)s;
  const double *words = word, *positions = position, *types = type;
  double *out = y;
  for (int64_t row = 0; row < n; row++) {
    for (int64_t col = 0; col < D; col++)
      out[row * D + col] = words[ids[row] * D + col] + positions[pos[row] * D + col] + types[col];
  }
}
