// Threads, processes and the clock.
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tests/faults/faults.h"

#define CALLER __builtin_return_address(0)

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
  int code = fault_hit(FAULT_THREAD, CALLER, "pthread_create", "", -1);
  return code > 0 ? code : NEXT(pthread_create)(thread, attributes, run, argument);
}

pid_t fork(void) {
  int code = fault_hit(FAULT_PROCESS, CALLER, "fork", "", -1);
  return code > 0 ? errno = code, -1 : NEXT(fork)();
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *files, const posix_spawnattr_t *attributes,
                 char *const words[], char *const environment[]) {
  int code = fault_hit(FAULT_PROCESS, CALLER, "posix_spawnp", file, -1);
  return code > 0 ? code : NEXT(posix_spawnp)(pid, file, files, attributes, words, environment);
}

int pipe2(int ends[2], int flags) {
  int code = fault_hit(FAULT_PROCESS, CALLER, "pipe2", "", -1);
  return code > 0 ? errno = code, -1 : NEXT(pipe2)(ends, flags);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = NEXT(clock_gettime)(clock, now);
  if (clock != CLOCK_REALTIME || result != 0) return result;
  fault_hit(FAULT_CLOCK, CALLER, "clock_gettime", "", -1);
  now->tv_sec += fault_clock_offset();
  return result;
}

time_t time(time_t *out) {
  fault_hit(FAULT_CLOCK, CALLER, "time", "", -1);
  time_t now = NEXT(time)(NULL) + fault_clock_offset();
  if (out != NULL) *out = now;
  return now;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int result = NEXT(gettimeofday)(now, zone);
  fault_hit(FAULT_CLOCK, CALLER, "gettimeofday", "", -1);
  now->tv_sec += fault_clock_offset();
  return result;
}
