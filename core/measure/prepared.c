// Preparing a matrix for measures: copy to f64, check, centre, count; and what is made on first use.
// defines: vbl_prepare, vbl_check_matrix, vbl_count_duplicates, vbl_prepared_free, vbl_prepared_{rows,row,dots,unit,self,svd}, vbl_first_equal, vbl_dot, vbl_distance2, vbl_doubles,
// vbl_scratch, vbl_scratch_free, vbl_element
#include "core/measure/prepared.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/philox.h"
#include "core/measure/cross.h"
#include "core/measure/device.h"
#include "core/measure/grams.h"
#include "core/measure/knn.h"
#include "core/measure/lapack.h"
#include "core/measure/parallel.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/loops.h"

enum { SUM_ROWS = 512 };  // rows of a column sum's tile

typedef double pair __attribute__((vector_size(16), aligned(8), may_alias));

enum { SUMS = 2 };  // vectors of running sums

static double total_of(const pair s[SUMS]) { return (s[0][0] + s[0][1]) + (s[1][0] + s[1][1]); }

// Four running sums, elements j % 4 apart: the order of every scalar product here.
double vbl_dot(const double *a, const double *b, int64_t d) {
  pair s[SUMS] = {{0, 0}};
  int64_t i = 0;
  for (; i + 2 * SUMS <= d; i += 2 * SUMS)
    for (int q = 0; q < SUMS; q++) s[q] += *(const pair *)(a + i + 2 * q) * *(const pair *)(b + i + 2 * q);
  for (; i < d; i++) s[0][0] += a[i] * b[i];
  return total_of(s);
}

void vbl_prepared_dots(const vbl_prepared *p, const double *a, const int32_t *rows, int64_t count, double *out) {
  vbl_cpu_loops()->dots(a, p->single, p->raw, p->d, rows, count, out);
}

double vbl_distance2(const double *a, const double *b, int64_t d) {
  double s0 = 0, s1 = 0;
  int64_t i = 0;
  for (; i + 2 <= d; i += 2) {
    double u = a[i] - b[i], v = a[i + 1] - b[i + 1];
    s0 += u * u;
    s1 += v * v;
  }
  for (; i < d; i++) s0 += (a[i] - b[i]) * (a[i] - b[i]);
  return s0 + s1;
}

vbl_status vbl_doubles(int64_t count, const char *what, double **out, vbl_error *err) {
  const size_t bytes = sizeof(double) * (size_t)(count > 0 ? count : 1), huge_page = (size_t)2 << 20;
  void *at = NULL;
  if (count >= 0 && count <= INT64_MAX / 8 && bytes < 4 * huge_page) at = malloc(bytes);
  if (count >= 0 && count <= INT64_MAX / 8 && bytes >= 4 * huge_page && posix_memalign(&at, huge_page, bytes) == 0)
    madvise(at, bytes, MADV_HUGEPAGE);  // a hint: clearing a matrix page by page takes longer than filling it
  *out = at;
  if (*out == NULL) return vbl_fail(err, VBL_ENOMEM, "%s: out of memory for %.0f MB", what, (double)count * 8e-6);
  return VBL_OK;
}

vbl_status vbl_scratch(int64_t count, const char *what, double **out, vbl_error *err) {
  *out = count >= 0 && count <= INT64_MAX / 8 ? vbl_cpu_alloc(sizeof **out * (size_t)(count > 0 ? count : 1)) : NULL;
  if (*out == NULL) return vbl_fail(err, VBL_ENOMEM, "%s: out of memory for %.0f MB", what, (double)count * 8e-6);
  return VBL_OK;
}

void vbl_scratch_free(int64_t count, double *p) { vbl_cpu_free(p, sizeof *p * (size_t)(count > 0 ? count : 1)); }

double vbl_element(const void *data, vbl_dtype dtype, int64_t i) {
  if (dtype == VBL_F64) return ((const double *)data)[i];
  if (dtype == VBL_F32) return (double)((const float *)data)[i];
  uint32_t bits = (uint32_t)((const uint16_t *)data)[i] << 16;  // bf16 is the upper half of an f32
  float f;
  memcpy(&f, &bits, sizeof f);
  return (double)f;
}

// False where a number of the row is not finite.
static bool copy_row(vbl_prepared *p, int64_t i, const void *data, vbl_dtype dtype, int64_t row_stride, int64_t column_stride) {
  if (dtype == VBL_F32 && column_stride == 1)
    return vbl_cpu_loops()->copy_finite(p->single + i * p->d, (const float *)data + i * row_stride, p->d);
  bool finite = true;
  for (int64_t j = 0; j < p->d; j++) {
    double v = vbl_element(data, dtype, i * row_stride + j * column_stride);
    finite &= isfinite(v) != 0;
    if (p->single != NULL)
      p->single[i * p->d + j] = (float)v;
    else
      p->raw[i * p->d + j] = v;
  }
  return finite;
}

static vbl_status copy_rows(vbl_prepared *p, const void *data, vbl_dtype dtype, int64_t row_stride, int64_t column_stride,
                            const char *name, vbl_error *err) {
  int64_t bad = p->n, j = 0;
#pragma omp parallel for schedule(static) reduction(min : bad)
  for (int64_t i = 0; i < p->n; i++)
    if (!copy_row(p, i, data, dtype, row_stride, column_stride) && i < bad) bad = i;
  if (bad == p->n) return VBL_OK;
  while (isfinite(vbl_prepared_element(p, bad, j))) j++;
  return vbl_fail(err, VBL_ENUMERIC, "%s: %s at row %lld of %lld, column %lld of %lld: measures need finite numbers", name,
                  isnan(vbl_prepared_element(p, bad, j)) ? "NaN" : "Inf", (long long)bad + 1, (long long)p->n, (long long)j + 1,
                  (long long)p->d);
}

// sum += row i - from
static void add_row(const vbl_prepared *p, int64_t i, const double *from, double *sum) {
  if (p->single != NULL) {
    vbl_cpu_loops()->add_less(sum, p->single + i * p->d, from, p->d);
  } else {
    const double *row = p->raw + i * p->d;
#pragma omp simd
    for (int64_t j = 0; j < p->d; j++) sum[j] += row[j] - from[j];
  }
}

// sums[t] (count of them, d each) = sum over the t-th SUM_ROWS rows of row - from: tiles, so that threads change no bit.
static void tile_sums(const vbl_prepared *p, const double *from, double *sums) {
  int64_t n = p->n, d = p->d, count = (n + SUM_ROWS - 1) / SUM_ROWS;
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < count; t++) {
    double *sum = sums + t * d;
    for (int64_t j = 0; j < d; j++) sum[j] = 0;
    for (int64_t i = t * SUM_ROWS; i < n && i < (t + 1) * SUM_ROWS; i++) add_row(p, i, from, sum);
  }
}

// Mean of each column, twice as the mean distance from an estimate: from the first row, so that a constant column has exactly its
// value and centres to exactly 0; then from that mean, which takes out what the first sum rounded.
static vbl_status centre(vbl_prepared *p, vbl_error *err) {
  int64_t count = (p->n + SUM_ROWS - 1) / SUM_ROWS;
  double *sums = NULL;
  VBL_TRY(vbl_doubles(count * p->d, "mean", &sums, err));
  for (int64_t j = 0; j < p->d; j++) p->mean[j] = vbl_prepared_element(p, 0, j);
  for (int pass = 0; pass < 2; pass++) {
    tile_sums(p, p->mean, sums);
    for (int64_t t = 1; t < count; t++)
      for (int64_t j = 0; j < p->d; j++) sums[j] += sums[t * p->d + j];
    for (int64_t j = 0; j < p->d; j++) p->mean[j] += sums[j] / (double)p->n;
  }
  free(sums);
  return VBL_OK;
}

// Euclidean length without overflow or underflow of the squares, whose sum is given.
static double length(const double *x, int64_t d, double sum) {
  double largest = 0;
  if (sum > 1e-200 && sum < 1e200) return sqrt(sum);
  for (int64_t j = 0; j < d; j++) largest = fmax(largest, fabs(x[j]));
  if (largest == 0) return 0;
  sum = 0;
  for (int64_t j = 0; j < d; j++) sum += (x[j] / largest) * (x[j] / largest);
  return largest * sqrt(sum);
}

// buffer: (2 d).
static void row_norms(vbl_prepared *p, int64_t i, double *buffer) {
  double *centred = buffer + p->d, norm2;
  if (p->single != NULL) {
    vbl_cpu_loops()->squares(p->single + i * p->d, p->mean, p->d, &norm2, &p->centred_norm2[i]);
    p->norm[i] = norm2 > 1e-200 && norm2 < 1e200 ? sqrt(norm2) : length(vbl_prepared_row(p, i, buffer), p->d, norm2);
    return;
  }
  const double *row = p->raw + i * p->d;
#pragma omp simd
  for (int64_t j = 0; j < p->d; j++) centred[j] = row[j] - p->mean[j];
  p->norm[i] = length(row, p->d, vbl_dot(row, row, p->d));
  p->centred_norm2[i] = vbl_dot(centred, centred, p->d);
}

static vbl_status norms(vbl_prepared *p, vbl_error *err) {
  vbl_status shared = VBL_OK;
#pragma omp parallel
  {
    double *buffer = NULL;
    vbl_error mine;
    vbl_status status = vbl_doubles(2 * p->d, "row norms", &buffer, &mine);
    vbl_shared_fail(&shared, status, &mine, err);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < p->n; i++)
      if (status == VBL_OK) row_norms(p, i, buffer);
    free(buffer);
  }
  VBL_TRY(shared);
  p->first_zero_row = -1;
  for (int64_t i = 0; i < p->n; i++) {
    p->total += p->centred_norm2[i];
    if (p->norm[i] == 0 && p->zero_rows++ == 0) p->first_zero_row = i;
  }
  return VBL_OK;
}

// Of the numbers' bits; 0 and -0, which are equal, hash alike. key: (d), for f32 data; else four chains, for speed.
static uint64_t hash_row(const vbl_prepared *p, const uint32_t *key, int64_t i) {
  uint64_t h[4] = {1, 2, 3, 4};
  if (p->device != NULL) return p->device->hash[2 * i];
  if (p->single != NULL) return vbl_cpu_loops()->hash(p->single + i * p->d, key, p->d);
  for (int64_t j = 0; j < p->d; j++) {
    double v = p->raw[i * p->d + j] + 0.0;
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits = (h[j % 4] ^ bits) * 0xD6E8FEB86659FD93u;
    h[j % 4] = bits ^ bits >> 32;
  }
  for (int q = 1; q < 4; q++) h[0] = (h[0] ^ h[q]) * 0x9E3779B97F4A7C15u;
  return h[0] ^ h[0] >> 32;
}

static bool equal_rows(const vbl_prepared *p, int64_t a, int64_t b) {
  int64_t j = 0;
  if (p->device != NULL) return p->device->hash[2 * a + 1] == p->device->hash[2 * b + 1];
  while (j < p->d && vbl_prepared_element(p, a, j) == vbl_prepared_element(p, b, j)) j++;
  return j == p->d;
}

// By a table of rows that differ, open, at most half full. taken: (2^bits), -1 where free. Places by the hash's upper bits after a
// product: the lower ones are alike where all numbers end in zero bits, as those of bf16 do.
static void look_up(const vbl_prepared *p, const uint64_t *hash, int bits, int64_t *taken, int64_t *first) {
  const int64_t places = (int64_t)1 << bits;
  for (int64_t q = 0; q < places; q++) taken[q] = -1;
  for (int64_t i = 0; i < p->n; i++) {
    int64_t q = (int64_t)(hash[i] * 0x9E3779B97F4A7C15u >> (64 - bits));
    while (taken[q] >= 0 && (hash[taken[q]] != hash[i] || !equal_rows(p, taken[q], i))) q = (q + 1) & (places - 1);
    if (taken[q] < 0) taken[q] = i;
    first[i] = taken[q];
  }
}

vbl_status vbl_first_equal(const vbl_prepared *p, int64_t *first, vbl_error *err) {
  int bits = 1;
  while ((int64_t)1 << bits < 2 * p->n) bits++;
  uint64_t *hash = malloc(sizeof *hash * (size_t)p->n);
  int64_t *taken = malloc(sizeof *taken << bits);
  uint32_t *key = malloc(sizeof *key * (size_t)p->d);
  vbl_status status = VBL_OK;
  if (hash == NULL || taken == NULL || key == NULL) status = vbl_fail(err, VBL_ENOMEM, "equal rows: out of memory");
  if (status == VBL_OK) {
    for (int64_t j = 0; j < p->d; j++) key[j] = vbl_philox((vbl_philox_key){0, VBL_STREAM_MEASURE}, (uint32_t)j, 0, 0, 0).v[0];
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < p->n; i++) hash[i] = hash_row(p, key, i);
    look_up(p, hash, bits, taken, first);
  }
  free(hash);
  free(taken);
  free(key);
  return status;
}

vbl_status vbl_count_duplicates(vbl_prepared *p, vbl_error *err) {
  p->repeat = calloc(p->n > 0 ? (size_t)p->n : 1, sizeof *p->repeat);
  if (p->repeat == NULL) return vbl_fail(err, VBL_ENOMEM, "duplicate rows: out of memory");
  int64_t *first = malloc(sizeof *first * (size_t)p->n);
  if (first == NULL) return vbl_fail(err, VBL_ENOMEM, "duplicate rows: out of memory");
  vbl_status status = vbl_first_equal(p, first, err);
  for (int64_t i = 0; status == VBL_OK && i < p->n; i++) p->duplicates += p->repeat[i] = first[i] != i;
  free(first);
  return status;
}

const double *vbl_prepared_row(const vbl_prepared *p, int64_t i, double *buffer) {
  if (p->raw != NULL) return p->raw + i * p->d;
  const float *row = p->single + i * p->d;
#pragma omp simd
  for (int64_t j = 0; j < p->d; j++) buffer[j] = (double)row[j];
  return buffer;
}

vbl_status vbl_prepared_rows(vbl_prepared *p, vbl_error *err) {
  int64_t count = p->n * p->d;
  VBL_TRY(vbl_device_pull(p, err));
  if (p->raw == NULL && p->single == NULL) return VBL_OK;  // a shape whose data lie elsewhere (tokens, permuted lists)
  if (p->raw == NULL) {
    VBL_TRY(vbl_doubles(count, "rows in f64", &p->raw, err));
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < p->n; i++)
      for (int64_t j = 0; j < p->d; j++) p->raw[i * p->d + j] = (double)p->single[i * p->d + j];
  }
  if (p->centred != NULL) return VBL_OK;
  VBL_TRY(vbl_doubles(count, "centred rows", &p->centred, err));
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < p->n; i++)
    for (int64_t j = 0; j < p->d; j++) p->centred[i * p->d + j] = p->raw[i * p->d + j] - p->mean[j];
  return VBL_OK;
}

static vbl_status fill(vbl_prepared *p, const void *data, vbl_dtype dtype, int64_t row_stride, int64_t column_stride,
                       const char *name, vbl_error *err) {
  if (dtype == VBL_F64) {
    VBL_TRY(vbl_doubles(p->n * p->d, name, &p->raw, err));
  } else {
    p->single = vbl_cpu_alloc(sizeof *p->single * (size_t)(p->n * p->d));
    if (p->single == NULL) return vbl_fail(err, VBL_ENOMEM, "%s: out of memory", name);
  }
  VBL_TRY(vbl_doubles(p->d, name, &p->mean, err));
  VBL_TRY(vbl_doubles(p->n, name, &p->norm, err));
  VBL_TRY(vbl_doubles(p->n, name, &p->centred_norm2, err));
  VBL_TRY(copy_rows(p, data, dtype, row_stride, column_stride, name, err));
  VBL_TRY(centre(p, err));
  VBL_TRY(norms(p, err));
  return vbl_count_duplicates(p, err);
}

vbl_status vbl_check_matrix(int64_t n, int64_t d, vbl_dtype dtype, const char *name, vbl_error *err) {
  if (n < 1 || d < 1 || n > INT32_MAX || d > INT32_MAX)
    return vbl_fail(err, VBL_EINVAL, "%s: expected a matrix of at least 1 row and 1 column, got [%lld, %lld]", name, (long long)n,
                    (long long)d);
  if (dtype != VBL_F32 && dtype != VBL_F64 && dtype != VBL_BF16)
    return vbl_fail(err, VBL_EINVAL, "%s: expected f32, f64 or bf16 numbers", name);
  return VBL_OK;
}

vbl_status vbl_prepare(int64_t n, int64_t d, const void *data, vbl_dtype dtype, int64_t row_stride, int64_t column_stride,
                       const char *name, vbl_prepared **out, vbl_error *err) {
  *out = NULL;
  VBL_TRY(vbl_check_matrix(n, d, dtype, name, err));
  vbl_prepared *p = calloc(1, sizeof *p);
  if (p == NULL) return vbl_fail(err, VBL_ENOMEM, "%s: out of memory", name);
  p->n = n;
  p->d = d;
  p->self = NAN;
  vbl_status status = fill(p, data, dtype, row_stride, column_stride, name, err);
  if (status == VBL_OK)
    *out = p;
  else
    vbl_prepared_free(p);
  return status;
}

void vbl_prepared_free(vbl_prepared *p) {
  if (p == NULL) return;
  vbl_knn_free(p->knn);
  vbl_device_free(p->device);
  if (p->svd != NULL) {
    free(p->svd->u);
    free(p->svd->s);
    free(p->svd);
  }
  vbl_cpu_free(p->single, sizeof *p->single * (size_t)(p->n * p->d));
  free(p->raw);
  free(p->centred);
  free(p->mean);
  free(p->norm);
  free(p->centred_norm2);
  free(p->unit);
  free(p->repeat);
  free(p);
}

vbl_status vbl_prepared_unit(vbl_prepared *p, vbl_error *err) {
  if (p->unit != NULL) return VBL_OK;
  VBL_TRY(vbl_device_pull(p, err));
  VBL_TRY(vbl_doubles(p->n * p->d, "unit rows", &p->unit, err));
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < p->n; i++)
    for (int64_t j = 0; j < p->d; j++) p->unit[i * p->d + j] = p->norm[i] == 0 ? 0 : vbl_prepared_element(p, i, j) / p->norm[i];
  return VBL_OK;
}

// |Xc'Xc|_F^2 from the smaller of the two products; in f64 where f32 shows that it cancels.
vbl_status vbl_prepared_self(vbl_prepared *p, vbl_error *err) {
  double self;
  if (!isnan(p->self)) return VBL_OK;
  if (p->n <= p->d) return vbl_gram_products(&p, 1, &self, err);
  const bool single = vbl_product_single(p, p);
  VBL_TRY(vbl_prepared_cross(p, p, &self, err));
  vbl_note_cancels(p, self);
  if (single && p->cancels == VBL_CANCELS_YES) VBL_TRY(vbl_prepared_cross(p, p, &self, err));
  p->self = self;
  return VBL_OK;
}

// U and S of a tall matrix from the eigenvectors of Xc'Xc = V S^2 V', U = Xc V / S: U is orthonormal to eps (s_1 / s_d)^2, so this
// counts only where (s_d / s_1)^2 > 1e-6; *done says whether it did. A third of an SVD's time.
static vbl_status eigen_svd(const vbl_prepared *p, const double *centred, vbl_svd *v, bool *done, vbl_error *err) {
  int64_t n = p->n, d = p->d;
  double *g = NULL;
  *done = false;
  VBL_TRY(vbl_lapack_open(NULL, err));
  VBL_TRY(vbl_scratch(d * d, "SVD", &g, err));
  vbl_syrk(true, d, n, centred, d, g);
  vbl_status status = vbl_symmetric_eigen(d, g, v->s, true, err);
  if (status == VBL_OK && v->s[0] > 1e-6 * v->s[d - 1]) {
    for (int64_t i = 0; i < d / 2; i++) {  // descending
      double t = v->s[i];
      v->s[i] = v->s[d - 1 - i];
      v->s[d - 1 - i] = t;
    }
    for (int64_t i = 0; i < d; i++) v->s[i] = sqrt(v->s[i]);
    for (int64_t i = 0; i < d; i++)
      for (int64_t j = 0; j < d; j++) g[i * d + j] /= v->s[d - 1 - i];
    for (int64_t i = 0; i < d / 2; i++)
      for (int64_t j = 0; j < d; j++) {
        double t = g[i * d + j];
        g[i * d + j] = g[(d - 1 - i) * d + j];
        g[(d - 1 - i) * d + j] = t;
      }
    vbl_gemm(false, true, n, d, d, 1, centred, d, g, d, 0, v->u, d);
    v->rank = d;
    *done = true;
  }
  vbl_scratch_free(d * d, g);
  return status;
}

static vbl_status compute_svd(const vbl_prepared *p, const double *centred, vbl_svd *v, vbl_error *err) {
  bool done = false;
  v->columns = p->n < p->d ? p->n : p->d;
  VBL_TRY(vbl_doubles(p->n * v->columns, "SVD", &v->u, err));
  VBL_TRY(vbl_doubles(v->columns, "SVD", &v->s, err));
  bool squares = p->total > 1e-140 && p->total < 1e140;  // Xc'Xc neither over- nor underflows
  if (p->n > p->d && squares) VBL_TRY(eigen_svd(p, centred, v, &done, err));
  if (done) return VBL_OK;
  double *copy = NULL;
  VBL_TRY(vbl_doubles(p->n * p->d, "SVD", &copy, err));
  memcpy(copy, centred, sizeof(double) * (size_t)(p->n * p->d));
  vbl_status status = vbl_svd_left(p->n, p->d, copy, v->u, v->s, err);
  free(copy);
  double cut = status == VBL_OK ? v->s[0] * (double)(p->n > p->d ? p->n : p->d) * DBL_EPSILON : 0;
  while (status == VBL_OK && v->rank < v->columns && v->s[v->rank] > cut) v->rank++;
  return status;
}

// The centred rows for a while: an SVD leaves no need of them, and two copies in f64 of each layer of a table would be much.
static vbl_status scratch_centred(const vbl_prepared *p, double **out, vbl_error *err) {
  VBL_TRY(vbl_scratch(p->n * p->d, "centred rows", out, err));
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < p->n; i++) {
    double *to = *out + i * p->d;
    const double *row = vbl_prepared_row(p, i, to);
    for (int64_t j = 0; j < p->d; j++) to[j] = row[j] - p->mean[j];
  }
  return VBL_OK;
}

vbl_status vbl_prepared_svd(vbl_prepared *p, vbl_error *err) {
  if (p->svd != NULL) return VBL_OK;
  VBL_TRY(vbl_device_pull(p, err));
  const double *centred = p->centred;
  double *own = NULL;
  if (centred == NULL) {
    VBL_TRY(scratch_centred(p, &own, err));
    centred = own;
  }
  vbl_svd *v = calloc(1, sizeof *v);
  vbl_status status = v != NULL ? compute_svd(p, centred, v, err) : vbl_fail(err, VBL_ENOMEM, "SVD: out of memory");
  if (own != NULL) vbl_scratch_free(p->n * p->d, own);
  if (status == VBL_OK) {
    p->svd = v;
    return VBL_OK;
  }
  if (v == NULL) return status;
  free(v->u);
  free(v->s);
  free(v);
  return status;
}
