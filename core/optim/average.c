// The leaves' running average, a kernel call for each stretch of leaves that lie side by side as their averages do.
// defines: vbl_parameters_average, vbl_parameters_swap
#include "core/optim/leaf.h"
#include "core/tensor/branch.h"

static vbl_status check(vbl_tensor *const *averages, vbl_tensor *const *leaves, int count, vbl_error *err) {
  for (int i = 0; i < count; i++) {
    const vbl_tensor *a = averages[i], *w = leaves[i];
    if (!vbl_tensor_same_shape(a, w) || a->dtype != w->dtype || vbl_leaf_kernels(a) != vbl_leaf_kernels(w))
      return vbl_fail(err, VBL_EINVAL, "average: tensor %d: its average is of another shape, dtype or device", i + 1);
    if ((w->dtype != VBL_F32 && w->dtype != VBL_F64) || !vbl_tensor_is_contiguous(a) || !vbl_tensor_is_contiguous(w))
      return vbl_fail(err, VBL_EINVAL, "average: tensor %d: expected a contiguous tensor of f32 or f64", i + 1);
  }
  return VBL_OK;
}

static bool follows(vbl_tensor *const *list, int i) {
  const vbl_tensor *t = list[i], *before = list[i - 1];
  return t->storage == before->storage && t->offset == before->offset + vbl_tensor_numel(before);
}

vbl_status vbl_parameters_average(vbl_tensor *const *averages, vbl_tensor *const *leaves, int count, double decay, vbl_error *err) {
  VBL_TRY(check(averages, leaves, count, err));
  vbl_branches_join();
  for (int i = 0; i < count;) {
    const vbl_tensor *a = averages[i], *w = leaves[i];
    int64_t n = vbl_tensor_numel(w);
    while (++i < count && follows(averages, i) && follows(leaves, i)) n += vbl_tensor_numel(leaves[i]);
    if (n > 0) vbl_leaf_kernels(w)->scale_add(1 - decay, vbl_tensor_data(w), decay, vbl_tensor_data(a), n, NULL);
    a->storage->version++;
  }
  return VBL_OK;
}

static void copy(vbl_dtype dtype, const void *from, void *to, int64_t n, const vbl_backend *b) {
  const int64_t one = 1;
  b->copy(dtype, from, &one, dtype, to, &one, 1, &n, NULL);
}

vbl_status vbl_parameters_swap(vbl_tensor *const *averages, vbl_tensor *const *leaves, int count, vbl_error *err) {
  int64_t most = 0;
  VBL_TRY(check(averages, leaves, count, err));
  for (int i = 0; i < count; i++)
    if (vbl_tensor_numel(leaves[i]) > most) most = vbl_tensor_numel(leaves[i]);
  if (most == 0) return VBL_OK;
  vbl_branches_join();
  const vbl_backend *memory = leaves[0]->storage->backend;
  const size_t bytes = (size_t)most * sizeof(double);
  void *aside = memory->alloc(bytes);
  if (aside == NULL) return vbl_fail(err, VBL_ENOMEM, "swap: no memory for %lld numbers of the largest tensor", (long long)most);
  for (int i = 0; i < count; i++) {
    const vbl_tensor *a = averages[i], *w = leaves[i];
    const int64_t n = vbl_tensor_numel(w);
    const vbl_backend *b = vbl_leaf_kernels(w);
    if (n == 0) continue;
    copy(w->dtype, vbl_tensor_data(w), aside, n, b);
    copy(w->dtype, vbl_tensor_data(a), vbl_tensor_data(w), n, b);
    copy(w->dtype, aside, vbl_tensor_data(a), n, b);
    a->storage->version++;
    w->storage->version++;
  }
  memory->free(aside, bytes);
  return VBL_OK;
}
