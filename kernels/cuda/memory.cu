// Memory in stream order, copies, and the record of what failed until the next sync.
// defines: vbl_cuda_alloc, vbl_cuda_free, vbl_cuda_to_host, vbl_cuda_from_host, vbl_cuda_sync, note_failure, scratch
#include <atomic>

#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

static std::atomic<const char *> failure;  // what failed, or NULL
static std::atomic<int> failure_code;

void vbl_cuda::note_failure(vbl_status code, const char *what) {
  failure_code = code;
  failure = what;
}

static void note(cudaError_t e) {
  if (e != cudaSuccess) note_failure(VBL_EDEVICE, cudaGetErrorString(e));
}

void *vbl_cuda_alloc(size_t bytes) {
  void *p = nullptr;
  if (cudaMallocAsync(&p, bytes > 0 ? bytes : 1, nullptr) == cudaSuccess) return p;
  (void)cudaGetLastError();  // the caller says that there is no memory; it is no launch's failure
  return nullptr;
}

void vbl_cuda_free(void *p, size_t bytes) {
  (void)bytes;
  if (p != nullptr) note(cudaFreeAsync(p, nullptr));
}

void vbl_cuda_to_host(void *host, const void *device, size_t bytes, vbl_stream s) {
  if (bytes == 0) return;
  note(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, (cudaStream_t)s));
  note(cudaStreamSynchronize((cudaStream_t)s));  // the host reads it next
}

void vbl_cuda_from_host(void *device, const void *host, size_t bytes, vbl_stream s) {
  if (bytes > 0) note(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, (cudaStream_t)s));
}

vbl_status vbl_cuda_sync(vbl_stream s, vbl_error *err) {
  note(cudaStreamSynchronize((cudaStream_t)s));
  note(cudaGetLastError());
  const char *what = failure.exchange(nullptr);
  if (what == nullptr) return VBL_OK;
  return vbl_fail(err, (vbl_status)failure_code.load(), "cuda: %s; the results since the last check are undefined", what);
}

scratch::scratch(size_t bytes, vbl_stream s) : p(nullptr), stream(s) {
  if (cudaMallocAsync(&p, bytes > 0 ? bytes : 1, (cudaStream_t)s) == cudaSuccess) return;
  (void)cudaGetLastError();
  p = nullptr;
  note_failure(VBL_ENOMEM, "no memory for a kernel's scratch (a smaller batch needs less)");
}

scratch::~scratch() {
  if (p != nullptr) note(cudaFreeAsync(p, (cudaStream_t)stream));
}
