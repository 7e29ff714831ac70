// k nearest rows on a device: blocks of f32 products, each for its rows and its columns, are sifted into piles there; what is left, with
// f64 keys, comes to the host, which orders it as it orders its own candidates (knn.c): as many places a row as the fullest pile has, some k instead of
// 2 k + 64.
// Memory of the device: an f32 copy of the rows, n (2 k + 64) candidates, what is left of them with its keys, and one block; nothing is n x n.
// defines: vbl_device_candidates, vbl_device_cosines
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/interrupt.h"
#include "core/measure/apart.h"
#include "core/measure/device.h"
#include "core/measure/device_memory.h"
#include "kernels/cpu/cpu.h"

typedef struct hunt {
  const vbl_backend *b;
  const vbl_prepared *p;
  vbl_knn_metric metric;
  vbl_nearest s;
  float *window, *norm2;  // as s's, to be written
  float *rows, *products;
  int64_t most;    // candidates of a row
  vbl_near *near;  // (n, most)
  double *exact;   // (n, most)
} hunt;

static vbl_status take_all(hunt *h, vbl_error *err) {
  const size_t n = (size_t)h->p->n, room = (size_t)h->s.room, block = (size_t)h->b->measure->block;
  const size_t side = n < block ? n : block;
  const struct {
    void **at;
    size_t bytes;
  } parts[] = {{(void **)&h->window, n * sizeof(float)},
               {(void **)&h->norm2, n * sizeof(float)},
               {(void **)&h->s.floor, n * sizeof(float)},
               {(void **)&h->s.count, n * sizeof(int32_t)},
               {(void **)&h->s.at, n * room * sizeof(vbl_near)},
               {(void **)&h->rows, n * (size_t)h->p->d * sizeof(float)},
               {(void **)&h->products, side * side * sizeof(float)}};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    VBL_TRY(vbl_device_take(h->b, parts[i].bytes, "neighbour lists", parts[i].at, err));
  h->s.window = h->window;
  h->s.norm2 = h->norm2;
  return VBL_OK;
}

static void free_all(const hunt *h) {
  void *parts[] = {h->window, h->norm2, h->s.floor, h->s.count, h->s.at, h->near, h->exact, h->rows, h->products};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) h->b->free(parts[i], 0);
}

// Windows, lengths and the rows themselves, scaled to at most unit length. The order of the product's sums is the library's: a term may be
// rounded d times. by: (n) scratch.
static vbl_status start(hunt *h, double scale, double *by, float *window, float *norm2, vbl_error *err) {
  const int64_t n = h->p->n;
  const bool centre = h->metric == VBL_KNN_EUCLIDEAN;
  double *divisors = NULL;
  for (int64_t i = 0; i < n; i++) {
    by[i] = h->metric == VBL_KNN_COSINE ? h->p->norm[i] : scale;
    const double length = (centre ? sqrt(h->p->centred_norm2[i]) : h->p->norm[i]) / by[i];
    norm2[i] = (float)(length * length);
    window[i] = vbl_key_window(length, h->p->d, centre);
  }
  VBL_TRY(vbl_device_take(h->b, sizeof *by * (size_t)n, "neighbour lists", (void **)&divisors, err));
  h->b->from_host(divisors, by, sizeof *by * (size_t)n, NULL);
  h->b->from_host(h->window, window, sizeof *window * (size_t)n, NULL);
  h->b->from_host(h->norm2, norm2, sizeof *norm2 * (size_t)n, NULL);
  h->b->fill(VBL_F32, h->s.floor, n, (double)-INFINITY, NULL);
  h->b->fill(VBL_I32, h->s.count, n, 0, NULL);
  h->b->measure->scaled_rows(vbl_tensor_data(h->p->device->rows), centre ? h->p->device->mean : NULL, divisors, n, h->p->d, h->rows,
                             NULL);
  h->b->free(divisors, 0);
  return VBL_OK;
}

static vbl_status prepare_rows(hunt *h, double scale, vbl_error *err) {
  const size_t n = (size_t)h->p->n;
  double *by = malloc(sizeof *by * n);
  float *window = malloc(sizeof *window * n), *norm2 = malloc(sizeof *norm2 * n);
  vbl_status status = VBL_OK;
  if (by == NULL || window == NULL || norm2 == NULL) status = vbl_fail(err, VBL_ENOMEM, "neighbour lists: out of memory");
  if (status == VBL_OK) status = start(h, scale, by, window, norm2, err);
  free(by);
  free(window);
  free(norm2);
  return status;
}

static vbl_status run_blocks(const hunt *h, vbl_error *err) {
  const int64_t n = h->p->n, d = h->p->d, block = h->b->measure->block;
  for (int64_t i = 0; i < n; i += block)
    for (int64_t j = i; j < n; j += block) {
      const int64_t rows = n - i < block ? n - i : block, columns = n - j < block ? n - j : block;
      VBL_TRY(vbl_interrupt_check(err));
      h->b->gemm(false, true, rows, columns, d, 1, h->rows + i * d, d, h->rows + j * d, d, 0, h->products, columns, NULL);
      h->b->measure->nearest_block(&h->s, h->products, columns, i, rows, j, columns, false, NULL);
      if (i != j) h->b->measure->nearest_block(&h->s, h->products, columns, i, rows, j, columns, true, NULL);
    }
  h->b->measure->nearest_sift(&h->s, NULL);
  return VBL_OK;
}

_Static_assert(sizeof(vbl_near) == sizeof(vbl_candidate), "piles are copied as they are");

// How many candidates the rows have, counts (n). *found is false where a pile was overrun.
static vbl_status count_piles(hunt *h, int32_t *counts, bool *found, vbl_error *err) {
  h->b->to_host(counts, h->s.count, sizeof *counts * (size_t)h->p->n, NULL);
  VBL_TRY(h->b->sync(NULL, err));
  *found = true;
  for (int64_t i = 0; i < h->p->n; i++) {
    *found = *found && counts[i] >= h->s.k && counts[i] <= h->s.room;
    if (counts[i] > h->most) h->most = counts[i];
  }
  return VBL_OK;
}

static vbl_status make_piles(const hunt *h, const int32_t *counts, vbl_candidates *c, vbl_error *err) {
  const size_t n = (size_t)h->p->n, room = (size_t)h->most;
  *c = (vbl_candidates){.n = h->p->n, .room = h->most};
  c->window = malloc(sizeof *c->window * n);
  c->piles = malloc(sizeof *c->piles * n);
  VBL_TRY(vbl_scratch(c->n * c->room, "neighbour lists", &c->exact, err));
  c->places = vbl_cpu_alloc(sizeof *c->places * n * room);
  if (c->piles != NULL)
    for (size_t i = 0; i < n; i++) c->piles[i] = (vbl_pile){c->places + i * room, counts[i], (int32_t)room};
  if (c->window != NULL && c->piles != NULL && c->exact != NULL && c->places != NULL) return VBL_OK;
  return vbl_fail(err, VBL_ENOMEM, "neighbour lists of %zu rows: out of memory", n);
}

static vbl_status fetch(hunt *h, vbl_candidates *c, vbl_error *err) {
  const size_t places = (size_t)(h->p->n * h->most);
  VBL_TRY(vbl_device_take(h->b, places * sizeof *h->near, "neighbour lists", (void **)&h->near, err));
  VBL_TRY(vbl_device_take(h->b, places * sizeof *h->exact, "neighbour lists", (void **)&h->exact, err));
  h->b->measure->nearest_keys(&h->s, h->most, (int)h->metric, vbl_tensor_data(h->p->device->rows), h->p->device->norm, h->p->d,
                              h->near, h->exact, NULL);
  h->b->to_host(c->window, h->window, sizeof *c->window * (size_t)h->p->n, NULL);
  h->b->to_host(c->places, h->near, sizeof *c->places * places, NULL);
  h->b->to_host(c->exact, h->exact, sizeof *c->exact * places, NULL);
  return h->b->sync(NULL, err);
}

static vbl_status search(hunt *h, double scale, vbl_candidates *out, bool *found, vbl_error *err) {
  int32_t *counts = malloc(sizeof *counts * (size_t)h->p->n);
  if (counts == NULL) return vbl_fail(err, VBL_ENOMEM, "neighbour lists: out of memory");
  vbl_status status = take_all(h, err);
  if (status == VBL_OK) status = prepare_rows(h, scale, err);
  if (status == VBL_OK) status = run_blocks(h, err);
  if (status == VBL_OK) status = count_piles(h, counts, found, err);
  if (status == VBL_OK && *found) status = make_piles(h, counts, out, err);
  if (status == VBL_OK && *found) status = fetch(h, out, err);
  free(counts);
  return status;
}

vbl_status vbl_device_candidates(const vbl_prepared *p, vbl_knn_metric metric, int64_t k, vbl_candidates *out, bool *found,
                                 vbl_error *err) {
  hunt h = {.b = p->device->b, .p = p, .metric = metric};
  h.s = (vbl_nearest){.n = p->n, .k = k, .room = 2 * k + 64, .euclidean = metric == VBL_KNN_EUCLIDEAN};
  vbl_apart apart;
  *found = false;
  VBL_TRY(vbl_apart_find(p, metric, &apart, err));
  const bool alike = apart.count == 0 && h.s.room < INT32_MAX;
  vbl_apart_free(&apart);
  if (!alike) return VBL_OK;
  vbl_status status = search(&h, apart.scale, out, found, err);
  free_all(&h);
  if (status != VBL_OK || !*found) vbl_candidates_free(out);
  return status;
}

vbl_status vbl_device_cosines(const vbl_prepared *p, const vbl_knn *list, double *keys, vbl_error *err) {
  const vbl_backend *b = p->device->b;
  const size_t count = (size_t)(list->n * list->k);
  int32_t *index = NULL;
  double *device = NULL;
  vbl_status status = vbl_device_take(b, sizeof *index * count, "cosines", (void **)&index, err);
  if (status == VBL_OK) status = vbl_device_take(b, sizeof *keys * count, "cosines", (void **)&device, err);
  if (status == VBL_OK) {
    b->from_host(index, list->index, sizeof *index * count, NULL);
    b->measure->list_keys(index, list->n, list->k, VBL_KNN_COSINE, vbl_tensor_data(p->device->rows), p->device->norm, p->d, device,
                          NULL);
    b->to_host(keys, device, sizeof *keys * count, NULL);
    status = b->sync(NULL, err);
  }
  b->free(index, 0);
  b->free(device, 0);
  return status;
}
