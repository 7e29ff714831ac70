// Part of "vbl.store.c": copies, unpacking, what lies in a folder and on which kind of file system.
// defines: vbl_copy_rows
#include <sys/vfs.h>

#include "bindings/store.h"
#include "core/store/copy.h"

static int copy(lua_State *L) {
  const char *from = luaL_checkstring(L, 1), *to = luaL_checkstring(L, 2);
  int64_t offset = luaL_optinteger(L, 3, 0), bytes = luaL_optinteger(L, 4, -1);
  luaL_argcheck(L, offset >= 0, 3, "expected an offset >= 0");
  VBL_LUA_TRY(L, vbl_copy_range(from, offset, bytes, to, &err));
  return 0;
}

static int gunzip(lua_State *L) {
  const char *from = luaL_checkstring(L, 1), *to = luaL_checkstring(L, 2);
  VBL_LUA_TRY(L, vbl_gunzip(from, to, &err));
  return 0;
}

static vbl_status add_name(void *context, const char *relative, vbl_error *err) {
  (void)err;
  lua_State *L = context;
  lua_pushstring(L, relative);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  return VBL_OK;
}

static int files(lua_State *L) {
  const char *folder = luaL_checkstring(L, 1);
  luaL_checkstack(L, 8, NULL);
  lua_newtable(L);
  VBL_LUA_TRY(L, vbl_tree_files(folder, add_name, L, &err));
  return 1;
}

// Magic numbers of statfs(2) and of the kernel's and the makers' headers.
static int is_network(lua_State *L) {
  static const unsigned types[] = {
      0x6969 /* NFS */,    0x517B /* SMB */,        0xFF534D42 /* CIFS */, 0xFE534D42 /* SMB2 */, 0x65735546 /* FUSE */,
      0x01021997 /* 9p */, 0x0BD00BD0 /* Lustre */, 0x47504653 /* GPFS */, 0x00C36400 /* Ceph */, 0x19830326 /* BeeGFS */,
      0x5346414F /* AFS */};
  struct statfs s;
  bool found = false;
  if (statfs(luaL_checkstring(L, 1), &s) != 0) return luaL_fileresult(L, 0, lua_tostring(L, 1));
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) found = found || (unsigned)s.f_type == types[i];
  lua_pushboolean(L, found);
  return 1;
}

const vbl_fn vbl_copy_rows[] = {
    {"copy", copy, "copy(from, to[, offset, bytes])",
     "A file, or its bytes from offset on, into the file `to`, which appears whole."},
    {"gunzip", gunzip, "gunzip(from, to)", "The content of a gzip file into the file `to`, which appears whole."},
    {"files", files, "files(folder) -> {relative path, ...}", "The regular files below a folder, in no order; links are left out."},
    {"is_network", is_network, "is_network(path) -> boolean or nil, message",
     "Whether the path is on NFS, SMB, Lustre or another shared file system."},
    {NULL, NULL, NULL, NULL}};
