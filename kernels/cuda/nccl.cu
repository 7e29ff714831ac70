// Sums over several processes' GPUs, and each one's bytes to all, by NCCL, from one's memory to another's. The library is opened when a run has several
// ranks; what is used of it has been the same since its version 2.2.
// defines: vbl_cuda_ranks_id, vbl_cuda_join_ranks, vbl_cuda_sum_ranks, vbl_cuda_gather_ranks
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/backend.h"

using namespace vbl_cuda;

namespace {

// As in nccl.h.
struct ncclUniqueId {
  char internal[VBL_RANKS_ID];
};
struct ncclComm;
enum { ncclSuccess = 0, ncclSum = 0, ncclUint8 = 1, ncclFloat32 = 7, ncclFloat64 = 8 };

struct library {
  int (*ncclGetUniqueId)(ncclUniqueId *id);
  int (*ncclCommInitRank)(ncclComm **comm, int ranks, ncclUniqueId id, int rank);
  int (*ncclCommDestroy)(ncclComm *comm);
  int (*ncclAllReduce)(const void *from, void *to, size_t n, int type, int op, ncclComm *comm, cudaStream_t s);
  int (*ncclBroadcast)(const void *from, void *to, size_t n, int type, int root, ncclComm *comm, cudaStream_t s);
  int (*ncclGroupStart)(void);
  int (*ncclGroupEnd)(void);
  const char *(*ncclGetErrorString)(int result);
  const char *missing;
};

library open_library() {
  library l = {};
  void *so = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (so == nullptr) {
    l.missing = "NCCL is not installed (libnccl.so.2 is not where the loader looks)";
    return l;
  }
  bool whole = true;
#define RESOLVE(name) whole = (l.name = (decltype(l.name))dlsym(so, #name)) != nullptr && whole;
  RESOLVE(ncclGetUniqueId)
  RESOLVE(ncclCommInitRank)
  RESOLVE(ncclCommDestroy)
  RESOLVE(ncclAllReduce)
  RESOLVE(ncclBroadcast)
  RESOLVE(ncclGroupStart)
  RESOLVE(ncclGroupEnd)
  RESOLVE(ncclGetErrorString)
#undef RESOLVE
  if (!whole) l.missing = "libnccl.so.2 lacks functions of NCCL 2";
  return l;
}

const library &api() {
  static const library l = open_library();
  return l;
}

ncclComm *joined;
int own_rank, ranks;

vbl_status check(const char *what, int result, vbl_error *err) {
  if (result == ncclSuccess) return VBL_OK;
  return vbl_fail(err, VBL_EDEVICE, "NCCL: %s: %s", what, api().ncclGetErrorString(result));
}

}  // namespace

vbl_status vbl_cuda_ranks_id(char *id, vbl_error *err) {
  if (api().missing != nullptr) return vbl_fail(err, VBL_EDEVICE, "%s", api().missing);
  if (id == nullptr) return VBL_OK;
  ncclUniqueId made;
  VBL_TRY(check("ncclGetUniqueId", api().ncclGetUniqueId(&made), err));
  memcpy(id, made.internal, sizeof made.internal);
  return VBL_OK;
}

// Which algorithm NCCL takes hangs on sizes and on what lies between the GPUs, not on time; that of a switch that adds up has no order.
vbl_status vbl_cuda_join_ranks(const char *id, int rank, int size, vbl_error *err) {
  ncclUniqueId given;
  uncapture("ranks that join");
  if (deterministic()) setenv("NCCL_ALGO", "Ring", 0);
  memcpy(given.internal, id, sizeof given.internal);
  if (joined != nullptr) api().ncclCommDestroy(joined);
  joined = nullptr;
  own_rank = rank, ranks = size;
  return check("ncclCommInitRank", api().ncclCommInitRank(&joined, size, given, rank), err);
}

// Both end what is recorded for a graph: of what is recorded NCCL makes the memory known to the other ranks, which have to record it too then, and they
// meet new sizes, which end a recording, in other steps.
void vbl_cuda_sum_ranks(vbl_dtype T, void *x, int64_t n, vbl_stream s) {
  uncapture("a sum over ranks");
  const int result = api().ncclAllReduce(x, x, (size_t)n, T == VBL_F64 ? ncclFloat64 : ncclFloat32, ncclSum, joined, queue(s));
  if (result != ncclSuccess) note_failure(VBL_EDEVICE, api().ncclGetErrorString(result));
}

// As many broadcasts as ranks, which NCCL makes one kernel of: its own gathering takes as much of each.
void vbl_cuda_gather_ranks(const void *mine, void *all, const int64_t *bytes, vbl_stream s) {
  uncapture("rows of all ranks");
  char *to = (char *)all;
  int result = api().ncclGroupStart();
  for (int rank = 0; rank < ranks && result == ncclSuccess; to += bytes[rank++])
    if (bytes[rank] > 0)
      result = api().ncclBroadcast(rank == own_rank ? mine : to, to, (size_t)bytes[rank], ncclUint8, rank, joined, queue(s));
  const int ended = api().ncclGroupEnd();
  if (result == ncclSuccess) result = ended;
  if (result != ncclSuccess) note_failure(VBL_EDEVICE, api().ncclGetErrorString(result));
}
