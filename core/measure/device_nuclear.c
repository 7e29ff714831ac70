// Sums of singular values of many matrices at once, by f64 products alone. With X near the polar factor of A the sum is tr X'A.
// A / |A|_F is divided once more by z = |G^2|_F^(1/4) for G = X'X, which is at least its largest singular value and at most n^(1/8) of it; quintics
// (polar.h) take the values s in [least z, z] to f within VBL_POLAR_OFF of 1, smaller ones to f in [0, 1 + VBL_POLAR_OFF]; one cubic step, of
// which only the trace is taken, ends at f (3 - f^2) / 2. That misses 1 by (1 - f)^2 (2 + f) / 2 <= (1 - f^2)^2, so the sum is too small, by at
// most
//   sum s (1 - f^2)^2 <= 4 VBL_POLAR_OFF^2 sum s + least z |I - G|_F^2      (of values >= least z, and of the others)
// where G is the last one: the bound is computed. Rounding moves X's directions by about n eps over the values' rise, which `cushion` (polar.c)
// keeps large, and the sum by the square of that; the trace itself is off by some n eps |A|_F.
// Matrices are padded with zeros to one size, which adds singular values 0.
// defines: vbl_device_nuclear_norms
#include <math.h>
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/device_factor.h"
#include "core/measure/device_memory.h"
#include "core/measure/nuclear.h"
#include "core/measure/polar.h"

enum { DOTS = 4, EVEN = 8 };  // EVEN: sizes are made multiples of it, so that rows are aligned as products like them

// Shares of the largest singular value: trained layers end well above the first; what that leaves undecided, well above the second.
static const double LEAST[] = {8.3e-6, 1.2e-12};

typedef struct batch {
  const vbl_backend *b;
  const vbl_measure_kernels *k;
  int64_t M, N, most, count;  // matrices (M, N), M >= N; of the `most` that there is room for, `count` are there
  double *a, *x, *y;          // (most, M, N)
  double *g, *q;              // (most, N, N)
  double *block;              // where x, y, g and q lie, and before them
  int64_t span;               // rows of both sides of all pairs
  double *factor, *sums;      // (most), (DOTS, most, VBL_SUM_PARTS)
  double *host;               // (DOTS, most, VBL_SUM_PARTS), the host's
  const vbl_device_pair_of *pairs;
  double *out;           // of all pairs
  const int64_t *which;  // (count) of the pairs are here
} batch;

static int64_t wide(const vbl_device_pair_of *p) { return p->mx > 0 ? p->mx : p->x->d; }
static int64_t high(const vbl_device_pair_of *p) { return p->my > 0 ? p->my : p->y->d; }
static const vbl_device_pair_of *pair(const batch *t, int64_t i) { return &t->pairs[t->which[i]]; }
static int64_t smaller(const vbl_device_pair_of *p) { return wide(p) < high(p) ? wide(p) : high(p); }

// Numbers a pair of what X, Y, G and Q share with rows.
static int64_t shared(const batch *t) {
  const int64_t squares = 2 * t->N * (t->M + t->N), rows = t->span * (t->M + t->N);
  return squares > rows ? squares : rows;
}

static vbl_status take(batch *t, vbl_error *err) {
  const int64_t rows = t->most * t->M * t->N, square = t->most * t->N * t->N;
  const struct {
    double **at;
    int64_t count;
  } parts[] = {{&t->a, rows}, {&t->block, t->most * shared(t)}, {&t->factor, t->most}, {&t->sums, DOTS * t->most * VBL_SUM_PARTS}};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    VBL_TRY(vbl_device_take(t->b, sizeof(double) * (size_t)parts[i].count, "nuclear norms", (void **)parts[i].at, err));
  t->x = t->block;
  t->y = t->x + rows;
  t->g = t->y + rows;
  t->q = t->g + square;
  return vbl_doubles(DOTS * t->most * VBL_SUM_PARTS, "nuclear norms", &t->host, err);
}

static void give_back(const batch *t) {
  double *parts[] = {t->a, t->block, t->factor, t->sums};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) t->b->free(parts[i], 0);
  free(t->host);
}

// The side of a pair's product, its larger or its smaller one: whose columns, and how many.
typedef struct side {
  vbl_features f;
  int64_t columns;
} side;

static side side_of(const vbl_device_pair_of *p, bool large) {
  const bool x = (wide(p) >= high(p)) == large;
  const vbl_prepared *m = x ? p->x : p->y;
  return (side){p->mx > 0 ? vbl_device_vectors(m) : vbl_device_centred(m), x ? wide(p) : high(p)};
}

// A = the products, each with its smaller side across: some rows of all sides at a time.
static vbl_status load(const batch *t, vbl_error *err) {
  const int64_t n = t->pairs[0].x->n;
  double *left = t->block, *right = left + t->most * t->span * t->M;
  for (int64_t first = 0; first < n; first += t->span) {
    const int64_t rows = n - first < t->span ? n - first : t->span;
    VBL_TRY(vbl_interrupt_check(err));
    for (int64_t i = 0; i < t->count; i++) {
      const side a = side_of(pair(t, i), true), b = side_of(pair(t, i), false);
      t->k->widen(&a.f, first, rows, a.columns, t->M, left + i * rows * t->M, NULL);
      t->k->widen(&b.f, first, rows, b.columns, t->N, right + i * rows * t->N, NULL);
    }
    t->k->batch_products(false, t->M, t->N, rows, left, right, first > 0, t->a, t->count, NULL);
  }
  return VBL_OK;
}

// <u_i, v_i> of every matrix, to the device's place `at` for fetch().
static void dot(const batch *t, int at, const double *u, const double *v, int64_t elements) {
  t->k->batch_dots(u, v, elements, t->count, t->sums + at * t->count * VBL_SUM_PARTS, NULL);
}

// host[at count + i]: the first `dots` of them.
static vbl_status fetch(const batch *t, int dots, vbl_error *err) {
  t->b->to_host(t->host, t->sums, sizeof(double) * (size_t)(dots * t->count * VBL_SUM_PARTS), NULL);
  VBL_TRY(t->b->sync(NULL, err));
  for (int64_t i = 0; i < dots * t->count; i++) t->host[i] = vbl_device_total(t->host + i * VBL_SUM_PARTS);
  return VBL_OK;
}

static void send_factors(const batch *t, const double *factor) {
  t->b->from_host(t->factor, factor, sizeof *factor * (size_t)t->count, NULL);
}

// X = A / size; sizes 0 and those that are not finite leave X = 0, or not finite.
static vbl_status start(const batch *t, double *size, double *factor, vbl_error *err) {
  dot(t, 0, t->a, t->a, t->M * t->N);
  VBL_TRY(fetch(t, 1, err));
  for (int64_t i = 0; i < t->count; i++) {
    size[i] = sqrt(t->host[i]);
    factor[i] = size[i] > 0 ? 1 / size[i] : 0;
  }
  send_factors(t, factor);
  t->k->batch_scale(t->a, t->factor, t->M * t->N, t->count, t->x, NULL);
  return VBL_OK;
}

// z of what Q = G^2 is of; size becomes that of A's scale.
static vbl_status shrink(const batch *t, double *size, double *factor, vbl_error *err) {
  dot(t, 0, t->q, t->q, t->N * t->N);
  VBL_TRY(fetch(t, 1, err));
  for (int64_t i = 0; i < t->count; i++) {
    factor[i] = t->host[i] > 0 ? pow(t->host[i], 0.125) * (1 + 1e-10) : 1;
    size[i] *= factor[i];
  }
  send_factors(t, factor);
  return VBL_OK;
}

static vbl_status iterate(batch *t, double least, double *size, double *factor, vbl_error *err) {
  vbl_quintic p[VBL_POLAR_MOST];
  const int steps = vbl_polar(least, p);
  for (int step = 0; step < steps; step++) {
    const double coefficients[] = {p[step].a, p[step].b, p[step].c};
    VBL_TRY(vbl_interrupt_check(err));
    t->k->batch_products(false, t->N, t->N, t->M, t->x, t->x, false, t->g, t->count, NULL);
    t->k->batch_products(false, t->N, t->N, t->N, t->g, t->g, false, t->q, t->count, NULL);
    if (step == 0) VBL_TRY(shrink(t, size, factor, err));
    t->k->batch_quintic(t->g, coefficients, step == 0 ? t->factor : NULL, t->N, t->count, t->q, NULL);
    t->k->batch_products(true, t->M, t->N, t->N, t->x, t->q, false, t->y, t->count, NULL);
    double *x = t->x;
    t->x = t->y;
    t->y = x;
  }
  return VBL_OK;
}

// The cubic step's trace, 3/2 <X, A> - 1/2 <G, X'A>, and its bound; a sum that is good enough into the pair's place.
static vbl_status finish(const batch *t, double least, const double *size, vbl_error *err) {
  t->k->batch_products(false, t->N, t->N, t->M, t->x, t->x, false, t->g, t->count, NULL);
  t->k->batch_products(false, t->N, t->N, t->M, t->x, t->a, false, t->q, t->count, NULL);
  dot(t, 0, t->x, t->x, t->M * t->N);
  dot(t, 1, t->g, t->g, t->N * t->N);
  dot(t, 2, t->x, t->a, t->M * t->N);
  dot(t, 3, t->g, t->q, t->N * t->N);
  VBL_TRY(fetch(t, DOTS, err));
  for (int64_t i = 0; i < t->count; i++) {
    const double *dots = t->host + i;
    const double sum = 1.5 * dots[2 * t->count] - 0.5 * dots[3 * t->count];
    const double apart = (double)smaller(pair(t, i)) - 2 * dots[0] + dots[t->count];  // |I - G|_F^2
    const double bound = 4 * VBL_POLAR_OFF * VBL_POLAR_OFF * sum + least * size[i] * fmax(0, apart);
    if (isfinite(sum) && bound <= VBL_NUCLEAR_EXACT * sum) t->out[t->which[i]] = sum;
    if (size[i] == 0) t->out[t->which[i]] = 0;
  }
  return VBL_OK;
}

static vbl_status run(batch *t, double least, vbl_error *err) {
  double *size = NULL;
  VBL_TRY(vbl_interrupt_check(err));
  VBL_TRY(vbl_doubles(2 * t->count, "nuclear norms", &size, err));
  vbl_status status = load(t, err);
  if (status == VBL_OK) status = start(t, size, size + t->count, err);
  if (status == VBL_OK) status = iterate(t, least, size, size + t->count, err);
  if (status == VBL_OK) status = finish(t, least, size, err);
  free(size);
  return status;
}

// The size that holds the pairs which[0 .. count), and how many of them a batch takes.
static void fit(batch *t, int64_t count) {
  t->M = t->N = 1;
  for (int64_t i = 0; i < count; i++) {
    const int64_t n = smaller(pair(t, i)), m = wide(pair(t, i)) + high(pair(t, i)) - n;
    t->N = n > t->N ? n : t->N;
    t->M = m > t->M ? m : t->M;
  }
  t->N = (t->N + EVEN - 1) / EVEN * EVEN;
  t->M = (t->M + EVEN - 1) / EVEN * EVEN;
  t->span = t->N > t->k->tile ? 2 * t->N : 2 * t->k->tile;  // as many as there is room for, and enough to be worth a launch
  if (t->span > t->pairs[0].x->n) t->span = t->pairs[0].x->n;
  const int64_t bytes = (int64_t)sizeof(double) * (t->M * t->N + shared(t));
  const int64_t room = t->k->batch > bytes ? t->k->batch / bytes : 1, batches = (count + room - 1) / room;
  t->most = (count + batches - 1) / batches;
}

// Pairs which[0 .. count), count > 0, in batches of nearly one size, as many as fill the device.
static vbl_status run_all(const vbl_device_pair_of *pairs, double *out, const int64_t *which, int64_t count, double least,
                          vbl_error *err) {
  batch t = {.b = pairs[0].x->device->b, .k = pairs[0].x->device->b->measure, .pairs = pairs, .out = out, .which = which};
  fit(&t, count);
  vbl_status status = VBL_OK;
  const bool room = take(&t, NULL) == VBL_OK;  // where there is none, all stay open
  for (int64_t q = 0; room && status == VBL_OK && q < count; q += t.most) {
    t.which = which + q;
    t.count = count - q < t.most ? count - q : t.most;
    status = run(&t, least, err);
  }
  give_back(&t);
  return status;
}

vbl_status vbl_device_nuclear_norms(const vbl_device_pair_of *pairs, int64_t count, double *sums, vbl_error *err) {
  for (int64_t i = 0; i < count; i++) sums[i] = NAN;
  if (count < 1 || !pairs[0].x->device->b->measure->doubles_pay()) return VBL_OK;
  int64_t *open = calloc((size_t)count, sizeof *open);
  if (open == NULL) return vbl_fail(err, VBL_ENOMEM, "nuclear norms: out of memory");
  vbl_status status = VBL_OK;
  for (size_t i = 0; status == VBL_OK && i < sizeof LEAST / sizeof LEAST[0]; i++) {
    int64_t left = 0;
    for (int64_t q = 0; q < count; q++)
      if (isnan(sums[q])) open[left++] = q;
    if (left > 0) status = run_all(pairs, sums, open, left, LEAST[i], err);
  }
  free(open);
  return status;
}
