// defines: vbl_prepare_device, vbl_device_pair, vbl_device_{free,together,pull,squared,grams,cross}
#include "core/measure/device.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/device_factor.h"
#include "core/measure/device_memory.h"
#include "kernels/cpu/cpu.h"

bool vbl_device_pair(const vbl_prepared *x, const vbl_prepared *y) { return x->device != NULL && y->device != NULL; }

void vbl_device_free(vbl_device_rows *r) {
  if (r == NULL) return;
  vbl_tensor_release(r->rows);
  r->b->free(r->mean, 0);
  r->b->free(r->norm, 0);
  free(r->hash);
  r->b->free(r->u, 0);
  if (r->svd != NULL) free(r->svd->s);
  free(r->svd);
  free(r);
}

// As the CPU's (prepared.c): from the first row, then from that mean.
static vbl_status centre(vbl_prepared *p, vbl_error *err) {
  vbl_device_rows *r = p->device;
  const size_t bytes = sizeof *p->mean * (size_t)p->d;
  double *sums = NULL, *device = NULL;
  float *row = malloc(sizeof *row * (size_t)p->d);
  if (row == NULL) return vbl_fail(err, VBL_ENOMEM, "mean: out of memory");
  vbl_status status = vbl_doubles(p->d, "mean", &sums, err);
  if (status == VBL_OK) status = vbl_device_take(r->b, bytes, "mean", (void **)&device, err);
  if (status == VBL_OK) r->b->to_host(row, vbl_tensor_data(r->rows), sizeof *row * (size_t)p->d, NULL);
  for (int64_t j = 0; status == VBL_OK && j < p->d; j++) p->mean[j] = (double)row[j];
  for (int pass = 0; status == VBL_OK && pass < 2; pass++) {
    r->b->from_host(r->mean, p->mean, bytes, NULL);
    r->b->measure->row_sums(vbl_tensor_data(r->rows), r->mean, NULL, p->n, p->d, 1, false, device, NULL);
    r->b->to_host(sums, device, bytes, NULL);
    for (int64_t j = 0; j < p->d; j++) p->mean[j] += sums[j] / (double)p->n;
  }
  if (status == VBL_OK) r->b->from_host(r->mean, p->mean, bytes, NULL);
  r->b->free(device, bytes);
  free(sums);
  free(row);
  return status;
}

static void note_row(vbl_prepared *p, int64_t i, const vbl_row_facts *f) {
  p->norm[i] = sqrt(f->norm2);  // squares of f32 numbers neither over- nor underflow
  p->centred_norm2[i] = f->centred2;
  p->total += f->centred2;
  p->device->hash[2 * i] = f->hash[0];
  p->device->hash[2 * i + 1] = f->hash[1];
  if (p->norm[i] == 0 && p->zero_rows++ == 0) p->first_zero_row = i;
}

static vbl_status read_facts(vbl_prepared *p, vbl_error *err) {
  vbl_device_rows *r = p->device;
  const size_t bytes = sizeof(vbl_row_facts) * (size_t)p->n;
  vbl_row_facts *device = NULL, *facts = malloc(bytes);
  if (facts == NULL) return vbl_fail(err, VBL_ENOMEM, "row norms: out of memory");
  p->first_zero_row = -1;
  vbl_status status = vbl_device_take(r->b, bytes, "row norms", (void **)&device, err);
  if (status == VBL_OK) r->b->measure->row_facts(vbl_tensor_data(r->rows), r->mean, p->n, p->d, device, NULL);
  if (status == VBL_OK) r->b->to_host(facts, device, bytes, NULL);
  if (status == VBL_OK) status = r->b->sync(NULL, err);
  for (int64_t i = 0; status == VBL_OK && i < p->n; i++) note_row(p, i, &facts[i]);
  if (status == VBL_OK) r->b->from_host(r->norm, p->norm, sizeof *p->norm * (size_t)p->n, NULL);
  r->b->free(device, bytes);
  free(facts);
  return status;
}

static vbl_status take_rows(vbl_prepared *p, const vbl_tensor *t, vbl_error *err) {
  vbl_device_rows *r = p->device = calloc(1, sizeof *r);
  vbl_tensor *dense = NULL;
  if (r == NULL) return vbl_fail(err, VBL_ENOMEM, "features: out of memory");
  r->b = t->storage->backend;
  VBL_TRY(vbl_tensor_contiguous(t, &dense, err));
  vbl_status status = vbl_tensor_to_dtype(dense, VBL_F32, &r->rows, err);
  vbl_tensor_release(dense);
  if (status == VBL_OK) status = vbl_device_take(r->b, sizeof(double) * (size_t)p->d, "mean", (void **)&r->mean, err);
  if (status == VBL_OK) status = vbl_device_take(r->b, sizeof(double) * (size_t)p->n, "norms", (void **)&r->norm, err);
  r->hash = malloc(sizeof *r->hash * 2 * (size_t)p->n);
  return status == VBL_OK && r->hash == NULL ? vbl_fail(err, VBL_ENOMEM, "features: out of memory") : status;
}

// NaN and Inf are found on the device and named by the host.
static vbl_status name_nonfinite(vbl_prepared *p, const char *name, vbl_error *err) {
  vbl_prepared *unused = NULL;
  VBL_TRY(vbl_device_pull(p, err));
  vbl_status status = vbl_prepare(p->n, p->d, p->single, VBL_F32, p->d, 1, name, &unused, err);
  vbl_prepared_free(unused);
  return status;
}

static vbl_status fill(vbl_prepared *p, const vbl_tensor *t, const char *name, vbl_error *err) {
  VBL_TRY(take_rows(p, t, err));
  VBL_TRY(vbl_doubles(p->d, name, &p->mean, err));
  VBL_TRY(vbl_doubles(p->n, name, &p->norm, err));
  VBL_TRY(vbl_doubles(p->n, name, &p->centred_norm2, err));
  if (p->device->b->count_nonfinite(vbl_tensor_data(p->device->rows), p->n * p->d, NULL) > 0) return name_nonfinite(p, name, err);
  VBL_TRY(centre(p, err));
  VBL_TRY(read_facts(p, err));
  return vbl_count_duplicates(p, err);
}

vbl_status vbl_prepare_device(const vbl_tensor *t, const char *name, vbl_prepared **out, vbl_error *err) {
  *out = NULL;
  VBL_TRY(vbl_check_matrix(t->shape[0], t->shape[1], t->dtype, name, err));
  vbl_prepared *p = calloc(1, sizeof *p);
  if (p == NULL) return vbl_fail(err, VBL_ENOMEM, "%s: out of memory", name);
  p->n = t->shape[0];
  p->d = t->shape[1];
  p->self = NAN;
  vbl_status status = fill(p, t, name, err);
  if (status == VBL_OK)
    *out = p;
  else
    vbl_prepared_free(p);
  return status;
}

vbl_status vbl_device_pull(vbl_prepared *p, vbl_error *err) {
  const size_t bytes = sizeof *p->single * (size_t)(p->n * p->d);
  if (p->device == NULL || p->single != NULL) return VBL_OK;
  p->single = vbl_cpu_alloc(bytes);
  if (p->single == NULL) return vbl_fail(err, VBL_ENOMEM, "features from %s: out of memory", p->device->b->name);
  p->device->b->to_host(p->single, vbl_tensor_data(p->device->rows), bytes, NULL);
  return p->device->b->sync(NULL, err);
}

vbl_status vbl_device_together(vbl_prepared *x, vbl_prepared *y, vbl_error *err) {
  if (vbl_device_pair(x, y)) return VBL_OK;
  VBL_TRY(vbl_device_pull(x, err));
  return vbl_device_pull(y, err);
}

vbl_status vbl_device_squared(const vbl_prepared *x, const vbl_prepared *y, double *out, vbl_error *err) {
  const vbl_backend *b = x->device->b;
  const vbl_features f = vbl_device_centred(x), g = vbl_device_centred(y);
  double *c = NULL, *sums = NULL, parts[VBL_SUM_PARTS] = {0};
  const int64_t count = x->d * y->d;
  vbl_status status = vbl_device_take(b, sizeof *c * (size_t)count, "cross-covariance", (void **)&c, err);
  if (status == VBL_OK) status = vbl_device_take(b, sizeof parts, "cross-covariance", (void **)&sums, err);
  if (status == VBL_OK) {
    b->from_host(sums, parts, sizeof parts, NULL);
    b->measure->product(false, x->d, y->d, x->n, &f, &g, false, c, y->d, NULL);
    b->measure->pair_sums(c, 1, count, 1, sums, NULL);
    b->to_host(parts, sums, sizeof parts, NULL);
    status = b->sync(NULL, err);
  }
  b->free(c, 0);
  b->free(sums, 0);
  *out = vbl_device_total(parts);
  return status;
}

// <K_a, K_b> of the tiles on and above the diagonal, summed on the device.
static vbl_status add_tiles(vbl_prepared *const *m, int64_t count, int64_t tile, double *kernels, double *sums, vbl_error *err) {
  const vbl_backend *b = m[0]->device->b;
  for (int64_t i = 0; i < m[0]->n; i += tile)
    for (int64_t j = i; j < m[0]->n; j += tile) {
      const int64_t rows = m[0]->n - i < tile ? m[0]->n - i : tile, columns = m[0]->n - j < tile ? m[0]->n - j : tile;
      VBL_TRY(vbl_interrupt_check(err));
      for (int64_t a = 0; a < count; a++) {
        vbl_features f = vbl_device_centred(m[a]), g = f;
        f.x = (const float *)f.x + i * f.ld;
        g.x = (const float *)g.x + j * g.ld;
        b->measure->product(true, rows, columns, m[a]->d, &f, &g, false, kernels + a * rows * columns, columns, NULL);
      }
      b->measure->pair_sums(kernels, count, rows * columns, i == j ? 1 : 2, sums, NULL);
    }
  return VBL_OK;
}

static void collect(int64_t count, const double *sums, double *out) {
  for (int64_t a = 0; a < count; a++)
    for (int64_t b = a; b < count; b++) {
      const double sum = vbl_device_total(sums + (a * count + b) * VBL_SUM_PARTS);
      out[a * count + b] = out[b * count + a] = sum;
    }
}

vbl_status vbl_device_grams(vbl_prepared *const *m, int64_t count, double *out, vbl_error *err) {
  const vbl_backend *b = m[0]->device->b;
  const double room = 512e6;  // bytes of all kernels' tiles
  int64_t tile = b->measure->tile;
  while (tile > 64 && 8.0 * (double)count * (double)(tile * tile) > room) tile /= 2;
  const size_t bytes = sizeof(double) * (size_t)(count * count * VBL_SUM_PARTS);
  double *kernels = NULL, *device = NULL, *sums = calloc(1, bytes);
  if (sums == NULL) return vbl_fail(err, VBL_ENOMEM, "products of kernels: out of memory");
  vbl_status status =
      vbl_device_take(b, sizeof *kernels * (size_t)(count * tile * tile), "products of kernels", (void **)&kernels, err);
  if (status == VBL_OK) status = vbl_device_take(b, bytes, "products of kernels", (void **)&device, err);
  if (status == VBL_OK) b->from_host(device, sums, bytes, NULL);
  if (status == VBL_OK) status = add_tiles(m, count, tile, kernels, device, err);
  if (status == VBL_OK) b->to_host(sums, device, bytes, NULL);
  if (status == VBL_OK) status = b->sync(NULL, err);
  if (status == VBL_OK) collect(count, sums, out);
  b->free(kernels, 0);
  b->free(device, 0);
  free(sums);
  return status;
}

// The order as the device reads it.
static vbl_status send_order(const vbl_backend *b, const int64_t *order, int64_t n, int32_t **out, vbl_error *err) {
  const size_t bytes = sizeof(int32_t) * (size_t)n;
  int32_t *narrow = malloc(bytes);
  if (narrow == NULL) return vbl_fail(err, VBL_ENOMEM, "permutation: out of memory");
  vbl_status status = vbl_device_take(b, bytes, "permutation", (void **)out, err);
  for (int64_t i = 0; i < n; i++) narrow[i] = (int32_t)order[i];
  if (status == VBL_OK) b->from_host(*out, narrow, bytes, NULL);
  free(narrow);
  return status;
}

vbl_status vbl_device_cross(const vbl_prepared *x, const vbl_prepared *y, const int64_t *order, double *c, vbl_error *err) {
  const vbl_backend *b = x->device->b;
  const size_t bytes = sizeof *c * (size_t)(x->d * y->d);
  double *device = NULL;
  int32_t *sent = NULL;
  vbl_status status = vbl_device_take(b, bytes, "cross-covariance", (void **)&device, err);
  if (status == VBL_OK && order != NULL) status = send_order(b, order, x->n, &sent, err);
  if (status == VBL_OK) {
    vbl_features f = vbl_device_centred(x), g = vbl_device_centred(y);
    g.order = sent;
    b->measure->product(false, x->d, y->d, x->n, &f, &g, false, device, y->d, NULL);
    b->to_host(c, device, bytes, NULL);
    status = b->sync(NULL, err);
  }
  b->free(device, bytes);
  b->free(sent, 0);
  return status;
}
