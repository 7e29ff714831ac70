// defines: vbl_null_values, vbl_subset_values
#include "core/measure/null.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/interrupt.h"
#include "core/measure/forms.h"
#include "core/measure/parallel.h"
#include "core/measure/permuted.h"

// What every draw reads, and where it writes.
typedef struct job {
  vbl_measure_fn *fn;
  vbl_prepared *x, *y;
  const vbl_measure_options *o;
  const vbl_blocks *blocks;
  const vbl_form *form;
  int64_t seed, m;
  double *values;
  int64_t *rows;
} job;

// What one thread needs for its draws; `permuted` is NULL where no draw uses it.
typedef struct worker {
  int32_t *order, *scratch;  // (2n) each
  vbl_prepared *permuted;
  double *x, *y;  // rows gathered
  int64_t *labels;
} worker;

typedef vbl_status run_draw(const job *j, worker *w, int64_t draw, vbl_error *err);
typedef vbl_status make_worker(const job *j, worker *w, vbl_error *err);

static void worker_free(worker *w) {
  free(w->order);
  free(w->scratch);
  vbl_prepared_free(w->permuted);
  free(w->x);
  free(w->y);
  free(w->labels);
}

static vbl_status worker_make(const job *j, worker *w, make_worker *more, vbl_error *err) {
  size_t bytes = sizeof(int32_t) * 2 * (size_t)j->x->n;
  *w = (worker){.order = malloc(bytes), .scratch = malloc(bytes)};
  if (w->order == NULL || w->scratch == NULL) return vbl_fail(err, VBL_ENOMEM, "draws: out of memory");
  return more != NULL ? more(j, w, err) : VBL_OK;
}

// All draws on all threads. The first failure ends the others early.
static vbl_status run_draws(const job *j, int64_t draws, make_worker *make, run_draw *run, vbl_error *err) {
  vbl_status status = VBL_OK;
#pragma omp parallel
  {
    worker w;
    vbl_error mine = {0};
    vbl_status s = worker_make(j, &w, make, &mine);
#pragma omp for schedule(dynamic)
    for (int64_t b = 0; b < draws; b++) {
      if (s == VBL_OK && !vbl_shared_failed(&status)) s = vbl_interrupt_check(&mine);
      if (s == VBL_OK && !vbl_shared_failed(&status)) s = run(j, &w, b, &mine);
      vbl_shared_fail(&status, s, &mine, err);
    }
    worker_free(&w);
  }
  return status;
}

static vbl_status run_form(const job *j, worker *w, int64_t draw, vbl_error *err) {
  (void)err;
  vbl_draw_order(j->blocks, j->seed, draw, w->order, w->scratch);
  j->values[draw] = vbl_form_value(j->form, w->order);
  return VBL_OK;
}

static vbl_status make_permuted(const job *j, worker *w, vbl_error *err) {
  return vbl_permuted_new(j->y, vbl_measure_traits_of(j->fn, j->o)->parts, &w->permuted, err);
}

static vbl_status run_permuted(const job *j, worker *w, int64_t draw, vbl_error *err) {
  vbl_measure_result r;
  vbl_draw_order(j->blocks, j->seed, draw, w->order, w->scratch);
  vbl_permuted_set(j->y, w->order, w->scratch, w->permuted);
  VBL_TRY(j->fn(j->x, w->permuted, j->o, &r, err));
  j->values[draw] = r.value;
  return VBL_OK;
}

static vbl_status make_rows(const job *j, worker *w, vbl_error *err) {
  VBL_TRY(vbl_doubles(j->x->n * j->x->d, "draws", &w->x, err));
  if (j->y != NULL) VBL_TRY(vbl_doubles(j->y->n * j->y->d, "draws", &w->y, err));
  w->labels = malloc(sizeof *w->labels * (size_t)j->x->n);
  return w->labels == NULL ? vbl_fail(err, VBL_ENOMEM, "draws: out of memory") : VBL_OK;
}

static vbl_status measure_rows(const job *j, worker *w, int64_t rows, const vbl_measure_options *o, int64_t draw, vbl_error *err) {
  vbl_prepared *x = NULL, *y = NULL;
  vbl_measure_result r;
  vbl_status status = vbl_prepare(rows, j->x->d, w->x, VBL_F64, j->x->d, 1, "X", &x, err);
  if (status == VBL_OK && j->y != NULL) status = vbl_prepare(rows, j->y->d, w->y, VBL_F64, j->y->d, 1, "Y", &y, err);
  if (status == VBL_OK) status = j->fn(x, y, o, &r, err);
  if (status == VBL_OK) j->values[draw] = r.value;
  vbl_prepared_free(x);
  vbl_prepared_free(y);
  return status;
}

static void copy_row(const vbl_prepared *p, int64_t from, double *to, int64_t at) {
  for (int64_t j = 0; j < p->d; j++) to[at * p->d + j] = vbl_prepared_element(p, from, j);
}

static vbl_status run_swap(const job *j, worker *w, int64_t draw, vbl_error *err) {
  int64_t n = j->x->n;
  vbl_draw_swap(n, j->seed, draw, w->order);
  for (int64_t i = 0; i < 2 * n; i++) {
    const vbl_prepared *from = w->order[i] < n ? j->x : j->y;
    copy_row(from, w->order[i] % n, i < n ? w->x : w->y, i % n);
  }
  return measure_rows(j, w, n, j->o, draw, err);
}

static vbl_status run_subset(const job *j, worker *w, int64_t draw, vbl_error *err) {
  int64_t rows = vbl_draw_subset(j->blocks, j->m, j->seed, draw, w->order, w->scratch);
  const int64_t *labels = j->o->assignment != NULL ? j->o->assignment : j->o->groups;
  vbl_measure_options o = *j->o;
  for (int64_t i = 0; i < rows; i++) {
    copy_row(j->x, w->order[i], w->x, i);
    if (j->y != NULL) copy_row(j->y, w->order[i], w->y, i);
    if (labels != NULL) w->labels[i] = labels[w->order[i]];
  }
  if (o.assignment != NULL) o.assignment = w->labels;
  if (o.groups != NULL) o.groups = w->labels;
  if (j->rows != NULL) j->rows[draw] = rows;
  return measure_rows(j, w, rows, &o, draw, err);
}

static vbl_status permutation_values(const job *j, int64_t draws, vbl_error *err) {
  vbl_form f;
  bool made = false;
  VBL_TRY(vbl_form_make(j->fn, j->x, j->y, j->o, &f, &made, err));
  if (!made && (vbl_measure_traits_of(j->fn, j->o)->parts & VBL_PART_ROWS) != 0) VBL_TRY(vbl_prepared_rows(j->y, err));
  if (!made) return run_draws(j, draws, make_permuted, run_permuted, err);
  job by_form = *j;
  by_form.form = &f;
  vbl_status status = run_draws(&by_form, draws, NULL, run_form, err);
  vbl_form_free(&f);
  return status;
}

vbl_status vbl_null_values(vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o,
                           const vbl_blocks *blocks, int64_t draws, int64_t seed, double *values, vbl_error *err) {
  const vbl_measure_traits *traits = vbl_measure_traits_of(fn, o);
  vbl_measure_options plain = *o;
  vbl_measure_result r;
  plain.value_only = 1;
  if (traits->null == VBL_NULL_NONE || y == NULL)
    return vbl_fail(err, VBL_EINVAL, "a measure of one matrix has no chance level from shuffled rows");
  for (int64_t b = 0; b < draws; b++) values[b] = NAN;
  VBL_TRY(vbl_measure_warm(fn, x, o, err));
  VBL_TRY(vbl_measure_warm(fn, y, o, err));
  VBL_TRY(fn(x, y, &plain, &r, err));
  if (r.status != VBL_MEASURE_OK || draws < 1) return VBL_OK;
  job j = {.fn = fn, .x = x, .y = y, .o = &plain, .blocks = blocks, .seed = seed, .values = values};
  if (traits->null == VBL_NULL_SWAP) return run_draws(&j, draws, make_rows, run_swap, err);
  return permutation_values(&j, draws, err);
}

vbl_status vbl_subset_values(vbl_measure_fn *fn, vbl_prepared *x, vbl_prepared *y, const vbl_measure_options *o,
                             const vbl_blocks *blocks, int64_t m, int64_t draws, int64_t seed, double *values, int64_t *rows,
                             vbl_error *err) {
  vbl_measure_options plain = *o;
  plain.value_only = 1;
  if (y != NULL && y->n != x->n)
    return vbl_fail(err, VBL_EINVAL, "row i of X is paired with row i of Y, but X has %lld rows and Y has %lld", (long long)x->n,
                    (long long)y->n);
  if (m < 1 || m > x->n)
    return vbl_fail(err, VBL_EINVAL, "subsample of %lld rows: expected 1 to n = %lld", (long long)m, (long long)x->n);
  for (int64_t b = 0; b < draws; b++) values[b] = NAN;
  job j = {.fn = fn, .x = x, .y = y, .o = &plain, .blocks = blocks, .seed = seed, .m = m, .values = values, .rows = rows};
  return run_draws(&j, draws, make_rows, run_subset, err);
}
