// defines: vbl_blocks_make, vbl_blocks_free, vbl_draw_order, vbl_draw_subset, vbl_draw_swap
#include "core/measure/draws.h"

#include <stdlib.h>

#include "core/base/philox.h"

// Second counter word: what the draw is for. (1 and 2 belong to the directions of sliced_wasserstein.)
enum { FOR_ORDER = 3, FOR_SUBSET = 4, FOR_SWAP = 5 };

typedef struct labelled {
  int64_t label, size;
  int32_t first, row;  // first row of its block
} labelled;

static int by_label(const void *a, const void *b) {
  const labelled *x = a, *y = b;
  if (x->label != y->label) return x->label < y->label ? -1 : 1;
  return (x->row > y->row) - (x->row < y->row);
}

static int by_size(const void *a, const void *b) {
  const labelled *x = a, *y = b;
  if (x->size != y->size) return x->size < y->size ? -1 : 1;
  if (x->first != y->first) return x->first < y->first ? -1 : 1;
  return (x->row > y->row) - (x->row < y->row);
}

static void note_blocks(labelled *t, int64_t n) {
  qsort(t, (size_t)n, sizeof *t, by_label);
  for (int64_t i = 0, end; i < n; i = end) {
    for (end = i + 1; end < n && t[end].label == t[i].label; end++) continue;
    for (int64_t j = i; j < end; j++) {
      t[j].size = end - i;
      t[j].first = t[i].row;
    }
  }
  qsort(t, (size_t)n, sizeof *t, by_size);
}

static int32_t size_of(const vbl_blocks *b, int64_t block) { return b->start[block + 1] - b->start[block]; }

// First block after the run of blocks as large as `block`.
static int64_t class_end(const vbl_blocks *b, int64_t block) {
  int64_t end = block + 1;
  while (end < b->count && size_of(b, end) == size_of(b, block)) end++;
  return end;
}

vbl_status vbl_blocks_make(int64_t n, const int64_t *groups, vbl_blocks *out, vbl_error *err) {
  *out = (vbl_blocks){.n = n};
  labelled *t = malloc(sizeof *t * (size_t)n);
  out->rows = malloc(sizeof *out->rows * (size_t)n);
  out->start = malloc(sizeof *out->start * (size_t)(n + 1));
  if (t == NULL || out->rows == NULL || out->start == NULL) {
    free(t);
    vbl_blocks_free(out);
    return vbl_fail(err, VBL_ENOMEM, "groups of %lld rows: out of memory", (long long)n);
  }
  for (int64_t i = 0; i < n; i++) t[i] = (labelled){.label = groups != NULL ? groups[i] : i, .row = (int32_t)i};
  note_blocks(t, n);
  for (int64_t i = 0; i < n; i++) {
    out->rows[i] = t[i].row;
    if (i == 0 || t[i].first != t[i - 1].first) out->start[out->count++] = (int32_t)i;
  }
  out->start[out->count] = (int32_t)n;
  for (int64_t i = 0, end; i < out->count; i = end) {
    end = class_end(out, i);
    if (end == i + 1) out->fixed += size_of(out, i);
  }
  free(t);
  return VBL_OK;
}

void vbl_blocks_free(vbl_blocks *b) {
  free(b->rows);
  free(b->start);
  *b = (vbl_blocks){0};
}

// Fisher-Yates on v[lo .. hi).
static void shuffle(int32_t *v, int64_t lo, int64_t hi, int64_t seed, int64_t draw, uint32_t purpose) {
  vbl_philox_key key = {(uint32_t)seed, VBL_STREAM_MEASURE};
  for (int64_t i = hi - 1; i > lo; i--) {
    int64_t j = lo + (int64_t)vbl_philox_below(key, (uint64_t)(i - lo + 1), (uint32_t)i, purpose, (uint32_t)draw,
                                               (uint32_t)((uint64_t)seed >> 32));
    int32_t t = v[i];
    v[i] = v[j];
    v[j] = t;
  }
}

void vbl_draw_order(const vbl_blocks *b, int64_t seed, int64_t draw, int32_t *order, int32_t *scratch) {
  for (int64_t q = 0; q < b->count; q++) scratch[q] = (int32_t)q;
  for (int64_t lo = 0, hi; lo < b->count; lo = hi) {
    hi = class_end(b, lo);
    shuffle(scratch, lo, hi, seed, draw, FOR_ORDER);
  }
  for (int64_t q = 0; q < b->count; q++)
    for (int32_t r = 0; r < size_of(b, q); r++) order[b->rows[b->start[q] + r]] = b->rows[b->start[scratch[q]] + r];
}

static int ascending(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

int64_t vbl_draw_subset(const vbl_blocks *b, int64_t m, int64_t seed, int64_t draw, int32_t *rows, int32_t *scratch) {
  int64_t count = 0;
  for (int64_t q = 0; q < b->count; q++) scratch[q] = (int32_t)q;
  shuffle(scratch, 0, b->count, seed, draw, FOR_SUBSET);
  for (int64_t q = 0; q < b->count; q++) {
    int32_t size = size_of(b, scratch[q]);
    if (count > 0 && count + size > m) continue;
    for (int32_t r = 0; r < size; r++) rows[count++] = b->rows[b->start[scratch[q]] + r];
  }
  qsort(rows, (size_t)count, sizeof *rows, ascending);
  return count;
}

void vbl_draw_swap(int64_t n, int64_t seed, int64_t draw, int32_t *out) {
  for (int64_t i = 0; i < 2 * n; i++) out[i] = (int32_t)i;
  shuffle(out, 0, 2 * n, seed, draw, FOR_SWAP);
}
