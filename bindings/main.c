// vbl: the interpreter of Lua 5.4 with the engine inside. Options as lua(1); the first word may also name a command
// (lua/vbl/cmd/NAME.lua). Here: the command line and exit codes; modules, signals and tracebacks are beside this file.
#include <errno.h>
#include <lualib.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindings/program.h"
#include "core/base/interrupt.h"
#include "core/base/threads.h"
#include "core/comm/comm.h"
#include "core/tensor/tensor.h"

static const char usage[] =
    "usage: vbl [-e code] [-l module] [-i] [-v] [-E] [-W] [script [key=value ...] [flags]]\n"
    "       vbl command ...\n"
    "  -e code    run code           -l module  require it into a global of its name\n"
    "  -i         prompt afterwards  -v         print the version\n"
    "  -E         ignore LUA_INIT, LUA_PATH, LUA_CPATH, VBL_LUA        -W  turn warnings on\n"
    "  -          run the standard input; --  end of options; no script on a terminal: the prompt\n"
    "  script --help   prints an experiment's config keys, --plan what it would do\n"
    "commands: doctor (what this machine has), learn (a guided tour), data, export, lsp, reference, report, runs, sweep, test, "
    "why; man vbl\n";

// Of which a misspelt one is told the nearest.
static const char *const commands[] = {"data",      "doctor", "export", "help",  "learn", "lsp",
                                       "reference", "report", "runs",   "sweep", "test",  "why"};

typedef struct options {
  bool interactive, version, help;
  bool no_environment;  // -E
  bool code;            // an -e was given
  int script;           // index of the script or command in argv; argc when there is none
  const char *bad;
} options;

// A terminal obeys control characters: of ASCII but for newline and tab, and of Latin-1 as UTF-8.
static bool is_control(const char *at) {
  unsigned char c = (unsigned char)at[0], next = c == 0xc2 ? (unsigned char)at[1] : 0;
  return (c < ' ' && c != '\n' && c != '\t') || c == 127 || (next >= 0x80 && next < 0xa0);
}

// A message may quote a stranger's file: what is in it is shown, as vbl.visible does.
static void put_message(const char *text) {
  const char *before = "vbl: ";
  while (true) {
    size_t n = 0;
    while (text[n] != '\0' && !is_control(text + n)) n++;
    fprintf(stderr, "%s%.*s", before, (int)n, text);
    text += n;
    if (*text == '\0') break;
    bool latin = (unsigned char)*text == 0xc2;
    fprintf(stderr, latin ? "\\u{%02x}" : "\\x%02x", (unsigned char)text[latin]);
    text += 1 + latin;
    before = "";
  }
  fputc('\n', stderr);
}

// Lua's own message when memory is refused has neither a place nor a size: that of its last resort, made at its start.
static int fail(lua_State *L) {
  const char *message = lua_tostring(L, -1);
  if (message == NULL) message = "an error that is no string";
  bool ours = vbl_comm_failed(message);
  if (ours && strcmp(message, "not enough memory") == 0)
    fprintf(stderr, "vbl: not enough memory for the interpreter (its objects hold %.1f MiB, tensors %.1f MiB)\n",
            (double)lua_gc(L, LUA_GCCOUNT) / 1024, (double)vbl_memory().live / 0x1p20);
  else if (ours)
    put_message(message);
  lua_pop(L, 1);
  return EXIT_FAILURE;
}

// Reads the options up to the script; -e, -l and -W are run later, in order.
static options read_options(int argc, char **argv) {
  options o = {.script = argc};
  for (int i = 1; i < argc; i++) {
    const char *word = argv[i];
    if (strcmp(word, "help") == 0) return o.help = true, o;
    if (word[0] != '-' || strcmp(word, "-") == 0) return o.script = i, o;
    if (strcmp(word, "--") == 0) return o.script = i + 1, o;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
      o.help = true;
    else if (strcmp(word, "-i") == 0)
      o.interactive = true;
    else if (strcmp(word, "-v") == 0 || strcmp(word, "--version") == 0)
      o.version = true;
    else if (strcmp(word, "-E") == 0)
      o.no_environment = true;
    else if (strcmp(word, "-W") == 0)
      continue;  // in its turn: run_options
    else if (word[1] == 'e' || word[1] == 'l') {
      if (word[1] == 'e') o.code = true;
      if (word[2] == '\0' && ++i >= argc) return o.bad = word, o;
    } else
      return o.bad = word, o;
  }
  return o;
}

// The global `arg`: [0] is the script, positive its arguments, negative what stands before it.
static void set_arg(lua_State *L, int argc, char **argv, int script) {
  int origin = script < argc ? script : 0;
  lua_createtable(L, argc - origin, origin);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - origin);
  }
  lua_setglobal(L, "arg");
}

static int require(lua_State *L, const char *module) {
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  return vbl_call(L, 1, 1);
}

// Runs the -e, -l and -W options in their order. Returns an exit code.
static int run_options(lua_State *L, char **argv, int end) {
  for (int i = 1; i < end; i++) {
    if (strcmp(argv[i], "-W") == 0) lua_warning(L, "@on", 0);
    if (argv[i][0] != '-' || (argv[i][1] != 'e' && argv[i][1] != 'l')) continue;
    bool code = argv[i][1] == 'e';
    const char *value = argv[i][2] != '\0' ? argv[i] + 2 : argv[++i];
    if (code) {
      if (luaL_loadbuffer(L, value, strlen(value), "=(command line)") != LUA_OK || vbl_call(L, 0, 0) != LUA_OK) return fail(L);
    } else {
      const char *equals = strchr(value, '=');
      if (require(L, equals == NULL ? value : equals + 1) != LUA_OK) return fail(L);
      lua_pushglobaltable(L);
      lua_pushlstring(L, value, equals == NULL ? strlen(value) : (size_t)(equals - value));
      lua_pushvalue(L, -3);
      lua_rawset(L, -3);
      lua_pop(L, 2);
    }
  }
  return EXIT_SUCCESS;
}

// LUA_INIT_5_4 or LUA_INIT: code, or @ and a file, to be run before all else. Returns an exit code.
static int run_init(lua_State *L) {
  const char *name = "LUA_INIT_5_4", *init = getenv(name);
  if (init == NULL) init = getenv(name = "LUA_INIT");
  if (init == NULL) return EXIT_SUCCESS;
  lua_pushfstring(L, "=%s", name);
  int failed = init[0] == '@' ? luaL_loadfile(L, init + 1) : luaL_loadbuffer(L, init, strlen(init), lua_tostring(L, -1));
  if (failed != LUA_OK || vbl_call(L, 0, 0) != LUA_OK) return fail(L);
  lua_pop(L, 1);
  return EXIT_SUCCESS;
}

// A script's result is its exit code when it is an integer, else 0.
static int run_chunk(lua_State *L, int argc, char **argv, int first) {
  int n = argc > first ? argc - first : 0;
  luaL_checkstack(L, n + 2, "too many arguments");
  for (int i = 0; i < n; i++) lua_pushstring(L, argv[first + i]);
  if (vbl_call(L, n, 1) != LUA_OK) return fail(L);
  int code = lua_isinteger(L, -1) ? (int)lua_tointeger(L, -1) : EXIT_SUCCESS;
  lua_pop(L, 1);
  return code;
}

// Commands and the prompt are of one process, and so is the standard input: mpirun gives it to the first.
static int refuse_ranks(lua_State *L, const char *what) {
  vbl_error err;
  int launched = vbl_comm_launched(NULL);
  if (launched == 1) return EXIT_SUCCESS;
  if (vbl_comm_start(&err) == VBL_OK)
    lua_pushfstring(L, "%d processes were started as one run, which takes a script: mpirun -n %d vbl SCRIPT; %s one process",
                    launched, launched, what);
  else
    lua_pushstring(L, err.message);
  return fail(L);
}

// Pushes ", did you mean 'doctor'?", or "" where no command is near.
static void push_nearest_command(lua_State *L, const char *word) {
  int n = (int)(sizeof commands / sizeof commands[0]);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "vbl.nearest");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "hint");
  lua_pushstring(L, word);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushstring(L, commands[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_call(L, 2, 1);
  lua_remove(L, -2);
}

static int run_script(lua_State *L, int argc, char **argv, int script) {
  bool standard_input = script >= argc || (strcmp(argv[script], "-") == 0 && strcmp(argv[script - 1], "--") != 0);
  const char *file = standard_input ? NULL : argv[script];
  if (standard_input && refuse_ranks(L, "the standard input is of") != EXIT_SUCCESS) return EXIT_FAILURE;
  if (file != NULL) vbl_script_folder(L, file);
  int failed = luaL_loadfile(L, file);
  if (failed == LUA_ERRFILE && file != NULL && strpbrk(file, "./") == NULL) {
    push_nearest_command(L, file);
    lua_pushfstring(L, "%s; nor is it a command%s (vbl --help names them)", lua_tostring(L, -2), lua_tostring(L, -1));
  }
  if (failed != LUA_OK) return fail(L);
  return run_chunk(L, argc, argv, script + 1);
}

// Whether the word is plain and lua/vbl/cmd/WORD.lua exists. A script has a path, a suffix, or no command's name.
static bool is_command(const char *word) {
  char module[64];
  if (strspn(word, "abcdefghijklmnopqrstuvwxyz_") != strlen(word)) return false;
  int n = snprintf(module, sizeof module, "vbl.cmd.%s", word);
  return n > 0 && (size_t)n < sizeof module && vbl_has_module(module);
}

// A command module returns function(words...) -> exit code or nil.
static int run_command(lua_State *L, int argc, char **argv, int command) {
  char module[64];
  if (refuse_ranks(L, "a command is of") != EXIT_SUCCESS) return EXIT_FAILURE;
  snprintf(module, sizeof module, "vbl.cmd.%s", argv[command]);
  if (require(L, module) != LUA_OK) return fail(L);
  return run_chunk(L, argc, argv, command + 1);
}

static int run_prompt(lua_State *L) {
  if (refuse_ranks(L, "the prompt is of") != EXIT_SUCCESS) return EXIT_FAILURE;
  if (require(L, "vbl.repl") != LUA_OK || vbl_call(L, 0, 1) != LUA_OK) return fail(L);
  int code = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return code;
}

static int run(lua_State *L, int argc, char **argv, const options *o) {
  bool typed = !o->code && !o->version && o->script >= argc;
  lua_pushboolean(L, o->interactive || typed);
  lua_setfield(L, LUA_REGISTRYINDEX, "vbl.keep_locals");
  int code = run_options(L, argv, o->script);
  if (code != EXIT_SUCCESS) return code;
  bool prompt = o->interactive;
  if (o->script < argc)
    code = is_command(argv[o->script]) && strcmp(argv[o->script - 1], "--") != 0 ? run_command(L, argc, argv, o->script)
                                                                                 : run_script(L, argc, argv, o->script);
  else if (!o->interactive && !o->code && !o->version) {
    if (!isatty(STDIN_FILENO)) return run_script(L, argc, argv, o->script);
    prompt = true;
  }
  if (!prompt || vbl_interrupt_pending() == SIGTERM) return code;
  vbl_signals_settle();  // Ctrl-C has ended the script, and nothing that is typed now
  return run_prompt(L);
}

// The interpreter with libraries, modules, strict globals and the global `vbl`.
static int start(lua_State *L, int argc, char **argv, const options *o) {
  lua_pushboolean(L, o->no_environment);
  lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");  // which Lua's package library reads
  luaL_openlibs(L);
  vbl_threads_start();
  // A tensor's userdata has a finaliser, so it survives the cycle that finds it dead and counts as live for the next one's start:
  // at Lua's own pause (200 %) a loop that makes tensors grows without bound, at 150 % it is flat.
  lua_gc(L, LUA_GCINC, 150, 0, 0);
  vbl_open_modules(L);
  vbl_signals_coroutines(L);
  vbl_signals_start(L);
  set_arg(L, argc, argv, o->script);
  if (require(L, "vbl") != LUA_OK) return fail(L);
  lua_setglobal(L, "vbl");
  if (require(L, "vbl.strict") != LUA_OK) return fail(L);
  lua_pop(L, 1);
  return o->no_environment ? EXIT_SUCCESS : run_init(L);
}

// The whole program, as a Lua function: memory may be refused at any of its calls.
typedef struct program {
  int argc, code;
  char **argv;
  const options *o;
} program;

static int run_program(lua_State *L) {
  program *p = lua_touserdata(L, 1);
  (void)vbl_comm_start(NULL);  // without an MPI: said where the ranks are asked for
  p->code = start(L, p->argc, p->argv, p->o);
  if (p->code == EXIT_SUCCESS) p->code = run(L, p->argc, p->argv, p->o);
  return 0;
}

// What was printed and could not be written (a full disk) is a failure, unless the reader has gone (`| head`).
static int close_output(int code) {
  bool lost = fflush(stdout) != 0;
  int reason = lost ? errno : EIO;
  struct pollfd reader = {.fd = STDOUT_FILENO, .events = POLLOUT};
  if (!lost && !ferror(stdout)) return code;
  if (reason == EPIPE || (poll(&reader, 1, 0) == 1 && (reader.revents & POLLERR) != 0)) return code;
  fprintf(stderr, "vbl: standard output: not all could be written%s%s\n", lost ? ": " : "", lost ? strerror(reason) : "");
  return code == EXIT_SUCCESS ? EXIT_FAILURE : code;
}

int main(int argc, char **argv) {
  vbl_choose_waiting(argv);
  // oneDNN packs matrices into malloc'ed memory at every call. Given back to the system each time, clearing the pages anew cost 6 %
  // of a training step; kept, it is a few megabytes.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  vbl_refusal_start();
  options o = read_options(argc, argv);
  if (o.bad != NULL) {
    fprintf(stderr, "vbl: unknown or incomplete option '%s'\n%s", o.bad, usage);
    return EXIT_FAILURE;
  }
  if (o.help) return fputs(usage, stdout) < 0;
  if (o.version) printf("vbl %s, %s\n", VBL_VERSION, LUA_RELEASE);
  lua_State *L = luaL_newstate();
  if (L == NULL) {
    fputs("vbl: no memory for the interpreter\n", stderr);
    return EXIT_FAILURE;
  }
  program p = {.argc = argc, .argv = argv, .o = &o};
  lua_pushcfunction(L, run_program);
  lua_pushlightuserdata(L, &p);
  int code = lua_pcall(L, 1, 0, 0) == LUA_OK ? p.code : fail(L);
  code = close_output(code);
  int interrupt = vbl_signals_settle();  // one that nobody handled
  lua_close(L);
  return interrupt != 0 ? 128 + interrupt : code;
}
