// Loops over strided operands: dims of size 1 are dropped, neighbours that lie evenly in every operand are merged, and what is
// left is a list of tiles of the innermost dim, which threads share.
// defines: vbl_loop, vbl_loop_make, vbl_loop_tile
#pragma once
#include "kernels/cpu/isa/isa.h"

enum { VBL_OPERANDS = 3, VBL_TILE = 8192 };

typedef struct vbl_loop {
  int ndim;  // >= 1; the last dim is the inner one
  int64_t shape[VBL_MAX_DIMS];
  int64_t stride[VBL_OPERANDS][VBL_MAX_DIMS];
  int64_t chunks, tiles, elements;  // chunks of the inner dim; tiles in all
} vbl_loop;

// One tile: offsets of its first element in each operand, and its length.
typedef struct vbl_tile {
  int64_t at[VBL_OPERANDS], n;
} vbl_tile;

// Operands beyond `operands` get stride 0.
static inline vbl_loop vbl_loop_make(int ndim, const int64_t *shape, int operands, const int64_t *const *stride) {
  vbl_loop l = {.ndim = 0, .elements = 1};
  for (int i = 0; i < ndim; i++) {
    l.elements *= shape[i];
    if (shape[i] == 1) continue;
    bool merge = l.ndim > 0;
    for (int o = 0; merge && o < operands; o++) merge = l.stride[o][l.ndim - 1] == stride[o][i] * shape[i];
    if (merge) {
      l.shape[l.ndim - 1] *= shape[i];
    } else {
      l.shape[l.ndim++] = shape[i];
    }
    for (int o = 0; o < operands; o++) l.stride[o][l.ndim - 1] = stride[o][i];
  }
  if (l.ndim == 0) {
    l.ndim = 1;
    l.shape[0] = 1;
  }
  if (l.elements == 0) return l;
  const int64_t inner = l.shape[l.ndim - 1];
  l.chunks = (inner + VBL_TILE - 1) / VBL_TILE;
  l.tiles = l.elements / inner * l.chunks;
  return l;
}

static inline vbl_tile vbl_loop_tile(const vbl_loop *l, int64_t index) {
  const int last = l->ndim - 1;
  const int64_t start = index % l->chunks * VBL_TILE;
  vbl_tile t = {.n = vbl_min64(VBL_TILE, l->shape[last] - start)};
  for (int o = 0; o < VBL_OPERANDS; o++) t.at[o] = start * l->stride[o][last];
  index /= l->chunks;
  for (int i = last - 1; i >= 0; i--) {
    const int64_t k = index % l->shape[i];
    index /= l->shape[i];
    for (int o = 0; o < VBL_OPERANDS; o++) t.at[o] += k * l->stride[o][i];
  }
  return t;
}
