// defines: vbl_cka_stream_{check,new,free,numbers,add,merge,value}
#include "core/measure/stream.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/interrupt.h"
#include "core/measure/lapack.h"
#include "core/measure/parallel.h"

enum { CHUNK = 512, TILE = 384 };  // rows taken in at once; columns of a tile of the products
enum { MOST_COLUMNS = 1 << 24 };   // of all parts: 2 PiB, and squares of widths stay far from 2^63

static void set_pointers(vbl_cka_stream *s, double *block) {
  int64_t D = s->width, P = s->parts;
  s->shift = block;
  s->sum = s->shift + D;
  s->products = s->sum + D;
  s->norms = s->products + D * D;
  s->squares = s->norms + P;
  s->weighted = s->squares + P * P;
}

int64_t vbl_cka_stream_numbers(const vbl_cka_stream *s) {
  int64_t D = s->width, P = s->parts;
  return 2 * D + D * D + P + P * P + P * D;
}

vbl_status vbl_cka_stream_new(int64_t parts, const int64_t *widths, vbl_cka_stream **out, vbl_error *err) {
  vbl_cka_stream *s = calloc(1, sizeof *s);
  *out = NULL;
  if (s == NULL) return vbl_fail(err, VBL_ENOMEM, "cka_stream: out of memory");
  s->parts = parts;
  s->start = calloc((size_t)parts + 1, sizeof *s->start);
  for (int64_t p = 0; s->start != NULL && p < parts; p++) s->start[p + 1] = s->start[p] + widths[p];
  s->width = s->start != NULL ? s->start[parts] : 0;
  int64_t numbers = s->width <= MOST_COLUMNS ? vbl_cka_stream_numbers(s) : INT64_MAX;
  double *block = s->start == NULL || s->width > MOST_COLUMNS ? NULL : calloc((size_t)numbers, sizeof *block);
  if (block == NULL) {
    free(s->start);
    free(s);
    return vbl_fail(err, VBL_ENOMEM, "cka_stream: out of memory for %.0f MB", (double)numbers * 8e-6);
  }
  set_pointers(s, block);
  *out = s;
  return VBL_OK;
}

void vbl_cka_stream_free(vbl_cka_stream *s) {
  if (s == NULL) return;
  vbl_stream_device_free(s->device);
  free(s->start);
  free(s->shift);
  free(s);
}

vbl_status vbl_cka_stream_check(const vbl_cka_stream *s, int64_t p, int64_t n, int64_t d, int64_t rows, vbl_error *err) {
  const int64_t width = s->start[p + 1] - s->start[p];
  if (d == width && n == rows) return VBL_OK;
  return vbl_fail(err, VBL_EINVAL, "cka_stream: matrix %lld: expected [%lld, %lld], got [%lld, %lld]", (long long)p + 1,
                  (long long)rows, (long long)width, (long long)n, (long long)d);
}

static vbl_status check_rows(const vbl_cka_stream *s, const vbl_rows *rows, vbl_error *err) {
  for (int64_t p = 0; p < s->parts; p++) {
    const vbl_rows *r = &rows[p];
    VBL_TRY(vbl_cka_stream_check(s, p, r->n, r->d, rows[0].n, err));
    for (int64_t i = 0; i < r->n; i++)
      for (int64_t j = 0; j < r->d; j++) {
        double v = vbl_element(r->data, r->dtype, i * r->row_stride + j * r->column_stride);
        if (!isfinite(v))
          return vbl_fail(err, VBL_ENUMERIC, "cka_stream: matrix %lld: %s at row %lld of %lld, column %lld of %lld",
                          (long long)p + 1, isnan(v) ? "NaN" : "Inf", (long long)i + 1, (long long)r->n, (long long)j + 1,
                          (long long)r->d);
      }
  }
  return VBL_OK;
}

static double element(const vbl_rows *r, int64_t i, int64_t j) {
  return vbl_element(r->data, r->dtype, i * r->row_stride + j * r->column_stride);
}

// The first batch's mean; any vector would do, one near the data's mean keeps sums small.
static void choose_shift(vbl_cka_stream *s, const vbl_rows *rows) {
  for (int64_t p = 0; p < s->parts; p++)
    for (int64_t i = 0; i < rows[p].n; i++)
      for (int64_t j = 0; j < rows[p].d; j++) s->shift[s->start[p] + j] += element(&rows[p], i, j) / (double)rows[p].n;
}

// Rows first .. first + count of all parts about the shift, side by side: z (count, D); norm (count, parts) their squared lengths.
static void shifted_rows(const vbl_cka_stream *s, const vbl_rows *rows, int64_t first, int64_t count, double *z, double *norm) {
#pragma omp parallel for schedule(static) if (count * s->width > VBL_MEASURE_GRAIN)
  for (int64_t i = 0; i < count; i++)
    for (int64_t p = 0; p < s->parts; p++) {
      double *row = z + i * s->width + s->start[p];
      for (int64_t j = 0; j < rows[p].d; j++) row[j] = element(&rows[p], first + i, j) - s->shift[s->start[p] + j];
      norm[i * s->parts + p] = vbl_dot(row, row, rows[p].d);
    }
}

// products += z'z, upper triangle, by tiles that do not depend on the number of threads.
static void add_products(vbl_cka_stream *s, const double *z, int64_t count) {
  int64_t D = s->width, tiles = (D + TILE - 1) / TILE;
#pragma omp parallel for schedule(dynamic) if (tiles > 1)
  for (int64_t t = 0; t < tiles * tiles; t++) {
    int64_t i = t / tiles * TILE, j = t % tiles * TILE;
    int64_t h = D - i < TILE ? D - i : TILE, w = D - j < TILE ? D - j : TILE;
    if (j >= i) vbl_gemm(true, false, h, w, count, 1, z + i, D, z + j, D, 1, s->products + i * D + j, D);
  }
}

static void add_sums(vbl_cka_stream *s, const double *z, const double *norm, int64_t count) {
  int64_t D = s->width, P = s->parts;
  for (int64_t i = 0; i < count; i++) {
    const double *row = z + i * D, *a = norm + i * P;
    for (int64_t j = 0; j < D; j++) s->sum[j] += row[j];
    for (int64_t p = 0; p < P; p++) {
      s->norms[p] += a[p];
      for (int64_t q = 0; q < P; q++) s->squares[p * P + q] += a[p] * a[q];
      for (int64_t j = 0; j < D; j++) s->weighted[p * D + j] += a[p] * row[j];
    }
  }
  s->n += count;
}

vbl_status vbl_cka_stream_add(vbl_cka_stream *s, const vbl_rows *rows, vbl_error *err) {
  int64_t n = rows[0].n, chunk = n < CHUNK ? n : CHUNK;
  double *z = NULL, *norm = NULL;
  VBL_TRY(check_rows(s, rows, err));
  if (n == 0) return VBL_OK;
  VBL_TRY(vbl_interrupt_check(err));
  VBL_TRY(vbl_lapack_open(NULL, err));
  vbl_status status = vbl_doubles(chunk * s->width, "cka_stream", &z, err);
  if (status == VBL_OK) status = vbl_doubles(chunk * s->parts, "cka_stream", &norm, err);
  if (status == VBL_OK && s->n == 0) choose_shift(s, rows);
  for (int64_t first = 0; status == VBL_OK && first < n; first += CHUNK) {
    int64_t count = n - first < CHUNK ? n - first : CHUNK;
    shifted_rows(s, rows, first, count, z, norm);
    add_products(s, z, count);
    add_sums(s, z, norm, count);
  }
  free(z);
  free(norm);
  return status;
}

static double product(const vbl_cka_stream *s, int64_t i, int64_t j) {
  return i <= j ? s->products[i * s->width + j] : s->products[j * s->width + i];
}

// The sums about shift - delta, that is of z + delta, from those of z: each power expanded. Order: what is read later changes last.
static vbl_status add_to_rows(vbl_cka_stream *s, const double *delta, vbl_error *err) {
  int64_t D = s->width, P = s->parts;
  double n = (double)s->n, *turned = NULL, *dd = NULL, *ud = NULL;
  vbl_status status = vbl_doubles(P * D, "cka_stream", &turned, err);         // (p, j): sum over part p of products[., j] delta
  if (status == VBL_OK) status = vbl_doubles(2 * P, "cka_stream", &dd, err);  // |delta_p|^2; sum_p . delta_p
  if (status == VBL_OK) status = vbl_doubles(P * P, "cka_stream", &ud, err);  // (p, q): weighted_p over part q . delta_q
  if (status != VBL_OK) {
    free(turned);
    free(dd);
    return status;
  }
  double *sd = dd + P;
  for (int64_t p = 0; p < P; p++) {
    int64_t from = s->start[p], d = s->start[p + 1] - from;
    dd[p] = vbl_dot(delta + from, delta + from, d);
    sd[p] = vbl_dot(s->sum + from, delta + from, d);
    for (int64_t q = 0; q < P; q++)
      ud[p * P + q] = vbl_dot(s->weighted + p * D + s->start[q], delta + s->start[q], s->start[q + 1] - s->start[q]);
    for (int64_t j = 0; j < D; j++) {
      turned[p * D + j] = 0;
      for (int64_t i = from; i < from + d; i++) turned[p * D + j] += product(s, i, j) * delta[i];
    }
  }
  for (int64_t p = 0; p < P; p++)
    for (int64_t q = 0; q < P; q++) {
      double cross = vbl_dot(turned + p * D + s->start[q], delta + s->start[q], s->start[q + 1] - s->start[q]);
      s->squares[p * P + q] += 2 * ud[p * P + q] + dd[q] * s->norms[p] + 2 * ud[q * P + p] + 4 * cross + 2 * dd[q] * sd[p] +
                               dd[p] * s->norms[q] + 2 * dd[p] * sd[q] + n * dd[p] * dd[q];
    }
  for (int64_t p = 0; p < P; p++) {
    s->norms[p] += 2 * sd[p] + n * dd[p];
    for (int64_t j = 0; j < D; j++) s->weighted[p * D + j] += 2 * turned[p * D + j] + dd[p] * s->sum[j] + s->norms[p] * delta[j];
  }
  for (int64_t i = 0; i < D; i++)
    for (int64_t j = i; j < D; j++) s->products[i * D + j] += s->sum[i] * delta[j] + delta[i] * s->sum[j] + n * delta[i] * delta[j];
  for (int64_t j = 0; j < D; j++) {
    s->sum[j] += n * delta[j];
    s->shift[j] -= delta[j];
  }
  free(turned);
  free(dd);
  free(ud);
  return VBL_OK;
}

static vbl_status copy_of(const vbl_cka_stream *s, vbl_cka_stream **out, vbl_error *err) {
  int64_t *widths = malloc(sizeof *widths * (size_t)s->parts);
  if (widths == NULL) return vbl_fail(err, VBL_ENOMEM, "cka_stream: out of memory");
  for (int64_t p = 0; p < s->parts; p++) widths[p] = s->start[p + 1] - s->start[p];
  vbl_status status = vbl_cka_stream_new(s->parts, widths, out, err);
  free(widths);
  if (status != VBL_OK) return status;
  memcpy((*out)->shift, s->shift, sizeof(double) * (size_t)vbl_cka_stream_numbers(s));
  (*out)->n = s->n;
  return VBL_OK;
}

vbl_status vbl_cka_stream_merge(vbl_cka_stream *s, vbl_cka_stream *other, vbl_error *err) {
  bool same = s->parts == other->parts;
  for (int64_t p = 0; same && p <= s->parts; p++) same = s->start[p] == other->start[p];
  if (!same) return vbl_fail(err, VBL_EINVAL, "cka_stream: merge: the two were made for matrices of different widths");
  if (other->n == 0) return VBL_OK;
  VBL_TRY(vbl_cka_stream_settle(s, err));
  VBL_TRY(vbl_cka_stream_settle(other, err));
  int64_t numbers = vbl_cka_stream_numbers(s);
  vbl_cka_stream *moved = NULL;
  double *delta = NULL;
  vbl_status status = copy_of(other, &moved, err);
  if (status == VBL_OK) status = vbl_doubles(s->width, "cka_stream", &delta, err);
  if (status == VBL_OK && s->n == 0) {
    memcpy(s->shift, moved->shift, sizeof(double) * (size_t)numbers);
    s->n = other->n;
  } else if (status == VBL_OK) {
    for (int64_t j = 0; j < s->width; j++) delta[j] = other->shift[j] - s->shift[j];
    status = add_to_rows(moved, delta, err);
    for (int64_t i = s->width; status == VBL_OK && i < numbers; i++) s->shift[i] += moved->shift[i];
    if (status == VBL_OK) s->n += other->n;
  }
  vbl_cka_stream_free(moved);
  free(delta);
  return status;
}

// <K_p, L_q>, HSIC0 and n (n-3) HSIC1 of parts p and q; s is about its own mean. (Formulas: hsic.c.)
static double squared_norm(const vbl_cka_stream *s, int64_t p, int64_t q) {
  double sum = 0;
  for (int64_t i = s->start[p]; i < s->start[p + 1]; i++)
    for (int64_t j = s->start[q]; j < s->start[q + 1]; j++) sum += product(s, i, j) * product(s, i, j);
  return sum;
}

static double hsic_of(const vbl_cka_stream *s, int64_t p, int64_t q, bool biased, double cross) {
  double n = (double)s->n;
  if (biased) return cross;
  return cross - n / (n - 2) * s->squares[p * s->parts + q] + s->norms[p] * s->norms[q] / ((n - 1) * (n - 2));
}

static void fill_values(const vbl_cka_stream *s, bool biased, double *self, double *value, vbl_measure_status *status) {
  int64_t P = s->parts;
  double rounding = biased ? 0 : 16 * DBL_EPSILON * (double)s->n;
  for (int64_t p = 0; p < P; p++) {
    double cross = squared_norm(s, p, p);
    self[p] = hsic_of(s, p, p, biased, cross);
    if (!(self[p] > rounding * cross)) self[p] = 0;  // nothing but rounding is left
  }
  for (int64_t p = 0; p < P; p++)
    for (int64_t q = p; q < P; q++) {
      bool defined = self[p] > 0 && self[q] > 0;
      double v = defined ? hsic_of(s, p, q, biased, squared_norm(s, p, q)) / (sqrt(self[p]) * sqrt(self[q])) : (double)NAN;
      value[p * P + q] = value[q * P + p] = v;
      status[p * P + q] = status[q * P + p] = defined ? VBL_MEASURE_OK : VBL_MEASURE_ZERO_VARIANCE;
    }
}

vbl_status vbl_cka_stream_value(vbl_cka_stream *s, bool biased, double *value, vbl_measure_status *status, vbl_error *err) {
  vbl_cka_stream *centred = NULL;
  double *delta = NULL;
  if (s->n < (biased ? 2 : 4))
    return vbl_fail(err, VBL_EINVAL, "cka_stream: expected at least %d rows, got %lld", biased ? 2 : 4, (long long)s->n);
  VBL_TRY(vbl_cka_stream_settle(s, err));
  vbl_status result = copy_of(s, &centred, err);
  if (result == VBL_OK) result = vbl_doubles(s->width + s->parts, "cka_stream", &delta, err);
  for (int64_t j = 0; result == VBL_OK && j < s->width; j++) delta[j] = -s->sum[j] / (double)s->n;
  if (result == VBL_OK) result = add_to_rows(centred, delta, err);
  if (result == VBL_OK) fill_values(centred, biased, delta + s->width, value, status);
  vbl_cka_stream_free(centred);
  free(delta);
  return result;
}
