// The tape: a graph of op calls, walked backwards in the reverse order of their making.
//
// Each op is one row (vbl_op) that says how many tensors it takes and gives, and holds two functions: `forward` checks shapes,
// makes the outputs and calls kernels; `backward` turns the gradients of the outputs into those of the inputs. One generic
// vbl_apply runs an op, and records it when an input needs a gradient. Every op is listed in VBL_OPS
// (core/ops/ops.h), over which the tests run (reference, finite differences, odd shapes).
// defines: vbl_op, vbl_call, vbl_attrs, vbl_apply, vbl_backward, vbl_grad_*
#pragma once
#include "core/base/philox.h"
#include "core/tensor/tensor.h"

enum { VBL_MAX_INPUTS = 12, VBL_MAX_OUTPUTS = 3, VBL_MAX_SAVED = 8, VBL_MAX_TEMPS = 48 };

// What the operands of matrix products of f32 tensors are rounded to.
typedef enum vbl_precision { VBL_PRECISION_F32, VBL_PRECISION_BF16, VBL_PRECISION_TF32 } vbl_precision;

// Everything that is not a tensor. Each op's comment says which fields it reads; the rest are zero.
typedef struct vbl_attrs {
  double alpha;  // scale, divisor, temperature, exponent
  double eps;
  double p;                // dropout probability in [0, 1); 0 = no dropout
  int64_t n[16];           // op-specific integers: dims, sizes, heads
  double v[6];             // op-specific numbers: means and deviations of the pixels
  vbl_philox_key rng;      // seed and site of a dropout
  uint32_t step;           // optimizer step, for dropout counters
  vbl_precision products;  // of matrix products; vbl_apply sets it (vbl_set_autocast)
} vbl_attrs;

struct vbl_op;
typedef struct vbl_call {
  const struct vbl_op *op;
  vbl_attrs attrs;
  int inputs, outputs;
  vbl_tensor *in[VBL_MAX_INPUTS];    // forward only; an optional input may be NULL
  vbl_tensor *out[VBL_MAX_OUTPUTS];  // forward makes them
  vbl_tensor *saved[VBL_MAX_SAVED];  // what forward keeps for backward: vbl_save
  vbl_tensor *temp[VBL_MAX_TEMPS];   // ends with the call: vbl_temp_*
  int temps;
  bool needs_grad[VBL_MAX_INPUTS];  // which inputs want a gradient (in forward: false unless recording)
  bool recording;                   // forward: whether backward may follow (nothing need be saved when false)
  struct vbl_node *node;            // backward only
} vbl_call;

typedef struct vbl_op {
  const char *name;
  int min_inputs, max_inputs, outputs;
  vbl_status (*forward)(vbl_call *c, vbl_error *err);
  // grad[i]: gradient of output i, contiguous, or NULL when nothing flowed into it; f32 (f64), but bf16 where the output is and the backend's
  // activations are (vbl_backend.mixed). Gives input gradients through
  // vbl_grad_give or vbl_grad_target. NULL = not differentiable (argmax, comparisons).
  vbl_status (*backward)(vbl_call *c, vbl_tensor *const *grad, vbl_error *err);
} vbl_op;

// Runs `op`. in[0..inputs) may hold NULL for optional inputs (trailing or not). out gets op->outputs references.
// Errors carry the op's name: "linear: expected x [N, 768], got [64, 512]".
vbl_status vbl_apply(const vbl_op *op, vbl_tensor *const *in, int inputs, const vbl_attrs *attrs, vbl_tensor **out, vbl_error *err);

// For forward functions: keeps an alias of t (input or output) for backward, in slot i.
vbl_status vbl_save(vbl_call *c, int slot, const vbl_tensor *t, vbl_error *err);

// Working memory that ends with the call (forward or backward), whatever its status; the reference is the call's.
vbl_status vbl_temp_new(vbl_call *c, const struct vbl_backend *backend, vbl_dtype dtype, int ndim, const int64_t *shape,
                        vbl_tensor **out, vbl_error *err);
vbl_status vbl_temp_keep(vbl_call *c, vbl_tensor *t, vbl_error *err);  // takes over the caller's reference, also on failure

// For backward functions. Shape and dtype of input i as forward saw it.
typedef struct vbl_meta {
  const struct vbl_backend *backend;
  vbl_dtype dtype;
  int ndim;
  int64_t shape[VBL_MAX_DIMS];
} vbl_meta;
const vbl_meta *vbl_input_meta(const vbl_call *c, int i);

// For backward functions. Two ways to deliver the gradient of input i (only where c->needs_grad[i]):
// give: hands over a finished tensor of the input's shape (the reference stays the caller's; it may be aliased, not copied).
vbl_status vbl_grad_give(vbl_call *c, int i, vbl_tensor *grad, vbl_error *err);
// target: where to write or add it directly (contiguous, f32 or f64). *accumulate says whether it holds a sum to be added to
// (GEMMs pass it on as beta). The tensor stays the tape's. Parameters' .grad are filled this way, without a temporary.
vbl_status vbl_grad_target(vbl_call *c, int i, vbl_tensor **target, bool *accumulate, vbl_error *err);
// The same for those who can write bf16 too: the target may be of it, where vbl_grad_narrow says that input i's gradient may.
vbl_status vbl_grad_target_narrow(vbl_call *c, int i, vbl_tensor **target, bool *accumulate, vbl_error *err);
// The same for those who write or add to [from, to) of a dim alone: *accumulate says whether that holds a sum. Target is the whole.
vbl_status vbl_grad_target_slice(vbl_call *c, int i, int dim, int64_t from, int64_t to, vbl_tensor **target, bool *accumulate,
                                 vbl_error *err);
bool vbl_grad_narrow(const vbl_call *c, int i);

// Gradients of sum(seed * t) into the leaves' .grad (accumulated). seed NULL = ones, t must then have one element. Frees the
// graph behind t unless keep_graph. A second call on a freed graph is an error that says so. After any other error (memory, an
// interrupt) the leaves hold incomplete sums: clear them before the next backward.
vbl_status vbl_backward(vbl_tensor *t, vbl_tensor *seed, bool keep_graph, vbl_error *err);
// The same from several roots at once (roots[i] seeded with seeds[i]), one walk.
vbl_status vbl_backward_many(vbl_tensor *const *roots, vbl_tensor *const *seeds, int count, bool keep_graph, vbl_error *err);

// Recording is on by default; off inside no_grad. Returns the old value.
bool vbl_recording(void);
bool vbl_set_recording(bool on);

// Mixed precision, with the meaning of torch.autocast: BF16 lets linear and linear_group of f32 tensors round the operands of their
// products (x, weights, gradients) to bf16 and sum in f32, forward and in the backward of what was recorded so. On a backend with
// `mixed` (kernels/mixed.h) their results, attention and the norms' results that products read are bf16, and so are the gradients of these.
// Everything else stays f32: weights and their gradients, the residual stream, statistics, losses. TF32 rounds the same operands to TF32, on a device only, and keeps
// all tensors f32. F32 (the start) rounds nothing. Returns the old value.
vbl_precision vbl_autocast(void);
vbl_precision vbl_set_autocast(vbl_precision p);

// For nodes whose backward lives outside the core (activation checkpointing, functions written in Lua).
// run is called with the outputs' gradients (NULL where none) and fills in_grads (one reference each, or NULL).
typedef struct vbl_custom {
  vbl_status (*run)(void *context, vbl_tensor *const *out_grads, int outputs, vbl_tensor **in_grads, int inputs, vbl_error *err);
  void (*destroy)(void *context);
  void *context;
} vbl_custom;
// Marks outs (fresh results without history) as made from ins by a custom node. Takes over `custom` also on failure.
vbl_status vbl_record_custom(const char *name, vbl_tensor *const *ins, int inputs, vbl_tensor *const *outs, int outputs,
                             vbl_custom custom, vbl_error *err);

void vbl_node_release(struct vbl_node *node);  // for the tensor's end

// Whose kernels compute on reals of this dtype in this memory: f64 is computed by the reference backend.
const struct vbl_backend *vbl_kernels(const struct vbl_backend *memory, vbl_dtype dtype);
