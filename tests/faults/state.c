// Which process counts, what is counted, and what is done at the chosen call.
// defines: fault_hit, fault_device, fault_from_lua, fault_clock_offset, fault_inside, fault_next, __libc_start_main
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/faults/faults.h"

enum { DO_FAIL, DO_SIGNAL, DO_CUT, DO_BACK, DO_COLLECT, DO_SITES, HOUR = 3600, FRAMES = 24 };

typedef struct range {
  uintptr_t low, high;
} range;

static const char *const class_names[FAULT_CLASSES] = {"memory", "lua",    "map",     "open",   "create", "read",
                                                       "write",  "sync",   "close",   "rename", "mkdir",  "unlink",
                                                       "lock",   "thread", "process", "clock",  "device", "any"};
static fault_state *state;  // NULL: this process does not count
static fault_class chosen = FAULT_CLASSES;
static uint64_t first, calls;
static int action, value;  // value: an errno or a signal
static range program, lua;
static bool program_only;
__thread int fault_inside __attribute__((tls_model("initial-exec")));

void *fault_next(void **slot, const char *name) {
  if (*slot == NULL) *slot = dlsym(RTLD_NEXT, name);
  return *slot;
}

static int find_range(struct dl_phdr_info *info, size_t size, void *context) {
  (void)size, (void)context;
  range *r = *info->dlpi_name == 0 ? &program : strstr(info->dlpi_name, "liblua") != NULL ? &lua : NULL;
  if (r == NULL || r->high != 0) return 0;
  r->low = UINTPTR_MAX;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *p = &info->dlpi_phdr[i];
    if (p->p_type != PT_LOAD || (p->p_flags & PF_X) == 0) continue;
    uintptr_t at = info->dlpi_addr + p->p_vaddr;
    if (at < r->low) r->low = at;
    if (at + p->p_memsz > r->high) r->high = at + p->p_memsz;
  }
  return 0;
}

static bool within(const range *r, const void *p) { return (uintptr_t)p >= r->low && (uintptr_t)p < r->high; }

bool fault_from_lua(const void *caller) { return within(&lua, caller); }

static int read_errno(const char *name) {
  static const struct {
    const char *name;
    int value;
  } rows[] = {{"ENOMEM", ENOMEM},     {"ENOSPC", ENOSPC},  {"EIO", EIO},       {"EACCES", EACCES}, {"EMFILE", EMFILE},
              {"EROFS", EROFS},       {"EXDEV", EXDEV},    {"ENOENT", ENOENT}, {"EDQUOT", EDQUOT}, {"EAGAIN", EAGAIN},
              {"EINTR", EINTR},       {"EBUSY", EBUSY},    {"ENOLCK", ENOLCK}, {"EINVAL", EINVAL}, {"ESTALE", ESTALE},
              {"SHORT", FAULT_SHORT}, {"LOST", FAULT_LOST}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strcmp(rows[i].name, name) == 0) return rows[i].value;
  return 0;
}

static void bad(const char *what) {
  fprintf(stderr, "libvbl_faults: %s\n", what);
  _exit(99);
}

static void read_action(const char *name) {
  action = DO_FAIL;
  if (strcmp(name, "KILL") == 0) action = DO_SIGNAL, value = SIGKILL;
  if (strcmp(name, "TERM") == 0) action = DO_SIGNAL, value = SIGTERM;
  if (strcmp(name, "INT") == 0) action = DO_SIGNAL, value = SIGINT;
  if (strcmp(name, "CUT") == 0) action = DO_CUT;
  if (strcmp(name, "BACK") == 0) action = DO_BACK;
  if (strcmp(name, "COLLECT") == 0) action = DO_COLLECT;
  if (strcmp(name, "SITES") == 0) action = DO_SITES;
  if (action == DO_FAIL && (value = read_errno(name)) == 0) bad("VBL_FAULTS: no such action");
}

static void read_plan(const char *text) {
  char class[16], name[16];
  unsigned long long from, count;
  if (sscanf(text, "%15[a-z]:%llu:%llu:%15[A-Z]", class, &from, &count, name) != 4)
    bad("VBL_FAULTS: expected CLASS:FIRST:COUNT:ACTION");
  for (int c = 0; c < FAULT_CLASSES; c++)
    if (strcmp(class_names[c], class) == 0) chosen = (fault_class)c;
  if (chosen == FAULT_CLASSES) bad("VBL_FAULTS: no such class");
  first = from, calls = count;
  read_action(name);
}

static bool counted_program(void) {
  char path[4096];
  const char *wanted = getenv("VBL_FAULTS_PROGRAM");
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  path[n > 0 ? n : 0] = 0;
  return wanted == NULL || strcmp(wanted, path) == 0;
}

// Of LeakSanitizer, where it is there: what the loader keeps for itself it knows by its caller, which here is our malloc.
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

static void load_unwinder(void) {
  void *frames[2];
  if (__lsan_disable != NULL) __lsan_disable();
  backtrace(frames, 2);
  if (__lsan_enable != NULL) __lsan_enable();
}

// What is still open when all that closes files has run (Lua's state is closed before). The first process alone tells.
static void note_descriptors(void) {
  size_t used = 0;
  if (atomic_load(&state->root) != getpid()) return;
  fault_inside++;
  for (int fd = 0; fd < 1024 && used < sizeof state->open - 1; fd++) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, state->open + used, sizeof state->open - 1 - used);
    if (n <= 0) continue;
    used += (size_t)n;
    if (used < sizeof state->open - 1) state->open[used++] = '\n';
  }
  state->open[used] = 0;
  fault_inside--;
}

static void begin(void) {
  const char *path = getenv("VBL_FAULTS_STATE"), *plan = getenv("VBL_FAULTS"), *caller = getenv("VBL_FAULTS_CALLER");
  if (path == NULL || !counted_program()) return;
  fault_inside++;
  load_unwinder();
  dl_iterate_phdr(find_range, NULL);
  program_only = caller != NULL && strcmp(caller, "program") == 0;
  if (plan != NULL && *plan != 0) read_plan(plan);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 || ftruncate(fd, sizeof *state) != 0) bad("VBL_FAULTS_STATE: cannot be opened");
  void *at = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) bad("VBL_FAULTS_STATE: cannot be mapped");
  close(fd);
  durable_begin();
  fault_inside--;
  state = at;
  int32_t nobody = 0;
  atomic_compare_exchange_strong(&state->root, &nobody, getpid());
  atexit(note_descriptors);
}

// "write(5) /path by vbl+0x1234 liblua5.4.so.0+0x77", without memory of its own.
static void describe(const char *call, const char *path, int fd) {
  void *frames[FRAMES];
  char named[256] = "";
  int n = backtrace(frames, FRAMES);
  if (path == NULL && fd >= 0) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, named, sizeof named - 1);
    named[length > 0 ? length : 0] = 0;
  }
  int used = snprintf(state->note, sizeof state->note, "%s %s by", call, path != NULL ? path : named);
  for (int i = 2; i < n && used < (int)sizeof state->note; i++) {
    Dl_info info;
    if (dladdr(frames[i], &info) == 0 || info.dli_fname == NULL) continue;
    const char *slash = strrchr(info.dli_fname, '/');
    used += snprintf(state->note + used, sizeof state->note - (size_t)used, " %s+0x%lx", slash != NULL ? slash + 1 : info.dli_fname,
                     (unsigned long)((char *)frames[i] - (char *)info.dli_fbase));
  }
}

// Places are told apart by those of their callers that are the program's own.
static void note_site(uint64_t number) {
  static _Atomic uint64_t known[4 * FAULT_SITES];
  static uint32_t index[4 * FAULT_SITES];
  void *frames[FRAMES];
  uint64_t hash = 0x9e3779b97f4a7c15u;
  int n = backtrace(frames, FRAMES);
  for (int i = 0; i < n; i++)
    if (within(&program, frames[i])) hash = (hash ^ (uintptr_t)frames[i]) * 0xbf58476d1ce4e5b9u;
  size_t at = hash >> 50;
  while (atomic_load(&known[at]) != 0 && atomic_load(&known[at]) != hash) at = (at + 1) % (4 * FAULT_SITES);
  if (atomic_exchange(&known[at], hash) == 0) {
    uint32_t next = atomic_fetch_add(&state->sites, 1);
    index[at] = next < FAULT_SITES ? next : FAULT_SITES - 1;
    state->site[index[at]][0] = number;
  }
  state->site[index[at]][1] = number;
}

static bool selected(uint64_t number) {
  if (action == DO_SITES) return true;
  if (action == DO_COLLECT) return number >= first && (number - first) % calls == 0;
  if (action == DO_SIGNAL || action == DO_CUT) return number == first;
  return number >= first && (calls == 0 || number < first + calls);
}

static int act(uint64_t number, const char *call, const char *path, int fd) {
  if (action == DO_SITES) {
    fault_inside++;
    note_site(number);
    fault_inside--;
    return 0;
  }
  if (atomic_fetch_add(&state->fired, 1) == 0 && action != DO_COLLECT) {
    fault_inside++;
    describe(call, path, fd);
    fault_inside--;
  }
  if (action == DO_CUT) {
    atomic_store(&state->cut, 1);
    kill(getpid(), SIGKILL);
  }
  if (action == DO_SIGNAL) kill(getpid(), value);
  if (action == DO_COLLECT) return ENOMEM;
  return action == DO_FAIL ? value : 0;
}

int fault_hit(fault_class c, const void *caller, const char *call, const char *path, int fd) {
  if (state == NULL || fault_inside > 0) return 0;
  if (atomic_load_explicit(&state->cut, memory_order_relaxed)) kill(getpid(), SIGKILL);
  if ((c == FAULT_MEMORY || c == FAULT_MAP) && program_only && !within(&program, caller)) return 0;
  int saved = errno, result = 0;
  uint64_t number = atomic_fetch_add_explicit(&state->count[c], 1, memory_order_relaxed) + 1;
  uint64_t all = atomic_fetch_add_explicit(&state->count[FAULT_ANY], 1, memory_order_relaxed) + 1;
  if (c == chosen && selected(number)) result = act(number, call, path, fd);
  if (chosen == FAULT_ANY && selected(all)) result = act(all, call, path, fd);
  errno = saved;
  return result;
}

int fault_device(const char *call) { return fault_hit(FAULT_DEVICE, __builtin_return_address(0), call, "", -1); }

int64_t fault_clock_offset(void) { return state != NULL && action == DO_BACK && atomic_load(&state->fired) > 0 ? -HOUR : 0; }

// ---- from main() on ------------------------------------------------------------------------------------------------------

typedef int main_function(int, char **, char **);
static main_function *own_main;

static int counted_main(int argc, char **argv, char **environment) {
  begin();
  return own_main(argc, argv, environment);
}

int __libc_start_main(main_function *m, int argc, char **argv, void (*init)(void), void (*fini)(void), void (*end)(void),
                      void *stack);

int __libc_start_main(main_function *m, int argc, char **argv, void (*init)(void), void (*fini)(void), void (*end)(void),
                      void *stack) {
  own_main = m;
  return NEXT(__libc_start_main)(counted_main, argc, argv, init, fini, end, stack);
}
