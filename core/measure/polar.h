// The polar factor of a matrix by products alone: odd polynomials x (a + b x^2 + c x^4) whose composition takes the singular values in
// [least, 1] to 1. Each is the best on what the one before leaves, which makes the composition the best of its degree (Amsel, Persson,
// Musco and Gower, "The Polar Express", 2025; for cubics Chen and Chow, "A stable scaling of Newton-Schulz", 2014).
// Inside core/measure only.
// defines: vbl_quintic, vbl_polar
#pragma once

typedef struct vbl_quintic {
  double a, b, c;
} vbl_quintic;

enum { VBL_POLAR_MOST = 32 };
#define VBL_POLAR_OFF 1e-6

// Polynomials for least in [1e-13, 0.5], in the order of their use, into out (VBL_POLAR_MOST); returns how many. Singular values in
// [least, 1] end within VBL_POLAR_OFF of 1, those in [0, least) in [0, 1 + VBL_POLAR_OFF], and none that is at least `least` falls below
// 0.08 of the largest once it has risen above 0.01 of it: what rounding adds stays small beside it.
int vbl_polar(double least, vbl_quintic *out);
