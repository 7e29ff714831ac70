// Other programs, started without a shell: the arguments arrive as they are. Part of module "vbl.system.c".
// To their end: here; beside this one: child.c.
// defines: vbl_process_rows, vbl_read_words
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bindings/program.h"

extern char **environ;

void vbl_read_words(lua_State *L, int arg, char **words) {
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_Integer n = luaL_len(L, arg);
  luaL_argcheck(L, n >= 1 && n < VBL_MAX_WORDS, arg, "expected a list of 1 to 255 words: {program, argument, ...}");
  for (lua_Integer i = 0; i < n; i++) {
    if (lua_rawgeti(L, arg, i + 1) != LUA_TSTRING)
      luaL_error(L, "run: word %d is a %s, expected a string", (int)i + 1, luaL_typename(L, -1));
    words[i] = (char *)lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  words[n] = NULL;
}

// Starts the program with SIGPIPE and SIGXFSZ as usual (we ignore them, and an ignored signal outlives exec); `out` >= 0 becomes
// its standard output, `unused` is closed in it. apart: in a process group of its own. Returns errno.
static int start(char **words, int out, int unused, bool apart, pid_t *pid) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  sigaddset(&defaults, SIGXFSZ);
  int code = posix_spawn_file_actions_init(&files);
  if (code != 0) return code;
  code = posix_spawnattr_init(&attributes);
  if (code == 0) {
    code = posix_spawnattr_setsigdefault(&attributes, &defaults);
    if (code == 0) code = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | (apart ? POSIX_SPAWN_SETPGROUP : 0));
    if (code == 0 && out >= 0) code = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    if (code == 0 && out >= 0) code = posix_spawn_file_actions_addclose(&files, unused);
    if (code == 0) code = posix_spawnp(pid, words[0], &files, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_destroy(&files);
  return code;
}

// Exit code, or 128 + the signal's number.
static int wait_for(pid_t pid) {
  int status;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int refuse(lua_State *L, const char *program, int code) {
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", program, strerror(code));
  return 2;
}

static int process_run(lua_State *L) {
  char *words[VBL_MAX_WORDS];
  pid_t pid;
  vbl_read_words(L, 1, words);
  int code = start(words, -1, -1, false, &pid);
  if (code != 0) return refuse(L, words[0], code);
  lua_pushinteger(L, wait_for(pid));
  return 1;
}

// read_all(fd) -> string
static int read_all(lua_State *L) {
  int fd = (int)lua_tointeger(L, 1);
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  for (;;) {
    char *room = luaL_prepbuffsize(&text, 4096);
    ssize_t n = read(fd, room, 4096);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    luaL_addsize(&text, (size_t)n);
  }
  luaL_pushresult(&text);
  return 1;
}

static int process_output(lua_State *L) {
  char *words[VBL_MAX_WORDS];
  int ends[2];
  pid_t pid;
  vbl_read_words(L, 1, words);
  lua_getfield(L, 1, "apart");
  bool apart = lua_toboolean(L, -1);
  if (pipe2(ends, O_CLOEXEC) != 0) return refuse(L, words[0], errno);
  int code = start(words, ends[1], ends[0], apart, &pid);
  close(ends[1]);
  if (code != 0) {
    close(ends[0]);
    return refuse(L, words[0], code);
  }
  lua_pushcfunction(L, read_all);
  lua_pushinteger(L, ends[0]);
  int failed = lua_pcall(L, 1, 1, 0);  // for want of memory: nothing stays open, and no process unwaited for
  close(ends[0]);
  code = wait_for(pid);
  if (failed != LUA_OK) return lua_error(L);
  lua_pushinteger(L, code);
  return 2;
}

const vbl_fn vbl_process_rows[] = {
    {"run", process_run, "run{program, argument, ...} -> exit code or nil, message",
     "Runs a program to its end with this one's terminal; 128 + n when signal n ended it. No shell."},
    {"output", process_output, "output{program, argument, ..., apart=false} -> string, exit code or nil, message",
     "As run, and returns what the program wrote to its standard output. apart: the terminal's Ctrl-C is not for it."},
    {NULL, NULL, NULL, NULL}};
