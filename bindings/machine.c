// What this process uses and what the machine has: memory, processor, libraries. Part of module "vbl.system.c".
// defines: vbl_machine_rows
#include <inttypes.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <utf8proc.h>

#include "bindings/program.h"
#include "core/measure/lapack.h"
#include "kernels/cpu/cpu.h"

static int machine_rss_bytes(lua_State *L) {
  long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f == NULL) return luaL_fileresult(L, 0, "/proc/self/statm");
  int fields = fscanf(f, "%*s %ld", &pages);
  fclose(f);
  lua_pushinteger(L, fields == 1 ? (lua_Integer)pages * sysconf(_SC_PAGESIZE) : 0);
  return 1;
}

static int machine_peak_rss_bytes(lua_State *L) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  lua_pushinteger(L, (lua_Integer)usage.ru_maxrss * 1024);
  return 1;
}

// The number behind `key` in a file of "key: number" lines (key "": a file of one number), or -1.
static int64_t read_number(const char *file, const char *key) {
  char line[256], format[64];
  int64_t value = -1;
  snprintf(format, sizeof format, "%s %%" SCNd64, key);
  FILE *f = fopen(file, "r");
  if (f == NULL) return -1;
  while (fgets(line, sizeof line, f) != NULL)
    if (sscanf(line, format, &value) == 1) break;
  fclose(f);
  return value;
}

static int machine_memory_bytes(lua_State *L) {
  int64_t total = read_number("/proc/meminfo", "MemTotal:") * 1024,
          available = read_number("/proc/meminfo", "MemAvailable:") * 1024;
  int64_t limit = read_number("/sys/fs/cgroup/memory.max", ""), used = read_number("/sys/fs/cgroup/memory.current", "");
  if (limit >= 0 && used >= 0) {
    int64_t left = limit > used ? limit - used : 0;
    if (limit < total) total = limit;
    if (left < available) available = left;
  }
  lua_pushinteger(L, total);
  lua_pushinteger(L, available);
  return 2;
}

// "model name : ..." of /proc/cpuinfo; "unknown" where there is none.
static void push_cpu_model(lua_State *L) {
  char line[256], model[256] = "unknown";
  FILE *f = fopen("/proc/cpuinfo", "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL)
    if (sscanf(line, "model name : %255[^\n]", model) == 1) break;
  if (f != NULL) fclose(f);
  lua_pushstring(L, model);
}

static int machine_cpu(lua_State *L) {
  lua_createtable(L, 0, 4);
  vbl_lua_set_string(L, "isa", vbl_cpu_backend()->isa);
  vbl_lua_set_integer(L, "cores", sysconf(_SC_NPROCESSORS_ONLN));
  push_cpu_model(L);
  lua_setfield(L, -2, "model");
  vbl_lua_set_bool(L, "bf16", vbl_cpu_bf16_native());
  return 1;
}

static int machine_uname(lua_State *L) {
  struct utsname u;
  if (uname(&u) != 0) return luaL_fileresult(L, 0, NULL);
  lua_pushfstring(L, "%s %s %s", u.sysname, u.release, u.machine);
  return 1;
}

static int machine_libraries(lua_State *L) {
  lua_createtable(L, 0, 3);
  const dnnl_version_t *dnnl = dnnl_version();
  lua_pushfstring(L, "%d.%d.%d", dnnl->major, dnnl->minor, dnnl->patch);
  lua_setfield(L, -2, "onednn");
  vbl_lua_set_string(L, "utf8proc", utf8proc_version());
  const char *core = NULL;
  vbl_error err;
  if (vbl_lapack_open(&core, &err) == VBL_OK) {
    vbl_lua_set_string(L, "openblas_core", core);
  } else {
    vbl_lua_set_string(L, "openblas_error", err.message);
  }
  return 1;
}

static int machine_executable(lua_State *L) {
  char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  if (n < 0 || (size_t)n == sizeof path) return luaL_fileresult(L, 0, "/proc/self/exe");
  lua_pushlstring(L, path, (size_t)n);
  return 1;
}

const vbl_fn vbl_machine_rows[] = {
    {"rss_bytes", machine_rss_bytes, "rss_bytes() -> integer", "Resident memory now."},
    {"peak_rss_bytes", machine_peak_rss_bytes, "peak_rss_bytes() -> integer", "The most resident memory so far."},
    {"memory_bytes", machine_memory_bytes, "memory_bytes() -> total, available",
     "The machine's memory, or this process's group's where that is limited; available without swapping."},
    {"cpu", machine_cpu, "cpu() -> {isa, cores, model, bf16}",
     "The instruction set that kernels use, cores online, the model's name, whether products of bf16 are the processor's own."},
    {"uname", machine_uname, "uname() -> string", "System, release, machine."},
    {"libraries", machine_libraries, "libraries() -> {onednn, utf8proc, openblas_core or openblas_error}",
     "Versions; the kernels that OpenBLAS chose, or why it cannot be opened."},
    {"executable", machine_executable, "executable() -> string", "The path of this program."},
    {NULL, NULL, NULL, NULL}};
