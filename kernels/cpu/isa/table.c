// The backend table of one instruction set: vbl_cpu_baseline, vbl_cpu_avx2, vbl_cpu_avx512.
#include <string.h>

#include "kernels/cpu/isa/isa.h"

static void host_copy(void *to, const void *from, size_t bytes, vbl_stream s) {
  (void)s;
  if (bytes > 0) memcpy(to, from, bytes);
}

#define STRING_(x)  #x
#define STRING(x)   STRING_(x)
#define ENTRY(name) .name = VBL_K(name),

extern const vbl_backend VBL_PASTE(vbl_cpu, VBL_ISA);
const vbl_backend VBL_PASTE(vbl_cpu, VBL_ISA) = {.name = "cpu",
                                                 .host = true,
                                                 .isa = STRING(VBL_ISA),
                                                 .alloc = vbl_cpu_alloc,
                                                 .free = vbl_cpu_free,
                                                 .to_host = host_copy,
                                                 .from_host = host_copy,
                                                 .sync = vbl_cpu_sync,
                                                 VBL_KERNELS(ENTRY)};
