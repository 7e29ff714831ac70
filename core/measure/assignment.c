// The assignment problem: shortest augmenting paths with potentials (Kuhn 1955; Jonker and Volgenant 1987), O(n^3).
// defines: vbl_assignment
#include "core/measure/assignment.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/interrupt.h"

// Columns and rows are numbered from 1; column 0 is the start of a path.
typedef struct search {
  int64_t n;
  const double *cost;
  double *u, *v, *least;     // potentials of rows and columns; least reduced cost of a column
  int64_t *row_of, *before;  // row matched to a column; the column before it on the path
  bool *done;
} search;

// Extends the matching by row i: Dijkstra over reduced costs from it to the nearest free column, then flips the path.
static void add_row(search *s, int64_t i) {
  int64_t n = s->n, at = 0;
  for (int64_t j = 0; j <= n; j++) {
    s->least[j] = INFINITY;
    s->done[j] = false;
  }
  s->row_of[0] = i;
  do {
    int64_t row = s->row_of[at], next = 0;
    double step = INFINITY;
    s->done[at] = true;
    for (int64_t j = 1; j <= n; j++) {
      if (s->done[j]) continue;
      double reduced = s->cost[(row - 1) * n + j - 1] - s->u[row] - s->v[j];
      if (reduced < s->least[j]) {
        s->least[j] = reduced;
        s->before[j] = at;
      }
      if (s->least[j] < step) {
        step = s->least[j];
        next = j;
      }
    }
    for (int64_t j = 0; j <= n; j++) {
      if (s->done[j]) {
        s->u[s->row_of[j]] += step;
        s->v[j] -= step;
      } else {
        s->least[j] -= step;
      }
    }
    at = next;
  } while (s->row_of[at] != 0);
  while (at != 0) {
    s->row_of[at] = s->row_of[s->before[at]];
    at = s->before[at];
  }
}

vbl_status vbl_assignment(const double *cost, int64_t n, double *total, vbl_error *err) {
  search s = {.n = n, .cost = cost};
  size_t count = (size_t)n + 1;
  s.u = calloc(3 * count, sizeof *s.u);
  s.row_of = calloc(2 * count, sizeof *s.row_of);
  s.done = calloc(count, sizeof *s.done);
  vbl_status status = VBL_OK;
  if (s.u == NULL || s.row_of == NULL || s.done == NULL) {
    status = vbl_fail(err, VBL_ENOMEM, "assignment of %lld rows: out of memory", (long long)n);
  } else {
    s.v = s.u + count;
    s.least = s.v + count;
    s.before = s.row_of + count;
    for (int64_t i = 1; i <= n && status == VBL_OK; i++) {
      status = vbl_interrupt_check(err);
      if (status == VBL_OK) add_row(&s, i);
    }
    *total = 0;
    for (int64_t j = 1; status == VBL_OK && j <= n; j++) *total += cost[(s.row_of[j] - 1) * n + j - 1];
  }
  free(s.u);
  free(s.row_of);
  free(s.done);
  return status;
}
