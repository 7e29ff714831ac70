// Random rearrangements of rows, each a function of (seed, draw) and of the groups alone: the same for every layer, measure and
// number of threads.
// Groups: rows with one label (captions of one image) are one block. A permutation exchanges blocks of equal size whole, so that
// what holds within a block (equal rows) holds in the null too; a subsample takes blocks whole.
// defines: vbl_blocks, vbl_blocks_make, vbl_blocks_free, vbl_draw_order, vbl_draw_subset, vbl_draw_swap
#pragma once
#include "core/base/status.h"

typedef struct vbl_blocks {
  int64_t n, count;
  int32_t *rows;   // (n) the rows, block by block, smaller blocks first, then by first row
  int32_t *start;  // (count + 1) of each block in rows
  int64_t fixed;   // rows whose block has no other of its size: no permutation moves them
} vbl_blocks;

// groups: (n) any integers, or NULL: every row its own block.
vbl_status vbl_blocks_make(int64_t n, const int64_t *groups, vbl_blocks *out, vbl_error *err);
void vbl_blocks_free(vbl_blocks *b);

// order (n): row i becomes row order[i]. scratch: (n).
void vbl_draw_order(const vbl_blocks *b, int64_t seed, int64_t draw, int32_t *order, int32_t *scratch);
// At most m rows (whole blocks, at least one), ascending, into rows (n); returns their number. scratch: (n).
int64_t vbl_draw_subset(const vbl_blocks *b, int64_t m, int64_t seed, int64_t draw, int32_t *rows, int32_t *scratch);
// A permutation of 0 .. 2n - 1 into out (2n): the first n are one side, the rest the other.
void vbl_draw_swap(int64_t n, int64_t seed, int64_t draw, int32_t *out);
