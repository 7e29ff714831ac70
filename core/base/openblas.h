// OpenBLAS (its OpenMP build), opened at first use. Its calls are to run on one thread: parallel loops are ours, and a serial call
// never waits for threads that another program holds. Inside an OpenMP parallel region they do; elsewhere they follow OpenMP's
// thread count, so they stand between vbl_openblas_serial_begin and _end. (Its own openblas_set_num_threads would set OpenMP's
// count for all of us.) defines: vbl_openblas_open, vbl_openblas_symbol, vbl_openblas_serial_begin, vbl_openblas_serial_end
#pragma once
#include "core/base/status.h"

// Opens the library; *core (may be NULL) is the instruction-set kernel it chose ("Haswell"). VBL_EDEVICE when it cannot be opened,
// naming the package. Thread-safe.
vbl_status vbl_openblas_open(const char **core, vbl_error *err);
// A function of the open library (cblas_* and Fortran LAPACK names), or VBL_EDEVICE. Opens it where that has not been done.
vbl_status vbl_openblas_symbol(const char *name, void **out, vbl_error *err);
// begin: OpenMP's thread count becomes 1 for the calling thread; returns the count that end puts back.
int vbl_openblas_serial_begin(void);
void vbl_openblas_serial_end(int threads);
