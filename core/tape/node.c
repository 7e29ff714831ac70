// Making and freeing nodes.
// defines: vbl_narrow_gradient, vbl_node_new, vbl_node_attach, vbl_node_spend, vbl_node_clear_grads, vbl_node_release
#include "core/tape/node.h"

#include <stdlib.h>
#include <string.h>

#include "core/tensor/branch.h"
#include "kernels/kernels.h"

bool vbl_narrow_gradient(const vbl_backend *backend, vbl_dtype dtype) { return dtype == VBL_BF16 && backend->mixed != NULL; }

static void edge_from(vbl_edge *e, vbl_tensor *t) {
  if (t == NULL) return;
  e->meta = (vbl_meta){.backend = t->storage->backend, .dtype = t->dtype, .ndim = t->ndim};
  memcpy(e->meta.shape, t->shape, sizeof t->shape);
  if (!vbl_wants_grad(t)) return;
  if (t->node != NULL) {
    e->node = t->node;
    e->node->refs++;
    e->output = t->output;
  } else {
    e->leaf = vbl_tensor_retain(t);
  }
}

vbl_status vbl_node_new(const char *name, vbl_tensor *const *in, int inputs, int outputs, struct vbl_node **out, vbl_error *err) {
  static uint64_t sequence;
  const size_t edges = (size_t)inputs * sizeof(vbl_edge), grads = (size_t)outputs * sizeof(vbl_tensor *);
  const size_t partials = (size_t)outputs * sizeof(struct vbl_partial *);
  struct vbl_node *node = calloc(1, sizeof *node + edges + grads + partials + (size_t)outputs * sizeof(bool));
  if (node == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for the tape");
  node->refs = 1;
  node->sequence = ++sequence;
  node->name = name;
  node->branch = vbl_branch_now();
  node->inputs = inputs;
  node->outputs = outputs;
  node->edges = (vbl_edge *)(node + 1);
  node->grad = (vbl_tensor **)(node->edges + inputs);
  node->partial = (struct vbl_partial **)(node->grad + outputs);
  node->narrow = (bool *)(node->partial + outputs);
  for (int i = 0; i < inputs; i++) edge_from(&node->edges[i], in[i]);
  *out = node;
  return VBL_OK;
}

void vbl_node_attach(struct vbl_node *node, vbl_tensor *t, int output) {
  if (!vbl_is_real(t->dtype)) return;
  node->refs++;
  node->narrow[output] = vbl_narrow_gradient(t->storage->backend, t->dtype);
  t->node = node;
  t->output = output;
  t->requires_grad = true;
}

void vbl_node_clear_grads(struct vbl_node *node) {
  for (int i = 0; i < node->outputs; i++) {
    vbl_partial_drop(node, i);
    vbl_tensor_release(node->grad[i]);
    node->grad[i] = NULL;
  }
}

void vbl_node_spend(struct vbl_node *node) {
  node->spent = true;
  for (int i = 0; i < VBL_MAX_SAVED; i++) {
    vbl_tensor_release(node->saved[i]);
    node->saved[i] = NULL;
  }
  for (int i = 0; i < node->inputs; i++) {
    vbl_edge *e = &node->edges[i];
    if (e->node != NULL) vbl_node_release(e->node);
    vbl_tensor_release(e->leaf);
    e->node = NULL;
    e->leaf = NULL;
  }
  if (node->custom.destroy != NULL) node->custom.destroy(node->custom.context);
  node->custom = (vbl_custom){0};
}

// A graph is as deep as the program's loop is long, so nodes whose last reference goes are put on a list, and the outermost
// call works it off: freeing one node may add others to the list but never recurses.
void vbl_node_release(struct vbl_node *node) {
  static struct vbl_node *dead;
  static bool working;
  if (--node->refs > 0) return;
  node->next = dead;
  dead = node;
  if (working) return;
  working = true;
  while (dead != NULL) {
    struct vbl_node *n = dead;
    dead = n->next;
    vbl_node_spend(n);
    vbl_node_clear_grads(n);
    free(n);
  }
  working = false;
}
