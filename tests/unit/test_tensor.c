// Tensors: shapes, views, copies between dtypes and strides, reference counts, memory.
#include <math.h>

#include "core/tensor/tensor.h"
#include "kernels/kernels.h"
#include "tests/check.h"

static vbl_error err;

static vbl_tensor *new_tensor(vbl_dtype dtype, int ndim, const int64_t *shape) {
  vbl_tensor *t;
  CHECK_OK(vbl_tensor_new(vbl_cpu_backend(), dtype, ndim, shape, &t, &err), err);
  return t;
}

// 0, 1, 2, ... in the order of the dims
static vbl_tensor *counting(vbl_dtype dtype, int64_t rows, int64_t columns) {
  vbl_tensor *t = new_tensor(dtype, 2, (int64_t[]){rows, columns});
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) vbl_tensor_set(t, (int64_t[]){i, j}, (double)(i * columns + j));
  return t;
}

static double at(const vbl_tensor *t, int64_t i, int64_t j) { return vbl_tensor_get(t, (int64_t[]){i, j}); }

static void test_making(void) {
  vbl_tensor *t = new_tensor(VBL_F32, 3, (int64_t[]){2, 3, 4}), *scalar = new_tensor(VBL_F64, 0, NULL), *u, *z, *none;
  CHECK(t->stride[0] == 12 && t->stride[1] == 4 && t->stride[2] == 1);
  CHECK(vbl_tensor_numel(t) == 24 && vbl_tensor_numel(scalar) == 1);
  CHECK(((uintptr_t)vbl_tensor_data(t) & 63) == 0);
  CHECK_OK(vbl_tensor_like(t, &u, &err), err);
  CHECK(vbl_tensor_same_shape(t, u) && u->storage != t->storage && !vbl_tensor_same_shape(t, scalar));
  CHECK_OK(vbl_tensor_zeros(vbl_cpu_backend(), VBL_I32, 2, (int64_t[]){2, 2}, &z, &err), err);
  CHECK(at(z, 1, 1) == 0);
  CHECK(vbl_tensor_new(vbl_cpu_backend(), VBL_F32, 7, (int64_t[7]){1, 1, 1, 1, 1, 1, 1}, &none, &err) == VBL_EINVAL);
  CHECK(vbl_tensor_new(vbl_cpu_backend(), VBL_F32, 1, (int64_t[]){-1}, &none, &err) == VBL_EINVAL);
  CHECK(vbl_tensor_new(vbl_cpu_backend(), VBL_F64, 2, (int64_t[]){INT64_MAX / 4, 8}, &none, &err) == VBL_EINVAL);
  CHECK(vbl_tensor_new(vbl_cpu_backend(), VBL_F64, 2, (int64_t[]){1ll << 50, 1ll << 9}, &none, &err) == VBL_ENOMEM);
  CHECK(strstr(err.message, "out of memory") != NULL);
  vbl_tensor *all[] = {t, u, scalar, z};
  for (int i = 0; i < 4; i++) vbl_tensor_release(all[i]);
}

static void test_views(void) {
  vbl_tensor *t = counting(VBL_F32, 4, 6), *a, *b, *c, *none;
  CHECK_OK(vbl_tensor_narrow(t, 1, 2, 3, &a, &err), err);
  CHECK_OK(vbl_tensor_narrow(a, 0, 1, 2, &b, &err), err);
  CHECK(b->storage == t->storage && b->offset == 8 && at(b, 1, 2) == 16 && !vbl_tensor_is_contiguous(b));
  CHECK_OK(vbl_tensor_as_strided(t, 2, (int64_t[]){6, 4}, (int64_t[]){1, 6}, 0, &c, &err), err);
  CHECK(at(c, 5, 3) == 23 && at(c, 1, 0) == 1);
  CHECK(vbl_tensor_as_strided(t, 2, (int64_t[]){6, 5}, (int64_t[]){1, 6}, 0, &none, &err) == VBL_EINVAL);
  CHECK(vbl_tensor_as_strided(t, 1, (int64_t[]){2}, (int64_t[]){-1}, 0, &none, &err) == VBL_EINVAL);
  CHECK(vbl_tensor_as_strided(t, 1, (int64_t[]){3}, (int64_t[]){INT64_MAX / 2}, 0, &none, &err) == VBL_EINVAL);
  CHECK(vbl_tensor_as_strided(t, 1, (int64_t[]){1}, (int64_t[]){1}, -1, &none, &err) == VBL_EINVAL);
  CHECK(vbl_tensor_narrow(t, 0, 3, 2, &none, &err) == VBL_EINVAL);
  CHECK(vbl_tensor_narrow(t, 2, 0, 1, &none, &err) == VBL_EINVAL);
  CHECK(vbl_tensor_narrow(t, 0, INT64_MAX, 1, &none, &err) == VBL_EINVAL);
  // A reversed view is fine where all of it lies inside.
  vbl_tensor *back;
  CHECK_OK(vbl_tensor_as_strided(t, 1, (int64_t[]){24}, (int64_t[]){-1}, 23, &back, &err), err);
  CHECK(vbl_tensor_get(back, (int64_t[]){0}) == 23 && vbl_tensor_get(back, (int64_t[]){23}) == 0);
  // The root's memory lives as long as a view of it.
  vbl_tensor_release(t);
  vbl_tensor_release(a);
  CHECK(at(b, 0, 0) == 8);
  vbl_tensor *all[] = {b, c, back};
  for (int i = 0; i < 3; i++) vbl_tensor_release(all[i]);
}

static void check_reshape(const vbl_tensor *t, int ndim, const int64_t *shape, bool possible) {
  vbl_tensor *v;
  const vbl_status status = vbl_tensor_reshape_view(t, ndim, shape, &v, &err);
  CHECK(status == (possible ? VBL_OK : VBL_EINVAL));
  if (status != VBL_OK) return;
  // The same elements in the same order.
  vbl_tensor *a, *b;
  CHECK_OK(vbl_tensor_contiguous(t, &a, &err), err);
  CHECK_OK(vbl_tensor_contiguous(v, &b, &err), err);
  CHECK(vbl_tensor_numel(a) == vbl_tensor_numel(b));
  if (vbl_tensor_numel(a) > 0) CHECK(memcmp(vbl_tensor_data(a), vbl_tensor_data(b), (size_t)vbl_tensor_numel(a) * 4) == 0);
  vbl_tensor *all[] = {v, a, b};
  for (int i = 0; i < 3; i++) vbl_tensor_release(all[i]);
}

static void test_reshape(void) {
  vbl_tensor *t = counting(VBL_F32, 4, 6), *left, *rows, *turned, *empty = new_tensor(VBL_F32, 2, (int64_t[]){0, 3});
  CHECK_OK(vbl_tensor_narrow(t, 1, 0, 4, &left, &err), err);
  CHECK_OK(vbl_tensor_narrow(t, 0, 1, 2, &rows, &err), err);
  CHECK_OK(vbl_tensor_as_strided(t, 2, (int64_t[]){6, 4}, (int64_t[]){1, 6}, 0, &turned, &err), err);
  check_reshape(t, 1, (int64_t[]){24}, true);
  check_reshape(t, 3, (int64_t[]){2, -1, 3}, true);
  check_reshape(t, 4, (int64_t[]){1, 24, 1, 1}, true);
  check_reshape(t, 2, (int64_t[]){5, -1}, false);
  check_reshape(t, 2, (int64_t[]){-1, -1}, false);
  check_reshape(t, 2, (int64_t[]){-2, -12}, false);
  check_reshape(left, 4, (int64_t[]){2, 2, 2, 2}, true);
  check_reshape(left, 3, (int64_t[]){4, 1, 4}, true);
  check_reshape(left, 1, (int64_t[]){16}, false);
  check_reshape(left, 2, (int64_t[]){8, 2}, false);
  check_reshape(rows, 1, (int64_t[]){12}, true);
  check_reshape(turned, 1, (int64_t[]){24}, false);
  check_reshape(turned, 3, (int64_t[]){2, 3, 4}, true);
  check_reshape(empty, 3, (int64_t[]){3, 0, 7}, true);
  check_reshape(empty, 2, (int64_t[]){0, -1}, false);  // 0 elements fit any number
  check_reshape(empty, 2, (int64_t[]){-1, 3}, true);
  vbl_tensor *all[] = {t, left, rows, turned, empty};
  for (int i = 0; i < 5; i++) vbl_tensor_release(all[i]);
}

static void test_copies(void) {
  vbl_tensor *t = counting(VBL_F32, 3, 4), *turned, *dense, *same, *half, *target = counting(VBL_I32, 4, 3);
  CHECK_OK(vbl_tensor_as_strided(t, 2, (int64_t[]){4, 3}, (int64_t[]){1, 4}, 0, &turned, &err), err);
  CHECK_OK(vbl_tensor_contiguous(turned, &dense, &err), err);
  CHECK(vbl_tensor_is_contiguous(dense) && at(dense, 3, 1) == 7);
  CHECK_OK(vbl_tensor_contiguous(t, &same, &err), err);
  CHECK(same == t && t->refs == 2);
  CHECK_OK(vbl_tensor_copy(target, turned, &err), err);
  CHECK(at(target, 2, 2) == 10);
  CHECK(vbl_tensor_copy(target, t, &err) == VBL_EINVAL);
  CHECK_STR(err.message, "copy: expected shape [4, 3], got [3, 4]");
  CHECK_OK(vbl_tensor_to_dtype(turned, VBL_BF16, &half, &err), err);
  CHECK(half->dtype == VBL_BF16 && at(half, 3, 2) == 11);
  CHECK_OK(vbl_tensor_fill(turned, 2.5, &err), err);
  CHECK(at(t, 2, 3) == 2.5);
  vbl_tensor *part;
  CHECK_OK(vbl_tensor_narrow(t, 1, 1, 2, &part, &err), err);
  CHECK_OK(vbl_tensor_fill(part, -1, &err), err);
  CHECK(at(t, 0, 0) == 2.5 && at(t, 0, 1) == -1 && at(t, 2, 2) == -1 && at(t, 2, 3) == 2.5);
  vbl_tensor_set(t, (int64_t[]){0, 0}, (double)NAN);
  CHECK(isnan(at(t, 0, 0)));
  vbl_tensor_set(target, (int64_t[]){0, 0}, 1e12);
  CHECK(at(target, 0, 0) == INT32_MAX);
  vbl_tensor *all[] = {t, turned, dense, same, half, target, part};
  for (int i = 0; i < 7; i++) vbl_tensor_release(all[i]);
}

static void test_names(void) {
  char text[VBL_SHAPE_TEXT];
  vbl_dtype d;
  CHECK_STR(vbl_shape_text(3, (int64_t[]){64, 197, 768}, text), "[64, 197, 768]");
  CHECK_STR(vbl_shape_text(0, NULL, text), "[]");
  const int64_t m = INT64_MIN;
  CHECK(strlen(vbl_shape_text(6, (int64_t[]){m, m, m, m, m, m}, text)) < VBL_SHAPE_TEXT);
  CHECK(vbl_dtype_parse("bf16", &d) && d == VBL_BF16 && !vbl_dtype_parse("f16", &d));
  CHECK_STR(vbl_dtype_name(VBL_U8), "u8");
  CHECK(vbl_dtype_size(VBL_BF16) == 2);
}

static void test_contiguity(void) {
  vbl_tensor *t = counting(VBL_F32, 1, 5), *odd;
  CHECK_OK(vbl_tensor_as_strided(t, 3, (int64_t[]){1, 5, 1}, (int64_t[]){99, 1, 77}, 0, &odd, &err), err);
  CHECK(vbl_tensor_is_contiguous(odd));  // strides of dims of size 1 do not matter
  vbl_tensor_release(odd);
  vbl_tensor_release(t);
}

// Counted in bytes that the allocator handed out; freed with the last reference, and then used again.
static void test_memory(void) {
  const vbl_memory_stats before = vbl_memory();
  vbl_tensor *t = new_tensor(VBL_F32, 1, (int64_t[]){1 << 20}), *alias;
  CHECK(vbl_memory().live >= before.live + (4u << 20));
  CHECK_OK(vbl_tensor_alias(t, &alias, &err), err);
  vbl_tensor_release(t);
  CHECK(vbl_memory().live >= before.live + (4u << 20));
  vbl_tensor_release(alias);
  CHECK(vbl_memory().live == before.live);
  CHECK(vbl_memory().peak >= before.live + (4u << 20));
  vbl_memory_reset_peak();
  CHECK(vbl_memory().peak == before.live);
  CHECK(vbl_memory().allocations > before.allocations);
}

int main(void) {
  const size_t before = vbl_memory().live;
  test_making();
  test_views();
  test_reshape();
  test_copies();
  test_names();
  test_contiguity();
  test_memory();
  CHECK(vbl_memory().live == before);
  return check_done();
}
