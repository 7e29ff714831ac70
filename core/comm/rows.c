// The rows of all ranks: by their devices, where these reach one another, else in the hosts' memory.
#include <stdlib.h>
#include <string.h>

#include "core/comm/comm.h"
#include "core/comm/devices.h"
#include "core/tensor/branch.h"

static int64_t row_bytes(const vbl_tensor *t) {
  int64_t bytes = (int64_t)vbl_dtype_size(t->dtype);
  for (int d = 1; d < t->ndim; d++) bytes *= t->shape[d];
  return bytes;
}

// Room for as many rows as these bytes are, with the type and the width of `mine`.
static vbl_status new_rows(const vbl_tensor *mine, const vbl_backend *memory, const int64_t *bytes, vbl_tensor **all,
                           vbl_error *err) {
  const int64_t row = row_bytes(mine);
  int64_t shape[VBL_MAX_DIMS], total = 0;
  memcpy(shape, mine->shape, sizeof shape);
  for (int i = 0; i < vbl_comm_size(); i++) total += bytes[i];
  shape[0] = row > 0 ? total / row : 0;
  return vbl_tensor_new(memory, mine->dtype, mine->ndim, shape, all, err);
}

// VBL_ENOMEM on all ranks where one lacks memory: they try again, or fail, together, and no device waits for another's.
static vbl_status agreed(vbl_status status, vbl_error *err) {
  double failed = status == VBL_ENOMEM;
  vbl_error of_exchange;
  if (status != VBL_OK && status != VBL_ENOMEM) return status;
  const vbl_status told = vbl_comm_max(&failed, 1, &of_exchange);
  if (told != VBL_OK) return vbl_fail(err, told, "%s", of_exchange.message);
  if (status != VBL_OK || failed == 0) return status;
  return vbl_fail(err, VBL_ENOMEM, "ranks: another one has no memory for the rows of all");
}

// The bytes of all as a tensor where `mine` is.
static vbl_status placed(const vbl_tensor *mine, const int64_t *bytes, const void *data, vbl_tensor **all, vbl_error *err) {
  vbl_tensor *whole = NULL;
  VBL_TRY(new_rows(mine, vbl_cpu_backend(), bytes, &whole, err));
  if (vbl_tensor_numel(whole) > 0) memcpy(vbl_tensor_data(whole), data, (size_t)(whole->shape[0] * row_bytes(whole)));
  vbl_status status = vbl_tensor_to_backend(whole, mine->storage->backend, all, err);
  vbl_tensor_release(whole);
  return status;
}

static vbl_status by_hosts(const vbl_tensor *mine, int64_t *bytes, vbl_tensor **all, vbl_error *err) {
  vbl_tensor *here = NULL;
  void *data = NULL;
  VBL_TRY(vbl_tensor_to_backend(mine, vbl_cpu_backend(), &here, err));
  vbl_status status = vbl_comm_gather(vbl_tensor_data(here), here->shape[0] * row_bytes(here), &data, bytes, err);
  if (status == VBL_OK) status = agreed(placed(mine, bytes, data, all, err), err);
  vbl_tensor_release(here);
  free(data);
  return status;
}

static vbl_status by_devices(const vbl_tensor *mine, int64_t *bytes, vbl_tensor **all, vbl_error *err) {
  const int64_t own = mine->shape[0] * row_bytes(mine);
  void *told = NULL;
  VBL_TRY(vbl_comm_gather(&own, sizeof own, &told, bytes, err));
  memcpy(bytes, told, sizeof own * (size_t)vbl_comm_size());
  free(told);
  VBL_TRY(agreed(new_rows(mine, mine->storage->backend, bytes, all, err), err));
  vbl_branches_join();
  vbl_branch_note(&mine->storage->marks, false);
  vbl_branch_note(&(*all)->storage->marks, true);
  mine->storage->backend->gather_ranks(vbl_tensor_data(mine), vbl_tensor_data(*all), bytes, NULL);
  return VBL_OK;
}

// A tensor without rows may have been made on the host where the others' are on devices.
static vbl_status on_devices(const vbl_backend *b, bool *yes, vbl_error *err) {
  double host = b->host;
  *yes = false;
  if (vbl_comm_size() == 1) return VBL_OK;
  VBL_TRY(vbl_comm_max(&host, 1, err));
  return host == 0 ? vbl_comm_devices(b, yes, err) : VBL_OK;
}

vbl_status vbl_comm_gather_rows(const vbl_tensor *t, vbl_tensor **all, vbl_error *err) {
  vbl_tensor *mine = NULL;
  bool device = false;
  *all = NULL;
  int64_t *bytes = calloc((size_t)vbl_comm_size(), sizeof *bytes);
  if (bytes == NULL) return vbl_fail(err, VBL_ENOMEM, "ranks: no memory for %d sizes", vbl_comm_size());
  vbl_status status = vbl_tensor_contiguous(t, &mine, err);
  if (status == VBL_OK) status = on_devices(t->storage->backend, &device, err);
  if (status == VBL_OK) status = device ? by_devices(mine, bytes, all, err) : by_hosts(mine, bytes, all, err);
  vbl_tensor_release(mine);
  free(bytes);
  if (status == VBL_OK) return VBL_OK;
  vbl_tensor_release(*all);
  *all = NULL;
  return status;
}
