#include "core/base/threads.h"

#include <omp.h>

static int within_limit(int n) { return n < omp_get_thread_limit() ? n : omp_get_thread_limit(); }

void vbl_threads_start(void) { omp_set_num_threads(within_limit(omp_get_max_threads())); }

int vbl_threads(void) { return omp_get_max_threads(); }

vbl_status vbl_set_threads(int n, vbl_error *err) {
  if (n < 1 || n > 1024)
    return vbl_fail(err, VBL_EINVAL, "threads: expected a number from 1 to 1024, got %d (leave it out to use every core)", n);
  omp_set_num_threads(within_limit(n));
  return VBL_OK;
}
