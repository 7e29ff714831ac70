// How Ctrl-C and SIGTERM reach a script. A permanent count hook would more than double the time of plain Lua code, so the
// hook is set by the signal handler itself (lua_sethook may be called there) on the thread that runs.
// defines: vbl_signals_start, vbl_signals_coroutines, vbl_signals_settle, vbl_signals_hold
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "bindings/program.h"
#include "core/base/interrupt.h"

enum { PATIENCE = 3, INSTRUCTIONS = 1000 };

static lua_State *main_thread;
static lua_State *volatile running;
static volatile sig_atomic_t forced;  // a second SIGINT within two seconds: raise although held
static volatile sig_atomic_t firm;    // held however many come
static volatile sig_atomic_t raised;  // how often this interrupt has raised
static struct timespec last_signal;

// Raises while the interrupt is pending. A script that catches the error everywhere gets it at every instruction after
// PATIENCE times, so that no loop around pcall survives.
static void stop(lua_State *L, lua_Debug *record) {
  (void)record;
  if (vbl_interrupt_pending() == 0 || (vbl_interrupt_held() && !forced)) {
    lua_sethook(L, NULL, 0, 0);
    return;
  }
  lua_sethook(L, stop, LUA_MASKCOUNT, ++raised < PATIENCE ? INSTRUCTIONS : 1);
  luaL_where(L, 0);
  lua_pushliteral(L, "interrupted");
  lua_concat(L, 2);
  lua_error(L);
}

static void set_hooks(void) {
  int mask = LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT;
  lua_State *thread = running;
  lua_sethook(thread, stop, mask, 1);
  if (thread != main_thread) lua_sethook(main_thread, stop, mask, 1);
}

static void on_signal(int number) {
  int saved = errno;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double since = (double)(now.tv_sec - last_signal.tv_sec) + 1e-9 * (double)(now.tv_nsec - last_signal.tv_nsec);
  if (number == SIGINT && vbl_interrupt_pending() != 0 && since < 2 && !firm) forced = 1;
  last_signal = now;
  vbl_interrupt_request(number);
  set_hooks();
  errno = saved;
}

// A signal that the parent has set to be ignored (nohup, a shell's background job) stays so.
static void catch_signal(int number, const struct sigaction *action) {
  struct sigaction present;
  if (sigaction(number, NULL, &present) == 0 && present.sa_handler != SIG_IGN) sigaction(number, action, NULL);
}

// oneDNN's generated kernels keep values below the stack pointer, where the kernel would put a signal's frame: a handler on the
// interrupted stack overwrites their pointers, and the product then writes anywhere. With AVX-512 and AMX state a frame is 11 KiB.
static void use_own_stack(void) {
  static char memory[64 << 10];
  stack_t present;
  if (sigaltstack(NULL, &present) == 0 && (present.ss_flags & SS_DISABLE) == 0) return;  // a sanitizer's
  const stack_t own = {.ss_sp = memory, .ss_size = sizeof memory};
  sigaltstack(&own, NULL);
}

void vbl_signals_start(lua_State *L) {
  main_thread = L;
  running = L;
  use_own_stack();
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_flags = SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  action.sa_handler = on_signal;  // no SA_RESTART: a read at the prompt has to return
  catch_signal(SIGINT, &action);
  catch_signal(SIGTERM, &action);
  action.sa_handler = SIG_IGN;  // both then come as errors of write
  sigaction(SIGPIPE, &action, NULL);
  sigaction(SIGXFSZ, &action, NULL);
}

int vbl_signals_settle(void) {
  int number = vbl_interrupt_pending();
  vbl_interrupt_clear();
  forced = 0;
  raised = 0;
  if (main_thread != NULL) lua_sethook(main_thread, NULL, 0, 0);  // NULL: the program never came so far
  return number;
}

void vbl_signals_hold(bool on, bool every) {
  firm = on && every;
  vbl_interrupt_hold(on);
  if (on) forced = 0;
  if (!on && vbl_interrupt_pending() != 0) set_hooks();
}

// Calls Lua's own coroutine.resume (stack: thread, arguments). It hands errors of the thread back as values; what it raises
// itself is an interrupt of the outer thread, or memory.
static void resume_noted(lua_State *L, lua_State *thread) {
  lua_State *outer = running;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  running = thread;
  int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  running = outer;
  if (status != LUA_OK) lua_error(L);
  // The signal's hook was set on the thread that ran then: an interrupt that ended it goes on in this one.
  if (vbl_interrupt_pending() != 0) set_hooks();
}

// Upvalue 1: Lua's own coroutine.resume.
static int resume(lua_State *L) {
  lua_State *thread = lua_tothread(L, 1);
  luaL_argexpected(L, thread != NULL, 1, "coroutine");
  resume_noted(L, thread);
  return lua_gettop(L);
}

// Upvalues: Lua's own resume, the thread. An error closes the thread and goes on to the caller with its place before it.
static int resume_wrapped(lua_State *L) {
  lua_State *thread = lua_tothread(L, lua_upvalueindex(2));
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  resume_noted(L, thread);
  if (lua_toboolean(L, 1)) return lua_gettop(L) - 1;
  int status = lua_status(thread);
  if (status != LUA_OK && status != LUA_YIELD) lua_resetthread(thread);
  if (lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *thread = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, thread, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, -2);
  lua_pushcclosure(L, resume_wrapped, 2);
  return 1;
}

void vbl_signals_coroutines(lua_State *L) {
  lua_getglobal(L, "coroutine");
  lua_getfield(L, -1, "resume");
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, wrap, 1);
  lua_setfield(L, -3, "wrap");
  lua_pushcclosure(L, resume, 1);
  lua_setfield(L, -2, "resume");
  lua_pop(L, 1);
}
