// The nodes that a backward walk has still to run, highest sequence number first (a binary heap). Each is held once.
// defines: vbl_walk, vbl_walk_push, vbl_walk_pop, vbl_walk_end
#pragma once
#include "core/tape/node.h"

typedef struct vbl_walk {
  struct vbl_node **heap;
  size_t count, capacity;
} vbl_walk;

vbl_status vbl_walk_reserve(vbl_walk *w, size_t more, vbl_error *err);  // room for `more` pushes
void vbl_walk_push(vbl_walk *w, struct vbl_node *node);                 // nothing if it is queued already
struct vbl_node *vbl_walk_pop(vbl_walk *w);                             // NULL when empty; the caller gets the reference
void vbl_walk_end(vbl_walk *w);                                         // drops what is left, with its gradients
