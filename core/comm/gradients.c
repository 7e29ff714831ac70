// The gradients of all ranks, added up: by their devices, where these reach one another, else in the hosts' memory. They lie side by side where the parameters were packed (core/optim/pack.c), so that a model is one sum.
#include <stdlib.h>

#include "core/comm/comm.h"
#include "core/comm/devices.h"
#include "core/tensor/branch.h"
#include "kernels/kernels.h"

enum { STAGE = 16 << 20 };  // elements of a device that are on the host at once

// Which leaves have a gradient on some rank; there, one of zeros where this rank has none.
static vbl_status agree(vbl_tensor *const *leaves, int count, double *some, vbl_error *err) {
  for (int i = 0; i < count; i++) some[i] = leaves[i]->requires_grad && leaves[i]->grad != NULL && leaves[i]->has_grad;
  VBL_TRY(vbl_comm_max(some, count, err));
  for (int i = 0; i < count; i++) {
    vbl_tensor *leaf = leaves[i];
    if (some[i] == 0 || (leaf->grad != NULL && leaf->has_grad)) continue;
    if (leaf->grad == NULL) VBL_TRY(vbl_tensor_new(leaf->storage->backend, leaf->dtype, leaf->ndim, leaf->shape, &leaf->grad, err));
    VBL_TRY(vbl_tensor_fill(leaf->grad, 0, err));
    leaf->has_grad = true;
  }
  return VBL_OK;
}

static vbl_status sum_on_device(vbl_tensor *part, vbl_error *err) {
  vbl_tensor *host = NULL, *back = NULL;
  VBL_TRY(vbl_tensor_to_backend(part, vbl_cpu_backend(), &host, err));
  vbl_status status = vbl_comm_sum(host->dtype, vbl_tensor_data(host), vbl_tensor_numel(host), err);
  if (status == VBL_OK) status = vbl_tensor_to_backend(host, part->storage->backend, &back, err);
  if (status == VBL_OK) status = vbl_tensor_copy(part, back, err);
  vbl_tensor_release(host);
  vbl_tensor_release(back);
  return status;
}

// n elements of grad's storage, from its first on.
static vbl_status sum_run(vbl_tensor *grad, int64_t n, vbl_error *err) {
  const int64_t one = 1;
  const vbl_backend *b = grad->storage->backend;
  bool device = false;
  grad->storage->version++;
  if (b->host) return vbl_comm_sum(grad->dtype, vbl_tensor_data(grad), n, err);
  vbl_branches_join();
  VBL_TRY(vbl_comm_devices(b, &device, err));
  if (device) {
    b->sum_ranks(grad->dtype, vbl_tensor_data(grad), n, NULL);
    return VBL_OK;
  }
  for (int64_t at = 0; at < n; at += STAGE) {
    const int64_t length = n - at < STAGE ? n - at : STAGE;
    vbl_tensor *part;
    VBL_TRY(vbl_tensor_as_strided(grad, 1, &length, &one, grad->offset + at, &part, err));
    vbl_status status = sum_on_device(part, err);
    vbl_tensor_release(part);
    VBL_TRY(status);
  }
  return VBL_OK;
}

// Whether leaf i's gradient lies right behind leaf i - 1's.
static bool follows(vbl_tensor *const *leaves, int i) {
  const vbl_tensor *grad = leaves[i]->grad, *before = leaves[i - 1]->grad;
  return grad->storage == before->storage && grad->dtype == before->dtype &&
         grad->offset == before->offset + vbl_tensor_numel(before);
}

// The pieces are the same on every rank: where one rank's gradient lies apart (it made one of zeros, say), it does on all.
static vbl_status sum_all(vbl_tensor *const *leaves, int count, const double *some, double *begins, vbl_error *err) {
  for (int i = 0; i < count; i++) begins[i] = some[i] != 0 && (i == 0 || some[i - 1] == 0 || !follows(leaves, i));
  VBL_TRY(vbl_comm_max(begins, count, err));
  for (int i = 0; i < count;) {
    const int first = i;
    int64_t n = 0;
    do {
      if (some[i] != 0) n += vbl_tensor_numel(leaves[i]->grad);
      i++;
    } while (i < count && some[i] != 0 && begins[i] == 0);
    if (n > 0) VBL_TRY(sum_run(leaves[first]->grad, n, err));
  }
  return VBL_OK;
}

vbl_status vbl_comm_sum_gradients(vbl_tensor *const *leaves, int count, vbl_error *err) {
  if (vbl_comm_size() == 1 || count == 0) return VBL_OK;
  double *some = malloc(2 * (size_t)count * sizeof *some);
  if (some == NULL) return vbl_fail(err, VBL_ENOMEM, "sum of gradients: no memory for %d flags", 2 * count);
  vbl_status status = agree(leaves, count, some, err);
  if (status == VBL_OK) status = sum_all(leaves, count, some, some + count, err);
  free(some);
  return status;
}
