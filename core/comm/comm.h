// Ranks: the processes that mpirun or srun started for one run, numbered from 0. Each computes a share of every batch, and all come to the same numbers, so
// every rank takes the same way through the program: a function below is called by all of them, in the same order, with the same sizes.
//
// A rank that fails tells the others, who fail too, in their next call here, with its words: nobody waits for one who has gone.
// Without a launcher there is one rank, 0, and nothing here does anything.
// defines: vbl_comm_launched, vbl_comm_describe, vbl_comm_start, vbl_comm_rank, _size, _local_rank, _local_size, _alone; vbl_comm_sum, _max, _gather, _gather_rows, _broadcast, _sum_gradients, _by_host; vbl_comm_failed
#pragma once
#include "core/tensor/tensor.h"

// How many ranks a launcher says that it started; 1: none did. *rank, where it is not NULL: which one this is. Of the programs that a rank starts none is one.
int vbl_comm_launched(int *rank);

// The MPI that is here, by name and version; VBL_EDEVICE: why there is none.
vbl_status vbl_comm_describe(char *text, size_t size, vbl_error *err);

// Joins the others, once; from then on this process ends when all do. The program does so before all else: who had ended before would never be missed, and
// the others would wait for it. VBL_EDEVICE: MPI is missing, or sees other ranks than the launcher.
vbl_status vbl_comm_start(vbl_error *err);

int vbl_comm_rank(void);
int vbl_comm_size(void);
int vbl_comm_local_rank(void);  // among the ranks of this machine
int vbl_comm_local_size(void);

// While on, this rank is one by itself: what it computes now, it computes alone (another look at a step that failed).
void vbl_comm_alone(bool on);

// Sums and maxima over the ranks, in place. The order of a sum is MPI's: the same in every run of as many ranks.
vbl_status vbl_comm_sum(vbl_dtype dtype, void *data, int64_t n, vbl_error *err);  // f32 or f64, host memory
vbl_status vbl_comm_max(double *data, int64_t n, vbl_error *err);

// Every rank's bytes one after the other, in the ranks' order: *all is malloc'ed and the caller's, counts[size] gets how many of each.
vbl_status vbl_comm_gather(const void *mine, int64_t bytes, void **all, int64_t *counts, vbl_error *err);

// The rows of every rank's t, of one type and width, one rank after the other, on t's device and without history.
vbl_status vbl_comm_gather_rows(const vbl_tensor *t, vbl_tensor **all, vbl_error *err);

// Rank 0's bytes to all: *data is malloc'ed and the caller's on the others; rank 0 gives its own.
vbl_status vbl_comm_broadcast(void **data, int64_t *bytes, vbl_error *err);

// The sum over the ranks of each leaf's gradient, in each rank. A leaf that got one on some ranks has one on all then.
vbl_status vbl_comm_sum_gradients(vbl_tensor *const *leaves, int count, vbl_error *err);

// Why what devices exchange goes through the hosts' memory; NULL: it does not, or there was nothing yet.
const char *vbl_comm_by_host(void);

// Tells the others that this rank goes no further. Whether its words are for this rank to print: of one failure that all ranks came to, rank 0's are.
bool vbl_comm_failed(const char *message);
