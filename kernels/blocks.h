// How backends divide things, for those who do it and for the counting backend: sizes of memory blocks, rounded up to 8 to 16 steps an
// octave, so that requests of nearly one size meet the same free blocks; a device's chunks of rows whose sums are added up.
// defines: VBL_BLOCK_*, vbl_block_size, vbl_block_class, vbl_block_of_class, vbl_row_chunks, VBL_NORM_WIDEST, vbl_norm_chunks,
//          VBL_SCATTER_COMPARED
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { VBL_BLOCK_LEAST = 512, VBL_BLOCK_LEAST_CPU = 64, VBL_BLOCK_CLASSES = 1024 };  // the first is a device's

// The size of the block for `bytes`, a multiple of `least`: at most an eighth more than asked for, where that is 8 times the least or more.
static inline size_t vbl_block_size(size_t bytes, size_t least) {
  size_t step = least;
  while (step * 16 <= bytes) step *= 2;
  return bytes > 0 ? (bytes + step - 1) / step * step : step;
}

// The number of a block's size among all sizes, below VBL_BLOCK_CLASSES.
static inline int vbl_block_class(size_t size, size_t least) {
  int octave = 0;
  while (size >= 16 * least) size /= 2, octave++;
  return octave * 16 + (int)(size / least);
}

// vbl_block_class backwards.
static inline size_t vbl_block_of_class(int number, size_t least) { return (size_t)(number % 16) * least << number / 16; }

// Into how many chunks the N rows of a sum over rows are cut.
static inline int64_t vbl_row_chunks(int64_t N) { return N < 64 ? 1 : N / 32 < 128 ? N / 32 : 128; }

// The backward of a norm: its parameters' sums are taken with dx in rows of up to VBL_NORM_WIDEST columns; in so many chunks of rows, which are
// the blocks then: two a multiprocessor of the largest device, 16 rows and more each.
enum { VBL_NORM_WIDEST = 1024 };
static inline int64_t vbl_norm_chunks(int64_t N) { return N < 32 ? 1 : N / 16 < 264 ? N / 16 : 264; }

// Rows that are added by their indices: up to so many a device compares the indices with each other; of more it counts first how often each one comes.
enum { VBL_SCATTER_COMPARED = 1024 };
