#include "core/base/openblas.h"

#include <dlfcn.h>
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>

static struct {
  pthread_once_t once;
  void *library;
  const char *core;
  vbl_status status;
  vbl_error error;
} blas = {.once = PTHREAD_ONCE_INIT};

#define LIBRARY "OpenBLAS (Debian package libopenblas0-openmp)"

#ifdef VBL_OPENBLAS
// The library picks its kernels in its constructor, and 0.3.21 takes SSE3 ones on processors it does not know.
static void choose_core(void) {
  if (getenv("OPENBLAS_CORETYPE") != NULL) return;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
    setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    setenv("OPENBLAS_CORETYPE", "Haswell", 0);
}

// Where it was when vbl was built, else where the loader looks (LD_LIBRARY_PATH): there only a build on OpenMP will do, whose threads are ours.
static void *find_library(void) {
  enum { OPENMP = 2 };
  void *library = dlopen(VBL_OPENBLAS, RTLD_NOW | RTLD_LOCAL);
  if (library != NULL) return library;
  vbl_fail(&blas.error, VBL_EDEVICE, "%s is needed and cannot be opened: %s", LIBRARY, dlerror());
  library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  int (*parallel)(void) = library == NULL ? NULL : (int (*)(void))dlsym(library, "openblas_get_parallel");
  if (parallel != NULL && parallel() == OPENMP) return library;
  if (library != NULL) dlclose(library);
  return NULL;
}

static void open_library(void) {
  choose_core();
  blas.library = find_library();
  if (blas.library == NULL) {
    blas.status = VBL_EDEVICE;
    return;
  }
  char *(*core_name)(void) = (char *(*)(void))dlsym(blas.library, "openblas_get_corename");
  if (core_name == NULL) {
    blas.status = vbl_fail(&blas.error, VBL_EDEVICE, "%s: %s is not OpenBLAS: reinstall the package", LIBRARY, VBL_OPENBLAS);
    return;
  }
  blas.core = core_name();
}
#else
static void open_library(void) {
  blas.status = vbl_fail(&blas.error, VBL_EDEVICE,
                         "%s was not found when vbl was built: install it, then configure and build again", LIBRARY);
}
#endif

vbl_status vbl_openblas_open(const char **core, vbl_error *err) {
  pthread_once(&blas.once, open_library);
  if (blas.status != VBL_OK) return vbl_fail(err, blas.status, "%s", blas.error.message);
  if (core != NULL) *core = blas.core;
  return VBL_OK;
}

int vbl_openblas_serial_begin(void) {
  int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  return threads;
}

void vbl_openblas_serial_end(int threads) { omp_set_num_threads(threads); }

vbl_status vbl_openblas_symbol(const char *name, void **out, vbl_error *err) {
  VBL_TRY(vbl_openblas_open(NULL, err));
  *out = dlsym(blas.library, name);
  if (*out == NULL) return vbl_fail(err, VBL_EDEVICE, "%s lacks %s: reinstall the package", LIBRARY, name);
  return VBL_OK;
}
