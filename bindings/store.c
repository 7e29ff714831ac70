// "vbl.store.c": files that appear whole, checksums, files that grow line by line, folders replaced at once. Paths are strings.
// Errors of files are raised with path and the system's reason.
// defines: vbl_open_store, vbl_end_file_bytes
#include "bindings/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "core/store/atomic.h"
#include "core/store/file.h"
#include "core/store/hash.h"

#define APPEND_META "vbl.store.append"
#define FOLDER_META "vbl.store.folder"

void vbl_end_file_bytes(void *b) { vbl_file_bytes_free(b); }

static int read_file(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  vbl_file_bytes *b = vbl_lua_own(L, sizeof *b, vbl_end_file_bytes);
  VBL_LUA_TRY(L, vbl_file_read(path, b, &err));
  lua_pushlstring(L, b->data, b->size);
  vbl_lua_disown(L, -2);
  return 1;
}

static int write_atomic(lua_State *L) {
  size_t n;
  const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &n);
  VBL_LUA_TRY(L, vbl_atomic_write(path, text, n, &err));
  return 0;
}

static int create_once(lua_State *L) {
  size_t n;
  bool created = false;
  const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &n), *temporary = luaL_checkstring(L, 3);
  VBL_LUA_ONCE(L, vbl_create_once(path, temporary, text, n, &created, &err));
  lua_pushboolean(L, created);
  return 1;
}

static int make_folder(lua_State *L) {
  bool existed;
  const char *path = luaL_checkstring(L, 1);
  VBL_LUA_ONCE(L, vbl_folder_make(path, &existed, &err));
  lua_pushboolean(L, !existed);
  return 1;
}

static int remove_tree(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  VBL_LUA_TRY(L, vbl_tree_remove(path, &err));
  return 0;
}

static int clean_stale(lua_State *L) {
  int removed;
  const char *path = luaL_checkstring(L, 1);
  VBL_LUA_TRY(L, vbl_clean_stale(path, &removed, &err));
  lua_pushinteger(L, removed);
  return 1;
}

static int sha256(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 1, &n);
  char hex[65];
  vbl_sha256 s;
  vbl_sha256_init(&s);
  vbl_sha256_update(&s, text, n);
  vbl_sha256_final(&s, hex);
  lua_pushstring(L, hex);
  return 1;
}

static int sha256_file(lua_State *L) {
  char hex[65];
  const char *path = luaL_checkstring(L, 1);
  VBL_LUA_TRY(L, vbl_hash_file(path, hex, NULL, NULL, &err));
  lua_pushstring(L, hex);
  return 1;
}

static int crc32_text(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 1, &n);
  lua_pushinteger(L, vbl_crc32((uint32_t)luaL_optinteger(L, 2, 0), text, n));
  return 1;
}

static int crc32_file(lua_State *L) {
  uint32_t crc;
  uint64_t size;
  const char *path = luaL_checkstring(L, 1);
  VBL_LUA_TRY(L, vbl_hash_file(path, NULL, &crc, &size, &err));
  lua_pushinteger(L, crc);
  lua_pushinteger(L, (lua_Integer)size);
  return 2;
}

static int crc32c_text(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 1, &n);
  lua_pushinteger(L, vbl_crc32c((uint32_t)luaL_optinteger(L, 2, 0), text, n));
  return 1;
}

// A file that grows by whole pieces. One write(2) a piece, no buffer: tell() is what a kill -9 leaves.
typedef struct append_file {
  int fd;  // -1 when closed
  int64_t size;
  char path[PATH_MAX];
} append_file;

static append_file *check_append(lua_State *L) {
  append_file *a = luaL_checkudata(L, 1, APPEND_META);
  if (a->fd < 0) luaL_error(L, "%s: the file was closed", a->path);
  return a;
}

static int append_failed(lua_State *L, const append_file *a, const char *action) {
  vbl_error err;
  vbl_fail_errno(&err, action, a->path);
  return vbl_lua_raise(L, &err);
}

// A reader that asks whether a file is locked (store_locked) holds its lock for an instant; a writer lasts.
static bool lock(int fd) {
  for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
    if (errno != EWOULDBLOCK || tries == 10) return false;
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
  return true;
}

static int append_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  luaL_argcheck(L, strlen(path) < PATH_MAX, 1, "path too long");
  append_file *a = lua_newuserdatauv(L, sizeof *a, 0);
  a->fd = -1;
  strcpy(a->path, path);
  luaL_setmetatable(L, APPEND_META);
  a->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (a->fd < 0) return append_failed(L, a, "open");
  if (!lock(a->fd)) {
    if (errno == EWOULDBLOCK) return vbl_lua_error(L, "%s: another process is writing to it", path);
    return append_failed(L, a, "lock");
  }
  a->size = lseek(a->fd, 0, SEEK_END);
  return 1;
}

static int store_locked(lua_State *L) {
  int fd = open(luaL_checkstring(L, 1), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (fd >= 0) close(fd);
  lua_pushboolean(L, held);
  return 1;
}

static int append_write(lua_State *L) {
  append_file *a = check_append(L);
  size_t n, done = 0;
  const char *text = luaL_checklstring(L, 2, &n);
  while (done < n) {
    ssize_t w = write(a->fd, text + done, n - done);
    if (w < 0 && errno == EINTR) continue;
    if (w < 0) {  // half a line on a full disk: cut it off again, so that what is there stays readable
      int code = errno;
      if (ftruncate(a->fd, a->size) != 0) {  // then nothing may follow it
        close(a->fd);
        a->fd = -1;
      }
      errno = code;
      return append_failed(L, a, "write");
    }
    done += (size_t)w;
  }
  a->size += (int64_t)n;
  return 0;
}

static int append_sync(lua_State *L) {
  append_file *a = check_append(L);
  if (fsync(a->fd) != 0) return append_failed(L, a, "flush");
  return 0;
}

static int append_truncate(lua_State *L) {
  append_file *a = check_append(L);
  lua_Integer size = luaL_checkinteger(L, 2);
  luaL_argcheck(L, size >= 0, 2, "expected a size >= 0");
  VBL_LUA_TRY(L, vbl_file_truncate(a->path, (uint64_t)size, &err));
  a->size = size;
  return 0;
}

static int append_tell(lua_State *L) {
  lua_pushinteger(L, check_append(L)->size);
  return 1;
}

static int append_close(lua_State *L) {
  append_file *a = luaL_checkudata(L, 1, APPEND_META);
  if (a->fd >= 0) close(a->fd);
  a->fd = -1;
  return 0;
}

static int folder_begin(lua_State *L) {
  const char *parent = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
  vbl_atomic_folder *f = lua_newuserdatauv(L, sizeof *f, 0);
  f->path[0] = 0;
  luaL_setmetatable(L, FOLDER_META);
  VBL_LUA_TRY(L, vbl_atomic_folder_begin(f, parent, name, &err));
  return 1;
}

static vbl_atomic_folder *check_folder(lua_State *L) {
  vbl_atomic_folder *f = luaL_checkudata(L, 1, FOLDER_META);
  if (!f->path[0]) luaL_error(L, "%s/%s: the folder was committed or aborted", f->parent, f->name);
  return f;
}

static int folder_path(lua_State *L) {
  lua_pushstring(L, check_folder(L)->path);
  return 1;
}

static int folder_commit(lua_State *L) {
  vbl_atomic_folder *f = check_folder(L);
  VBL_LUA_ONCE(L, vbl_atomic_folder_commit(f, &err));
  return 0;
}

static int folder_abort(lua_State *L) {
  vbl_atomic_folder_abort(luaL_checkudata(L, 1, FOLDER_META));
  return 0;
}

static const vbl_fn append_methods[] = {
    {"write", append_write, "write(text)", "Appends; raises when the disk is full, after cutting off the half-written piece."},
    {"sync", append_sync, "sync()", "Waits until all that was written is on the disk."},
    {"truncate", append_truncate, "truncate(size)", "Cuts to `size` bytes; an error when the file is shorter."},
    {"tell", append_tell, "tell() -> integer", "The file's size in bytes."},
    {"close", append_close, "close()", "Ends it; again is fine."},
    {NULL, NULL, NULL, NULL}};

static const vbl_fn folder_methods[] = {
    {"path", folder_path, "path() -> string", "Where to write the files of the new content."},
    {"commit", folder_commit, "commit()", "The name now names the new content; what it named before is removed."},
    {"abort", folder_abort, "abort()", "Drops the new content; again, or after a commit, is fine."},
    {NULL, NULL, NULL, NULL}};

static const vbl_fn rows[] = {
    {"read_file", read_file, "read_file(path) -> string", "A whole file's bytes."},
    {"write_atomic", write_atomic, "write_atomic(path, text)",
     "Replaces a file: written beside, flushed, renamed. A reader sees the old file or the new one, never a part."},
    {"create_once", create_once, "create_once(path, text, temporary) -> boolean",
     "Makes a file unless it exists: of all processes and hosts that try, one gets true. temporary: a path on the same file system "
     "that "
     "this process alone writes."},
    {"make_folder", make_folder, "make_folder(path) -> created", "With its parents; false when it was there already."},
    {"remove", remove_tree, "remove(path)", "A file, a link or a folder with all in it; a missing one is fine."},
    {"clean_stale", clean_stale, "clean_stale(folder) -> count",
     "Removes what killed writers left in the folder (NAME.tmp-PID, .NAME-PID-N that no link names). Only for its one writer."},
    {"append", append_open, "append(path) -> file",
     "A file that grows: file:write(text), :sync(), :truncate(size), :tell(), :close(). Locked: one writer at a time."},
    {"locked", store_locked, "locked(path) -> boolean",
     "Whether somebody (this process too) has it open by append; false for a missing file."},
    {"replace_folder", folder_begin, "replace_folder(parent, name) -> folder",
     "parent/name is replaced as a whole: write into folder:path(), then folder:commit() (or :abort())."},
    {"sha256", sha256, "sha256(text) -> string", "64 lower-case hexadecimal digits."},
    {"sha256_file", sha256_file, "sha256_file(path) -> string", "Of a file's content."},
    {"crc32", crc32_text, "crc32(text[, crc]) -> integer", "IEEE, as zip and zlib; crc: of the part before."},
    {"crc32_file", crc32_file, "crc32_file(path) -> integer, size", "Of a file's content, and its bytes."},
    {"crc32c", crc32c_text, "crc32c(text[, crc]) -> integer", "Castagnoli, as in TFRecord files."},
    {NULL, NULL, NULL, NULL}};

int vbl_open_store(lua_State *L) {
  vbl_lua_class(L, APPEND_META, NULL, append_methods, append_close);
  vbl_lua_class(L, FOLDER_META, NULL, folder_methods, folder_abort);
  vbl_lua_database_class(L);
  lua_newtable(L);
  vbl_lua_register(L, "vbl.store.c", rows);
  vbl_lua_register(L, "vbl.store.c", vbl_json_rows);
  vbl_lua_register(L, "vbl.store.c", vbl_array_rows);
  vbl_lua_register(L, "vbl.store.c", vbl_copy_rows);
  vbl_lua_register(L, "vbl.store.c", vbl_database_rows);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  return 1;
}
