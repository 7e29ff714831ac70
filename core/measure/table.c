// defines: vbl_measure_table
#include <math.h>
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/device.h"
#include "core/measure/grams.h"
#include "core/measure/kernel.h"
#include "core/measure/null.h"
#include "core/measure/parallel.h"

typedef struct pairs {
  vbl_measure_fn *fn;
  vbl_prepared **xs, **ys;
  int64_t nx, ny;
  const vbl_measure_options *o;
  bool half, device, mixed;  // whether all matrices lie on a device, or some
  double *values;
  vbl_measure_status *statuses;
  double *products;  // (nx, ny): <K, L> of linear kernels, or NULL where each pair makes its own
  double *nuclear;   // (nx, ny): what options.nuclear is to be, NaN where it is not known, or NULL
} pairs;

enum { BATCH = 32 };  // pairs whose products come from a device at once

static bool same_list(vbl_prepared **xs, int64_t nx, vbl_prepared **ys, int64_t ny) {
  for (int64_t i = 0; nx == ny && i < nx; i++)
    if (xs[i] != ys[i]) return false;
  return nx == ny;
}

static vbl_prepared *matrix(const pairs *p, int64_t i) { return i < p->nx ? p->xs[i] : p->ys[i - p->nx]; }

static int64_t matrices(const pairs *p) { return p->half ? p->nx : p->nx + p->ny; }

static bool linear(const pairs *p) { return p->fn == vbl_hsic || (p->fn == vbl_cka && p->o->kernel == 0); }

// Tiles of Gram matrices cost n^2 d / 2 multiplications a matrix and, fetched from memory, about n^2 a pair; cross-covariances n d^2 a
// pair.
static bool grams_pay(const pairs *p) {
  enum { MATRICES = 256 };  // whose tiles a thread has room for
  if (!linear(p)) return false;
  double n = (double)p->xs[0]->n, least = INFINITY, m = (double)matrices(p), count = (double)p->nx * (double)p->ny;
  for (int64_t i = 0; i < matrices(p); i++) least = fmin(least, (double)matrix(p, i)->d);
  if (p->half) count /= 2;
  return m <= MATRICES && n * n * (m * least / 2 + m * m / 2) < count * n * least * fmin(least, n);
}

// <K, L> of all pairs.
static vbl_status make_products(pairs *p, vbl_error *err) {
  int64_t count = matrices(p), from = p->half ? 0 : p->nx;
  vbl_prepared **all = malloc(sizeof *all * (size_t)count);
  double *square = malloc(sizeof *square * (size_t)(count * count));
  p->products = malloc(sizeof *p->products * (size_t)(p->nx * p->ny));
  vbl_status status = VBL_OK;
  if (all == NULL || square == NULL || p->products == NULL) status = vbl_fail(err, VBL_ENOMEM, "table: out of memory");
  for (int64_t i = 0; status == VBL_OK && i < count; i++) all[i] = matrix(p, i);
  if (status == VBL_OK) status = vbl_gram_products(all, count, square, err);
  for (int64_t i = 0; status == VBL_OK && i < p->nx; i++)
    for (int64_t j = 0; j < p->ny; j++) p->products[i * p->ny + j] = square[i * count + from + j];
  free(all);
  free(square);
  return status;
}

// The same pair by pair, from a device.
static vbl_status make_cross_products(pairs *p, vbl_error *err) {
  p->products = calloc((size_t)(p->nx * p->ny), sizeof *p->products);
  if (p->products == NULL) return vbl_fail(err, VBL_ENOMEM, "table: out of memory");
  for (int64_t q = 0; q < p->nx * p->ny; q++) {
    const int64_t i = q / p->ny, j = q % p->ny;
    VBL_TRY(vbl_interrupt_check(err));
    if (p->xs[i] != p->ys[j] && !(p->half && j < i)) VBL_TRY(vbl_device_squared(p->xs[i], p->ys[j], &p->products[q], err));
  }
  return VBL_OK;
}

static bool by_vectors(const pairs *p) { return p->device && p->o->on_host == 0 && (p->fn == vbl_cca || p->fn == vbl_svcca); }

// Whether all matrices have fewer columns than rows.
static bool all_narrow(const pairs *p) {
  bool narrow = true;
  for (int64_t i = 0; i < matrices(p); i++) narrow &= matrix(p, i)->d < matrix(p, i)->n;
  return narrow;
}

static vbl_status warm_one(const pairs *p, int64_t i, vbl_error *err) {
  vbl_prepared *m = matrix(p, i);
  for (int64_t j = 0; j < i; j++)
    if (matrix(p, j) == m) return VBL_OK;  // another thread's
  if (by_vectors(p)) return VBL_OK;        // place() has made them
  VBL_TRY(vbl_interrupt_check(err));
  VBL_TRY(vbl_measure_warm(p->fn, m, p->o, err));
  // A wide partner's pair would make it, several at once.
  return p->fn == vbl_procrustes && m->total > 0 && !all_narrow(p) ? vbl_prepared_svd(m, err) : VBL_OK;
}

// cross: as the option of that name.
static vbl_status run_pair(const pairs *p, int64_t q, double *cross, vbl_error *err) {
  int64_t i = q / p->ny, j = q % p->ny;
  vbl_measure_result r;
  vbl_measure_options o = *p->o;
  o.cross = cross;
  if (p->nuclear != NULL && !isnan(p->nuclear[q])) o.nuclear = &p->nuclear[q];
  if (p->half && j < i) return VBL_OK;
  VBL_TRY(vbl_interrupt_check(err));
  if (p->products != NULL && p->xs[i] != p->ys[j])
    VBL_TRY(vbl_linear_kernels(p->fn, p->xs[i], p->ys[j], &o, p->products[q], &r, err));
  else
    VBL_TRY(p->fn(p->xs[i], p->ys[j], &o, &r, err));
  p->values[q] = r.value;
  p->statuses[q] = r.status;
  if (p->half) {
    p->values[j * p->ny + i] = r.value;
    p->statuses[j * p->ny + i] = r.status;
  }
  return VBL_OK;
}

// step 0: what pairs share; step 1: the pairs. A device's matrices share what it makes, one after another.
static vbl_status run_step(const pairs *p, int step, vbl_error *err) {
  int64_t count = step == 1 ? p->nx * p->ny : matrices(p);
  vbl_status status = VBL_OK;
#pragma omp parallel for schedule(dynamic) if (!p->mixed && (step == 1 || !p->device))
  for (int64_t q = 0; q < count; q++) {
    vbl_error mine = {0};
    if (vbl_shared_failed(&status)) continue;
    vbl_shared_fail(&status, step == 0 ? warm_one(p, q, &mine) : run_pair(p, q, NULL, &mine), &mine, err);
  }
  return status;
}

// Whether the measure's pairs begin with a product that a device makes: Xc'Yc, or Ux'Uy.
static bool by_cross(const pairs *p) {
  if (by_vectors(p)) return true;
  return p->device && p->fn == vbl_procrustes && p->o->form == 0 && all_narrow(p);
}

// Whether pair q is another's mirror image, or of a matrix with itself.
static bool known(const pairs *p, int64_t q) { return p->xs[q / p->ny] == p->ys[q % p->ny] || (p->half && q % p->ny < q / p->ny); }

static vbl_status device_product(const pairs *p, int64_t q, double *cross, vbl_error *err) {
  vbl_prepared *x = p->xs[q / p->ny], *y = p->ys[q % p->ny];
  int64_t size[2];
  bool yes = false;
  VBL_TRY(vbl_interrupt_check(err));
  if (known(p, q) || !isnan(p->nuclear[q])) return VBL_OK;
  if (!by_vectors(p)) return vbl_device_cross(x, y, NULL, cross, err);
  VBL_TRY(vbl_cca_on_device(p->fn, x, y, p->o, size, &yes, err));
  return yes ? vbl_device_coordinates(x, y, size[0], size[1], cross, err) : VBL_OK;
}

// Pairs first .. end - 1: their products one after another on the device, into cross, the rest side by side on the cores.
static vbl_status run_batch(const pairs *p, int64_t first, int64_t end, int64_t room, double *cross, vbl_error *err) {
  for (int64_t q = first; q < end; q++) VBL_TRY(device_product(p, q, cross + (q - first) * room, err));
  vbl_status status = VBL_OK;
#pragma omp parallel for schedule(dynamic)
  for (int64_t q = first; q < end; q++) {
    vbl_error mine = {0};
    if (vbl_shared_failed(&status)) continue;
    vbl_shared_fail(&status, run_pair(p, q, cross + (q - first) * room, &mine), &mine, err);
  }
  return status;
}

// Nuclear norms of all pairs' products at once, where the measure is made of them.
static vbl_status find_nuclear(const pairs *p, vbl_error *err) {
  const int64_t count = p->nx * p->ny;
  vbl_device_pair_of *of = malloc(sizeof *of * (size_t)count);
  double *sums = malloc(sizeof *sums * (size_t)count);
  int64_t *at = malloc(sizeof *at * (size_t)count), n = 0;
  vbl_status status = VBL_OK;
  if (of == NULL || sums == NULL || at == NULL) status = vbl_fail(err, VBL_ENOMEM, "table: out of memory");
  for (int64_t q = 0; status == VBL_OK && q < count; q++) {
    vbl_prepared *x = p->xs[q / p->ny], *y = p->ys[q % p->ny];
    int64_t size[2] = {0, 0};
    bool yes = !by_vectors(p);
    if (known(p, q)) continue;
    if (!yes) status = vbl_cca_on_device(p->fn, x, y, p->o, size, &yes, err);
    if (!yes) continue;
    of[n] = (vbl_device_pair_of){x, y, size[0], size[1]};
    at[n++] = q;
  }
  if (status == VBL_OK) status = vbl_device_nuclear_norms(of, n, sums, err);
  for (int64_t i = 0; status == VBL_OK && i < n; i++) p->nuclear[at[i]] = sums[i];
  free(of);
  free(sums);
  free(at);
  return status;
}

static vbl_status run_by_cross(pairs *p, vbl_error *err) {
  int64_t room = 0, count = p->nx * p->ny;
  double *cross = NULL;
  for (int64_t i = 0; i < matrices(p); i++) room = matrix(p, i)->d > room ? matrix(p, i)->d : room;
  room *= room;
  VBL_TRY(vbl_doubles(count, "table", &p->nuclear, err));  // the caller frees it
  for (int64_t q = 0; q < count; q++) p->nuclear[q] = NAN;
  if (p->fn != vbl_cca || p->o->of == 0) VBL_TRY(find_nuclear(p, err));
  VBL_TRY(vbl_scratch(BATCH * room, "table", &cross, err));
  vbl_status status = VBL_OK;
  for (int64_t q = 0; status == VBL_OK && q < count; q += BATCH)
    status = run_batch(p, q, q + BATCH < count ? q + BATCH : count, room, cross, err);
  vbl_scratch_free(BATCH * room, cross);
  return status;
}

// Every matrix has the rows of the first: rows are paired, and labels of rows (groups, folds) are given once for all.
static vbl_status check_rows(const pairs *p, vbl_error *err) {
  for (int64_t i = 1; i < p->nx + p->ny; i++)
    if (matrix(p, i)->n != p->xs[0]->n)
      return vbl_fail(err, VBL_EINVAL, "matrix %lld of the %s list has %lld rows, the first of all has %lld",
                      (long long)(i < p->nx ? i : i - p->nx) + 1, i < p->nx ? "first" : "second", (long long)matrix(p, i)->n,
                      (long long)p->xs[0]->n);
  return VBL_OK;
}

// Whether the singular vectors of all matrices that have any can be had from the device.
static vbl_status find_vectors(const pairs *p, bool *all, vbl_error *err) {
  int64_t size[2];
  VBL_TRY(vbl_device_svds(p->xs, p->nx, err));
  if (!p->half) VBL_TRY(vbl_device_svds(p->ys, p->ny, err));
  *all = true;
  for (int64_t i = 0; i < matrices(p) && *all; i++) {
    VBL_TRY(vbl_interrupt_check(err));
    if (matrix(p, i)->total > 0) VBL_TRY(vbl_cca_on_device(p->fn, matrix(p, i), matrix(p, i), p->o, size, all, err));
  }
  return VBL_OK;
}

// Where all matrices lie on a device, measures that can leave them there do; others find their rows on the host.
static vbl_status place(pairs *p, vbl_measure_options *o, vbl_error *err) {
  bool all = true;
  int64_t count = 0;
  for (int64_t i = 0; i < matrices(p); i++) count += matrix(p, i)->device != NULL;
  p->device = count == matrices(p);
  p->mixed = count > 0 && !p->device;
  if (by_vectors(p)) VBL_TRY(find_vectors(p, &all, err));
  o->on_host = !all;
  const bool stays = linear(p) || by_cross(p) || vbl_measure_traits_of(p->fn, p->o)->parts == VBL_PART_KNN;
  if (!stays) o->on_host = 1;
  for (int64_t i = 0; i < matrices(p) && !(p->device && stays); i++) VBL_TRY(vbl_device_pull(matrix(p, i), err));
  return VBL_OK;
}

vbl_status vbl_measure_table(vbl_measure_fn *fn, vbl_prepared **xs, int64_t nx, vbl_prepared **ys, int64_t ny,
                             const vbl_measure_options *o, double *values, vbl_measure_status *statuses, vbl_error *err) {
  vbl_measure_options plain = *o;
  plain.value_only = 1;
  bool half = vbl_measure_traits_of(fn, o)->symmetric && same_list(xs, nx, ys, ny);
  pairs p = {.fn = fn, .xs = xs, .ys = ys, .nx = nx, .ny = ny, .o = &plain, .half = half, .values = values, .statuses = statuses};
  if (nx < 1 || ny < 1) return VBL_OK;
  VBL_TRY(check_rows(&p, err));
  vbl_status status = place(&p, &plain, err);
  if (status == VBL_OK) status = run_step(&p, 0, err);
  if (status == VBL_OK && grams_pay(&p))
    status = make_products(&p, err);
  else if (status == VBL_OK && p.device && linear(&p))
    status = make_cross_products(&p, err);
  if (status == VBL_OK) status = by_cross(&p) ? run_by_cross(&p, err) : run_step(&p, 1, err);
  free(p.products);
  free(p.nuclear);
  return status;
}
