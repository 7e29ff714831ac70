// L2-regularised logistic regression, sigmoid or softmax, by L-BFGS.
// defines: vbl_logistic_fit, vbl_logistic_logits
#include "core/measure/logistic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/interrupt.h"
#include "core/measure/lapack.h"
#include "core/measure/prepared.h"

enum { MEMORY = 10, ITERATIONS = 2000 };

void vbl_logistic_logits(const vbl_logistic *m, const double *x, int64_t n, double *out) {
  vbl_gemm(false, true, n, m->outputs, m->d, 1, x, m->d, m->weights, m->d, 0, out, m->outputs);
  const double *intercept = m->weights + m->outputs * m->d;
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = 0; k < m->outputs; k++) out[i * m->outputs + k] += intercept[k];
}

// Loss of one row; its logits become the gradient.
static double row_loss(double *z, int64_t outputs, int64_t label) {
  if (outputs == 1) {
    double sign = label == 1 ? 1 : -1, s = sign * z[0];
    double loss = s > 0 ? log1p(exp(-s)) : log1p(exp(s)) - s;
    z[0] = -sign / (1 + exp(s));
    return loss;
  }
  double most = z[0], sum = 0, mine = z[label];
  for (int64_t k = 1; k < outputs; k++) most = fmax(most, z[k]);
  for (int64_t k = 0; k < outputs; k++) sum += exp(z[k] - most);
  for (int64_t k = 0; k < outputs; k++) z[k] = exp(z[k] - most) / sum - (k == label);
  return most + log(sum) - mine;
}

// Objective at m->weights; its gradient into g. z: (n, outputs) scratch.
static double objective(const vbl_logistic *m, double *z, double *g) {
  int64_t wide = m->outputs * m->d;
  double loss = 0, n = (double)m->n, penalty = 1 / (m->c * n);
  vbl_logistic_logits(m, m->x, m->n, z);
  for (int64_t k = 0; k < m->outputs; k++) g[wide + k] = 0;
  for (int64_t i = 0; i < m->n; i++) {
    loss += row_loss(z + i * m->outputs, m->outputs, m->labels[i]) / n;
    for (int64_t k = 0; k < m->outputs; k++) g[wide + k] += z[i * m->outputs + k] / n;
  }
  memcpy(g, m->weights, sizeof *g * (size_t)wide);
  vbl_gemm(true, false, m->outputs, m->d, m->n, 1 / n, z, m->outputs, m->x, m->d, penalty, g, m->d);
  return loss + penalty / 2 * vbl_dot(m->weights, m->weights, wide);
}

// The last steps s and gradient changes y, newest first by `at`.
typedef struct history {
  int64_t size;
  int count, at;
  double *s, *y, rho[MEMORY];
} history;

// p = -H g by the two-loop recursion (Nocedal and Wright, Numerical Optimization, algorithm 7.4).
static void descend(const history *h, const double *g, double *p) {
  double alpha[MEMORY] = {0};
  for (int64_t i = 0; i < h->size; i++) p[i] = -g[i];
  for (int q = 0; q < h->count; q++) {
    int a = (h->at - q + MEMORY) % MEMORY;
    alpha[a] = h->rho[a] * vbl_dot(h->s + a * h->size, p, h->size);
    for (int64_t i = 0; i < h->size; i++) p[i] -= alpha[a] * h->y[a * h->size + i];
  }
  if (h->count > 0) {
    const double *y = h->y + h->at * h->size;
    double scale = 1 / (h->rho[h->at] * vbl_dot(y, y, h->size));
    for (int64_t i = 0; i < h->size; i++) p[i] *= scale;
  }
  for (int q = h->count - 1; q >= 0; q--) {
    int a = (h->at - q + MEMORY) % MEMORY;
    double beta = h->rho[a] * vbl_dot(h->y + a * h->size, p, h->size);
    for (int64_t i = 0; i < h->size; i++) p[i] += (alpha[a] - beta) * h->s[a * h->size + i];
  }
}

// Keeps the pair where the curvature is positive.
static void remember(history *h, const double *step, const double *change) {
  double sy = vbl_dot(step, change, h->size);
  if (!(sy > 1e-300)) return;
  h->at = (h->at + 1) % MEMORY;
  h->count = h->count < MEMORY ? h->count + 1 : MEMORY;
  h->rho[h->at] = 1 / sy;
  memcpy(h->s + h->at * h->size, step, sizeof *step * (size_t)h->size);
  memcpy(h->y + h->at * h->size, change, sizeof *change * (size_t)h->size);
}

static double largest(const double *g, int64_t size) {
  double most = 0;
  for (int64_t i = 0; i < size; i++) most = fmax(most, fabs(g[i]));
  return most;
}

// Scratch of the iteration: gradient, next gradient, direction, old weights.
typedef struct scratch {
  double *z, *g, *next, *p, *old;
} scratch;

// Backtracks along p until the objective falls enough (Armijo); false when it cannot fall any more.
static bool line_search(vbl_logistic *m, int64_t size, scratch *s, double *value) {
  double slope = vbl_dot(s->g, s->p, size), step = 1;
  if (!(slope < 0)) return false;
  memcpy(s->old, m->weights, sizeof(double) * (size_t)size);
  for (int tries = 0; tries < 50; tries++, step /= 2) {
    for (int64_t i = 0; i < size; i++) m->weights[i] = s->old[i] + step * s->p[i];
    double now = objective(m, s->z, s->next);
    if (now <= *value + 1e-4 * step * slope) {
      *value = now;
      return true;
    }
  }
  memcpy(m->weights, s->old, sizeof(double) * (size_t)size);
  return false;
}

static vbl_status iterate(vbl_logistic *m, int64_t size, history *h, scratch *s, vbl_error *err) {
  double value = objective(m, s->z, s->g);
  for (int step = 0; step < ITERATIONS; step++) {
    VBL_TRY(vbl_interrupt_check(err));
    m->converged = largest(s->g, size) < 1e-6;
    if (m->converged) return VBL_OK;
    descend(h, s->g, s->p);
    if (!line_search(m, size, s, &value)) break;
    for (int64_t i = 0; i < size; i++) {
      s->old[i] = m->weights[i] - s->old[i];
      s->p[i] = s->next[i] - s->g[i];
      s->g[i] = s->next[i];
    }
    remember(h, s->old, s->p);
  }
  // At the limit of rounding the objective no longer falls: that is converged too.
  m->converged = largest(s->g, size) < 1e-4;
  return VBL_OK;
}

vbl_status vbl_logistic_fit(vbl_logistic *m, vbl_error *err) {
  int64_t size = m->outputs * (m->d + 1);
  history h = {.size = size, .at = MEMORY - 1};
  double *memory = NULL;
  VBL_TRY(vbl_lapack_open(NULL, err));
  VBL_TRY(vbl_doubles(size * (4 + 2 * MEMORY) + m->n * m->outputs, "logistic regression", &memory, err));
  scratch s = {.g = memory, .next = memory + size, .p = memory + 2 * size, .old = memory + 3 * size};
  h.s = memory + 4 * size;
  h.y = h.s + MEMORY * size;
  s.z = h.y + MEMORY * size;
  vbl_status status = iterate(m, size, &h, &s, err);
  free(memory);
  return status;
}
