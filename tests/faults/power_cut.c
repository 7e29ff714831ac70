// power_cut begin FOLDER SHADOW            all that is in FOLDER counts as being on the disk
// power_cut cut FOLDER SHADOW MODE SEED    FOLDER becomes what a disk may have of it when the power goes:
//   strict   nothing that was not synced: neither names nor bytes
//   names    every change of names, but of the files only the bytes that were synced (an unsynced one is empty)
//   mixed    of each folder and file, by chance, what was synced or what it was at the cut, a file also in part
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/durable.h"

enum mode { STRICT, NAMES, MIXED };

static const char *shadow;
static enum mode mode;
static uint64_t seed;
__thread int fault_inside;  // durable.c counts with it; here nothing is counted

static void fail(const char *what, const char *path) {
  fprintf(stderr, "power_cut: %s: %s\n", path, what);
  exit(1);
}

// splitmix64 of (seed, inode, which): a fair choice that does not hang on the order.
static uint64_t draw(uint64_t inode, uint64_t which) {
  uint64_t z = seed * 0x9e3779b97f4a7c15u + inode * 0xbf58476d1ce4e5b9u + which * 0x94d049bb133111ebu;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static char *read_file(const char *path, size_t *size) {
  FILE *f = fopen(path, "r");
  if (f == NULL) return NULL;
  char *text = NULL;
  FILE *to = open_memstream(&text, size);
  for (int c; (c = getc(f)) != EOF;) putc(c, to);
  fclose(f);
  fclose(to);
  return text;
}

static char *read_shadow(const char *what, unsigned long inode, size_t *size) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s-%lu", shadow, what, inode);
  return read_file(path, size);
}

static void write_file(const char *path, const char *data, size_t n) {
  FILE *f = fopen(path, "w");
  if (f == NULL || fwrite(data, 1, n, f) != n || fclose(f) != 0) fail("cannot write", path);
}

// was: the path that the inode has in the folder as it was at the cut; NULL where it is not there any more.
static void restore_file(unsigned long inode, const char *was, const char *out) {
  size_t synced_size = 0, last_size = 0;
  char *synced = read_shadow("data", inode, &synced_size), *last = was != NULL ? read_file(was, &last_size) : NULL;
  bool whole = mode == MIXED && last != NULL && draw(inode, 1) % 2 == 0;
  bool grew = last_size >= synced_size && (synced_size == 0 || (last != NULL && memcmp(synced, last, synced_size) == 0));
  if (whole && grew)
    write_file(out, last, synced_size + draw(inode, 2) % (last_size - synced_size + 1));
  else
    write_file(out, synced != NULL ? synced : "", synced_size);
  free(synced);
  free(last);
}

static void restore_folder(unsigned long inode, const char *was, const char *out);

static bool same_inode(const char *path, unsigned long inode) {
  struct stat s;
  return lstat(path, &s) == 0 && (unsigned long)s.st_ino == inode;
}

static void restore(char type, unsigned long inode, const char *target, const char *was, const char *out) {
  if (was != NULL && !same_inode(was, inode)) was = NULL;
  if (type == 'f') restore_file(inode, was, out);
  if (type == 'd') restore_folder(inode, was, out);
  if (type == 'l' && symlink(target, out) != 0) fail("cannot make the link", out);
}

static void restore_folder(unsigned long inode, const char *was, const char *out) {
  size_t size = 0;
  bool present = was != NULL && (mode == NAMES || (mode == MIXED && draw(inode, 0) % 2 == 0));
  if (present) durable_record(was, shadow);
  char *names = read_shadow("names", inode, &size);
  if (mkdir(out, 0777) != 0) fail("cannot make the folder", out);
  for (char *at = names, *end; at != NULL && at < names + size; at = end + 1) {
    char type, was_path[PATH_MAX], out_path[PATH_MAX], name[NAME_MAX + 1];
    unsigned long number;
    if (sscanf(at, "%c %lu %255[^\n]", &type, &number, name) != 3) fail("damaged record of", out);
    const char *target = at + strlen(at) + 1;
    end = strchr(target, '\n');
    *end = 0;
    snprintf(was_path, sizeof was_path, "%s/%s", was != NULL ? was : "", name);
    snprintf(out_path, sizeof out_path, "%s/%s", out, name);
    restore(type, number, target, was != NULL ? was_path : NULL, out_path);
  }
  free(names);
}

static void record_all(const char *path) {
  struct stat s;
  if (lstat(path, &s) != 0 || S_ISLNK(s.st_mode)) return;
  durable_record(path, shadow);
  DIR *d = S_ISDIR(s.st_mode) ? opendir(path) : NULL;
  for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
    char child[PATH_MAX];
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    snprintf(child, sizeof child, "%s/%s", path, e->d_name);
    record_all(child);
  }
  if (d != NULL) closedir(d);
}

static void cut(const char *folder) {
  char out[PATH_MAX], old[PATH_MAX];
  struct stat s;
  snprintf(out, sizeof out, "%s.cut", folder);
  snprintf(old, sizeof old, "%s.old", folder);
  if (stat(folder, &s) != 0) fail("not there", folder);
  restore_folder((unsigned long)s.st_ino, folder, out);
  if (rename(folder, old) != 0 || rename(out, folder) != 0) fail("cannot be replaced", folder);
}

int main(int argc, char **argv) {
  if (argc < 4) fail("expected begin|cut FOLDER SHADOW [MODE SEED]", "usage");
  shadow = argv[3];
  if (strcmp(argv[1], "begin") == 0) return mkdir(shadow, 0777), record_all(argv[2]), 0;
  if (argc != 6) fail("expected cut FOLDER SHADOW MODE SEED", "usage");
  mode = strcmp(argv[4], "names") == 0 ? NAMES : strcmp(argv[4], "mixed") == 0 ? MIXED : STRICT;
  seed = strtoull(argv[5], NULL, 10);
  cut(argv[2]);
  return 0;
}
