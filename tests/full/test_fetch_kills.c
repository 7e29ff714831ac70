// The downloader killed ten times at random moments: what it finishes then is what an undisturbed run writes, byte for byte.
// With arguments it is the downloader itself: test_fetch_kills TSV OUT.
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "core/fetch/fetch.h"
#include "tests/check.h"
#include "tests/server.h"

static char folder[] = "/tmp/vbl-test-fetch-kills-XXXXXX";
enum { ROWS = 3000 };

static vbl_status fetch(const char *tsv, const char *out, vbl_error *err) {
  vbl_fetch_options o = {.resize = VBL_FETCH_CENTER_CROP,
                         .image = 64,
                         .shard = 250,
                         .parallel = 16,
                         .per_host = 16,
                         .threads = 2,
                         .retries = 2,
                         .redirects = 5,
                         .connect = 5,
                         .total = 20,
                         .stall = 5,
                         .backoff = 0.05,
                         .max_bytes = 100000};
  vbl_fetch *f;
  vbl_fetch_progress p;
  bool finished = false;
  vbl_status status = vbl_fetch_new(tsv, out, &o, &f, err);
  while (status == VBL_OK && !finished) status = vbl_fetch_step(f, 0.1, &finished, &p, err);
  vbl_fetch_free(f);
  return status;
}

static pid_t start(const char *tsv, const char *out) {
  pid_t pid = fork();
  if (pid == 0) {
    execl("/proc/self/exe", "test_fetch_kills", tsv, out, (char *)NULL);
    _exit(127);
  }
  return pid;
}

static void write_rows(const char *tsv) {
  static const char *const kinds[] = {"img", "img", "same", "redirect", "img", "img", "status/404/", "nothing", "img"};
  FILE *f = fopen(tsv, "w");
  for (int i = 0; i < ROWS; i++)
    fprintf(f, "caption %d\thttp://127.0.0.1:%d/%s/%d\n", i, server_port, i % 1000 == 999 ? "flaky" : kinds[i % 9], i);
  fclose(f);
}

static bool same_trees(const char *a, const char *b) {
  char command[400];
  snprintf(command, sizeof command, "diff -r %s %s", a, b);
  return system(command) == 0;
}

static void test_ten_kills(void) {
  char tsv[64], undisturbed[64], killed[64];
  int status, kills = 0;
  struct timespec from, to;
  snprintf(tsv, sizeof tsv, "%s/rows.tsv", folder);
  snprintf(undisturbed, sizeof undisturbed, "%s/undisturbed", folder);
  snprintf(killed, sizeof killed, "%s/killed", folder);
  write_rows(tsv);
  server_delay_ms = 20;
  clock_gettime(CLOCK_MONOTONIC, &from);
  waitpid(start(tsv, undisturbed), &status, 0);
  clock_gettime(CLOCK_MONOTONIC, &to);
  CHECK(status == 0);
  double seconds = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
  srand((unsigned)time(NULL));
  for (int k = 0; k < 10; k++) {
    double after = 0.05 + seconds / 12 * rand() / RAND_MAX;
    pid_t pid = start(tsv, killed);
    usleep((unsigned)(after * 1e6));
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    kills += WIFSIGNALED(status);
    printf("  kill %d after %.3f s: %d images served so far\n", k + 1, after, atomic_load(&server_images));
  }
  CHECK(kills >= 5);
  waitpid(start(tsv, killed), &status, 0);
  CHECK(status == 0);
  CHECK(same_trees(undisturbed, killed));
}

int main(int argc, char **argv) {
  vbl_error err = {0};
  if (argc == 3) {
    if (fetch(argv[1], argv[2], &err) == VBL_OK) return 0;
    fprintf(stderr, "%s\n", err.message);
    return err.code == VBL_EDEVICE ? 77 : 1;
  }
  if (mkdtemp(folder) == NULL || !server_start()) return check_skip("no server on 127.0.0.1 here");
  test_ten_kills();
  char command[100];
  snprintf(command, sizeof command, "rm -r %s", folder);
  if (system(command) != 0) fprintf(stderr, "%s stays\n", folder);
  return check_done();
}
