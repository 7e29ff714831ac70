// Module "vbl.edit.c": one edited line at a time, with history and completion, by libedit. Only for terminals; the prompt
// reads plain lines elsewhere (lua/vbl/repl.lua).
// defines: vbl_open_edit
#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "bindings/program.h"
#include "core/base/interrupt.h"

enum { HISTORY_LINES = 2000 };

// The editor is one per process, as the terminal is.
static struct {
  EditLine *line;
  History *history;
  lua_State *L;
  char prompt[32];
  char file[4096];  // of the history; empty: none
} edit;

static char *prompt_text(EditLine *e) {
  (void)e;
  return edit.prompt;
}

// One character of the terminal; -1 when a signal ended the wait (libedit's own reader would try again).
static int read_character(EditLine *e, wchar_t *out) {
  (void)e;
  mbstate_t state;
  memset(&state, 0, sizeof state);
  for (;;) {
    char byte;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n < 0 && errno == EINTR && vbl_interrupt_pending() == 0) continue;
    if (n <= 0) return (int)n;
    size_t used = mbrtowc(out, &byte, 1, &state);
    if (used != (size_t)-2) return used == (size_t)-1 ? (*out = L'?', 1) : 1;
  }
}

// Registry "vbl.edit.complete": function(text before the cursor) -> text to insert, text to show or nil.
static unsigned char complete(EditLine *e, int key) {
  (void)key;
  lua_State *L = edit.L;
  const LineInfo *info = el_line(e);
  if (lua_getfield(L, LUA_REGISTRYINDEX, "vbl.edit.complete") != LUA_TFUNCTION) return lua_pop(L, 1), CC_ERROR;
  lua_pushlstring(L, info->buffer, (size_t)(info->cursor - info->buffer));
  unsigned char result = CC_ERROR;
  if (lua_pcall(L, 1, 2, 0) != LUA_OK) return lua_pop(L, 1), CC_ERROR;
  const char *insert = lua_tostring(L, -2), *show = lua_tostring(L, -1);
  if (insert != NULL && *insert != '\0' && el_insertstr(e, insert) == 0) result = CC_REFRESH;
  if (show != NULL) {
    fprintf(stdout, "\n%s\n", show);
    fflush(stdout);
    result = CC_REDISPLAY;
  }
  lua_pop(L, 2);
  return result;
}

// What is pasted between the terminal's marks (ESC [ 200 ~ ... ESC [ 201 ~) is put into the line as it is, line ends included: nothing runs
// before Return, and a tab is no completion.
static unsigned char paste(EditLine *e, int key) {
  static const char mark[] = "\033[201~";
  (void)key;
  luaL_Buffer text;
  lua_State *L = edit.L;
  int top = lua_gettop(L);
  luaL_buffinit(L, &text);
  size_t matched = 0;
  for (char byte; matched < sizeof mark - 1;) {
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n < 0 && errno == EINTR && vbl_interrupt_pending() == 0) continue;
    if (n <= 0) break;
    luaL_addchar(&text, byte == '\r' ? '\n' : byte);
    matched = byte == mark[matched] ? matched + 1 : byte == mark[0];
  }
  luaL_buffsub(&text, matched);
  luaL_pushresult(&text);
  size_t n;
  const char *pasted = lua_tolstring(L, -1, &n);
  while (n > 0 && pasted[n - 1] == '\n') n--;
  lua_pushlstring(L, pasted, n);
  int bad = n > 0 && el_insertstr(e, lua_tostring(L, -1)) != 0;
  lua_settop(L, top);
  return bad ? CC_ERROR : CC_REFRESH;
}

static void marks(bool on) {
  fputs(on ? "\033[?2004h" : "\033[?2004l", stdout);
  fflush(stdout);
}

static int start(lua_State *L, const char *file, size_t n) {
  HistEvent event;
  setlocale(LC_CTYPE, "");
  edit.L = L;
  edit.line = el_init("vbl", stdin, stdout, stderr);
  edit.history = history_init();
  if (edit.line == NULL || edit.history == NULL) return luaL_error(L, "the line editor cannot start on this terminal");
  if (n < sizeof edit.file) memcpy(edit.file, file, n + 1);
  history(edit.history, &event, H_SETSIZE, HISTORY_LINES);
  history(edit.history, &event, H_SETUNIQUE, 1);
  if (edit.file[0] != '\0') history(edit.history, &event, H_LOAD, edit.file);
  el_set(edit.line, EL_EDITOR, "emacs");
  el_set(edit.line, EL_HIST, history, edit.history);
  el_set(edit.line, EL_PROMPT, prompt_text);
  el_set(edit.line, EL_GETCFN, read_character);
  el_set(edit.line, EL_ADDFN, "vbl-complete", "complete a name", complete);
  el_set(edit.line, EL_BIND, "\t", "vbl-complete", NULL);
  el_set(edit.line, EL_ADDFN, "vbl-paste", "insert what was pasted", paste);
  el_set(edit.line, EL_BIND, "\033[200~", "vbl-paste", NULL);
  el_set(edit.line, EL_BIND, "^R", "em-inc-search-prev", NULL);
  return 0;
}

static int edit_open(lua_State *L) {
  size_t n;
  const char *file = luaL_optlstring(L, 1, "", &n);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  lua_setfield(L, LUA_REGISTRYINDEX, "vbl.edit.complete");
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *main_thread = lua_tothread(L, -1);
  if (edit.line == NULL) start(L, file, n);
  edit.L = main_thread;
  return 0;
}

static int edit_read(lua_State *L) {
  int n = 0;
  if (edit.line == NULL) return luaL_error(L, "read: open() comes first");
  strncpy(edit.prompt, luaL_checkstring(L, 1), sizeof edit.prompt - 1);
  el_resize(edit.line);
  marks(true);
  const char *text = el_gets(edit.line, &n);
  marks(false);
  if (vbl_interrupt_pending() != 0) return luaL_error(L, "interrupted");
  if (text == NULL || n <= 0) return 0;
  lua_pushlstring(L, text, (size_t)(text[n - 1] == '\n' ? n - 1 : n));
  return 1;
}

static int edit_remember(lua_State *L) {
  HistEvent event;
  history(edit.history, &event, H_ENTER, luaL_checkstring(L, 1));
  if (edit.file[0] != '\0') history(edit.history, &event, H_SAVE, edit.file);
  return 0;
}

static const vbl_fn rows[] = {
    {"open", edit_open, "open(history file or nil, complete)",
     "Starts the editor. complete(text before the cursor) -> text to insert, text to show or nil."},
    {"read", edit_read, "read(prompt) -> string or nil", "One line; nil: the end of input; raises when a signal comes."},
    {"remember", edit_remember, "remember(line)", "Adds a line to the history and its file."},
    {NULL, NULL, NULL, NULL}};

int vbl_open_edit(lua_State *L) {
  lua_newtable(L);
  vbl_lua_register(L, "edit", rows);
  return 1;
}
