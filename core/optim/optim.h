// Optimizers over a list of leaf tensors.
//
// AdamW (Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2), in the order of torch.optim.AdamW:
//   1. w <- w - lr * weight_decay * w                       (leaves with decay only)
//   2. m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2
//   3. w <- w - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)
// SGD with momentum (Polyak 1964, PyTorch's form): g <- g + weight_decay w;  b <- momentum b + g (first step: b = g);  w <- w - lr
// b.
//
// Before either, all trained gradients share one global norm: g <- g * min(1, clip / (norm + 1e-6)); clip <= 0 leaves them.
// A leaf that does not require a gradient, or that got none since zero_grad, is left alone: no decay, no step, t unchanged. t
// counts per leaf, as in PyTorch. defines: vbl_optimizer and what makes, steps, ends it; vbl_update; vbl_parameters_pack, _average, _swap
#pragma once
#include "core/tensor/tensor.h"

typedef enum vbl_optimizer_kind { VBL_ADAMW, VBL_SGD } vbl_optimizer_kind;

typedef struct vbl_optimizer_options {
  vbl_optimizer_kind kind;
  double beta1, beta2, eps;  // AdamW
  double momentum;           // SGD
  double weight_decay;
  double clip;  // global norm; <= 0: none
} vbl_optimizer_options;

typedef struct vbl_optimizer_leaf {
  char *name;  // for error messages
  vbl_tensor *tensor;
  bool decay;
  double lr_scale;  // layer-wise learning rates; 1 = the given rate
  int64_t first;    // where its moments start in m and v
  int64_t t;        // steps it has taken
} vbl_optimizer_leaf;

typedef struct vbl_optimizer {
  vbl_optimizer_options options;
  int count;
  vbl_optimizer_leaf *leaves;
  vbl_tensor *m, *v;  // [total elements] of the leaves' dtype, in the order of the leaves; SGD keeps its buffer in m, v is NULL
} vbl_optimizer;

// Leaves are contiguous f32 (or all f64) tensors; the optimizer keeps a reference to each. decay and lr_scale may be NULL: decay
// for tensors of two or more dims, rate 1.
vbl_status vbl_optimizer_new(vbl_optimizer_options options, const char *const *names, vbl_tensor *const *leaves, const bool *decay,
                             const double *lr_scale, int count, vbl_optimizer **out, vbl_error *err);
void vbl_optimizer_free(vbl_optimizer *o);

// One step at learning rate lr. *norm (may be NULL) gets the gradients' global norm before clipping. VBL_ENUMERIC when it is NaN or
// Inf, naming the first bad parameter; then no weight or moment has changed. Not interruptible.
vbl_status vbl_optimizer_step(vbl_optimizer *o, double lr, double *norm, vbl_error *err);

// The same on a device that the host does not wait for: the step is queued, and what came of it is in `update`, to be looked at when the
// next one is queued. Where the norm turns out to be NaN or Inf, or a value that was watched (vbl_backend's read_later) is, the device has
// changed nothing, and changes nothing in the steps that were queued after, until take_back.
typedef struct vbl_update vbl_update;
bool vbl_optimizer_queues(const vbl_optimizer *o);  // whether it can: AdamW on a device
vbl_status vbl_optimizer_queue(vbl_optimizer *o, double lr, vbl_update **out, vbl_error *err);
vbl_status vbl_optimizer_step_queued(vbl_optimizer *o, double lr, double *norm, vbl_error *err);  // vbl_optimizer_step so
vbl_status vbl_update_wait(vbl_update *u, double *norm, vbl_error *err);
bool vbl_update_is_of(const vbl_update *u, const vbl_optimizer *o);
int vbl_update_leaves(const vbl_update *u);
void vbl_update_norms(const vbl_update *u, double *norms);  // of each leaf, as vbl_optimizer_norms; after wait
void vbl_update_free(vbl_update *u);                        // NULL is allowed
// u changed nothing, nor did what was queued after it: the leaves' t are what they were before, and the next step is carried out.
void vbl_optimizer_take_back(vbl_optimizer *o, const vbl_update *u);
void vbl_optimizer_calm(const vbl_optimizer *o);  // the next step is carried out

// The norm of each leaf's gradient, into norms[count]; 0 for a leaf that is not trained or got no gradient. Accumulated in f64.
void vbl_optimizer_norms(const vbl_optimizer *o, double *norms);

// The next backward writes the gradients instead of adding to them.
void vbl_optimizer_zero_grad(vbl_optimizer *o);

// Moves the leaves' data into one block, strictly one after the other, and gives each a .grad in one block of gradients (without a
// value). The leaves' storages change; views made of them before keep the old ones. All f32 or all f64, on one backend.
vbl_status vbl_parameters_pack(vbl_tensor *const *leaves, int count, vbl_error *err);

// averages[i] <- decay averages[i] + (1 - decay) leaves[i] (Polyak & Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"; with weights
// that fall off exponentially, Tarvainen & Valpola 2017, "Mean teachers are better role models"). Contiguous tensors of one shape, dtype (f32, f64) and
// device each; decay in [0, 1].
vbl_status vbl_parameters_average(vbl_tensor *const *averages, vbl_tensor *const *leaves, int count, double decay, vbl_error *err);

// Exchanges what is in averages[i] and leaves[i], of all or, with VBL_ENOMEM, of none.
vbl_status vbl_parameters_swap(vbl_tensor *const *averages, vbl_tensor *const *leaves, int count, vbl_error *err);
