// libvbl_mpi.so: ranks by MPI (MPI Forum 2015, version 3.1: nonblocking collectives). Operations and what ranks tell each other go by communicators of their
// own, so neither takes the other's messages.
// defines: vbl_mpi_open, vbl_mpi_describe
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/comm/backend.h"

static MPI_Comm data_comm, control_comm;
static MPI_Request operation = MPI_REQUEST_NULL, meeting = MPI_REQUEST_NULL;
static vbl_comm_backend backend;

// Errors of MPI end all processes (MPI_ERRORS_ARE_FATAL, its default): no rank could go on.

static void begin_sum(void *data, int n, bool f64) {
  MPI_Iallreduce(MPI_IN_PLACE, data, n, f64 ? MPI_DOUBLE : MPI_FLOAT, MPI_SUM, data_comm, &operation);
}

static void begin_max(double *data, int n) { MPI_Iallreduce(MPI_IN_PLACE, data, n, MPI_DOUBLE, MPI_MAX, data_comm, &operation); }

static void begin_gather(const void *mine, int bytes, void *all, const int *each, const int *at) {
  MPI_Iallgatherv(mine, bytes, MPI_BYTE, all, each, at, MPI_BYTE, data_comm, &operation);
}

static void begin_broadcast(void *data, int bytes, int root) { MPI_Ibcast(data, bytes, MPI_BYTE, root, data_comm, &operation); }

static bool test(void) {
  int done = 0;
  MPI_Test(&operation, &done, MPI_STATUS_IGNORE);
  return done;
}

static void tell(const vbl_comm_word *word) {
  static vbl_comm_word kept;  // until the process ends: who does not listen receives none of it
  kept = *word;
  for (int to = 0; to < backend.size; to++) {  // NOLINT(clang-analyzer-optin.mpi.MPI-Checker): nobody waits
    MPI_Request request;
    if (to == backend.rank) continue;
    MPI_Isend(&kept, sizeof kept, MPI_BYTE, to, 0, control_comm, &request);
    MPI_Request_free(&request);
  }
}

static int hear(vbl_comm_word *word) {
  int there = 0;
  MPI_Status status;
  MPI_Iprobe(MPI_ANY_SOURCE, 0, control_comm, &there, &status);
  if (!there) return -1;
  MPI_Recv(word, sizeof *word, MPI_BYTE, status.MPI_SOURCE, 0, control_comm, MPI_STATUS_IGNORE);
  return status.MPI_SOURCE;
}

static void begin_meeting(void) { MPI_Ibarrier(control_comm, &meeting); }

static bool met(void) {
  int done = 0;
  MPI_Test(&meeting, &done, MPI_STATUS_IGNORE);
  return done;
}

static void end(bool abort, int code) {
  if (abort) MPI_Abort(MPI_COMM_WORLD, code);
  MPI_Comm_free(&data_comm);
  MPI_Comm_free(&control_comm);
  MPI_Finalize();
}

static void look_at_this_machine(void) {
  MPI_Comm local;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local);
  MPI_Comm_rank(local, &backend.local_rank);
  MPI_Comm_size(local, &backend.local_size);
  MPI_Comm_free(&local);
}

__attribute__((visibility("default"))) vbl_comm_open_fn vbl_mpi_open;

__attribute__((visibility("default"))) vbl_comm_describe_fn vbl_mpi_describe;

// MPI_Get_library_version may be called before MPI_Init (MPI 3.1, section 8.1.1).
void vbl_mpi_describe(char *text, size_t size) {
  char version[MPI_MAX_LIBRARY_VERSION_STRING];
  int length;
  MPI_Get_library_version(version, &length);
  snprintf(text, size, "%.*s", (int)strcspn(version, ",\n"), version);
}

const vbl_comm_backend *vbl_mpi_open(char *message, size_t size) {
  int level;
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS) {
    snprintf(message, size, "MPI_Init_thread failed");
    return NULL;
  }
  backend = (vbl_comm_backend){.begin_sum = begin_sum,
                               .begin_max = begin_max,
                               .begin_gather = begin_gather,
                               .begin_broadcast = begin_broadcast,
                               .test = test,
                               .tell = tell,
                               .hear = hear,
                               .begin_meeting = begin_meeting,
                               .met = met,
                               .end = end};
  look_at_this_machine();
  MPI_Comm_rank(MPI_COMM_WORLD, &backend.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &backend.size);
  MPI_Comm_dup(MPI_COMM_WORLD, &data_comm);
  MPI_Comm_dup(MPI_COMM_WORLD, &control_comm);
  return &backend;
}
