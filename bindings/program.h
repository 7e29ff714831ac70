// The parts of the program around the interpreter: where modules are found, how signals reach a script, how a call reports.
// defines: vbl_open_modules, vbl_has_module, vbl_module_source, vbl_script_folder, vbl_signals_start, vbl_signals_coroutines, vbl_signals_settle,
//          vbl_signals_hold, vbl_call, vbl_choose_waiting, vbl_refusal_start, vbl_open_edit, vbl_process_rows, vbl_child_rows, vbl_machine_rows, vbl_read_words
#pragma once
#include "bindings/bind.h"

// Puts the C modules into package.preload and two searchers before Lua's own: the program's Lua modules (the folder VBL_LUA
// where it has them, else the embedded text) and modules beside the script.
void vbl_open_modules(lua_State *L);
int vbl_module_source(lua_State *L);                       // its text by name (lua_CFunction), or nothing
bool vbl_has_module(const char *name);                     // one of the program's own Lua modules
void vbl_script_folder(lua_State *L, const char *script);  // `require` then also looks beside this script

// SIGINT and SIGTERM are noted in core/base/interrupt.h and, unless held, raise "interrupted" at the next Lua instruction of
// the running thread; SIGPIPE is ignored. One interpreter per process.
void vbl_signals_start(lua_State *L);
// Replaces coroutine.resume and coroutine.wrap by equals that note the running thread, so that its loops can be stopped too.
void vbl_signals_coroutines(lua_State *L);
// Ends an interrupt: clears flag and hook. Returns the signal's number, or 0.
int vbl_signals_settle(void);
// on: a signal is only noted, until a second Ctrl-C that comes after this call; with `every`, whatever comes. off: one noted meanwhile raises now.
void vbl_signals_hold(bool on, bool every);

// lua_pcall with a traceback of the script's and vbl's own frames. A table with __tostring as error (a usage error) gets none.
// On failure leaves one string.
int vbl_call(lua_State *L, int arguments, int results);

// Starts the program anew, with OpenMP's threads soon asleep while they wait, where the machine is busy and the environment has not
// decided (OMP_WAIT_POLICY, GOMP_SPINCOUNT). To be called before anything else.
void vbl_choose_waiting(char **argv);

// From here on a C++ library that is refused memory gets what can be given back, or ends the program with a message.
void vbl_refusal_start(void);

int vbl_open_edit(lua_State *L);  // "vbl.edit.c": the prompt's line editor

// The parts of "vbl.system.c" that start other programs and that look at the machine.
extern const vbl_fn vbl_process_rows[], vbl_child_rows[], vbl_machine_rows[];
void vbl_child_class(lua_State *L);  // makes the metatable of what start() gives

enum { VBL_MAX_WORDS = 256 };
// The list of strings at `arg` as argv, its end a NULL; the strings live in the table. Raises for another list.
void vbl_read_words(lua_State *L, int arg, char **words);
