// defines: vbl_polar
#include "core/measure/polar.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

// m (4, 5): the equations with their right sides; x solves them.
static void solve4(double m[4][5], double x[4]) {
  for (int i = 0; i < 4; i++) {
    int best = i;
    for (int k = i + 1; k < 4; k++) best = fabs(m[k][i]) > fabs(m[best][i]) ? k : best;
    double row[5];
    memcpy(row, m[best], sizeof row);
    memcpy(m[best], m[i], sizeof row);
    for (int j = 0; j < 5; j++) m[i][j] = row[j] / row[i];
    for (int k = 0; k < 4; k++) {
      const double factor = m[k][i];
      for (int j = 0; k != i && j < 5; j++) m[k][j] -= factor * m[i][j];
    }
  }
  for (int i = 0; i < 4; i++) x[i] = m[i][4];
}

// The odd quintic nearest to 1 on [low, 1]: its error is +-*off at low, at its two extrema and at 1 (Remez).
static vbl_quintic nearest_one(double low, double *off) {
  enum { ROUNDS = 60 };  // a dozen are enough
  double x[4] = {low, (3 * low + 1) / 4, (low + 3) / 4, 1}, p[4] = {0};
  for (int round = 0; round < ROUNDS; round++) {
    double m[4][5];
    for (int i = 0; i < 4; i++) {
      const double row[5] = {x[i], pow(x[i], 3), pow(x[i], 5), i % 2 == 0 ? 1 : -1, 1};
      memcpy(m[i], row, sizeof row);
    }
    solve4(m, p);
    const double root = sqrt(fmax(0, 9 * p[1] * p[1] - 20 * p[0] * p[2]));
    x[1] = sqrt((-3 * p[1] - root) / (10 * p[2]));
    x[2] = sqrt((-3 * p[1] + root) / (10 * p[2]));
  }
  *off = fabs(p[3]);
  return (vbl_quintic){p[0], p[1], p[2]};
}

int vbl_polar(double least, vbl_quintic *out) {
  // The best polynomial for a share below this would take values in the middle of the interval down to the least one.
  const double cushion = 0.01;
  double low = least, high = 1;
  int count = 0;
  while (count < VBL_POLAR_MOST && 1 - low > VBL_POLAR_OFF) {
    double off = 0;
    const double x = low / high;
    const vbl_quintic p = nearest_one(fmax(x, cushion), &off);
    out[count++] = (vbl_quintic){p.a / high, p.b / pow(high, 3), p.c / pow(high, 5)};
    low = fmin(x * (p.a + x * x * (p.b + x * x * p.c)), 1 - off);
    high = 1 + off;
  }
  return count;
}
