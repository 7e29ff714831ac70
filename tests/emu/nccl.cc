// libnccl.so.2 of the emulated device, for tests: what kernels/cuda/nccl.cu calls, over a piece of memory that the processes share. A sum is in the ranks'
// order on every rank. NCCL_EMU_REFUSES=RANK: that one cannot join, as where two ranks have one GPU.
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

#include "kernels/emu/emu.h"

namespace {

enum { RANKS = 8, PIECE = 1 << 16, UINT8 = 1, FLOAT64 = 8, FAILED = 5 };

struct meeting {
  std::atomic<int> ready;  // 1: the barrier is made
  pthread_barrier_t barrier;
  double pieces[RANKS][PIECE];
};

template <class T>
void sum(meeting *m, int rank, int ranks, T *x, size_t n) {
  for (size_t at = 0; at < n; at += PIECE) {
    const size_t length = n - at < PIECE ? n - at : PIECE;
    memcpy(m->pieces[rank], x + at, length * sizeof *x);
    pthread_barrier_wait(&m->barrier);
    for (size_t i = 0; i < length; i++) {
      T total = 0;
      for (int r = 0; r < ranks; r++) total += reinterpret_cast<const T *>(m->pieces[r])[i];
      x[at + i] = total;
    }
    pthread_barrier_wait(&m->barrier);
  }
}

// The root's bytes to all.
void spread(meeting *m, bool root, const void *from, char *to, size_t n) {
  for (size_t at = 0; at < n; at += sizeof m->pieces[0]) {
    const size_t length = n - at < sizeof m->pieces[0] ? n - at : sizeof m->pieces[0];
    if (root) memcpy(m->pieces[0], static_cast<const char *>(from) + at, length);
    pthread_barrier_wait(&m->barrier);
    memcpy(to + at, m->pieces[0], length);
    pthread_barrier_wait(&m->barrier);
  }
}

}  // namespace

struct ncclUniqueId {
  char internal[128];
};
struct ncclComm {
  meeting *met;
  int rank, ranks;
};

extern "C" {

int ncclGetUniqueId(ncclUniqueId *id) {
  snprintf(id->internal, sizeof id->internal, "/vbl-nccl-%d", (int)getpid());
  return 0;
}

int ncclCommInitRank(ncclComm **comm, int ranks, ncclUniqueId id, int rank) {
  const char *refuses = getenv("NCCL_EMU_REFUSES");
  if (ranks > RANKS || (refuses != nullptr && atoi(refuses) == rank)) return FAILED;
  const int file = shm_open(id.internal, O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, sizeof(meeting)) != 0) return FAILED;
  void *memory = mmap(nullptr, sizeof(meeting), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return FAILED;
  meeting *m = static_cast<meeting *>(memory);
  if (rank == 0) {
    pthread_barrierattr_t shared;
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&m->barrier, &shared, (unsigned)ranks);
    m->ready = 1;
  }
  while (m->ready == 0) usleep(100);
  if (refuses == nullptr) pthread_barrier_wait(&m->barrier);
  if (rank == 0) shm_unlink(id.internal);
  *comm = new ncclComm{m, rank, ranks};
  return 0;
}

int ncclCommDestroy(ncclComm *comm) {
  delete comm;
  return 0;
}

int ncclAllReduce(const void *from, void *to, size_t n, int type, int op, ncclComm *comm, cudaStream_t s) {
  if (from != to || op != 0 || cudaStreamSynchronize(s) != cudaSuccess) return FAILED;
  if (type == FLOAT64)
    sum(comm->met, comm->rank, comm->ranks, static_cast<double *>(to), n);
  else
    sum(comm->met, comm->rank, comm->ranks, static_cast<float *>(to), n);
  return 0;
}

int ncclBroadcast(const void *from, void *to, size_t n, int type, int root, ncclComm *comm, cudaStream_t s) {
  if (type != UINT8 || n == 0 || cudaStreamSynchronize(s) != cudaSuccess) return FAILED;
  spread(comm->met, root == comm->rank, from, static_cast<char *>(to), n);
  return 0;
}

int ncclGroupStart() { return 0; }
int ncclGroupEnd() { return 0; }

const char *ncclGetErrorString(int result) { return result == FAILED ? "invalid usage" : "no error"; }
}
