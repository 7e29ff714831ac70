// What vbl says about itself: memory, devices, help.
// defines: vbl_environment_rows
#include "bindings/tensor.h"
#include "core/base/threads.h"
#include "core/tensor/branch.h"

// The device's own counters, once one was opened.
static void device_counts(lua_State *L) {
  const vbl_backend *opened = vbl_plan_backend() != NULL ? vbl_plan_backend() : vbl_backend_opened();
  int64_t allocations, stops;
  if (opened == NULL) return;
  vbl_lua_set_device_memory(L, opened, "device_");
  if (opened->counts == NULL) return;
  opened->counts(&allocations, &stops);
  vbl_lua_set_integer(L, "device_allocations", allocations);
  vbl_lua_set_integer(L, "device_stops", stops);
}

static int memory(lua_State *L) {
  vbl_memory_stats stats = vbl_memory();
  lua_createtable(L, 0, 6);
  vbl_lua_set_integer(L, "live", stats.live);
  vbl_lua_set_integer(L, "cached", stats.cached);
  vbl_lua_set_integer(L, "peak", stats.peak);
  vbl_lua_set_integer(L, "allocations", stats.allocations);
  device_counts(L);
  return 1;
}

static int synchronize(lua_State *L) {
  const vbl_backend *opened = vbl_backend_opened();
  if (opened == NULL || vbl_plan_backend() != NULL) return 0;
  vbl_branches_join();
  VBL_LUA_TRY(L, opened->sync(NULL, &err));
  return 0;
}

static int reset_peak_memory(lua_State *L) {
  (void)L;
  vbl_memory_reset_peak();
  return 0;
}

static int describe_device(lua_State *L) {
  char text[4096] = "";
  const vbl_backend *opened = vbl_backend_opened();
  if (opened != NULL && opened->describe != NULL) opened->describe(text, sizeof text);
  lua_pushstring(L, text);
  return 1;
}

static int devices(lua_State *L) {
  const vbl_backend *cpu = vbl_cpu_backend();
  lua_createtable(L, 1, 0);
  lua_createtable(L, 0, 3);
  vbl_lua_set_string(L, "name", cpu->name);
  vbl_lua_set_string(L, "isa", cpu->isa);
  vbl_lua_set_integer(L, "threads", vbl_threads());
  lua_rawseti(L, -2, 1);
  const vbl_backend *cuda = NULL;
  vbl_error err;
  if (vbl_backend_open("cuda", &cuda, &err) == VBL_OK) {
    lua_createtable(L, 0, 2);
    vbl_lua_set_string(L, "name", cuda->name);
    vbl_lua_set_string(L, "isa", cuda->isa);
    lua_pushcfunction(L, describe_device);
    lua_setfield(L, -2, "describe");
    lua_rawseti(L, -2, 2);
    return 1;
  }
  lua_pushstring(L, err.message);
  return 2;
}

static int document(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, VBL_LUA_HELP);
  lua_createtable(L, 0, 2);
  vbl_lua_set_string(L, "signature", luaL_checkstring(L, 2));
  vbl_lua_set_string(L, "help", luaL_checkstring(L, 3));
  lua_setfield(L, -2, luaL_checkstring(L, 1));
  return 0;
}

static int set_deterministic(lua_State *L) {
  if (!lua_isnone(L, 1)) {
    luaL_checktype(L, 1, LUA_TBOOLEAN);
    vbl_set_deterministic(lua_toboolean(L, 1));
  }
  lua_pushboolean(L, vbl_deterministic());
  return 1;
}

static int is_tensor(lua_State *L) {
  lua_pushboolean(L, vbl_lua_test_handle(L, 1) != NULL);
  return 1;
}

const vbl_fn vbl_environment_rows[] = {
    {"memory", memory, "memory() -> {live, cached, peak, allocations, [device_live, device_peak, ...]}",
     "Bytes in tensors, in the allocator's free blocks, the most in tensors since vbl.reset_peak_memory; tensors' memory blocks "
     "ever made. Of a device, once it is used: device_live and device_peak (blocks in use, kernels' working memory included), "
     "device_held and device_most_held (with the free blocks that are kept), device_limit (what this process may hold); "
     "device_allocations and device_stops: how often it was asked for memory, how often the host waited for it."},
    {"reset_peak_memory", reset_peak_memory, "reset_peak_memory()", "Starts vbl.memory().peak again at what is live now."},
    {"synchronize", synchronize, "synchronize()",
     "Waits until the device is done with all that was asked of it, as who takes a time has to; what failed on it meanwhile is "
     "raised here. On the CPU nothing is "
     "ever left to wait for."},
    {"devices", devices, "devices() -> {{name, isa, threads, [describe]}, ...}, [reason]",
     "What can compute here; and why CUDA cannot. describe() of a GPU tries it and gives doctor's lines: state, what, sentence, by "
     "tabs."},
    {"deterministic", set_deterministic, "deterministic([on]) -> boolean",
     "Whether a GPU computes the same bits in every process on one device: nothing is chosen by its time, no sum's order varies. "
     "on: "
     "from now on so (true), or not (false, as at first). The CPU always does, with one number of threads."},
    {"document", document, "document(full_name, signature, help)",
     "Adds a function to what ?name tells; full_name as \"vbl.optim.adamw\"."},
    {"is_tensor", is_tensor, "is_tensor(value) -> boolean", "Whether the value is a tensor (also a released one)."},
    {NULL, NULL, NULL, NULL}};
