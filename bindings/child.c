// Processes that run beside this one, for supervisors: started held, so that their number can be written down before they do anything; in
// a group of their own, so that what they start ends with them and a terminal's Ctrl-C reaches their supervisor alone; told to end
// (SIGTERM) by the kernel when this process is gone, however it went. Part of module "vbl.system.c".
// defines: vbl_child_rows, vbl_child_class
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bindings/program.h"

#define CHILD_META "vbl.system.child"

typedef struct child {
  pid_t pid;  // 0: never started
  int gate;   // what the held child reads from; -1 once it goes
  int code;   // -1 while it runs
} child;

// What the child does between fork and exec; async-signal-safe calls only. Never returns.
static void become(const char *program, char **words, const char *folder, int output, int gate, pid_t parent) {
  const int usual[] = {SIGINT, SIGTERM, SIGPIPE, SIGXFSZ};
  char byte;
  for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) signal(usual[i], SIG_DFL);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(127);  // gone before prctl
  if (read(gate, &byte, 1) != 1) _exit(127);
  int nothing = open("/dev/null", O_RDONLY);
  if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0) _exit(127);
  if (output >= 0 && (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)) _exit(127);
  if (folder == NULL || chdir(folder) == 0) execvp(program, words);
  const char *reason = strerrordesc_np(errno);
  const char *parts[] = {"vbl: cannot start ",  words[0], folder ? " in " : "", folder ? folder : "", ": ",
                         reason ? reason : "?", "\n"};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0) break;
  _exit(127);
}

static int refuse(lua_State *L, const char *what) { return luaL_fileresult(L, 0, what); }

static int child_start(lua_State *L) {
  char *words[VBL_MAX_WORDS];
  int ends[2], output = -1;
  vbl_read_words(L, 1, words);
  lua_settop(L, 2);
  vbl_lua_check_keys(L, 2, (const char *const[]){"folder", "output", "self", NULL});
  const char *folder = vbl_lua_opt_string(L, 2, "folder", NULL), *path = vbl_lua_opt_string(L, 2, "output", NULL);
  const char *program = vbl_lua_opt_bool(L, 2, "self", false) ? "/proc/self/exe" : words[0];
  child *c = lua_newuserdatauv(L, sizeof *c, 0);
  *c = (child){.gate = -1, .code = -1};
  luaL_setmetatable(L, CHILD_META);
  if (path != NULL && (output = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) < 0) return refuse(L, path);
  if (pipe2(ends, O_CLOEXEC) != 0) {
    if (output >= 0) close(output);
    return refuse(L, words[0]);
  }
  pid_t parent = getpid(), pid = fork();
  if (pid == 0) {
    close(ends[1]);  // else the child would hold its own gate
    become(program, words, folder, output, ends[0], parent);
  }
  int code = errno;
  close(ends[0]);
  if (output >= 0) close(output);
  if (pid < 0) {
    close(ends[1]);
    errno = code;
    return refuse(L, words[0]);
  }
  c->pid = pid;
  c->gate = ends[1];
  setpgid(pid, pid);  // also here: signal() right after start() has to find the group
  return 1;
}

static child *check_child(lua_State *L) { return luaL_checkudata(L, 1, CHILD_META); }

static int child_pid(lua_State *L) {
  lua_pushinteger(L, check_child(L)->pid);
  return 1;
}

static void close_gate(child *c) {
  if (c->gate >= 0) close(c->gate);
  c->gate = -1;
}

static int child_go(lua_State *L) {
  child *c = check_child(L);
  ssize_t written;
  if (c->gate < 0) return luaL_error(L, "child:go(): it goes already");
  do written = write(c->gate, "g", 1);
  while (written < 0 && errno == EINTR);  // a child that was killed meanwhile: poll() says so
  close_gate(c);
  return 0;
}

static void reap(child *c, int options) {
  int status;
  pid_t got;
  if (c->pid == 0 || c->code >= 0) return;
  do got = waitpid(c->pid, &status, options);
  while (got < 0 && errno == EINTR);
  if (got == c->pid) c->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (got < 0) c->code = 127;
}

static int child_poll(lua_State *L) {
  child *c = check_child(L);
  reap(c, WNOHANG);
  if (c->code < 0) return 0;
  lua_pushinteger(L, c->code);
  return 1;
}

static int child_signal(lua_State *L) {
  child *c = check_child(L);
  int number = vbl_lua_check_int(L, 2);
  if (c->pid != 0 && c->code < 0) kill(-c->pid, number);
  return 0;
}

// A held child ends, killed: another one that is held may have inherited the write end of its gate. One that goes is left alone.
static int child_end(lua_State *L) {
  child *c = check_child(L);
  bool held = c->gate >= 0;
  if (held && c->code < 0) kill(c->pid, SIGKILL);
  close_gate(c);
  reap(c, held ? 0 : WNOHANG);
  return 0;
}

static int child_kill(lua_State *L) {
  lua_Integer group = luaL_checkinteger(L, 1);
  luaL_argcheck(L, group > 1, 1, "expected a process group above 1");
  lua_pushboolean(L, kill((pid_t)-group, vbl_lua_check_int(L, 2)) == 0);
  return 1;
}

const vbl_fn vbl_child_rows[] = {
    {"start", child_start, "start({program, argument, ...}[, {folder=, output=, self=}]) -> child or nil, message",
     "A process beside this one, in a group of its own; no shell. It waits for child:go(), and ends when the child is closed (or "
     "collected) before. folder: where it runs. output: a file that gets what it prints, both streams, at its end. self = true: it "
     "is this program, also when its file has been replaced meanwhile; the first word is but a name. When this process ends, it "
     "gets SIGTERM. child:pid(); child:poll() -> exit code (128 + n when signal n ended it), nil while it runs; child:signal(n), "
     "to its group."},
    {"kill", child_kill, "kill(group, n) -> boolean", "Sends signal n to a process group; false when there is none (or not ours)."},
    {NULL, NULL, NULL, NULL}};

void vbl_child_class(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"pid", child_pid}, {"go", child_go}, {"poll", child_poll}, {"signal", child_signal}, {NULL, NULL}};
  luaL_newmetatable(L, CHILD_META);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, child_end);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, child_end);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
}
