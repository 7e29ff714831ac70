// Steps of a device that the host does not wait for.
// defines: vbl_optimizer_queues, vbl_optimizer_queue, vbl_optimizer_step_queued, vbl_optimizer_take_back, vbl_optimizer_calm, vbl_update_*
#include <math.h>
#include <stdlib.h>

#include "core/optim/leaf.h"
#include "core/tape/profile.h"
#include "core/tensor/branch.h"

struct vbl_update {
  const vbl_optimizer *of;
  const vbl_backend *backend;
  vbl_reading *reading;  // NULL once it was waited for, or where no leaf took part
  int count, pieces;     // leaves; of these, that took part
  bool *trained;         // [count]
  int64_t *before;       // [count]: their t
  double *found;         // [1 + pieces]: the norm, sums of squares
};

bool vbl_optimizer_queues(const vbl_optimizer *o) {
  return o->options.kind == VBL_ADAMW && vbl_leaf_kernels(o->leaves[0].tensor)->adamw_pieces != NULL;
}

// Whether w's rounded copy (vbl_product_weight) is that of its present content: a step then writes both, and no product has to round it again.
static bool rounded(const vbl_tensor *w) { return w->storage->narrow != NULL && w->storage->narrow_version == w->storage->version; }

static void *rounded_at(const vbl_tensor *w) {
  vbl_storage *narrow = w->storage->narrow;
  if (!rounded(w)) return NULL;
  vbl_branch_await(&narrow->marks, true);
  vbl_branch_note(&narrow->marks, true);
  return (char *)narrow->data + w->offset * 2;
}

static vbl_adamw_piece piece_of(const vbl_optimizer *o, const vbl_optimizer_leaf *leaf, double lr) {
  const size_t at = (size_t)leaf->first * sizeof(float);
  const vbl_tensor *w = leaf->tensor;
  return (vbl_adamw_piece){.w = vbl_tensor_data(w),
                           .m = (char *)vbl_tensor_data(o->m) + at,
                           .v = (char *)vbl_tensor_data(o->v) + at,
                           .narrow = rounded_at(w),
                           .g = vbl_tensor_data(w->grad),
                           .n = vbl_tensor_numel(w),
                           .t = leaf->t + 1,
                           .lr = lr * leaf->lr_scale,
                           .decay = leaf->decay ? o->options.weight_decay : 0};
}

// Each leaf is a piece of its own, so that its norm comes with the global one.
static vbl_status queue_pieces(const vbl_optimizer *o, vbl_update *u, double lr, vbl_error *err) {
  const vbl_optimizer_options *p = &o->options;
  vbl_adamw_piece *pieces = malloc((size_t)o->count * sizeof *pieces);
  if (pieces == NULL) return vbl_fail(err, VBL_ENOMEM, "optimizer: out of memory");
  for (int i = 0, k = 0; i < o->count; i++)
    if (u->trained[i]) pieces[k++] = piece_of(o, &o->leaves[i], lr);
  u->reading = u->backend->adamw_pieces(pieces, u->pieces, p->beta1, p->beta2, p->eps, p->clip, NULL);
  free(pieces);
  if (u->reading != NULL) return VBL_OK;
  VBL_TRY(u->backend->sync(NULL, err));
  return vbl_fail(err, VBL_ENOMEM, "optimizer: no memory on the device for a step");
}

static vbl_status queue(vbl_optimizer *o, vbl_update *u, double lr, vbl_error *err) {
  u->trained = malloc((size_t)o->count * sizeof *u->trained);
  u->before = malloc((size_t)o->count * sizeof *u->before);
  u->found = calloc((size_t)o->count + 1, sizeof *u->found);
  if (u->trained == NULL || u->before == NULL || u->found == NULL) return vbl_fail(err, VBL_ENOMEM, "optimizer: out of memory");
  u->of = o;
  u->count = o->count;
  for (int i = 0; i < o->count; i++) {
    u->before[i] = o->leaves[i].t;
    u->trained[i] = vbl_leaf_trained(&o->leaves[i]);
    u->pieces += u->trained[i];
  }
  if (u->pieces > 0) VBL_TRY(queue_pieces(o, u, lr, err));
  for (int i = 0; i < o->count; i++) {
    vbl_storage *s = o->leaves[i].tensor->storage;
    if (!u->trained[i]) continue;
    const bool both = rounded(o->leaves[i].tensor);
    vbl_leaf_stepped(&o->leaves[i]);
    if (both) s->narrow_version = s->version;
  }
  return VBL_OK;
}

vbl_status vbl_optimizer_queue(vbl_optimizer *o, double lr, vbl_update **out, vbl_error *err) {
  vbl_update *u = calloc(1, sizeof *u);
  if (u == NULL) return vbl_fail(err, VBL_ENOMEM, "optimizer: out of memory");
  u->backend = vbl_leaf_kernels(o->leaves[0].tensor);
  vbl_span span;
  vbl_span_begin(&span, "optimizer", VBL_PHASE_FORWARD);
  vbl_status status = queue(o, u, lr, err);
  vbl_span_end(&span, 0);
  if (status == VBL_OK)
    *out = u;
  else
    vbl_update_free(u);
  return status;
}

vbl_status vbl_update_wait(vbl_update *u, double *norm, vbl_error *err) {
  vbl_reading *r = u->reading;
  u->reading = NULL;
  if (r != NULL) VBL_TRY(u->backend->read(r, u->found, err));
  *norm = u->found[0];
  return VBL_OK;
}

bool vbl_update_is_of(const vbl_update *u, const vbl_optimizer *o) { return u->of == o; }

int vbl_update_leaves(const vbl_update *u) { return u->count; }

void vbl_update_norms(const vbl_update *u, double *norms) {
  for (int i = 0, k = 1; i < u->count; i++) norms[i] = u->trained[i] ? sqrt(u->found[k++]) : 0;
}

void vbl_update_free(vbl_update *u) {
  if (u == NULL) return;
  if (u->reading != NULL) u->backend->read(u->reading, NULL, NULL);
  free(u->trained);
  free(u->before);
  free(u->found);
  free(u);
}

void vbl_optimizer_calm(const vbl_optimizer *o) {
  const vbl_backend *k = vbl_leaf_kernels(o->leaves[0].tensor);
  if (k->calm != NULL) k->calm(NULL);
}

void vbl_optimizer_take_back(vbl_optimizer *o, const vbl_update *u) {
  for (int i = 0; i < o->count; i++) o->leaves[i].t = u->before[i];
  vbl_optimizer_calm(o);
}

vbl_status vbl_optimizer_step_queued(vbl_optimizer *o, double lr, double *norm, vbl_error *err) {
  vbl_update *u;
  double size = 0;
  VBL_TRY(vbl_optimizer_queue(o, lr, &u, err));
  vbl_status status = vbl_update_wait(u, &size, err);
  if (norm != NULL) *norm = size;
  if (status == VBL_OK && !isfinite(size)) {
    vbl_optimizer_take_back(o, u);
    status = vbl_leaves_not_finite(o, err);
  }
  vbl_update_free(u);
  return status;
}
