// Signals are the main thread's. Every other thread of the process, those that OpenMP starts in libgomp too, begins with SIGINT and
// SIGTERM blocked: a handler on its stack would break oneDNN's generated kernels (signals.c), and set hooks of an interpreter that runs
// elsewhere. The program's own definition of pthread_create comes before libc's, also for the libraries that it is linked with.
// defines: pthread_create
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they have one of their own

typedef int (*create_function)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
  create_function create;
  void *found = dlsym(RTLD_NEXT, "pthread_create");
  memcpy(&create, &found, sizeof create);
  sigset_t ours, before;
  sigemptyset(&ours);
  sigaddset(&ours, SIGINT);
  sigaddset(&ours, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ours, &before);
  int failed = create(thread, attributes, run, argument);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return failed;
}

#endif
