// The prompt's history in its file, which several prompts may share: libedit's format, added to line by line.
// defines: vbl_history_load, vbl_history_append
#include "bindings/history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char kind_mark[] = "_HiStOrY_V2_\n";  // begins a file that libedit wrote

// Whether there is no file yet, or it is one of libedit's; else false with errno. Another is none of ours to write into.
static bool is_history(const char *path) {
  char begin[sizeof kind_mark] = "";
  FILE *file = fopen(path, "r");
  if (file == NULL) return errno == ENOENT;
  bool empty = fread(begin, 1, sizeof kind_mark - 1, file) == 0;
  int reason = ferror(file) ? errno : EINVAL;
  bool whole = reason == EINVAL && (empty || strcmp(begin, kind_mark) == 0);
  fclose(file);
  errno = reason;
  return whole;
}

// libedit's arrow keys and search would stop at a line that is no text in this encoding, and not reach what is older.
static void drop_damaged(History *h) {
  HistEvent line;
  int more = history(h, &line, H_LAST);
  while (more >= 0) {
    bool damaged = mbstowcs(NULL, line.str, 0) == (size_t)-1;
    if (damaged && history(h, &line, H_DEL, line.num) >= 0) free((void *)line.str);
    more = history(h, &line, damaged ? H_CURR : H_PREV);
  }
}

// Every prompt adds to the one file: it is cut down when one starts.
void vbl_history_load(History *h, int lines, const char *path) {
  HistEvent event;
  char fresh[4096 + 8];
  if (!is_history(path)) return;
  int loaded = history(h, &event, H_LOAD, path);
  drop_damaged(h);
  if (loaded <= 2 * lines) return;
  snprintf(fresh, sizeof fresh, "%s.new", path);
  if (history(h, &event, H_SAVE, fresh) < 0 || rename(fresh, path) != 0) unlink(fresh);
}

// To the end, which may be cut off within a line. At a file's beginning libedit writes the mark, too.
static bool to_end(FILE *file) {
  char last = '\n';
  struct stat at;
  if (flock(fileno(file), LOCK_EX) != 0 && errno != ENOLCK && errno != EOPNOTSUPP) return false;
  if (fstat(fileno(file), &at) != 0 || fseek(file, 0, SEEK_END) != 0) return false;
  if (at.st_size > 0 && pread(fileno(file), &last, 1, at.st_size - 1) != 1) return false;
  return last == '\n' || fputc('\n', file) != EOF;
}

static bool save_line(const char *line, FILE *file) {
  HistEvent event;
  History *one = history_init();
  if (one == NULL) return errno = ENOMEM, false;
  bool whole = history(one, &event, H_SETSIZE, 1) >= 0 && history(one, &event, H_ENTER, line) >= 0 &&
               history(one, &event, H_SAVE_FP, file) >= 0;
  history_end(one);
  return whole;
}

// Appended, not written anew: of two prompts neither takes the other's lines away, and a kill loses none.
bool vbl_history_append(const char *path, const char *line) {
  if (!is_history(path)) return false;
  mode_t mask = umask(077);
  FILE *file = fopen(path, "a+e");
  umask(mask);
  if (file == NULL) return false;
  bool whole = to_end(file) && save_line(line, file);
  int reason = errno;
  if (fclose(file) != 0) return false;
  errno = reason;
  return whole;
}
