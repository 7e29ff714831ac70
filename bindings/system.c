// Module "vbl.system.c": clock, terminal, files and folders, threads, interrupts. The machine: machine.c, processes: process.c, child.c.
// Paths are bytes as the system takes them; functions on files return nil and a message where the system refuses. What is not there is
// an answer, what could not be looked at (a disk's error, too many open files) is raised: taken for nothing, a run would begin anew.
// defines: vbl_open_system
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "bindings/program.h"
#include "bindings/store.h"
#include "core/base/interrupt.h"
#include "core/base/threads.h"

static int push_clock(lua_State *L, clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  lua_pushnumber(L, (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
  return 1;
}

static int system_time(lua_State *L) { return push_clock(L, CLOCK_REALTIME); }
static int system_monotonic(lua_State *L) { return push_clock(L, CLOCK_MONOTONIC); }

static int system_sleep(lua_State *L) {
  double seconds = luaL_checknumber(L, 1);
  luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 1, "expected seconds from 0 to 1e9");
  struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  lua_pushboolean(L, nanosleep(&t, NULL) == 0);
  return 1;
}

enum { PARENT = 3 };

// A stream by its name, stdout without one; the parent's stdout is to be closed again. -1: it cannot be looked at.
static int open_stream(lua_State *L, int arg, bool *opened) {
  static const char *const names[] = {"stdin", "stdout", "stderr", "parent", NULL};
  int stream = luaL_checkoption(L, arg, "stdout", names);
  char path[64];
  *opened = stream == PARENT;
  if (!*opened) return stream;
  snprintf(path, sizeof path, "/proc/%ld/fd/1", (long)getppid());
  return open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

static int system_isatty(lua_State *L) {
  bool opened;
  int stream = open_stream(L, 1, &opened);
  lua_pushboolean(L, stream >= 0 && isatty(stream));
  if (opened && stream >= 0) close(stream);
  return 1;
}

static int system_width(lua_State *L) {
  bool opened;
  int stream = open_stream(L, 1, &opened);
  struct winsize w = {0};
  bool known = stream >= 0 && ioctl(stream, TIOCGWINSZ, &w) == 0 && w.ws_col > 0;
  if (opened && stream >= 0) close(stream);
  if (!known) return 0;
  lua_pushinteger(L, w.ws_col);
  return 1;
}

static int system_pid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

static int system_cwd(lua_State *L) {
  char path[4096];
  if (getcwd(path, sizeof path) == NULL) return luaL_fileresult(L, 0, "the current folder");
  lua_pushstring(L, path);
  return 1;
}

static int system_mkdir(lua_State *L) {
  char path[4096];
  size_t n;
  const char *given = luaL_checklstring(L, 1, &n);
  luaL_argcheck(L, n > 0 && n < sizeof path, 1, "expected a path of 1 to 4095 bytes");
  memcpy(path, given, n + 1);
  struct stat s;
  for (char *c = path + 1;; c++) {
    if (*c != '/' && *c != '\0') continue;
    char end = *c;
    *c = '\0';
    if (mkdir(path, 0777) != 0 && (errno != EEXIST || stat(path, &s) != 0 || !S_ISDIR(s.st_mode)))
      return luaL_fileresult(L, 0, path);
    *c = end;
    if (end == '\0') return luaL_fileresult(L, 1, NULL);
  }
}

static void close_folder(void *memory) {
  DIR **folder = memory;
  if (*folder != NULL) closedir(*folder);
}

static int system_list(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  DIR **folder = vbl_lua_own(L, sizeof *folder, close_folder);
  int owned = lua_gettop(L);
  *folder = opendir(path);
  if (*folder == NULL && (errno == ENOENT || errno == ENOTDIR)) return luaL_fileresult(L, 0, path);
  if (*folder == NULL) return vbl_lua_error(L, "%s: cannot open folder: %s", path, strerror(errno));
  lua_newtable(L);
  lua_Integer n = 0;
  errno = 0;
  for (struct dirent *e; (e = readdir(*folder)) != NULL; errno = 0) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    lua_pushstring(L, e->d_name);
    lua_rawseti(L, -2, ++n);
  }
  if (errno != 0) return vbl_lua_error(L, "%s: cannot read folder: %s", path, strerror(errno));
  vbl_lua_disown(L, owned);
  lua_getglobal(L, "table");
  lua_getfield(L, -1, "sort");
  lua_pushvalue(L, -3);
  lua_call(L, 1, 0);
  lua_pop(L, 1);
  return 1;
}

static int system_exists(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  bool there = access(path, F_OK) == 0;
  if (!there && (errno == EIO || errno == ESTALE || errno == ENOMEM || errno == ETIMEDOUT))
    return vbl_lua_error(L, "%s: cannot be looked at: %s", path, strerror(errno));
  lua_pushboolean(L, there);
  return 1;
}

static int system_stat(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct stat s;
  if (stat(path, &s) != 0) return luaL_fileresult(L, 0, path);
  lua_createtable(L, 0, 4);
  vbl_lua_set_string(L, "type", S_ISDIR(s.st_mode) ? "directory" : S_ISREG(s.st_mode) ? "file" : "other");
  vbl_lua_set_integer(L, "size", s.st_size);
  vbl_lua_set_number(L, "mtime", (double)s.st_mtim.tv_sec + 1e-9 * (double)s.st_mtim.tv_nsec);
  lua_pushfstring(L, "%I:%I", (LUAI_UACINT)s.st_dev, (LUAI_UACINT)s.st_ino);
  lua_setfield(L, -2, "id");
  return 1;
}

static int system_disk_free(lua_State *L) {
  const char *path = luaL_optstring(L, 1, ".");
  struct statvfs s;
  if (statvfs(path, &s) != 0) return luaL_fileresult(L, 0, path);
  lua_pushinteger(L, (lua_Integer)(s.f_bavail * s.f_frsize));
  return 1;
}

static int system_threads(lua_State *L) {
  lua_pushinteger(L, vbl_threads());
  return 1;
}

static int system_set_threads(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  vbl_error err;
  if (vbl_set_threads(n < 0 || n > 1 << 20 ? -1 : (int)n, &err) != VBL_OK) return vbl_lua_raise(L, &err);
  return 0;
}

static int system_interrupted(lua_State *L) {
  int number = vbl_interrupt_pending();
  if (number == 0) return 0;
  lua_pushinteger(L, number);
  return 1;
}

static int system_clear_interrupt(lua_State *L) {
  (void)L;
  vbl_signals_settle();
  return 0;
}

static int system_hold_interrupts(lua_State *L) {
  luaL_checktype(L, 1, LUA_TBOOLEAN);
  vbl_signals_hold(lua_toboolean(L, 1), lua_toboolean(L, 2));
  return 0;
}

static int system_attempt(lua_State *L) {
  luaL_checkany(L, 1);
  int ok = vbl_call(L, lua_gettop(L) - 1, LUA_MULTRET) == LUA_OK;
  int interrupt = ok ? 0 : vbl_signals_settle();
  lua_pushboolean(L, ok);
  lua_insert(L, 1);
  if (ok) return lua_gettop(L);
  if (interrupt == 0) return 2;
  lua_pushinteger(L, interrupt);
  return 3;
}

static const vbl_fn rows[] = {
    {"time", system_time, "time() -> number", "Seconds since 1970."},
    {"monotonic", system_monotonic, "monotonic() -> number", "Seconds of a clock that never goes back; its zero means nothing."},
    {"sleep", system_sleep, "sleep(seconds) -> boolean", "Waits; false when a signal ended it early."},
    {"isatty", system_isatty, "isatty(['stdin'|'stdout'|'stderr'|'parent']) -> boolean",
     "Whether it is a terminal. Default: stdout. parent: the stdout of the process that started this one."},
    {"width", system_width, "width(['stdin'|'stdout'|'stderr'|'parent']) -> integer or nil",
     "Columns of the terminal; nil when it is none."},
    {"pid", system_pid, "pid() -> integer", "This process's number."},
    {"cwd", system_cwd, "cwd() -> string or nil, message", "The current folder."},
    {"mkdir", system_mkdir, "mkdir(path) -> true or nil, message", "Makes a folder and those above it; one that exists is fine."},
    {"list", system_list, "list(path) -> {name, ...} or nil, message", "The names in a folder, sorted, without . and .. ."},
    {"exists", system_exists, "exists(path) -> boolean", "Whether there is anything at path."},
    {"stat", system_stat, "stat(path) -> {type, size, mtime, id} or nil, message",
     "type: file, directory or other; size in bytes; id: equal for one file under two names."},
    {"disk_free", system_disk_free, "disk_free([path]) -> integer or nil, message", "Free bytes for this user where path is."},
    {"threads", system_threads, "threads() -> integer", "How many threads kernels use."},
    {"set_threads", system_set_threads, "set_threads(n)", "n from 1 to 1024."},
    {"interrupted", system_interrupted, "interrupted() -> integer or nil", "The pending signal: 2 (Ctrl-C), 15 (SIGTERM), or nil."},
    {"clear_interrupt", system_clear_interrupt, "clear_interrupt()", "Says that the interrupt has been handled."},
    {"hold_interrupts", system_hold_interrupts, "hold_interrupts(on, [every])",
     "While on, a signal is only noted: ask interrupted() at a safe point. A second Ctrl-C within 2 s raises all the same, but not "
     "with "
     "every = true: what must be saved then can be. hold_interrupts(true) lets none raise that has come before."},
    {"module_source", vbl_module_source, "module_source(name) -> string or nil", "The text of one of vbl's own Lua modules."},
    {"attempt", system_attempt, "attempt(fn, ...) -> true, results... or false, message[, signal]",
     "pcall with a traceback; an interrupt that ended fn is cleared and its signal returned."},
    {NULL, NULL, NULL, NULL}};

int vbl_open_system(lua_State *L) {
  lua_newtable(L);
  vbl_lua_register(L, "system", rows);
  vbl_lua_register(L, "system", vbl_machine_rows);
  vbl_lua_register(L, "system", vbl_process_rows);
  vbl_child_class(L);
  vbl_lua_register(L, "system", vbl_child_rows);
  return 1;
}
