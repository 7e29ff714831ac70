#include "core/comm/comm.h"

#include <dlfcn.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/interrupt.h"
#include "core/comm/backend.h"

// Elements of one operation: an interrupt and the others' words are looked for between two.
enum { PIECE = 4 << 20 };

static const vbl_comm_backend *mpi;
static bool open_operation;  // one that was begun is not done
static int64_t operations;   // that were begun
static bool told, alone;
static vbl_comm_word said, first_word;  // of those that were heard the one of the fewest operations, rank first_from
static int first_from = -1;
static vbl_comm_word of_rank_0;
static bool heard_rank_0;

static const char another_version[] = "libvbl_mpi.so is of another version of vbl";

static int number_of(const char *name, int fallback) {
  const char *text = getenv(name);
  return text != NULL && *text != '\0' ? atoi(text) : fallback;
}

// Open MPI's mpirun; MPICH's, Intel's and srun --mpi=pmi2; srun, whatever its MPI.
static const char *const names[][2] = {
    {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"}, {"PMI_SIZE", "PMI_RANK"}, {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}};

int vbl_comm_launched(int *rank) {
  if (mpi != NULL) {
    if (rank != NULL) *rank = mpi->rank;
    return mpi->size;
  }
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    int size = number_of(names[i][0], 1);
    if (size < 2) continue;
    if (rank != NULL) *rank = number_of(names[i][1], 0);
    return size;
  }
  if (rank != NULL) *rank = 0;
  return 1;
}

static void *open_library(char *message, size_t size) {
  const char *const places[] = {"", "../lib/vbl/"};
  char program[PATH_MAX], path[PATH_MAX + 64];
  ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
  char *slash = NULL;
  if (n > 0) {
    program[n] = '\0';
    slash = strrchr(program, '/');
  }
  for (size_t i = 0; slash != NULL && i < sizeof places / sizeof *places; i++) {
    *slash = '\0';
    snprintf(path, sizeof path, "%s/%slibvbl_mpi.so", program, places[i]);
    if (access(path, R_OK) != 0) continue;
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);  // global: MPI opens plug-ins that need its own symbols
    if (library == NULL)
      snprintf(message, size, "the library for ranks is here, and something that it needs is not: %s", dlerror());
    return library;
  }
  snprintf(message, size,
           "this vbl was built without MPI (libvbl_mpi.so is not beside it): install an MPI with its headers (Debian: "
           "libopenmpi-dev), then configure and build again");
  return NULL;
}

vbl_status vbl_comm_describe(char *text, size_t size, vbl_error *err) {
  void *library = open_library(text, size);
  if (library == NULL) return vbl_fail(err, VBL_EDEVICE, "%s", text);
  vbl_comm_describe_fn *describe = NULL;
  *(void **)&describe = dlsym(library, "vbl_mpi_describe");
  if (describe == NULL) return vbl_fail(err, VBL_EDEVICE, "%s", another_version);
  describe(text, size);
  return VBL_OK;
}

static void at_exit(int code, void *unused);

// A program that a rank starts is none.
static void forget_launcher(void) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    for (size_t k = 0; k < 2; k++) unsetenv(names[i][k]);
}

static vbl_status join(int launched, vbl_error *err) {
  char message[512];
  void *library = open_library(message, sizeof message);
  if (library == NULL) return vbl_fail(err, VBL_EDEVICE, "%d processes were started as one run: %s", launched, message);
  vbl_comm_open_fn *open = NULL;
  *(void **)&open = dlsym(library, "vbl_mpi_open");
  const vbl_comm_backend *found = open == NULL ? NULL : open(message, sizeof message);
  if (found == NULL)
    return vbl_fail(err, VBL_EDEVICE, "%d processes were started as one run: %s", launched,
                    open == NULL ? another_version : message);
  if (found->size != launched) {
    int size = found->size;
    found->end(false, 0);
    return vbl_fail(err, VBL_EDEVICE,
                    "%d processes were started as one run, and MPI finds %d: start them with the mpirun of the MPI that vbl was "
                    "built with, or with "
                    "srun --mpi=pmix or --mpi=pmi2",
                    launched, size);
  }
  mpi = found;
  forget_launcher();
  on_exit(at_exit, NULL);
  return VBL_OK;
}

// MPI is begun once, so what came of that is kept.
vbl_status vbl_comm_start(vbl_error *err) {
  static vbl_error failure;
  static bool tried;
  const int launched = vbl_comm_launched(NULL);
  if (mpi != NULL || launched < 2) return VBL_OK;
  if (!tried) (void)join(launched, &failure);
  tried = true;
  return mpi != NULL ? VBL_OK : vbl_fail(err, failure.code, "%s", failure.message);
}

int vbl_comm_rank(void) { return mpi == NULL || alone ? 0 : mpi->rank; }
int vbl_comm_size(void) { return mpi == NULL || alone ? 1 : mpi->size; }
int vbl_comm_local_rank(void) { return mpi == NULL ? 0 : mpi->local_rank; }
int vbl_comm_local_size(void) { return mpi == NULL ? 1 : mpi->local_size; }
void vbl_comm_alone(bool on) { alone = on; }

static void listen(void) {
  vbl_comm_word word;
  for (int from; (from = mpi->hear(&word)) >= 0;) {
    if (first_from < 0 || word.operations < first_word.operations) {
      first_word = word;
      first_from = from;
    }
    if (from == 0) {
      of_rank_0 = word;
      heard_rank_0 = true;
    }
  }
}

// Whether a rank has ended before it began the operation of that number: it never will. One that it did begin comes to its end, since a rank that
// waits in at_exit still takes part.
static vbl_status all_come_to(int64_t number, vbl_error *err) {
  listen();
  if (first_from < 0 || first_word.operations >= number) return VBL_OK;
  return vbl_fail(err, VBL_EDEVICE, "rank %d ended: %s", first_from, first_word.text);
}

// Others may compute for long: after a while the core is theirs.
static void rest(int turns) {
  const struct timespec short_while = {.tv_nsec = 50000};
  if (turns > 20000)
    nanosleep(&short_while, NULL);
  else if (turns > 200)
    sched_yield();
}

static vbl_status wait(vbl_error *err) {
  for (int turns = 0; !mpi->test(); turns += turns < INT_MAX) {
    if (turns % 64 == 63) VBL_TRY(all_come_to(operations, err));
    VBL_TRY(vbl_interrupt_check(err));
    rest(turns);
  }
  open_operation = false;
  return VBL_OK;
}

// What is open, after an interrupt say, cannot be ended, and nothing may follow it.
static vbl_status ready(vbl_error *err) {
  if (open_operation)
    return vbl_fail(err, VBL_EDEVICE,
                    "the ranks have come apart (an earlier exchange was broken off): the run has to be started again");
  VBL_TRY(all_come_to(operations + 1, err));
  operations++;
  open_operation = true;
  return VBL_OK;
}

// What MPI reads and writes is memory of its own: an operation that was broken off may still do so, when who called has long given up its own.
static void *held;

static vbl_status hold(size_t bytes, void **block, vbl_error *err) {
  *block = malloc(bytes + 1);
  return *block != NULL ? VBL_OK : vbl_fail(err, VBL_ENOMEM, "ranks: no memory for an exchange of %zu bytes", bytes);
}

static void let_go(void *block) {
  if (open_operation)
    held = block;
  else
    free(block);
}

static vbl_status max_of(double *data, int n, vbl_error *err) {
  void *block;
  VBL_TRY(hold((size_t)n * sizeof *data, &block, err));
  memcpy(block, data, (size_t)n * sizeof *data);
  vbl_status status = ready(err);
  if (status == VBL_OK) mpi->begin_max(block, n);
  if (status == VBL_OK) status = wait(err);
  if (status == VBL_OK) memcpy(data, block, (size_t)n * sizeof *data);
  let_go(block);
  return status;
}

typedef enum exchange { SUM_F32 = 1, SUM_F64, MAX, GATHER, BROADCAST } exchange;

// Before each exchange: that it is the same one on all ranks. Of others MPI would take one's bytes for another's, or wait for ever. n: elements, where
// all have to give as many.
static vbl_status all_make(exchange kind, int64_t n, vbl_error *err) {
  double most[] = {(double)kind, -(double)kind, (double)n, -(double)n};
  VBL_TRY(max_of(most, 4, err));
  if (most[0] == -most[1] && most[2] == -most[3]) return VBL_OK;  // the largest is the smallest
  return vbl_fail(err, VBL_EDEVICE,
                  "the ranks have come apart: they exchange different things (all have to make the same calls, in the same order, "
                  "with lists of one length)");
}

static vbl_status sum_in(void *block, vbl_dtype dtype, char *data, int n, vbl_error *err) {
  const size_t bytes = (size_t)n * vbl_dtype_size(dtype);
  VBL_TRY(ready(err));
  memcpy(block, data, bytes);
  mpi->begin_sum(block, n, dtype == VBL_F64);
  VBL_TRY(wait(err));
  memcpy(data, block, bytes);
  return VBL_OK;
}

vbl_status vbl_comm_sum(vbl_dtype dtype, void *data, int64_t n, vbl_error *err) {
  const int64_t size = (int64_t)vbl_dtype_size(dtype);
  void *block;
  if (vbl_comm_size() == 1) return VBL_OK;
  if (dtype != VBL_F64 && dtype != VBL_F32)
    return vbl_fail(err, VBL_EINVAL, "sum over ranks: expected f32 or f64, got %s", vbl_dtype_name(dtype));
  VBL_TRY(all_make(dtype == VBL_F64 ? SUM_F64 : SUM_F32, n, err));
  VBL_TRY(hold((size_t)((n < PIECE ? n : PIECE) * size), &block, err));
  vbl_status status = VBL_OK;
  for (int64_t at = 0; at < n && status == VBL_OK; at += PIECE)
    status = sum_in(block, dtype, (char *)data + at * size, (int)(n - at < PIECE ? n - at : PIECE), err);
  let_go(block);
  return status;
}

vbl_status vbl_comm_max(double *data, int64_t n, vbl_error *err) {
  if (vbl_comm_size() == 1) return VBL_OK;
  VBL_TRY(all_make(MAX, n, err));
  for (int64_t at = 0; at < n; at += PIECE) VBL_TRY(max_of(data + at, (int)(n - at < PIECE ? n - at : PIECE), err));
  return VBL_OK;
}

// every rank's bytes to `all`; counts: of each rank
static vbl_status gather_bytes(const void *mine, int bytes, void *all, const int64_t *counts, vbl_error *err) {
  const size_t ranks = (size_t)mpi->size;
  size_t total = 0;
  void *block;
  for (size_t i = 0; i < ranks; i++) total += (size_t)counts[i];
  VBL_TRY(hold(2 * ranks * sizeof(int) + (size_t)bytes + total, &block, err));
  int *each = block, *at = each + ranks;
  char *own = (char *)(at + ranks), *found = own + bytes;
  for (size_t i = 0, sum = 0; i < ranks; i++) {
    at[i] = (int)sum;
    each[i] = (int)counts[i];
    sum += (size_t)counts[i];
  }
  if (bytes > 0) memcpy(own, mine, (size_t)bytes);
  vbl_status status = ready(err);
  if (status == VBL_OK) mpi->begin_gather(own, bytes, found, each, at);
  if (status == VBL_OK) status = wait(err);
  if (status == VBL_OK) memcpy(all, found, total);
  let_go(block);
  return status;
}

vbl_status vbl_comm_gather(const void *mine, int64_t bytes, void **all, int64_t *counts, vbl_error *err) {
  const int size = vbl_comm_size();
  int64_t total = 0;
  if (size > 1) VBL_TRY(all_make(GATHER, 0, err));
  for (int i = 0; i < size; i++) counts[i] = size == 1 ? bytes : (int64_t)sizeof bytes;
  if (size > 1) VBL_TRY(gather_bytes(&bytes, sizeof bytes, counts, counts, err));
  for (int i = 0; i < size; i++) total += counts[i];
  if (size > 1 && total > INT_MAX)
    return vbl_fail(err, VBL_EINVAL, "gather: %lld bytes of all ranks are more than the 2 GiB that one exchange takes",
                    (long long)total);
  *all = malloc((size_t)total + 1);
  if (*all == NULL) return vbl_fail(err, VBL_ENOMEM, "gather: no memory for %lld bytes", (long long)total);
  vbl_status status = VBL_OK;
  if (size > 1)
    status = gather_bytes(mine, (int)bytes, *all, counts, err);
  else if (bytes > 0)
    memcpy(*all, mine, (size_t)bytes);
  if (status != VBL_OK) free(*all);
  if (status != VBL_OK) *all = NULL;
  return status;
}

// rank 0's bytes to all
static vbl_status broadcast_bytes(void *data, int bytes, vbl_error *err) {
  void *block;
  VBL_TRY(hold((size_t)bytes, &block, err));
  memcpy(block, data, (size_t)bytes);
  vbl_status status = ready(err);
  if (status == VBL_OK) mpi->begin_broadcast(block, bytes, 0);
  if (status == VBL_OK) status = wait(err);
  if (status == VBL_OK) memcpy(data, block, (size_t)bytes);
  let_go(block);
  return status;
}

vbl_status vbl_comm_broadcast(void **data, int64_t *bytes, vbl_error *err) {
  if (vbl_comm_size() == 1) return VBL_OK;
  if (mpi->rank == 0 && *bytes > INT_MAX)
    return vbl_fail(err, VBL_EINVAL, "broadcast: %lld bytes are more than 2 GiB", (long long)*bytes);
  VBL_TRY(all_make(BROADCAST, 0, err));
  VBL_TRY(broadcast_bytes(bytes, sizeof *bytes, err));
  if (mpi->rank != 0) *data = calloc((size_t)*bytes + 1, 1);
  if (*data == NULL) return vbl_fail(err, VBL_ENOMEM, "broadcast: no memory for %lld bytes", (long long)*bytes);
  vbl_status status = broadcast_bytes(*data, (int)*bytes, err);
  if (status != VBL_OK && mpi->rank != 0) free(*data);
  return status;
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void tell(const char *text, bool shown) {
  if (told) return;
  told = true;
  said.operations = operations;
  said.shown = shown;
  snprintf(said.text, sizeof said.text, "%.*s", (int)strcspn(text, "\n"), text);  // without a traceback
  mpi->tell(&said);
}

// Whether rank 0 fails of the same, which its words hold then, long ones to where they were cut. It may look where a NaN began, and make the run's page,
// before it says so.
static bool rank_0_says_so(void) {
  char mine[sizeof said.text / 2];
  snprintf(mine, sizeof mine, "%.*s", (int)sizeof mine - 1, said.text);
  const double until = seconds() + 30;
  for (int turns = 0; !heard_rank_0 && seconds() < until; turns++) {
    listen();
    rest(turns);
  }
  return heard_rank_0 && of_rank_0.shown && (strstr(of_rank_0.text, mine) != NULL || strstr(said.text, of_rank_0.text) != NULL);
}

bool vbl_comm_failed(const char *message) {
  if (mpi == NULL) return true;
  tell(message, true);
  return mpi->rank == 0 || !rank_0_says_so();
}

// Nobody leaves before all are done: who is still at work would be ended with the first that goes. A rank that failed waits for the others to notice,
// but not for ever: one that computes without end would keep all of them.
static void at_exit(int code, void *unused) {
  const double until = seconds() + 60;
  bool all = false;
  (void)unused;
  tell(code == 0 ? "it came to its end" : "it failed", false);
  mpi->begin_meeting();
  for (int turns = 0; !(all = mpi->met()) && (code == 0 || seconds() < until); turns += turns < INT_MAX) rest(turns);
  fflush(NULL);
  mpi->end(open_operation || !all, code);
}
