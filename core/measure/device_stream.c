// Batches of a cka_stream that lie on a device: products of the parts are summed there, in f64, and come to the host when somebody asks for
// the value; what is summed by rows (squared lengths, and rows weighted by them) comes with each batch.
// defines: vbl_cka_stream_add_device, vbl_cka_stream_settle, vbl_stream_device_free
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/device_memory.h"
#include "core/measure/stream.h"

typedef struct vbl_stream_device {
  const vbl_backend *b;
  double *products;  // (D, D) since the last settling
  double *shift;     // (D)
} vbl_stream_device;

void vbl_stream_device_free(vbl_stream_device *v) {
  if (v == NULL) return;
  v->b->free(v->products, 0);
  v->b->free(v->shift, 0);
  free(v);
}

static vbl_status clear_products(const vbl_cka_stream *s, vbl_error *err) {
  const int64_t D = s->width;
  double *zero = calloc((size_t)(D * D), sizeof *zero);
  if (zero == NULL) return vbl_fail(err, VBL_ENOMEM, "cka_stream: out of memory");
  s->device->b->from_host(s->device->products, zero, sizeof *zero * (size_t)(D * D), NULL);
  free(zero);
  return VBL_OK;
}

static vbl_status open_device(vbl_cka_stream *s, const vbl_backend *b, vbl_error *err) {
  const size_t D = (size_t)s->width;
  if (s->device != NULL) return VBL_OK;
  vbl_stream_device *v = s->device = calloc(1, sizeof *v);
  if (v == NULL) return vbl_fail(err, VBL_ENOMEM, "cka_stream: out of memory");
  v->b = b;
  vbl_status status = vbl_device_take(b, sizeof(double) * D * D, "cka_stream", (void **)&v->products, err);
  if (status == VBL_OK) status = vbl_device_take(b, sizeof(double) * D, "cka_stream", (void **)&v->shift, err);
  if (status == VBL_OK) status = clear_products(s, err);
  if (status == VBL_OK) return VBL_OK;
  vbl_stream_device_free(v);
  s->device = NULL;
  return status;
}

// One batch: what all parts' work needs.
typedef struct batch {
  const vbl_backend *b;
  vbl_tensor *const *rows;  // f32 (n, d of the part), contiguous
  int64_t n;
  vbl_row_facts *facts, *device_facts;  // (n)
  double *weights, *device_weights;     // (n, P + 1): squared lengths about the shift, and 1
  double *sums, *device_sums;           // (P + 1, D)
} batch;

static vbl_status make_batch(const vbl_cka_stream *s, batch *t, vbl_error *err) {
  const size_t facts = sizeof *t->facts * (size_t)t->n, weights = sizeof(double) * (size_t)(t->n * (s->parts + 1));
  const size_t sums = sizeof(double) * (size_t)((s->parts + 1) * s->width);
  t->facts = malloc(facts);
  t->weights = malloc(weights);
  t->sums = malloc(sums);
  if (t->facts == NULL || t->weights == NULL || t->sums == NULL) return vbl_fail(err, VBL_ENOMEM, "cka_stream: out of memory");
  VBL_TRY(vbl_device_take(t->b, facts, "cka_stream", (void **)&t->device_facts, err));
  VBL_TRY(vbl_device_take(t->b, weights, "cka_stream", (void **)&t->device_weights, err));
  return vbl_device_take(t->b, sums, "cka_stream", (void **)&t->device_sums, err);
}

static void free_batch(const batch *t) {
  free(t->facts);
  free(t->weights);
  free(t->sums);
  t->b->free(t->device_facts, 0);
  t->b->free(t->device_weights, 0);
  t->b->free(t->device_sums, 0);
}

// The first batch's mean.
static void choose_shift(vbl_cka_stream *s, const batch *t) {
  s->device->b->from_host(s->device->shift, s->shift, sizeof *s->shift * (size_t)s->width, NULL);
  for (int64_t p = 0; s->n == 0 && p < s->parts; p++) {
    const int64_t from = s->start[p], d = s->start[p + 1] - from;
    t->b->measure->row_sums(vbl_tensor_data(t->rows[p]), s->device->shift + from, NULL, t->n, d, 1, false, t->device_sums + from,
                            NULL);
  }
  if (s->n > 0) return;
  t->b->to_host(t->sums, t->device_sums, sizeof *t->sums * (size_t)s->width, NULL);
  for (int64_t j = 0; j < s->width; j++) s->shift[j] += t->sums[j] / (double)t->n;
  t->b->from_host(s->device->shift, s->shift, sizeof *s->shift * (size_t)s->width, NULL);
}

static void read_lengths(const vbl_cka_stream *s, const batch *t) {
  for (int64_t p = 0; p < s->parts; p++) {
    const int64_t from = s->start[p], d = s->start[p + 1] - from;
    t->b->measure->row_facts(vbl_tensor_data(t->rows[p]), s->device->shift + from, t->n, d, t->device_facts, NULL);
    t->b->to_host(t->facts, t->device_facts, sizeof *t->facts * (size_t)t->n, NULL);
    for (int64_t i = 0; i < t->n; i++) t->weights[i * (s->parts + 1) + p] = t->facts[i].centred2;
  }
  for (int64_t i = 0; i < t->n; i++) t->weights[i * (s->parts + 1) + s->parts] = 1;
  t->b->from_host(t->device_weights, t->weights, sizeof *t->weights * (size_t)(t->n * (s->parts + 1)), NULL);
}

static void run_batch(const vbl_cka_stream *s, const batch *t) {
  const int64_t P = s->parts;
  for (int64_t q = 0; q < P; q++) {
    const int64_t from = s->start[q], d = s->start[q + 1] - from;
    const vbl_features right = {.x = vbl_tensor_data(t->rows[q]), .mean = s->device->shift + from, .ld = d};
    t->b->measure->row_sums(right.x, right.mean, t->device_weights, t->n, d, P + 1, false, t->device_sums + (P + 1) * from, NULL);
    for (int64_t p = 0; p <= q; p++) {
      const int64_t first = s->start[p], width = s->start[p + 1] - first;
      const vbl_features left = {.x = vbl_tensor_data(t->rows[p]), .mean = s->device->shift + first, .ld = width};
      t->b->measure->product(false, width, d, t->n, &left, &right, true, s->device->products + first * s->width + from, s->width,
                             NULL);
    }
  }
  t->b->to_host(t->sums, t->device_sums, sizeof *t->sums * (size_t)((P + 1) * s->width), NULL);
}

static void add_sums(vbl_cka_stream *s, const batch *t) {
  const int64_t P = s->parts, D = s->width;
  for (int64_t i = 0; i < t->n; i++) {
    const double *a = t->weights + i * (P + 1);
    for (int64_t p = 0; p < P; p++) {
      s->norms[p] += a[p];
      for (int64_t q = 0; q < P; q++) s->squares[p * P + q] += a[p] * a[q];
    }
  }
  for (int64_t q = 0; q < P; q++) {
    const int64_t from = s->start[q], d = s->start[q + 1] - from;
    const double *sums = t->sums + (P + 1) * from;
    for (int64_t j = 0; j < d; j++) s->sum[from + j] += sums[P * d + j];
    for (int64_t p = 0; p < P; p++)
      for (int64_t j = 0; j < d; j++) s->weighted[p * D + from + j] += sums[p * d + j];
  }
  s->n += t->n;
}

vbl_status vbl_cka_stream_add_device(vbl_cka_stream *s, vbl_tensor *const *rows, vbl_error *err) {
  batch t = {.b = rows[0]->storage->backend, .rows = rows, .n = rows[0]->shape[0]};
  for (int64_t p = 0; p < s->parts; p++) VBL_TRY(vbl_cka_stream_check(s, p, rows[p]->shape[0], rows[p]->shape[1], t.n, err));
  if (t.n == 0) return VBL_OK;
  VBL_TRY(vbl_interrupt_check(err));
  VBL_TRY(open_device(s, t.b, err));
  vbl_status status = make_batch(s, &t, err);
  if (status == VBL_OK) {
    choose_shift(s, &t);
    read_lengths(s, &t);
    run_batch(s, &t);
    status = t.b->sync(NULL, err);
  }
  if (status == VBL_OK) add_sums(s, &t);
  free_batch(&t);
  return status;
}

vbl_status vbl_cka_stream_settle(vbl_cka_stream *s, vbl_error *err) {
  const int64_t count = s->width * s->width;
  double *found = NULL;
  if (s->device == NULL) return VBL_OK;
  VBL_TRY(vbl_doubles(count, "cka_stream", &found, err));
  s->device->b->to_host(found, s->device->products, sizeof *found * (size_t)count, NULL);
  vbl_status status = s->device->b->sync(NULL, err);
  for (int64_t i = 0; status == VBL_OK && i < count; i++) s->products[i] += found[i];
  free(found);
  return status == VBL_OK ? clear_products(s, err) : status;
}
