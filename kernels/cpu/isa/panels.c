// Products of rows with rows where both come as panels, so that one copy serves on both sides of a symmetric product. A tile of the
// product, a few rows of the left panel by one or two right ones, stays in registers for VBL_CHUNK columns: as many as hide the latency
// of an FMA (Goto, van de Geijn 2008).
// defines: vbl_cpu_panel_products_<isa>
#include "kernels/cpu/isa/isa.h"
#include "kernels/cpu/loops.h"

typedef float vec __attribute__((vector_size(4 * VBL_LANES), aligned(4), may_alias));

#if defined(__AVX512F__)
enum { ROWS = 8, PANELS = 2 };
#elif defined(__AVX2__)
enum { ROWS = 4, PANELS = 1 };
#else
enum { ROWS = 2, PANELS = 1 };
#endif
enum { VECTORS = VBL_PANEL / VBL_LANES };  // vectors of a panel's column

// out [ROWS, panels VBL_PANEL]; left: the first row's place in its panel. panels is a constant where this is inlined, so that the
// sums are registers.
__attribute__((always_inline)) static inline void tile(const int panels, const float *left, const float *right, int64_t d,
                                                       float *out, int64_t ld) {
  for (int64_t from = 0; from < d; from += VBL_CHUNK) {
    const vec zero = {0};
    vec sum[ROWS][PANELS * VECTORS] = {0};
    const int64_t end = vbl_min64(from + VBL_CHUNK, d);
    for (int64_t j = from; j < end; j++) {
      vec b[PANELS * VECTORS];
      for (int v = 0; v < panels * VECTORS; v++)
        b[v] = *(const vec *)(right + (v / VECTORS * d + j) * VBL_PANEL + v % VECTORS * VBL_LANES);
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < panels * VECTORS; v++) sum[i][v] += left[j * VBL_PANEL + i] * b[v];
    }
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
      for (int v = 0; v < panels * VECTORS; v++) {
        vec *to = (vec *)(out + i * ld + v * VBL_LANES);
        *to = sum[i][v] + (from == 0 ? zero : *to);
      }
  }
}

void VBL_K(panel_products)(const float *left, const float *right, int64_t count, int64_t d, float *out, int64_t ld) {
  for (int64_t p = 0; p < count; p += PANELS)
    for (int i = 0; i < VBL_PANEL; i += ROWS) {
      const float *panels = right + p * d * VBL_PANEL;
      float *to = out + i * ld + p * VBL_PANEL;
      if (PANELS == 2 && p + 1 < count)
        tile(PANELS, left + i, panels, d, to, ld);
      else
        tile(1, left + i, panels, d, to, ld);
    }
}
