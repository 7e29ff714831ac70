// How OpenMP's threads wait for each other. libgomp spins for some milliseconds before it sleeps: on a quiet machine that is right (to
// sleep at once costs a third of the main job's rate on two cores), but beside other work the spinning threads keep the one they wait
// for from running, and a step takes many times as long. So a program that starts on a busy machine starts once more with a short spin
// in the environment, where alone libgomp looks for it, before anything else.
// defines: vbl_choose_waiting
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bindings/program.h"

enum { SAMPLES = 3, SAMPLE_NS = 500000 };

// Tasks that run or want to, this one among them; 0 where the system does not tell.
static int runnable(void) {
  char line[256];
  int count = 0;
  FILE *file = fopen("/proc/stat", "r");
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file) != NULL && sscanf(line, "procs_running %d", &count) != 1) continue;
  fclose(file);
  return count;
}

// Whether others want at least a quarter of the processors, in each of a few moments: what just ends does not count.
static bool busy(void) {
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  for (int i = 0; i < SAMPLES; i++) {
    const struct timespec pause = {.tv_nsec = SAMPLE_NS};
    if (i > 0) nanosleep(&pause, NULL);
    if (4 * (runnable() - 1) < processors) return false;
  }
  return processors > 1;
}

void vbl_choose_waiting(char **argv) {
  if (getenv("OMP_WAIT_POLICY") != NULL || getenv("GOMP_SPINCOUNT") != NULL || !busy()) return;
  if (setenv("GOMP_SPINCOUNT", "1000", 1) == 0) execv("/proc/self/exe", argv);  // where it fails, the waiting stays as it is
}
