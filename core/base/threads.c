#include "core/base/threads.h"

#include <omp.h>

int vbl_threads(void) { return omp_get_max_threads(); }

vbl_status vbl_set_threads(int n, vbl_error *err) {
  if (n < 1 || n > 1024)
    return vbl_fail(err, VBL_EINVAL, "threads: expected a number from 1 to 1024, got %d (leave it out to use every core)", n);
  omp_set_num_threads(n);
  return VBL_OK;
}
