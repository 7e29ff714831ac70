// k nearest rows on a device: blocks of products, each for its rows and its columns, are sifted into piles there; the keys of what is
// left are made again in f64 and sifted by these; what is left then, some k of a row, comes to the host, which orders it as it orders
// its own candidates (knn.c).
// Products are in TF32 at first, on the tensor cores, and in f32 where that leaves more candidates than piles have room for. How far a
// product may be off is known: by how far rounding has moved each row, which the device measures, and by the bound on its sums. Rows
// are centred first, which changes no order, so that what is the same in all of them takes no digits.
// Memory of the device: an f32 copy of the rows, n (2 k + 64) candidates, what is left of them with its keys, and one block; nothing is n x n.
// defines: vbl_device_candidates, vbl_device_cosines
#include <math.h>
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/apart.h"
#include "core/measure/device.h"
#include "core/measure/device_memory.h"
#include "kernels/cpu/cpu.h"

// Of row i: u = by x, c = u - about, and r, c as it is multiplied.
typedef struct known {
  double *by;           // (n) 1 / its length, or 1 / one scale for all
  double *about;        // (d)
  vbl_near_row *facts;  // (n)
  float *plus;          // (n)
  float *window;        // (n)
} known;

typedef struct hunt {
  const vbl_backend *b;
  const vbl_prepared *p;
  vbl_knn_metric metric;
  double scale;
  bool tf32;
  known host, device;
  vbl_nearest s;
  int64_t ld;  // of rows
  float *rows, *products;
  int64_t most;    // candidates of a row
  vbl_near *near;  // (n, most)
  double *exact;   // (n, most)
} hunt;

// Rows begin at multiples of 16 bytes, for tensor cores and reads of four numbers.
static int64_t aligned(int64_t columns) { return (columns + 3) / 4 * 4; }

static bool take_host(hunt *h) {
  const size_t n = (size_t)h->p->n;
  known *s = &h->host;
  s->by = malloc(sizeof *s->by * n);
  s->about = malloc(sizeof *s->about * (size_t)h->p->d);
  s->facts = malloc(sizeof *s->facts * n);
  s->plus = malloc(sizeof *s->plus * n);
  s->window = malloc(sizeof *s->window * n);
  return s->by != NULL && s->about != NULL && s->facts != NULL && s->plus != NULL && s->window != NULL;
}

static vbl_status take_all(hunt *h, vbl_error *err) {
  const size_t n = (size_t)h->p->n, room = (size_t)h->s.room, block = (size_t)h->b->measure->block;
  const size_t side = n < block ? n : block;
  const struct {
    void **at;
    size_t bytes;
  } parts[] = {{(void **)&h->device.by, n * sizeof(double)},
               {(void **)&h->device.about, (size_t)h->p->d * sizeof(double)},
               {(void **)&h->device.facts, n * sizeof(vbl_near_row)},
               {(void **)&h->device.plus, n * sizeof(float)},
               {(void **)&h->device.window, n * sizeof(float)},
               {(void **)&h->s.floor, n * sizeof(float)},
               {(void **)&h->s.count, n * sizeof(int32_t)},
               {(void **)&h->s.at, n * room * sizeof(vbl_near)},
               {(void **)&h->rows, n * (size_t)h->ld * sizeof(float)},
               {(void **)&h->products, side * (size_t)aligned((int64_t)side) * sizeof(float)}};
  if (!take_host(h)) return vbl_fail(err, VBL_ENOMEM, "neighbour lists: out of memory");
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    VBL_TRY(vbl_device_take(h->b, parts[i].bytes, "neighbour lists", parts[i].at, err));
  h->s.plus = h->device.plus;
  h->s.window = h->device.window;
  return VBL_OK;
}

static void free_all(const hunt *h) {
  void *parts[] = {h->device.by, h->device.about, h->device.facts, h->device.plus, h->device.window, h->s.floor,
                   h->s.count,   h->s.at,         h->near,         h->exact,       h->rows,          h->products};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) h->b->free(parts[i], 0);
  free(h->host.by);
  free(h->host.about);
  free(h->host.facts);
  free(h->host.plus);
  free(h->host.window);
}

// <u_i, u_j> = <c_i, c_j> + <u_j, about> + what is the same for all j; of the Euclidean -|u_i - u_j|^2 = 2 <c_i, c_j> - |c_j|^2 + the
// like. So `about` is of no matter to what is near: any will do, and the mean of the u leaves c short.
static vbl_status place(hunt *h, vbl_error *err) {
  const vbl_backend *b = h->b;
  const int64_t n = h->p->n, d = h->p->d;
  for (int64_t i = 0; i < n; i++) h->host.by[i] = 1 / (h->metric == VBL_KNN_COSINE ? h->p->norm[i] : h->scale);
  b->from_host(h->device.by, h->host.by, sizeof *h->host.by * (size_t)n, NULL);
  b->fill(VBL_F64, h->device.about, d, 0, NULL);
  b->measure->row_sums(vbl_tensor_data(h->p->device->rows), h->device.about, h->device.by, n, d, 1, false, h->device.about, NULL);
  b->to_host(h->host.about, h->device.about, sizeof *h->host.about * (size_t)d, NULL);
  VBL_TRY(b->sync(NULL, err));
  for (int64_t j = 0; j < d; j++) h->host.about[j] /= (double)n;
  b->from_host(h->device.about, h->host.about, sizeof *h->host.about * (size_t)d, NULL);
  return VBL_OK;
}

static double key_part(const hunt *h, int64_t i) {
  const vbl_near_row *f = &h->host.facts[i];
  return h->metric == VBL_KNN_EUCLIDEAN ? -f->length2 : f->along;
}

// Only differences of a row's keys count, so `plus` is taken about its middle, where f32 rounds it least. Half its range.
static double set_plus(const hunt *h) {
  double low = INFINITY, high = -INFINITY;
  for (int64_t i = 0; i < h->p->n; i++) {
    low = fmin(low, key_part(h, i));
    high = fmax(high, key_part(h, i));
  }
  for (int64_t i = 0; i < h->p->n; i++) h->host.plus[i] = (float)(key_part(h, i) - (low + high) / 2);
  return (high - low) / 2;
}

// How far r is from c at most: as measured, and by what f64 rounds u and c.
static double moved(const vbl_near_row *f, double about) { return sqrt(f->moved2) + 0x1p-51 * (sqrt(f->length2) + about); }

// Windows are twice what keys may be off. With u = 2^-24, l = |c|, e = |r - c|, and E, R the largest e and |r|:
//   products: |<r_i, r_j> - <c_i, c_j>| <= e_i R + l_i E
//   their sums: (d + 8) u |r_i| R (Higham, Accuracy and Stability, section 4.2), whatever the order. Products of TF32 numbers are exact;
//     a tensor core aligns some of them and the sum so far to the largest and cuts off, two or more at a time: it loses at most four
//     times as much (Fasi, Higham, Mikaitis, Pranesh 2021)
//   the key: a rounding of it, of `plus` and of the floor, u each; (d + 8) 2^-52 for the sums that `plus` is
// 2^-120 is above what underflows: products of numbers up to 2, none of them below 2^-126.
static void set_windows(const hunt *h) {
  const double u = 0x1p-24, many = (double)h->p->d + 8, times = (double)h->s.times, half = set_plus(h), tiny = many * 0x1p-120;
  const double sums = (h->tf32 ? 4 : 1) * 1.05 * many * u;
  double about = 0, E = 0, R = 0, longest = 0;
  for (int64_t j = 0; j < h->p->d; j++) about += h->host.about[j] * h->host.about[j];
  about = sqrt(about);
  for (int64_t i = 0; i < h->p->n; i++) {
    const double e = moved(&h->host.facts[i], about), l = sqrt(h->host.facts[i].length2);
    E = fmax(E, e), R = fmax(R, l + e), longest = fmax(longest, l);
  }
  const double along = (longest + about) * (h->metric == VBL_KNN_EUCLIDEAN ? longest : about);
  for (int64_t i = 0; i < h->p->n; i++) {
    const double e = moved(&h->host.facts[i], about), l = sqrt(h->host.facts[i].length2);
    const double product = e * R + l * E + sums * (l + e) * R, key = times * (l + e) * R + half;
    h->host.window[i] = (float)(2.02 * (times * product + 2 * u * key + u * half + many * 0x1p-52 * along + tiny));
  }
}

static vbl_status prepare_rows(hunt *h, vbl_error *err) {
  const int64_t n = h->p->n, d = h->p->d;
  const vbl_backend *b = h->b;
  b->measure->near_rows(vbl_tensor_data(h->p->device->rows), h->device.by, h->device.about, n, d, h->tf32, h->rows, h->ld,
                        h->device.facts, NULL);
  b->to_host(h->host.facts, h->device.facts, sizeof *h->host.facts * (size_t)n, NULL);
  VBL_TRY(b->sync(NULL, err));
  set_windows(h);
  b->from_host(h->device.plus, h->host.plus, sizeof *h->host.plus * (size_t)n, NULL);
  b->from_host(h->device.window, h->host.window, sizeof *h->host.window * (size_t)n, NULL);
  b->fill(VBL_F32, h->s.floor, n, (double)-INFINITY, NULL);
  b->fill(VBL_I32, h->s.count, n, 0, NULL);
  return VBL_OK;
}

static void multiply(const hunt *h, int64_t i, int64_t rows, int64_t j, int64_t columns) {
  const float *A = h->rows + i * h->ld, *B = h->rows + j * h->ld;
  const int64_t ld = aligned(columns);
  if (h->tf32)
    h->b->gemm_tf32(false, true, rows, columns, h->ld, A, h->ld, B, h->ld, false, h->products, ld, NULL);
  else
    h->b->gemm(false, true, rows, columns, h->ld, 1, A, h->ld, B, h->ld, 0, h->products, ld, NULL);
}

static vbl_status run_blocks(const hunt *h, vbl_error *err) {
  const int64_t n = h->p->n, block = h->b->measure->block;
  for (int64_t i = 0; i < n; i += block)
    for (int64_t j = i; j < n; j += block) {
      const int64_t rows = n - i < block ? n - i : block, columns = n - j < block ? n - j : block;
      VBL_TRY(vbl_interrupt_check(err));
      multiply(h, i, rows, j, columns);
      h->b->measure->nearest_block(&h->s, h->products, aligned(columns), i, rows, j, columns, false, NULL);
      if (i != j) h->b->measure->nearest_block(&h->s, h->products, aligned(columns), i, rows, j, columns, true, NULL);
    }
  h->b->measure->nearest_sift(&h->s, NULL);
  return VBL_OK;
}

// Keys rounded to f32 are in the order of those in f64, but that some are equal: they need no window.
static void refine(const hunt *h) {
  const double by = h->metric == VBL_KNN_COSINE ? 1 : 1 / h->scale / h->scale;
  h->b->measure->nearest_refine(&h->s, (int)h->metric, vbl_tensor_data(h->p->device->rows), h->p->device->norm, h->p->d, by, NULL);
  h->b->fill(VBL_F32, h->device.window, h->p->n, 0, NULL);
  h->b->measure->nearest_sift(&h->s, NULL);
}

_Static_assert(sizeof(vbl_near) == sizeof(vbl_candidate), "piles are copied as they are");

// How many candidates the rows have, counts (n). *found is false where a pile was overrun.
static vbl_status count_piles(hunt *h, int32_t *counts, bool *found, vbl_error *err) {
  h->b->to_host(counts, h->s.count, sizeof *counts * (size_t)h->p->n, NULL);
  VBL_TRY(h->b->sync(NULL, err));
  *found = true;
  h->most = 0;
  for (int64_t i = 0; i < h->p->n; i++) {
    *found = *found && counts[i] >= h->s.k && counts[i] <= h->s.room;
    if (counts[i] > h->most) h->most = counts[i];
  }
  return VBL_OK;
}

static vbl_status make_piles(const hunt *h, const int32_t *counts, vbl_candidates *c, vbl_error *err) {
  const size_t n = (size_t)h->p->n, room = (size_t)h->most;
  *c = (vbl_candidates){.n = h->p->n, .room = h->most};
  c->window = calloc(n, sizeof *c->window);  // 0: as refine() has it
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
  h->b->to_host(c->places, h->near, sizeof *c->places * places, NULL);
  h->b->to_host(c->exact, h->exact, sizeof *c->exact * places, NULL);
  return h->b->sync(NULL, err);
}

static vbl_status sift_products(hunt *h, bool tf32, int32_t *counts, bool *found, vbl_error *err) {
  h->tf32 = tf32;
  VBL_TRY(prepare_rows(h, err));
  VBL_TRY(run_blocks(h, err));
  refine(h);
  return count_piles(h, counts, found, err);
}

static vbl_status search(hunt *h, vbl_candidates *out, bool *found, vbl_error *err) {
  int32_t *counts = malloc(sizeof *counts * (size_t)h->p->n);
  if (counts == NULL) return vbl_fail(err, VBL_ENOMEM, "neighbour lists: out of memory");
  vbl_status status = take_all(h, err);
  if (status == VBL_OK) status = place(h, err);
  if (status == VBL_OK && h->b->gemm_tf32 != NULL) status = sift_products(h, true, counts, found, err);
  if (status == VBL_OK && !*found) status = sift_products(h, false, counts, found, err);
  if (status == VBL_OK && *found) status = make_piles(h, counts, out, err);
  if (status == VBL_OK && *found) status = fetch(h, out, err);
  free(counts);
  return status;
}

vbl_status vbl_device_candidates(const vbl_prepared *p, vbl_knn_metric metric, int64_t k, vbl_candidates *out, bool *found,
                                 vbl_error *err) {
  hunt h = {.b = p->device->b, .p = p, .metric = metric, .ld = aligned(p->d)};
  h.s = (vbl_nearest){.n = p->n, .k = k, .room = 2 * k + 64, .times = metric == VBL_KNN_EUCLIDEAN ? 2 : 1};
  vbl_apart apart;
  *found = false;
  VBL_TRY(vbl_apart_find(p, metric, &apart, err));
  const bool alike = apart.count == 0 && h.s.room < INT32_MAX;
  vbl_apart_free(&apart);
  if (!alike) return VBL_OK;
  h.scale = apart.scale;
  vbl_status status = search(&h, out, found, err);
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
