// How many threads kernels use (--threads; default: the machine's cores). One OpenMP runtime (libgomp) serves our loops,
// oneDNN and OpenBLAS; data loading has threads of its own.
// defines: vbl_threads, vbl_set_threads, vbl_threads_start
#pragma once
#include "core/base/status.h"

int vbl_threads(void);
// n from 1 to 1024; no more than OMP_THREAD_LIMIT are taken.
vbl_status vbl_set_threads(int n, vbl_error *err);
// Before the first product: libgomp's default number knows no limit, and oneDNN divides a product among the threads that it expects; the
// share of one that the limit refuses would be left out.
void vbl_threads_start(void);
