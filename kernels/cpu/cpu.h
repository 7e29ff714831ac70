// What the CPU backend's files share that does not depend on the instruction set: memory, and the record of a failure.
//
// alloc gives 64-byte aligned blocks. A freed block goes to a free list of its size (kernels/blocks.h: at most an eighth more
// than asked for) and is handed out again without touching the system: a training step whose sizes repeat makes no page
// faults. When the system refuses, the free lists are given back and the request is tried once more. Thread-safe. Under
// AddressSanitizer every block comes from and goes to the system, so that a use after free is seen.
// defines: vbl_cpu_alloc, vbl_cpu_free, vbl_cpu_alloc_*, vbl_cpu_fail, vbl_cpu_sync, vbl_cpu_bf16_native, vbl_cpu_backend_named
#pragma once
#include "kernels/kernels.h"

void *vbl_cpu_alloc(size_t bytes);           // NULL when there is no memory left; never NULL for 0 bytes otherwise
void vbl_cpu_free(void *p, size_t bytes);    // bytes as given to alloc; NULL is allowed
vbl_memory_stats vbl_cpu_alloc_stats(void);  // live and cached in bytes of the size classes
void vbl_cpu_alloc_reset_peak(void);
void vbl_cpu_alloc_trim(void);  // gives the free lists back to the system

// A kernel that could not get scratch memory says so here; the next sync reports it, once.
void vbl_cpu_fail(vbl_status code, const char *what);
vbl_status vbl_cpu_sync(vbl_stream s, vbl_error *err);

// Whether products of bf16 use the processor's own (vdpbf16ps): where it has them at twice the rate of f32 FMA. A question of the
// model, not of a measurement, so that a machine always sums in the same order. VBL_BF16=native or fma overrides.
bool vbl_cpu_bf16_native(void);  // false too where the chosen build is not avx512

// "avx512", "avx2" or "baseline"; NULL for an unknown name or one that this machine cannot run.
const vbl_backend *vbl_cpu_backend_named(const char *isa);
