// What the optimizer's files share of its leaves.
// defines: vbl_leaf_kernels, vbl_leaf_trained, vbl_leaf_stepped, vbl_leaves_not_finite
#pragma once
#include "core/optim/optim.h"
#include "kernels/kernels.h"

const vbl_backend *vbl_leaf_kernels(const vbl_tensor *t);  // who computes with it
bool vbl_leaf_trained(const vbl_optimizer_leaf *leaf);     // whether a step is to change it
void vbl_leaf_stepped(vbl_optimizer_leaf *leaf);
// VBL_ENUMERIC, of a norm that is NaN or Inf: the first leaf whose gradient is to blame.
vbl_status vbl_leaves_not_finite(const vbl_optimizer *o, vbl_error *err);
