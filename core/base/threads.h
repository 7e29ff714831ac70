// How many threads kernels use (--threads; default: the machine's cores). One OpenMP runtime (libgomp) serves our loops,
// oneDNN and OpenBLAS; data loading has threads of its own.
// defines: vbl_threads, vbl_set_threads
#pragma once
#include "core/base/status.h"

int vbl_threads(void);
vbl_status vbl_set_threads(int n, vbl_error *err);  // n >= 1
