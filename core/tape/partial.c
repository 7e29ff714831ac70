// Gradients that slices write part by part. A sum that is made of slices alone holds nothing between them until someone wants all of it; so the slices of
// one matrix (queries, keys and values of a product, the rows of several passes) are each copied where they belong, without zeros to be added to.
// defines: vbl_partial_begin, vbl_partial_extend, vbl_partial_complete, vbl_partial_drop
#include <stdlib.h>

#include "core/tape/node.h"

enum { MOST = 8 };

struct vbl_partial {
  int dim, n;
  int64_t size, left;            // of the dim; how much of it is not written
  int64_t from[MOST], to[MOST];  // what is written, ascending
};

// Writes [from, to) down; false where it meets what is written, or nothing more can be kept.
static bool insert(struct vbl_partial *p, int64_t from, int64_t to) {
  int at = 0;
  while (at < p->n && p->to[at] <= from) at++;
  if (p->n == MOST || (at < p->n && p->from[at] < to)) return false;
  for (int i = p->n++; i > at; i--) p->from[i] = p->from[i - 1], p->to[i] = p->to[i - 1];
  p->from[at] = from;
  p->to[at] = to;
  p->left -= to - from;
  return true;
}

vbl_status vbl_partial_begin(struct vbl_node *node, int output, int dim, int64_t from, int64_t to, vbl_error *err) {
  const int64_t size = node->grad[output]->shape[dim];
  if (to - from == size) return VBL_OK;
  struct vbl_partial *p = calloc(1, sizeof *p);
  if (p == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for the tape");
  p->dim = dim;
  p->size = p->left = size;
  insert(p, from, to);
  node->partial[output] = p;
  return VBL_OK;
}

bool vbl_partial_extend(struct vbl_node *node, int output, int dim, int64_t from, int64_t to) {
  struct vbl_partial *p = node->partial[output];
  if (p == NULL || p->dim != dim || !insert(p, from, to)) return false;
  if (p->left == 0) vbl_partial_drop(node, output);
  return true;
}

static vbl_status clear(const vbl_tensor *grad, int dim, int64_t from, int64_t to, vbl_error *err) {
  vbl_tensor *gap;
  if (from == to) return VBL_OK;
  VBL_TRY(vbl_tensor_narrow(grad, dim, from, to - from, &gap, err));
  vbl_status status = vbl_tensor_fill(gap, 0, err);
  vbl_tensor_release(gap);
  return status;
}

vbl_status vbl_partial_complete(struct vbl_node *node, int output, vbl_error *err) {
  struct vbl_partial *p = node->partial[output];
  if (p == NULL) return VBL_OK;
  int64_t end = 0;
  for (int i = 0; i < p->n; i++) {
    VBL_TRY(clear(node->grad[output], p->dim, end, p->from[i], err));
    end = p->to[i];
  }
  VBL_TRY(clear(node->grad[output], p->dim, end, p->size, err));
  vbl_partial_drop(node, output);
  return VBL_OK;
}

void vbl_partial_drop(struct vbl_node *node, int output) {
  free(node->partial[output]);
  node->partial[output] = NULL;
}
