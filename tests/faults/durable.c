// What a disk would have of a folder after a power cut, kept while the program runs: of a file what it held when it was last synced, of a
// folder the names that it had then. An inode is known by its number, which tmpfs does not give twice.
//   SHADOW/data-INODE   a file's bytes     SHADOW/names-INODE   lines "TYPE INODE NAME\0TARGET\n", TYPE f, d or l (a link: its TARGET)
// defines: durable_begin, durable_synced, durable_record
#include "tests/faults/durable.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/faults.h"

static char folder[PATH_MAX], shadow[PATH_MAX];

void durable_begin(void) {
  const char *text = getenv("VBL_FAULTS_DURABLE"), *colon = text != NULL ? strchr(text, ':') : NULL;
  if (colon == NULL) return;
  snprintf(folder, sizeof folder, "%.*s", (int)(colon - text), text);
  snprintf(shadow, sizeof shadow, "%s", colon + 1);
}

static void copy_bytes(int from, int to) {
  static _Thread_local char buffer[1 << 16] __attribute__((tls_model("initial-exec")));
  for (ssize_t n; (n = read(from, buffer, sizeof buffer)) > 0;)
    if (write(to, buffer, (size_t)n) != n) abort();
}

static void write_names(const char *path, FILE *out) {
  DIR *d = opendir(path);
  if (d == NULL) abort();
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    char whole[PATH_MAX + NAME_MAX + 2], target[PATH_MAX] = "";
    struct stat s;
    snprintf(whole, sizeof whole, "%s/%s", path, e->d_name);
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || lstat(whole, &s) != 0) continue;
    if (S_ISLNK(s.st_mode) && readlink(whole, target, sizeof target - 1) < 0) abort();
    fprintf(out, "%c %lu %s%c%s\n",
            S_ISDIR(s.st_mode)   ? 'd'
            : S_ISLNK(s.st_mode) ? 'l'
                                 : 'f',
            (unsigned long)s.st_ino, e->d_name, 0, target);
  }
  closedir(d);
}

void durable_record(const char *path, const char *to) {
  char name[PATH_MAX + 64], temporary[PATH_MAX + 96];
  struct stat s;
  if (stat(path, &s) != 0) return;  // gone meanwhile
  bool is_folder = S_ISDIR(s.st_mode);
  snprintf(name, sizeof name, "%s/%s-%lu", to, is_folder ? "names" : "data", (unsigned long)s.st_ino);
  snprintf(temporary, sizeof temporary, "%s.%d", name, (int)gettid());
  FILE *out = fopen(temporary, "w");
  if (out == NULL) abort();
  if (is_folder) {
    write_names(path, out);
  } else {
    int in = open(path, O_RDONLY | O_CLOEXEC);
    if (in < 0) abort();
    copy_bytes(in, fileno(out));
    close(in);
  }
  if (fclose(out) != 0 || rename(temporary, name) != 0) abort();
}

void durable_synced(int fd) {
  char link[32], path[PATH_MAX];
  if (!*folder) return;
  fault_inside++;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  path[n > 0 ? n : 0] = 0;
  size_t length = strlen(folder);
  if (strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0)) durable_record(link, shadow);
  fault_inside--;
}
