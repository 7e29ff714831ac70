// The optimizers' bookkeeping: which leaves are trained, their global norm, runs of neighbours that one kernel call updates.
// defines: vbl_optimizer_new, vbl_optimizer_free, vbl_optimizer_step, vbl_optimizer_norms, vbl_optimizer_zero_grad, vbl_leaf_*, vbl_leaves_not_finite
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/optim/leaf.h"
#include "core/tape/profile.h"

const vbl_backend *vbl_leaf_kernels(const vbl_tensor *t) {
  return t->dtype == VBL_F64 ? vbl_reference_backend() : t->storage->backend;
}

static vbl_status check_leaf(const char *name, const vbl_tensor *t, const vbl_tensor *first, vbl_error *err) {
  if (t->dtype != VBL_F32 && t->dtype != VBL_F64)
    return vbl_fail(err, VBL_EINVAL, "optimizer: %s is %s; parameters are f32 (or f64)", name, vbl_dtype_name(t->dtype));
  if (t->dtype != first->dtype)
    return vbl_fail(err, VBL_EINVAL, "optimizer: %s is %s and the first parameter %s; all need one dtype", name,
                    vbl_dtype_name(t->dtype), vbl_dtype_name(first->dtype));
  if (!vbl_tensor_is_contiguous(t)) return vbl_fail(err, VBL_EINVAL, "optimizer: %s is not contiguous", name);
  if (t->node != NULL) return vbl_fail(err, VBL_EINVAL, "optimizer: %s is the result of an operation, not a leaf", name);
  return VBL_OK;
}

// A tensor that stands in the list twice would be stepped twice.
static vbl_status check_twice(const char *const *names, vbl_tensor *const *leaves, int i, vbl_error *err) {
  for (int j = 0; j < i; j++)
    if (leaves[j] == leaves[i])
      return vbl_fail(err, VBL_EINVAL, "optimizer: %s and %s are the same tensor; list it once", names[j], names[i]);
  return VBL_OK;
}

static vbl_status add_leaf(vbl_optimizer *o, int i, const char *name, vbl_tensor *t, bool decay, double scale, vbl_error *err) {
  vbl_optimizer_leaf *leaf = &o->leaves[i];
  leaf->name = strdup(name);
  if (leaf->name == NULL) return vbl_fail(err, VBL_ENOMEM, "optimizer: out of memory");
  leaf->tensor = vbl_tensor_retain(t);
  leaf->decay = decay;
  leaf->lr_scale = scale;
  leaf->first = i == 0 ? 0 : o->leaves[i - 1].first + vbl_tensor_numel(o->leaves[i - 1].tensor);
  o->count = i + 1;
  return VBL_OK;
}

static vbl_status make_moments(vbl_optimizer *o, vbl_error *err) {
  const vbl_optimizer_leaf *last = &o->leaves[o->count - 1];
  int64_t total = last->first + vbl_tensor_numel(last->tensor);
  const vbl_backend *memory =
      last->tensor->storage->backend;  // NOLINT(clang-analyzer-core.NullDereference): every leaf has a tensor
  const vbl_memory_user before = vbl_memory_use((vbl_memory_user){"the optimizer's moments", false});
  vbl_status status = vbl_tensor_zeros(memory, last->tensor->dtype, 1, &total, &o->m, err);
  if (status == VBL_OK && o->options.kind == VBL_ADAMW)
    status = vbl_tensor_zeros(memory, last->tensor->dtype, 1, &total, &o->v, err);
  vbl_memory_use(before);
  return status;
}

static vbl_status fill(vbl_optimizer *o, const char *const *names, vbl_tensor *const *leaves, const bool *decay,
                       const double *lr_scale, int count, vbl_error *err) {
  o->leaves = calloc((size_t)count, sizeof *o->leaves);
  if (o->leaves == NULL) return vbl_fail(err, VBL_ENOMEM, "optimizer: out of memory");
  for (int i = 0; i < count; i++) {
    VBL_TRY(check_leaf(names[i], leaves[i], leaves[0], err));
    VBL_TRY(check_twice(names, leaves, i, err));
    VBL_TRY(add_leaf(o, i, names[i], leaves[i], decay != NULL ? decay[i] : leaves[i]->ndim >= 2, lr_scale != NULL ? lr_scale[i] : 1,
                     err));
  }
  return make_moments(o, err);
}

vbl_status vbl_optimizer_new(vbl_optimizer_options options, const char *const *names, vbl_tensor *const *leaves, const bool *decay,
                             const double *lr_scale, int count, vbl_optimizer **out, vbl_error *err) {
  if (count < 1) return vbl_fail(err, VBL_EINVAL, "optimizer: there are no parameters");
  vbl_optimizer *o = calloc(1, sizeof *o);
  if (o == NULL) return vbl_fail(err, VBL_ENOMEM, "optimizer: out of memory");
  o->options = options;
  vbl_status status = fill(o, names, leaves, decay, lr_scale, count, err);
  if (status != VBL_OK) {
    vbl_optimizer_free(o);
    return status;
  }
  vbl_optimizer_calm(o);
  *out = o;
  return VBL_OK;
}

void vbl_optimizer_free(vbl_optimizer *o) {
  if (o == NULL) return;
  for (int i = 0; i < o->count; i++) {
    free(o->leaves[i].name);
    vbl_tensor_release(o->leaves[i].tensor);
  }
  free(o->leaves);
  vbl_tensor_release(o->m);
  vbl_tensor_release(o->v);
  free(o);
}

bool vbl_leaf_trained(const vbl_optimizer_leaf *leaf) {
  const vbl_tensor *t = leaf->tensor;
  return t->requires_grad && t->has_grad && vbl_tensor_numel(t) > 0;
}

static bool adjacent(const vbl_tensor *a, const vbl_tensor *b) {
  return (char *)vbl_tensor_data(a) + (size_t)vbl_tensor_numel(a) * vbl_dtype_size(a->dtype) == (char *)vbl_tensor_data(b);
}

// Whether b can be updated by the same kernel call as its neighbour a: one rule, one piece of memory.
static bool joins(const vbl_optimizer_leaf *a, const vbl_optimizer_leaf *b) {
  return vbl_leaf_trained(b) && a->decay == b->decay && a->lr_scale == b->lr_scale && a->t == b->t &&
         adjacent(a->tensor, b->tensor) && adjacent(a->tensor->grad, b->tensor->grad);
}

// One past the last leaf that joins leaf i; *n gets the number of elements from i up to there.
static int run_end(const vbl_optimizer *o, int i, int64_t *n) {
  int end = i + 1;
  *n = vbl_tensor_numel(o->leaves[i].tensor);
  while (end < o->count && joins(&o->leaves[end - 1], &o->leaves[end])) *n += vbl_tensor_numel(o->leaves[end++].tensor);
  return end;
}

vbl_status vbl_leaves_not_finite(const vbl_optimizer *o, vbl_error *err) {
  for (int i = 0; i < o->count; i++) {
    if (!vbl_leaf_trained(&o->leaves[i])) continue;
    const vbl_tensor *grad = o->leaves[i].tensor->grad;
    int64_t bad = vbl_leaf_kernels(grad)->count_nonfinite(vbl_tensor_data(grad), vbl_tensor_numel(grad), NULL);
    if (bad > 0)
      return vbl_fail(err, VBL_ENUMERIC, "gradient of %s has %lld NaN or Inf values; no weight was changed", o->leaves[i].name,
                      (long long)bad);
  }
  return vbl_fail(err, VBL_ENUMERIC, "the gradients' norm overflows although each value is finite; no weight was changed");
}

static vbl_status global_norm(const vbl_optimizer *o, double *norm, vbl_error *err) {
  double sum = 0;
  int64_t n;
  for (int i = 0; i < o->count;) {
    if (!vbl_leaf_trained(&o->leaves[i])) {
      i++;
      continue;
    }
    const vbl_tensor *grad = o->leaves[i].tensor->grad;
    int end = run_end(o, i, &n);
    sum += vbl_leaf_kernels(grad)->sum_squares(vbl_tensor_data(grad), n, NULL);
    i = end;
  }
  *norm = sqrt(sum);
  return isfinite(sum) ? VBL_OK : vbl_leaves_not_finite(o, err);
}

static void update(vbl_optimizer *o, int i, int64_t n, double lr, double scale) {
  const vbl_optimizer_options *p = &o->options;
  vbl_optimizer_leaf *leaf = &o->leaves[i];
  vbl_tensor *w = leaf->tensor;
  const vbl_backend *k = vbl_leaf_kernels(w);
  size_t at = (size_t)leaf->first * vbl_dtype_size(w->dtype);
  void *m = (char *)vbl_tensor_data(o->m) + at;
  double decay = leaf->decay ? p->weight_decay : 0;
  if (p->kind == VBL_ADAMW)
    k->adamw(vbl_tensor_data(w), vbl_tensor_data(w->grad), m, (char *)vbl_tensor_data(o->v) + at, n, lr * leaf->lr_scale, p->beta1,
             p->beta2, p->eps, decay, scale, leaf->t + 1, NULL);
  else
    k->sgd(vbl_tensor_data(w), vbl_tensor_data(w->grad), m, n, lr * leaf->lr_scale, p->momentum, decay, scale, leaf->t == 0, NULL);
}

void vbl_leaf_stepped(vbl_optimizer_leaf *leaf) {
  leaf->t++;
  leaf->tensor->storage->version++;
}

static vbl_status take_step(vbl_optimizer *o, double lr, double *norm, vbl_error *err) {
  double size;
  VBL_TRY(global_norm(o, &size, err));
  if (norm != NULL) *norm = size;
  double clip = o->options.clip;
  double scale = clip > 0 && clip < size + 1e-6 ? clip / (size + 1e-6) : 1;
  for (int i = 0; i < o->count;) {
    if (!vbl_leaf_trained(&o->leaves[i])) {
      i++;
      continue;
    }
    int64_t n;
    int end = run_end(o, i, &n);
    update(o, i, n, lr, scale);
    while (i < end) vbl_leaf_stepped(&o->leaves[i++]);
  }
  return VBL_OK;
}

vbl_status vbl_optimizer_step(vbl_optimizer *o, double lr, double *norm, vbl_error *err) {
  if (vbl_optimizer_queues(o)) return vbl_optimizer_step_queued(o, lr, norm, err);
  vbl_span span;
  vbl_span_begin(&span, "optimizer", VBL_PHASE_FORWARD);
  vbl_status status = take_step(o, lr, norm, err);
  vbl_span_end(&span, 0);
  return status;
}

void vbl_optimizer_norms(const vbl_optimizer *o, double *norms) {
  for (int i = 0; i < o->count; i++) {
    const vbl_tensor *grad = o->leaves[i].tensor->grad;
    norms[i] = vbl_leaf_trained(&o->leaves[i])
                   ? sqrt(vbl_leaf_kernels(grad)->sum_squares(vbl_tensor_data(grad), vbl_tensor_numel(grad), NULL))
                   : 0;
  }
}

void vbl_optimizer_zero_grad(vbl_optimizer *o) {
  for (int i = 0; i < o->count; i++) o->leaves[i].tensor->has_grad = false;
}
