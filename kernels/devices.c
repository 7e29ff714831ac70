// Backends by name. The CUDA backend is a shared library that is opened when it is first asked for, so that the program starts on any
// machine: VBL_CUDA_LIBRARY names it, else it lies beside the program, in ../lib/vbl from there, or where the loader looks.
// defines: vbl_backend_open, vbl_backend_opened, vbl_set_deterministic, vbl_deterministic
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/kernels.h"

typedef const vbl_backend *open_fn(int device, char *message, size_t size);

enum { MESSAGE = 512 };

static void *open_beside(const char *middle, char *message, size_t size) {
  char program[PATH_MAX], path[PATH_MAX + 64];
  ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
  if (n < 0) return NULL;
  program[n] = '\0';
  char *slash = strrchr(program, '/');
  if (slash == NULL) return NULL;
  *slash = '\0';
  snprintf(path, sizeof path, "%s/%slibvbl_cuda.so", program, middle);
  if (access(path, R_OK) != 0) return NULL;
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL)
    snprintf(message, size,
             "the CUDA backend is here, and something that it needs is not: %s (cuBLAS of CUDA 13, LD_LIBRARY_PATH?)", dlerror());
  return library;
}

// NULL with the reason in `message`.
static void *open_library(char *message, size_t size) {
  const char *given = getenv("VBL_CUDA_LIBRARY");
  void *library = NULL;
  message[0] = '\0';
  if (given != NULL) {
    library = dlopen(given, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) snprintf(message, size, "VBL_CUDA_LIBRARY: %s", dlerror());
    return library;
  }
  if ((library = open_beside("", message, size)) != NULL || message[0] != '\0') return library;
  if ((library = open_beside("../lib/vbl/", message, size)) != NULL || message[0] != '\0') return library;
  library = dlopen("libvbl_cuda.so", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) snprintf(message, size, "this vbl was built without the CUDA backend (libvbl_cuda.so is not beside it)");
  return library;
}

static const vbl_backend *opened;

static bool deterministic;

const vbl_backend *vbl_backend_opened(void) { return opened; }

bool vbl_deterministic(void) { return deterministic; }

void vbl_set_deterministic(bool on) {
  deterministic = on;
  if (opened != NULL) opened->set_deterministic(on);
}

static vbl_status open_cuda(int device, const vbl_backend **out, vbl_error *err) {
  static open_fn *open;
  char message[MESSAGE];
  if (open == NULL) {
    void *library = open_library(message, sizeof message);
    if (library == NULL) return vbl_fail(err, VBL_EDEVICE, "%s", message);
    *(void **)&open = dlsym(library, "vbl_cuda_open");
    if (open == NULL) return vbl_fail(err, VBL_EDEVICE, "libvbl_cuda.so is of another version of vbl: it has no vbl_cuda_open");
  }
  *out = open(device, message, sizeof message);
  if (*out != NULL) {
    opened = *out;
    opened->set_deterministic(deterministic);
  }
  return *out != NULL ? VBL_OK : vbl_fail(err, VBL_EDEVICE, "%s", message);
}

// The number behind "cuda:"; -1: it is none.
static int numbered(const char *name) {
  const char *number = strncmp(name, "cuda:", 5) == 0 ? name + 5 : "";
  const size_t digits = strspn(number, "0123456789");
  return digits >= 1 && digits <= 4 && number[digits] == '\0' ? atoi(number) : -1;
}

vbl_status vbl_backend_open(const char *name, const vbl_backend **out, vbl_error *err) {
  if (strcmp(name, "cpu") == 0) {
    *out = vbl_cpu_backend();
    return VBL_OK;
  }
  if (vbl_plan_backend() != NULL && strcmp(name, vbl_plan_backend()->name) == 0) {
    *out = vbl_plan_backend();
    return VBL_OK;
  }
  if (strcmp(name, "cuda") == 0 && opened != NULL) {  // the process's device, whatever its number
    *out = opened;
    return VBL_OK;
  }
  const int device = strcmp(name, "cuda") == 0 ? 0 : numbered(name);
  if (device >= 0) return open_cuda(device, out, err);
  return vbl_fail(err, VBL_EINVAL, "no device '%s' (cpu, cuda, or cuda:N)", name);
}
