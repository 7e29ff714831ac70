// The backward walk: from the roots, always the youngest node next, so that every node has its whole gradient when it runs. On a device a node's work
// goes to the branch that its forward went to.
// defines: vbl_backward, vbl_backward_many
#include <stdlib.h>
#include <string.h>

#include "core/base/interrupt.h"
#include "core/tape/profile.h"
#include "core/tape/walk.h"
#include "core/tensor/branch.h"

static vbl_status spent_error(const struct vbl_node *node, vbl_error *err) {
  return vbl_fail(err, VBL_EINVAL,
                  "backward: the graph behind this tensor (at '%s') was freed by an earlier backward; run the "
                  "forward pass again, or keep the graph in the first backward",
                  node->name);
}

// The formulas read what the forward pass saved; a tensor that was overwritten since would give a wrong gradient in silence.
static vbl_status check_unchanged(const struct vbl_node *node, vbl_error *err) {
  char text[VBL_SHAPE_TEXT];
  for (int i = 0; i < VBL_MAX_SAVED; i++) {
    const vbl_tensor *t = node->saved[i];
    if (t == NULL || t->storage->version == node->version[i]) continue;
    return vbl_fail(err, VBL_EINVAL,
                    "a tensor %s that it needs was changed in place after the forward pass (fill_, copy_, an assignment, an "
                    "optimizer step); change a clone, or change it before",
                    vbl_shape_text(t->ndim, t->shape, text));
  }
  return VBL_OK;
}

static vbl_status whole_gradients(struct vbl_node *node, vbl_error *err) {
  for (int i = 0; i < node->outputs; i++) VBL_TRY(vbl_partial_complete(node, i, err));
  return VBL_OK;
}

// The gradient of a narrow result is bf16, also where ops that know only f32 have summed it.
static vbl_status narrow_gradients(struct vbl_node *node, vbl_error *err) {
  for (int i = 0; i < node->outputs; i++) {
    vbl_tensor *grad = node->grad[i], *typed;
    if (grad == NULL || !node->narrow[i]) continue;
    VBL_TRY(vbl_tensor_to_dtype(grad, VBL_BF16, &typed, err));
    node->grad[i] = typed;
    vbl_tensor_release(grad);
  }
  return VBL_OK;
}

static vbl_status run_op(struct vbl_node *node, vbl_error *err) {
  VBL_TRY(check_unchanged(node, err));
  vbl_call c = {.op = node->op, .attrs = node->attrs, .inputs = node->inputs, .outputs = node->outputs, .node = node};
  memcpy(c.saved, node->saved, sizeof c.saved);
  for (int i = 0; i < node->inputs; i++) c.needs_grad[i] = vbl_edge_wants(&node->edges[i]);
  vbl_branch(node->branch);
  VBL_TRY(whole_gradients(node, err));
  VBL_TRY(narrow_gradients(node, err));
  // One list: an await after a note would leave the note behind.
  vbl_tensor *read[VBL_MAX_SAVED + VBL_MAX_OUTPUTS];
  memcpy(read, node->saved, sizeof node->saved);
  memcpy(read + VBL_MAX_SAVED, node->grad, (size_t)node->outputs * sizeof *read);
  vbl_tape_reads(read, VBL_MAX_SAVED + node->outputs);
  const uint64_t meeting = vbl_branch_meeting();
  vbl_status status = node->op->backward(&c, node->grad, err);
  vbl_call_end(&c);
  vbl_branch_settle(meeting);
  return status;
}

static vbl_status run_custom(struct vbl_node *node, vbl_error *err) {
  vbl_branch(0);
  vbl_branches_join();
  VBL_TRY(whole_gradients(node, err));
  vbl_tensor **in_grads = calloc((size_t)node->inputs + 1, sizeof *in_grads);
  if (in_grads == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for gradients");
  vbl_status status = node->custom.run(node->custom.context, node->grad, node->outputs, in_grads, node->inputs, err);
  for (int i = 0; i < node->inputs; i++) {
    if (status == VBL_OK && in_grads[i] != NULL && vbl_edge_wants(&node->edges[i]))
      status = vbl_edge_give(&node->edges[i], in_grads[i], err);
    vbl_tensor_release(in_grads[i]);
  }
  free(in_grads);
  return status;
}

static const vbl_tensor *any_gradient(const struct vbl_node *node) {
  for (int i = 0; i < node->outputs; i++)
    if (node->grad[i] != NULL) return node->grad[i];
  return NULL;
}

// Runs one node's backward and queues the nodes behind it (also after a failure: they may hold gradients to be dropped).
static vbl_status run_node(vbl_walk *w, struct vbl_node *node, bool keep_graph, vbl_error *err) {
  if (any_gradient(node) == NULL) return VBL_OK;
  VBL_TRY(vbl_interrupt_check(err));
  if (node->spent) return spent_error(node, err);
  VBL_TRY(vbl_walk_reserve(w, (size_t)node->inputs, err));
  vbl_span span;
  vbl_span_begin(&span, node->name, VBL_PHASE_BACKWARD);
  const vbl_memory_user before = vbl_memory_use((vbl_memory_user){node->name, true});
  vbl_status status = node->op != NULL ? run_op(node, err) : run_custom(node, err);
  vbl_memory_use(before);
  if (status == VBL_OK) status = vbl_kernels_failed(any_gradient(node), err);
  vbl_span_end(&span, 0);
  for (int i = 0; i < node->inputs; i++)
    if (node->edges[i].node != NULL) vbl_walk_push(w, node->edges[i].node);
  if (status == VBL_OK && !keep_graph) vbl_node_spend(node);
  return status == VBL_OK || status == VBL_EINTERRUPT ? status : vbl_context(err, "backward of %s", node->name);
}

// The edge that leads to a root, as if a node consumed it; nothing is retained.
static vbl_status seed_root(vbl_tensor *t, vbl_tensor *seed, vbl_error *err) {
  if (!t->requires_grad) return vbl_fail(err, VBL_EINVAL, "backward: the tensor depends on nothing that requires a gradient");
  if (t->node != NULL && t->node->spent) return spent_error(t->node, err);
  vbl_edge e = {.node = t->node, .output = t->output, .leaf = t->node == NULL ? t : NULL};
  e.meta = (vbl_meta){.backend = t->storage->backend, .dtype = t->dtype, .ndim = t->ndim};
  memcpy(e.meta.shape, t->shape, sizeof t->shape);
  if (seed != NULL) return vbl_edge_give(&e, seed, err);
  char text[VBL_SHAPE_TEXT];
  if (vbl_tensor_numel(t) != 1)
    return vbl_fail(err, VBL_EINVAL, "backward: expected a tensor of one element or a gradient for it, got %s",
                    vbl_shape_text(t->ndim, t->shape, text));
  vbl_tensor *one;
  VBL_TRY(vbl_tensor_new(e.meta.backend, vbl_grad_dtype(t->dtype), t->ndim, t->shape, &one, err));
  vbl_status status = vbl_tensor_fill(one, 1, err);
  if (status == VBL_OK) status = vbl_edge_give(&e, one, err);
  vbl_tensor_release(one);
  return status;
}

static vbl_status walk(vbl_walk *w, vbl_tensor *const *roots, vbl_tensor *const *seeds, int count, bool keep_graph,
                       vbl_error *err) {
  VBL_TRY(vbl_walk_reserve(w, (size_t)count, err));
  for (int i = 0; i < count; i++) {
    if (roots[i]->node != NULL) vbl_walk_push(w, roots[i]->node);
    VBL_TRY(seed_root(roots[i], seeds == NULL ? NULL : seeds[i], err));
  }
  vbl_status status = VBL_OK;
  for (struct vbl_node *node; status == VBL_OK && (node = vbl_walk_pop(w)) != NULL;) {
    status = run_node(w, node, keep_graph, err);
    vbl_node_clear_grads(node);
    vbl_node_release(node);
  }
  return status;
}

vbl_status vbl_backward_many(vbl_tensor *const *roots, vbl_tensor *const *seeds, int count, bool keep_graph, vbl_error *err) {
  vbl_walk w = {0};
  bool old = vbl_set_recording(false);
  const int branch = vbl_branch(0);
  vbl_status status = walk(&w, roots, seeds, count, keep_graph, err);
  vbl_set_recording(old);
  vbl_walk_end(&w);
  vbl_branch(branch);
  vbl_branches_join();
  return status;
}

vbl_status vbl_backward(vbl_tensor *t, vbl_tensor *seed, bool keep_graph, vbl_error *err) {
  return vbl_backward_many(&t, &seed, 1, keep_graph, err);
}
