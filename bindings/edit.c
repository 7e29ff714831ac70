// Module "vbl.edit.c": one edited line at a time, with history and completion, by libedit. Only for terminals; the prompt
// reads plain lines elsewhere (lua/vbl/repl.lua).
// defines: vbl_open_edit
#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "bindings/history.h"
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

static void marks(bool on) {
  fputs(on ? "\033[?2004h" : "\033[?2004l", stdout);
  fflush(stdout);
}

static volatile sig_atomic_t resized, suspended;

static void on_terminal(int number) { *(number == SIGWINCH ? &resized : &suspended) = 1; }

// Only while a line is typed: elsewhere neither may end a read.
static void watch_terminal(bool on) {
  static const int numbers[] = {SIGWINCH, SIGTSTP};
  static struct sigaction before[2];
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_terminal;
  action.sa_flags = SA_ONSTACK;
  for (int i = 0; i < 2; i++) {
    sigaction(numbers[i], on ? &action : &before[i], on ? &before[i] : NULL);
    if (on && numbers[i] == SIGTSTP && before[i].sa_handler == SIG_IGN) sigaction(SIGTSTP, &before[i], NULL);
  }
}

// How many rows of the terminal, `columns` wide, lie between the prompt's first and the cursor's.
static int rows_above(EditLine *e, int columns) {
  const LineInfoW *line = el_wline(e);
  int row = 0, column = (int)strlen(edit.prompt);
  for (const wchar_t *c = line->buffer; c < line->cursor; c++) {
    int width = *c == L'\t' ? 8 - column % 8 : wcwidth(*c);
    if (*c == L'\n' || column + width > columns) row++, column = 0;
    if (*c != L'\n' && width > 0) column += width;
  }
  return row + (column >= columns);
}

// The line is drawn anew where it began: most terminals have broken it anew for the new width already.
static void redraw_resized(EditLine *e) {
  struct winsize size;
  int up = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? rows_above(e, size.ws_col) : 0;
  if (up > 0) printf("\033[%dA", up);
  fputs("\r\033[J", stdout);
  fflush(stdout);
  el_resize(e);
  el_set(e, EL_REFRESH);
}

// Ctrl-Z: the shell gets its terminal as it was, and fg this one.
static void suspend(EditLine *e) {
  marks(false);
  el_set(e, EL_PREP_TERM, 0);
  raise(SIGSTOP);
  el_set(e, EL_PREP_TERM, 1);
  marks(true);
  el_resize(e);
  el_set(e, EL_REFRESH);
}

// A byte from the terminal, as read(2) returns it; -1 when a signal ended the wait (libedit's own reader would try again).
static ssize_t read_byte(EditLine *e, char *byte) {
  for (;;) {
    if (vbl_interrupt_pending() != 0) return -1;  // also one that came within what was pasted
    ssize_t n = read(STDIN_FILENO, byte, 1);
    if (n >= 0 || errno != EINTR) return n;
    if (suspended) suspended = 0, suspend(e);
    if (resized) resized = 0, redraw_resized(e);
  }
}

static int read_character(EditLine *e, wchar_t *out) {
  mbstate_t state;
  memset(&state, 0, sizeof state);
  for (;;) {
    char byte;
    ssize_t n = read_byte(e, &byte);
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

// The text as libedit takes it, on the Lua stack; '?' for what is no character here, as for what is typed.
static const wchar_t *wide(lua_State *L, const char *text, size_t n) {
  wchar_t *out = lua_newuserdatauv(L, (n + 1) * sizeof *out, 0), *end = out;
  mbstate_t state;
  memset(&state, 0, sizeof state);
  for (size_t used; n > 0; text += used, n -= used) {
    used = mbrtowc(end, text, n, &state);
    if (used == 0 || used > n) {
      *end = L'?';
      memset(&state, 0, sizeof state);
      used = 1;
    }
    end++;
  }
  *end = L'\0';
  return out;
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
    if (read_byte(e, &byte) <= 0) break;
    luaL_addchar(&text, byte == '\r' ? '\n' : byte);
    matched = byte == mark[matched] ? matched + 1 : byte == mark[0];
  }
  luaL_buffsub(&text, matched);
  luaL_pushresult(&text);
  size_t n;
  const char *pasted = lua_tolstring(L, -1, &n);
  while (n > 0 && pasted[n - 1] == '\n') n--;
  int bad = n > 0 && el_winsertstr(e, wide(L, pasted, n)) != 0;
  lua_settop(L, top);
  return bad ? CC_ERROR : CC_REFRESH;
}

// Where the environment names no encoding (a bare container, LC_ALL=C) it is UTF-8: in C's own every letter above ASCII would be lost.
static void choose_encoding(void) {
  setlocale(LC_CTYPE, "");
  if (strcmp(nl_langinfo(CODESET), "ANSI_X3.4-1968") == 0) setlocale(LC_CTYPE, "C.UTF-8");
}

static int start(lua_State *L, const char *file, size_t n) {
  HistEvent event;
  choose_encoding();
  edit.L = L;
  edit.line = el_init("vbl", stdin, stdout, stderr);
  edit.history = history_init();
  if (edit.line == NULL || edit.history == NULL) return luaL_error(L, "the line editor cannot start on this terminal");
  if (n < sizeof edit.file) memcpy(edit.file, file, n + 1);
  history(edit.history, &event, H_SETSIZE, HISTORY_LINES);
  history(edit.history, &event, H_SETUNIQUE, 1);
  if (edit.file[0] != '\0') vbl_history_load(edit.history, HISTORY_LINES, edit.file);
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
  watch_terminal(true);
  const char *text = el_gets(edit.line, &n);
  watch_terminal(false);
  marks(false);
  if (vbl_interrupt_pending() != 0) return luaL_error(L, "interrupted");
  if (text == NULL || n <= 0) return 0;
  lua_pushlstring(L, text, (size_t)(text[n - 1] == '\n' ? n - 1 : n));
  return 1;
}

static int edit_remember(lua_State *L) {
  HistEvent event;
  const char *line = luaL_checkstring(L, 1);
  history(edit.history, &event, H_ENTER, line);
  if (edit.file[0] == '\0' || vbl_history_append(edit.file, line)) return 0;
  lua_pushfstring(L, "%s: %s", edit.file, errno == EINVAL ? "not a history file; it is left as it is" : strerror(errno));
  return 1;
}

static const vbl_fn rows[] = {
    {"open", edit_open, "open(history file or nil, complete)",
     "Starts the editor. complete(text before the cursor) -> text to insert, text to show or nil."},
    {"read", edit_read, "read(prompt) -> string or nil", "One line; nil: the end of input; raises when a signal comes."},
    {"remember", edit_remember, "remember(line) -> nil or message",
     "Adds a line to the history and behind what is in its file; a message where the file cannot be written."},
    {NULL, NULL, NULL, NULL}};

int vbl_open_edit(lua_State *L) {
  lua_newtable(L);
  vbl_lua_register(L, "edit", rows);
  return 1;
}
