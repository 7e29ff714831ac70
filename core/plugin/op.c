// defines: vbl_plugin_op_make
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/ops/common.h"
#include "core/plugin/plugin.h"

static const vbl_plugin_op *plugin_of(const vbl_call *c) { return (const vbl_plugin_op *)c->op; }

static vbl_plugin_array array_of(const vbl_tensor *t) {
  vbl_plugin_array a = {.f64 = t->dtype == VBL_F64, .ndim = t->ndim, .data = vbl_tensor_data(t)};
  memcpy(a.shape, t->shape, sizeof a.shape);
  return a;
}

static double element(const vbl_tensor *t, int64_t i) {
  const void *data = vbl_tensor_data(t);
  return t->dtype == VBL_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

// The first element that is NaN, or -1. t is contiguous.
static int64_t first_nan(const vbl_tensor *t) {
  int64_t n = vbl_tensor_numel(t);
  for (int64_t i = 0; i < n; i++)
    if (isnan(element(t, i))) return i;
  return -1;
}

// What was filled with NaN before the plug-in wrote it may hold one only where an input does.
static vbl_status check_written(const vbl_tensor *t, const char *what, vbl_tensor *const *in, int inputs, vbl_error *err) {
  int64_t at = first_nan(t);
  char shape[VBL_SHAPE_TEXT];
  for (int i = 0; at >= 0 && i < inputs; i++)
    if (in[i] != NULL && first_nan(in[i]) >= 0) return VBL_OK;
  if (at < 0) return VBL_OK;
  return vbl_fail(err, VBL_ENUMERIC,
                  "the plug-in left NaN in %s, element %lld of %s (from 0), or did not write it, and no input is NaN", what,
                  (long long)at, vbl_shape_text(t->ndim, t->shape, shape));
}

// Space for a plug-in to write to.
static vbl_status poison(vbl_tensor *t, vbl_error *err) { return vbl_tensor_fill(t, NAN, err); }

static vbl_status same_shapes(const vbl_plugin_op *p, const vbl_plugin_array *in, vbl_error *err) {
  char a[VBL_SHAPE_TEXT], b[VBL_SHAPE_TEXT];
  for (int i = 1; i < p->inputs; i++)
    if (in[i].ndim != in[0].ndim || memcmp(in[i].shape, in[0].shape, sizeof *in->shape * (size_t)in->ndim) != 0)
      return vbl_fail(err, VBL_EINVAL, "expected %s in the shape of %s, %s, got %s", p->def->inputs[i], p->def->inputs[0],
                      vbl_shape_text(in[0].ndim, in[0].shape, a), vbl_shape_text(in[i].ndim, in[i].shape, b));
  return VBL_OK;
}

static vbl_status output_shape(const vbl_plugin_op *p, const vbl_plugin_array *in, const double *options, vbl_plugin_array *y,
                               vbl_error *err) {
  char message[VBL_PLUGIN_MESSAGE] = "";
  *y = in[0];
  y->data = NULL;
  if (p->def->shape == NULL) return same_shapes(p, in, err);
  if (p->def->shape(in, options, y, message) != 0) return vbl_plugin_failed(message, err);
  if (y->ndim < 0 || y->ndim > VBL_MAX_DIMS)
    return vbl_fail(err, VBL_EINVAL, "the plug-in gives its output %d dims: expected 0 to %d", y->ndim, VBL_MAX_DIMS);
  for (int i = 0; i < y->ndim; i++)
    if (y->shape[i] < 0)
      return vbl_fail(err, VBL_EINVAL, "the plug-in gives its output size %lld in dim %d", (long long)y->shape[i], i + 1);
  return VBL_OK;
}

static vbl_status run_forward(vbl_call *c, const vbl_real *r, vbl_tensor *const *x, const vbl_plugin_array *in, vbl_error *err) {
  const vbl_plugin_op *p = plugin_of(c);
  vbl_plugin_array y;
  vbl_tensor *out;
  char message[VBL_PLUGIN_MESSAGE] = "";
  VBL_TRY(output_shape(p, in, c->attrs.v, &y, err));
  VBL_TRY(vbl_out_real(c, r, 0, y.ndim, y.shape, &out, err));
  VBL_TRY(poison(out, err));
  y = array_of(out);
  if (p->def->forward(in, c->attrs.v, &y, message) != 0) return vbl_plugin_failed(message, err);
  return check_written(out, "its output", x, p->inputs, err);
}

static vbl_status forward(vbl_call *c, vbl_error *err) {
  const vbl_plugin_op *p = plugin_of(c);
  vbl_real r;
  vbl_tensor *x[VBL_PLUGIN_INPUTS];
  vbl_plugin_array in[VBL_PLUGIN_INPUTS];
  VBL_TRY(vbl_plugin_check_options(p->def->name, p->def->options, c->attrs.v, err));
  VBL_TRY(vbl_op_real(c, &r, err));
  if (!r.memory->host)
    return vbl_fail(err, VBL_EDEVICE, "a plug-in computes on the processor, and its inputs lie on %s: move them with :to \"cpu\"",
                    r.memory->name);
  for (int i = 0; i < p->inputs; i++) {
    VBL_TRY(vbl_in_real(c, &r, i, &x[i], err));
    in[i] = array_of(x[i]);
  }
  VBL_TRY(run_forward(c, &r, x, in, err));
  for (int i = 0; i < p->inputs; i++) VBL_TRY(vbl_save(c, i, x[i], err));
  return vbl_save(c, p->inputs, c->out[0], err);
}

static vbl_status run_backward(vbl_call *c, vbl_tensor *dy_tensor, vbl_tensor *const *buffer, vbl_error *err) {
  const vbl_plugin_op *p = plugin_of(c);
  vbl_plugin_array in[VBL_PLUGIN_INPUTS], dx[VBL_PLUGIN_INPUTS], y = array_of(c->saved[p->inputs]), dy = array_of(dy_tensor);
  char message[VBL_PLUGIN_MESSAGE] = "";
  for (int i = 0; i < p->inputs; i++) {
    in[i] = array_of(c->saved[i]);
    dx[i] = in[i];
    dx[i].data = c->needs_grad[i] ? vbl_tensor_data(buffer[i]) : NULL;
  }
  if (p->def->backward(in, &y, &dy, c->attrs.v, dx, message) != 0) return vbl_plugin_failed(message, err);
  return VBL_OK;
}

static vbl_status backward(vbl_call *c, vbl_tensor *const *grad, vbl_error *err) {
  const vbl_plugin_op *p = plugin_of(c);
  const vbl_real r = vbl_real_of(grad[0]);
  vbl_tensor *buffer[VBL_PLUGIN_INPUTS] = {NULL}, *given[VBL_PLUGIN_INPUTS + 2] = {grad[0]};
  char what[64];
  for (int i = 0; i < p->inputs; i++) {
    given[i + 1] = c->saved[i];
    if (!c->needs_grad[i]) continue;
    const vbl_meta *m = vbl_input_meta(c, i);
    VBL_TRY(vbl_temp_real(c, &r, m->ndim, m->shape, &buffer[i], err));
    VBL_TRY(poison(buffer[i], err));
  }
  VBL_TRY(run_backward(c, grad[0], buffer, err));
  for (int i = 0; i < p->inputs; i++) {
    if (buffer[i] == NULL) continue;
    snprintf(what, sizeof what, "the gradient of %s", p->def->inputs[i]);
    VBL_TRY(check_written(buffer[i], what, given, p->inputs + 1, err));
    VBL_TRY(vbl_grad_give(c, i, buffer[i], err));
  }
  return VBL_OK;
}

vbl_status vbl_plugin_op_make(const vbl_op_def *def, vbl_plugin_op *out, vbl_error *err) {
  int inputs = 0;
  VBL_TRY(vbl_plugin_check_name(def->abi, def->name, def->help, err));
  VBL_TRY(vbl_plugin_check_list(def->name, def->options, err));
  while (def->inputs != NULL && inputs <= VBL_PLUGIN_INPUTS && def->inputs[inputs] != NULL) inputs++;
  if (inputs < 1 || inputs > VBL_PLUGIN_INPUTS)
    return vbl_fail(err, VBL_EINVAL, "plug-in %s: inputs: expected 1 to %d names", def->name, VBL_PLUGIN_INPUTS);
  if (def->forward == NULL) return vbl_fail(err, VBL_EINVAL, "plug-in %s: the definition has no forward", def->name);
  *out = (vbl_plugin_op){{def->name, inputs, inputs, 1, forward, def->backward != NULL ? backward : NULL}, def, inputs};
  return VBL_OK;
}
