// A plug-in for vbl with one measure and one op; CMakeLists.txt beside it builds it against an installed vbl. In a script:
//
//   require "example"                      -- LUA_CPATH="build/?.so;;" says where
//   vbl.measure.centred_cosine(X, Y)       -- and in report, report_layers, matrix, selftest
//   vbl.nn.functional.squared_relu(x)      -- with its gradient
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <vbl.h>

// ---- centred_cosine: mean over rows of the cosine between x_i - mean(X) and y_i - mean(Y).

static void column_means(const vbl_plugin_matrix *m, double *mean) {
  for (int64_t j = 0; j < m->d; j++) mean[j] = 0;
  for (int64_t i = 0; i < m->n; i++)
    for (int64_t j = 0; j < m->d; j++) mean[j] += m->data[i * m->d + j] / (double)m->n;
}

// The cosine of row i of both after centring; false where one of them is no longer than `least`.
static int centred_row(const vbl_plugin_matrix *x, const vbl_plugin_matrix *y, const double *mean, int64_t i, double least,
                       double *cosine) {
  double xx = 0, yy = 0, xy = 0;
  for (int64_t j = 0; j < x->d; j++) {
    double a = x->data[i * x->d + j] - mean[j], b = y->data[i * y->d + j] - mean[x->d + j];
    xx += a * a;
    yy += b * b;
    xy += a * b;
  }
  if (!(sqrt(xx) > least && sqrt(yy) > least)) return 0;
  *cosine = xy / sqrt(xx * yy);
  return 1;
}

static int centred_cosine(const vbl_plugin_matrix *x, const vbl_plugin_matrix *y, const double *options, vbl_measure_answer *answer,
                          char error[VBL_PLUGIN_MESSAGE]) {
  double *mean = malloc(sizeof *mean * 2 * (size_t)x->d), sum = 0, cosine;
  int64_t rows = 0;
  if (mean == NULL) return snprintf(error, VBL_PLUGIN_MESSAGE, "out of memory for 2 x %lld means", (long long)x->d);
  column_means(x, mean);
  column_means(y, mean + x->d);
  for (int64_t i = 0; i < x->n; i++)
    if (centred_row(x, y, mean, i, options[0], &cosine)) {
      sum += cosine;
      rows++;
    }
  free(mean);
  answer->skipped = x->n - rows;
  if (rows == 0)
    answer->status = VBL_MEASURE_ZERO_VARIANCE;
  else
    answer->value = sum / (double)rows;
  return 0;
}

static const vbl_option_def cosine_options[] = {{"least", 0, 0, INFINITY}, {0}};

static const vbl_measure_def cosine_def = {
    .abi = VBL_ABI,
    .name = "centred_cosine",
    .help =
        "X, Y [n,d] in one space. Mean over rows of the cosine between x_i - mean(X) and y_i - mean(Y), -1 to 1. Rows that "
        "centring leaves no "
        "longer than `least` have no direction: they are skipped and counted.",
    .options = cosine_options,
    .flags = VBL_MEASURE_SYMMETRIC | VBL_MEASURE_ONE_SPACE,
    .least_rows = 2,
    .best = 1,
    .known = 0.561302099991,  // numpy
    .compute = centred_cosine,
};

// ---- squared_relu: y = scale max(x, 0)^2 (So et al. 2021, "Primer", arXiv 2109.08668), dx = 2 scale max(x, 0) dy.

static int64_t count(const vbl_plugin_array *a) {
  int64_t n = 1;
  for (int i = 0; i < a->ndim; i++) n *= a->shape[i];
  return n;
}

static double get(const vbl_plugin_array *a, int64_t i) { return a->f64 ? ((double *)a->data)[i] : ((float *)a->data)[i]; }

static void set(const vbl_plugin_array *a, int64_t i, double value) {
  if (a->f64)
    ((double *)a->data)[i] = value;
  else
    ((float *)a->data)[i] = (float)value;
}

// NaN stays NaN, as in every op.
static double positive(double x) { return x < 0 ? 0 : x; }

static int relu_forward(const vbl_plugin_array *in, const double *options, const vbl_plugin_array *y,
                        char error[VBL_PLUGIN_MESSAGE]) {
  (void)error;
  for (int64_t i = 0, n = count(y); i < n; i++) set(y, i, options[0] * positive(get(in, i)) * positive(get(in, i)));
  return 0;
}

static int relu_backward(const vbl_plugin_array *in, const vbl_plugin_array *y, const vbl_plugin_array *dy, const double *options,
                         const vbl_plugin_array *dx, char error[VBL_PLUGIN_MESSAGE]) {
  (void)y, (void)error;
  for (int64_t i = 0, n = count(dx); i < n; i++) set(dx, i, 2 * options[0] * positive(get(in, i)) * get(dy, i));
  return 0;
}

static const char *const relu_inputs[] = {"x", NULL};
static const vbl_option_def relu_options[] = {{"scale", 1, -INFINITY, INFINITY}, {0}};

static const vbl_op_def relu_def = {
    .abi = VBL_ABI,
    .name = "squared_relu",
    .help = "scale max(x, 0)^2, elementwise.",
    .inputs = relu_inputs,
    .options = relu_options,
    .forward = relu_forward,
    .backward = relu_backward,
};

int luaopen_example(lua_State *L) {
  vbl_register_measure(L, &cosine_def);
  vbl_register_op(L, &relu_def);
  return 0;
}
