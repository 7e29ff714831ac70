// Tensors: strided views onto reference-counted storage.
//
// Ownership. Every vbl_tensor is reference-counted; a function that returns one through `vbl_tensor **out` gives the caller
// one reference, to be ended with vbl_tensor_release. Functions never take over a caller's reference unless they say so.
// A view shares its root's storage with an absolute element offset; chains of views do not grow.
// Tensors are used from one thread (the interpreter's); kernels parallelise inside.
//
// Dims and indices here start at 0; only the Lua binding counts from 1.
// defines: vbl_dtype, vbl_storage, vbl_tensor and what makes, views, copies and ends them
#pragma once
#include "core/base/status.h"

enum { VBL_MAX_DIMS = 6 };

typedef enum vbl_dtype { VBL_F32, VBL_F64, VBL_BF16, VBL_I32, VBL_U8, VBL_DTYPES } vbl_dtype;

struct vbl_backend;  // kernels/kernels.h
struct vbl_node;     // core/tape/tape.h

// Who asks for memory: an op's name, in its forward or its backward pass, "parameters", ... A string that lasts; NULL: not known.
typedef struct vbl_memory_user {
  const char *what;
  bool backward;
} vbl_memory_user;

// The meetings of a device's branches after which each of them last read and wrote some memory (core/tensor/branch.h).
typedef struct vbl_marks {
  uint64_t read[2], written[2];
} vbl_marks;

typedef struct vbl_storage {
  int refs;
  const struct vbl_backend *backend;  // whose memory it is
  void *data;
  size_t bytes;
  uint32_t version;  // how often its content was changed in place: a backward that reads it has to find what was there
  // A device's weights: the content, f32, as bf16, of version `narrow_version`; NULL where no product wanted it.
  struct vbl_storage *narrow;
  uint32_t narrow_version;
  vbl_marks marks;
  // For those who ask what takes the memory: the tensor that it was made for, its maker, and the list of those that live.
  vbl_dtype dtype;
  int ndim;
  int64_t shape[VBL_MAX_DIMS];
  vbl_memory_user user;
  struct vbl_storage *next, *previous;
} vbl_storage;

typedef struct vbl_tensor {
  int refs;
  vbl_storage *storage;
  int64_t offset;                                     // in elements, from the storage's start
  int ndim;                                           // 0 for a scalar
  int64_t shape[VBL_MAX_DIMS], stride[VBL_MAX_DIMS];  // strides in elements
  vbl_dtype dtype;
  bool requires_grad;       // set on leaves by the user; on results by the tape
  struct vbl_node *node;    // the op that made it, when gradients flow through it; NULL for leaves
  int output;               // which output of node
  struct vbl_tensor *grad;  // leaves only; same shape, contiguous, f32 (f64 for f64 leaves); may be a view of a gradient block
  vbl_marks grad_marks;     // of grad: parameters' gradients may share a block
  bool has_grad;            // grad holds a value. zero_grad only clears this: the next backward then writes instead of adding
} vbl_tensor;

size_t vbl_dtype_size(vbl_dtype d);
const char *vbl_dtype_name(vbl_dtype d);                 // "f32", "f64", "bf16", "i32", "u8"
bool vbl_dtype_parse(const char *name, vbl_dtype *out);  // false when unknown
static inline bool vbl_is_real(vbl_dtype d) { return d == VBL_F32 || d == VBL_F64 || d == VBL_BF16; }

// A new contiguous tensor with undefined content. Each dim >= 0. VBL_EINVAL on too many dims or overflow, VBL_ENOMEM.
vbl_status vbl_tensor_new(const struct vbl_backend *backend, vbl_dtype dtype, int ndim, const int64_t *shape, vbl_tensor **out,
                          vbl_error *err);
vbl_status vbl_tensor_zeros(const struct vbl_backend *backend, vbl_dtype dtype, int ndim, const int64_t *shape, vbl_tensor **out,
                            vbl_error *err);
// Same backend, dtype and shape as `like`, contiguous.
vbl_status vbl_tensor_like(const vbl_tensor *like, vbl_tensor **out, vbl_error *err);

vbl_tensor *vbl_tensor_retain(vbl_tensor *t);  // returns t
void vbl_tensor_release(vbl_tensor *t);        // NULL is allowed

// Another tensor on the same storage, without history (no node, no gradient, requires_grad false).
vbl_status vbl_tensor_alias(const vbl_tensor *t, vbl_tensor **out, vbl_error *err);

// Views without history; the differentiable forms are ops (core/ops). Checked: every reachable element lies in the storage.
vbl_status vbl_tensor_as_strided(const vbl_tensor *t, int ndim, const int64_t *shape, const int64_t *stride, int64_t offset,
                                 vbl_tensor **out, vbl_error *err);
vbl_status vbl_tensor_narrow(const vbl_tensor *t, int dim, int64_t start, int64_t length, vbl_tensor **out, vbl_error *err);
// A view where strides allow it, else VBL_EINVAL naming both shapes (make it contiguous first). One dim may be -1.
vbl_status vbl_tensor_reshape_view(const vbl_tensor *t, int ndim, const int64_t *shape, vbl_tensor **out, vbl_error *err);

// Copies elements (same shape), converting dtype; both on one backend, any strides.
vbl_status vbl_tensor_copy(vbl_tensor *dst, const vbl_tensor *src, vbl_error *err);
vbl_status vbl_tensor_fill(vbl_tensor *t, double value, vbl_error *err);
// t itself (retained) when already contiguous, else a contiguous copy. No history.
vbl_status vbl_tensor_contiguous(const vbl_tensor *t, vbl_tensor **out, vbl_error *err);
// t itself (retained) when it already has this dtype, else a contiguous copy converted to it. No history.
vbl_status vbl_tensor_to_dtype(const vbl_tensor *t, vbl_dtype dtype, vbl_tensor **out, vbl_error *err);
// t itself (retained) when it lies in this backend's memory already, else a contiguous copy there. No history. VBL_EINVAL: f64 to a
// device, which does not compute in it.
vbl_status vbl_tensor_to_backend(const vbl_tensor *t, const struct vbl_backend *backend, vbl_tensor **out, vbl_error *err);
// The same for the inputs of a step to come: a device copies them beside what it still computes.
vbl_status vbl_tensor_send(const vbl_tensor *t, const struct vbl_backend *backend, vbl_tensor **out, vbl_error *err);

int64_t vbl_tensor_numel(const vbl_tensor *t);
bool vbl_tensor_is_contiguous(const vbl_tensor *t);
bool vbl_tensor_same_shape(const vbl_tensor *a, const vbl_tensor *b);
// Address of the first element. NULL is possible only for tensors of no elements.
void *vbl_tensor_data(const vbl_tensor *t);
// One element as double, by indices. NaN-safe; bounds are the caller's duty.
double vbl_tensor_get(const vbl_tensor *t, const int64_t *index);
// n elements from there on, along the last dim of a tensor on the host.
void vbl_tensor_get_row(const vbl_tensor *t, const int64_t *index, int64_t n, double *values);
void vbl_tensor_set(vbl_tensor *t, const int64_t *index, double value);

// "[64, 197, 768]" into buf; returns buf.
enum { VBL_SHAPE_TEXT = 96 };
char *vbl_shape_text(int ndim, const int64_t *shape, char buf[VBL_SHAPE_TEXT]);

// Bytes of live storages, of the allocator's free lists, and the peak of live bytes since the last reset.
typedef struct vbl_memory_stats {
  size_t live, cached, peak;
  uint64_t allocations;  // storages made since the program's start
} vbl_memory_stats;
vbl_memory_stats vbl_memory(void);
void vbl_memory_reset_peak(void);
// Who asks for memory from now on, for what is said when there is none left. Returns who did before.
vbl_memory_user vbl_memory_use(vbl_memory_user next);
