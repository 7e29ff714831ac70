// Nodes of the tape, for the tape's own files.
//
// A node holds an edge per input (where that input's gradient goes: an output of another node, or a leaf) and aliases of
// just the tensors that its backward reads. It never holds the tensors it made, so the graph has no cycles and a result that
// nobody saved is freed as soon as the program drops it.
// defines: vbl_node, vbl_edge, vbl_node_new, vbl_node_spend, vbl_edge_give, vbl_edge_target
#pragma once
#include "core/tape/tape.h"

typedef struct vbl_edge {
  struct vbl_node *node;  // of the input, when an op made it
  int output;
  vbl_tensor *leaf;  // the input itself, when it is a leaf that requires a gradient
  vbl_meta meta;
} vbl_edge;  // node and leaf NULL: no gradient wanted

struct vbl_node {
  int refs;
  uint64_t sequence;  // order of making: every consumer of a node's outputs has a higher number
  const vbl_op *op;   // NULL for a custom node
  const char *name;
  vbl_custom custom;
  vbl_attrs attrs;
  int inputs, outputs;
  vbl_edge *edges;               // [inputs]
  vbl_tensor **grad;             // [outputs], during a backward walk: sums of what flowed in so far
  struct vbl_partial **partial;  // [outputs], beside a sum of which only slices are written so far; NULL: whole
  bool *narrow;                  // [outputs]: an op's backward takes its gradient in bf16 (vbl_narrow_gradient)
  vbl_tensor *saved[VBL_MAX_SAVED];
  uint32_t version[VBL_MAX_SAVED];  // of the saved tensors' storages when they were saved
  int branch;                       // of a device, that it was queued in (core/tensor/branch.h)
  bool queued;                      // in the heap of a walk
  bool spent;                       // backward has run and what it needs was freed
  struct vbl_node *next;            // in the list of nodes to be freed
};

static inline bool vbl_edge_wants(const vbl_edge *e) { return e->node != NULL || e->leaf != NULL; }

static inline bool vbl_wants_grad(const vbl_tensor *t) { return t != NULL && t->requires_grad && vbl_is_real(t->dtype); }
// What a gradient is summed in: bf16 has its own in f32; but where a backend's activations are bf16 (vbl_backend.mixed) that of a bf16
// result may be bf16, a leaf's never.
static inline vbl_dtype vbl_grad_dtype(vbl_dtype d) { return d == VBL_F64 ? VBL_F64 : VBL_F32; }
bool vbl_narrow_gradient(const struct vbl_backend *backend, vbl_dtype dtype);

// A node with edges to the inputs (NULL allowed) and one reference.
vbl_status vbl_node_new(const char *name, vbl_tensor *const *in, int inputs, int outputs, struct vbl_node **out, vbl_error *err);
// Makes t output number `output` of the node (t has no history yet); integers stay without.
void vbl_node_attach(struct vbl_node *node, vbl_tensor *t, int output);
void vbl_node_spend(struct vbl_node *node);  // frees saved tensors and edges
void vbl_node_clear_grads(struct vbl_node *node);

// Slices of a sum, node->grad[output] (partial.c). begin: it is new, and [from, to) of dim will be written. extend: [from, to) will be written too, over
// nothing; false where something is there, and it has to be added. complete: zeros where nothing was written; before the sum is read or added to.
vbl_status vbl_partial_begin(struct vbl_node *node, int output, int dim, int64_t from, int64_t to, vbl_error *err);
bool vbl_partial_extend(struct vbl_node *node, int output, int dim, int64_t from, int64_t to);
vbl_status vbl_partial_complete(struct vbl_node *node, int output, vbl_error *err);
void vbl_partial_drop(struct vbl_node *node, int output);

vbl_status vbl_edge_give(vbl_edge *e, vbl_tensor *grad, vbl_error *err);
// narrow: the target may be bf16.
vbl_status vbl_edge_target(vbl_edge *e, bool narrow, vbl_tensor **target, bool *accumulate, vbl_error *err);

// What a host kernel could not do (scratch memory), as an error. A device reports at its own sync points.
vbl_status vbl_kernels_failed(const vbl_tensor *result, vbl_error *err);

// An op is about to read these (NULL allowed) in its branch.
void vbl_tape_reads(vbl_tensor *const *t, int n);

void vbl_call_end(vbl_call *c);  // releases the call's temporaries
