// A binary heap of nodes by sequence number.
// defines: vbl_walk_reserve, vbl_walk_push, vbl_walk_pop, vbl_walk_end
#include "core/tape/walk.h"

#include <stdlib.h>

vbl_status vbl_walk_reserve(vbl_walk *w, size_t more, vbl_error *err) {
  if (w->capacity - w->count >= more) return VBL_OK;
  size_t capacity = 2 * w->capacity + more;
  struct vbl_node **heap = realloc(w->heap, capacity * sizeof *heap);
  if (heap == NULL) return vbl_fail(err, VBL_ENOMEM, "out of memory for the backward walk");
  w->heap = heap;
  w->capacity = capacity;
  return VBL_OK;
}

void vbl_walk_push(vbl_walk *w, struct vbl_node *node) {
  if (node->queued) return;
  node->queued = true;
  node->refs++;
  size_t at = w->count++;
  for (; at > 0 && w->heap[(at - 1) / 2]->sequence < node->sequence; at = (at - 1) / 2) w->heap[at] = w->heap[(at - 1) / 2];
  w->heap[at] = node;
}

struct vbl_node *vbl_walk_pop(vbl_walk *w) {
  if (w->count == 0) return NULL;
  struct vbl_node *top = w->heap[0], *last = w->heap[--w->count];
  size_t at = 0;
  for (size_t child = 1; child < w->count; child = 2 * at + 1) {
    if (child + 1 < w->count && w->heap[child + 1]->sequence > w->heap[child]->sequence) child++;
    if (w->heap[child]->sequence <= last->sequence) break;
    w->heap[at] = w->heap[child];
    at = child;
  }
  w->heap[at] = last;
  top->queued = false;
  return top;
}

void vbl_walk_end(vbl_walk *w) {
  for (struct vbl_node *node; (node = vbl_walk_pop(w)) != NULL;) {
    vbl_node_clear_grads(node);
    vbl_node_release(node);
  }
  free(w->heap);
}
