// The backend's table, and opening a device.
// defines: vbl_cuda_open, vbl_cuda_set_deterministic, deterministic, vbl_cuda_mixed_kernels
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/facts.h"
#include "kernels/cuda/measure.h"
#include "kernels/cuda/mixed.h"

using namespace vbl_cuda;

const vbl_mixed_kernels vbl_cuda_mixed_kernels = {
    vbl_cuda_mixed_gemm,
    vbl_cuda_mixed_gelu,
    vbl_cuda_mixed_gelu_backward,
    vbl_cuda_mixed_column_sum,
    vbl_cuda_mixed_layer_norm,
    vbl_cuda_mixed_residual_norm,
    vbl_cuda_mixed_layer_norm_backward,
    vbl_cuda_mixed_dropout_add,
    vbl_cuda_mixed_cross_entropy_backward,
    vbl_cuda_mixed_scale_add,
};

static vbl_backend make_table(void) {
  vbl_backend b = {};
  b.host = false;
  b.mixed = &vbl_cuda_mixed_kernels;
#define ENTRY(name) b.name = vbl_cuda_##name
  ENTRY(alloc);
  ENTRY(free);
  ENTRY(to_host);
  ENTRY(from_host);
  ENTRY(sync);
  ENTRY(read_later);
  ENTRY(read);
  ENTRY(calm);
  ENTRY(send);
  ENTRY(branch);
  ENTRY(meet);
  ENTRY(mark);
  ENTRY(between);
  ENTRY(forget_marks);
  ENTRY(capture);
  ENTRY(counts);
  ENTRY(memory);
  ENTRY(set_deterministic);
  ENTRY(describe);
  ENTRY(ranks_id);
  ENTRY(join_ranks);
  ENTRY(sum_ranks);
  ENTRY(gather_ranks);
  ENTRY(copy);
  ENTRY(fill);
  ENTRY(unary);
  ENTRY(unary_backward);
  ENTRY(binary);
  ENTRY(scale_add);
  ENTRY(reduce);
  ENTRY(gemm);
  ENTRY(gemm_bf16);
  ENTRY(gemm_tf32);
  ENTRY(bias_add);
  ENTRY(bias_gelu);
  ENTRY(gelu_backward_bias);
  ENTRY(column_sum);
  ENTRY(layer_norm);
  ENTRY(residual_norm);
  ENTRY(layer_norm_backward);
  ENTRY(dropout_add);
  ENTRY(attention);
  ENTRY(attention_backward);
  ENTRY(attention_bf16);
  ENTRY(attention_bf16_backward);
  ENTRY(gather_rows);
  ENTRY(scatter_add_rows);
  ENTRY(text_embedding);
  ENTRY(patchify);
  ENTRY(vit_assemble);
  ENTRY(softmax);
  ENTRY(softmax_backward);
  ENTRY(cross_entropy);
  ENTRY(cross_entropy_backward);
  ENTRY(normalize_rows);
  ENTRY(normalize_rows_backward);
  ENTRY(adamw);
  ENTRY(adamw_pieces);
  ENTRY(sgd);
  ENTRY(sum_squares);
  ENTRY(count_nonfinite);
#undef ENTRY
  b.measure = &vbl_cuda_measure_kernels;
  return b;
}

static bool repeats;

void vbl_cuda_set_deterministic(bool on) { repeats = on; }
bool vbl_cuda::deterministic(void) { return repeats; }

static char name[32], isa[64];
static vbl_backend table;

#ifdef __CUDACC__
static __global__ void empty_kernel() {}

// Whether this library has code that the device runs, or PTX that its driver compiles for it.
static bool has_code(const facts &f, int device, char *message, size_t size) {
  cudaFuncAttributes a;
  const cudaError_t e = cudaFuncGetAttributes(&a, empty_kernel);
  if (e == cudaSuccess) return true;
  (void)cudaGetLastError();  // it is said here
  if (e == cudaErrorNoKernelImageForDevice || e == cudaErrorInvalidDeviceFunction)
    snprintf(message, size,
             "cuda:%d: %s is sm_%d%d and libvbl_cuda.so was built for other GPUs: build it with VBL_CUDA_ARCHITECTURES=%d%d",
             device, f.gpu, f.major, f.minor, f.major, f.minor);
  else
    snprintf(message, size, "cuda:%d: %s", device, cudaGetErrorString(e));
  return false;
}
#endif

static bool open_device(int device, char *message, size_t size) {
  facts f;
  find_facts(device, &f);
  if (!usable(f, device, message, size)) return false;
#ifdef __CUDACC__
  if (!has_code(f, device, message, size)) return false;
  cudaMemPool_t pool;
  uint64_t keep = UINT64_MAX;  // freed blocks stay: a step whose sizes repeat asks the driver for nothing
  cudaError_t e = cudaDeviceGetDefaultMemPool(&pool, device);
  if (e == cudaSuccess) e = cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep);
  if (e != cudaSuccess) return snprintf(message, size, "cuda:%d: %s", device, cudaGetErrorString(e)), false;
  snprintf(isa, sizeof isa, "%.48s, sm_%d%d", f.gpu, f.major, f.minor);
#else
  snprintf(isa, sizeof isa, "emulated");
  if (getenv("VBL_EMU_GUARD") != nullptr) vbl_emu_guard(true);
#endif
  if (!open_branches()) return snprintf(message, size, "cuda:%d: no stream can be made (memory?)", device), false;
  if (!vbl_cuda_gemm_open()) return snprintf(message, size, "cuda:%d: cuBLASLt cannot be started (memory?)", device), false;
  return true;
}

// The backend of a device, one a process; NULL with one sentence in `message`.
extern "C" const vbl_backend *vbl_cuda_open(int device, char *message, size_t size) {
  char wanted[sizeof name];
  snprintf(wanted, sizeof wanted, "cuda:%d", device);
  if (name[0] != '\0' && strcmp(name, wanted) != 0)
    return snprintf(message, size, "%s: this process already uses %s", wanted, name), nullptr;
  if (name[0] == '\0' && !open_device(device, message, size)) return nullptr;
  if (name[0] == '\0') {
    table = make_table();
    table.name = strcpy(name, wanted);
    table.isa = isa;
  }
  return &table;
}
